"""Every test here runs for httpx and for httpx2, in threads and in tasks."""

import asyncio
import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.sdk)


@pytest.fixture(params=["httpx", "httpx2"])
def family(request):
    """A client module, with our transports for it."""
    module = pytest.importorskip(request.param)
    door = importlib.import_module(f"keeppool.adapters.{request.param}")
    return SimpleNamespace(
        module=module,
        name=request.param,
        Transport=door.KeepPoolTransport,
        AsyncTransport=door.AsyncKeepPoolTransport,
    )


class Threads:
    """Asks through the transport for threads."""

    def __init__(self, family):
        self.family = family
        self.module = family.module

    def call(self, work, client_options=None, **arguments):
        """Run `work(client, transport)`, a generator that yields calls of the client to be waited for."""
        transport = self.family.Transport(**arguments)
        with self.module.Client(transport=transport, **(client_options or {})) as client:
            return _driven(work(client, transport))

    def ask(self, method, url, client_options=None, transport=None, **options):
        """Ask once, and give the response, read."""

        def work(client, _):
            return (yield client.request(method, url, **options))

        return self.call(work, client_options, **(transport or {}))

    def ask_streamed(self, url, **options):
        """Ask once, and give the response when its head is there, and what is read of its body then."""

        def work(client, _):
            response = yield client.send(client.build_request("GET", url, **options), stream=True)
            yield response.read()
            return response

        return self.call(work)


def _driven(steps):
    value, failure = None, None
    try:
        while True:
            if failure is not None:
                step, failure = steps.throw(failure), None
            else:
                step = steps.send(value)
            value = step
    except StopIteration as end:
        return end.value


class Tasks(Threads):
    """Asks through the transport for tasks, on an event loop of its own each time."""

    def call(self, work, client_options=None, **arguments):
        async def main():
            transport = self.family.AsyncTransport(**arguments)
            async with self.module.AsyncClient(transport=transport, **(client_options or {})) as client:
                steps, value, failure = work(client, transport), None, None
                try:
                    while True:
                        step = steps.send(value) if failure is None else steps.throw(failure)
                        failure = None
                        try:
                            value = await step
                        except Exception as error:
                            failure = error
                except StopIteration as end:
                    return end.value

        return asyncio.run(main())

    def ask_streamed(self, url, **options):
        def work(client, _):
            response = yield client.send(client.build_request("GET", url, **options), stream=True)
            yield response.aread()
            return response

        return self.call(work)


@pytest.fixture(params=[Threads, Tasks], ids=["threads", "tasks"])
def side(request, family):
    """A way to ask: `side.ask(method, url, ...)`."""
    return request.param(family)
