"""Which names and values a setting may have, and the error that says what is wrong with one.

Decides: what is refused, and in which words; what of a wrong value is shown, which may be a secret.
Knows: the names of all settings; that `INHERIT` stands for one that is not set.
Does not know: what a setting is for, its default, and which of them have to agree (`config.py`).
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeGuard

from keeppool.errors import MOST_QUOTED, ConfigError, quoted

if TYPE_CHECKING:
    import inspect


class Inherit(enum.Enum):
    """The type of `INHERIT`, so that type checkers can tell it from a value."""

    INHERIT = "inherit"

    def __repr__(self) -> str:
        return "INHERIT"


#: In a `HostConfig`: this entry does not decide; a less specific one, or the pool's `Limits` and `Timeout`, do.
INHERIT: Final = Inherit.INHERIT

#: What stands where a value may be a secret.
HIDDEN: Final = "***"
#: Names of header fields whose values may be secrets, in lower case; the expression is compiled when it is first used.
PRIVATE_NAME: Final = "auth|cookie|token|secret|session|csrf|key|password"
_HEADERS: Final = ("headers", "proxy_headers")
_SECRETS: Final = ("proxy", "ssl_context", *_HEADERS)
# The user and password of a URL, or of what somebody has written instead of one. Compiled when it is first used, as in
# `urls/address.py`.
_USER: Final = r"(?<=//)[^/?#]*@|^[^/?#]*@"
#: Bits of the largest number a float can hold.
_MOST_BITS: Final = 1023
#: What a key in a fleet has to be: in Redis' names braces have a meaning, and a lone surrogate has no bytes.
KEY_RULE: Final = "non-empty text without braces and lone surrogates"
_KEY: Final = r"[^{}\ud800-\udfff]+"


def bad(name: str, value: object, rule: str, file: str = "", kind: str = "") -> ConfigError:
    """Build the error that names field, value and rule (and the file, if there is one).

    Args:
        name: The field; in a file with its place.
        value: As given. What may be a secret in it is neither shown nor kept.
        rule: What holds for the field.
        file: Where it came from.
        kind: The field whose value it is, if `name` does not end with that.
    """
    place = f"{quoted(file)[1:-1]}: " if file else ""
    kept = presentable(kind or name.rpartition(".")[2], value)
    if len(name) > MOST_QUOTED:
        name = f"{name[:MOST_QUOTED]}…"
    return ConfigError(f"{place}{name}={_written(kept)}: {rule}", field=name, value=kept, rule=rule, file=file)


def presentable(field: str, value: object) -> object:
    """Give a wrong value as an error may show and keep it: nothing that may be a secret, and not much.

    Numbers are no secrets. Text is none where the field tells what it is for, except a user and password in it. Of
    anything else only the type is shown.
    """
    if value is None or value is INHERIT or isinstance(value, (bool, int, float)):
        return quoted(value) if isinstance(value, int) and value.bit_length() > _MOST_BITS else value
    if isinstance(value, tuple) and field in ("timeout", "cert"):
        return tuple([presentable(field, part) for part in value[:3]])
    if field in _HEADERS and isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return value[0][:MOST_QUOTED], HIDDEN
    if not isinstance(value, str):
        return f"<{_named(type(value))}>"
    if field in _SECRETS or field not in _KNOWN:
        return HIDDEN
    return re.sub(_USER, "***@", value) if "@" in value else value


def _named(kind: type) -> str:
    """Give a type's name; with the package that it is from, as two may have a `Timeout`."""
    package = kind.__module__.partition(".")[0]
    return kind.__name__ if package in ("builtins", "__main__") else f"{package}.{kind.__name__}"


def _written(value: object) -> str:
    return f"({', '.join(map(_written, value))})" if isinstance(value, tuple) else quoted(value)


def shown(field: str, value: Any) -> str:
    """Write a value of a `HostConfig`'s field as `repr` does, without credentials."""
    if field == "proxy_headers":
        return repr(tuple((name, HIDDEN) for name, _ in value))
    if field == "headers":
        return repr(tuple((name, HIDDEN if re.search(PRIVATE_NAME, name.lower()) else text) for name, text in value))
    if field == "proxy" and value is not None and "@" in value:
        scheme, mark, _ = value.partition("://")
        return repr(f"{scheme + mark if mark else ''}***@{value.rpartition('@')[2]}")
    return repr(value)


def is_key(text: object) -> TypeGuard[str]:
    """Tell whether something is what `KEY_RULE` says."""
    return isinstance(text, str) and re.fullmatch(_KEY, text) is not None


