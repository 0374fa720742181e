"""The dates of Expires, by the grammar of RFC 6265bis §5.1.1."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keeppool.client.cookies.dates import seconds_of

MOMENT = (2015, 10, 21, 7, 28, 0)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", MOMENT),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", MOMENT),
        ("Wed Oct 21 07:28:00 2015", MOMENT),
        ("wed, 21 oct 2015 07:28:00 gmt", MOMENT),
        ("21 October 2015 07:28:00", MOMENT),
        ("2015 07:28:00 Oct 21", MOMENT),
        ("07:28:00 21 Oct 2015", MOMENT),
        ("21/Oct/2015;07:28:00", MOMENT),
        ("  21_Oct`2015~07:28:00  ", MOMENT),
        ("21 Oct 2015 7:28:0", MOMENT),
        ("21st Oct 2015 07:28:00Z", MOMENT),
        ("21 Oct 2015 07:28:00.999", MOMENT),
        ("21 Oct 2015 07:28:00 +0500", MOMENT),  # Zones do not count.
        ("21 Oct 2015 07:28:00 PST", MOMENT),
        ("21 Octopus 2015 07:28:00", MOMENT),
        ("21 Nov 21 Oct 2015 07:28:00", (2021, 11, 21, 7, 28, 0)),  # The second 21 is a year, and 2015 too late.
        ("Thu Jan  1 00:00:00 GMT 1970", (1970, 1, 1, 0, 0, 0)),
        ("01 Jan 70 00:00:00", (1970, 1, 1, 0, 0, 0)),
        ("01 Jan 99 00:00:00", (1999, 1, 1, 0, 0, 0)),
        ("01 Jan 00 00:00:00", (2000, 1, 1, 0, 0, 0)),
        ("01 Jan 69 00:00:00", (2069, 1, 1, 0, 0, 0)),
        ("01 Jan 100 00:00:00", None),
        ("01 Jan 1600 00:00:00", None),
        ("01 Jan 1601 00:00:00", (1601, 1, 1, 0, 0, 0)),
        ("31 Dec 9999 23:59:59", (9999, 12, 31, 23, 59, 59)),
        ("29 Feb 2016 00:00:00", (2016, 2, 29, 0, 0, 0)),
        ("29 Feb 2015 00:00:00", None),
        ("31 Apr 2015 00:00:00", None),
        ("00 Oct 2015 00:00:00", None),
        ("32 Oct 2015 00:00:00", None),
        ("21 Oct 2015 24:00:00", None),
        ("21 Oct 2015 23:60:00", None),
        ("21 Oct 2015 23:59:60", None),
        ("21 Oct 2015 007:28:00", None),
        ("21 Oct 2015 07:28", None),
        ("21 Oct 2015", None),
        ("Oct 2015 07:28:00", None),
        ("21 2015 07:28:00", None),
        ("21 Oct 07:28:00", None),
        ("21 Oct 20150 07:28:00", None),
        ("121 Oct 2015 07:28:00", None),
        ("", None),
        ("0", None),
        ("-1", None),
        ("tomorrow", None),
        ("\u0662\u0661 Oct 2015 07:28:00", None),
        ("\xff 21 Oct 2015 07:28:00", MOMENT),
    ],
)
def test_a_date_is_read_as_browsers_read_it(text, moment):
    assert seconds_of(text) == (None if moment is None else datetime(*moment, tzinfo=UTC).timestamp())


def test_a_date_without_end_is_read_in_proportion():
    assert seconds_of("1 " * 500_000 + "Oct 2015 07:28:00") == datetime(2015, 10, 1, 7, 28, tzinfo=UTC).timestamp()
