"""The one command for all benchmarks: every question can be asked, its bars name what it answers, and it is shown.

What the programs measure is no test's business.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from live.servers import program

import benchmarks.__main__ as command
from benchmarks import pages, picture
from benchmarks.program import UNAVAILABLE
from benchmarks.questions import QUESTIONS, Bar, Question

pytestmark = pytest.mark.figures

ROOT = Path(__file__).parents[2]
#: Peers a bar may be about that the tests do without.
PEERS = ("uvloop", "aiohttp", "pyreqwest", "primp", "pycurl", "httpx")
#: Seconds, where the rest of CI runs beside it: bodies of 256 MiB take 100.
PATIENCE = 300
#: Programs whose one request is long.
LONG = ("large",)
#: Programs that need no nginx.
NO_SERVER = ("core_cost", "probe_cost", "import_cost")

each_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.program)


@each_question
@pytest.mark.timeout(PATIENCE + 10)
def test_every_question_is_answered_with_the_figures_its_bars_are_about(question):
    if question.program not in NO_SERVER:
        program("nginx")
    effort = ["--rounds", "1", "--requests", "1" if question.program in LONG else "2"]
    code = [sys.executable, "-m", f"benchmarks.{question.program}", *effort, "--json", "--all-cores"]
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode == UNAVAILABLE:
        assert done.stderr.startswith("cannot run here: ")
        return
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert rows
    for bar in question.bars:
        if not any(peer in f"{bar.row} {bar.figure}" for peer in PEERS):
            assert rows[bar.row][bar.figure] is not None


ROWS = {"ours": {"us": 10.0, "per_s": 1e5, "rate_by_theirs": 2.0}, "theirs": {"us": 20.0, "per_s": 5e4}}
PLACED = {command.ONE_CORE: ROWS, command.ALL_CORES: {"ours": {"rate_by_theirs": 1.0}}}
PRINTED = json.dumps({"machine": "this one", "rounds": 1, "requests": 2, "rows": ROWS, "placed": PLACED})


def shown(status: int, printed: str, said: str, *bars: Bar) -> tuple[bool, list[str]]:
    """Let a program end like this; say whether that is a failure, and give the lines that are shown."""
    outcome = command.outcome_of(subprocess.CompletedProcess([], status, printed, said))
    question = Question("theirs", "Who is fast?", (1, 1), bars)
    return outcome.is_failed, "\n".join(command.sections({question: outcome})).splitlines()


def test_an_answer_is_shown_with_who_is_missing_and_which_bars_were_held():
    spread = Bar("ours", "rate_by_theirs", least=1.5, on_all_cores=True)
    bounds = Bar("ours", "rate_by_theirs", least=1.5), spread, Bar("ours", "us", most=5), Bar("gone", "us", most=5)
    is_failed, lines = shown(0, PRINTED, "a warning\nleft out: another (no such module)\n", *bounds)
    assert not is_failed
    assert "this one; 1 rounds of 2" in lines
    assert "| ours | 10.0 | 100,000 | 2.00 |" in lines
    assert "- left out: another (no such module)" in lines
    assert [line.split(" | ")[1:] for line in lines if line.startswith("| theirs:")] == [
        ["≥ 1.5", "2.00", "1.00", "yes |"],
        ["≥ 1.5, on all cores", "2.00", "1.00", "no |"],
        ["≤ 5", "10.0", "-", "no |"],
        ["≤ 5", "-", "-", "not measured |"],
    ]


def test_what_cannot_run_here_is_said_in_a_line_and_is_no_failure():
    is_failed, lines = shown(UNAVAILABLE, "", "cannot run here: no tunnel\n")
    assert not is_failed
    assert lines[-1] == "- cannot run here: no tunnel"


def test_a_program_that_cannot_run_here_ends_with_a_status_and_a_line_of_its_own():
    code = """
from benchmarks.program import CannotRunError, Effort, main
def ask(effort):
    raise CannotRunError("no tunnel")
main(ask, Effort(1, 1), about="")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (UNAVAILABLE, "", "cannot run here: no tunnel\n")


def test_what_breaks_where_it_is_measured_is_said_and_ends_the_program():
    code = """
from benchmarks.program import Effort, main
def ask(effort):
    raise ValueError("broken")
main(ask, Effort(1, 1), about="")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("ValueError: broken\n")


def test_both_placements_are_measured_each_in_a_process_of_its_own():
    code = """
