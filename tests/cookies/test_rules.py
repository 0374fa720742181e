"""RFC 6265bis by section, case by case; the cases stand in `cookie_cases.py`."""

from __future__ import annotations

import pytest
from cookie_cases import CASES

from keeppool import PreparedRequest
from keeppool.client.cookies import CookieJar, keep_lines, with_cookies
from keeppool.urls.address import parse

NAMES = [f"§{case.section}: {case.name}" for case in CASES]


def sent(jar: CookieJar, url: str) -> str:
    field = with_cookies(PreparedRequest(b"GET", parse(url)), jar).fields.get(b"cookie")
    return "" if field is None else field.decode("latin-1")


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_case_of_the_rfc(case):
    jar = CookieJar()
    for url, *lines in case.sets:
        keep_lines(jar, PreparedRequest(b"GET", parse(url)), lines)
    assert {url: sent(jar, url) for url in case.asks} == case.asks


def test_there_are_two_hundred_of_them_and_each_has_a_name_of_its_own():
    assert len(CASES) >= 200
    assert len(set(NAMES)) == len(NAMES)
