"""URLs as people write them → the one form that is sent.

Decides: what is quoted, what stays quoted, which URLs are refused and as what.
Knows: the generic URL syntax, internationalised host names, query strings.
Does not know: connections. The pool gets an absolute URL without credentials and fragment.

Source: RFC 3986 §2 (percent-encoding), §5.2 (resolution), §6.2.2 (normalisation); RFC 9110 §4.2 (http and https),
    §4.2.4 (credentials in URLs), §10.2.2 (Location and fragments).
"""

from __future__ import annotations

import importlib
import re
from typing import Final, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from keeppool.errors import InvalidSchema, InvalidURL, MissingSchema
from keeppool.pools.url_cache import remembered

#: URLs remembered in their final form. A hit costs 0.05 µs, parsing 0.6 µs for a plain URL, 9 µs for others (measured
#: 2026-11, Python 3.11); 1024 entries are a few hundred kilobytes, and long ones have a bound of their own.
_REMEMBERED = 1024

_PORTS: Final = {"http": 80, "https": 443}

# What every step below would leave as it is: lower-case host, a path without dot segments, nothing to quote or unquote.
_PLAIN = re.compile(
    r"https?://(?:[a-z0-9_-]++\.)*+[a-z0-9_-]++(?::(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
    r"(?:/(?!\.)[A-Za-z0-9._~!$&'()*+,;=:@-]*+)++(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]++)?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
# `localhost:8080/x` is a host and a port, not a scheme called localhost.
_HOST_AND_PORT = re.compile(r"[^/?#:\[\]@]+:[0-9]+(?:[/?#]|$)")
_HOST = re.compile(r"(https?://(?:[^/?#\\]*@)?)([^/?#:\\\[\]]*)(.*)", re.DOTALL | re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
# Python's own codec speaks IDNA 2003; these characters mean another host in IDNA 2008 (RFC 5894 §7.2).
_READ_DIFFERENTLY: Final = frozenset("\u00df\u03c2\u200c\u200d")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# RFC 3986 §3.4 and the brackets, which query strings written by hand often hold and servers take.
_QUERY_UNSAFE = re.compile(rb"[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]]|%(?![0-9A-Fa-f]{2})")


class Address(NamedTuple):
    """Where a request goes.

    Attributes:
        url: For people: quoted, with the fragment, without credentials (they would end up in logs and errors).
        sent: For the pool: the same without the fragment.
        credentials: (user, password) written in the URL, unquoted.
    """

    url: str
    sent: str
    credentials: tuple[str, str] | None = None


@remembered(_REMEMBERED)
def parse(url: str) -> Address:
    """Bring a URL into the form that is sent.

    Args:
        url: Absolute, quoted or not. White space in front is dropped; a lone `%` is quoted, an escape kept.

    Raises:
        MissingSchema: It does not start with a scheme; the message says how it would be right.
        InvalidSchema: The scheme is neither http nor https, or it has none and begins with a host and a port.
        InvalidURL: Control characters, no host, or a host or port that cannot be one.
    """
    if _PLAIN.fullmatch(url):
        return Address(url, url)
    return _parse_careful(url.lstrip())


def addressed(url: str) -> Address:
    """Bring a URL into the form that is sent; one of another scheme than http and https stays as it is.

    Such a URL can be sent only by an adapter mounted for it.

    Raises:
        MissingSchema, InvalidURL: As `parse`.
    """
    text = url.lstrip()
    match = _SCHEME.fullmatch(text)
    if match is None or match[1].lower() in _PORTS or _HOST_AND_PORT.match(text):
        return parse(url)
    # `http+unix` and its like are written as http is, and mean something else by the host.
    return _normalised(text) if match[1].lower().startswith("http") else Address(text, text.partition("#")[0])


def text_of(url: object) -> str:
    """Read the other things people pass as a URL: bytes, and objects whose `str` is one.

    Raises:
        InvalidURL: Bytes that are not UTF-8, or `None`.
    """
    if url is None:
        raise InvalidURL("the URL is None")
    if not isinstance(url, bytes):
        return str(url)
    try:
        return url.decode()
    except UnicodeDecodeError as error:
        raise InvalidURL(f"URL {url!r} is not UTF-8") from error


def with_query(address: Address, query: str) -> Address:
    """Append `query`, already encoded, to what the URL's own query holds; schemes unlike http have none."""
    if not query or address.sent[:4].lower() != "http":
        return address
    _, mark, fragment = address.url.partition("#")
    sent = f"{address.sent}{'&' if '?' in address.sent else '?'}{query}"
    return address._replace(url=sent + mark + fragment, sent=sent)


def quoted_query(query: str | bytes) -> str:
    """Quote a query string written by hand: only what must not stand in a URL; escapes are kept."""
    raw = query.encode("utf-8", "surrogateescape") if isinstance(query, str) else query
    return _QUERY_UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")


def resolved(base: Address, location: str | bytes) -> Address:
    """Find where a Location field leads, seen from `base`.

    Args:
        base: The address that was answered.
        location: The field's value. Relative ones are resolved, spaces and text beyond ASCII quoted.

    Returns:
        The address; it inherits the fragment if it has none of its own. Credentials in it are dropped: a server must
        not choose what a client says about itself.

    Raises:
        InvalidSchema: It leads away from http and https.
        InvalidURL: It is no URL.

    Source: RFC 9110 §10.2.2.
    """
    text = text_of_field(location) if isinstance(location, bytes) else location
    try:
        joined = urljoin(base.url, text)
    except ValueError as error:
        raise InvalidURL(f"Location {text!r} is not a URL: {error}", url=text) from error
    address = parse(joined)
    fragment = "" if "#" in address.url else base.url.partition("#")[2]
    return Address(f"{address.url}#{fragment}" if fragment else address.url, address.sent)


def is_same_origin(old: Address, new: Address) -> bool:
    """Tell whether what was meant for `old` may be told to `new`: same scheme, host and port.

    The upgrade from http to https on their default ports counts as the same, as it does in requests.

    Source: RFC 9110 §4.3.1.
    """
    before, after = urlsplit(old.sent), urlsplit(new.sent)
    if before.hostname != after.hostname:
        return False
    was = (before.scheme, before.port or _PORTS.get(before.scheme))
    now = (after.scheme, after.port or _PORTS.get(after.scheme))
    return was == now or (was == ("http", 80) and now == ("https", 443))


def text_of_field(value: bytes) -> str:
    """Read a field: servers send UTF-8, whatever the standard says; the rest is ISO 8859-1, which takes any byte."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _parse_careful(url: str) -> Address:
    _check_scheme(url)
    return _normalised(url)


def _normalised(url: str) -> Address:
    if _CONTROL.search(url):
        raise InvalidURL(f"URL {url!r} holds a control character or a lone surrogate", url=url)
    # Deferred: importing any part of urllib3 imports most of it.
    from urllib3.exceptions import LocationParseError
    from urllib3.util.url import parse_url

    try:
        scheme, userinfo, host, port, path, query, fragment = parse_url(url if url.isascii() else _with_ascii_host(url))
    except LocationParseError as error:
        raise InvalidURL(f"URL {url!r} is malformed: {error}", url=url) from error
    if not host or host.startswith(("*", ".")):
        raise InvalidURL(f"URL {url!r} has {'no host' if not host else 'a host that no name can be'}", url=url)
    netloc = host if port is None else f"{host}:{port}"
    sent = f"{scheme}://{netloc}{_unquoted(path or '/')}{_unquoted('?' + query) if query else ''}"
    shown = f"{sent}#{_unquoted(fragment)}" if fragment else sent
    return Address(shown, sent, _credentials(userinfo) if userinfo else None)


def _check_scheme(url: str) -> None:
    if _HOST_AND_PORT.match(url):
        # requests reads what stands before the colon as a scheme; its callers expect that error.
        raise InvalidSchema(f"URL {url!r} has a host and a port, but no scheme; https://{url} perhaps", url=url)
    match = _SCHEME.fullmatch(url)
    if match is None:
        hint = f"; https://{url.lstrip('/')} perhaps" if url else ""
        raise MissingSchema(f"URL {url!r} has no scheme{hint}", url=url)
    if match[1].lower() not in _PORTS:
        raise InvalidSchema(f"URL {url!r}: keeppool speaks http and https, not {match[1].lower()}", url=url)


def _with_ascii_host(url: str) -> str:
    """Write an internationalised host name as it stands in the DNS (RFC 5890 §2.3.2.1)."""
    match = _HOST.fullmatch(url)
    if match is None or match[2].isascii():
        return url
    try:
        return match[1] + _idna(match[2]) + match[3]
    except UnicodeError as error:
        raise InvalidURL(f"URL {url!r}: {match[2]!r} cannot be a host's name: {error}", url=url) from error


def _idna(host: str) -> str:
    try:
        idna = importlib.import_module("idna")
    except ImportError as error:
        if _READ_DIFFERENTLY.intersection(host):
            raise UnicodeError("the package idna is needed to read it as today's resolvers do") from error
        return host.encode("idna").decode("ascii")
    encoded: bytes = idna.encode(host, uts46=True)
    return encoded.decode("ascii")


def _unquoted(part: str) -> str:
    """Undo escapes of characters that need none (RFC 3986 §6.2.2.2), as every browser and requests do."""
    return _ESCAPE.sub(_unquoted_escape, part) if "%" in part else part


def _unquoted_escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _credentials(userinfo: str) -> tuple[str, str]:
    user, _, password = userinfo.partition(":")
    return unquote(user), unquote(password)
