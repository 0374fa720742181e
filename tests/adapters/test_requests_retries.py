"""`max_retries` under the mount means what it means in requests: the same attempts, and the same end."""

import io

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from keeppool import HostConfig
from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.testing import Answer, RawConnection, ScriptedServer, Site

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#: Takes the request and closes without a word: a read error for `Retry`.
MUTE = [RawConnection.read_request]


def session_with(adapter):
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", adapter)
    return session


@pytest.fixture(params=[HTTPAdapter, KeepPoolAdapter], ids=["requests", "keeppool"])
def get(request):
    """Make one request by a fresh session: what `Retry` says is tried with requests' adapter too."""
    sessions = []

    def call(method, url, max_retries, **arguments):
        sessions.append(session_with(request.param(max_retries=max_retries)))
        return sessions[-1].request(method, url, **arguments)

    yield call
    for session in sessions:
        session.close()


def failing(times, status=503, headers=()):
    """Serve a site that answers that often with an error status and then well."""
    left = [status] * times
    return Site(handler=lambda _: Answer(status=left.pop(), headers=headers) if left else Answer(body=b"at last"))


def test_without_retries_there_is_one_attempt(get):
    with ScriptedServer(MUTE, [*MUTE, OK]) as server:
        with pytest.raises(requests.ConnectionError):
            get("GET", server.url, 0)
        assert len(server.connections) == 1


def test_a_get_that_was_not_answered_is_tried_again(get):
    with ScriptedServer(MUTE, MUTE, [*MUTE, OK]) as server:
        assert get("GET", server.url, 2).content == b"ok"
        assert len(server.requests) == 3


def test_a_post_that_was_not_answered_is_not(get):
    with ScriptedServer(MUTE, [*MUTE, OK]) as server:
        with pytest.raises(requests.ConnectionError):
            get("POST", server.url, 3, data=b"once")
        assert len(server.requests) == 1


def test_a_refused_connection_is_dialled_again_for_any_method_until_tries_run_out(get):
    with Site() as site:
        url = site.url
    with pytest.raises(requests.ConnectionError):
        get("POST", url, Retry(2), data=b"x")


def test_a_listed_status_is_tried_again_and_the_last_answer_given(get):
    with failing(2) as site:
        answer = get("GET", site.url, Retry(3, status_forcelist=[503]))
        assert answer.content == b"at last"
        assert [past.status for past in answer.raw.retries.history] == [503, 503]
        assert site.requests == 3


def test_when_tries_run_out_a_listed_status_is_a_retry_error(get):
    with failing(5) as site:
        with pytest.raises(requests.exceptions.RetryError) as raised:
            get("GET", site.url, Retry(2, status_forcelist=[503]))
        assert site.requests == 3
        assert raised.value.request.method == "GET"


def test_or_the_last_answer_if_that_is_asked_for(get):
    with failing(5) as site:
        answer = get("GET", site.url, Retry(2, status_forcelist=[503], raise_on_status=False))
        assert answer.status_code == 503
        assert site.requests == 3


def test_retry_after_is_respected(get):
    slept = []

    class Recording(Retry):
        def sleep_for_retry(self, response):
            slept.append(self.get_retry_after(response))
            return True

    with failing(1, headers=(("Retry-After", "7"),)) as site:
        assert get("GET", site.url, Recording(2)).content == b"at last"
    assert slept == [7]


def test_the_pause_after_an_error_is_kept(get):
    slept = []

    class Recording(Retry):
        def sleep(self, response=None):
            slept.append(response)

    with ScriptedServer(MUTE, [*MUTE, OK]) as server:
        assert get("GET", server.url, Recording(2)).content == b"ok"
    assert slept == [None]


def test_a_seekable_body_is_sent_again_from_where_it_stood(get):
    body = io.BytesIO(b"skipped, sent")
    body.seek(9)
    with failing(1) as site:
        get("PUT", site.url, Retry(1, status_forcelist=[503]), data=body)
        assert [request.body for request in site.log] == [b"sent", b"sent"]


def test_a_body_that_cannot_be_had_again_is_said_so():
    with failing(1) as site, session_with(KeepPoolAdapter(max_retries=Retry(1, status_forcelist=[503]))) as session:
        with pytest.raises(requests.exceptions.UnrewindableBodyError):
            session.put(site.url, data=iter([b"gone"]))
        assert site.requests == 1


def test_the_tries_reuse_the_connection():
    with failing(2) as site, session_with(KeepPoolAdapter(max_retries=Retry(3, status_forcelist=[503]))) as session:
        session.get(site.url)
        assert site.opened == 1


def test_a_host_said_not_to_be_idempotent_is_not_tried_again_after_silence():
    adapter = KeepPoolAdapter(max_retries=2, defaults=HostConfig(idempotent=False))
    with ScriptedServer(MUTE, [*MUTE, OK]) as server, session_with(adapter) as session:
        with pytest.raises(requests.ConnectionError):
            session.get(server.url)
        assert len(server.requests) == 1
