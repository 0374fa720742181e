"""qdrant-client over our transport: it passes on what it is given to its own httpx client."""

import json

import pytest
from adapters.sdk import apis

from keeppool.testing import Behaviour, Site

pytestmark = pytest.mark.sdk

qdrant = pytest.importorskip("qdrant_client")
pytest.importorskip("httpx")

from keeppool.adapters.httpx import KeepPoolTransport  # noqa: E402


def api(request):
    if request.path.endswith("/points/query"):
        asked = json.loads(request.body)
        point = {"id": 1, "version": 0, "score": 0.5, "payload": {"asked": asked["query"]}}
        return apis.as_json({"result": {"points": [point]}, "status": "ok", "time": 0.0})
    return apis.as_json({"result": {"collections": [{"name": "pages"}]}, "status": "ok", "time": 0.0})


def test_queries_go_over_kept_connections():
    with Site(Behaviour(hint_timeout=5), handler=api) as site:
        client = qdrant.QdrantClient(url=site.url, transport=KeepPoolTransport(), check_compatibility=False)
        for _ in range(3):
            assert [found.name for found in client.get_collections().collections] == ["pages"]
            points = client.query_points("pages", query=[0.5, 1.0]).points
            assert points[0].payload == {"asked": {"nearest": [0.5, 1.0]}}
        client.close()
        assert site.opened == 1
