"""Jars that are loaded from files and saved to them: cookies.txt as curl and browsers' exports have it, and LWP's.

Decides: what a line means, and that a file counts as a whole or not at all.
Knows: both formats, and the methods of http.cookiejar's jars of the same names, which these are too.
Does not know: which cookies are sent; the jar does.

Files are read and written octet by octet (ISO 8859-1), so that a value goes back as it came; characters beyond it are
written in UTF-8, as the Cookie field has them.

Source: https://curl.se/docs/http-cookies.html (cookies.txt); http.cookiejar for LWP's `Set-Cookie3` lines.
"""

from __future__ import annotations

import http.cookiejar
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from http.cookiejar import Cookie
from pathlib import Path
from typing import Any, ClassVar, Final

from keeppool.client.cookies.jar import CookieJar
from keeppool.client.cookies.made import copied
from keeppool.client.cookies.parse import CONTROL
from keeppool.errors import CookieFileError, quoted

_Path = str | os.PathLike[str]

#: What reads and writes LWP's lines there; typeshed does not know these functions.
_STANDARD: Final[Any] = http.cookiejar

_MOZILLA: Final = re.compile(r"#( Netscape)? HTTP Cookie File")
_MOZILLA_HEAD: Final = "# Netscape HTTP Cookie File\n# https://curl.se/docs/http-cookies.html\n\n"
_HTTP_ONLY: Final = "#HttpOnly_"
_LWP: Final = re.compile(r"#LWP-Cookies-\d+\.\d+")
_LWP_LINE: Final = "Set-Cookie3:"
#: What reading a line raises that is none.
_NO_COOKIE: Final = (ValueError, KeyError, TypeError, OverflowError)
#: Of the year 9999.
_LAST_SECOND: Final = 253_402_300_799
#: A name that the format can write: it does not quote them.
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]+")
_LWP_FLAGS: Final = frozenset(("port_spec", "path_spec", "domain_dot", "secure", "discard"))
_LWP_VALUES: Final = frozenset(("version", "port", "path", "domain", "expires", "comment", "commenturl"))


class CookieLoadError(CookieFileError, http.cookiejar.LoadError):
    """What http.cookiejar's callers expect where a file is none."""


class CookieFileMissing(CookieFileError, FileNotFoundError):
    """What they expect where there is no file."""


class _FileJar(CookieJar, http.cookiejar.FileCookieJar):
    """Loads and saves; what a line means, its children say."""

    _first_line: ClassVar[re.Pattern[str]]
    _kind: ClassVar[str]

    def __init__(
        self,
        filename: _Path | None = None,
        delayload: bool = False,
        policy: http.cookiejar.CookiePolicy | None = None,
    ) -> None:
        CookieJar.__init__(self, policy)
        self.filename = None if filename is None else os.fspath(filename)
        self.delayload = bool(delayload)

    def load(self, filename: _Path | None = None, ignore_discard: bool = False, ignore_expires: bool = False) -> None:
        """Add the cookies of a file to those that are there.

        Args:
            filename: The jar's own if not given.
            ignore_discard: Load those too that ended with their session.
            ignore_expires: Load those too that have ended.

        Raises:
            CookieFileError: It cannot be read, or is not such a file, or one of its lines is not such a line; the jar
                is as it was. It is a `http.cookiejar.LoadError` too, or a `FileNotFoundError`.
            ValueError: No file was named.
        """
        name = self._named(filename)
        first, *lines = _read(name).removeprefix("\xef\xbb\xbf").split("\n")
        if not self._first_line.match(first):
            raise CookieLoadError(f"{quoted(name)} is no {self._kind}: its first line does not say so", file=name)
        now = int(time.time())
        found = list(_checked(name, lines, self._cookies_in))
        with self._cookies_lock:
            for cookie in found:
                if (ignore_discard or not cookie.discard) and (ignore_expires or not cookie.is_expired(now)):
                    self.set_cookie(cookie)

    def save(self, filename: _Path | None = None, ignore_discard: bool = False, ignore_expires: bool = False) -> None:
        """Write the cookies to a file, in place of what it held. It can be read by nobody else.

        Args:
            filename: The jar's own if not given.
            ignore_discard: Save those too that end with the session.
            ignore_expires: Save those too that have ended.

        Raises:
            OSError: It cannot be written.
            ValueError: No file was named.
        """
        name = self._named(filename)
        now = int(time.time())
        kept = [
            cookie
            for cookie in self
            if (ignore_discard or not cookie.discard) and (ignore_expires or not cookie.is_expired(now))
        ]
        content = _octets("".join(self._lines_of(kept)))  # First, so that no mistake leaves half a file.
        with os.fdopen(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)

    def _named(self, filename: _Path | None) -> str:
        name = self.filename if filename is None else os.fspath(filename)
        if name is None:
            raise ValueError("the jar has no file of its own, and none was named")
        return name

    def _cookies_in(self, line: str) -> Iterable[Cookie]:
        """Read a line; ValueError, KeyError or TypeError if it is none."""
        raise NotImplementedError

    def _lines_of(self, cookies: list[Cookie]) -> Iterator[str]:
        raise NotImplementedError


