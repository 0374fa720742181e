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


@pytest.fixture(scope="session", params=["plain", "tls"])
def plant(request, server_tls, roots) -> Plant:
    """Server arguments and pool arguments that fit together, once without and once with TLS."""
    return Plant(server_tls, roots) if request.param == "tls" else Plant(None, None)


@pytest.fixture(scope="session")
def tls_plant(server_tls, roots) -> Plant:
    return Plant(server_tls, roots)


@pytest.fixture(scope="session")
def plant_of(server_tls, roots):
    """A function from "with TLS?" to a plant."""
    return lambda secured: Plant(server_tls, roots) if secured else Plant(None, None)
