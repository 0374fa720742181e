"""`Stats` as people and other programs get it: a table, HTML, a dictionary with a version."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from keeppool.events import Why
from keeppool.stats import SCHEMA, HostStats, ProxyStats, Stats

A, B = "https://a.example:443", "http://b.example:80"


def full() -> Stats:
    busy = HostStats(open=6, busy=6, waiting=3, cap=6, waiting_s=1.24, held_s=4.0, requests=1000)
    idle = HostStats(open=2, idle=2, cap=None, requests=204, connect_failed=1, closed_by={Why.PEER_CLOSED: 2})
    return Stats(
        open=8,
        busy=6,
        idle=2,
        connecting=1,
        waiting=3,
        waiting_s=1.24,
        cap=256,
        peak_open=14,
        opened=10,
        reused=1194,
        requests=1204,
        resent=2,
        queued=40,
        waited_s=12.4,
        connect_failed=1,
        closed_by={Why.PEER_CLOSED: 2, Why.EVICTED: 4},
        hosts={B: idle, A: busy},
        proxies={"http://proxy:3128": ProxyStats(open=3, cap=32, hosts=2)},
        learned={B: 4.5},
        not_kept=("http://c.example:80",),
    )


class Text(HTMLParser):
    """The text of each cell and caption, and which tags were left open."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(markup)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag in ("td", "th", "caption"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


def test_printed_it_is_a_table_whose_busiest_host_comes_first() -> None:
    assert str(full()).splitlines() == [
        "open                     8 of 256: 6 busy, 2 idle, 1 being opened; peak 14",
        "requests                 1,204 answered; 99.2% took a connection that was open; 2 resent; failed dials: 1",
        "waiting                  3 now, the oldest for 1.2 s; 40 had to, 0.31 s on average",
        "closed                   6: 4 evicted, 2 peer_closed",
        "proxy http://proxy:3128  3 of 32, for 2 hosts",
        "learned                  http://b.example:80 is kept 4.5 s idle",
        "learned                  http://c.example:80 keeps no connection",
        "",
        "host                   open  busy  idle  waiting  requests",
        "https://a.example:443   6/6     6     0        3     1,000",
        "http://b.example:80       2     0     2        0       204",
    ]


def test_an_empty_pool_says_so_in_two_lines() -> None:
    assert str(Stats(cap=256)).splitlines() == ["open      0 of 256: 0 busy, 0 idle; peak 0", "requests  0 answered"]


def test_of_many_hosts_the_table_shows_the_first_and_counts_the_others() -> None:
    hosts = {f"http://h{number}.example:80": HostStats(open=1, requests=number) for number in range(1000)}
    lines = str(Stats(hosts=hosts)).splitlines()
    assert len(lines) < 20
    assert lines[4].startswith("http://h999.example:80")
    assert lines[-1] == "and 988 hosts more"


def test_a_table_of_hosts_is_no_wider_than_a_terminal_whatever_their_names_are() -> None:
    name = f"https://{'x' * 200}.example:443"
    lines = str(Stats(hosts={name: HostStats(open=100, cap=1000, requests=123_456_789)})).splitlines()
    assert max(map(len, lines)) <= 80
    assert ".example:443 " in lines[-1]


def test_a_host_cannot_steer_the_terminal_or_the_notebook() -> None:
    stats = Stats(hosts={"http://\x1b[2J<script>:80": HostStats(open=1)})
    assert "\x1b" not in str(stats)
    markup = stats._repr_html_()
    assert "<script" not in markup
    assert r"http://\x1b[2J<script>:80" in Text(markup).cells


def test_a_notebook_gets_the_same_figures_as_well_formed_html() -> None:
    cells = Text(full()._repr_html_()).cells
    assert cells[0] == "Connections"
    assert cells[1:3] == ["open", "8 of 256: 6 busy, 2 idle, 1 being opened; peak 14"]
    assert cells[-6:] == [B, "2", "0", "2", "0", "204"]


def test_another_program_gets_a_version_and_can_read_it_back() -> None:
    told = json.loads(full().to_json(indent=1))
    assert told == full().to_dict()
    assert told["schema"] == SCHEMA == 1
    assert {name: value for name, value in told.items() if name != "schema"} == json.loads(json.dumps(full().as_dict()))
    assert Stats.from_dict(told) == full()


def test_figures_of_a_later_version_are_read_as_far_as_they_are_known() -> None:
    told = full().to_dict()
    told["novelty"] = told["hosts"][A]["novelty"] = 1
    told["closed_by"]["a_new_reason"] = told["hosts"][B]["closed_by"]["a_new_reason"] = 7
    del told["proxies"], told["hosts"][A]["held_s"]
    read = Stats.from_dict(told)
    assert read.closed_by == full().closed_by
    assert read.hosts[B] == full().hosts[B]
    assert (read.hosts[A].held_s, read.hosts[A].requests, read.proxies) == (0.0, 1000, {})


@pytest.mark.parametrize("told", [{}, {"schema": 2}, {"schema": None}])
def test_figures_of_another_schema_are_refused(told: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="schema"):
        Stats.from_dict(told)
