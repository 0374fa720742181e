"""The Link header: relations of a response to other resources, such as the next page.

Source: RFC 8288 §3 (syntax), §3.3 (rel).
"""

from __future__ import annotations

import re

# A server may send anything: each part takes what it takes for good, and a quoted string that is never closed reaches
# to the end. So nothing is read again and again, and reading takes time in proportion to length. Compiled at the
# first Link field that is looked at: `re` keeps them.
_LINK = r"(?s)<([^<>]*+)>((?:[^,\"]++|\"(?:[^\"\\]++|\\.)*+\\?\"?)*+)"
_PARAMETER = r"(?s);\s*+([^\s=;,]++)\s*+(?:=\s*+(?:\"((?:[^\"\\]++|\\.)*+)\"|([^;,]*+)))?"
_ESCAPED = r"\\(.)"


def parse_links(value: str) -> dict[str, dict[str, str]]:
    """Read a Link field.

    Args:
        value: Its value, several fields joined by commas.

    Returns:
        From relation (or URL, where there is none) to the link's `url` and parameters, as requests gives it.
    """
    found: dict[str, dict[str, str]] = {}
    for url, rest in re.findall(_LINK, value):
        link = {"url": url.strip()}
        for name, quoted, plain in re.findall(_PARAMETER, rest):
            link.setdefault(name, re.sub(_ESCAPED, r"\1", quoted) or plain.strip(" '"))
        found[link.get("rel", link["url"])] = link
    return found
