"""Files that people write: netrc, TOML configuration, HAR."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from keeppool.client.auth.netrc import credentials_for
from keeppool.config import Config, HostConfig, Limits, Timeout
from keeppool.config_file import MOST_BYTES, load_config
from keeppool.errors import ConfigError, HarError
from keeppool.har import build, parse
from keeppool.har.bodies import body_of, pairs_of, written
from keeppool.har.files import load, save
from keeppool.har.secrets import HIDDEN, Secrets
from tests.fuzz.oracles import in_steps, outcome
from tests.fuzz.target import target
from tests.fuzz.targets.cookies import folder


def file_of(data: bytes, name: str) -> Path:
    path = folder() / name
    path.write_bytes(data)
    path.chmod(0o600)
    return path


@target(covers=("client/auth/netrc.py",))
def netrcs(data: bytes) -> None:
    """A netrc file: a host gets its own credentials or the default's, and a broken file is none."""
    path = str(file_of(data, "netrc"))
    found = in_steps(200, 4000, len(data), lambda: credentials_for("a.example", path))
    assert credentials_for("a.example", path) == found
    assert found is None or (len(found) == 2 and all(isinstance(part, str) for part in found))
    words = data.split()
    if b"a.example" not in words and b"default" not in words and b'"' not in data and b"\\" not in data:
        assert found is None, f"credentials out of nothing: {found}"
    plain = re.fullmatch(rb"(?:(?:machine [a-z.]+|default)(?: (?:login|password) [a-z0-9]+){1,2}\n)+", data)
    if plain is not None:
        assert found == by_hand(data.decode())


def by_hand(text: str) -> tuple[str, str] | None:
    """Read a netrc of plain words, one entry a line; of two for one host the last counts."""
    entries: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        host, *words = line.split()[line.startswith("machine") :]
        said = dict(zip(words[::2], words[1::2], strict=True))
        entries[host] = (said.get("login", ""), said.get("password", ""))
    found = entries.get("a.example", entries.get("default"))
    return None if found is None or found == ("", "") else found


@target(most=2048, covers=("config_file.py",))
def configs(data: bytes) -> None:
    """A TOML file: a configuration with the values that stand in it, or an error that says where."""
    path = file_of(data, "config.toml")
    made = in_steps(1000, 60_000, len(data), lambda: outcome(load_config, path))
    try:
        table: dict[str, Any] | None = tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        table = None
    if made.error is not None:
        assert made.error is ConfigError
        return
    assert table is not None, "a configuration from what is no TOML"
    assert len(data) <= MOST_BYTES
    config: Config = made.value
    for kind, name, value in ((Limits, "limits", config.limits), (Timeout, "timeout", config.timeout)):
        if isinstance(table.get(name), dict):
            check_values(kind, table[name], value)
    check_values(HostConfig, table.get("default", {}), config.defaults)
    assert config.hosts.keys() == table.get("host", {}).keys()
    assert outcome(load_config, path).value == config


def check_values(kind: type, table: dict[str, Any], value: Any) -> None:
    """Hold each plain value of a table to have arrived."""
    names = {one.name for one in fields(kind)}
    for key, said in table.items():
        assert key in names
        if isinstance(said, (bool, int, float)) and not isinstance(getattr(value, key), Timeout):
            assert getattr(value, key) == said, key


@target(most=4096, covers=("har/parse.py", "har/bodies.py", "har/build.py", "har/files.py"))
def hars(data: bytes) -> None:
    """A HAR file, and below it what is built: what is written can be read, and says the same."""
    for is_whole in (False, True):
        made = in_steps(150, 3000, len(data), lambda is_whole=is_whole: outcome(lambda: parse(data, is_whole=is_whole)))
        if made.error is not None:
            assert made.error is HarError
            continue
        path = folder() / "some.har"
        save(path, made.value)
        assert same(load(path), made.value)
        for entry in made.value:
            for message, body in ((entry["request"], "postData"), (entry["response"], "content")):
                pairs_of(message.get("headers") or [])
                body_of(message.get(body))
                body_of(message.get(body), pairs_of(message.get("headers") or []))


def same(one: Any, other: Any) -> bool:
    """Compare what was read; a lone surrogate may have become an escape, which is read as the same."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@target(most=2048, covers=("har/build.py", "har/bodies.py", "har/secrets.py"))
def recordings(data: bytes) -> None:
    """Parts between bytes of FF: a URL, a body's type, names and values by turns, the body; without secrets."""
    url, media_type, *parts = [*data.split(b"\xff"), b"", b""][: max(2, data.count(b"\xff") + 1)]
    body = parts.pop() if parts else b""
    pairs = list(zip(*[iter([part.decode("latin-1") for part in parts])] * 2, strict=False))
    kind = media_type.decode("latin-1")
    hiding = Secrets()
    headers = [("Content-Type", kind), *pairs]
    asked = build.request("POST", url.decode("latin-1"), headers, body)
    answered = build.response(200, "OK", headers, body)
    entry = build.entry(asked, answered, started=0.0)
    text = json.dumps(build.document([entry]), allow_nan=False)
    (again,) = parse(text, is_whole=True)
    assert body_of(again["response"]["content"]) == body
    assert body_of(again["request"]["postData"]) == body
    shown, encoding = written(body, kind)
    assert encoding in ("", "base64")
    assert isinstance(shown, str)
    check_hidden(hiding, url.decode("latin-1"), headers, body, kind)


def check_hidden(hiding: Secrets, url: str, headers: list[tuple[str, str]], body: bytes, kind: str) -> None:
    """Hide twice: the second time nothing is left to hide, and nothing else was changed."""
    bare = in_steps(60, 300, len(url), lambda: hiding.in_url(url))
    assert hiding.in_url(bare) == bare
    fields = hiding.in_fields(headers)
    assert hiding.in_fields(fields) == fields
    assert [name for name, _ in fields] == [name for name, _ in headers]
    for name, value in fields:
        if name.lower() == "authorization":
            assert value == HIDDEN
    clean = in_steps(60, 600, len(body), lambda: hiding.in_body(body, kind))
    assert hiding.in_body(clean, kind) == clean
