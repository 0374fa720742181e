"""Asking a SOCKS proxy for a way to the origin: versions 4, 4a and 5.

Decides: which answers open the way, and how many bytes an answer may have.
Knows: the order of SOCKS's messages; python-socks writes and reads them.
Does not know: how the proxy was reached, how names are resolved, what will run through the tunnel.

python-socks is needed for such proxies only (`pip install 'keeppool[socks]'`) and imported with the first of them. Its
public interface opens sockets of its own; the messages beneath it do no I/O, so one sequence serves threads and
asyncio. They are the same, but for annotations, in its releases 2.4.3 to 3.2.1 (looked at November 2026).

Source: RFC 1928 (SOCKS 5), RFC 1929 (user and password); the SOCKS 4 and 4A memos by Ying-Da Lee.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from keeppool.core.origin import Origin
from keeppool.errors import InvalidProxyURL, ProxyError, ResolveError
from keeppool.forks import undivided
from keeppool.net.steps import Steps

#: "No authentication required" and "username/password" (RFC 1928 §3).
_ANONYMOUS, _PASSWORD = 0, 2
#: Bytes of a reply's address by its type: IPv4 and IPv6 (RFC 1928 §5). A name says its length itself.
_ADDRESS_BYTES = {1: 4, 4: 16}
_NAME = 3


def socks_steps(origin: Origin, address: str | None = None) -> Steps[None]:
    """Ask `origin.proxy` to connect to the origin.

    Args:
        origin: Whose host and port are asked for.
        address: What to ask for instead of the host's name: its address, where the proxy does not resolve names.

    Returns:
        The steps. They raise ProxyError if the proxy refused (`status` is its reply code, if it gave one), closed,
        did not speak SOCKS, or sent more than its answers; ResolveError if SOCKS cannot carry the name.

    Raises:
        InvalidProxyURL: python-socks is not installed.
    """
    try:
        with undivided:
            from python_socks._protocols import socks4, socks5
    except ImportError as error:
        message = (
            f"{origin}: a SOCKS proxy needs python-socks: pip install 'keeppool[socks]' ('.[socks]' in its source)"
        )
        raise InvalidProxyURL(message, url=str(origin.proxy)) from error
    host = address or (origin.host.partition("%")[0] if ":" in origin.host else origin.host)
    user, password = (origin.proxy and origin.proxy.credentials) or (b"", b"")
    if origin.proxy is not None and origin.proxy.scheme.startswith("socks4"):
        return _version_4(origin, host, user, socks4)
    return _version_5(origin, host, user, password, socks5)


def _version_4(origin: Origin, host: str, user: bytes, messages: ModuleType) -> Steps[None]:
    request = messages.ConnectRequest(host=host, port=origin.port, user_id=user.decode("ascii"))
    reply = messages.ConnectReply
    yield from _ask(origin, _written(origin, request), reply.loads, lambda _: int(reply.SIZE))


def _version_5(origin: Origin, host: str, user: bytes, password: bytes, messages: ModuleType) -> Steps[None]:
    methods = bytes([_ANONYMOUS, _PASSWORD] if user else [_ANONYMOUS])
    greeting = bytes([messages.SOCKS_VER, len(methods)]) + methods
    chosen = yield from _ask(origin, greeting, messages.AuthMethodReply.loads)
    if chosen.method not in methods:
        raise _refused(origin, f"it wants authentication by method {chosen.method:d}, which was not offered")
    if chosen.method == _PASSWORD:
        # Written here (RFC 1929 §2), because python-socks writes ASCII only.
        secret = bytes([1, len(user)]) + user + bytes([len(password)]) + password
        yield from _ask(origin, secret, messages.AuthReply.loads)
    request = messages.ConnectRequest(host=host, port=origin.port)
    yield from _ask(origin, _written(origin, request), messages.ConnectReply.loads, _reply_size)


def _two(_: bytes) -> int:
    """Say how long the answers about authentication are (RFC 1928 §3, RFC 1929 §2)."""
    return 2


def _reply_size(data: bytes) -> int:
    """Say how long version 5's reply is, as far as its beginning tells: a refusal needs no more than its code."""
    if len(data) < 2 or data[:2] != b"\x05\x00":
        return 2
    if len(data) < 5:
        return 5
    address = 1 + data[4] if data[3] == _NAME else _ADDRESS_BYTES.get(data[3], 0)
    return max(5, 4 + address + 2)


def _ask(
    origin: Origin, message: bytes, loads: Callable[[bytes], Any], size: Callable[[bytes], int] = _two
) -> Steps[Any]:
    """Send one message and read its answer, at most 262 bytes; whoever sends more is not waiting for us to speak."""
    from python_socks._protocols.errors import ReplyError

    data, piece = b"", (yield message)
    while piece:
        data += piece
        whole = size(data)
        if len(data) < whole:
            piece = yield b""
            continue
        try:
            answer = loads(data[:whole])
        except (ReplyError, ValueError) as error:  # ValueError: the name in a reply is no text.
            raise _refused(origin, str(error), getattr(error, "error_code", None)) from error
        if len(data) > whole:
            raise _refused(origin, "it sent more than its answer")
        return answer
    raise _refused(origin, "it closed the connection without an answer")


def _written(origin: Origin, request: Any) -> bytes:
    """Give a request's bytes.

    Raises:
        ResolveError: The host's name cannot be written: a label is empty or too long, or the whole is.
    """
    try:
        return bytes(request.dumps())
    except ValueError as error:
        raise ResolveError(
            f"{origin}: {request.host} is no name for a SOCKS proxy: {error}", origin=str(origin)
        ) from error


def _refused(origin: Origin, reason: str, code: int | None = None) -> ProxyError:
    status = None if code is None else int(code)
    return ProxyError(f"{origin}: the SOCKS proxy opened no connection: {reason}", origin=str(origin), status=status)
