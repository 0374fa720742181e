"""A `Config` from a TOML file.

    preset = "CHROME"                       what [limits] starts from; any of `keeppool.presets.NAMES`

    [limits]                                the fields of `Limits`
    [timeout]                               the fields of `Timeout`
    [default]                               the fields of `HostConfig`, for every host
    [host."*.example.com"]                  the same, for the hosts of a pattern; see `keeppool.hosts`
    [fleet]                                 the arguments of `keeppool.fleet.Fleet.from_url`: url, name, ttl, ...;
                                            or fleet = "redis://host/0?name=crawl", above all tables

TOML has no null: the text "none" stands for `None` wherever a field may be `None` (so nothing else can be meant by it
there). A host's timeout may be a table, a number for connecting and reading alike, or an array `[connect, read]`; what
it leaves out comes from [timeout]. Headers, for the host or for its proxy, are a table. `ssl_context` is an object and
cannot come from a file. Relative paths are relative to the working directory, as everywhere.

Knows: the file's shape. The keys are those of the dataclasses; there is no second list.
Does not know: which values are possible (`config.py`), which patterns (`hosts.py`); it only tells where in the file
the wrong one stands.

Source: TOML 1.0.
"""

from __future__ import annotations

import functools
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args, get_type_hints

import keeppool.presets as presets
from keeppool.checks import bad
from keeppool.config import Config, HostConfig, Limits, Timeout, TimeoutArgument
from keeppool.deferred import Deferred
from keeppool.errors import MOST_QUOTED, ConfigError, quoted
from keeppool.forks import undivided
from keeppool.hosts import HostTable

if TYPE_CHECKING:
    from keeppool import fleet as fleets
else:
    fleets = Deferred("keeppool.fleet")

_TOP: Final = ("preset", "limits", "timeout", "default", "host", "fleet")
#: What the tables hold, by what is said of them where a key of theirs stands somewhere else.
_TABLES: Final[Mapping[str, type[Limits | Timeout | HostConfig]]] = {
    "[limits]": Limits,
    "[timeout]": Timeout,
    '[default] and [host."..."]': HostConfig,
}
_FLEET: Final = ("url", "name", "ttl", "when_down", "timeout")

#: Fields of the dataclasses that hold an object no text can name.
_IN_CODE_ONLY: Final = frozenset({"ssl_context"})

#: How a host's table begins, and one whose pattern TOML cannot read as it stands.
_QUOTED: Final = '[host."*.example.com"]'
_BARE_PATTERN: Final = re.compile(r"^[ \t]*\[host\.[^\]\"'\n]*[*:/\[]", re.MULTILINE)

#: The rules are worded for Python; these are the same values as the file's author writes them.
_TOML_WORDS: Final = {"None": '"none"', "True": "true", "False": "false"}

#: Bytes of a file that are read: the tables of ten thousand hosts are one million, and /dev/zero has no end.
MOST_BYTES: Final = 16 << 20
#: Characters of a wrong key that are compared with the right ones. None of these has half as many.
_LONGEST_KEY: Final = 64

_Settings = TypeVar("_Settings", Limits, Timeout)


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read a configuration file.

    Args:
        path: A TOML file in UTF-8; see the module's docstring for its tables.

    Returns:
        The configuration, checked as a whole: every pattern can be used.

    Raises:
        ConfigError: The file is missing, too large or no TOML, or it holds a wrong key, type, value or pattern. `file`
            is the path, `field` the dotted place such as `host."a.example".per_host`, `value` and `rule` say the rest.
    """
    try:
        file = os.fsdecode(path)
    except TypeError:
        raise bad("path", path, "must be the path of a file") from None
    try:
        return _config(_Place(file), read_table(file))
    except RecursionError:
        raise _unusable(file, "nested too deeply") from None


def _config(top: _Place, table: dict[str, Any]) -> Config:
    _check_keys(top, table, _TOP)
    timeout = _timeout(top.at("timeout"), table.get("timeout", {}), Timeout())
    return Config(
        limits=_limits(top, table),
        timeout=timeout,
        defaults=_host_config(top.at("default"), table.get("default", {}), timeout),
        hosts=_hosts(top.at("host"), table.get("host", {}), timeout),
        fleet=_fleet(top.at("fleet"), table["fleet"]) if "fleet" in table else None,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in which file something stands, so that an error can show it."""

    file: str
    field: str = ""

    def at(self, key: str) -> _Place:
        # Cut: an error tells where, and a key may be a megabyte.
        key = key if len(key) <= MOST_QUOTED else f"{key[:MOST_QUOTED]}…"
        return _Place(self.file, f"{self.field}.{key}" if self.field else key)

    def fault(self, value: object, rule: str, kind: str = "") -> ConfigError:
        words = re.sub(r"\b(None|True|False)\b", lambda word: _TOML_WORDS[word[0]], rule)
        return bad(self.field, value, words, self.file, kind)


