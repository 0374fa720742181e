"""Which of requests' exceptions each error of ours becomes, in the table and over real connections."""

import inspect
import pickle
import threading

import pytest
import requests

from keeppool import Limits, Timeout, errors
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.adapters.requests.errors import TABLE, translated
from keeppool.testing import RawConnection, ScriptedServer, Site

HEAD = b"HTTP/1.1 200 OK\r\n"
REQUEST = RawConnection.read_request
THEIRS = requests.exceptions


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        adapter = KeepPoolAdapter()
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        yield session


def all_errors(root=errors.KeepPoolError):
    return {root}.union(*(all_errors(child) for child in root.__subclasses__() if child.__module__ == root.__module__))


def test_every_error_of_ours_has_its_line_in_the_table():
    assert set(TABLE) == all_errors()


def test_the_walk_over_the_tree_finds_every_class_of_the_module():
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    assert all_errors() == classes


@pytest.mark.parametrize("kind", sorted(TABLE, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_a_translated_error_keeps_the_request_and_the_words(kind):
    request = requests.Request("GET", "http://a.example/").prepare()
    made = translated(kind("what happened"), request)
    assert isinstance(made, THEIRS.RequestException)
    assert "what happened" in str(made)
    assert made.request is request
    assert made.response is None


def test_timeouts_stay_timeouts_and_connection_errors_stay_connection_errors():
    """There are three exceptions, and they are requests' own names for what happened."""
    renamed = {errors.WriteTimeout, errors.InvalidLength, errors.TruncatedHead}
    for ours, theirs in TABLE.items():
        if ours not in renamed:
            assert issubclass(theirs, THEIRS.Timeout) >= issubclass(ours, errors.Timeout), ours
            assert issubclass(theirs, THEIRS.ConnectionError) >= issubclass(ours, errors.ConnectionError), ours


def test_an_unknown_child_is_what_its_parent_is():
    class Slower(errors.ReadTimeout):
        """Too slow in a way of its own."""

    assert type(translated(Slower("late"), None)) is THEIRS.ReadTimeout


def test_a_translated_error_can_be_pickled():
    made = translated(errors.ReadTimeout("late", limit=2.0), None)
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is THEIRS.ReadTimeout
    assert again.args[0].limit == 2.0


FAILURES = [
    ([REQUEST], THEIRS.ConnectionError, errors.ServerDisconnected),
    ([REQUEST, b"SSH-2.0-OpenSSH_9.9\r\n"], THEIRS.ConnectionError, errors.InvalidHead),
    ([REQUEST, HEAD + b"Content-Le"], THEIRS.ChunkedEncodingError, errors.TruncatedHead),
    ([REQUEST, HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"], THEIRS.InvalidHeader, errors.InvalidLength),
]


@pytest.mark.parametrize(("script", "theirs", "ours"), FAILURES, ids=[case[2].__name__ for case in FAILURES])
def test_what_breaks_before_the_answer_is_raised_as_requests_does_with_ours_as_its_cause(session, script, theirs, ours):
    with ScriptedServer(script) as server, pytest.raises(theirs) as raised:
        session.post(server.url, data=b"x")
    assert type(raised.value) is theirs
    assert type(raised.value.__cause__) is ours
    assert raised.value.__cause__.origin == server.url
    assert raised.value.request.method == "POST"


@pytest.mark.parametrize(
    ("answer", "theirs", "ours"),
    [
        (HEAD + b"Content-Length: 9\r\n\r\nhalf", THEIRS.ChunkedEncodingError, errors.IncompleteBody),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", THEIRS.ChunkedEncodingError, errors.InvalidChunk),
        (HEAD + b"Content-Length: 4\r\nContent-Encoding: gzip\r\n\r\nhalf", THEIRS.ContentDecodingError, None),
    ],
    ids=["broken off", "bad chunk", "bad gzip"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_breaks_in_the_body_is_raised_where_requests_raises_it(session, answer, theirs, ours, stream):
    seen = []
    hooks = {"response": lambda answer, **_: seen.append(answer.status_code)}
    with ScriptedServer([REQUEST, answer]) as server, pytest.raises(theirs) as raised:
        _ = session.get(server.url, stream=stream, hooks=hooks).content
    assert seen == [200]
    if ours is not None:
        assert type(raised.value.args[0].__cause__) is ours


def test_silence_before_the_answer_is_a_read_timeout_and_within_the_body_a_connection_error(session):
    done = threading.Event()
    wait = lambda connection: connection.wait(done)  # noqa: E731
    with ScriptedServer([REQUEST, wait], [REQUEST, HEAD + b"Content-Length: 9\r\n\r\n", wait]) as server:
        with pytest.raises(THEIRS.ReadTimeout) as raised:
            session.get(server.url, timeout=(5, 0.05))
        assert raised.value.__cause__.limit == 0.05
        with pytest.raises(THEIRS.ConnectionError, match="timed out"):
            session.get(server.url, timeout=0.05)
        done.set()


def test_nobody_listening_no_such_name_and_no_such_scheme_are_told_apart(session):
    with Site() as site:
        gone = site.url
    for url, theirs, ours in [
        (gone, THEIRS.ConnectionError, errors.RefusedError),
        ("http://no-such-name.invalid/", THEIRS.ConnectionError, errors.ResolveError),
    ]:
        with pytest.raises(theirs) as raised:
            session.get(url)
        assert type(raised.value.__cause__) is ours
    with pytest.raises(THEIRS.InvalidSchema):
        session.get("gopher://a.example/")


def test_a_proxy_that_is_not_there_or_no_url_is_a_proxys_error(session):
    with Site() as site:
        gone = site.url
    with pytest.raises(THEIRS.ProxyError) as raised:
        session.get("http://a.example/", proxies={"http": gone})
    assert type(raised.value.__cause__) is errors.ProxyError
    with pytest.raises(THEIRS.InvalidProxyURL):
        session.get("http://a.example/", proxies={"http": "http:///secret@"})


def test_no_connection_coming_free_is_a_connect_timeout_that_says_what_the_pool_looks_like():
    with Site() as site, requests.Session() as session:
        session.mount("http://", KeepPoolAdapter(limits=Limits(per_host=1)))
        adapter = session.get_adapter(site.url)
        held = session.get(f"{site.url}/bytes/500000", stream=True)
        with pytest.raises(THEIRS.ConnectTimeout, match="1/1 in use") as raised:
            adapter.send(session.prepare_request(requests.Request("GET", site.url)), timeout=Timeout(pool=0.0))
        assert type(raised.value.__cause__) is errors.PoolTimeout
        held.close()


@pytest.mark.parametrize("timeout", [(1, 2, 3), "soon", 0, True], ids=repr)
def test_a_timeout_that_is_none_is_a_value_error_before_anything_is_sent(session, timeout):
    with Site() as site:
        with pytest.raises(ValueError, match=r"[Tt]imeout"):
            session.get(site.url, timeout=timeout)
        assert site.opened == 0


def test_an_answer_that_is_an_error_keeps_request_and_response(session):
    with Site() as site, pytest.raises(THEIRS.HTTPError) as raised:
        session.get(f"{site.url}/status/503").raise_for_status()
    assert raised.value.response.status_code == 503
    assert raised.value.request.url == f"{site.url}/status/503"
