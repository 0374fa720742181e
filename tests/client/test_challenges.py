"""Challenges: read as the grammar has them, and as far as they can be read where it does not."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keeppool.client.auth.challenges import Challenge, parse_challenges, parse_parameters, quoted


@pytest.mark.parametrize(
    ("field", "challenges"),
    [
        ("", []),
        (" , ,, ", []),
        ("Basic", [("basic", {}, None)]),
        ('Basic realm="simple"', [("basic", {"realm": "simple"}, None)]),
        ("basic REALM=simple", [("basic", {"realm": "simple"}, None)]),
        ('Basic realm = "a, b" , charset="UTF-8"', [("basic", {"realm": "a, b", "charset": "UTF-8"}, None)]),
        (r'Basic realm="a \"b\" \\ \c"', [("basic", {"realm": r'a "b" \ c'}, None)]),
        ('Basic realm=""', [("basic", {"realm": ""}, None)]),
        ("Negotiate", [("negotiate", {}, None)]),
        ("Negotiate YWJj+/==", [("negotiate", {}, "YWJj+/==")]),
        ("Negotiate YWJj, Basic", [("negotiate", {}, "YWJj"), ("basic", {}, None)]),
        ("Negotiate, NTLM", [("negotiate", {}, None), ("ntlm", {}, None)]),
        (
            'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
            [
                ("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}, None),
                ("basic", {"realm": "simple"}, None),
            ],
        ),
        (
            'Digest realm="a", nonce="b=", qop="auth,auth-int", stale=FALSE, Digest realm="c"',
            [
                ("digest", {"realm": "a", "nonce": "b=", "qop": "auth,auth-int", "stale": "FALSE"}, None),
                ("digest", {"realm": "c"}, None),
            ],
        ),
    ],
)
def test_challenges_are_read_as_the_standard_writes_them(field, challenges):
    assert parse_challenges(field) == [Challenge(*challenge) for challenge in challenges]


@pytest.mark.parametrize(
    ("field", "challenges"),
    [
        ('realm="nobody\'s"', []),
        ('Digest realm="a" nonce="no comma"', [("digest", {"realm": "a", "nonce": "no comma"}, None)]),
        ("Digest nonce=a/b+c==, opaque=x", [("digest", {"nonce": "a/b+c==", "opaque": "x"}, None)]),
        ('Digest realm="first", realm="second"', [("digest", {"realm": "first"}, None)]),
        ('Digest realm="open, nonce="b"', [("digest", {"realm": "open, nonce="}, None)]),
        ('Digest realm="never closed, nonce=x', [("digest", {"nonce": "x"}, None)]),
        ('"quoted", Basic realm=x', [("basic", {"realm": "x"}, None)]),
        ("\x00\xff, Basic realm=x", [("basic", {"realm": "x"}, None)]),
        ("Basic realm=, Other", [("basic", {}, "realm="), ("other", {}, None)]),
    ],
)
def test_of_what_is_malformed_as_much_is_read_as_can_be(field, challenges):
    found = [tuple(challenge) for challenge in parse_challenges(field)]
    assert found == challenges


def test_parameters_may_stand_alone():
    assert parse_parameters('nextnonce="a\\"b", qop=auth, NC=1') == {"nextnonce": 'a"b', "qop": "auth", "nc": "1"}
    assert parse_parameters("") == {}
    assert parse_parameters("=0, Name, =") == {}
    assert parse_parameters("=0") == {}


@given(st.text(max_size=300) | st.text(st.sampled_from('aD= ,"\\\t/\x00é'), max_size=60))
@example('a="\\')
def test_nothing_a_server_sends_is_an_error(field):
    for challenge in parse_challenges(field):
        assert re.fullmatch(r"[^\s,=\"]+", challenge.scheme)
        assert all(re.fullmatch(r"[^\s,=\"A-Z]+", name) for name in challenge.parameters)
    assert isinstance(parse_parameters(field), dict)


_TOKENS = st.text(st.sampled_from("abcxyz019!#$%&'*+-.^_`|~"), min_size=1, max_size=8)
_VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=20)
_CHALLENGES = st.lists(st.tuples(_TOKENS, st.dictionaries(_TOKENS, _VALUES, min_size=1, max_size=4)), max_size=4)


def _written(name: str, value: str) -> str:
    return f"{name}={quoted(value.encode('latin-1')).decode('latin-1')}"


@given(_CHALLENGES, st.sampled_from([", ", ",", " , ,\t"]))
def test_what_is_written_by_the_rules_is_read_back(challenges, comma):
    field = comma.join(
        f"{scheme} {comma.join(_written(name, value) for name, value in parameters.items())}"
        for scheme, parameters in challenges
    )
    assert parse_challenges(field) == [Challenge(scheme, parameters) for scheme, parameters in challenges]
