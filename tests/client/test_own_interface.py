"""What is requests' alone is not there on a session of ours, and each name says where it is."""

from __future__ import annotations

import copy
import pickle
from abc import ABC, abstractmethod
from unittest import mock

import pytest

import keeppool
import keeppool.requests

SESSIONS = [
    (keeppool.Session, keeppool.requests.Session, "keeppool.requests.Session"),
    (keeppool.AsyncSession, keeppool.requests.AsyncSession, "keeppool.requests.AsyncSession"),
]
MOVED = [
    *("mount", "adapters", "get_adapter", "hooks", "merge_environment_settings", "resolve_redirects"),
    *("get_redirect_target", "should_strip_auth", "rebuild_method", "rebuild_auth", "rebuild_proxies"),
]
NEVER_CALLED = ["request", "prepare_request", "send"]
kinds = pytest.mark.parametrize(("ours", "theirs", "name"), SESSIONS, ids=["threads", "tasks"])


def say_nothing(*_arguments, **_settings):
    raise AssertionError("nobody calls this")


@kinds
@pytest.mark.parametrize("moved", MOVED)
def test_a_name_that_has_moved_says_where_to(ours, theirs, name, moved):
    session = ours()
    with pytest.raises(AttributeError, match=name) as caught:
        getattr(session, moved)
    assert (caught.value.name, caught.value.obj) == (moved, session)
    assert not hasattr(ours, moved)
    assert hasattr(theirs(), moved)


@kinds
@pytest.mark.parametrize("method", [*MOVED, *NEVER_CALLED])
def test_a_subclass_with_a_method_that_would_never_be_called_is_refused(ours, theirs, name, method):
    with pytest.raises(AttributeError, match=f"Own.{method} .*{name}"):
        type("Own", (ours,), {method: say_nothing})
    mixin = type("Mixin", (), {method: say_nothing})
    with pytest.raises(AttributeError, match=f"Own.{method} .*{name}"):
        type("Own", (mixin, ours), {})
    assert type("Own", (mixin, theirs), {})


@kinds
@pytest.mark.parametrize("method", [*MOVED, *NEVER_CALLED])
def test_a_method_put_on_a_session_is_refused(ours, theirs, name, method):
    session = ours()
    with pytest.raises(AttributeError, match=name):
        setattr(session, method, say_nothing)
    setattr(theirs(), method, {} if method in ("adapters", "hooks") else say_nothing)


@kinds
def test_other_names_are_missed_as_ever_and_may_be_given(ours, theirs, name):
    session = type("Own", (ours,), {"fetch": lambda self: 1})()
    with pytest.raises(AttributeError, match="'Own' object has no attribute 'mounting'") as caught:
        session.mounting  # noqa: B018
    assert name not in str(caught.value)
    session.note = 2
    assert (session.fetch(), session.note) == (1, 2)


@kinds
def test_a_session_of_either_kind_can_be_copied_and_pickled(ours, theirs, name):
    for kind in (ours, theirs):
        session = kind(timeout=3)
        session.headers["X-Own"] = "1"
        for again in (copy.copy(session), pickle.loads(pickle.dumps(session))):
            assert type(again) is kind
            assert again.headers["X-Own"] == "1"


def test_a_prepared_request_is_sent_by_a_session_of_ours_too(site, session):
    request = session.prepare_request(keeppool.Request("GET", f"{site.url}/redirect/1"))
    assert session.send(request).url == f"{site.url}/redirect/0"


def test_requests_responses_are_responses_of_ours(site):
    with keeppool.requests.Session() as session:
        response = session.get(site.url)
    assert type(response) is keeppool.requests.Response
    assert isinstance(response, keeppool.Response)
    assert response.connection.pool is session.pool
    assert not hasattr(keeppool.Response(), "connection")


@kinds
@pytest.mark.parametrize("method", [*MOVED, *NEVER_CALLED])
def test_a_method_put_on_a_class_later_is_refused(ours, theirs, name, method):
    class Own(ours):
        pass

    for kind in (ours, Own):
        with pytest.raises(AttributeError, match=f"{kind.__name__}.{method} .*{name}"):
            setattr(kind, method, say_nothing)
        with (
            pytest.raises(AttributeError, match=name),
            mock.patch.object(kind, method, say_nothing, create=method in MOVED),
        ):
            pass
    with mock.patch.object(theirs, method, say_nothing):
        assert vars(theirs)[method] is say_nothing


@kinds
@pytest.mark.parametrize("method", [*MOVED, *NEVER_CALLED])
def test_a_mixin_that_gets_a_method_later_is_refused_when_a_session_is_made(ours, theirs, name, method):
    mixin = type("Mixin", (), {})
    own = type("Own", (mixin, ours), {})
    assert own()
    setattr(mixin, method, say_nothing)
    with pytest.raises(AttributeError, match=f"Own.{method} .*{name}"):
        own()


@kinds
@pytest.mark.parametrize("moved", MOVED)
def test_a_name_that_has_moved_says_so_of_the_class_too(ours, theirs, name, moved):
    with pytest.raises(AttributeError, match=f"type object '{ours.__name__}' has no attribute '{moved}': {name}"):
        getattr(ours, moved)
    with pytest.raises(AttributeError, match=r"has no attribute 'mounts'$"):
        ours.mounts  # noqa: B018


@kinds
def test_what_stands_behind_a_session_among_the_bases_is_its_own_affair(ours, theirs, name):
    class Volume:
        hooks = ("before", "after")

        def mount(self, where):
            self.hooks = (where,)
            return where

        def send(self):
            raise AssertionError("the session's own comes first")

    session = type("Both", (ours, Volume), {})()
    assert (session.hooks, session.mount("/mnt"), session.hooks) == (("before", "after"), "/mnt", ("/mnt",))
    assert type(session).send is ours.send


@kinds
def test_a_session_may_be_an_abstract_class_too(ours, theirs, name):
    class Reads(ABC):
        @abstractmethod
        def read(self):
            """Read it."""

    half = type("Half", (ours, Reads), {})
    with pytest.raises(TypeError, match="abstract"):
        half()
    assert type("Whole", (half,), {"read": lambda self: 1})().read() == 1


@pytest.mark.parametrize("kind", [keeppool.Response, keeppool.AsyncResponse])
def test_the_connection_of_a_response_says_where_it_is(kind):
    response = kind()
    with pytest.raises(AttributeError, match=r"keeppool\.requests") as caught:
        response.connection  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("connection", response)
    with pytest.raises(AttributeError, match=r"has no attribute 'connexion'$"):
        response.connexion  # noqa: B018
    response.connection = 5
    assert response.connection == 5


@pytest.mark.parametrize("kind", [keeppool.requests.Response, keeppool.requests.AsyncResponse])
def test_the_hint_hides_no_error_of_a_property(kind):
    with pytest.raises(AttributeError, match="unpickled or made by hand"):
        kind().connection  # noqa: B018
