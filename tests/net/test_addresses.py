"""The order in which a host's addresses are tried."""

from __future__ import annotations

import pytest

from keeppool.net.addresses import Address, interleaved

FOUR, SIX = 2, 10


def addresses(text: str) -> list[Address]:
    """Read `6a 4b` as an IPv6 address named 6a and an IPv4 address named 4b."""
    return [Address(SIX if name[0] == "6" else FOUR, (name, 80)) for name in text.split()]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("6a 6b 6c 4a 4b", "6a 4a 6b 4b 6c"),
        ("4a 6a 6b 6c", "4a 6a 6b 6c"),
        ("4a 4b 6a", "4a 6a 4b"),
        ("4a 4b", "4a 4b"),
        ("6a 4a 6b 4b", "6a 4a 6b 4b"),
        ("", ""),
    ],
)
def test_families_alternate_and_the_resolvers_order_stays_within_each(given: str, wanted: str) -> None:
    """RFC 8305 §4, with one address of the first family ahead."""
    assert interleaved(addresses(given)) == addresses(wanted)


def test_an_address_given_twice_is_tried_once() -> None:
    assert interleaved(addresses("6a 4a 6a 4a 4b")) == addresses("6a 4a 4b")


def test_an_address_reads_as_its_host_or_path() -> None:
    """Messages list addresses; the port is the same for all and named elsewhere."""
    assert str(Address(SIX, ("::1", 80, 0, 0))) == "::1"
    assert str(Address(1, "/run/a.sock")) == "/run/a.sock"
