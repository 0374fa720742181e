"""HAR 1.2, the format in which browsers' developer tools keep requests and responses: built, checked, read, written.

Knows: the format. Its objects are plain mappings, as `json` reads and writes them; members of our own begin with `_`.
Does not know: where requests and responses come from, and what is secret in them.

Source: "HTTP Archive 1.2", http://www.softwareishard.com/blog/har-12-spec/
"""

from keeppool.har.bodies import Object, body_of, charset_of, pairs_of
from keeppool.har.build import UNKNOWN, content, document, entry, media_type_of, posted, request, response, total_of
from keeppool.har.files import load, save, save_text
from keeppool.har.parse import parse

__all__ = [
    "UNKNOWN",
    "Object",
    "body_of",
    "charset_of",
    "content",
    "document",
    "entry",
    "load",
    "media_type_of",
    "pairs_of",
    "parse",
    "posted",
    "request",
    "response",
    "save",
    "save_text",
    "total_of",
]
