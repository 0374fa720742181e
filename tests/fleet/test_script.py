"""The script on a real Redis, by itself: members of a naive kind, who die, pause, and lose Redis' memory."""

from __future__ import annotations

import random
from typing import Any

import pytest
import redis

from keeppool.fleet.redis_client import run
from keeppool.fleet.script import Reply, keys_of, rank_of, reply_of

CAP = 6
TTL = 20_000
STEPS = 10_000


class Member:
    """Has connections, and does what it is told."""

    def __init__(self, client: Any, pid: str, cap: int = CAP) -> None:
        self.client, self.pid, self.cap = client, pid, cap
        self.have = 0

    def call(self, want: int = 0, *, ttl: int = TTL, pace: tuple[Any, ...] = (0, 0, 1, 0, 0)) -> Reply:
        arguments = (self.pid, rank_of("k", self.pid), self.cap, self.have, want, ttl, *pace)
        reply = reply_of(run(self.client, [(keys_of("t", "k"), arguments)])[0])
        self.have += reply.granted
        return reply


@pytest.fixture
def client(redis_port: int) -> Any:
    return redis.Redis(port=redis_port)


def expire(client: Any, pid: str) -> None:
    """Let a member's lease be over now."""
    client.zadd(keys_of("t", "k")[0], {pid: 0}, xx=True)


def fail_over(client: Any, copy: dict[bytes, bytes]) -> None:
    """Go on with a replica: the writes since it was copied are lost, and those who have died since are back."""
    client.flushall()
    for key, value in copy.items():
        client.restore(key, TTL, value)


def test_ten_thousand_steps_keep_the_cap_but_where_a_lease_was_lost(client: Any) -> None:  # noqa: C901
    """All that hold more than the cap together have lost a lease, or Redis its memory; then it is worked off."""
    dice = random.Random(1)
    members = [Member(client, f"m{n}") for n in range(8)]
    born, lost = len(members), 0
    forgotten: set[Member] = set()
    copy: dict[bytes, bytes] = {}
    for step in range(STEPS):
        member = dice.choice(members)
        what = dice.random()
        if what < 0.9:
            forgotten.discard(member)
        if what < 0.45:
            reply = member.call(dice.randint(0, 4))
        elif what < 0.8:
            member.have = dice.randint(0, member.have)
            reply = member.call()
        elif what < 0.9:
            reply = member.call()
        elif what < 0.95:
            members.remove(member)  # kill -9: its sockets are gone, and Redis hears nothing
            forgotten.discard(member)
            expire(client, member.pid)
            members.append(Member(client, f"m{born}"))
            born += 1
            continue
        elif what < 0.985:
            expire(client, member.pid)  # a pause: it comes back with all it has
            forgotten.add(member)
            lost += member.have
            continue
        else:
            if what < 0.9925:
                client.flushall()
            else:
                fail_over(client, copy)
            forgotten.update(members)
            lost += sum(one.have for one in members)
            continue
        if step % 16 == 0:
            copy = {key: client.dump(key) for key in client.keys("*")}
        member.have -= min(reply.give_back, member.have)
        held = sum(one.have for one in members)
        assert held <= CAP + lost, "more than the cap, and nobody has lost a lease"
        if held <= CAP and not any(one.have for one in forgotten):
            lost = 0
        assert reply.share <= CAP
    for _ in range(4):
        for member in members:
            member.have -= min(member.call().give_back, member.have)
    assert sum(one.have for one in members) <= CAP, "what was too much is worked off"


def test_without_a_lost_lease_the_cap_is_never_passed(client: Any) -> None:
    dice = random.Random(2)
    members = [Member(client, f"m{n}") for n in range(8)]
    for _ in range(2000):
        member = dice.choice(members)
        if dice.random() < 0.4:
            member.have = dice.randint(0, member.have)
        reply = member.call(dice.randint(0, 4))
        member.have -= min(reply.give_back, member.have)
        assert sum(one.have for one in members) <= CAP
        assert reply.used <= CAP


def test_who_has_all_gives_back_what_another_is_short_of(client: Any) -> None:
    hoarder, other = Member(client, "a"), Member(client, "b")
    assert hoarder.call(6).granted == 6
    assert other.call(6).granted == 0
    reply = hoarder.call()
    assert (reply.share, reply.others) == (3, 1)
    assert reply.give_back >= 1
    hoarder.have -= 3
    hoarder.call()
    assert other.call(6).granted == 3


