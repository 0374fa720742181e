"""The errors: the tree that is drawn is there, facts survive copying, and the branches mean what they say."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle
import re
import socket

import pytest

from keeppool import Limits, PoolManager, Timeout, errors
from keeppool.errors import ConnectError, ExchangeError, KeepPoolError, PoolError
from keeppool.testing import Answer, Behaviour

CLASSES = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, KeepPoolError) and cls.__name__ == name
}
#: requests' names, which an `except` clause of a program that moves here may use.
REQUESTS_NAMES = [
    "ChunkedEncodingError",
    "ConnectionError",
    "ConnectTimeout",
    "ContentDecodingError",
    "HTTPError",
    "InvalidHeader",
    "InvalidJSONError",
    "InvalidProxyURL",
    "InvalidSchema",
    "InvalidURL",
    "JSONDecodeError",
    "MissingSchema",
    "RetryError",
    "ProxyError",
    "ReadTimeout",
    "RequestException",
    "SSLError",
    "StreamConsumedError",
    "Timeout",
    "TooManyRedirects",
    "UnrewindableBodyError",
]

#: A branch's mark, then its names: `Name`, `Name*`, `Name (BuiltIn)`, `One, Two`.
BRANCH = re.compile(r"(?:[├└]── | ── |^ {4}(?=\w))((?:[A-Z]\w+[*+]?(?: \(\w+\))?(?:, )?)+)")
NAME = re.compile(r"([A-Z]\w+)([*+]?)(?: \((\w+)\))?")
#: The second column of branches continues the children of the class that is drawn in two columns.
SECOND_COLUMN, SECOND_COLUMN_PARENT = 30, "InvalidRequest"


def drawn_tree() -> dict[str, set[str]]:
    """Read the drawing: each class's bases, built-in ones by their bare names."""
    bases: dict[str, set[str]] = {}
    path: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        child = re.search(r"\((\w+) has one child: (\w+),", line)
        if child is not None:
            bases[child[2]] = {child[1]}
            continue
        previous = ""
        for branch in BRANCH.finditer(line):
            column = branch.start()
            depth = (column - 4) // 4 + 1 if branch[0].lstrip()[0] in "├└" else 0
            if column >= SECOND_COLUMN:
                parent = SECOND_COLUMN_PARENT
            elif branch[0].startswith(" ── "):
                parent = previous
            else:
                parent = path.get(depth - 1, "")
            for name, mark, builtin in NAME.findall(branch[1]):
                marked = {"*": {"Timeout"}, "+": {"ConnectionError"}, "": set()}[mark]
                bases[name] = {parent} - {""} | marked | ({f"builtins.{builtin}"} if builtin else set())
                previous = name
            if column < SECOND_COLUMN and not branch[0].startswith(" ── "):
                path[depth] = previous
    return bases


def real_tree() -> dict[str, set[str]]:
    """Give the same of the classes; a base from another module (json's error) is told in words, not drawn."""
    return {
        name: {base.__name__ if base.__module__ == errors.__name__ else f"builtins.{base.__name__}" for base in bases}
        for name, cls in CLASSES.items()
        for bases in [[base for base in cls.__bases__ if base.__module__ in (errors.__name__, "builtins")]]
    }


def test_the_tree_that_is_drawn_is_the_tree_that_is_there():
    assert drawn_tree() == real_tree()


def facts_of(cls: type[KeepPoolError]) -> dict[str, object]:
    """A value of its own for every attribute the class declares, of the type that is declared."""
    declared = {name for base in cls.__mro__ if base.__module__ == errors.__name__ for name in vars(base)}
    declared &= {n for base in cls.__mro__ for n in getattr(base, "__annotations__", {})}
    return {name: f"value of {name}" for name in sorted(declared)}


def make(cls: type[KeepPoolError]) -> KeepPoolError:
    if cls is errors.JSONDecodeError:
        return cls("Expecting value", "no json", 3)
    return cls("what happened", **facts_of(cls))


