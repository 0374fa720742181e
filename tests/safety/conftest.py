"""Certificates for the tests of safety; they trust no other authority."""

from __future__ import annotations

import ssl

import pytest
import trustme
from seams import Plant


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def roots(authority, tmp_path_factory) -> str:
    """A file with the root that the pool is to trust."""
    path = tmp_path_factory.mktemp("safety") / "roots.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def server_tls(authority) -> ssl.SSLContext:
    """A server's context with what Python offers by default: TLS 1.3 with session tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def plants(server_tls, roots) -> dict[str, Plant]:
    """Server arguments and pool arguments that fit together, without and with TLS."""
    return {"plain": Plant(None, None, None), "tls": Plant(server_tls, roots, ssl.create_default_context(cafile=roots))}


@pytest.fixture(scope="session", params=["plain", "tls"])
def plant(request, plants) -> Plant:
    """Once the plain one, once the one with TLS."""
    return plants[request.param]


@pytest.fixture(scope="session")
def tls_plant(plants) -> Plant:
    return plants["tls"]
