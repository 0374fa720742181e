"""What adapters written for requests say to urllib3's pools, and what of it can hold here.

Decides: which of their hooks are refused: each could carry a certificate pin or a policy, and would never be called.
Does not know: what sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keeppool.client.settings import retrying_from

if TYPE_CHECKING:
    from keeppool.client.retries import RetriesArgument, Retrying

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
    "build_response": "change the answer that `send` returns, or use a hook of the session",
    "request_url": "change the request's `url` in `send`",
}

#: What urllib3 makes of `None`, and so requests' adapter.
_UNSAID_RETRIES: Final = 3


def refuse_hooks(adapter: type) -> None:
    """Refuse a class of adapters with hooks that nobody would call, mixins included.

    Raises:
        TypeError: It has one; the message says what to use instead.
    """
    for name, instead in _REFUSED.items():
        if hasattr(adapter, name):
            raise TypeError(f"{adapter.__name__}.{name} would never be called, and what it says not hold: {instead}")


def retrying_of_adapter(max_retries: RetriesArgument) -> Retrying | None:
    """Read an adapter's `max_retries`, where `None` means what it means to requests.

    Raises:
        ConfigError: None of the forms it takes.
    """
    return retrying_from(_UNSAID_RETRIES if max_retries is None else max_retries or None)
