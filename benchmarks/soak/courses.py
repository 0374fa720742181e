"""What the servers of a soak do wrong: each fault of `plan.FAULTS`, as a function of the same name.

Those that happen at the head are done with it; the others are generators, which may pause. At which byte, and after how
long, the plan's `chance` says. Does not know: what follows for the client (`faults.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.soak.peer import Course, Faults, Peer, response
from benchmarks.soak.plan import Plan

#: More than any limit for a head.
ENDLESS = b"X-More: " + b"m" * 8000 + b"\r\n"
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Id: evil\r\n\r\npoison"
LATE_408 = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nX-Id: %d\r\nConnection: close\r\n\r\n"


def closes_unread(peer: Peer, plan: Plan) -> None:
    peer.close()


def resets_unread(peer: Peer, plan: Plan) -> None:
    peer.reset()


def refuses_upload(peer: Peer, plan: Plan) -> None:
    """Say no at the head, and close with most of the body unread."""
    peer.transport.write(REFUSAL % plan.number)
    peer.close()


def executes_closes(peer: Peer, plan: Plan) -> Course:
    peer.close()
    yield from ()


def executes_resets(peer: Peer, plan: Plan) -> Course:
    peer.reset()
    yield from ()


def cut(end: Callable[[Peer], object]) -> Callable[[Peer, Plan], Course]:
    """End after any byte of the response but the last."""

    def course(peer: Peer, plan: Plan) -> Course:
        whole = response(plan)
        peer.transport.write(whole[: plan.chance % len(whole)])
        end(peer)
        yield from ()

    return course


def silent(peer: Peer, plan: Plan) -> Course:
    yield 3600


def cut_silent(peer: Peer, plan: Plan) -> Course:
    whole = response(plan)
    peer.transport.write(whole[: plan.chance % len(whole)])
    yield 3600


def drips(peer: Peer, plan: Plan) -> Course:
    """Send a byte at a time, of a long body only the first ones."""
    whole = response(plan)
    for place in range(min(len(whole), 300)):
        peer.transport.write(whole[place : place + 1])
        yield 0
    peer.transport.write(whole[300:])
    if plan.framing == "until close":
        peer.close()


def in_two(peer: Peer, plan: Plan) -> Course:
    whole = response(plan)
    place = plan.chance % len(whole)
    peer.transport.write(whole[:place])
    yield 0.002
    peer.transport.write(whole[place:])
    if plan.framing == "until close":
        peer.close()


def flips_a_byte(peer: Peer, plan: Plan) -> Course:
    """Change one byte of the head, whatever that makes of it."""
    whole = bytearray(response(plan))
    whole[plan.chance % whole.index(b"\r\n\r\n")] ^= 1 << plan.chance % 7
    peer.transport.write(bytes(whole))
    yield 0.02
    peer.end_idle(lingers=True)


def no_http(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(b"220 smtp.example ESMTP\r\n")
    yield 0.02
    peer.close()


def interim(peer: Peer, plan: Plan) -> Course:
    for number in range(1 + plan.chance % 5):
        peer.transport.write(b"HTTP/1.1 10%d Wait\r\nX-Wait: %d\r\n\r\n" % (2 + number % 2, number))
    yield plan.chance % 3 / 1000
    peer.transport.write(response(plan))
    if plan.framing == "until close":
        peer.close()


def interim_closes(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    yield 0.001
    peer.close()


def bad_chunk(peer: Peer, plan: Plan) -> Course:
    whole = response(plan)
    peer.transport.write(whole.removesuffix(b"0\r\n\r\n") + b"zz\r\n")
    yield 3600


def too_short(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(response(plan, excess=1 + plan.chance % 50))
    peer.close()
    yield from ()


def too_long(peer: Peer, plan: Plan) -> Course:
    peer.host.surplus += 1
    peer.transport.write(response(plan) + b"and more")
    yield 3600


def second_response(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(response(plan) + SECOND)
    yield 3600


def two_framings(peer: Peer, plan: Plan) -> Course:
    """Frame a body by chunks, and say a length too."""
    peer.transport.write(response(plan, b"Content-Length: 5\r\n", framing="chunked"))
    yield 0.02
    peer.close()


def damaged_gzip(peer: Peer, plan: Plan) -> Course:
    whole = bytearray(response(plan))
    place = whole.index(b"\r\n\r\n") + 4
    whole[place : place + 2] = b"no"
    peer.transport.write(bytes(whole))
    yield from ()


def endless_head(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(b"HTTP/1.1 200 OK\r\n" + ENDLESS * 50)
    yield 0.2
    peer.close()


def says_close(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(response(plan, b"Connection: close\r\n"))
    peer.close()
    yield from ()


def last_of_max(peer: Peer, plan: Plan) -> Course:
    """Announce that no further request is taken, and take none."""
    peer.transport.write(response(plan, b"Connection: keep-alive\r\nKeep-Alive: timeout=5, max=0\r\n"))
    yield 0.005
    peer.close()


def closes_behind(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(response(plan))
    peer.end_idle(lingers=plan.chance % 2 == 0)
    yield from ()


def _delay(plan: Plan) -> float:
    return -(0.001, 0.005, 0.02, 0.1)[plan.chance % 4]


def closes_idle(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(response(plan))
    if not (yield _delay(plan)):
        peer.end_idle(lingers=plan.chance % 8 > 3)


def resets_idle(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(response(plan))
    if not (yield _delay(plan)):
        peer.host.loose += 1
        peer.reset()


def says_408_when_idle(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(response(plan))
    if not (yield _delay(plan)):
        peer.transport.write(LATE_408)
        peer.end_idle(lingers=plan.chance % 8 > 3)


def half_closes(peer: Peer, plan: Plan) -> Course:
    peer.transport.write(response(plan))
    peer.end_idle(lingers=True)
    yield from ()


AT_THE_HEAD: dict[str, Callable[[Peer, Plan], None]] = {
    "closes unread": closes_unread,
    "resets unread": resets_unread,
    "refuses upload": refuses_upload,
}
COURSES: dict[str, Callable[[Peer, Plan], Course]] = {
    "executes, closes": executes_closes,
    "executes, resets": executes_resets,
    "cut, closes": cut(Peer.close),
    "cut, resets": cut(Peer.reset),
    "cut, silent": cut_silent,
    "silent": silent,
    "drips": drips,
    "in two": in_two,
    "flips a byte": flips_a_byte,
    "no http": no_http,
    "interim": interim,
    "interim, closes": interim_closes,
    "bad chunk": bad_chunk,
    "too short": too_short,
    "too long": too_long,
    "second response": second_response,
    "two framings": two_framings,
    "damaged gzip": damaged_gzip,
    "endless head": endless_head,
    "says close": says_close,
    "last of max": last_of_max,
    "closes behind": closes_behind,
    "closes idle": closes_idle,
    "resets idle": resets_idle,
    "408 when idle": says_408_when_idle,
    "half-closes": half_closes,
}

FAULTS = Faults(AT_THE_HEAD, COURSES)
