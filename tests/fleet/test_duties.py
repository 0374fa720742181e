"""What a member has to do, and when: facts in, times out."""

from __future__ import annotations

import random

import pytest

from keeppool.fleet.duties import CONTENDED, FIRST_PAUSE, LONGEST_PAUSE, MOST_TOGETHER, REFUSED, RENEWALS, Duties
from keeppool.fleet.script import Reply

TTL = 20.0
CALM = Reply(1, 0, 1, 1, 6, 0, 0, 0.0, ())


def held(duties: Duties, key: str, now: float, reply: Reply = CALM, **facts: object) -> None:
    """Have a key called about, and answered: one connection of six, nobody asks."""
    given = {"wanted": 0, "is_paced": False, "claims": True, "has": 1, "cap": 6} | facts
    duties.due(key, now)
    duties.begun(key)
    duties.replied(key, reply, now, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_renewals_go_together_once_and_ever(seed: int) -> None:
    """Whenever keys were first called about, soon they are renewed in one call, and stay together."""
    random.seed(seed)
    duties, keys = Duties(TTL, "share"), [f"k{n}" for n in range(12)]
    now, rounds = 0.0, []
    for key in keys:
        now += random.uniform(0, TTL / RENEWALS / 4)
        while duties.next_at() <= now:
            for due in duties.ready(at := duties.next_at()):
                held(duties, due, at)
        held(duties, key, now)
    for _ in range(8):
        before, now = now, duties.next_at()
        assert now - before <= TTL / RENEWALS
        rounds.append(duties.ready(now))
        for key in rounds[-1]:
            held(duties, key, now)
    assert rounds[3:] == [keys] * 5


def test_a_key_that_others_want_is_called_about_each_second_and_the_rest_are_not() -> None:
    duties = Duties(TTL, "share")
    held(duties, "calm", 0.0)
    held(duties, "wanted", 0.0, CALM._replace(others=1))
    now, calls = 0.0, {"calm": 0, "wanted": 0}
    while (now := duties.next_at()) < 2 * TTL:
        for key in duties.ready(now):
            calls[key] += 1
            held(duties, key, now, CALM if key == "calm" else CALM._replace(others=1))
    assert 2 * TTL / CONTENDED - 1 <= calls["wanted"] <= 2 * TTL / (CONTENDED / 2)
    assert calls["calm"] <= 2 * RENEWALS / 0.75 / 0.5


def test_a_refusal_is_waited_out_whatever_happens() -> None:
    duties = Duties(TTL, "share")
    held(duties, "k", 0.0, wanted=3)
    duties.due("k", 0.01)
    assert 0.5 * REFUSED <= duties.next_at() <= 1.5 * REFUSED


def test_a_redis_that_stays_away_is_asked_less_and_less() -> None:
    duties, now = Duties(600.0, "share"), 0.0
    held(duties, "k", now)
    pauses = []
    for _ in range(12):
        duties.failed(now)
        duties.postponed("k", now, claims=True, has_cap=True)
        assert not duties.may_call(duties.next_at() - 0.001)
        pauses.append(duties.next_at() - now)
        now = duties.next_at()
        assert duties.may_call(now)
    assert 0.5 * FIRST_PAUSE <= pauses[0] <= 1.5 * FIRST_PAUSE
    assert max(pauses) <= 1.5 * LONGEST_PAUSE


def test_a_redis_that_is_back_hears_within_a_third_of_the_lease_what_there_is() -> None:
    """It may have forgotten everything, and would let others have what is held here."""
    duties, now = Duties(TTL, "share"), 0.0
    held(duties, "k", now)
    for _ in range(50):
        duties.failed(now)
        duties.postponed("k", now, claims=True, has_cap=True)
        assert duties.next_at() - now <= TTL / RENEWALS + 1e-9
        now = duties.next_at()


def test_what_nobody_has_or_wants_is_forgotten() -> None:
    duties = Duties(TTL, "share")
    held(duties, "k", 0.0, claims=False)
    assert not duties.keys
    duties.due("k", 0.0)
    duties.begun("k")
    duties.due("k", 0.0)  # somebody came while the call was under way
    duties.replied("k", CALM, 0.0, wanted=0, is_paced=False, claims=False, has=0, cap=6)
    assert duties.ready(0.0) == ["k"]


def test_a_key_that_cannot_be_called_about_is_tried_on_while_it_matters() -> None:
    """Redis is there, and something is wrong with this key alone."""
    duties = Duties(TTL, "share")
    duties.due("k", 0.0)
    duties.begun("k")
    duties.postponed("k", 0.0, claims=True, has_cap=True)
    assert 0 < duties.next_at() <= 1.5 * FIRST_PAUSE
    duties.begun("k")
    duties.postponed("k", 0.0, claims=False, has_cap=True)
    assert not duties.keys


@pytest.mark.parametrize(
    ("policy", "reply", "have", "cap", "most"),
    [
        ("share", None, 0, 6, 1),
        ("share", CALM._replace(parties=3), 0, 6, 2),
        ("share", CALM._replace(parties=3), 5, 6, 5),
        ("share", CALM._replace(parties=9, place=5), 0, 6, 1),
        ("share", CALM._replace(parties=9, place=6), 0, 6, 0),
        ("closed", CALM, 0, 6, 0),
        ("closed", CALM, 4, 6, 4),
        ("open", CALM, 0, 6, 8),
    ],
)
def test_what_each_policy_lets_a_member_have(policy: str, reply: Reply | None, have: int, cap: int, most: int) -> None:
    duties = Duties(TTL, policy)
    duties.due("k", 0.0)
    duties.keys["k"].reply = reply
    assert duties.share_when_down("k", have, cap, 8) == most


def test_of_many_keys_some_go_together_and_the_longest_due_first() -> None:
    duties = Duties(TTL, "share")
    for n in range(3 * MOST_TOGETHER):
        duties.due(f"k{n}", -float(n))
    for last in (3, 2, 1):
        together = duties.ready(0.0)
        assert set(together) == {f"k{n}" for n in range((last - 1) * MOST_TOGETHER, last * MOST_TOGETHER)}
        for key in together:
            held(duties, key, 0.0)
    assert duties.ready(0.0) == []


def test_while_redis_is_away_only_what_it_knows_or_somebody_wants_is_kept() -> None:
    """A crawl goes on from host to host, however long it is away."""
    duties = Duties(TTL, "share")
    held(duties, "known", 0.0)
    for key in ("wanted", "past"):
        duties.due(key, 0.0)
    duties.failed(0.0)
    for key in list(duties.keys):
        duties.postponed(key, 0.0, claims=key == "wanted", has_cap=True)
    assert list(duties.keys) == ["known", "wanted"]
