"""TLS for one connection: the context it needs, and the handshake.

Decides: what is trusted for a `TlsIdentity`.
Knows: urllib3's context defaults and fingerprint check.
Does not know: which session is kept for later (`tls_sessions.py`), dialling, the pool, which of keeppool's errors a
    failed handshake becomes.

Source: RFC 6066 §3 (server name), RFC 9110 §4.3.4 (checking the certificate).
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from keeppool.checks import bad
from keeppool.core.origin import Origin, TlsIdentity
from keeppool.deferred import Deferred, have_idna, have_urllib3
from keeppool.forks import undivided
from keeppool.net.deadline import Deadline

if TYPE_CHECKING:
    import ssl
    from concurrent import futures

    from keeppool.net import layered, tls_layer, tls_sessions
    from keeppool.net.layered import LayeredSocket
    from keeppool.net.tls_layer import TlsLayer
else:
    futures = Deferred("concurrent.futures")
    ssl = Deferred("ssl")
    layered = Deferred("keeppool.net.layered")
    tls_layer = Deferred("keeppool.net.tls_layer")
    tls_sessions = Deferred("keeppool.net.tls_sessions")

#: Contexts kept. One holds certifi's roots parsed (0.7 MB) and costs 15 to 35 ms to build; who uses more than 64
#: client certificates or trust files at a time pays for the least recently used ones again.
MAX_CONTEXTS = 64

#: Sessions kept, 14 KB each with the server's certificates (measured). Chromium's cache holds 1024 too.
MAX_SESSIONS = 1024

#: The name of a thread that builds a context.
BUILDER = "keeppool-tls"

_Certificate = str | tuple[str, str] | None
# What a context is made of.
_Material = tuple[bool | str, _Certificate]


class TlsStore:
    """The contexts and sessions of one pool manager.

    Identities that trust the same and show the same certificate share a context, whatever name or fingerprint they
    ask for: a crawler that dials addresses and names a thousand hosts needs one. Sessions are shared by none.

    Thread safety: any number of threads. No lock is held while a context is built but that context's own.
    """

    def __init__(self, *, max_contexts: int = MAX_CONTEXTS, max_sessions: int = MAX_SESSIONS) -> None:
        self._max_contexts = max_contexts
        #: Guards the contexts' table, and the making of `_sessions`; held for look-ups only.
        self._lock = threading.Lock()
        self._contexts: OrderedDict[_Material, _LazyContext] = OrderedDict()
        self._max_sessions = max_sessions
        self._made_sessions: tls_sessions.Sessions | None = None

    @property
    def _sessions(self) -> tls_sessions.Sessions:
        """The sessions; made for the first handshake, because a pool that speaks no TLS has none."""
        if self._made_sessions is None:
            made = tls_sessions.Sessions(self._max_sessions)
            with self._lock:
                self._made_sessions = self._made_sessions or made
        return self._made_sessions

    def context_for(self, identity: TlsIdentity) -> ssl.SSLContext:
        """Give the context of this identity, built by the first who asks, or the caller's own as it is.

        Raises:
            ConfigError: A file of the identity is missing or unusable, or `ssl_context` is none. Nothing is kept.
        """
        if identity.context is not None:
            return _callers_own(identity.context)
        return self._lazy(identity).get(identity.verify, identity.cert)

    def building(self, identity: TlsIdentity) -> futures.Future[ssl.SSLContext] | None:
        """Have the context built by a thread of its own; `None` if there is nothing to build.

        Meant for event loops: whoever comes meanwhile gets the same future, which cannot be cancelled. Its error, as
        of `context_for`, is one for all of them. The thread is not one of the loop's executor, where it could stand
        behind whatever the program does there, without a limit.
        """
        if identity.context is not None:
            return None
        return self._lazy(identity).begin(identity.verify, identity.cert)

    def _lazy(self, identity: TlsIdentity) -> _LazyContext:
        material = (identity.verify, identity.cert)
        with self._lock:
            lazy = self._contexts.setdefault(material, _LazyContext())
            self._contexts.move_to_end(material)
            if len(self._contexts) > self._max_contexts:
                self._contexts.popitem(last=False)
        return lazy

    def session_for(self, origin: Origin, context: ssl.SSLContext) -> ssl.SSLSession | None:
        """Give the newest session of this origin, if this very context made it (OpenSSL allows no other use)."""
        return self._sessions.newest(origin, context)

    def remember(self, origin: Origin, source: object) -> None:
        """Keep the session of a connection, to be called once its first response was read.

        In TLS 1.3 the ticket comes after the handshake and is seen only by reading; before, there is nothing that
        could be resumed (measured, Python 3.11 to 3.13 with OpenSSL 3). Plain sockets have nothing to remember.

        Args:
            origin: Where the connection leads.
            source: The connection's socket, still open, or its `TlsLayer`.
        """
        # In an order in which no module is imported that has not made the source: a response is to be told meanwhile.
        if isinstance(source, ssl.SSLSocket) or isinstance(source, tls_layer.TlsLayer):  # noqa: SIM101  # see above
            self._sessions.take(origin, source)
        elif isinstance(source, layered.LayeredSocket):
            hop = origin.tls_hop()
            if hop is not None:
                self.remember(hop, source.outer)
            self._sessions.take(origin, source.layer)

    def layer_for(self, origin: Origin, identity: TlsIdentity) -> TlsLayer:
        """Make a layer for a connection that has no socket of its own: within another TLS, or on an event loop.

        When its handshake is done, the certificate's chain and name were checked; `check_peer` does the rest.

        Args:
            origin: Whose host is sent and checked, unless the identity has its own name.
            identity: What to check.

        Raises:
            ValueError: No certificate can have the name.
            ConfigError: As `context_for`.
        """
        context = self.context_for(identity)
        return tls_layer.TlsLayer(context, _name_of(origin, identity), self.session_for(origin, context))

    @staticmethod
    def check_peer(source: ssl.SSLSocket | TlsLayer, identity: TlsIdentity) -> None:
        """Check what a context cannot: that the certificate is the pinned one, if one is.

        Raises:
            ssl.SSLCertVerificationError: It is another.
        """
        if identity.fingerprint is not None:
            _check_fingerprint(source, identity.fingerprint)

    def handshake(
        self, sock: socket.socket, origin: Origin, identity: TlsIdentity, deadline: Deadline
    ) -> ssl.SSLSocket:
        """Put TLS on a connected socket, resume a session if there is one, and check who answers.

        Args:
            sock: Is taken over: use the returned one; on any error it is closed.
            origin: Whose host is sent and checked, unless the identity has its own name.
            identity: What to check.
            deadline: When the handshake must be over.

        Raises:
            TimeoutError: The deadline passed.
            ssl.SSLCertVerificationError: The certificate is not trusted, not for this host, or not the pinned one.
            OSError, ValueError: Whatever else ended the handshake; ValueError for a name no certificate can have.
            ConfigError: As `context_for`.
        """
        try:
            context = self.context_for(identity)
            # Python bounds a whole handshake by the socket's timeout, not each of its reads.
            sock.settimeout(deadline.left())
            tls = context.wrap_socket(
                sock,
                server_hostname=_name_of(origin, identity),
                session=self.session_for(origin, context),
                # An end without TLS's close_notify must not look like the end of a body that only the close delimits.
                suppress_ragged_eofs=False,
                # Done below: on Python 3.11 `wrap_socket` forgets to close when KeyboardInterrupt comes. But not for a
                # caller's context: truststore's checks the certificate inside `wrap_socket`, after the handshake.
                do_handshake_on_connect=identity.context is not None,
            )
        except BaseException:
            sock.close()
            raise
        try:
            tls.do_handshake()  # Where it was done already, nothing happens.
            self.check_peer(tls, identity)
        except BaseException:
            tls.close()
            raise
        return tls

    def handshake_within(
        self, outer: ssl.SSLSocket, origin: Origin, identity: TlsIdentity, deadline: Deadline
    ) -> LayeredSocket:
        """Put TLS on a tunnel that runs through a TLS connection to a proxy. Arguments and errors as in `handshake`."""
        try:
            tls = layered.LayeredSocket(outer, self.layer_for(origin, identity))
            tls.do_handshake(deadline)
            self.check_peer(tls.layer, identity)
        except BaseException:
            outer.close()
            raise
        return tls


class _LazyContext:
    """A context that the first who needs it builds while the others that need the same one wait."""

    __slots__ = ("_building", "_context", "_guard", "_lock")

    def __init__(self) -> None:
        #: Held while it is built.
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        #: Guards what a thread is building; held for a handful of statements.
        self._guard = threading.Lock()
        self._building: futures.Future[ssl.SSLContext] | None = None

    def get(self, verify: bool | str, cert: _Certificate) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = build_context(verify, cert)
            return self._context

    def begin(self, verify: bool | str, cert: _Certificate) -> futures.Future[ssl.SSLContext] | None:
        with self._guard:
            if self._context is not None:
                return None  # Though the thread that has built it may not have said so yet.
            if self._building is None:
                future: futures.Future[ssl.SSLContext] = futures.Future()
                future.set_running_or_notify_cancel()  # From here on nobody who gives up takes it from the others.
                # A daemon: a program that ends has no use for it.
                thread = threading.Thread(target=self._build, args=(future, verify, cert), name=BUILDER, daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return None  # No more threads can be had. Whoever asks builds it, and the others wait.
                self._building = future
            return self._building

    def _build(self, future: futures.Future[ssl.SSLContext], verify: bool | str, cert: _Certificate) -> None:
        context, failure = None, None
        try:
            context = self.get(verify, cert)
        except BaseException as error:
            failure = error
        with self._guard:
            self._building = None
        if context is not None:
            future.set_result(context)
        else:
            future.set_exception(failure)


def build_context(verify: bool | str, cert: _Certificate) -> ssl.SSLContext:
    """Build a context: urllib3's defaults, but with tickets and ALPN.

    Args:
        verify: As in `TlsIdentity`.
        cert: As in `TlsIdentity`.

    Raises:
        ConfigError: A file is missing or unusable; names the field.
    """
    with undivided:
        return _built(verify, cert)


def _built(verify: bool | str, cert: _Certificate) -> ssl.SSLContext:
    have_urllib3()
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context(cert_reqs=ssl.CERT_NONE if verify is False else ssl.CERT_REQUIRED)
    # urllib3 refuses tickets, for servers that never change the key they encrypt them with. Without them TLS 1.2
    # cannot be resumed where the server keeps no state, and each connection costs a full handshake; browsers take them.
    context.options &= ~ssl.OP_NO_TICKET
    # A server that speaks HTTP/2 too learns that we do not (RFC 7301).
    context.set_alpn_protocols(["http/1.1"])
    _trust(context, verify)
    _identify(context, cert)
    return context


def _check_fingerprint(tls: ssl.SSLSocket | TlsLayer, fingerprint: str) -> None:
    have_urllib3()
    from urllib3.exceptions import SSLError
    from urllib3.util.ssl_ import assert_fingerprint

    try:
        assert_fingerprint(tls.getpeercert(binary_form=True), fingerprint)
    except SSLError as error:
        raise ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, str(error)) from error


def _name_of(origin: Origin, identity: TlsIdentity) -> str:
    """Write the host as SNI and certificates have it: no zone id, no closing dot (RFC 6066 §3), IDNA-encoded.

    Encoded here, because `wrap_socket` leaves the socket open when it finds that a name cannot be.
    """
    host = identity.server_hostname or origin.host
    if ":" in host:
        return host.partition("%")[0]  # An IPv6 address; in a name the sign would cut off what certificates are for.
    have_idna()
    return host.removesuffix(".").encode("idna").decode("ascii")


def _callers_own(context: object) -> ssl.SSLContext:
    if not isinstance(context, ssl.SSLContext):
        raise bad("ssl_context", context, "must be an ssl.SSLContext")
    return context


def _trust(context: ssl.SSLContext, verify: bool | str) -> None:
    """Load the roots: certifi's for True, those of a file or folder for a path, none for False."""
    if verify is False:
        return
    if verify is True:
        with undivided:
            import certifi

        context.load_verify_locations(cafile=certifi.where())
        return
    path = _existing("verify", verify, verify)
    folder = os.path.isdir(path)  # noqa: PTH112  # as above
    _load("verify", verify, lambda: context.load_verify_locations(*((None, path) if folder else (path, None))))


def _identify(context: ssl.SSLContext, cert: _Certificate) -> None:
    """Load the client's certificate and its key."""
    if cert is None:
        return
    certificate, key = cert if isinstance(cert, tuple) else (cert, cert)
    for path in (certificate, key):
        _existing("cert", cert, path)
    # An empty password: OpenSSL would otherwise ask for one on the terminal, in the middle of somebody's request.
    _load("cert", cert, lambda: context.load_cert_chain(certificate, key, password=""))


def _existing(field: str, value: object, path: str) -> str:
    if not os.path.exists(path):  # noqa: PTH110  # pathlib takes 1 ms to import, for the few programs that name a file
        raise bad(field, value, f"there is no file or folder {path}")
    return path


#: What says of a file that it cannot be opened now, and nothing against it.
_FOR_NOW: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


def _load(field: str, value: object, load: Callable[[], None]) -> None:
    try:
        load()
    except OSError as error:  # ssl.SSLError is one: not PEM, a key for another certificate, a key with a password.
        if error.errno in _FOR_NOW and not isinstance(error, ssl.SSLError):
            raise
        raise bad(field, value, f"cannot be loaded as PEM: {error.strerror or error}") from error
