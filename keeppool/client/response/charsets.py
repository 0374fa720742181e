"""Which charsets of a Content-Type are believed: the encodings of the web, by any of their labels.

Decides: what a label means; that one for which Python has a codec, and the web no encoding, is as good as none. There
    are a hundred of those: some take seconds for a page (`punycode`), some read no text at all.
Does not know: the body.

Source: WHATWG Encoding Standard §4.2 (names and labels). Where Python knows a label, its codec is used, as in requests:
    `latin1` is ISO-8859-1 and not windows-1252.
"""

from __future__ import annotations

import codecs
import functools
from typing import Final

#: Labels remembered; the web uses a few dozen, and a hostile server must not fill the memory.
_REMEMBERED: Final = 64
#: No label has half as many characters.
_LONGEST: Final = 64

#: Python's names of the encodings that browsers know.
_OF_THE_WEB: Final = frozenset(
    (
        *("ascii", "big5", "big5hkscs", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256"),
        *("cp1257", "cp1258", "cp866", "cp874", "cp932", "cp949", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk"),
        *("iso2022_jp", "iso8859-1", "iso8859-10", "iso8859-11", "iso8859-13", "iso8859-14", "iso8859-15"),
        *("iso8859-16", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8"),
        *("iso8859-9", "koi8-r", "koi8-u", "mac-cyrillic", "mac-roman", "shift_jis", "tis-620", "utf-16", "utf-16-be"),
        *("utf-16-le", "utf-8"),
    )
)

#: Labels that browsers know and Python does not, by Python's name.
_LABELS: Final = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
    "iso8859-2": "iso88592",
    "iso8859-3": "iso88593",
    "iso8859-4": "iso88594",
    "iso8859-5": "iso88595",
    "iso8859-6": "csiso88596e csiso88596i iso-8859-6-e iso-8859-6-i iso88596",
    "iso8859-7": "iso88597 sun_eu_greek",
    "iso8859-8": "csiso88598e iso-8859-8-e iso88598 visual csiso88598i iso-8859-8-i logical",
    "iso8859-10": "iso885910",
    "iso8859-13": "iso885913",
    "iso8859-14": "iso885914",
    "iso8859-15": "csisolatin9 iso885915",
    "koi8-r": "koi koi8",
    "koi8-u": "koi8-ru",
    "mac-roman": "csmacintosh mac x-mac-roman",
    "cp874": "dos-874 iso885911 windows-874",
    "cp1250": "x-cp1250",
    "cp1251": "x-cp1251",
    "cp1252": "iso88591 x-cp1252",
    "cp1253": "x-cp1253",
    "cp1254": "iso88599 x-cp1254",
    "cp1255": "x-cp1255",
    "cp1256": "x-cp1256",
    "cp1257": "x-cp1257",
    "cp1258": "x-cp1258",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "gbk": "csgb2312 gb_2312 gb_2312-80 x-gbk",
    "big5hkscs": "cn-big5 x-x-big5",
    "euc_jp": "cseucpkdfmtjapanese x-euc-jp",
    "cp932": "windows-31j x-sjis",
    "cp949": "cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601 windows-949",
    "utf-16-be": "unicodefffe",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff",
}
_BY_LABEL: Final = {label: encoding for encoding, labels in _LABELS.items() for label in labels.split()}


def believed(label: str) -> str | None:
    """Return what a charset names: a name Python knows, or the label itself where Python knows none like it.

    Returns:
        `None` if it is not believed.
    """
    # Looked at before it is remembered: a label may be as long as a head.
    return _meant(label) if 0 < len(label) <= _LONGEST else None


@functools.lru_cache(maxsize=_REMEMBERED)
def _meant(label: str) -> str | None:
    known = _BY_LABEL.get(label.lower())
    if known is not None:
        return known
    try:
        return label if codecs.lookup(label).name in _OF_THE_WEB else None
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        return label
