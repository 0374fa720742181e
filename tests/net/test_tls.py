"""Whom TLS trusts, what it says of itself, and what it resumes."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
import threading
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.x509.name import _ASN1Type

from keeppool.core.origin import TlsIdentity
from keeppool.errors import CertificateError, ConfigError, ConnectError, ConnectTimeout, ProxyError, SSLError
from keeppool.net import tls_sessions
from keeppool.net.dial import dial
from keeppool.net.tls import TlsStore, build_context


@pytest.fixture
def store() -> TlsStore:
    return TlsStore()


@pytest.fixture
def visit(serve, speak_tls, origin, store):
    """Dial, send, read, remember and close, as a pool does; give the server's `Handshake` and whether we resumed."""
    server = serve(speak_tls)

    def once(identity: TlsIdentity, host: str = "127.0.0.1", **more):
        wanted = origin(server, scheme="https", host=host, tls=identity, **more)
        stream = dial(wanted, seconds=20, tls=store)
        stream.send(b"ping")
        assert stream.receive(100) == b"hello"
        store.remember(wanted, stream.sock)
        stream.close()
        return server.seen(), stream.resumed

    return once


@pytest.fixture
def refuse(serve, speak_tls, origin, store):
    """Dial what must fail; give the error. The server is done with the connection by then."""
    server = serve(speak_tls)

    def once(identity: TlsIdentity, kind: type[ConnectError] = CertificateError, host: str = "127.0.0.1"):
        wanted = origin(server, scheme="https", host=host, tls=identity)
        with pytest.raises(kind) as caught:
            dial(wanted, seconds=20, tls=store)
        server.seen()
        assert caught.value.origin == str(wanted)
        assert str(caught.value).startswith(f"{wanted}: ")
        assert caught.value.__cause__ is not None
        return caught.value

    return once


def digest(leaf: trustme.LeafCert, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())).hexdigest()


def hashed_name(pem: bytes) -> str:
    """The file name under which OpenSSL looks for a root in a folder: SHA-1 of its canonical subject."""
    parts = [
        x509.Name([x509.NameAttribute(part.oid, " ".join(part.value.lower().split()), _ASN1Type.UTF8String)])
        for part in x509.load_pem_x509_certificate(pem).subject
    ]
    inner = b"".join(part.public_bytes()[2:] for part in parts)
    return f"{int.from_bytes(hashlib.sha1(inner).digest()[:4], 'little'):08x}.0"


class TestTrust:
    def test_a_file_of_roots(self, visit, trusting) -> None:
        seen, _ = visit(trusting)
        assert seen.data == b"ping"

    def test_a_folder_of_roots(self, visit, ca, tmp_path) -> None:
        pem = ca.cert_pem.bytes()
        (tmp_path / hashed_name(pem)).write_bytes(pem)
        visit(TlsIdentity(verify=str(tmp_path)))

    def test_a_folder_without_the_root(self, refuse, tmp_path) -> None:
        refuse(TlsIdentity(verify=str(tmp_path)))

    def test_certifi_does_not_know_our_authority(self, refuse) -> None:
        error = refuse(TlsIdentity())
        assert "the certificate is refused: unable to get local issuer certificate" in str(error)
        assert isinstance(error.__cause__, ssl.SSLCertVerificationError)

    def test_true_trusts_certifi_alone(self, monkeypatch, ca_file) -> None:
        """Neither the system's roots nor OpenSSL's variables add to them."""
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        import certifi

        ours = build_context(verify=True, cert=None)
        wanted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        wanted.load_verify_locations(certifi.where())
        assert ours.cert_store_stats() == wanted.cert_store_stats()
        assert ours.verify_mode == ssl.CERT_REQUIRED
        assert ours.check_hostname

    def test_no_check_at_all(self, visit) -> None:
        visit(TlsIdentity(verify=False), host="localhost")
        visit(TlsIdentity(verify=False, server_hostname="wrong.example"))

    def test_no_check_does_not_leak_into_the_next_dial(self, visit, refuse) -> None:
        visit(TlsIdentity(verify=False))
        refuse(TlsIdentity(verify=True))

    def test_the_callers_context_is_used_as_it_is(self, visit, ca, store) -> None:
        own = ssl.create_default_context()
        ca.configure_trust(own)
        seen, _ = visit(TlsIdentity(context=own))
        assert seen.alpn is None
        assert store.context_for(TlsIdentity(context=own)) is own

    def test_the_callers_context_decides(self, refuse) -> None:
        refuse(TlsIdentity(context=ssl.create_default_context(), verify=False))

    def test_a_context_that_is_none(self, store) -> None:
        with pytest.raises(ConfigError) as caught:
            store.context_for(TlsIdentity(context="TLSv1_2"))
        assert caught.value.field == "ssl_context"


