"""References: where a relative URL leads, seen from the one in which it stood.

Decides: which of two URLs each part is taken from.
Knows: the generic syntax of URLs, and nothing of any scheme.
Does not know: what may stand in a part, and how it is quoted; `address.py` reads the result.

`urllib.parse.urljoin` is not used: it drops empty segments (`b//c` becomes `b/c`), resolves no scheme it has not heard
of, and takes `http:///x` for a path on the same host.

Source: RFC 3986 §3 (syntax), §5.2.2 (resolution, the strict way), §5.2.3 (merging), §5.2.4 (dot segments), §5.3
    (putting together).
"""

from __future__ import annotations

import re
from typing import Final

# RFC 3986 Appendix B, with the scheme's own grammar (§3.1), so that a colon in a first segment does not make one.
# As in `address.py`, compiled when it is first used, which for most programs is never.
_PARTS: Final = r"(?s)(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?"
_SEGMENT: Final = r"/[^/]*|[^/]+"


def resolve(base: str, reference: str) -> str:
    """Find what a reference means where it was written.

    Args:
        base: An absolute URL; its fragment does not count.
        reference: A URL or a part of one. A part that is there but empty (`?`, `#`, `//`) stays so.

    Returns:
        The target. Nothing is quoted, unquoted or checked.

    Source: RFC 3986 §5.2.2.
    """
    scheme, authority, path, query, fragment = _parts(reference)
    base_scheme, base_authority, base_path, base_query, _ = _parts(base)
    if scheme is not None:
        path = without_dot_segments(path)
    elif authority is not None:
        scheme, path = base_scheme, without_dot_segments(path)
    else:
        scheme, authority = base_scheme, base_authority
        if path.startswith("/"):
            path = without_dot_segments(path)
        elif path:
            path = without_dot_segments(_merged(base_authority, base_path, path))
        else:
            path = base_path
            query = base_query if query is None else query
    before = "" if scheme is None else f"{scheme}:"
    place = "" if authority is None else f"//{authority}"
    asked = "" if query is None else f"?{query}"
    return f"{before}{place}{path}{asked}{'' if fragment is None else f'#{fragment}'}"


def without_dot_segments(path: str) -> str:
    """Take `.` and `..` out of a path; an empty segment is one like any other.

    Linear in the path's length, unlike the steps of the RFC taken word by word, and the same result.

    Source: RFC 3986 §5.2.4.
    """
    if "." not in path:
        return path
    kept: list[str] = []
    # A path that begins with dot segments and no slash loses them, and the slash behind each (step A).
    segments = re.findall(_SEGMENT, re.sub(r"\A(?:\.\.?/)+", "", path))
    if segments and segments[0] in (".", ".."):
        del segments[0]
    for place, segment in enumerate(segments):
        if segment not in ("/.", "/.."):
            kept.append(segment)
            continue
        if segment == "/.." and kept:
            kept.pop()
        if place == len(segments) - 1:
            kept.append("/")
    return "".join(kept)


def _merged(authority: str | None, base: str, path: str) -> str:
    """Put a relative path in the place of the base's last segment (RFC 3986 §5.2.3)."""
    if authority is not None and not base:
        return f"/{path}"
    return base[: base.rfind("/") + 1] + path


def _parts(url: str) -> tuple[str | None, str | None, str, str | None, str | None]:
    match = re.fullmatch(_PARTS, url)
    assert match is not None, "the grammar takes any text"
    scheme, authority, path, query, fragment = match.groups()
    return scheme, authority, path or "", query, fragment
