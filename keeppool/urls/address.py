"""`Address`: a URL, read once. Scheme, host, port and target are taken from it, and from nothing else.

Decides: what is quoted, what stays quoted, which URLs are refused and as what.
Knows: the generic URL syntax (of the authority, urllib3's grammar), internationalised host names.
Does not know: connections, requests, sessions.

Source: RFC 3986 §2 (percent-encoding), §6.2.2 (normalisation); RFC 9110 §4.2 (http and https), §4.2.4 (credentials in
    URLs), §7.2 (Host).

The file is long, because a URL is read here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

from keeppool.deferred import Deferred, have_idna, have_urllib3, late
from keeppool.errors import (
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    quoted,
)
from keeppool.hosts import DEFAULT_PORTS, is_name, normal_ipv6
from keeppool.urls.cache import remembered
from keeppool.urls.reference import without_dot_segments

if TYPE_CHECKING:
    from urllib import parse as urllib_parse
else:
    urllib_parse = Deferred("urllib.parse")

#: URLs remembered in their final form. A hit costs 0.05 µs, reading a plain URL 1.5 µs, others 12 µs (measured
#: 2026-11, Python 3.11); 1024 entries are a few hundred kilobytes, and long ones have a bound of their own.
_REMEMBERED = 1024

# What every step below would leave as it is: a lower-case name whose last label is no number, or an IPv4 address in its
# usual spelling; no path, or one without dot segments, nothing to quote or unquote.
_PLAIN = re.compile(
    r"(https?)://((?=[a-z0-9_.-]{1,253}(?:[:/]|\Z))"
    r"(?:(?:[a-z0-9_-]{1,63}+\.)*+(?!0x)(?=[0-9-]*[a-z_])[a-z0-9_-]{1,63}+"
    r"|(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?![:/]|\Z)|(?=[:/]|\Z))){4}))"
    r"(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}|6(?:[0-4][0-9]{3}|5(?:[0-4][0-9]{2}|5(?:[0-2][0-9]|3[0-5])))))?"
    r"((?:/(?!\.)[A-Za-z0-9._~!$&'()*+,;=:@-]*+)++(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]++)?)?"
)
# From here on patterns are compiled when they are first used, which few programs need: `re` keeps them. Seven like
# these, here and elsewhere, took 1.2 ms of the 58 ms in which a `Session` was imported (2026-11).
_CONTROL = r"[\x00-\x1f\x7f\ud800-\udfff]"
_SCHEME = r"(?s)([A-Za-z][A-Za-z0-9+.-]*):(.*)"
# `localhost:8080/x` is a host and a port, not a scheme called localhost.
_HOST_AND_PORT = r"[^/?#:\[\]@]+:[0-9]+(?:[/?#]|$)"
_HOST = r"(?si)(https?://(?:[^/?#\\]*@)?)([^/?#:\\\[\]]*)(.*)"
# No more digits than 32 bits need; zeros in front are as many as somebody likes to write.
_NUMBER = r"0x0*(?P<hexadecimal>[0-9a-f]{0,8})|0+(?P<octal>[0-7]{0,11})|(?P<decimal>[1-9][0-9]{0,9})"
# The authority ends at a backslash as well: browsers read one as a slash, so no host may stand behind it.
_PARTS = r"(?s)([^:/?#\\]+:(?://[^/?#\\]*)?)([^?#]*)(?:\?([^#]*))?(?:#(.*))?"
# What may be shown of a URL in front of what may be a password.
_BEGINNING = r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//?/?|[A-Za-z][A-Za-z0-9+.-]*//"
_ESCAPE = r"%([0-9A-Fa-f]{2})"
# What must be quoted in a path, and in a query or fragment (RFC 3986 §3.3 to §3.5); a `%` only if it begins no escape.
_UNSAFE_IN_PATH = rb"[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]|%(?![0-9A-Fa-f]{2})"
_UNSAFE_BEHIND = rb"[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]|%(?![0-9A-Fa-f]{2})"
# Python's own codec speaks IDNA 2003; these characters mean another host in IDNA 2008 (RFC 5894 §7.2).
_READ_DIFFERENTLY: Final = frozenset("\u00df\u03c2\u200c\u200d")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Address(str):
    """Where a request goes: the URL as it is sent, without fragment and credentials, that knows its parts.

    It is text, because a pool remembers the way to each: text is hashed once, and compared in C.

    Attributes:
        url: For people: with the fragment, without credentials (they would end up in logs and errors), an address as it
            was written.
        scheme: Lower case.
        host: Lower case, as in the DNS; an IPv6 address without brackets. Empty where the scheme has none.
        port: The scheme's own where the URL names none; 0 for a scheme without.
        target: Path and query, for the request line.
        credentials: (user, password) written in the URL, unquoted.
    """

    __slots__ = ("credentials", "host", "port", "scheme", "target", "url")

    url: str
    scheme: str
    host: str
    port: int
    target: str
    credentials: tuple[str, str] | None

    def __new__(
        cls,
        sent: str,
        url: str = "",
        scheme: str = "",
        host: str = "",
        port: int = 0,
        target: str = "/",
        credentials: tuple[str, str] | None = None,
    ) -> Self:
        """Put the parts of a URL together; only `sent` and `url` are text to be looked at."""
        made = str.__new__(cls, sent)
        _set_url(made, url)
        _set_scheme(made, scheme)
        _set_host(made, host)
        _set_port(made, port)
        _set_target(made, target)
        _set_credentials(made, credentials)
        return made

    def __setattr__(self, name: str, value: object) -> None:
        # The same address is remembered for all who ask for its URL.
        raise AttributeError(f"an address cannot be changed; make another one to have another {name}")

    def __reduce__(self) -> tuple[object, ...]:
        parts = self.url, self.scheme, self.host, self.port, self.target, self.credentials
        return Address, (str(self), *parts)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port (RFC 9110 §4.3.1)."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port, as Host and a proxy want them."""
        return authority(self.scheme, self.host, self.port)

    def with_query(self, query: str) -> Address:
        """Append `query`, already encoded, to what the URL's own query holds; schemes unlike http have none."""
        if not query or not self.scheme.startswith("http"):
            return self
        url, mark, fragment = self.url.partition("#")
        more = f"{'&' if '?' in self else '?'}{query}"
        sent, target = self + more, self.target + more
        return Address(sent, url + more + mark + fragment, self.scheme, self.host, self.port, target, self.credentials)

    def reached_from(self, address: Address, *, has_fragment: bool) -> Address:
        """Make this the place to which `address` leads: it inherits the fragment, unless it came with one of its own.

        Credentials are dropped: a server must not choose what a client says about itself.

        Args:
            address: What was asked.
            has_fragment: This came with a fragment, be it an empty one, which `url` does not show.

        Source: RFC 9110 §10.2.2.
        """
        fragment = "" if has_fragment else address.url.partition("#")[2]
        url = f"{self.url}#{fragment}" if fragment else self.url
        return Address(self, url, self.scheme, self.host, self.port, self.target)