class TestHostName:
    def test_a_wrong_name(self, refuse, ca_file) -> None:
        error = refuse(TlsIdentity(verify=ca_file, server_hostname="b.example"))
        assert "not valid for 'b.example'" in str(error)

    def test_the_given_name_is_sent_and_checked(self, visit, ca_file) -> None:
        seen, _ = visit(TlsIdentity(verify=ca_file, server_hostname="a.example"))
        assert seen.name == "a.example"

    @pytest.mark.parametrize("host", ["a.example", "a.example."])
    def test_the_hosts_name_is_sent_without_its_final_dot(
        self, serve, speak_tls, origin, store, trusting, tmp_path, host
    ) -> None:
        """RFC 6066 §3. By a Unix socket, because only this certificate, and no resolver, knows the name."""
        path = tmp_path / "tls.sock"
        server = serve(speak_tls, path=path)
        dial(origin(443, "https", host, tls=trusting, unix_socket=str(path)), seconds=20, tls=store).close()
        assert server.seen().name == "a.example"

    def test_an_address_is_checked_and_not_sent(self, visit, trusting) -> None:
        """RFC 6066 §3: literal addresses are not permitted in SNI."""
        assert visit(trusting, host="127.0.0.1")[0].name is None

    def test_an_address_the_certificate_does_not_have(self, serve, speak_tls, origin, store, trusting) -> None:
        server = serve(speak_tls, host="127.0.0.2")
        with pytest.raises(CertificateError, match=r"not valid for '127\.0\.0\.2'"):
            dial(origin(server, scheme="https", host="127.0.0.2", tls=trusting), seconds=20, tls=store)

    def test_an_ipv6_address_is_checked(self, serve, speak_tls, origin, store, trusting) -> None:
        server = serve(speak_tls, host="::1")
        dial(origin(server, scheme="https", host="::1", tls=trusting), seconds=20, tls=store).close()

    def test_a_name_no_certificate_can_have(self, refuse, ca_file) -> None:
        refuse(TlsIdentity(verify=ca_file, server_hostname="a" * 64 + ".example"), SSLError)


class TestFingerprint:
    @pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
    def test_the_right_one(self, visit, ca_file, leaf, algorithm) -> None:
        visit(TlsIdentity(verify=ca_file, fingerprint=digest(leaf, algorithm)))

    def test_the_right_one_does_not_stand_for_trust(self, refuse, leaf) -> None:
        refuse(TlsIdentity(verify=True, fingerprint=digest(leaf)))

    @pytest.mark.parametrize("verify", [True, False])
    def test_the_wrong_one(self, refuse, ca_file, verify) -> None:
        """Also where nothing else is checked."""
        error = refuse(TlsIdentity(verify=ca_file if verify else False, fingerprint="ab" * 32))
        assert "Fingerprints did not match" in str(error)

    def test_alone_it_pins_a_certificate_nobody_vouches_for(self, visit, leaf) -> None:
        visit(TlsIdentity(verify=False, fingerprint=digest(leaf)))

    def test_it_is_checked_on_a_resumed_session_too(self, visit, ca_file, leaf) -> None:
        pinned = TlsIdentity(verify=ca_file, fingerprint=digest(leaf))
        assert [visit(pinned)[1], visit(pinned)[1]] == [False, True]


