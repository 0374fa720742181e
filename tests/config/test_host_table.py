"""`keeppool.hosts`: which patterns match, in which order they win, which are refused."""

from __future__ import annotations

import pickle
from functools import reduce

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keeppool.config import INHERIT, HostConfig
from keeppool.errors import ConfigError
from keeppool.hosts import HostTable, normal_host


def table(*patterns: str) -> HostTable:
    """A table whose entries carry their own pattern as tag, so that the winner can be read off."""
    return HostTable({pattern: HostConfig(tag=pattern or "(empty)") for pattern in patterns})


def winner(patterns: list[str], scheme: str, host: str, port: int) -> object:
    return table(*patterns).resolve(scheme, host, port).tag


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (
            "api.example.com",
            [("http", "api.example.com", 80), ("https", "api.example.com", 8443), ("https", "API.Example.COM", 443)],
            [("http", "example.com", 80), ("http", "a.api.example.com", 80), ("http", "api.example.community", 80)],
        ),
        (
            "*.cdn.example",
            [("http", "a.cdn.example", 80), ("https", "a.b.c.cdn.example", 1)],
            [("http", "cdn.example", 80), ("http", "acdn.example", 80), ("http", "a.cdn.example.org", 80)],
        ),
        ("*", [("http", "a", 1), ("https", "::1", 443), ("http", "192.0.2.1", 80)], []),
        ("host:8443", [("http", "host", 8443), ("https", "host", 8443)], [("https", "host", 443)]),
        ("*:8443", [("https", "any.example", 8443), ("http", "::1", 8443)], [("https", "any.example", 443)]),
        ("[::1]:8080", [("http", "::1", 8080), ("https", "[::1]", 8080)], [("http", "::1", 80), ("http", "::2", 8080)]),
        ("[2001:DB8:0::1]", [("http", "2001:db8::1", 80)], [("http", "2001:db8::2", 80)]),
        ("[fe80::1%eth0]", [("http", "fe80::1%eth0", 80)], [("http", "fe80::1", 80), ("http", "fe80::1%eth1", 80)]),
        ("https://x:8443", [("https", "x", 8443)], [("http", "x", 8443), ("https", "x", 443)]),
        ("https://x", [("https", "x", 443), ("HTTPS", "x", 443)], [("https", "x", 8443), ("http", "x", 443)]),
        ("http://x", [("http", "x", 80)], [("https", "x", 443), ("http", "x", 8080)]),
        ("HTTPS://*.X", [("https", "a.x", 443)], [("https", "x", 443), ("http", "a.x", 80)]),
        ("https://*", [("https", "a.b", 443)], [("http", "a.b", 80), ("https", "a.b", 8443)]),
        (
            "bücher.example",
            [("http", "xn--bcher-kva.example", 80), ("http", "BÜCHER.example", 80)],
            [("http", "b", 80)],
        ),
        ("*.bücher.example", [("http", "a.xn--bcher-kva.example", 80)], [("http", "bücher.example", 80)]),
        ("example.com.", [("http", "example.com", 80), ("http", "example.com.", 80)], []),
        ("a_b.example", [("http", "a_b.example", 80)], []),
        ("192.0.2.1", [("http", "192.0.2.1", 80)], [("http", "192.0.2.10", 80)]),
    ],
)
def test_a_pattern_matches_what_it_says_and_nothing_else(
    pattern: str, yes: list[tuple[str, str, int]], no: list[tuple[str, str, int]]
) -> None:
    found = table(pattern)
    assert [where for where in yes if found.resolve(*where).tag != pattern] == []
    assert [where for where in no if found.resolve(*where).tag is not INHERIT] == []


FROM_LEAST_TO_MOST = [
    "*",
    "https://*",
    "*:443",
    "https://*:443",
    "*.com",
    "https://*.com:443",
    "*.example.com",
    "https://*.example.com",
    "*.example.com:443",
    "https://*.example.com:443",
    "a.example.com",
    "https://a.example.com",
    "a.example.com:443",
    "https://a.example.com:443",
]


@pytest.mark.parametrize("count", range(1, len(FROM_LEAST_TO_MOST) + 1))
def test_the_most_specific_pattern_wins_in_the_documented_order_whatever_the_order_of_writing(count: int) -> None:
    patterns = FROM_LEAST_TO_MOST[:count]
    assert winner(patterns, "https", "a.example.com", 443) == patterns[-1]
    assert winner(patterns[::-1], "https", "a.example.com", 443) == patterns[-1]


