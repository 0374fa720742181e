"""`survey(pipelined=True)`: what is seen of servers that bear requests sent at once, and of those that do not."""

from __future__ import annotations

import re
import ssl
import threading
from dataclasses import replace

import pytest
import trustme
from net.proxies import TunnelProxy

from keeppool import INHERIT, HostConfig, survey
from keeppool.probe.habits import Pipelining
from keeppool.probe.survey import IDLE_LINES
from keeppool.testing import Answer, Behaviour, RawConnection, ScriptedServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
OLD = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
PAGE = b"abcdefgh"
#: Longer than any of these surveys takes.
LONG = 30.0
#: Requests on the connection that is pipelined on.
BURSTS = 1 + 2 + 4


def part(number: int) -> bytes:
    """The response that holds one byte of the page."""
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: 1\r\n\r\n"
    return head % (number, number, len(PAGE)) + PAGE[number : number + 1]


def reads(count: int):
    return [RawConnection.read_request] * count


def seen_of(*script, first=OK, timeout=20, host=None):
    """Survey a server that follows a script on the connection that is pipelined on, and is a good one on all others."""
    done = threading.Event()
    idle = [*reads(1), OK, lambda connection: connection.wait(done)]
    counted = [*reads(1), OK, *idle]
    with ScriptedServer([*reads(1), first, *script], *[idle] * IDLE_LINES, counted) as server:
        found = survey(
            server.url,
            max_wait=LONG,
            max_requests=2,
            timeout=timeout,
            host=host,
            pipelined=True,
            on_progress=lambda progress: done.set() if progress.idle == IDLE_LINES else None,
        )
        assert found.troubles == ()
        return found.pipelined


def survey_of(site, url=None, *, requests=BURSTS + IDLE_LINES + 2, pipelined=True, host=None):
    """Survey a site; it hangs up on idle connections as soon as it has responded to all requests that are due."""
    return survey(
        url or site.url,
        max_wait=LONG,
        max_requests=2,
        host=host,
        pipelined=pipelined,
        on_progress=lambda progress: site.drop_idle() if progress.requests == requests else None,
    )


def facts(seen):
    return seen.verdict, seen.answered, seen.asked, seen.depth


def test_a_server_that_knows_ranges_is_seen_to_keep_the_order():
    both = [*reads(2), part(0) + part(1)]
    seen = seen_of(*both, *reads(4), part(0) + part(1)[:50], part(1)[50:] + part(2) + part(3))
    assert facts(seen) == (Pipelining.WHOLE, 4, 4, 4)
    assert seen.is_ordered


def test_one_that_does_not_is_whole_and_its_order_could_not_be_seen(sites):
    site = sites.add()
    found = survey_of(site)
    assert facts(found.pipelined) == (Pipelining.WHOLE, 4, 4, 4)
    assert not found.pipelined.is_ordered
    assert found.host_config.pipelining is INHERIT, "what cannot be known of a host is not recommended"
    assert site.requests == BURSTS + IDLE_LINES + 2
    assert site.peak_open == IDLE_LINES + 1, "the connection they were sent on is not kept"
    asked = [request.headers.get("range") for request in site.log if request.connection == 1]
    assert asked == [None, *(f"bytes={n}-{n}" for n in (0, 1, 0, 1, 2, 3))]


def test_the_embedded_site_keeps_the_order_where_its_pages_say_what_they_are(sites):
    def page(request):
        wanted = re.fullmatch(r"bytes=(\d)-\1", request.headers.get("range", ""))
        if wanted is None:
            return Answer(body=PAGE)
        number = int(wanted[1])
        fields = (("Content-Range", f"bytes {number}-{number}/{len(PAGE)}"),)
        return Answer(status=206, body=PAGE[number : number + 1], headers=fields)

    found = survey_of(sites.add(handler=page))
    assert (facts(found.pipelined), found.pipelined.is_ordered) == ((Pipelining.WHOLE, 4, 4, 4), True)


