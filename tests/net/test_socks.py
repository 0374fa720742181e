"""SOCKS: what is asked, byte for byte, and what becomes of proxies that answer anything else than they should."""

from __future__ import annotations

import subprocess
import sys

import pytest

from keeppool.core.origin import Origin, Proxy
from keeppool.errors import ConnectTimeout, ProxyError, ResolveError
from keeppool.net.addresses import Address, for_socks
from keeppool.net.dial import dial
from keeppool.net.socks import socks_steps
from keeppool.net.tls import TlsStore

OPENED_5 = b"\5\0\0\1\0\0\0\0\0\0"
OPENED_4 = b"\0\x5a" + bytes(6)


def origin(scheme: str, host: str = "a.example", credentials: tuple[bytes, bytes] | None = None) -> Origin:
    proxy = Proxy(scheme=scheme, host="127.0.0.1", port=1080, credentials=credentials)
    return Origin(scheme="http", host=host, port=80, proxy=proxy)


def converse(steps, *answers: bytes, size: int = 1000) -> list[bytes]:
    """Run steps against answers cut into pieces; give what they sent."""
    pieces = [answer[i : i + size] for answer in answers for i in range(0, len(answer) or 1, size)]
    sent = [next(steps)]
    try:
        for piece in pieces:
            sent += [steps.send(piece)]
    except StopIteration:
        return [message for message in sent if message]
    pytest.fail("the steps want more")


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
class TestMessages:
    def test_version_5_by_name(self, size):
        sent = converse(socks_steps(origin("socks5h")), b"\5\0", OPENED_5, size=size)
        assert sent == [b"\5\1\0", b"\5\1\0\3\x09a.example\0\x50"]

    def test_version_5_by_address_with_password(self, size):
        steps = socks_steps(origin("socks5", credentials=(b"me", b"h\xc3\xa9")), "192.0.2.1")
        sent = converse(steps, b"\5\2", b"\1\0", OPENED_5, size=size)
        assert sent == [b"\5\2\0\2", b"\1\2me\3h\xc3\xa9", b"\5\1\0\1\xc0\0\2\1\0\x50"]

    def test_version_5_does_not_show_a_password_nobody_asks_for(self, size):
        steps = socks_steps(origin("socks5h", credentials=(b"me", b"hush")))
        assert b"hush" not in b"".join(converse(steps, b"\5\0", OPENED_5, size=size))

    def test_version_5_to_an_ipv6_address(self, size):
        sent = converse(socks_steps(origin("socks5h", "fe80::1%eth0")), b"\5\0", OPENED_5, size=size)
        assert sent[1] == b"\5\1\0\4\xfe\x80" + bytes(13) + b"\1\0\x50"

    def test_version_4_by_address(self, size):
        steps = socks_steps(origin("socks4", credentials=(b"me", b"hush")), "192.0.2.1")
        assert converse(steps, OPENED_4, size=size) == [b"\4\1\0\x50\xc0\0\2\1me\0"]

    def test_version_4_by_name(self, size):
        sent = converse(socks_steps(origin("socks4a")), OPENED_4, size=size)
        assert sent == [b"\4\1\0\x50\0\0\0\1\0a.example\0"]

    @pytest.mark.parametrize("bound", [b"\1abcd", b"\3\5proxy", b"\3\0", b"\4" + bytes(16)])
    def test_the_bound_address_is_read_to_its_end(self, size, bound):
        assert converse(socks_steps(origin("socks5h")), b"\5\0", b"\5\0\0" + bound + b"\0\0", size=size)