def test_all_matching_entries_are_merged_and_headers_by_name() -> None:
    """Each field comes from the most specific entry that says anything about it."""
    hosts = HostTable(
        {
            "a.example": HostConfig(per_host=1, headers={"X-Most": "exact", "x-both": "exact"}),
            "*.example": HostConfig(per_host=2, idle_timeout=5, headers={"X-Both": "wild", "X-Wild": "wild"}),
            "*": HostConfig(per_host=3, idle_timeout=9, verify=False),
        }
    )
    found = hosts.resolve("https", "a.example", 443)
    assert (found.per_host, found.idle_timeout, found.verify) == (1, 5, False)
    assert found.headers == (("X-Wild", "wild"), ("X-Most", "exact"), ("x-both", "exact"))


def test_nothing_matching_says_nothing() -> None:
    assert table("a.example").resolve("http", "b.example", 80) == HostConfig()
    assert HostTable({}).resolve("http", "b.example", 80) == HostConfig()


def test_the_callers_mapping_may_change_afterwards_without_effect() -> None:
    hosts = {"a": HostConfig(per_host=1)}
    found = HostTable(hosts)
    hosts["a"] = HostConfig(per_host=2)
    hosts["b"] = HostConfig(per_host=3)
    assert found.resolve("http", "a", 80).per_host == 1
    assert found.resolve("http", "b", 80) == HostConfig()


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("", "empty"),
        (" a", "spaces"),
        ("a b", "spaces"),
        ("a\n", "control"),
        ("a\x00b", "control"),
        ("a\u200db.example", "control"),
        ("a.example/", "no path"),
        ("https://a.example/path", "no path"),
        ("a.example?x", "no path"),
        ("user@a.example", "user"),
        ("a*b", "* stands"),
        ("*a.example", "* stands"),
        ("a.*.example", "* stands"),
        ("*.*", "* stands"),
        ("**", "* stands"),
        ("*.", "not a host's name"),
        (".a", "not a host's name"),
        ("a..b", "not a host's name"),
        ("a%b", "not a host's name"),
        ("x" * 64 + ".example", "not a host's name"),
        (".".join(["x" * 49] * 6), "not a host's name"),
        ("ü" * 64 + ".example", "not a host's name"),
        ("straße.example", "not a host's name"),
        ("https://", "not a host's name"),
        (":80", "not a host's name"),
        ("ftp://a", "http or https"),
        ("://a", "http or https"),
        ("a:", "1 to 65535"),
        ("a:0", "1 to 65535"),
        ("a:65536", "1 to 65535"),
        ("a:http", "1 to 65535"),
        ("a:-1", "1 to 65535"),
        ("a:٣", "1 to 65535"),
        ("a:" + "9" * 5000, "1 to 65535"),
        ("::1", "brackets"),
        ("[::1", "[address]"),
        ("[::1]8080", "[address]"),
        ("[::1]:", "1 to 65535"),
        ("[]", "no IPv6 address"),
        ("[192.0.2.1]", "no IPv6 address"),
        ("[::g]", "no IPv6 address"),
        ("*.0.2.1", "no subdomains"),
    ],
)
def test_a_malformed_pattern_is_refused_by_name(pattern: str, rule: str) -> None:
    with pytest.raises(ConfigError) as caught:
        table("fine.example", pattern)
    shown = pattern.replace("user@", "***@")
    assert (caught.value.field, caught.value.value) == ("hosts", shown)
    assert rule in caught.value.rule
    assert repr(shown[:200]) in str(caught.value)


@pytest.mark.parametrize(("first", "second"), [("A.example", "a.EXAMPLE."), ("[::1]", "[0:0::1]"), ("a:80", "A:080")])
def test_two_patterns_that_mean_the_same_are_refused(first: str, second: str) -> None:
    with pytest.raises(ConfigError, match="same") as caught:
        table(first, second)
    assert caught.value.value == second


@pytest.mark.parametrize("hosts", [{"a": {"per_host": 2}}, {"a": None}, {5: HostConfig()}])
def test_what_is_no_pattern_or_no_entry_is_refused(hosts: dict[str, HostConfig]) -> None:
    with pytest.raises(ConfigError) as caught:
        HostTable(hosts)
    assert caught.value.field == "hosts"
    assert pickle.loads(pickle.dumps(caught.value)).rule == caught.value.rule


@pytest.mark.parametrize("host", ["", ".", "a..b", "straße.example", "\x00", "[", "::zz", "x" * 70, "*.example"])
def test_resolve_answers_for_any_text_and_falls_back_to_the_star(host: str) -> None:
    assert winner(["*", "a.example"], "https", host, 443) == "*"