def check_count(name: str, value: object, *, least: int) -> None:
    """Let pass `None` and whole numbers from `least` on; raise ConfigError otherwise."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad(name, value, "must be a whole number, or None for no limit")
    if value < least:
        raise bad(name, value, f"must be {least} or more, or None for no limit")


def check_seconds(name: str, value: object, *, zero: bool = True) -> None:
    """Let pass `None` and finite or infinite seconds not below zero; raise ConfigError otherwise."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad(name, value, "must be seconds as a number, or None for no limit")
    if not isinstance(value, float) and value.bit_length() > _MOST_BITS:
        raise bad(name, value, "must be seconds that a clock can count, or None for no limit")
    if math.isnan(value) or value < 0 or (value == 0 and not zero):
        raise bad(name, value, f"must be {'0 or more' if zero else 'more than 0'} seconds, or None for no limit")


def check_rate(name: str, value: object) -> None:
    """Let pass `None` and finite numbers above 0; raise ConfigError otherwise."""
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or (isinstance(value, int) and value.bit_length() > _MOST_BITS) or not 0 < value < math.inf:  # type: ignore[operator]
        raise bad(name, value, "must be a finite number above 0, or None")


def check_listener(on_event: object) -> None:
    """Let pass `None` and what can be called with an event; raise ConfigError otherwise."""
    if isinstance(on_event, type):
        raise bad("on_event", on_event, f"is a class, which no event is for: make one of it, {on_event.__name__}()")
    if on_event is not None and not callable(on_event):
        raise bad("on_event", on_event, "must be a function that takes an event, or None")