def test_nothing_is_sent_at_once_unless_it_is_asked_for(sites):
    site = sites.add()
    assert survey_of(site, requests=IDLE_LINES + 2, pipelined=False).pipelined is None
    assert {request.headers.get("range") for request in site.log} == {None}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([*reads(2), part(1) + part(0)], (Pipelining.MIXED, 2, 2, 1)),
        ([*reads(2), OK * 3], (Pipelining.MIXED, 2, 2, 1)),
        ([*reads(2), OK + b"garbage that is no HTTP\r\n\r\n"], (Pipelining.MIXED, 1, 2, 1)),
        ([*reads(2), OK * 2, *reads(4), part(0) + part(2) + part(1) + part(3)], (Pipelining.MIXED, 4, 4, 1)),
        ([*reads(2), OK], (Pipelining.CLOSED, 1, 2, 1)),
        ([*reads(2), LAST], (Pipelining.CLOSED, 1, 2, 1)),
        ([*reads(2), OK, RawConnection.reset], (Pipelining.CLOSED, None, 2, 1)),
        ([*reads(2), RawConnection.reset], (Pipelining.CLOSED, 0, 2, 1)),
        ([*reads(2), OK + OK[:9]], (Pipelining.CLOSED, 1, 2, 1)),
        ([*reads(2), OK + OK[:-1]], (Pipelining.CLOSED, 1, 2, 1)),
        ([*reads(2), OK * 2, *reads(4), OK * 3], (Pipelining.CLOSED, 3, 4, 2)),
        ([*reads(2), OK + OLD], (Pipelining.NOT_HTTP_11, 2, 2, 1)),
        ([*reads(2), OK + OK.replace(b"200 OK", b"400 Bad Request")], (Pipelining.UNKNOWN, 2, 2, 1)),
        ([*reads(2), OK.replace(b"200 OK", b"429 Enough"), OK], (Pipelining.UNKNOWN, 2, 2, 1)),
        ([*reads(2), b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, OK, *reads(4), OK * 4], (Pipelining.WHOLE, 4, 4, 4)),
        ([*reads(2), OK + LAST], (Pipelining.WHOLE, 2, 2, 2)),
        ([*reads(2), OK * 2], (Pipelining.WHOLE, 2, 2, 2)),
    ],
    ids=[
        "changed places",
        "one too many",
        "no HTTP behind the first",
        "changed places, four deep",
        "closed after the first",
        "closed after the first, announced",
        "reset after the first",
        "reset at once",
        "closed in the second head",
        "closed in the second body",
        "closed when four were sent",
        "HTTP/1.0 in between",
        "the second is refused",
        "asks for fewer",
        "interim responses",
        "announced with the last",
        "closed between the bursts",
    ],
)
def test_each_way_has_its_verdict(script, expected):
    seen = seen_of(*script)
    verdict, answered, asked, depth = expected
    assert facts(seen) == (verdict, seen.answered if answered is None else answered, asked, depth)
    assert seen.why


@pytest.mark.parametrize(
    ("responses", "how"),
    [
        (OK, "closed, unannounced"),
        (LAST, "closed, announced"),
        (OK + OK[:9], "closed in the middle of the next one"),
        (OK + OK[:-1], "closed in the middle of the next one"),
    ],
)
def test_how_the_connection_was_closed_is_said(responses, how):
    why = seen_of(*reads(2), responses).why
    assert why == f"1 of 2 requests sent at once had their response, then the connection was {how}"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([*reads(2), OK], (Pipelining.ONLY_FIRST, 1, 2, 1)),
        ([*reads(2), OK * 2, *reads(4), OK * 3], (Pipelining.ONLY_FIRST, 3, 4, 2)),
        ([*reads(2), OK + ENDLESS], (Pipelining.ONLY_FIRST, 1, 2, 1)),
        (reads(2), (Pipelining.UNKNOWN, 0, 2, 1)),
    ],
    ids=["first", "three of four", "a body that never ends", "none"],
)
def test_a_server_that_falls_silent_is_waited_for_as_long_as_for_any_response(script, expected):
    seen = seen_of(*script, RawConnection.read_until_closed, timeout=0.3)
    assert facts(seen) == expected
    assert seen.why.endswith("then none came in time")


def test_a_response_too_many_that_comes_a_moment_later_is_seen():
    due, is_sent = threading.Event(), threading.Event()
    script = [*reads(1), OK, *reads(2), OK * 2, *reads(4), OK * 4, lambda connection: connection.wait(due), OK]
    script += [lambda _: is_sent.set(), RawConnection.read_until_closed]

    def late(progress):
        if progress.requests == BURSTS:
            due.set()
            assert is_sent.wait(20)

    with ScriptedServer(script, [*reads(1), OK]) as server:
        seen = survey(server.url, max_wait=LONG, pipelined=True, on_progress=late).pipelined
    assert facts(seen) == (Pipelining.MIXED, 4, 4, 1)