def test_a_name_that_two_versions_of_idna_read_differently_takes_neither_neighbours_entry() -> None:
    """IDNA 2003 sends straße.example to strasse.example, IDNA 2008 does not."""
    assert winner(["strasse.example", "*.example"], "https", "straße.example", 443) == "*.example"


@pytest.mark.parametrize(
    ("host", "normal"),
    [("A.Example.", "a.example"), ("[::0:1]", "::1"), ("FE80::1%Eth0", "fe80::1%Eth0"), ("Ünï.example", None)],
)
def test_normal_host_brings_spellings_together(host: str, normal: str | None) -> None:
    assert normal_host(host) == (normal or host.encode("idna").decode())


LABELS = st.sampled_from(["a", "b", "c"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
HOST_PARTS = st.one_of(st.just("*"), NAMES, NAMES.map("*.{}".format), st.sampled_from(["[::1]", "[::2]", "192.0.2.1"]))
PATTERNS = st.tuples(
    st.sampled_from(["", "http://", "https://"]), HOST_PARTS, st.sampled_from(["", ":80", ":443", ":99"])
)
ENTRIES = st.builds(
    HostConfig,
    per_host=st.sampled_from([INHERIT, None, 1, 2, 3]),
    idle_timeout=st.sampled_from([INHERIT, None, 0, 5]),
    tag=st.sampled_from([INHERIT, None, "x", "y"]),
    headers=st.one_of(st.just(INHERIT), st.dictionaries(st.sampled_from(["A", "a", "B"]), st.just("v"), max_size=2)),
)


def slow_resolve(hosts: dict[tuple[str, str, str], HostConfig], scheme: str, host: str, port: int) -> HostConfig:
    """The reference: look at every pattern, sort what matches, merge. Written from the documentation alone."""

    def matches(pattern: tuple[str, str, str]) -> bool:
        said_scheme, said_host, said_port = pattern
        if said_scheme and said_scheme != f"{scheme}://":
            return False
        expected = said_port or {"": "", "http://": ":80", "https://": ":443"}[said_scheme]
        if expected and expected != f":{port}":
            return False
        if said_host.startswith("*"):
            return said_host == "*" or host.endswith(said_host[1:])
        return said_host.strip("[]") == host

    def rank(pattern: tuple[str, str, str]) -> tuple[bool, int, bool, bool]:
        said_scheme, said_host, said_port = pattern
        return not said_host.startswith("*"), len(said_host), bool(said_port), bool(said_scheme)

    matching = sorted(filter(matches, hosts), key=rank)
    return reduce(lambda below, pattern: hosts[pattern].over(below), matching, HostConfig())


@given(
    hosts=st.dictionaries(PATTERNS, ENTRIES, max_size=12),
    scheme=st.sampled_from(["http", "https"]),
    host=st.one_of(NAMES, st.sampled_from(["::1", "::2", "192.0.2.1"])),
    port=st.sampled_from([80, 443, 99]),
)
@example(
    hosts={("https://", "a", ""): HostConfig(tag="scheme"), ("", "a", ":443"): HostConfig(tag="port")},
    scheme="https",
    host="a",
    port=443,
)
def test_the_table_agrees_with_a_scan_over_all_patterns(
    hosts: dict[tuple[str, str, str], HostConfig], scheme: str, host: str, port: int
) -> None:
    found = HostTable({"".join(pattern): entry for pattern, entry in hosts.items()}).resolve(scheme, host, port)
    assert found == slow_resolve(hosts, scheme, host, port)


@given(st.one_of(st.text(max_size=20), st.text("ab.*:[]/-_%\u00fc\u3002\u00df18 ", max_size=12)))
def test_any_text_is_a_pattern_or_a_config_error(text: str) -> None:
    """No other exception escapes, and what is accepted as a plain host is found again."""
    found = None
    try:
        found = table(text)
    except ConfigError:
        pass  # the other of the two answers
    if found is not None and text.isascii() and not {"*", ":"} & set(text):
        assert found.resolve("http", text, 80).tag == text


def test_a_look_up_touches_as_many_keys_as_the_host_has_labels_however_many_patterns_there_are() -> None:
    """Counts dictionary accesses instead of time."""

    class Counting(dict[str, object]):
        asked = 0

        def get(self, key: str, default: object = None) -> object:
            Counting.asked += 1
            return super().get(key, default)

    found = table(*(f"h{number}.example.com" for number in range(3000)))
    found._by_host = Counting(found._by_host)  # type: ignore[assignment]
    assert found.resolve("https", "h7.example.com", 443).tag == "h7.example.com"
    assert Counting.asked == 4  # *, *.com, *.example.com, h7.example.com
