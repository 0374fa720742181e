"""`load_config`: what a TOML file may say, and how precisely it is told what it may not."""

from __future__ import annotations

import pickle
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from keeppool import presets
from keeppool.config import HOST_FIELDS, INHERIT, Config, HostConfig, Limits, Timeout
from keeppool.config_file import load_config
from keeppool.errors import ConfigError


def loaded(folder: Path, text: str) -> Config:
    return load_config(written(folder, text))


def written(folder: Path, text: str) -> Path:
    file = folder / "pool.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_an_empty_file_is_the_default_configuration(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == Config()


def test_every_table_is_read(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
        preset = "chrome"
        [limits]
        per_host = 4
        idle_timeout = "none"
        [timeout]
        connect = 2
        total = "none"
        [default]
        headers = { User-Agent = "crawler", Accept = "*/*" }
        [host."*.example.com"]
        per_host = 2
        timeout = 5
        cert = ["client.pem", "client.key"]
        proxy = "none"
        [host."https://api.example.com:8443"]
        timeout = { read = 7, pool = "none" }
        """,
    )
    assert config.limits == Limits(per_host=4, per_proxy=32, total=256, idle_timeout=None)
    assert config.timeout == Timeout(connect=2)
    assert config.defaults == HostConfig(headers={"User-Agent": "crawler", "Accept": "*/*"})
    assert list(config.hosts) == ["*.example.com", "https://api.example.com:8443"]
    assert config.hosts["*.example.com"] == HostConfig(
        per_host=2, timeout=Timeout(5), cert=("client.pem", "client.key"), proxy=None
    )
    assert config.hosts["https://api.example.com:8443"].timeout == Timeout(connect=2, read=7, pool=None)


def test_a_text_path_does_as_well_as_a_path_object(tmp_path: Path) -> None:
    file = written(tmp_path, "[limits]\ntotal = 9")
    assert load_config(str(file)) == load_config(file) == Config(limits=Limits(total=9))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("5", Timeout(5, pool=3)),
        ("2.5", Timeout(2.5, pool=3)),
        ("[1, 9]", Timeout(connect=1, read=9, pool=3)),
        ('[1, "none"]', Timeout(connect=1, read=None, pool=3)),
        ('"none"', Timeout(None)),
        ("{ read = 8 }", Timeout(read=8, pool=3)),
        ("{}", Timeout(pool=3)),
    ],
)
def test_a_hosts_timeout_has_several_forms_and_takes_the_rest_from_the_timeout_table(
    tmp_path: Path, said: str, meant: Timeout
) -> None:
    config = loaded(tmp_path, f"[timeout]\npool = 3\n[host.a]\ntimeout = {said}\n[default]\ntimeout = {said}")
    assert config.hosts["a"].timeout == config.defaults.timeout == meant


def test_what_a_host_leaves_out_is_inherited(tmp_path: Path) -> None:
    entry = loaded(tmp_path, "[host.a]\nper_host = 1").hosts["a"]
    assert {name for name in HOST_FIELDS if getattr(entry, name) is not INHERIT} == {"per_host"}


SAMPLES = {
    "per_host": "3",
    "head_bytes": "65536",
    "head_fields": "100",
    "idle_timeout": "30",
    "max_age": "600.5",
    "max_requests": "100",
    "timeout": "5",
    "headers": '{ A = "b" }',
    "verify": '"ca.pem"',
    "cert": '"client.pem"',
    "fingerprint": f'"{"ab" * 32}"',
    "server_hostname": '"sni.example"',
    "proxy": '"http://user:secret@proxy.example:3128"',
    "proxy_headers": '{ Proxy-Authorization = "Bearer secret" }',
    "proxy_verify": '"proxy-ca.pem"',
    "http_version": '"1.0"',
    "keep_alive": "false",
    "keep_alive_header": '"timeout=30, max=100"',
    "source_address": '"127.0.0.2"',
    "unix_socket": '"/run/app.sock"',
    "tcp_keepalive": "60",
    "tag": '"blue"',
    "idempotent": "true",
    "unsafe": '"fresh"',
    "pace": "{ interval = 0.5, since = 'end' }",
    "obey_retry_after": "true",
    "fleet_per_host": "6",
    "fleet_key": '"example.com"',
    "pipelining": "8",
}


@pytest.mark.parametrize("name", [name for name in HOST_FIELDS if name != "ssl_context"])
def test_every_field_of_a_host_can_be_set_from_a_file(tmp_path: Path, name: str) -> None:
    """A new field has to come with a sample here, and needs nothing else to be readable."""
    assert getattr(loaded(tmp_path, f"[default]\n{name} = {SAMPLES[name]}").defaults, name) is not INHERIT


def test_a_wrong_pace_is_named_with_its_place_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "[host.a]\npace = { per_second = 0 }")
    assert caught.value.field == 'host."a".pace.per_second'


@pytest.mark.parametrize(("table", "kind"), [("limits", Limits), ("timeout", Timeout)])
def test_every_limit_and_timeout_can_be_set_and_unset_from_a_file(
    tmp_path: Path, table: str, kind: type[Limits | Timeout]
) -> None:
    assert loaded(tmp_path, "[limits]\nlearn = false").limits.learn is False
    for f in fields(kind):
        if f.name == "learn":
            continue
        assert getattr(getattr(loaded(tmp_path, f"[{table}]\n{f.name} = 7"), table), f.name) == 7
        assert getattr(getattr(loaded(tmp_path, f'[{table}]\n{f.name} = "none"'), table), f.name) is None


@pytest.mark.parametrize("name", presets.NAMES)
def test_a_preset_is_the_base_of_the_limits(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, f'preset = "{name.lower()}"').limits == presets.by_name(name)


WRONG = [
    # text, field, value, part of the rule
    ("[limits]\nper_hosts = 2", "limits.per_hosts", 2, "nearest is per_host"),
    ("[limits]\nPER-HOST = 2", "limits.PER-HOST", 2, "nearest is per_host"),
    ("[limits]\nzzz = 2", "limits.zzz", 2, "there are per_host, per_proxy"),
    ("[limits]\nper_host = 0", "limits.per_host", 0, '1 or more, or "none"'),
    ("[limits]\nper_host = true", "limits.per_host", True, "whole number"),
    ("[limits]\nper_host = 2.0", "limits.per_host", 2.0, "whole number"),
    ('[limits]\nper_host = "None"', "limits.per_host", "None", 'or "none" for no limit'),
    ("[limits]\nper_host = { a = 1 }", "limits.per_host", "<dict>", "whole number"),
    ("[limits]\nidle_timeout = nan", "limits.idle_timeout", None, "0 or more"),
    ("[limits]\nidle_timeout = 2020-01-01", "limits.idle_timeout", None, "seconds"),
    ("limits = 5", "limits", 5, "must be a table"),
    ("[[limits]]\ntotal = 1", "limits", "<list>", "must be a table"),
    ("[timeout]\nconect = 2", "timeout.conect", 2, "nearest is connect"),
    ("[timeout]\nconnect = 0", "timeout.connect", 0, "more than 0"),
    ("[timeout]\nread = -1", "timeout.read", -1, "more than 0"),
    ("[defaults]\nper_host = 2", "defaults", "<dict>", "nearest is default"),
    ("[default]\nper_host = 0", "default.per_host", 0, "1 or more"),
    ('[default]\nverify = ""', "default.verify", "", "must be true, false"),
    ("[default]\nssl_context = 1", "default.ssl_context", 1, "cannot come from a file"),
    ("[default]\nheaders = 5", "default.headers", 5, "must be a table"),
    ('[default]\nheaders = ["ab"]', "default.headers", "<tuple>", "must be a table"),
    ("[default]\nheaders = { A = 5 }", "default.headers", ("A", "***"), "must be text"),
    ('[default]\nkeep_alive = "none"', "default.keep_alive", "none", "true or false"),
    ('[host."x.example"]\nper_host = 0', 'host."x.example".per_host', 0, "1 or more"),
    ('[host."x.example"]\nperhost = 1', 'host."x.example".perhost', 1, "nearest is per_host"),
    ('[host."x"]\ntimeout = 0', 'host."x".timeout', 0, "more than 0"),
    ('[host."x"]\ntimeout = true', 'host."x".timeout', True, "seconds"),
    ('[host."x"]\ntimeout = "5"', 'host."x".timeout', "5", "seconds"),
    ('[host."x"]\ntimeout = [1, 2, 3]', 'host."x".timeout', (1, 2, 3), "(connect, read)"),
    ('[host."x"]\ntimeout = { raed = 1 }', 'host."x".timeout.raed', 1, "nearest is read"),
    ('[host."x"]\ntimeout = { read = 0 }', 'host."x".timeout.read', 0, "more than 0"),
    ('[host."x"]\ncert = ["a", "b", "c"]', 'host."x".cert', ("a", "b", "c"), "pair of paths"),
    ("[host.api.example]\nper_host = 1", 'host."api".example', "<dict>", "stands in quotes"),
    ("[host]\nx = 5", 'host."x"', 5, "must be a table"),
    ("host = 5", "host", 5, "must be a table"),
    ('[host."a/b"]', 'host."a/b"', "a/b", "no path"),
    ('[host."a*b"]', 'host."a*b"', "a*b", "* stands"),
    ('[host.""]', 'host.""', "", "empty"),
    ("[host.a]\n[host.A]", 'host."A"', "A", "same"),
    ('preset = "MOSAIC"', "preset", "MOSAIC", "NETSCAPE, IE6"),
    ("preset = 5", "preset", 5, "NETSCAPE, IE6"),
    ("presets = 5", "presets", 5, "nearest is preset"),
    ("per_host = 2", "per_host", 2, 'stands in [limits] or [default] and [host."..."]'),
    ("connect = 2", "connect", 2, "stands in [timeout]"),
    ("[limits]\nverify = false", "limits.verify", False, 'stands in [default] and [host."..."]'),
    ('[host."x"]\nper_proxy = 5', 'host."x".per_proxy', 5, "stands in [limits]"),
]


@pytest.mark.parametrize(("text", "field", "value", "rule"), WRONG)
def test_a_mistake_is_named_by_file_field_value_and_rule(
    tmp_path: Path, text: str, field: str, value: object, rule: str
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    error = caught.value
    assert (error.file, error.field) == (str(file), field)
    assert value is None or error.value == value
    assert rule in error.rule
    assert all(part in str(error) for part in (str(file), field, repr(error.value), error.rule))


def test_an_error_survives_pickling_with_its_facts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "[limits]\ntotal = 0")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.file, copy.field, copy.value, copy.rule) == (
        caught.value.file,
        "limits.total",
        0,
        caught.value.rule,
    )


def test_bad_syntax_is_named_with_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not TOML: .*line 2, column") as caught:
        loaded(tmp_path, "[limits]\nper_host 4\n")
    assert caught.value.file == str(tmp_path / "pool.toml")
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("head", ["[host.*.example.com]", "[host.a:80]", "[host.http://a]", "[host.[::1]]"])
def test_a_pattern_without_quotes_says_how_it_is_written(tmp_path: Path, head: str) -> None:
    with pytest.raises(ConfigError, match=r'not TOML: .*; a pattern stands in quotes, as in \[host\."'):
        loaded(tmp_path, f"[limits]\nper_host = 4\n{head}\nper_host = 1\n")
    with pytest.raises(ConfigError, match=r"column \d+\)$"):
        loaded(tmp_path, '[host."*.example"]\nper_host 1\n')


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "notepad.toml"
    file.write_bytes(b"\xef\xbb\xbf[limits]\r\nper_host = 3\r\n")
    assert load_config(file).limits.per_host == 3


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes(b'preset = "\xe9"')
    with pytest.raises(ConfigError, match="not TOML, which is text in UTF-8"):
        load_config(file)


def test_a_missing_file_and_a_folder_are_named_with_the_systems_reason(tmp_path: Path) -> None:
    for path, cause in ((tmp_path / "none.toml", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            load_config(path)
        assert (caught.value.file, caught.value.field) == (str(path), "path")
        assert isinstance(caught.value.__cause__, cause)


SECRETS = [
    'proxys = "http://u:SECRET@h:1"',
    '[default]\nproxys = "http://u:SECRET@h:1"',
    '[host.x]\nheader = { Authorization = "Bearer SECRET" }',
    '[default]\nheaders = "Bearer SECRET"',
    '[default]\nheaders = { Authorization = ["Bearer SECRET"] }',
    '[default]\nproxy = ["http://u:SECRET@h:1"]',
    '[default]\nproxy_headers = "SECRET"',
    'limits = "SECRET"',
    'host = "SECRET"',
    '[host."https://u:SECRET@a.example"]\nper_host = 1',
    '[host."u:SECRET@a.example"]\nper_host = 1',
    '[host.x]\nssl_context = "SECRET"',
    '[timeout]\npassword = "SECRET"',
    'preset = ["SECRET"]',
]


@pytest.mark.parametrize("text", SECRETS)
def test_what_may_be_a_secret_is_neither_shown_nor_kept(tmp_path: Path, text: str) -> None:
    """Row X1: a misspelt or misplaced key says nothing about its value."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    error: BaseException | None = caught.value
    while error is not None:
        kept = f"{error} {error!r} {error.args} {error.__dict__}"
        assert "SECRET" not in kept.replace('host."https://u:SECRET@a.example"', "")
        error = error.__cause__ or error.__context__


def deep(count: int) -> str:
    return "a = " + "[" * count


HOSTILE = {
    "arrays": deep(100_000),
    "closed arrays": deep(400) + "]" * 400,
    "inline tables": "a = " + "{ a = " * 50_000,
    "a dotted key": ".".join(["a"] * 2000) + " = 1",
    "a dotted key of limits": "limits." + ".".join(["a"] * 2000) + " = 1",
    "a large number": "[limits]\nidle_timeout = 1" + "0" * 400,
    "a larger number": "[limits]\nidle_timeout = 1" + "0" * 5000,
    "a long value": '[default]\nfingerprint = "' + "x" * 1_000_000 + '"',
    "a long value with escapes": '[default]\nunsafe = "' + "\\u001b[31m\\u009b" * 100_000 + '"',
    "a long key": "[limits]\n" + "x" * 1_000_000 + " = 1",
    "a long pattern": '[host."' + "x" * 1_000_000 + '"]\nper_host = 1',
    "a key with escapes": '[limits]\n"\\u001b[31m" = 1',
    "not UTF-8": None,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_any_file_ends_in_a_bounded_error(tmp_path: Path, name: str) -> None:
    """Row E6: of the tree, on one line, and short."""
    path = tmp_path / "pool.toml"
    text = HOSTILE[name]
    path.write_bytes(b"a = '\xff'" if text is None else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    text = str(caught.value)
    assert len(text) <= 1000
    assert text.isprintable()
    assert len(caught.value.field) < 1000


@pytest.mark.parametrize("path", [None, 5, ["a"], b"/no/such/file", "a\0b", "/dev/zero", "/", "x" * 5000])
def test_any_path_ends_in_a_bounded_error(path: object) -> None:
    """Row E6: also where it names no file, or one without an end."""
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.field == "path"
    assert len(str(caught.value)) <= 1000


def test_a_table_costs_the_same_however_many_there_are(tmp_path: Path) -> None:
    """Row E6: counted in calls of Python functions."""

    def calls(count: int) -> int:
        path = written(tmp_path, "".join(f"[host.a{number}]\nper_host = 2\n" for number in range(count)))
        total = 0

        def count_call(frame: object, event: str, argument: object) -> None:
            nonlocal total
            total += event == "call"

        load_config(path)  # What is made once is made here.
        sys.setprofile(count_call)
        try:
            load_config(path)
        finally:
            sys.setprofile(None)
        return total

    few, many = calls(50), calls(400)
    assert many <= 8.2 * few
    assert many / 400 < 500
