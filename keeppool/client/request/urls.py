"""URLs as people and servers write them: what else counts as one, queries by hand, where a Location leads.

Decides: what of a query string is quoted.
Knows: that servers write field values in UTF-8 or in ISO 8859-1.
Does not know: the parts of a URL; `keeppool.urls` reads them.

Source: RFC 3986 §3.4 (query); RFC 9110 §10.2.2 (Location and fragments).
"""

from __future__ import annotations

import re

from keeppool.errors import InvalidRequest, InvalidURL, quoted, quoted_url
from keeppool.urls.address import Address, parse
from keeppool.urls.reference import resolve

# RFC 3986 §3.4 and the brackets, which query strings written by hand often hold and servers take.
_QUERY_UNSAFE = rb"[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]]|%(?![0-9A-Fa-f]{2})"  # Compiled when it is first used.


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
        raise InvalidURL(f"URL {quoted_url(url.decode('utf-8', 'replace'))} is not UTF-8") from error


def quoted_query(query: str | bytes) -> str:
    """Quote a query string written by hand: only what must not stand in a URL; escapes are kept.

    Raises:
        InvalidRequest: It holds a lone surrogate that stands for no byte.
    """
    try:
        raw = query.encode("utf-8", "surrogateescape") if isinstance(query, str) else query
    except UnicodeEncodeError as error:
        rule = f"the character at {error.start} is a lone surrogate, which no encoding can write"
        raise InvalidRequest(f"params={quoted(query)}: {rule}") from error
    return re.sub(_QUERY_UNSAFE, lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")


def resolved(base: Address, location: str | bytes) -> Address:
    """Find where a Location field leads, seen from `base`.

    Args:
        base: The address that was redirected.
        location: The field's value. Relative ones are resolved, spaces and text beyond ASCII quoted.

    Returns:
        The address; it inherits the fragment if it has none of its own. Credentials in it are dropped: a server must
        not choose what a client says about itself.

    Raises:
        InvalidSchema: It leads away from http and https.
        InvalidURL: It is no URL, or its host is empty.

    Source: RFC 9110 §10.2.2, RFC 3986 §5.2.
    """
    text = text_of_field(location) if isinstance(location, bytes) else location
    # Browsers drop tabs from a URL (URL Standard, "basic URL parser"); no other control character gets this far.
    text = text.replace("\t", "").strip(" ")
    return parse(resolve(base.url, text)).reached_from(base, has_fragment="#" in text)


def text_of_field(value: bytes) -> str:
    """Read a field: servers send UTF-8, whatever the standard says; the rest is ISO 8859-1, which takes any byte."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