def test_a_body_that_trickles_for_ever_is_given_up():
    def trickle(connection):
        while True:
            connection.send(b"1\r\na\r\n")

    seen = seen_of(*reads(2), OK + ENDLESS, trickle, timeout=0.3)
    assert facts(seen) == (Pipelining.ONLY_FIRST, 1, 2, 1)


def test_the_end_of_the_surveys_time_says_nothing_about_the_server():
    with ScriptedServer([*reads(1), OK, *reads(2), RawConnection.read_until_closed]) as server:
        found = survey(server.url, max_wait=0.3, timeout=20, pipelined=True)
    assert (facts(found.pipelined), found.pipelined.why) == (
        (Pipelining.UNKNOWN, 0, 0, 1),
        "there was no time left to try",
    )


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(2, (Pipelining.UNKNOWN, 1, 2, 1)), (4, (Pipelining.WHOLE, 2, 2, 2)), (7, (Pipelining.WHOLE, 4, 4, 4))],
)
@pytest.mark.parametrize("is_announced", [True, False])
def test_a_servers_limit_of_requests_is_not_taken_for_a_break(sites, limit, expected, is_announced):
    limited = Behaviour(hint_max=limit - 1) if is_announced else Behaviour(close_after=limit)
    found = survey(sites.add(replace(limited, drop_idle_s=0.5)).url, max_wait=LONG, max_requests=9, pipelined=True)
    assert found.run.limit == limit
    assert facts(found.pipelined) == expected


@pytest.mark.parametrize(
    ("behaviour", "verdict"),
    [
        (Behaviour(http_version="1.0"), Pipelining.NOT_HTTP_11),
        (Behaviour(http_version="1.0", keep_alive=False), Pipelining.NOT_HTTP_11),
        (Behaviour(keep_alive=False), Pipelining.UNKNOWN),
        (Behaviour(framing="close"), Pipelining.UNKNOWN),
        (Behaviour(status=503), Pipelining.UNKNOWN),
    ],
    ids=["HTTP/1.0 that keeps", "HTTP/1.0", "never kept", "ends by closing", "asks for fewer"],
)
def test_where_it_cannot_be_tried_nothing_is_sent_at_once(sites, behaviour, verdict):
    site = sites.add(behaviour)
    found = survey_of(site, requests=IDLE_LINES + (1 if behaviour.status == 503 else 2))
    assert facts(found.pipelined) == (verdict, 0, 0, 1)
    assert {request.headers.get("range") for request in site.log} == {None}


def test_nothing_is_sent_at_once_through_a_proxy_that_forwards(sites):
    proxy = sites.add()
    found = survey_of(proxy, "http://origin.example/", requests=IDLE_LINES + 2, host=HostConfig(proxy=proxy.url))
    assert facts(found.pipelined) == (Pipelining.UNKNOWN, 0, 0, 1)
    assert {request.headers.get("range") for request in proxy.log} == {None}


def test_a_range_of_the_configurations_own_is_left_alone():
    """And is not taken for responses that have changed places."""
    first = part(0)
    host = HostConfig(headers={"Range": "bytes=0-0"})
    seen = seen_of(*reads(2), first * 2, *reads(4), first * 4, first=first, host=host)
    assert (facts(seen), seen.is_ordered) == ((Pipelining.WHOLE, 4, 4, 4), False)


@pytest.mark.parametrize("is_tunnelled", [False, True], ids=["directly", "through a tunnel"])
def test_over_tls_it_is_the_same(sites, is_tunnelled):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    site = sites.add(tls=context)
    with authority.cert_pem.tempfile() as path, TunnelProxy() as proxy:
        host = HostConfig(verify=path, proxy=proxy.url if is_tunnelled else None)
        found = survey_of(site, host=host)
        assert (proxy.connections > 0) is is_tunnelled
    assert facts(found.pipelined) == (Pipelining.WHOLE, 4, 4, 4)


def test_nginx_is_whole_and_in_order(nginx):
    found = survey(nginx(keepalive_timeout="1s").url, max_wait=LONG, max_requests=2, pipelined=True)
    assert facts(found.pipelined) == (Pipelining.WHOLE, 4, 4, 4)
    assert found.pipelined.is_ordered