import os
from benchmarks.program import Effort, main
def ask(effort):
    return {"cores": {"us": float(len(os.sched_getaffinity(0)))}, "process": {"us": float(os.getpid())}}
main(ask, Effort(1, 1), about="")
"""

    def placed(*options: str) -> dict[str, dict[str, dict[str, float]]]:
        done = subprocess.run(
            [sys.executable, "-c", code, "--json", *options], cwd=ROOT, capture_output=True, check=True
        )
        return json.loads(done.stdout)["placed"]

    both = placed()
    assert list(both) == [command.ONE_CORE, command.ALL_CORES]
    assert both[command.ONE_CORE]["cores"]["us"] == 1
    assert both[command.ALL_CORES]["cores"]["us"] == len(os.sched_getaffinity(0))
    assert both[command.ONE_CORE]["process"] != both[command.ALL_CORES]["process"]
    assert (list(placed("--one-core")), list(placed("--all-cores"))) == ([command.ONE_CORE], [command.ALL_CORES])


def test_figures_are_put_into_their_place_on_the_pages(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n\n<!-- figures: one -->\n\nold\n\n<!-- end -->\n\n<!-- figures: two -->\n\nkept\n\n<!-- end -->\n"
    )
    pages.write_pages({"one": "| new |"}, (page,))
    assert "<!-- figures: one -->\n\n| new |\n\n<!-- end -->" in page.read_text()
    assert "\n\nkept\n\n" in page.read_text()


def test_the_pages_have_places_for_questions_there_are():
    named = {name for page in pages.PAGES for name in re.findall(r"<!-- figures: (\w+) -->", page.read_text("utf-8"))}
    assert {"goals", "pulse", "sequential"} <= named <= {"goals", *(question.program for question in QUESTIONS)}


def test_a_program_that_breaks_is_a_failure_and_shown():
    is_failed, lines = shown(1, "", "Traceback …\nValueError: broken\n")
    assert is_failed
    assert lines[-1] == "- ValueError: broken"


def test_the_command_ends_with_1_if_one_of_its_questions_was_not_answered(capsys):
    broken, fine = Question("no_such_program", "Is it there?", (1, 1)), Question("probe_cost", "Fine?", (1, 1))
    assert command.main(["--quick"], (broken, fine)) == 1
    assert "| plain |" in capsys.readouterr().out, "the others are asked all the same"


def test_the_command_asks_for_less_shows_progress_and_keeps_what_it_is_told_to(tmp_path):
    kept, drawn = tmp_path / "figures.json", tmp_path / "picture.svg"
    arguments = ["--quick", "--only", "probe_cost", "--json", str(kept), "--svg", str(drawn)]
    code = [sys.executable, "-W", "error", "-m", "benchmarks", *arguments]
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100)
    assert done.stderr.startswith("[1/1] probe_cost: ")
    assert "| plain |" in done.stdout
    [question] = command.chosen(QUESTIONS, ["probe_cost"])
    answer = json.loads(kept.read_text())["probe_cost"]
    assert (answer["rounds"], answer["requests"]) == question.quick
    assert answer["rows"]["plain"]["us_call"] > 0
    ElementTree.fromstring(drawn.read_text())


def test_only_the_questions_that_are_named_are_asked():
    chosen = command.chosen(QUESTIONS, ["memory", "tls"])
    assert [question.program for question in chosen] == ["tls", "memory"]
    assert command.chosen(QUESTIONS, None) == QUESTIONS


def test_the_picture_has_a_bar_for_every_row_in_proportion():
    rows = {"keeppool.Session": {"per_s": 2000.0}, "urllib3": {"per_s": 500.0}}
    tasks = {"keeppool on asyncio": {"us": 50.0}, "aiohttp on asyncio": {"us": 100.0}, "aiohttp on uvloop": {"us": 1.0}}
    drawn = ElementTree.fromstring(picture.picture({"sequential": {"rows": rows}, "tasks": {"rows": tasks}}))
    bars = [(bar.get("class"), float(bar.get("width", 0))) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    longest = picture.LONGEST
    assert bars == [
        ("ours", longest),
        ("peer", longest / 4),
        ("ours", longest),
        ("peer", longest / 2),
        ("peer", longest),
    ]
