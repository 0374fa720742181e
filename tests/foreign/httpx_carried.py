"""A pytest plugin: every client that makes its transport itself gets keeppool's, in httpx and in httpx2.

`Client` looks the classes up in its own module; programs take them from the package. Both names lead to ours here. They
take what httpx's own take, in the same order; HTTP/1.1 is what there is, whatever is asked for.
"""

import importlib

import httpx_plain  # noqa: F401

#: The same suite runs for both, its names rewritten for httpx2; only one of them need be there.
DOORS = {"httpx": "keeppool.adapters.httpx", "httpx2": "keeppool.adapters.httpx2"}
#: What httpx's transports take, by place.
PLACES = ("verify", "cert", "trust_env", "http1", "http2", "limits", "proxy", "uds", "local_address", "retries")
#: What ours have no word for.
LEFT_OUT = ("http1", "http2", "socket_options")


def taking_the_same(kind):
    """Make a class of one of ours that takes httpx's arguments."""

    class Carried(kind):
        def __init__(self, *given, **named):
            named |= dict(zip(PLACES, given, strict=False))
            super().__init__(**{name: value for name, value in named.items() if name not in LEFT_OUT})

    Carried.__name__ = kind.__name__
    return Carried


def replace(name):
    module = importlib.import_module(name)
    ours = importlib.import_module(DOORS[name])
    blocking, tasks = taking_the_same(ours.KeepPoolTransport), taking_the_same(ours.AsyncKeepPoolTransport)
    client = importlib.import_module(f"{name}._client")
    for place in (module, client):
        place.HTTPTransport, place.AsyncHTTPTransport = blocking, tasks


for name in DOORS:
    try:
        replace(name)
    except ImportError:
        continue