@pytest.mark.parametrize("copied", [pickle.loads, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("cls", CLASSES.values())
def test_a_copy_of_an_error_has_its_class_text_and_facts(cls, copied):
    error = make(cls)
    twin = copied(pickle.dumps(error)) if copied is pickle.loads else copied(error)
    assert type(twin) is cls
    assert (str(twin), twin.args) == (str(error), error.args)
    assert twin.__dict__ == error.__dict__
    assert [getattr(twin, name) for name in facts_of(cls)] == [getattr(error, name) for name in facts_of(cls)]


def test_every_protocol_of_pickle_keeps_the_facts_of_an_exchange():
    error = ExchangeError("broke", origin="http://a:80", sent=10, received=3, retry_safe=False)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(error, protocol))
        assert (twin.origin, twin.sent, twin.received, twin.retry_safe) == ("http://a:80", 10, 3, False)


def test_an_error_may_be_raised_by_a_program_as_one_of_requests_is():
    error = errors.RequestException(2, "no such thing", response="an answer")
    twin = pickle.loads(pickle.dumps(error))
    for one in (error, twin):
        assert (one.args, one.errno, one.strerror) == ((2, "no such thing"), 2, "no such thing")
        assert (str(one), one.response) == ("[Errno 2] no such thing", "an answer")
    assert str(errors.ConnectionError(ValueError("the cause"))) == "the cause"
    told = errors.JSONDecodeError("Expecting value", "no\njson", 3, response="an answer")
    assert (told.response, told.lineno, str(told)) == ("an answer", 2, "Expecting value: line 2 column 1 (char 3)")


def test_json_error_keeps_the_place():
    twin = pickle.loads(pickle.dumps(errors.JSONDecodeError("Expecting value", "no\njson", 3)))
    assert (twin.msg, twin.doc, twin.pos, twin.lineno, twin.colno) == ("Expecting value", "no\njson", 3, 2, 1)


@pytest.mark.parametrize("cls", CLASSES.values())
def test_every_class_says_what_it_means(cls):
    assert (cls.__doc__ or "").strip().splitlines()[0].endswith(".")


def test_a_fact_nobody_declared_is_refused():
    with pytest.raises(TypeError, match="PoolTimeout has no attribute 'colour'"):
        errors.PoolTimeout("waited", colour="red")


@pytest.mark.parametrize("name", REQUESTS_NAMES)
def test_an_except_clause_with_a_name_of_requests_survives_the_move(name):
    assert issubclass(getattr(errors, name), OSError), "requests' own errors are IOErrors too"


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("Timeout", builtins.TimeoutError),
        ("ConnectionError", builtins.ConnectionError),
        ("ConfigError", ValueError),
        ("InvalidRequest", ValueError),
    ],
)
def test_errors_are_also_the_built_in_errors_they_resemble(name, builtin):
    assert issubclass(CLASSES[name], builtin)


# What the branches mean


def test_no_error_says_both_that_nothing_was_sent_and_that_a_connection_was_used():
    nothing_sent = (PoolError, ConnectError, errors.InvalidRequest, errors.ConfigError)
    assert not [cls for cls in CLASSES.values() if issubclass(cls, nothing_sent) and issubclass(cls, ExchangeError)]


def test_every_connection_error_says_which_of_the_two_it_is():
    for cls in CLASSES.values():
        if issubclass(cls, errors.ConnectionError) and cls is not errors.ConnectionError:
            assert issubclass(cls, (PoolError, ConnectError, ExchangeError)), cls


def test_after_a_pool_error_or_connect_error_no_server_has_seen_the_request(sites):
    site = sites.add()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    with PoolManager(Limits(per_host=1)) as pool:
        with pool.request("GET", f"{site.url}/bytes/1000000", stream=True), pytest.raises(PoolError) as full:
            pool.request("POST", site.url, body=b"never sent", timeout=Timeout(pool=0))
        with pytest.raises(ConnectError) as refused:
            pool.request("POST", f"http://127.0.0.1:{nobody}/", body=b"never sent")
    with pytest.raises(PoolError) as closed:
        pool.request("POST", site.url, body=b"never sent")
    kinds = [type(caught.value) for caught in (full, refused, closed)]
    assert kinds == [errors.PoolTimeout, errors.RefusedError, errors.PoolClosed]
    assert [request.method for request in site.log] == ["GET"]


def test_an_exchange_error_tells_what_was_sent_and_whether_repeating_is_safe(sites):
    site = sites.add(Behaviour(), handler=lambda request: Answer(hang_up=True))
    with PoolManager() as pool:
        with pytest.raises(ExchangeError) as posted:
            pool.request("POST", site.url, body=b"once")
        with pytest.raises(ExchangeError) as got:
            pool.request("GET", site.url)
    assert not isinstance(posted.value, (PoolError, ConnectError))
    assert posted.value.sent > 0
    assert (posted.value.received, posted.value.retry_safe, got.value.retry_safe) == (0, False, True)
    assert site.requests == 2, "neither was repeated behind the caller's back: the connections were new"
