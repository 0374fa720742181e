"""What adapters written for requests say to urllib3's pools, and what of it can hold here.

Decides: which of their hooks are refused: each could carry a certificate pin or a policy, and would never be called.
Does not know: what sends.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import TYPE_CHECKING, Any, Final

from keeppool.checks import Spelled
from keeppool.client.retries import RetriesArgument, retrying_of

if TYPE_CHECKING:
    from keeppool.client.retries.retrying import Retrying

_TLS: Final = "say it by defaults=HostConfig(ssl_context=..., fingerprint=..., verify=..., cert=...) or hosts="
_POOLS: Final = "there are no pools of urllib3's here; refuse a request in `send`"
_PROXIES: Final = "say it by defaults=HostConfig(proxy=..., proxy_headers=...) or hosts="

#: Hooks of `requests.adapters.HTTPAdapter`, and what says the same here.
_REFUSED: Final = {
    "init_poolmanager": _TLS,
    "cert_verify": _TLS,
    "build_connection_pool_key_attributes": _TLS,
    "get_connection_with_tls_context": _POOLS,
    "get_connection": _POOLS,
    "proxy_manager_for": _PROXIES,
    "proxy_headers": _PROXIES,
    "build_response": "change the response that `send` returns, or use a hook of the session",
    "request_url": "change the request's `url` in `send`",
}

#: What urllib3 makes of `None`, and so requests' adapter.
_UNSAID_RETRIES: Final = 3


def _refuse_all(adapter: type) -> None:
    for name in _REFUSED:
        if hasattr(adapter, name):
            _refuse(name, adapter)


def _refuse(name: str, adapter: type) -> None:
    if name in _REFUSED:
        instead = _REFUSED[name]
        raise TypeError(f"{adapter.__name__}.{name} would never be called, and what it says not hold: {instead}")


class _Watched(Spelled, ABCMeta):
    """The type of a class of adapters that may get hooks after it was made."""

    def __setattr__(cls, name: str, value: object) -> None:
        _refuse(name, cls)
        super().__setattr__(name, value)

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        # Mixins are classes like any other: what is set on one later is only found here.
        _refuse_all(cls)
        return super().__call__(*arguments, **named)


class Hookless(metaclass=_Watched):
    """An adapter that refuses hooks: in its class, mixins included, and set on its class or on itself.

    Not seen is one that is set on a mixin after the adapter was made: looking takes 2.6 µs (Python 3.11), and would be
    due at each request.

    Raises:
        TypeError: There is one; the message says what to use instead.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        _refuse_all(cls)

    def __setattr__(self, name: str, value: object) -> None:
        _refuse(name, type(self))
        super().__setattr__(name, value)


def retrying_of_adapter(max_retries: RetriesArgument) -> Retrying | None:
    """Read an adapter's `max_retries`, where `None` means what it means to requests.

    Raises:
        ConfigError: None of the forms it takes.
    """
    return retrying_of(_UNSAID_RETRIES if max_retries is None else max_retries or None)
