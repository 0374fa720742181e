"""The front ends for threads and for tasks: same names, same signatures, same words.

A difference is either listed here, with its reason, or a mistake. What comes from a common base class cannot differ and
is compared all the same: nobody has to know where it comes from.
"""

from __future__ import annotations

import difflib
import inspect
import re

import pytest

import keeppool
import keeppool.requests
from keeppool.pools.response import Response
from keeppool.pools.response_tasks import AsyncResponse

PAIRS = [
    (keeppool.Session, keeppool.AsyncSession),
    (keeppool.PoolManager, keeppool.AsyncPoolManager),
    (keeppool.Response, keeppool.AsyncResponse),
    (Response, AsyncResponse),
    (keeppool.HTTPAdapter, keeppool.AsyncHTTPAdapter),
    (keeppool.requests.Session, keeppool.requests.AsyncSession),
]

#: Protocols by which Python itself tells what is waited for from what is awaited, and closing, which may be awaited.
RENAMED = {
    "close": "aclose",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
    "__iter__": "__aiter__",
    "iter_bytes": "aiter_bytes",
    "iter_text": "aiter_text",
}
#: Special methods that a program calls without knowing it; all others belong to Python.
SPECIAL = {
    *RENAMED,
    *RENAMED.values(),
    "__init__",
    "__bool__",
    "__repr__",
    "__getstate__",
    "__setstate__",
    "__reduce__",
}

#: What one of a pair has and the other has not.
ONE_SIDED = {
    (Response, "readable"): "a file's interface, for io.BufferedReader and the like, which cannot await",
    (Response, "readinto"): "as readable",
    (Response, "readline"): "as readable",
    (Response, "read1"): "as readable",
    (Response, "tell"): "as readable",
    (Response, "at_hand"): "for the mount, which stands where http.client's response is read",
    (
        AsyncResponse,
        "peer",
    ): "what Scrapy tells of a download (ip_address, certificate); no reader of threads asks for it",
    (keeppool.AsyncResponse, "aiter_lines"): "httpx's name; without the a it is requests', and gives bytes",
}
#: What has another signature.
OTHER_SIGNATURE: dict[tuple[type, str], str] = {}

#: What has other words, or says more.
OTHER_WORDS = {
    (keeppool.Session, "class"): "threads may share a session; a pool on an event loop is bound to it",
    (keeppool.requests.Session, "class"): "as there",
    (keeppool.PoolManager, "class"): "as a session; and events come in the caller's thread, or on the event loop",
    (keeppool.HTTPAdapter, "class"): "as a session",
    (keeppool.Response, "class"): "raw may be any file for one made by hand, which nobody can await",
    (keeppool.Response, "content"): "nothing can be read while an attribute is looked at: read() is awaited first",
    (keeppool.Response, "read"): "there it does what content does; here it is the way to content",
    (Response, "class"): "what is awaited, and that cancelling a read closes the connection",
    (Response, "data"): "nothing can be read while an attribute is looked at: preload() is awaited first",
    (Response, "preload"): "it does for tasks what data does for threads, and raises what that raises",
}

#: Words that stand for each other.
WORDS = {
    r"\bAsync(?=[A-Z])": "",
    r"\btasks?\b": "thread",
    r"\bthreads\b": "thread",
    r"\baclose\b": "close",
    r"`preload`": "`data`",
}


def names_of(cls: type) -> set[str]:
    """The names a program may use, as the class for threads has them."""
    listed = {name for name in dir(cls) if not name.startswith("_")}
    listed |= {name for name in SPECIAL if getattr(cls, name, None) is not getattr(object, name, None)}
    mine = {theirs: name for name, theirs in RENAMED.items()}
    return {mine.get(name, name) for name in listed}


def twin_of(cls: type, name: str) -> object:
    """Look a name up in the class for tasks."""
    renamed = RENAMED.get(name, name)
    return inspect.getattr_static(cls, renamed)