class MozillaCookieJar(_FileJar, http.cookiejar.MozillaCookieJar):
    """A jar that is loaded from cookies.txt, the format of Netscape, Mozilla, curl and wget, and saved to it.

    The format has no place for SameSite, nor for a cookie with a tab in it, which is left out; so is one with a control
    character, which no request can carry.

    Args:
        filename: Its file, where `load` and `save` are not given one.
        delayload: Accepted as in http.cookiejar, and of no effect there either.
        policy: As for `CookieJar`.

    Thread safety: any thread.
    """

    _first_line = _MOZILLA
    _kind = "cookies.txt"

    def _cookies_in(self, line: str) -> Iterable[Cookie]:
        is_http_only = line.startswith(_HTTP_ONLY)
        line = line.removeprefix(_HTTP_ONLY)
        if not line.strip() or line.startswith("#"):
            return ()
        domain, below, path, secure, expires, name, value = [*line.split("\t"), ""][:7]
        if line.count("\t") > 6 or below not in ("TRUE", "FALSE") or secure not in ("TRUE", "FALSE"):
            raise ValueError(line)
        # 0 is the end of the session for curl, wget and browsers' exports; http.cookiejar leaves it empty.
        end = int(float(expires or 0)) or None
        is_below = below == "TRUE"
        bare = domain.removeprefix(".")
        return (
            Cookie(
                version=0,
                name=name,
                value=value,
                port=None,
                port_specified=False,
                domain=f".{bare}" if is_below and bare else bare,
                domain_specified=is_below,
                domain_initial_dot=is_below,
                path=path,
                path_specified=False,
                secure=secure == "TRUE",
                expires=end,
                discard=end is None,
                comment=None,
                comment_url=None,
                rest={"HttpOnly": None} if is_http_only else {},  # type: ignore[dict-item]
            ),
        )

    def _lines_of(self, cookies: list[Cookie]) -> Iterator[str]:
        yield _MOZILLA_HEAD
        for cookie in cookies:
            name, value = (cookie.name, cookie.value) if cookie.value is not None else ("", cookie.name)
            is_below = bool(cookie.domain) and (cookie.domain.startswith(".") or cookie.domain_specified)
            domain = f".{cookie.domain.removeprefix('.')}" if is_below else cookie.domain
            flags = ("TRUE" if is_below else "FALSE", cookie.path, "TRUE" if cookie.secure else "FALSE")
            fields = (domain, *flags, "" if cookie.expires is None else str(cookie.expires), name, value)
            if not (any("\t" in field or "\n" in field for field in fields) or CONTROL.search(f"{name}={value}")):
                yield f"{_HTTP_ONLY if _is_http_only(cookie) else ''}{chr(9).join(fields)}\n"


