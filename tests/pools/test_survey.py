"""`survey`: what is seen of servers that keep, limit, drop, announce and misbehave, and what is made of it."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading

import pytest
import trustme

from keeppool import INHERIT, HostConfig, Timeout, errors, survey
from keeppool.events import Why
from keeppool.probe.habits import Hangup, MaxMeans, idle_timeout_below, what_max_means
from keeppool.probe.survey import IDLE_LINES
from keeppool.testing import Answer, Behaviour, RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#: Longer than any of these servers keeps a connection; what ends sooner does not use it up.
LONG = 30.0


def serve(connection: RawConnection) -> None:
    """Answer whatever comes until the client goes."""
    while True:
        connection.read_request()
        connection.send(OK)


def when_counted(requests: int, action):
    """Do something once, as soon as that many answers have come on all connections together."""
    todo = iter([action])

    def on_progress(progress):
        if progress.requests == requests:
            for act in todo:
                act()

    return on_progress


# Idle connections


def test_a_silent_close_is_measured_and_the_recommendation_lies_below(sites):
    site = sites.add(Behaviour(drop_idle_s=0.3))
    found = survey(site.url, max_wait=LONG, max_requests=3)
    assert [end.hangup for end in found.idle] == [Hangup.FIN] * (IDLE_LINES + 1)
    assert sorted(end.served for end in found.idle) == [1] * IDLE_LINES + [3]
    assert 0.3 <= found.seconds < LONG
    assert found.idle_s == found.idle[0].idle_s <= found.idle[-1].idle_s <= found.seconds
    assert 0 < found.host_config.idle_timeout < found.idle_s
    assert (found.open_s, found.is_open, found.is_early, found.has_unasked) == (None, None, False, False)
    assert (found.run.limit, found.host_config.max_requests, found.troubles) == (None, INHERIT, ())
    assert site.wait_for(lambda: site.open_now == 0)


def test_a_reset_is_told_from_a_fin(sites):
    site = sites.add()
    reset = when_counted(IDLE_LINES + 2, lambda: site.drop_idle(reset=True))
    found = survey(site.url, max_wait=LONG, max_requests=2, on_progress=reset)
    assert [end.hangup for end in found.idle] == [Hangup.RST] * (IDLE_LINES + 1)


def test_a_server_that_keeps_its_word_is_believed(sites):
    found = survey(sites.add(Behaviour(hint_timeout=1)).url, max_wait=LONG, max_requests=2)
    assert (found.reply.keep_alive, found.reply.hint.timeout, found.is_early) == ("timeout=1", 1, False)
    assert found.host_config.idle_timeout < min(found.idle_s, 1)


def test_a_server_that_closes_before_its_time_is_not(sites):
    found = survey(sites.add(Behaviour(hint_timeout=20, drop_idle_s=0.3)).url, max_wait=LONG, max_requests=2)
    assert found.is_early
    assert 0 < found.host_config.idle_timeout < found.idle_s < 20


def test_what_is_open_at_the_end_is_asked_whether_it_lives(sites):
    site = sites.add()
    found = survey(site.url, max_wait=0.2, max_requests=2)
    assert found.idle == ()
    assert 0 < found.open_s <= found.seconds
    assert found.is_open is True
    assert found.host_config == HostConfig()
    assert site.requests == IDLE_LINES + 2 + 1


def test_a_connection_that_is_dead_without_a_sign_is_found_out():
    """As behind a gateway that has forgotten it: nothing comes until somebody sends."""
    with ScriptedServer([RawConnection.read_request, OK, RawConnection.read_request, RawConnection.reset]) as server:
        found = survey(server.url, max_wait=0.2, max_requests=1)
    assert found.idle == ()
    assert found.is_open is False
    assert found.host_config == HostConfig()


def test_a_408_announces_the_close():
    idle = threading.Event()
    tired = [RawConnection.read_request, OK, lambda connection: connection.wait(idle), LATE]
    with ScriptedServer(tired) as server:
        found = survey(server.url, max_wait=LONG, max_requests=1, on_progress=when_counted(IDLE_LINES + 1, idle.set))
    assert [(end.is_408, end.hangup) for end in found.idle] == [(True, Hangup.FIN)] * (IDLE_LINES + 1)
    assert not found.has_unasked


def test_unasked_bytes_on_an_idle_connection_are_reported_as_such():
    idle = threading.Event()
    chatty = [RawConnection.read_request, OK, lambda connection: connection.wait(idle), b"hello?" * 100]
    chatty.append(RawConnection.read_until_closed)
    with ScriptedServer(chatty, serve) as server:
        found = survey(server.url, max_wait=0.5, max_requests=1, on_progress=when_counted(IDLE_LINES + 1, idle.set))
    (end,) = found.idle
    assert end.said.startswith(b"hello?hello?")
    assert len(end.said) == 100
    assert (end.hangup, end.is_408, found.has_unasked) == (None, False, True)
    assert found.is_open, "the other ones"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority):
    with authority.cert_pem.tempfile() as path:
        yield HostConfig(verify=path)


def test_a_close_over_tls_is_measured_like_any_other(sites, server_context, trusting):
    site = sites.add(Behaviour(drop_idle_s=0.3), tls=server_context)
    found = survey(site.url, max_wait=LONG, max_requests=2, host=trusting)
    assert [(end.hangup, end.said) for end in found.idle] == [(Hangup.FIN, b"")] * (IDLE_LINES + 1)


def test_what_carries_no_bytes_over_tls_is_not_unasked(server_context, trusting):
    """A readable socket may hold a session ticket, or as here the beginning of a record."""
    idle = threading.Event()
    begin_a_record = [lambda c: c.wait(idle), lambda c: socket.socket.send(c._socket, b"\x17\x03\x03\x01\x00")]
    script = [RawConnection.read_request, OK, *begin_a_record, RawConnection.read_request]
    with ScriptedServer(script, tls=server_context) as server:
        done = when_counted(IDLE_LINES + 1, idle.set)
        found = survey(server.url, max_wait=0.3, max_requests=1, host=trusting, on_progress=done)
    assert (found.idle, found.has_unasked) == ((), False)
    assert found.open_s > 0


def test_a_tls_connection_that_is_cut_without_a_goodbye_is_an_end_like_any_other(server_context, trusting):
    idle = threading.Event()
    cut = [RawConnection.read_request, OK, lambda connection: connection.wait(idle), RawConnection.cut]
    with ScriptedServer(cut, tls=server_context) as server:
        done = when_counted(IDLE_LINES + 1, idle.set)
        found = survey(server.url, max_wait=LONG, max_requests=1, host=trusting, on_progress=done)
    assert [(end.hangup, end.said) for end in found.idle] == [(Hangup.FIN, b"")] * (IDLE_LINES + 1)


# Requests on one connection


@pytest.mark.parametrize(("style", "limit", "means"), [("left", 4, MaxMeans.LEFT), ("constant", 3, MaxMeans.WHOLE)])
def test_both_readings_of_max_are_recognised_and_the_true_limit_is_counted(sites, style, limit, means):
    site = sites.add(Behaviour(hint_max=3, hint_style=style, drop_idle_s=0.3))
    found = survey(site.url, max_wait=LONG)
    assert (found.reply.hint.max, found.max_means) == (3, means)
    assert (found.run.limit, len(found.run.replies), found.host_config.max_requests) == (limit, limit, limit)
    assert (found.run.why_close, found.run.hangup) == (Why.SERVER_CLOSE, Hangup.FIN)
    assert site.late == 0


def test_a_silent_limit_is_confirmed_by_a_second_connection_and_its_close_seen_as_it_is(sites):
    found = survey(sites.add(Behaviour(close_after=3, drop_idle_s=0.3)).url, max_wait=LONG)
    assert (found.run.limit, found.run.why_close, found.run.hangup) == (3, None, Hangup.FIN)
    assert len(found.run.replies) == 3


def test_a_server_that_closes_only_when_the_request_too_many_comes_is_limited_too():
    tried = threading.Event()
    idle = [RawConnection.read_request, OK, lambda connection: connection.wait(tried)]

    def two_then_none(connection):
        for _ in range(2):
            connection.read_request()
            connection.send(OK)
        connection.read_request()
        tried.set()

    with ScriptedServer(*[idle] * IDLE_LINES, two_then_none) as server:
        found = survey(server.url, max_wait=LONG)
    assert (found.run.limit, found.run.hangup) == (2, None)


@pytest.mark.parametrize("second", [[OK] * 3, [OK] * 5 + [LAST]], ids=["after fewer", "after more, announced"])
def test_silent_closes_after_different_counts_are_no_limit(second):
    tried = threading.Event()
    idle = [RawConnection.read_request, OK, lambda connection: connection.wait(tried)]
    five = [RawConnection.read_request, OK] * 5
    other = [step for answer in second for step in (RawConnection.read_request, answer)]
    with ScriptedServer(*[idle] * IDLE_LINES, five, [*other, lambda _: tried.set()]) as server:
        found = survey(server.url, max_wait=LONG)
    assert (found.run.limit, found.run.hangup, found.host_config.max_requests) == (None, None, INHERIT)
    assert found.troubles == ("one connection was closed silently after 5 responses, which could not be seen again",)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (LAST, Why.SERVER_CLOSE),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Why.SERVER_CLOSE),
        (b"HTTP/1.1 200 OK\r\n\r\nok", Why.CLOSE_DELIMITED),
        (OK + b"more", Why.UNASKED_DATA),
    ],
)
def test_a_server_that_never_keeps_is_asked_once(answer, why):
    with ScriptedServer([RawConnection.read_request, answer]) as server:
        found = survey(server.url, max_wait=LONG)
        assert len(server.requests) == 1
    assert (found.is_kept, found.run.limit, found.run.why_close, found.run.hangup) == (False, 1, why, Hangup.FIN)
    assert found.has_unasked is (why is Why.UNASKED_DATA)
    assert found.host_config == HostConfig(keep_alive=False)


def test_a_server_that_closes_after_each_answer_without_saying_so_never_keeps_either():
    with ScriptedServer([RawConnection.read_request, OK]) as server:
        found = survey(server.url, max_wait=LONG)
    assert (found.is_kept, found.run.why_close) == (False, None)
    assert found.host_config == HostConfig(keep_alive=False)


def test_a_server_that_has_had_enough_is_left_alone(sites):
    numbers = itertools.count(1)
    site = sites.add(handler=lambda request: Answer(status=429) if next(numbers) > IDLE_LINES + 2 else None)
    found = survey(site.url, max_wait=0.3)
    assert found.troubles == ("counting was stopped by response 3, a 429",)
    assert (found.run.limit, len(found.run.replies)) == (None, 3)
    assert [request.number for request in site.log].count(3) == 1


def test_interim_answers_and_pieces_of_a_body_are_read_over():
    def in_pieces(connection):
        with_chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _ in range(3):
            connection.read_request()
            for piece in (b"HTTP/1.1 103 Early Hints\r\n\r\nHTT", b"P/1.1 102 Processing\r\n\r\n", with_chunks):
                connection.send(piece)
            for piece in (b"2\r\nok\r\n", b"0\r\n", b"X: y\r\n\r\n"):
                connection.send(piece)
        connection.half_close()

    with ScriptedServer(*[serve] * IDLE_LINES, in_pieces) as server:
        found = survey(server.url, max_wait=0.3)
    assert (found.run.limit, found.troubles) == (3, ())


# Failing


def test_a_host_that_is_not_there_is_the_callers_error(sites):
    site = sites.add()
    site.halt()
    with pytest.raises(errors.RefusedError):
        survey(site.url)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", errors.ServerDisconnected),
        (b"HTTP/1.1 2", errors.TruncatedHead),
        (b"SSH-2.0-OpenSSH_9.2\r\n", errors.InvalidHead),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", errors.IncompleteBody),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 12000, errors.HeadTooLarge),
    ],
)
def test_a_first_answer_that_is_none_is_the_callers_error(answer, kind):
    with ScriptedServer([RawConnection.read_request, answer]) as server, pytest.raises(kind) as raised:
        survey(server.url)
    error = raised.value
    assert (error.origin, error.retry_safe) == (server.url, True)
    assert error.received == len(answer) or kind is errors.HeadTooLarge
    assert str(error).startswith(f"GET {server.url}: ")
    assert error.sent > 0


@pytest.mark.parametrize(
    ("bounds", "kind", "limit"),
    [
        ({"timeout": 0.1}, errors.ReadTimeout, 0.1),
        ({"timeout": Timeout(read=None), "max_wait": 0.1}, errors.TotalTimeout, 0.1),
    ],
)
def test_a_silent_server_is_not_waited_for_longer_than_allowed(bounds, kind, limit):
    with ScriptedServer([RawConnection.read_until_closed]) as server, pytest.raises(kind) as raised:
        survey(server.url, **bounds)
    assert raised.value.limit == limit


def test_a_server_that_takes_one_connection_at_a_time_is_measured_as_far_as_it_goes():
    idle = threading.Event()
    first = [RawConnection.read_request, OK, lambda connection: connection.wait(idle)]
    troubles = iter(range(2))

    def refuse(_):
        if next(troubles) == 1:
            idle.set()

    with ScriptedServer(first, refuse) as server:
        found = survey(server.url, max_wait=LONG)
    assert [end.served for end in found.idle] == [1]
    assert (found.run.replies, found.run.limit, found.is_kept) == ((), None, True)
    assert [trouble.partition(":")[0] for trouble in found.troubles] == [
        f"1 instead of {IDLE_LINES} connections were left idle",
        "counting requests failed",
    ]


def test_an_interrupt_leaves_no_connection_open(sites):
    site = sites.add()

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey(site.url, on_progress=when_counted(3, interrupt))
    assert site.opened == 3
    assert site.wait_for(lambda: site.open_now == 0)


@pytest.mark.parametrize(
    ("url", "arguments", "kind"),
    [
        ("localhost", {}, errors.MissingSchema),
        ("ftp://localhost", {}, errors.InvalidSchema),
        ("http://localhost", {"max_wait": 0}, errors.ConfigError),
        ("http://localhost", {"max_wait": float("nan")}, errors.ConfigError),
        ("http://localhost", {"max_requests": 0}, errors.ConfigError),
        ("http://localhost", {"timeout": -1}, errors.ConfigError),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(url, arguments, kind):
    with pytest.raises(kind):
        survey(url, **arguments)


def test_no_limits_means_until_the_server_ends_everything(sites):
    site = sites.add(Behaviour(hint_max=150, drop_idle_s=0.3))
    found = survey(site.url, max_wait=None, max_requests=None)
    assert found.run.limit == 151
    assert len(found.idle) == IDLE_LINES


def test_keep_alive_is_asked_for_whatever_the_hosts_configuration_says(sites):
    site = sites.add(Behaviour(drop_idle_s=0.3))
    found = survey(site.url, max_wait=LONG, max_requests=2, host=HostConfig(keep_alive=False, headers={"X-A": "b"}))
    assert found.is_kept
    assert {request.headers["x-a"] for request in site.log} == {"b"}


# Conclusions


@pytest.mark.parametrize(
    ("values", "means"),
    [
        ([], None),
        ([5], None),
        ([None, 5, None], None),
        ([5, 4, 3, None], MaxMeans.LEFT),
        ([5, 5, 5], MaxMeans.WHOLE),
        ([5, 4, 4], MaxMeans.UNCLEAR),
        ([5, 3], MaxMeans.UNCLEAR),
    ],
)
def test_max_is_read_from_how_it_changes(values, means):
    assert what_max_means(values) is means


@pytest.mark.parametrize(
    ("measured", "announced", "recommended"),
    [
        (None, 5, INHERIT),
        (75.02, None, 74.0),
        (5.6, 5, 4.0),
        (2.0, 5, 1.5),
        (1.0, 1, 0.7),
        (0.1, None, 0.0),
        (0.0, None, 0.0),
    ],
)
def test_the_recommended_idle_timeout_lies_below_what_was_measured_and_announced(measured, announced, recommended):
    assert idle_timeout_below(measured, announced) == recommended


# Real servers


def test_apache_counts_down_and_announces_both_ends(apache):
    server = apache(KeepAliveTimeout=1, MaxKeepAliveRequests=5)
    found = survey(server.url, max_wait=LONG)
    assert (found.reply.hint.timeout, found.max_means, found.is_early) == (1, MaxMeans.LEFT, False)
    assert found.run.limit == len(found.run.replies) > 1
    assert found.run.why_close is Why.SERVER_CLOSE
    assert found.run.replies[-2].hint.max == 1
    assert {end.hangup for end in found.idle} == {Hangup.FIN}
    assert found.host_config.idle_timeout < found.idle_s


def test_node_states_the_whole(node_server):
    server = node_server(keepAliveTimeout=1000, maxRequestsPerSocket=5)
    found = survey(server.url, max_wait=LONG)
    assert (found.reply.hint.timeout, found.reply.hint.max, found.max_means) == (1, 5, MaxMeans.WHOLE)
    assert (found.run.limit, found.run.why_close) == (5, Why.SERVER_CLOSE)
    assert found.host_config.idle_timeout < found.idle_s


def test_nginx_says_nothing_about_time_and_announces_the_last_request(nginx):
    server = nginx(keepalive_timeout="1s", keepalive_requests=7)
    found = survey(server.url, max_wait=LONG)
    assert found.reply.keep_alive is None
    assert (found.run.limit, found.run.why_close) == (7, Why.SERVER_CLOSE)
    assert len(found.idle) == IDLE_LINES
    assert found.host_config.idle_timeout < found.idle_s
    assert found.host_config.max_requests == 7