#: The ways to fill an address while it is made; nobody changes it afterwards.
_set_url, _set_scheme, _set_host, _set_port, _set_target, _set_credentials = (
    vars(Address)[name].__set__ for name in ("url", "scheme", "host", "port", "target", "credentials")
)


@remembered(_REMEMBERED)
def parse(url: str) -> Address:
    """Bring a URL into the form that is sent.

    Args:
        url: Absolute, quoted or not. White space in front is dropped; a lone `%` is quoted, an escape kept, unless it
            is of a character that needs none.

    Raises:
        MissingSchema: It does not start with a scheme; the message says how it would be right.
        InvalidSchema: The scheme is neither http nor https, or it has none and begins with a host and a port.
        InvalidURL: Control characters, no host, or a host or port that cannot be one.
    """
    return _plain(url) or _parse_careful(url.lstrip(), _unquoted)


def parse_as_given(url: str) -> Address:
    """Read a URL whose escapes are the caller's business: none is undone. Not remembered.

    Args:
        url: Absolute; what must not stand in a URL is quoted.

    Raises:
        MissingSchema, InvalidSchema, InvalidURL: As `parse`; and `InvalidURL` for what is not text.
    """
    if not isinstance(url, str):
        raise InvalidURL(f"a URL must be text, not {type(url).__name__}", url=repr(url))
    return _plain(url) or _parse_careful(url, str)


def addressed(url: str) -> Address:
    """Bring a URL into the form that is sent; one of another scheme than http and https stays as it is.

    Such a URL can be sent only by an adapter mounted for it.

    Raises:
        MissingSchema, InvalidURL: As `parse`.
    """
    text = url.lstrip()
    match = re.fullmatch(_SCHEME, text)
    if match is None or match[1].lower() in DEFAULT_PORTS or re.match(_HOST_AND_PORT, text):
        return parse(url)
    # `http+unix` and its like are written as http is, and mean something else by the host.
    return _normalised(text, _unquoted) if match[1].lower().startswith("http") else _foreign(text)


def is_same_origin(old: Address, new: Address) -> bool:
    """Tell whether what was meant for `old` may be sent to `new`: same scheme, host and port.

    The upgrade from http to https on their default ports counts as the same, as it does in requests.

    Source: RFC 9110 §4.3.1.
    """
    if old.host != new.host:
        return False
    was, now = (old.scheme, old.port), (new.scheme, new.port)
    return was == now or (was == ("http", 80) and now == ("https", 443))