ANSWERS_5 = {
    "HTTP": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "version 4": [b"\4\0"],
    "no method": [b"\5\xff"],
    "a method nobody offered": [b"\5\1"],
    "a password nobody has": [b"\5\2"],
    "an unknown method": [b"\5\x42"],
    "closed at once": [b""],
    "closed in the middle": [b"\5", b""],
    "closed before the reply": [b"\5\0", b""],
    "closed in the reply": [b"\5\0", OPENED_5[:-1], b""],
    "a reply of another version": [b"\5\0", b"\4" + OPENED_5[1:]],
    "an unknown code": [b"\5\0", b"\5\x55\0\1" + bytes(6)],
    "a refusal and no more": [b"\5\0", b"\5\5"],
    "a reserved byte": [b"\5\0", b"\5\0\1\1" + bytes(6)],
    "an unknown address type": [b"\5\0", b"\5\0\0\2" + bytes(6)],
    "a name that is no text": [b"\5\0", b"\5\0\0\3\2\xff\xfe\0\0"],
}
ANSWERS_4 = {
    "HTTP": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "refused": [b"\0\x5b" + bytes(6)],
    "an unknown code": [b"\0\x42" + bytes(6)],
    "closed at once": [b""],
    "closed in the middle": [OPENED_4[:7], b""],
}


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("scheme", "answers"),
    [*(("socks5h", a) for a in ANSWERS_5.values()), *(("socks4a", a) for a in ANSWERS_4.values())],
    ids=[*ANSWERS_5, *(f"version 4: {name}" for name in ANSWERS_4)],
)
def test_any_other_answer_is_the_proxys_error(scheme, answers, size):
    """However it is cut."""
    wanted = origin(scheme)
    with pytest.raises(ProxyError, match="the SOCKS proxy opened no connection") as caught:
        converse(socks_steps(wanted), *answers, size=size)
    assert caught.value.origin == str(wanted)


@pytest.mark.parametrize(
    ("scheme", "answers"),
    [("socks5h", [b"\5\0\0"]), ("socks5h", [b"\5\0", OPENED_5 + b"\x16"]), ("socks4a", [OPENED_4 + b"\x16"])],
)
def test_bytes_behind_an_answer_are_not_taken_for_the_origins(scheme, answers):
    with pytest.raises(ProxyError, match="more than its answer"):
        converse(socks_steps(origin(scheme)), *answers)


def test_an_authentication_that_fails():
    steps = socks_steps(origin("socks5h", credentials=(b"me", b"hush")))
    with pytest.raises(ProxyError, match="authentication failure") as caught:
        converse(steps, b"\5\2", b"\1\1")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", ".".join(["a" * 60] * 5)])
def test_a_name_socks_cannot_carry(host):
    with pytest.raises(ResolveError):
        converse(socks_steps(origin("socks5h", host)), b"\5\0", OPENED_5)


def test_an_endless_answer_is_given_up(serve):
    def endless(conn):
        try:
            while True:
                conn.sendall(bytes([5, 0]) * 1000)
        except ConnectionError:
            return

    server = serve(endless)
    proxy = Proxy(scheme="socks5h", host="127.0.0.1", port=server.port)
    with pytest.raises(ProxyError):
        dial(Origin(scheme="http", host="a.example", port=80, proxy=proxy), seconds=20, tls=TlsStore())
    server.seen()


def test_a_proxy_that_does_not_answer(serve):
    server = serve(lambda conn: conn.recv(100) + conn.recv(100))
    proxy = Proxy(scheme="socks5h", host="127.0.0.1", port=server.port)
    with pytest.raises(ConnectTimeout, match="the proxy did not answer SOCKS") as caught:
        dial(Origin(scheme="http", host="a.example", port=80, proxy=proxy), seconds=0.1, tls=TlsStore())
    assert caught.value.limit == 0.1
    assert server.seen() == b"\5\1\0"


def test_a_proxy_is_asked_for_an_ipv4_address_where_there_is_one():
    six, four = Address(10, ("2001:db8::1", 80, 0, 0)), Address(2, ("192.0.2.1", 80))
    assert for_socks([six, four]) == "192.0.2.1"
    assert for_socks([Address(10, ("fe80::1%lo", 80, 0, 1)), six]) == "fe80::1"


def test_without_python_socks_the_error_says_what_to_install():
    """In a process of its own, where the package is not found. Nothing is dialled."""
    program = """
import sys
sys.modules["python_socks"] = None
from keeppool import HostConfig, PoolManager
from keeppool.errors import InvalidProxyURL
try:
    PoolManager().request("GET", "http://a.example/", host=HostConfig(proxy="socks5h://me:hush@127.0.0.1:1"))
except InvalidProxyURL as error:
    print(error, error.url)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install 'keeppool[socks]'" in said
    assert "socks5h://127.0.0.1:1" in said
    assert "hush" not in said


def test_it_is_imported_for_socks_alone():
    program = """
import sys
from keeppool import HostConfig, PoolManager
from keeppool.errors import ProxyError
try:
    PoolManager().request("GET", "https://a.example/", host=HostConfig(proxy="http://127.0.0.1:1"))
except ProxyError:
    print([name for name in sys.modules if "socks" in name])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
