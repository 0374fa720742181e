"""Whole requests over Unix sockets, plain and TLS, and what is said when nobody is there."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest
import trustme

from keeppool import HostConfig, PoolManager, Session, errors

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "app.sock")


@pytest.fixture
def listen(path):
    """Start a server at `path` that answers two requests on one connection; gives what it read."""
    started = []

    def start(tls: ssl.SSLContext | None = None) -> list[bytes]:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        seen: list[bytes] = []

        def serve() -> None:
            conn, _ = listener.accept()
            conn.settimeout(20)
            with conn if tls is None else tls.wrap_socket(conn, server_side=True) as stream:
                for _ in range(2):
                    seen.append(stream.recv(65536))
                    stream.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        started.append((listener, thread))
        return seen

    yield start
    for listener, thread in started:
        thread.join(20)
        listener.close()
        assert not thread.is_alive()


def test_a_session_speaks_http(listen, path):
    seen = listen()
    with Session(hosts={"docker": HostConfig(unix_socket=path)}) as session:
        for _ in range(2):
            assert session.get("http://docker/info").text == "ok"
    assert [head.split(b"\r\n")[:2] for head in seen] == [[b"GET /info HTTP/1.1", b"Host: docker"]] * 2


def test_a_session_speaks_https(listen, path, authority):
    """The certificate is checked for the URL's host, which is not resolved."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("app.example").configure_cert(context)
    seen = listen(context)
    with authority.cert_pem.tempfile() as roots:
        hosts = {"app.example": HostConfig(unix_socket=path, verify=roots)}
        with Session(hosts=hosts) as session:
            for _ in range(2):
                assert session.get("https://app.example/").text == "ok"
    assert len(seen) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_missing_socket_is_named(path, scheme):
    with PoolManager(defaults=HostConfig(unix_socket=path)) as pool:
        with pytest.raises(errors.ConnectError, match=r"app\.sock: No such file") as caught:
            pool.request("GET", f"{scheme}://app.example/")
        assert isinstance(caught.value.__cause__, FileNotFoundError)
        assert caught.value.origin.endswith(f"by {path}")
        assert pool.stats().open == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_socket_nobody_listens_on_any_more_refuses(path, scheme):
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(path)
    with PoolManager(defaults=HostConfig(unix_socket=path)) as pool:
        with pytest.raises(errors.RefusedError, match=r"app\.sock: Connection refused") as caught:
            pool.request("GET", f"{scheme}://app.example/")
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_a_path_that_is_no_socket_or_too_long(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for wrong in (str(file), str(tmp_path / ("x" * 200))):
        with PoolManager(defaults=HostConfig(unix_socket=wrong)) as pool, pytest.raises(errors.ConnectError):
            pool.request("GET", "http://app.example/")
