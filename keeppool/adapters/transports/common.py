"""What a transport for threads and one for tasks share: its arguments, its settings, and a client's response.

Decides: which requests are refused before anything is done; after which failures a dial is tried again, and when.
Knows: the classes of httpx's kind, by the module that is given.
Does not know: waiting.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from keeppool.adapters.transports.errors import refusal
from keeppool.adapters.transports.network import NetworkStream
from keeppool.adapters.transports.outgoing import Outgoing, Preparing
from keeppool.adapters.transports.settings import check_alone, pool_config, with_name
from keeppool.adapters.transports.tracing import http_version
from keeppool.checks import Spelled, bad, check_count
from keeppool.config import Config, HostConfig
from keeppool.errors import CertificateError, KeepPoolError, ProxyError
from keeppool.events import Event
from keeppool.pools.body import AnyResponse
from keeppool.pools.manager import Manager

#: Seconds before the second new dial; it doubles each time, and the first comes at once. httpcore's figures.
FIRST_DELAY: Final = 0.5


class Transport(metaclass=Spelled):
    """What does not wait. Args as for `BlockingTransport`."""

    _otherwise: ClassVar[Mapping[str, str]] = {
        "timeout": "timeout= of the client, whose requests always bring one",
        "max_connections": "limits=keeppool.Limits(total=…, per_host=…)",
        "max_keepalive_connections": "limits=keeppool.Limits(total=…, per_host=…)",
        "keepalive_expiry": "limits=keeppool.Limits(idle_timeout=…)",
        "http1": "nothing here: keeppool speaks HTTP/1.1",
        "socket_options": "nothing here",
        "headers": "headers= of the client, or defaults=keeppool.HostConfig(headers=…)",
    }

    module: ClassVar[ModuleType]
    #: The client that takes a transport of this kind, and the name under which the other kind is found.
    _client: ClassVar[str]
    _other_kind: ClassVar[str]
    _pool_kind: ClassVar[type[Manager]]
    _network_kind: ClassVar[type[NetworkStream]]

    def __init__(
        self,
        *,
        limits: Any = None,
        hosts: Mapping[str, HostConfig] | None = None,
        defaults: HostConfig | None = None,
        config: Config | None = None,
        retries: int = 0,
        proxy: Any = None,
        trust_env: bool = True,
        verify: Any = True,
        cert: Any = None,
        uds: str | None = None,
        local_address: str | None = None,
        http2: bool = False,
        on_event: Callable[[Event], None] | None = None,
        pool: Any = None,
    ) -> None:
        module = self.module
        if http2:
            text = "keeppool speaks HTTP/1.1 only: leave http2 out, or use the client's own transport for it"
            raise refusal(module, "UnsupportedProtocol", text)
        check_count("retries", retries, least=0)
        if not isinstance(trust_env, bool):
            raise bad("trust_env", trust_env, "must be True or False")
        own: dict[str, Any] = {"limits": limits, "hosts": hosts, "defaults": defaults, "config": config}
        own |= {"proxy": proxy, "cert": cert, "uds": uds, "local_address": local_address}
        if pool is not None:
            check_alone(pool, self._pool_kind, **own, on_event=on_event, verify=None if verify is True else verify)
            self._config: Config = pool.config
        else:
            self._config = pool_config(module, **own, verify=verify)
        self._given = pool
        self._on_event = on_event
        self._retries = retries or 0
        self._trust_env = trust_env
        self._preparing = Preparing(module, self._config.timeout)
        self._is_closed = False
        self._open()

    def _open(self) -> None:
        """Make what waits, in threads or on event loops."""
        raise NotImplementedError

    if not TYPE_CHECKING:  # Or every name would pass for one of these.

        def __getattr__(self, name: str) -> object:
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name in ("handle_request", "handle_async_request", "__enter__", "__aenter__"):
                text = f"{text}: it is for {self._client} alone; the other client takes {self._other_kind}"
            raise AttributeError(text, name=name, obj=self)

    def _check(self, request: Any) -> None:
        """Refuse what no pool can send: a request of another module's client, or one that comes after `close`."""
        module = self.module
        if not isinstance(request, module.Request):
            theirs = sys.modules.get(type(request).__module__.partition(".")[0])
            named = theirs if theirs is not None and hasattr(theirs, "TransportError") else module
            text = f"this transport is for clients of {module.__name__}, not of {getattr(theirs, '__name__', '?')}: "
            text += "import it from keeppool.adapters.httpx for httpx, and from keeppool.adapters.httpx2 for httpx2"
            raise refusal(named, "TransportError", text)
        if self._is_closed:
            raise refusal(module, "TransportError", "the transport is closed: make another one")

    def _may_try_again(self, error: KeepPoolError) -> bool:
        """Tell whether a new dial may end otherwise: not where a certificate was refused, or a proxy has spoken."""
        return not isinstance(error, (CertificateError, ProxyError))

    def _override(self, call: Outgoing, override: HostConfig | None, request: Any) -> HostConfig | None:
        name = request.extensions.get("sni_hostname")
        return override if name is None else with_name(override, name)

    def _network(self, answer: AnyResponse) -> NetworkStream:
        return self._network_kind(self.module, answer, answer.is_switched)

    def _response(self, answer: AnyResponse, stream: Any, network: NetworkStream) -> Any:
        """Make the client's response, its body as it was sent: decoding is the client's."""
        head = answer.head
        return self.module.Response(
            head.status,
            headers=list(zip(head.names, head.values, strict=True)),
            stream=stream,
            extensions={
                "http_version": http_version(answer),
                "reason_phrase": head.reason.encode("latin-1"),
                "network_stream": network,
            },
        )


def delays() -> Iterator[float]:
    """Give the seconds to wait before each new dial."""
    yield 0.0
    seconds = FIRST_DELAY
    while True:
        yield seconds
        seconds *= 2
