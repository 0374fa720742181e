"""The dates of `Expires`: read as browsers read them, whatever a server has made of the format.

Decides: which of the words of a date is its day, its month, its year.
Does not know: what the date is for.

Source: RFC 6265bis §5.1.1.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_DELIMITERS: Final = re.compile(r"[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
# Each word may go on with anything but a digit: `21st` is a day, `10:20:30.5` a time.
_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY: Final = re.compile(r"([0-9]{1,2})(?![0-9])")
_MONTH: Final = re.compile(r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec", re.IGNORECASE)
_YEAR: Final = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def seconds_of(text: str) -> int | None:
    """Read a date; the words may stand in any order, and what is none of them is passed over.

    Returns:
        Seconds since 1970, negative before it; `None` where a part is missing or there is no such moment.

    Source: RFC 6265bis §5.1.1.
    """
    time = day = month = year = None
    for word in filter(None, _DELIMITERS.split(text)):
        if time is None and (time := _TIME.match(word)):
            continue
        if day is None and (day := _DAY.match(word)):
            continue
        if month is None and (month := _MONTH.match(word)):
            continue
        if year is None:
            year = _YEAR.match(word)
    if time is None or day is None or month is None or year is None:
        return None
    return _seconds(_full(int(year[1])), _MONTHS.index(month[0].lower()) + 1, int(day[1]), *map(int, time.groups()))


def _full(year: int) -> int:
    """Write a year of two digits in full: 70 to 99 are of the last century."""
    if year > 99:
        return year
    return year + (1900 if year >= 70 else 2000)


def _seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    if year < 1601:
        return None
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:  # No such day, or no such time of it.
        return None
