"""ScriptedServer does what the script says, and tells what went wrong in it."""

from __future__ import annotations

import socket
import threading

import pytest

from keeppool.testing import RawConnection, ScriptedServer

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def connect(server: ScriptedServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=5)


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def test_steps_are_done_in_order_and_then_the_connection_is_closed():
    with ScriptedServer([RawConnection.read_request, OK, b"surplus"]) as server, connect(server) as sock:
        sock.send(GET)
        assert read_all(sock) == OK + b"surplus"
        assert [request.target for request in server.requests] == ["/x"]
        assert server.connections[0].received == GET


def test_each_connection_has_its_script_and_the_last_serves_the_rest():
    with ScriptedServer([b"first"], [b"other"]) as server:
        seen = []
        for _ in range(3):
            with connect(server) as sock:
                seen.append(read_all(sock))
        assert seen == [b"first", b"other", b"other"]
        assert [connection.number for connection in server.connections] == [1, 2, 3]


def test_head_and_body_can_be_read_apart():
    def script(conn):
        head = conn.read_head()
        conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = conn.read_request()
        conn.send(f"{head.method} {request.body.decode()}".encode())

    with ScriptedServer(script) as server, connect(server) as sock:
        sock.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.send(b"abc")
        assert read_all(sock) == b"PUT abc"


def test_reset_half_close_and_cut():
    def half(conn):
        conn.half_close()
        assert conn.read_exactly(2) == b"ab"
        assert conn.read_until_closed() == b"c"

    with ScriptedServer([RawConnection.read, RawConnection.reset], half, RawConnection.cut) as server:
        with connect(server) as sock:
            sock.send(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        with connect(server) as sock:
            assert sock.recv(1) == b""
            sock.send(b"abc")
        with connect(server) as sock:
            assert sock.recv(1) == b""


def test_a_script_can_wait_for_the_test():
    go = threading.Event()

    def script(conn):
        conn.wait(go)
        conn.send(b"went")

    with ScriptedServer(script) as server, connect(server) as sock:
        assert server.wait_for(lambda: len(server.connections) == 1)
        go.set()
        assert read_all(sock) == b"went"


def test_an_error_in_a_script_surfaces_at_the_end():
    def script(conn):
        assert conn.read_request().path == "/y"

    def test():
        with ScriptedServer(script) as server, connect(server) as sock:
            sock.send(GET)
            assert read_all(sock) == b""

    with pytest.raises(AssertionError, match="'/x' == '/y'"):
        test()


def test_an_error_in_the_block_goes_before_one_in_a_script():
    def test():
        with ScriptedServer(lambda _: 1 / 0) as server, connect(server) as sock:
            read_all(sock)
            raise LookupError

    with pytest.raises(LookupError):
        test()


def test_a_wait_that_is_too_long_is_an_error_of_the_script():
    with (
        pytest.raises(TimeoutError),
        ScriptedServer(RawConnection.read, timeout=0.01) as server,
        connect(server) as sock,
    ):
        assert read_all(sock) == b""


def test_a_client_that_goes_ends_the_script_in_peace():
    def endless(conn):
        while True:
            conn.send(b"x" * 65536)

    with ScriptedServer(RawConnection.read_request, endless) as server:
        connect(server).close()
        with connect(server) as sock:
            sock.recv(1)
    assert server.errors == []


def test_leaving_wakes_scripts_that_still_read():
    """A keep-alive loop needs no end of its own; were it not woken, this test would hang."""

    def serve(conn):
        while True:
            conn.read_request()
            conn.send(OK)

    with ScriptedServer(serve, timeout=600) as server:
        sock = connect(server)
        sock.send(GET)
        assert sock.recv(100)
    server.close()
    sock.close()
    assert server.errors == []


def test_a_server_without_script_is_refused():
    with pytest.raises(ValueError, match="needs a script"):
        ScriptedServer()


def test_tls_farewell_can_be_said_half_or_left_out(server_tls, client_tls):
    def half(conn):
        conn.send(b"bye")
        conn.half_close()
        assert conn.read() == b"heard"

    def secure(server):
        return client_tls.wrap_socket(connect(server), server_hostname="127.0.0.1", suppress_ragged_eofs=False)

    with ScriptedServer([b"bye"], half, [b"bye", RawConnection.cut], tls=server_tls) as server:
        assert server.url.startswith("https://")
        with secure(server) as sock:
            assert read_all(sock) == b"bye"
        with secure(server) as sock:
            assert read_all(sock) == b"bye"
            sock.send(b"heard")
        with secure(server) as sock:
            assert sock.recv(3) == b"bye"
            with pytest.raises(OSError, match="EOF"):
                sock.recv(1)


def test_a_failed_handshake_is_remembered_and_no_error_of_a_script(server_tls):
    with ScriptedServer([b""], tls=server_tls) as server:
        with connect(server) as sock:
            sock.send(GET)
            assert server.wait_for(lambda: len(server.handshake_errors) == 1)
        assert server.connections == []