def header_pairs(field: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Freeze headers given as a mapping or as pairs; the order given is the order sent."""
    try:
        pairs = tuple((n, v) for n, v in (value.items() if isinstance(value, Mapping) else value))
    except (TypeError, ValueError):
        raise bad(field, value, "must be a mapping or a list of (name, value) pairs") from None
    for pair in pairs:
        if not all(isinstance(part, str) for part in pair):
            raise bad(field, pair, "names and values must be text")
        if pair[0].lower() in ("content-length", "transfer-encoding", "expect", "trailer"):
            rule = "tells how one request's body is sent, so it cannot be set for all of a host's"
            raise bad(field, pair, rule)
    return pairs


def _check_text(name: str, value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise bad(name, value, "must be non-empty text, or None")


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise bad(name, value, "must be True or False")


def _check_verify(name: str, value: object) -> None:
    if not isinstance(value, bool) and (not isinstance(value, str) or not value):
        rule = "must be True, False, or the path of a file or folder of certificates"
        if hasattr(value, "wrap_socket"):
            rule = f"{rule}; an ssl.SSLContext is given as HostConfig(ssl_context=...), in hosts= or defaults="
        raise bad(name, value, rule)


def _check_cert(name: str, value: object) -> None:
    pair = isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)
    if value is not None and not pair and not isinstance(value, str):
        raise bad(name, value, "must be a path, or a (certificate, key) pair of paths")


def _check_fingerprint(name: str, value: object) -> None:
    _check_text(name, value)
    digest = value.replace(":", "") if isinstance(value, str) else "0" * 32
    if len(digest) not in (32, 40, 64) or not set(digest.lower()) <= set("0123456789abcdef"):
        raise bad(name, value, "must be 32, 40 or 64 hex digits (MD5, SHA-1, SHA-256), colons allowed")


def _check_http_version(name: str, value: object) -> None:
    if value not in ("1.0", "1.1"):
        raise bad(name, value, 'must be "1.0" or "1.1"')


def _check_idempotent(name: str, value: object) -> None:
    if value is not None:
        _check_bool(name, value)


def _check_pipelining(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise bad(name, value, "must be a whole number from 1, which is off")


def _check_unsafe(name: str, value: object) -> None:
    if value not in ("any", "fresh"):
        raise bad(name, value, 'must be "any" or "fresh"')


def _check_fleet_key(name: str, value: object) -> None:
    if not callable(value) and not is_key(value):
        raise bad(name, value, f"must be {KEY_RULE}, or a function from host and port to such text")


def _check_least_one(name: str, value: object) -> None:
    check_count(name, value, least=1)


def _check_least_zero(name: str, value: object) -> None:
    check_count(name, value, least=0)


def _check_context(name: str, value: object) -> None:
    # By what it can do: whether it is one of ssl's own is seen where it is used, which spares this module the import.
    if value is not None and not hasattr(value, "wrap_bio"):
        raise bad(name, value, "must be an ssl.SSLContext, or None")


#: Called with a field's name and its value; raises ConfigError.
Check: TypeAlias = Callable[[str, object], None]

#: How each field of `Limits` is checked.
LIMIT_CHECKS: Final[Mapping[str, Check]] = {
    "per_host": _check_least_one,
    "per_proxy": _check_least_one,
    "total": _check_least_one,
    "waiting": _check_least_zero,
    "idle_timeout": check_seconds,
    "max_age": check_seconds,
    "max_requests": _check_least_one,
    "learn": _check_bool,
    "dns_ttl": check_seconds,
    "head_bytes": _check_least_one,
    "head_fields": _check_least_one,
}

#: How each field of a `HostConfig` is checked, but for those that are read at the same time.
HOST_CHECKS: Final[Mapping[str, Check]] = {
    "per_host": _check_least_one,
    "idle_timeout": check_seconds,
    "max_age": check_seconds,
    "max_requests": _check_least_one,
    "head_bytes": _check_least_one,
    "head_fields": _check_least_one,
    "verify": _check_verify,
    "cert": _check_cert,
    "fingerprint": _check_fingerprint,
    "server_hostname": _check_text,
    "ssl_context": _check_context,
    "proxy": _check_text,
    "proxy_verify": _check_verify,
    "http_version": _check_http_version,
    "keep_alive": _check_bool,
    "keep_alive_header": _check_text,
    "source_address": _check_text,
    "unix_socket": _check_text,
    "tcp_keepalive": check_seconds,
    "tag": _check_text,
    "idempotent": _check_idempotent,
    "unsafe": _check_unsafe,
    "pipelining": _check_pipelining,
    "obey_retry_after": _check_bool,
    "fleet_per_host": _check_least_one,
    "fleet_key": _check_fleet_key,
}

#: Settings and arguments of which it is known what they are for; a key of a file that is none may be anything misspelt.
_KNOWN: Final = frozenset(
    (
        *LIMIT_CHECKS,
        *HOST_CHECKS,
        *("headers", "proxy_headers", "timeout", "pace"),
        *("per_second", "interval", "burst", "since"),
        *("connect", "read", "write", "stall", "pool", "total"),
        *("config", "hosts", "path", "preset", "users"),
        *("retries", "status", "framing", "match", "times"),
        *("name", "ttl", "when_down"),
    )
)


# Names


class Spelled(type):
    """The type of a class that says what to write in the place of an argument that it does not have.

    Attributes:
        _otherwise: What is written here, by names that other libraries have for it.
        _at_first: How its arguments are written, for who has left out their names; empty to say nothing.
    """

    _otherwise: ClassVar[Mapping[str, str]] = {}
    _at_first: ClassVar[str] = ""

    if not TYPE_CHECKING:  # Or every argument would pass for one of the class.

        def __call__(cls, *arguments: Any, **named: Any) -> Any:  # noqa: D102  # The class says it.
            try:
                return super().__call__(*arguments, **named)
            except TypeError as error:
                if (text := _told(error, cls, named)) is None:
                    raise
                raise TypeError(text) from None

    @property
    def __signature__(cls) -> inspect.Signature:
        # Of the class, as `help` and notebooks show it; they would show that of `__call__` above.
        import inspect  # only for whoever looks

        signature = inspect.signature(vars(cls).get("__init__") or getattr(cls, "__init__"))  # noqa: B009
        return signature.replace(parameters=list(signature.parameters.values())[1:], return_annotation=cls)

    def _advice_on(cls, name: str) -> str:
        """Say what to write in the place of an argument; empty if nothing is like it."""
        if name in cls._otherwise:
            return f": it is {cls._otherwise[name]}"
        from difflib import get_close_matches  # only an error needs it

        near = get_close_matches(name, list(cls.__signature__.parameters), n=1)
        return f": {near[0]} perhaps" if near else ""


def _told(error: TypeError, cls: Spelled, named: Container[str]) -> str | None:
    """Say it; `None` if the error is another one, or was raised further inside.

    Args:
        error: What was raised, in the frame that called the class or further inside.
        cls: What was called.
        named: The keyword arguments it was called with.
    """
    if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
        return None
    if (match := re.search(r"unexpected keyword argument '(\w+)'", str(error))) is not None:
        return f"{cls.__name__}() has no argument {match[1]!r}{cls._advice_on(match[1])}" if match[1] in named else None
    if cls._at_first and re.search(r"takes .*positional arguments? but \d+ w", str(error)):
        return f"{cls.__name__}() takes its arguments by name: {cls._at_first}"
    return None