def test_a_dead_members_connections_are_free_when_its_lease_is_over(client: Any) -> None:
    dead, other = Member(client, "a"), Member(client, "b")
    dead.call(6)
    assert other.call(6).granted == 0
    expire(client, "a")
    assert other.call(6).granted == 6


def test_what_a_member_has_is_known_as_long_as_its_own_lease_lasts(client: Any) -> None:
    """Another one, with a shorter `ttl`, has come and gone; that shortens no record but its own."""
    lasting, brief = Member(client, "a"), Member(client, "b")
    lasting.call(6, ttl=600_000)
    brief.call(1, ttl=2_000)
    brief.call(ttl=2_000)
    assert min(client.pttl(key) for key in client.keys("kp:*")) > 600_000


def test_who_stands_in_line_for_a_start_is_counted_with_or_without_a_cap(client: Any) -> None:
    """Among so many the pace is divided while Redis is away."""
    for cap in (-1, CAP):
        client.flushall()
        members = [Member(client, f"m{n}", cap) for n in range(4)]
        assert [one.call(pace=(1, 9000, 1, 0, 0)).parties for one in members] == [1, 2, 3, 4]
        replies = [one.call(pace=(0, 9000, 1, 0, 0)) for one in members]  # They ask on until it is their turn.
        assert [reply.parties for reply in replies] == [4] * 4
        assert len({reply.place for reply in replies}) >= 3, "they differ, though the order moves on now and then"
    assert members[0].call(1).granted == 1
    members[0].have = 0
    members[0].call(pace=(0, 9000, 1, 0, 0))
    assert members[1].call(pace=(0, 9000, 1, 0, 0)).parties == 3, "who gives back the last one is gone"


def test_who_comes_back_registers_what_it_has_and_both_go_to_their_share(client: Any) -> None:
    paused, other = Member(client, "a"), Member(client, "b")
    paused.call(6)
    expire(client, "a")
    other.call(6)
    back = paused.call()
    assert (back.used, back.give_back) == (12, 3)
    assert other.call().give_back == 3


def test_the_remainder_goes_round(client: Any) -> None:
    """Of eight members six have one each; who they are is a matter of hash and time."""
    members = [Member(client, f"m{n}") for n in range(8)]
    for _ in range(2):
        for member in members:
            member.call(1)
    shares = [member.call(1).share for member in members]
    assert sorted(shares) == [0, 0, 1, 1, 1, 1, 1, 1]


def test_nothing_stays_behind(client: Any) -> None:
    member = Member(client, "a")
    member.call(6)
    member.have = 0
    member.call()
    left = client.keys("*")
    assert [key for key in left if not key.endswith(b":held")] == []
    assert all(client.pttl(key) > 0 for key in left), "a key that nobody calls about again has an end"


def test_starts_are_an_interval_apart_whoever_reserves_them(client: Any) -> None:
    one, other = Member(client, "a"), Member(client, "b")
    first = one.call(pace=(3, 100_000, 1, 0, 0)).starts
    second = other.call(pace=(1, 100_000, 1, 0, 0)).starts
    assert [round(at / 100) for at in (*first, *second)] == [0, 1, 2, 3]


def test_a_burst_is_the_fleets(client: Any) -> None:
    one, other = Member(client, "a"), Member(client, "b")
    starts = one.call(pace=(2, 100_000, 3, 0, 0)).starts + other.call(pace=(2, 100_000, 3, 0, 0)).starts
    assert [round(at / 100) for at in starts] == [0, 0, 0, 1]


def test_a_hold_holds_all(client: Any) -> None:
    Member(client, "a").call(pace=(0, 1000, 1, 0, 50_000))
    reply = Member(client, "b").call(pace=(1, 1000, 1, 0, 0))
    assert 49 < reply.hold <= 50
    assert reply.starts[0] > 49


def test_an_end_counts_for_all(client: Any) -> None:
    Member(client, "a").call(pace=(0, 50_000, 1, 1, 0))
    assert Member(client, "b").call(pace=(1, 50_000, 1, 0, 0)).starts[0] > 49


def test_a_script_that_was_forgotten_is_sent_again(client: Any) -> None:
    member = Member(client, "a")
    member.call(1)
    client.script_flush()
    assert member.call(1).granted == 1
