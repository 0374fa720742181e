"""The transport for threads: `httpx.Client` over a `PoolManager`.

Waits for the network, in the pool.
Does not know: redirects, cookies, authentication, decoding: those are the client's own.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from keeppool.adapters.transports.bodies import BlockingBody, TracedBlockingBody
from keeppool.adapters.transports.common import Transport, delays
from keeppool.adapters.transports.errors import translated
from keeppool.adapters.transports.network import BlockingNetworkStream, NetworkStream
from keeppool.adapters.transports.outgoing import Outgoing
from keeppool.adapters.transports.settings import Surroundings
from keeppool.adapters.transports.tracing import until_failure, until_head
from keeppool.config import HostConfig
from keeppool.errors import ConnectError, KeepPoolError
from keeppool.pools.manager_threads import PoolManager
from keeppool.pools.response import Response
from keeppool.stats import Stats


class BlockingTransport(Transport):
    """Sends what a client has built through a capped pool of persistent connections.

        client = httpx.Client(transport=KeepPoolTransport())

    Everything above a transport is the client's own and means the same: redirects, cookies, authentication, decoding,
    event hooks, `mounts`. A client that is given a transport leaves `verify`, `cert`, `limits`, `proxy`, `http2` and
    the environment's proxies to it: they are arguments here.

    Errors are the client module's own, of the classes its own transport raises, with three facts on them: `sent`
    (bytes of the request that the operating system took; 0 is proof that the server saw nothing), `received`, and
    `retry_safe` (sending the same request again cannot apply it twice). Their `__cause__` is keeppool's error.

    Differences that can be seen:
        - A connection that died while idle is replaced and the request sent again, once, where that cannot do harm.
        - A request waits while its host's connections are all in use, `limits.per_host` of them; a timeout's `pool`
          bounds that wait, and that wait alone.
        - Of an ordinary response's `network_stream` only `get_extra_info` works: the connection is the pool's.
        - The events of the `trace` extension up to the response's head are told together, when that is there.

    Args:
        limits: How many connections, and for how long: `keeppool.Limits`, `keeppool.presets.SDK` by default, or the
            module's own `Limits`, whose `max_connections` then holds for each host and for all of them.
        hosts: What is different for some hosts, by pattern.
        defaults: What holds for all hosts unless an entry of `hosts` says otherwise.
        config: All of the above in one, as `keeppool.load_config` returns it, instead of
            `keeppool.presets.SDK_CONFIG`; an argument given beside it wins. Of its timeout `total` holds for requests
            of clients too, which have no word for it; the rest is theirs to say.
        retries: How often a dial that failed is tried again.
        proxy: URL of the proxy to go through, or the module's `Proxy`.
        trust_env: Whether proxies and trusted certificates are taken from the environment where nothing else gives
            them: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`, `SSL_CERT_DIR`, and
            `REQUESTS_CA_BUNDLE`.
        verify: True for certifi's roots, a path for those, an `ssl.SSLContext`, or False to trust anyone.
        cert: Path of the client's certificate, or a (certificate, key) pair.
        uds: Path of a Unix domain socket to dial instead of host and port.
        local_address: Local address to dial from.
        http2: Refused if true: keeppool speaks HTTP/1.1.
        on_event: Called with each `keeppool.events` event; see `keeppool.PoolManager`.
        pool: A `keeppool.PoolManager` to use, which `close` does not close; nothing but `retries` and `trust_env` can
            be given beside it.

    Attributes:
        pool: The `keeppool.PoolManager`; its `stats()` tell what goes on.

    Raises:
        ConfigError: An argument is invalid, or has no counterpart.
        UnsupportedProtocol: The module's, for `http2=True`.

    Thread safety: any number of threads, and of clients.
    """

    _pool_kind: ClassVar[type[PoolManager]] = PoolManager
    _network_kind = BlockingNetworkStream
    _body_kind: ClassVar[type[BlockingBody]]
    _traced_kind: ClassVar[type[TracedBlockingBody]]

    def _open(self) -> None:
        own = PoolManager(config=self._config, on_event=self._on_event) if self._given is None else self._given
        self.pool: PoolManager = own
        self._surroundings = Surroundings(own, self._trust_env)

    def handle_request(self, request: Any) -> Any:
        """Send a client's request and give the response; see the module's `BaseTransport.handle_request`.

        Raises:
            TransportError: The module's own, of the class its own transport would raise.
        """
        self._check(request)
        module, trace = self.module, request.extensions.get("trace")
        try:
            call = self._preparing.prepare(request, is_async=False)
            override = self._override(call, self._surroundings.override(call.address), request)
            answer = self._sent(call, override)
        except KeepPoolError as error:
            if trace is not None:
                for name, info in until_failure(request, error):
                    trace(name, info)
            raise translated(module, error) from error
        network = self._network(answer)
        if trace is not None:
            return self._traced(answer, network, trace, request)
        whole = answer.come()
        body = self._body_kind(module, answer) if whole is None else module.ByteStream(whole)
        return self._response(answer, body, network)

    def _traced(self, answer: Response, network: NetworkStream, trace: Any, request: Any) -> Any:
        """Tell what has happened, and make the response; what ends the telling ends the response too."""
        try:
            for name, info in until_head(request, answer, network):
                trace(name, info)
        except BaseException:
            answer.close()
            raise
        return self._response(answer, self._traced_kind(self.module, answer, trace, request), network)

    def _sent(self, call: Outgoing, override: HostConfig | None) -> Response:
        """Send, with a new dial as often as `retries` allows where one has failed."""
        left, waits = self._retries, delays()
        while True:
            try:
                return self.pool.exchange(
                    call.method, call.address, call.fields, call.body, call.timeout, True, override, False
                )
            except ConnectError as error:
                if not left or not self._may_try_again(error):
                    raise
            left -= 1
            time.sleep(next(waits))

    def stats(self) -> Stats:
        """Take a snapshot of the pool's gauges and counters."""
        return self.pool.stats()

    def close(self) -> None:
        """Close idle connections now and busy ones when they are done; a pool that was given stays open."""
        self._is_closed = True
        if self._given is None:
            self.pool.close()