class TestClientCertificate:
    @pytest.fixture
    def cert_file(self, ca, tmp_path) -> str:
        ca.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
        return str(tmp_path / "client.pem")

    @pytest.fixture(autouse=True)
    def demanded(self, server_context, ca) -> None:
        ca.configure_trust(server_context)
        server_context.verify_mode = ssl.CERT_REQUIRED

    def test_one_file(self, visit, ca_file, cert_file) -> None:
        seen, _ = visit(TlsIdentity(verify=ca_file, cert=cert_file))
        assert ("DNS", "client.example") in seen.client["subjectAltName"]

    def test_certificate_and_key_apart(self, visit, ca, ca_file, tmp_path) -> None:
        made = ca.issue_cert("client.example")
        made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        made.private_key_pem.write_to_path(tmp_path / "key.pem")
        visit(TlsIdentity(verify=ca_file, cert=(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))))

    def test_absent_in_tls_1_2(self, refuse, server_context, trusting) -> None:
        server_context.maximum_version = ssl.TLSVersion.TLSv1_2
        refuse(trusting, SSLError)

    def test_absent_in_tls_1_3(self, serve, speak_tls, origin, store, trusting) -> None:
        """There the client is done before the server refuses: the first read hears of it, not the dial."""
        server = serve(speak_tls)
        stream = dial(origin(server, scheme="https", tls=trusting), seconds=20, tls=store)
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
            stream.receive(1)
        stream.abort()
        assert isinstance(server.seen(), ssl.SSLError)