def authority(scheme: str, host: str, port: int) -> str:
    """Write host and port as Host wants them: brackets for IPv6, no zone, no default port (RFC 9110 §7.2)."""
    name = f"[{host.partition('%')[0]}]" if ":" in host else host
    return name if port == DEFAULT_PORTS.get(scheme, 0) else f"{name}:{port}"


def checked_host(url: str, host: str) -> str:
    """Check a host as it is after encoding, which may have made a delimiter out of another character.

    Returns:
        The host, an address in its one spelling.

    Raises:
        InvalidURL: It is neither a name nor an address. It would be cut, or read as something else, further on.
    """
    if host.startswith("["):
        try:
            return f"[{normal_ipv6(host[1:-1])}]"
        except ValueError as error:
            raise InvalidURL(f"URL {shown(url)}: {error}", url=url) from error
    host = host.lower()
    if not is_name(host):
        raise InvalidURL(f"URL {shown(url)} has a host that no name can be", url=url)
    return _normal_ipv4(host)


def shown(url: str) -> str:
    """Quote a URL that is refused: whatever stands before an @ may be a password, wherever its parts end."""
    start = re.match(_BEGINNING, url)
    behind = url.rpartition("@")
    before = url[: start.end()] if start is not None else ""
    return quoted(f"{before}***@{behind[2]}" if behind[1] else url)


def _plain(url: str) -> Address | None:
    """Read a URL in which nothing is to be changed; `None` for another one."""
    match = _PLAIN.fullmatch(url)
    if match is None:
        return None
    scheme, host, port, target = match.groups()
    if target is None:
        url, target = f"{url}/", "/"
    return Address(url, url, scheme, host, DEFAULT_PORTS[scheme] if port is None else int(port), target)


def _foreign(url: str) -> Address:
    """Take a URL of which somebody else knows what it means; its parts are there as far as there are any."""
    if re.search(_CONTROL, url):
        raise _unprintable(url)
    sent = url.partition("#")[0]
    try:
        parts = urllib_parse.urlsplit(sent)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        return Address(sent, sent, url.partition(":")[0].lower())
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    _, sign, place = parts.netloc.rpartition("@")
    seen = url.replace(f"//{parts.netloc}", f"//{place}", 1) if sign else url
    return Address(sent, seen, parts.scheme, host, port, target)


def _unprintable(url: str) -> InvalidURL:
    text = f"URL {shown(url)} holds a control character or a lone surrogate"
    # Most often the line end of what was read from a file.
    return InvalidURL(text if re.search(_CONTROL, url.strip()) else f"{text} at its end: url.strip() is one", url=url)


def _parse_careful(url: str, unquoted: Callable[[str], str]) -> Address:
    _check_scheme(url)
    return _normalised(url, unquoted)


def _normalised(url: str, unquoted: Callable[[str], str]) -> Address:
    if re.search(_CONTROL, url):
        raise _unprintable(url)
    have_urllib3()
    from urllib3.exceptions import LocationParseError
    from urllib3.util.url import parse_url

    match = re.fullmatch(_PARTS, url if url.isascii() else _with_ascii_host(url))
    place, path, query, fragment = ("", "", None, None) if match is None else match.groups()
    # Taken out first: what urllib3 says of a URL that it cannot read shows all of it.
    before, slashes, authority_ = place.partition("://")
    userinfo, sign, authority_ = authority_.rpartition("@")
    try:
        scheme, _, host, port, *_ = parse_url(f"{before}{slashes}{authority_}")
    except LocationParseError as error:
        port_ = authority_.rpartition(":")[2]
        is_port = port_.isdecimal() and len(port_) >= 5
        why = "a port is a number up to 65535" if is_port else str(error)
        raise InvalidURL(f"URL {shown(url)} is malformed: {why}", url=url) from error
    if scheme is None or not host:
        raise InvalidURL(f"URL {shown(url)} has no host", url=url)
    written = host
    if scheme in DEFAULT_PORTS:
        host = checked_host(url, host)
        # Unquoted first: an escaped dot is a dot (RFC 3986 §6.2.2), and `/%2e%2e/` would go out as `/../`.
        path = without_dot_segments(unquoted(_quoted(path if path.startswith("/") else f"/{path}", _UNSAFE_IN_PATH)))
        query, fragment = _quoted(query or "", _UNSAFE_BEHIND), _quoted(fragment or "", _UNSAFE_BEHIND)
    else:
        path = unquoted(path or "/")
    if port == 0:
        raise InvalidURL(f"URL {shown(url)}: port 0 cannot be dialled", url=url)
    target = path + (unquoted(f"?{query}") if query else "")
    behind = target if port is None else f":{port}{target}"
    return Address(
        f"{scheme}://{_with_zone(host)}{behind}",
        f"{scheme}://{_with_zone(written)}{behind}" + (f"#{unquoted(fragment)}" if fragment else ""),
        scheme,
        host.strip("[]"),
        port or DEFAULT_PORTS.get(scheme, 0),
        target,
        _credentials(userinfo) if sign and userinfo else None,
    )