def shared() -> list[tuple[type, type, str]]:
    return [(ours, theirs, name) for ours, theirs in PAIRS for name in sorted(names_of(ours) & names_of(theirs))]


def plain(found: object) -> object:
    """Unwrap what a class holds: a method, a class method, a property."""
    if isinstance(found, property):
        return found.fget
    return found.__func__ if isinstance(found, (classmethod, staticmethod)) else found


def signature(found: object) -> str | None:
    """The parameters as they are written, names, order, defaults and annotations; classes without `Async`."""
    function = plain(found)
    if not inspect.isfunction(function):
        return None
    written = inspect.signature(function).replace(return_annotation=inspect.Signature.empty)
    return in_common_words(str(written))


def words(found: object) -> str:
    return in_common_words(inspect.cleandoc(getattr(plain(found), "__doc__", None) or ""))


def in_common_words(text: str) -> str:
    for pattern, word in WORDS.items():
        text = re.sub(pattern, word, text)
    return " ".join(text.split())


def told(one: str, other: str) -> str:
    """Show where two texts part."""
    parted = difflib.ndiff(re.split(r"(?<=[.,:;]) ", one), re.split(r"(?<=[.,:;]) ", other))
    return "\n".join(line for line in parted if line[0] in "+-")


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_each_has_what_the_other_has(ours, theirs):
    only = {(ours, name) for name in names_of(ours) - names_of(theirs)}
    only |= {(theirs, name) for name in names_of(theirs) - names_of(ours)}
    listed = {entry for entry in ONE_SIDED if entry[0] in (ours, theirs)}
    assert {name for _, name in only} == {name for _, name in listed}


@pytest.mark.parametrize(("ours", "theirs", "name"), shared(), ids=lambda part: getattr(part, "__name__", part))
def test_arguments_are_the_same_in_name_order_and_default(ours, theirs, name):
    mine, other = signature(inspect.getattr_static(ours, name)), signature(twin_of(theirs, name))
    is_same = mine == other
    assert is_same != ((ours, name) in OTHER_SIGNATURE), f"{ours.__name__}.{name}:\n{told(mine or '', other or '')}"


@pytest.mark.parametrize(("ours", "theirs", "name"), shared(), ids=lambda part: getattr(part, "__name__", part))
def test_a_property_is_a_property_on_both_sides(ours, theirs, name):
    mine, other = inspect.getattr_static(ours, name), twin_of(theirs, name)
    assert type(mine) is type(other), f"{ours.__name__}.{name} is a {type(mine)}, its twin a {type(other)}"
    if isinstance(mine, property) and isinstance(other, property):
        assert (mine.fset is None) == (other.fset is None)


@pytest.mark.parametrize(("ours", "theirs", "name"), shared(), ids=lambda part: getattr(part, "__name__", part))
def test_the_words_are_the_same(ours, theirs, name):
    if name in SPECIAL or inspect.ismemberdescriptor(inspect.getattr_static(ours, name)):
        return  # Python's own protocols, and attributes: the class tells of those.
    mine, other = words(inspect.getattr_static(ours, name)), words(twin_of(theirs, name))
    assert mine, f"{ours.__name__}.{name} says nothing"
    is_same = mine == other
    assert is_same != ((ours, name) in OTHER_WORDS), f"{ours.__name__}.{name}:\n{told(mine, other)}"


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_the_classes_say_the_same_of_themselves(ours, theirs):
    mine, other = words(ours), words(theirs)
    is_same = mine == other
    assert is_same != ((ours, "class") in OTHER_WORDS), f"{ours.__name__}:\n{told(mine, other)}"


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_the_classes_take_the_same_arguments(ours, theirs):
    assert signature(ours.__init__) == signature(theirs.__init__)


def test_every_exception_to_the_rule_is_of_something_there_is():
    for cls, name in {**ONE_SIDED, **OTHER_SIGNATURE, **OTHER_WORDS}:
        assert name == "class" or hasattr(cls, name), f"{cls.__name__}.{name}"