class TestFiles:
    """What cannot be loaded is a ConfigError that names the field, before anything is dialled."""

    def field(self, store: TlsStore, identity: TlsIdentity) -> tuple[str, str]:
        with pytest.raises(ConfigError) as caught:
            store.context_for(identity)
        assert caught.value.value in (identity.verify, identity.cert)
        return caught.value.field, caught.value.rule

    def test_a_missing_file(self, store, ca_file) -> None:
        assert self.field(store, TlsIdentity(verify="/nowhere/ca.pem"))[0] == "verify"
        assert self.field(store, TlsIdentity(cert="/nowhere/me.pem"))[0] == "cert"
        assert self.field(store, TlsIdentity(cert=(ca_file, "/nowhere/key.pem"))) == (
            "cert",
            "there is no file or folder /nowhere/key.pem",
        )

    def test_a_file_of_something_else(self, store, tmp_path) -> None:
        path = tmp_path / "notes.pem"
        path.write_text("no certificate")
        assert self.field(store, TlsIdentity(verify=str(path)))[0] == "verify"
        assert self.field(store, TlsIdentity(cert=str(path)))[0] == "cert"

    def test_a_key_with_a_password_does_not_ask_on_the_terminal(self, store, ca, tmp_path) -> None:
        from cryptography.hazmat.primitives import serialization as form

        made = ca.issue_cert("client.example")
        made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        key = form.load_pem_private_key(made.private_key_pem.bytes(), None)
        locked = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"secret"))
        (tmp_path / "key.pem").write_bytes(locked)
        identity = TlsIdentity(cert=(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")))
        assert self.field(store, identity)[0] == "cert"

    def test_a_file_that_appears_later_is_found(self, store, ca, tmp_path) -> None:
        """A failure is not remembered."""
        identity = TlsIdentity(verify=str(tmp_path / "ca.pem"))
        self.field(store, identity)
        ca.cert_pem.write_to_path(tmp_path / "ca.pem")
        assert store.context_for(identity).cert_store_stats()["x509_ca"] == 1


class TestHandshake:
    def test_only_http_1_1_is_offered(self, visit, trusting) -> None:
        """The server would take h2 first."""
        assert visit(trusting)[0].alpn == "http/1.1"

    def test_a_server_that_does_not_speak_tls(self, serve, origin, store, trusting) -> None:
        server = serve(lambda conn: conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        with pytest.raises(SSLError, match="TLS failed"):
            dial(origin(server, scheme="https", tls=trusting), seconds=20, tls=store)

    def test_a_server_that_closes_instead(self, serve, origin, store, trusting) -> None:
        server = serve(lambda conn: conn.recv(65536))
        with pytest.raises(ConnectError):
            dial(origin(server, scheme="https", tls=trusting), seconds=20, tls=store)
        server.seen()

    def test_a_server_that_says_nothing(self, black_hole_socket, origin, store, trusting) -> None:
        """The kernel accepts for a listener nobody serves; the handshake is never answered."""
        black_hole_socket.listen(5)
        host, port = black_hole_socket.getsockname()
        with pytest.raises(ConnectTimeout, match="the TLS handshake was not finished") as caught:
            dial(origin(port, scheme="https", host=host, tls=trusting), seconds=0.1, tls=store)
        assert caught.value.limit == 0.1

    def test_an_interrupted_handshake_closes_its_socket(self, serve, origin, store, trusting, ca, open_files) -> None:
        """Control-C while the server thinks; the server sees the connection end."""
        main = threading.main_thread().ident
        assert main is not None
        own = ssl.create_default_context()
        ca.configure_trust(own)

        def interrupt(conn) -> bytes:
            conn.recv(65536)
            signal.pthread_kill(main, signal.SIGINT)
            return conn.recv(65536)

        server = serve(interrupt)
        store.context_for(trusting)
        before = open_files()
        # Jobs in the background are started with SIGINT ignored.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt) as caught:
                dial(origin(server, scheme="https", tls=trusting), seconds=20, tls=store)
        finally:
            signal.signal(signal.SIGINT, handler)
        # The traceback still holds every frame: nothing was closed by luck.
        assert caught.value.__traceback__ is not None
        assert server.seen() == b""
        assert open_files() == before


class TestResumption:
    @pytest.fixture(params=["TLSv1_2", "TLSv1_3"], autouse=True)
    def version(self, request, server_context) -> None:
        chosen = ssl.TLSVersion[request.param]
        server_context.minimum_version = server_context.maximum_version = chosen

    def test_the_second_connection_resumes_the_first(self, visit, trusting) -> None:
        (first, first_resumed), (second, second_resumed) = visit(trusting), visit(trusting)
        assert [first.resumed, second.resumed] == [False, True]
        assert [first_resumed, second_resumed] == [False, True]

    def test_each_connection_brings_the_next_its_ticket(self, visit, trusting) -> None:
        assert [visit(trusting)[0].resumed for _ in range(4)] == [False, True, True, True]

    def test_tickets_are_taken_in_both_versions(self, trusting, origin, store, serve, speak_tls) -> None:
        """A server that keeps no state has nothing else to resume by; urllib3's contexts refuse them in TLS 1.2."""
        stream = dial(origin(serve(speak_tls), scheme="https", tls=trusting), seconds=20, tls=store)
        stream.send(b"ping")
        stream.receive(100)
        assert stream.sock.session.has_ticket
        stream.close()

    def test_a_server_that_gives_no_tickets_keeps_state(self, visit, trusting, server_context) -> None:
        server_context.options |= ssl.OP_NO_TICKET
        assert [visit(trusting)[0].resumed for _ in range(2)] == [False, True]

    def test_a_session_stays_with_its_identity(self, visit, trusting) -> None:
        visit(trusting)
        assert not visit(TlsIdentity(verify=False))[0].resumed

    def test_a_session_stays_with_its_fingerprint(self, visit, trusting, ca_file, leaf) -> None:
        """Although both use one context."""
        visit(trusting)
        assert not visit(TlsIdentity(verify=ca_file, fingerprint=digest(leaf)))[0].resumed

    def test_a_session_stays_with_its_origin(self, visit, trusting) -> None:
        """The server could tell by the ticket who comes back under another tag or address."""
        visit(trusting)
        assert not visit(trusting, tag="other")[0].resumed
        assert not visit(trusting, source_address="127.0.0.9")[0].resumed
        assert not visit(trusting, host="localhost")[0].resumed
        assert visit(trusting)[0].resumed

    def test_the_callers_context_resumes_too(self, visit, ca) -> None:
        own = ssl.create_default_context()
        ca.configure_trust(own)
        assert [visit(TlsIdentity(context=own))[0].resumed for _ in range(2)] == [False, True]

    def test_a_server_that_forgot_gets_a_full_handshake(self, serve, origin, store, trusting, leaf) -> None:
        """It restarted: the ticket means nothing to it, and nothing fails."""

        def fresh(conn) -> bool:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf.configure_cert(context)
            with context.wrap_socket(conn, server_side=True) as secured:
                secured.sendall(secured.recv(100))
                secured.recv(100)
                return secured.session_reused

        server = serve(fresh)
        wanted = origin(server, scheme="https", tls=trusting)
        for _ in range(2):
            stream = dial(wanted, seconds=20, tls=store)
            stream.send(b"ping")
            stream.receive(100)
            store.remember(wanted, stream.sock)
            stream.close()
            assert server.seen() is False


def sessions_taken(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note each session that Python's `ssl` is asked for."""
    taken: list[object] = []
    ask = ssl.SSLSocket.session

    def session(sock: ssl.SSLSocket) -> object:
        taken.append(sock)
        return ask.fget(sock)

    monkeypatch.setattr(ssl.SSLSocket, "session", property(session, ask.fset))
    return taken


def visited(store: TlsStore, wanted) -> bool:
    """Ask once over a new connection; tell whether it resumed a session."""
    stream = dial(wanted, seconds=20, tls=store)
    stream.send(b"ping")
    stream.receive(100)
    store.remember(wanted, stream.sock)
    stream.close()
    return stream.resumed


class TestStore:
    def test_a_session_is_never_given_to_another_context(self, serve, speak_tls, origin, trusting) -> None:
        """The context was evicted and built anew: OpenSSL would refuse the old one's session."""
        store = TlsStore(max_contexts=1)
        wanted = origin(serve(speak_tls), scheme="https", tls=trusting)
        for _ in range(2):
            stream = dial(wanted, seconds=20, tls=store)
            stream.send(b"ping")
            stream.receive(100)
            store.remember(wanted, stream.sock)
            assert store.session_for(wanted, store.context_for(trusting)) is not None
            assert store.session_for(wanted, store.context_for(TlsIdentity(verify=False))) is None
            stream.close()
            assert not stream.resumed

    def test_before_the_first_read_tls_1_3_has_nothing_to_remember(self, serve, speak_tls, origin, trusting) -> None:
        """And what was remembered before stays."""
        store = TlsStore()
        wanted = origin(serve(speak_tls), scheme="https", tls=trusting)
        stream = dial(wanted, seconds=20, tls=store)
        store.remember(wanted, stream.sock)
        assert store.session_for(wanted, store.context_for(trusting)) is None
        stream.close()

    def test_a_plain_socket_has_nothing_to_remember(self, serve, origin) -> None:
        store = TlsStore()
        stream = dial(origin(serve()), seconds=20, tls=store)
        store.remember(origin(80), stream.sock)
        stream.close()

    @pytest.mark.parametrize("use", ["remembered again", "asked for"])
    def test_the_least_recently_used_session_goes_first(self, serve, speak_tls, origin, trusting, use) -> None:
        """One connection's session stands for that of three origins."""
        store = TlsStore(max_sessions=2)
        server = serve(speak_tls)
        context = store.context_for(trusting)
        one, two, three = origins = [origin(server, scheme="https", tls=trusting, tag=tag) for tag in "abc"]
        stream = dial(one, seconds=20, tls=store)
        stream.send(b"ping")
        stream.receive(100)
        store.remember(one, stream.sock)
        store.remember(two, stream.sock)
        if use == "asked for":
            store.session_for(one, context)
        else:
            store.remember(one, stream.sock)
        store.remember(three, stream.sock)
        stream.close()
        assert [store.session_for(wanted, context) is not None for wanted in origins] == [True, False, True]

    def test_a_session_is_taken_anew_only_where_that_is_worth_it(self, monkeypatch, serve, speak_tls, origin, trusting):
        """Python loses memory each time. Resumed, the one that is kept serves on; refused, it is at powers of two."""
        taken = sessions_taken(monkeypatch)
        store, server = TlsStore(), serve(speak_tls)
        wanted = origin(server, scheme="https", tls=trusting)
        resumed = [visited(store, wanted) for _ in range(6)]
        assert resumed == [False, True, True, True, True, True]
        assert len(taken) == 1

    def test_a_session_that_ages_is_taken_anew(self, monkeypatch, serve, speak_tls, origin, trusting) -> None:
        taken = sessions_taken(monkeypatch)
        monkeypatch.setattr(tls_sessions, "RENEWED", -1.0)
        store, server = TlsStore(), serve(speak_tls)
        wanted = origin(server, scheme="https", tls=trusting)
        assert [visited(store, wanted) for _ in range(3)] == [False, True, True]
        assert len(taken) == 3

    def test_before_tls_1_3_a_session_that_was_resumed_is_the_one_that_is_kept(
        self, monkeypatch, serve, speak_tls, origin, trusting, server_context
    ) -> None:
        """It is as old as that: to take it again makes nothing younger."""
        server_context.maximum_version = ssl.TLSVersion.TLSv1_2
        taken = sessions_taken(monkeypatch)
        monkeypatch.setattr(tls_sessions, "RENEWED", -1.0)
        store, server = TlsStore(), serve(speak_tls)
        wanted = origin(server, scheme="https", tls=trusting)
        assert [visited(store, wanted) for _ in range(4)] == [False, True, True, True]
        assert len(taken) == 1

    def test_where_no_session_is_resumed_fewer_and_fewer_are_taken(
        self, monkeypatch, serve, speak_tls, origin, trusting, server_context
    ) -> None:
        server_context.options |= ssl.OP_NO_TICKET
        server_context.num_tickets = 0
        taken = sessions_taken(monkeypatch)
        store, server = TlsStore(), serve(speak_tls)
        wanted = origin(server, scheme="https", tls=trusting)
        assert not any(visited(store, wanted) for _ in range(20))
        assert len(taken) == 5  # the first, and at 2, 4, 8, 16

    def test_a_pool_that_has_met_many_takes_the_session_of_an_origin_it_meets_again(
        self, monkeypatch, serve, speak_tls, origin, trusting
    ) -> None:
        monkeypatch.setattr(tls_sessions, "GREETED", 1)
        taken = sessions_taken(monkeypatch)
        store, server = TlsStore(), serve(speak_tls)
        first, second = (origin(server, scheme="https", tls=trusting, tag=tag) for tag in "ab")
        assert [visited(store, first) for _ in range(2)] == [False, True]
        assert [visited(store, second) for _ in range(3)] == [False, False, True]
        assert len(taken) == 2

    def test_one_context_for_the_same_trust_and_certificate(self, ca_file) -> None:
        """The name and the fingerprint are no part of a context."""
        store = TlsStore()
        shared = store.context_for(TlsIdentity(verify=ca_file))
        assert store.context_for(TlsIdentity(verify=ca_file, server_hostname="b.example")) is shared
        assert store.context_for(TlsIdentity(verify=ca_file, fingerprint="ab" * 32)) is shared
        assert store.context_for(TlsIdentity(verify=False)) is not shared

    def test_the_least_recently_used_context_goes_first(self, ca, tmp_path) -> None:
        store = TlsStore(max_contexts=2)
        identities = {name: TlsIdentity(verify=str(tmp_path / name)) for name in "abc"}
        for name in identities:
            ca.cert_pem.write_to_path(tmp_path / name)
        kept = {name: store.context_for(identities[name]) for name in "abac"}
        assert store.context_for(identities["a"]) is kept["a"]
        assert store.context_for(identities["b"]) is not kept["b"]

    def test_many_threads_get_one_context(self, ca_file) -> None:
        store, found = TlsStore(), []
        barrier = threading.Barrier(8)

        def look() -> None:
            barrier.wait(20)
            found.append(store.context_for(TlsIdentity(verify=ca_file)))

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(found) == 8
        assert len(set(map(id, found))) == 1

    def test_one_slow_identity_does_not_block_the_others(self, ca_file, tmp_path) -> None:
        """Its file is a pipe nobody has written to yet."""
        store, pipe = TlsStore(), tmp_path / "slow.pem"
        os.mkfifo(pipe)
        slow = threading.Thread(target=store.context_for, args=(TlsIdentity(verify=str(pipe)),))
        slow.start()
        with pipe.open("wb") as writer:  # Opens as soon as the reader is there.
            assert store.context_for(TlsIdentity(verify=ca_file)).cert_store_stats()["x509_ca"] == 1
            assert slow.is_alive()
            writer.write(Path(ca_file).read_bytes())
        slow.join(20)
        assert not slow.is_alive()


def test_an_https_proxy_for_http_is_checked_by_its_own_roots(serve, speak_tls, origin, proxy, store, trusting) -> None:
    server = serve(speak_tls)
    through = proxy(server, "https", verify=trusting.verify)
    stream = dial(origin(server, tls=trusting, proxy=through), seconds=20, tls=store)
    assert stream.is_tls
    stream.close()
    assert server.seen().data == b""


def test_an_https_proxy_nobody_vouches_for(serve, speak_tls, origin, proxy, store) -> None:
    server = serve(speak_tls)
    with pytest.raises(ProxyError, match="the proxy's certificate is refused") as caught:
        dial(origin(server, proxy=proxy(server, "https")), seconds=20, tls=store)
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