def _with_zone(host: str) -> str:
    """Write the zone of an IPv6 address so that it is read again as what it is (RFC 6874 §2)."""
    return host.replace("%", "%25", 1) if host.startswith("[") else host


def _quoted(part: str, unsafe: bytes) -> str:
    """Quote what must not stand there, each character judged alone: an escape stays one beside a lone `%`."""
    if not part:
        return part
    return re.sub(unsafe, _quoted_byte, part.encode()).decode("ascii")


def _quoted_byte(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def _normal_ipv4(host: str) -> str:
    """Write an IPv4 address in its one spelling, `127.1` as `127.0.0.1`; what is none stays as it is.

    Every resolver reads numbers in this way (`inet_aton`), so rules about addresses, `no_proxy` for one, must see what
    will be dialled.

    Source: URL Standard, "IPv4 parser".
    """
    numbers = [_number(part) for part in host.removesuffix(".").split(".")]
    *first, last = numbers
    if last is None or len(numbers) > 4 or last >= 256 ** (4 - len(first)):
        return host
    value = last
    for place, number in enumerate(first):
        if number is None or number > 255:
            return host
        value += number << 8 * (3 - place)
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def _number(text: str) -> int | None:
    """Read a part of an IPv4 address: decimal, octal behind a 0, hexadecimal behind 0x; `None` if it is none."""
    match = re.fullmatch(_NUMBER, text)
    if match is None:
        return None
    for name, base in (("hexadecimal", 16), ("octal", 8)):
        if match[name] is not None:
            return int(match[name] or "0", base)
    return int(match["decimal"])


def _check_scheme(url: str) -> None:
    if re.match(_HOST_AND_PORT, url):
        # requests reads what stands before the colon as a scheme; its callers expect that error.
        text = f"URL {shown(url)} has a host and a port, but no scheme; {shown('https://' + url)} perhaps"
        raise InvalidSchema(text, url=url)
    match = re.fullmatch(_SCHEME, url)
    if match is None:
        hint = f"; {shown('https://' + url.lstrip('/'))[1:-1]} perhaps" if url else ""
        if url.startswith("/") and not url.startswith("//"):
            hint = "; it is a path, which takes a session with base_url="
        raise MissingSchema(f"URL {shown(url)} has no scheme{hint}", url=url)
    if match[1].lower() not in DEFAULT_PORTS:
        raise InvalidSchema(f"URL {shown(url)}: keeppool speaks http and https, not {match[1].lower()}", url=url)


def _with_ascii_host(url: str) -> str:
    """Write an internationalised host name as it stands in the DNS (RFC 5890 §2.3.2.1)."""
    match = re.fullmatch(_HOST, url)
    if match is None or match[2].isascii():
        return url
    try:
        encoded = _idna(match[2]).lower()
    except UnicodeError as error:
        raise InvalidURL(f"URL {shown(url)}: {quoted(match[2])} cannot be a host's name: {error}", url=url) from error
    if not is_name(encoded):
        # A codec may make a delimiter of a character that is none, and the URL would be split anew at that place.
        raise InvalidURL(
            f"URL {shown(url)}: {quoted(match[2])} is {quoted(encoded)}, which cannot be a host's name", url=url
        )
    return match[1] + encoded + match[3]


def _idna(host: str) -> str:
    try:
        idna = late("idna")
    except ImportError as error:
        if _READ_DIFFERENTLY.intersection(host):
            raise UnicodeError("the package idna is needed to read it as today's resolvers do") from error
        have_idna()
        return host.encode("idna").decode("ascii")
    encoded: bytes = idna.encode(host, uts46=True)
    return encoded.decode("ascii")


def _unquoted(part: str) -> str:
    """Undo escapes of characters that need none (RFC 3986 §6.2.2.2), as every browser and requests do."""
    return re.sub(_ESCAPE, _unquoted_escape, part) if "%" in part else part


def _unquoted_escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _credentials(userinfo: str) -> tuple[str, str]:
    user, _, password = userinfo.partition(":")
    return urllib_parse.unquote(user), urllib_parse.unquote(password)