class LWPCookieJar(_FileJar, http.cookiejar.LWPCookieJar):
    """A jar that is loaded from the files of libwww-perl and http.cookiejar, and saved to them.

    The format has no place for some characters in a name, such as a comma, nor for a value without a name that needs
    quotation marks: such a cookie is left out, and one with a control character. Of any other nothing is lost.

    Args:
        filename: Its file, where `load` and `save` are not given one.
        delayload: Accepted as in http.cookiejar, and of no effect there either.
        policy: As for `CookieJar`.

    Thread safety: any thread.
    """

    _first_line = _LWP
    _kind = "LWP cookie file"

    def _cookies_in(self, line: str) -> Iterable[Cookie]:
        if not line.startswith(_LWP_LINE):
            return ()
        return [_of_lwp(words) for words in _STANDARD.split_header_words([line[len(_LWP_LINE) :].strip()])]

    def _lines_of(self, cookies: list[Cookie]) -> Iterator[str]:
        yield "#LWP-Cookies-2.0\n"
        for cookie in cookies:
            line = f"{_LWP_LINE} {_STANDARD.lwp_cookie_str(_for_lwp(cookie))}"
            if self._says(line, cookie):
                yield f"{line}\n"

    def _says(self, line: str, cookie: Cookie) -> bool:
        """Tell whether a line is read as the cookie it was written for; one that is not may spoil the whole file."""
        try:
            (read,) = self._cookies_in(line)
        except _NO_COOKIE:
            return False
        said = (cookie.name, cookie.value) if cookie.value is not None else ("", cookie.name)
        if "\n" in line or CONTROL.search("=".join(said)):
            return False
        return (read.name, read.value, read.path) == (*said, cookie.path)


def _for_lwp(cookie: Cookie) -> Cookie:
    """Bring a cookie into what the format can say: a dot for the hosts below a domain, a year of four digits.

    Attributes that mean nothing here are left out if the format cannot write their names.
    """
    made: Any = copied(cookie)
    made._rest = {name: value for name, value in made._rest.items() if _WORD.fullmatch(name)}
    if made.domain_specified and made.domain and not made.domain.startswith("."):
        made.domain = f".{made.domain}"
    if made.expires is not None:
        made.expires = min(made.expires, _LAST_SECOND)
    given: Cookie = made
    return given


def _of_lwp(words: list[tuple[str, str | None]]) -> Cookie:
    (name, value), *attributes = words
    if value is None:
        name, value = "", name
    known: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, content in attributes:
        lower = key.lower()
        if lower in _LWP_FLAGS:
            known[lower] = True
        elif lower in _LWP_VALUES:
            known[lower] = content
        else:
            rest[key] = content
    domain, path, expires = known["domain"], known["path"], known.get("expires")
    if domain is None or path is None:
        raise ValueError("no domain or no path")
    end = None if expires is None else _STANDARD.iso2time(expires)
    return Cookie(
        version=known.get("version") or 0,
        name=name,
        value=value,
        port=known.get("port"),
        port_specified=known.get("port_spec", False),
        domain=domain,
        domain_specified=domain.startswith("."),
        domain_initial_dot=known.get("domain_dot", False),
        path=path,
        path_specified=known.get("path_spec", False),
        secure=known.get("secure", False),
        expires=None if end is None else int(end),
        discard=known.get("discard", False) or end is None,
        comment=known.get("comment"),
        comment_url=known.get("commenturl"),
        rest=rest,
    )


def _checked(name: str, lines: list[str], read: Callable[[str], Iterable[Cookie]]) -> Iterator[Cookie]:
    for number, line in enumerate(lines, 2):
        try:
            cookies = list(read(line.removesuffix("\r")))
        except _NO_COOKIE as error:
            raise CookieLoadError(f"{quoted(name)}, line {number}: no cookie can be read in it", file=name) from error
        for cookie in cookies:
            if found := CONTROL.search(f"{cookie.name}={cookie.value}"):
                text = f"{quoted(name)}, line {number}: a cookie cannot hold the control character {found[0]!r}"
                raise CookieLoadError(text, file=name)
            yield cookie


def _read(name: str) -> str:
    try:
        return Path(name).read_bytes().decode("latin-1")
    except FileNotFoundError as error:
        raise CookieFileMissing(f"there is no cookie file {quoted(name)}", file=name) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise CookieFileError(f"the cookie file {quoted(name)} cannot be read: {error}", file=name) from error


def _octets(text: str) -> bytes:
    """Write each line as the Cookie field would have it: octet by octet, or in UTF-8 where that is not enough."""
    lines = re.findall(r"[^\n]*\n", text)
    return b"".join([line.encode("latin-1" if max(line) < "\u0100" else "utf-8") for line in lines])


def _is_http_only(cookie: Cookie) -> bool:
    # http.cookiejar writes HTTPOnly, servers as they like.
    return any(cookie.has_nonstandard_attr(name) for name in ("HttpOnly", "HTTPOnly", "httponly"))
