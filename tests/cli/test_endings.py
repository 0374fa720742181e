"""How the command ends when something ends it: Ctrl-C, a reader that goes, a package that is not there."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import weakref

import pytest

from keeppool.cli.endings import interruptible
from keeppool.testing import Site, Sites


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_at_once_and_closes_busy_sockets(start, times):
    """130, no traceback, however often; a server that never answers cannot keep the process."""
    with Site() as site:
        site.pause()
        process = start("fetch", *[f"{site.url}/{number}" for number in range(40)])
        assert site.wait_for(lambda: site.requests == 6, 20)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert site.wait_for(lambda: site.open_now == 0)
    assert process.returncode == 130
    assert out.startswith("0 arrived, 0 failed: ")
    assert err == "keeppool: interrupted\n"


def test_ctrl_c_while_urls_are_awaited(start):
    """A pipe nobody writes to holds a thread in a read; the end does not wait for it."""
    with Site() as site:
        process = start("fetch", f"{site.url}/", "-i", "-", "--json", stdin=subprocess.PIPE)
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "keeppool: interrupted\n")


def test_ctrl_c_in_the_demo(start):
    """130, no traceback, with threads and sites at work: the second round has just begun."""
    process = start("demo", "--json")
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "keeppool: interrupted\n")


def test_a_closed_pipe_ends_quietly(start, sites: Sites):
    """`keeppool fetch --json … | head -1`: exit code 1, not a word, and the rest is not fetched."""
    site = sites.add()
    process = start("fetch", "--json", "--threads", "2", *[f"{site.url}/{number}" for number in range(2000)])
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1
    assert site.requests < 2000


def test_standard_error_closed_too(start, sites: Sites):
    """Failures have nowhere to go either; still no traceback and no hang."""
    site = sites.add()
    process = start("fetch", "--json", *[f"{site.url}/status/404"] * 500)
    assert process.stdout.readline()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(30) == 1


def test_without_rich_one_line_says_what_to_install(run, tmp_path):
    """Exit code 2; `--help` and `--version` work all the same."""
    (tmp_path / "rich.py").write_text("raise ImportError('no rich here')\n")
    line = "keeppool: keeppool's command needs rich: python -m pip install 'keeppool[cli]'"
    line += ", or '.[cli]' in the folder of its source\n"
    assert run("demo", path=tmp_path) == (2, "", line)
    assert run("fetch", "http://127.0.0.1/", path=tmp_path) == (2, "", line)
    code, out, err = run("fetch", "--help", path=tmp_path)
    assert (code, err) == (0, "")
    assert "--per-host" in out


def test_version(run):
    """`python -m keeppool` and the script are one."""
    import keeppool

    assert run("--version") == (0, f"keeppool {keeppool.__version__}\n", "")


def test_a_ctrl_c_that_python_swallows_ends_the_command_all_the_same(capsys):
    """Python ignores what is raised in a weak reference's callback, and a signal may come just there: not a word."""

    class Thing:
        pass

    def lose_a_ctrl_c():
        thing = Thing()
        callback = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing
        assert callback() is None

    before, hook = signal.signal(signal.SIGINT, signal.default_int_handler), sys.unraisablehook
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            lose_a_ctrl_c()
        assert capsys.readouterr() == ("", "")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with interruptible():  # forgets it, for the tests that follow; not where the tests run with Ctrl-C ignored
            pass
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("verb", ["fetch", "probe", "demo"])
def test_a_standard_output_that_is_closed_is_told_before_the_first_request(verb, sites: Sites):
    """`keeppool fetch URL >&-`."""
    site = sites.add()
    arguments = [] if verb == "demo" else [site.url]
    done = closed(1, verb, *arguments)
    assert (done.returncode, done.stderr) == (2, "keeppool: standard output is closed\n")
    assert site.opened == 0


def test_a_standard_error_that_is_closed_changes_nothing(sites: Sites):
    done = closed(2, "fetch", f"{sites.add().url}/status/404")
    assert done.returncode == 1
    assert done.stdout.startswith("0 arrived, 1 failed: ")


def closed(descriptor, *arguments):
    """Run the command with one of its standard streams closed, as a shell does."""
    command = [sys.executable, "-m", "keeppool", *arguments]
    line = shlex.join(command) + f" {descriptor}>&-"
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fetch", "--per-host", "x"), "--per-host: 'x' is neither a whole number nor none"),
        (("fetch", "--total", "1.5"), "--total: '1.5' is neither a whole number nor none"),
        (("fetch", "--threads", "many"), "--threads: 'many' is no whole number from 1 on"),
        (("demo", "--pages", "0"), "--pages: '0' is no whole number from 1 on"),
        (("fetch", "--timeout", "soon"), "--timeout: 'soon' is no number"),
        (("probe", "--max-wait", "soon"), "--max-wait: 'soon' is no number"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_told_in_plain_words(run, arguments, says):
    code, out, said = run(*arguments, "http://127.0.0.1:9/")
    assert (code, out) == (2, "")
    assert said.endswith(f"error: argument {says}\n")


def test_a_file_where_a_folder_has_to_be_is_told(run, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert run("fetch", "-o", str(file), "http://127.0.0.1:9/") == (
        2,
        "",
        f"keeppool: cannot write to {file}: it is no folder\n",
    )
