"""Opening one connection on an event loop: `dial.py`'s twin, which waits otherwise.

Decides: nothing that `dial.py` does not. The sequences are `Steps`, the race's turns are `race.py`'s, the errors
`failures.py`'s.
Knows: how an event loop resolves names and takes over a socket; that each wait may be cancelled.
Does not know: the pool, why a connection is wanted, what is sent on it.

Source: RFC 9110 §4.2 (http and https), §9.3.6 (CONNECT); RFC 8305 (Happy Eyeballs).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from copy import copy
from typing import TypeVar

from keeppool.core.origin import Origin, TlsIdentity
from keeppool.net.addresses import for_socks, interleaved
from keeppool.net.deadline import Deadline
from keeppool.net.dialling import Dialling
from keeppool.net.failures import shaking_hands, tunnelling
from keeppool.net.laps import Laps
from keeppool.net.proxy import tunnel_steps
from keeppool.net.questions import to_be_told
from keeppool.net.race import RaceLost
from keeppool.net.race_tasks import race
from keeppool.net.resolver_tasks import LoopResolver
from keeppool.net.steps import Steps
from keeppool.net.stream_tasks import READ, Channel, open_channel
from keeppool.net.tls import TlsStore
from keeppool.net.tls_layer import TlsLayer

T = TypeVar("T")


async def dial(
    origin: Origin,
    *,
    seconds: float | None,
    tls: TlsStore,
    resolver: LoopResolver | None = None,
    opened: Callable[[socket.socket], object] | None = None,
    laps: Laps | None = None,
) -> Channel:
    """Open a connection to an origin: TCP or a Unix socket, TLS to an https proxy, CONNECT or SOCKS, TLS.

    Args:
        origin: Where to, and how.
        seconds: For all steps together, resolving names included; `None` for no limit.
        tls: Contexts and sessions of the pool this connection is for.
        resolver: Asked for names; one whose addresses all failed is forgotten. `None` for one that keeps nothing.
        opened: Told of every socket as soon as it is there; whether it connects or is closed again, nobody says.
        laps: Told of each step as it begins.

    Returns:
        A connected channel with nothing accepted yet. `resumed` tells whether the TLS next to the caller resumed a
        session.

    Raises:
        ConnectError: As `keeppool.net.dial.dial`, with the same classes and messages.
        ConfigError, InvalidProxyURL: As `keeppool.net.dial.dial`.

        Nothing was sent to the origin, and every socket is closed; also if the task is cancelled, which at the latest
        the event loop's next turns see to. The first context of a configuration occupies a thread until it is built,
        for whoever dials next.
    """
    resolver = resolver or LoopResolver()
    with Dialling(origin, resolver) as dialling:
        channel = await _open(dialling, tls, resolver, seconds, opened, laps)
    channel.laps = laps
    return channel


async def _open(
    dialling: Dialling,
    tls: TlsStore,
    resolver: LoopResolver,
    seconds: float | None,
    opened: Callable[[socket.socket], object] | None,
    laps: Laps | None,
) -> Channel:
    origin = dialling.origin
    if origin.proxy is None and origin.scheme == "http":  # Most in a crawl: nobody to ask for a way, and no TLS.
        dialling.begin(seconds, laps)
        return await open_channel(await _reach(dialling, resolver, opened))
    hop, identity = origin.tls_hop(), origin.identity
    # Before the clock starts: no host is at fault for the 15 to 35 ms of a configuration's first context.
    for checked in origin.identities():
        await _have_context(checked, tls)
    deadline = dialling.begin(seconds, laps)
    steps = tunnel_steps(origin, await _address_for_proxy(dialling, resolver))
    channel = await open_channel(await _reach(dialling, resolver, opened))
    try:
        if hop is not None:
            await _secure(channel, origin, hop, hop.tls or TlsIdentity(), tls, deadline)
        if steps is not None:
            with tunnelling(origin, deadline):
                await drive(steps, channel, deadline)
        if identity is not None:
            await _secure(channel, origin, origin, identity, tls, deadline)
    except BaseException:
        channel.abort()
        raise
    channel.reset_accepted()
    return channel


async def _have_context(identity: TlsIdentity, tls: TlsStore) -> None:
    """See that the context is there, and let others go on while it is built. One that is there costs no turn."""
    building = tls.building(identity)
    if building is not None:
        try:
            await asyncio.wrap_future(building)
        except OSError as error:
            raise copy(error) from error.__cause__  # Others wait for the same one, and each writes into its own.
    tls.context_for(identity)


async def _reach(
    dialling: Dialling, resolver: LoopResolver, opened: Callable[[socket.socket], object] | None
) -> socket.socket:
    """Connect to the origin, or to the proxy before it."""
    question, made_ready = dialling.next_hop()
    addresses = interleaved(await resolver.resolve(question, dialling.deadline))

    def prepare(sock: socket.socket) -> None:
        if opened is not None:
            opened(sock)
        made_ready(sock)

    try:
        return await race(addresses, deadline=dialling.connects(), prepare=prepare)
    except RaceLost as lost:
        dialling.lost(lost)
    return await _reach(dialling, resolver, opened)


async def _address_for_proxy(dialling: Dialling, resolver: LoopResolver) -> str | None:
    """Give the origin's address, if its proxy needs one."""
    question = to_be_told(dialling.origin)
    if question is None:
        return None
    return for_socks(await resolver.resolve(dialling.looks_up(question), dialling.deadline))


async def _secure(
    channel: Channel, origin: Origin, peer: Origin, identity: TlsIdentity, tls: TlsStore, deadline: Deadline
) -> None:
    """Shake hands with `peer`, the origin or the https proxy before it."""
    with shaking_hands(origin, deadline, by_proxy=peer is not origin):
        layer = tls.layer_for(peer, identity)
        await shake_hands(layer, channel, deadline)
        tls.check_peer(layer, identity)


async def shake_hands(layer: TlsLayer, channel: Channel, deadline: Deadline) -> None:
    """Have a channel speak TLS from now on.

    Raises:
        TimeoutError: The deadline passed.
        OSError: The handshake failed; the server was sent the reason. Nothing more can be sent.
    """
    try:
        await drive(layer.handshake(), channel, deadline)
    except ssl.SSLError:
        with contextlib.suppress(OSError):  # A courtesy: the alert that says why.
            channel.write(layer.outgoing())
        raise
    last = layer.outgoing()
    if last:
        channel.write(last)
    channel.secure(layer)


async def drive(steps: Steps[T], channel: Channel, deadline: Deadline) -> T:
    """Run steps on a channel; the twin of `keeppool.net.steps.drive`.

    Args:
        steps: Not started yet; has ended when this returns, raises or is cancelled.
        channel: Stays the caller's, also to close.
        deadline: When the last step must be over.

    Returns:
        What the steps return.

    Raises:
        TimeoutError: The deadline passed.
        OSError: The connection failed.
        Exception: Whatever the steps raise.
    """
    try:
        data = next(steps)
        while True:
            if data:
                channel.write(data)
            data = steps.send(await channel.receive(READ, deadline.left()))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()
