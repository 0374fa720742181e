"""The server the SDKs talk to."""

import json

import pytest
from adapters.sdk.plugs import SHORT

from keeppool.testing import Answer, Site


@pytest.fixture
def serve():
    """Give a function that starts a server with one answer for everything: bytes, or what becomes JSON."""
    started = []

    def start(body, content_type="application/json", **fields):
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = (("Content-Type", content_type), *fields.items())
        site = Site(SHORT, handler=lambda _: Answer(status=200, body=payload, headers=headers))
        site.start()
        started.append(site)
        return site

    yield start
    for site in started:
        site.close()