def read_table(file: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file's tables as they stand there.

    Raises:
        ConfigError: The file is missing, too large or no TOML.
    """
    file = os.fsdecode(file)
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unusable(file, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MOST_BYTES:
        raise _unusable(file, f"larger than {MOST_BYTES} bytes")
    try:
        # Some editors begin a file with a byte order mark.
        text = data.decode("utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise _unusable(file, f"not TOML, which is text in UTF-8: {error}") from error
    except ValueError as error:  # says line and column
        hint = f"; a pattern stands in quotes, as in {_QUOTED}" if _BARE_PATTERN.search(text) else ""
        raise _unusable(file, f"not TOML: {error}{hint}") from error


def _unusable(file: str, rule: str) -> ConfigError:
    return ConfigError(f"{quoted(file)[1:-1]}: {rule}", field="path", value=file, rule=rule, file=file)


def _limits(top: _Place, table: Mapping[str, Any]) -> Limits:
    try:
        base = presets.by_name(table["preset"]) if "preset" in table else Limits()
    except ConfigError as error:
        raise top.at("preset").fault(error.value, error.rule) from error
    return _laid_over(base, top.at("limits"), table.get("limits", {}))


def _timeout(place: _Place, value: Any, base: Timeout) -> Timeout:
    if isinstance(value, dict):
        return _laid_over(base, place, value)
    try:
        return Timeout.of(_in_python(value, TimeoutArgument), base)
    except ConfigError as error:
        raise place.fault(error.value, error.rule, "timeout") from error


def _hosts(place: _Place, table: Any, timeout: Timeout) -> dict[str, HostConfig]:
    _check_table(place, table)
    hosts = {text: _host_config(place.at(f'"{text}"'), entry, timeout) for text, entry in table.items()}
    try:
        HostTable(hosts)
    except ConfigError as error:
        raise place.at(f'"{error.value}"').fault(error.value, error.rule, "hosts") from error
    return hosts


def _fleet(place: _Place, value: Any) -> fleets.Fleet:
    if isinstance(value, str):
        value = {"url": value}
    _check_table(place, value)
    _check_keys(place, value, _FLEET)
    if "url" not in value:
        raise place.at("url").fault(None, "must be there, such as redis://host:6379/0")
    try:
        return fleets.Fleet.from_url(**value)
    except ConfigError as error:
        raise place.at(error.field).fault(error.value, error.rule) from error


def _host_config(place: _Place, table: Any, timeout: Timeout) -> HostConfig:
    values = _values(HostConfig, place, table)
    if "timeout" in values:
        values["timeout"] = _timeout(place.at("timeout"), table["timeout"], timeout)
    for name in ("headers", "proxy_headers"):
        if name in values and not isinstance(values[name], dict):
            raise place.at(name).fault(values[name], "must be a table")
    try:
        return HostConfig(**values)
    except ConfigError as error:
        raise place.at(error.field).fault(error.value, error.rule) from error


def _laid_over(base: _Settings, place: _Place, table: Any) -> _Settings:
    """Lay the table's values over `base`."""
    values = _values(type(base), place, table)
    try:
        return replace(base, **values)
    except ConfigError as error:
        raise place.at(error.field).fault(error.value, error.rule) from error


def _values(kind: type[Limits | Timeout | HostConfig], place: _Place, table: Any) -> dict[str, Any]:
    """Read a table into arguments for `kind`: its keys checked, "none" and arrays in Python's form."""
    _check_table(place, table)
    hints = _hints(kind)
    _check_keys(place, table, hints)
    return {key: _in_python(value, hints[key]) for key, value in table.items()}


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """Give the types of the fields that a file may set, by their names."""
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind) if f.init and f.name not in _IN_CODE_ONLY}


def _in_python(value: Any, hint: Any) -> Any:
    if value == "none" and type(None) in get_args(hint):
        return None
    return tuple(_in_python(part, hint) for part in value) if isinstance(value, list) else value


def _check_table(place: _Place, value: object) -> None:
    if not isinstance(value, dict):
        raise place.fault(value, "must be a table")


def _check_keys(place: _Place, table: Mapping[str, Any], allowed: Collection[str]) -> None:
    for key, value in table.items():
        if key not in allowed:
            raise place.at(key).fault(value, _why_no_key(place, key, value, allowed))


def _why_no_key(place: _Place, key: str, value: object, allowed: Collection[str]) -> str:
    """Say what was probably meant."""
    with undivided:
        from difflib import get_close_matches  # only an error needs it

    if key in _IN_CODE_ONLY:
        return "an object that cannot come from a file; give it in code"
    if others := [name for name, kind in _TABLES.items() if key in [field.name for field in fields(kind)]]:
        return f"no such key here; it stands in {' or '.join(others)}"
    near = get_close_matches(key[:_LONGEST_KEY].lower(), allowed, n=1)
    if near:
        return f"no such key; the nearest is {near[0]}"
    if isinstance(value, dict) and place.field.startswith("host."):
        return 'no such key; a pattern with dots stands in quotes, as in [host."a.example"]'
    return f"no such key; there are {', '.join(allowed)}"
