"""The fuzz targets in the ordinary suite: what was found before, and a few inputs drawn by Hypothesis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.corpus import Corpus, escaped
from tests.fuzz.peers import CURL_DIFFERENCES, curl_difference
from tests.fuzz.planting import patches
from tests.fuzz.runs import ROOT
from tests.fuzz.smaller import smaller
from tests.fuzz.target import HERE, Target, targets
from tests.fuzz.targets import conversations

TARGETS = targets()
#: Bytes of all corpora together; what is more belongs to whoever fuzzes.
MOST_KEPT = 200 << 10

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@pytest.fixture(scope="module", autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    conversations.end()


@every_target
def test_what_was_kept_passes(target: Target) -> None:
    inputs = target.corpus.read()
    assert inputs, "a target without a corpus starts from nothing"
    for data in inputs:
        target.run(data)
    target.run(b"")


def like(target: Target) -> st.SearchStrategy[bytes]:
    """Draw inputs that are a kept one with some wounds, or noise."""
    tokens = st.sampled_from([*target.tokens, b"\r\n", b"\x00", b"\xff", b" ", b"0", b""])
    wounds = st.lists(st.tuples(st.floats(0, 1), tokens | st.binary(max_size=3), st.integers(0, 4)), max_size=3)
    return st.builds(hurt, st.sampled_from(target.corpus.read()), wounds) | st.binary(max_size=64)


def hurt(data: bytes, wounds: list[tuple[float, bytes, int]]) -> bytes:
    """Put something in the place of some bytes, at each of the given places (as parts of the length)."""
    for place, instead, cut in wounds:
        at = int(place * len(data))
        data = data[:at] + instead + data[at + cut :]
    return data


@every_target
def test_inputs_like_them_pass(target: Target) -> None:
    @settings(
        max_examples=60,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(like(target))
    def draw(data: bytes) -> None:
        target.run(data[: target.most])

    draw()


def test_the_corpora_stay_small() -> None:
    assert sum(path.stat().st_size for path in (HERE / "corpus").iterdir()) <= MOST_KEPT
    assert {path.stem for path in (HERE / "corpus").iterdir()} == TARGETS.keys()


@pytest.mark.parametrize("patch", patches(), ids=lambda patch: patch.name)
def test_a_planted_fault_still_fits(patch) -> None:
    """That it is found, `python -m tests.fuzz --planted` shows."""
    text = (ROOT / patch.file).read_text(encoding="utf-8")
    changed = patch.changed(text)
    assert changed != text
    compile(changed, patch.file, "exec")
    assert patch.target in TARGETS


@pytest.mark.sdk
@pytest.mark.parametrize("known", CURL_DIFFERENCES, ids=lambda known: known.reason[:40])
def test_each_difference_from_curl_exists(known) -> None:
    """A line of the table that explains nothing any more would only hide things."""
    pytest.importorskip("pycurl")
    assert curl_difference(known.example) == known.reason


@pytest.mark.parametrize("data", [b"", b"# a", b'it\'s "b"', bytes(range(256)), b"\\x00", b"\n\r\x85\xff"])
def test_an_input_is_read_as_it_was_kept(data, tmp_path) -> None:
    corpus = Corpus(tmp_path / "some.txt")
    assert corpus.add(data, "why")
    assert corpus.read() == [data]
    assert not corpus.add(data)
    assert escaped(data).isascii()


def test_a_found_input_is_made_small() -> None:
    def run(data: bytes) -> None:
        if b"x" in data:
            assert b"y" not in data

    assert sorted(smaller(run, b"aaaa x bbbbbbbbb yy cccccc x ddd")) == sorted(b"xy")
    assert smaller(run, b"fine") == b"fine"
