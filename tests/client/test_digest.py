"""Digest: proofs as the RFCs have them, and a server that checks each one."""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from digest_server import DigestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.auth import HTTPDigestAuth as DigestAuthOfRequests

import keeppool
from keeppool.auth import HTTPBasicAuth, HTTPDigestAuth
from keeppool.client.auth.digest import Terms
from keeppool.testing import Answer, Site


@dataclass
class Reply:
    """As much of an answer as a scheme may look at."""

    request: keeppool.PreparedRequest
    status_code: int = 401
    headers: dict[str, str] = field(default_factory=dict)


def asked(url="http://a.example/x", method="GET", **arguments: Any) -> keeppool.PreparedRequest:
    return keeppool.Request(method, url, **arguments).prepare()


def challenged(request: keeppool.PreparedRequest, challenge: str, status: int = 401) -> Reply:
    return Reply(request, status, {"WWW-Authenticate": challenge})


def proof_in(request: keeppool.PreparedRequest) -> str:
    return str(request.headers["Authorization"])


@pytest.fixture
def digest() -> HTTPDigestAuth:
    return HTTPDigestAuth("Mufasa", "Circle of Life")


@pytest.fixture
def guarded(answering, session):
    """Start a site that wants a proof for every path, and a session that can give it."""
    session.trust_env = False

    def start(auth: HTTPDigestAuth | None = None, **options: Any) -> tuple[DigestServer, Site]:
        server = DigestServer(**options)
        session.auth = auth or HTTPDigestAuth("Mufasa", "Circle of Life")
        return server, answering({"/": server, "/dir/index.html": server, "/b": server})

    return start


# What the RFCs say


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", b"8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm, expected):
    terms = Terms(b"http-auth@example.org", b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", b"FQhe", algorithm, "auth")
    cnonce = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    made = terms.proof(b"Mufasa", b"Circle of Life", b"GET", b"/dir/index.html", b"", b"00000001", cnonce)
    assert made == expected


def test_the_example_of_rfc_2617_and_the_older_form_without_qop():
    terms = Terms(b"testrealm@host.com", b"dcd98b7102dd2f0e8b11d0f600bfb0c093", None, "", "auth")
    arguments = (b"Mufasa", b"Circle Of Life", b"GET", b"/dir/index.html", b"", b"00000001", b"0a4f113b")
    assert terms.proof(*arguments) == b"6629fae49393a05397450978507c4ef1"
    older = Terms(terms.realm, terms.nonce, None, "", "")
    assert older.proof(*arguments) == b"670fd8c2df070c60b045671b8b24ff02"


def test_the_example_of_rfc_7616_with_a_hashed_name_as_its_erratum_4897_corrects_it():
    terms = Terms(b"api@example.org", b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", None, "SHA-512-256", "auth")
    user = "Jäsøn Doe".encode()
    assert terms.hashed(user, terms.realm) == b"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    cnonce = b"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    made = terms.proof(user, b"Secret, or not?", b"GET", b"/doe.json", b"", b"00000001", cnonce)
    assert made == b"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


# With a server that checks


@pytest.mark.parametrize(
    "algorithm",
    ["", "MD5", "md5", "MD5-sess", "SHA", "SHA-256", "SHA-256-sess", "SHA-512", "SHA-512-256", "SHA-512-256-SESS"],
)
@pytest.mark.parametrize("qop", ["auth", "auth-int", "auth-int, auth", ""])
def test_each_algorithm_and_protection_is_proved(guarded, session, algorithm, qop):
    server, site = guarded(algorithm=algorithm, qop=qop)
    response = session.post(f"{site.url}/dir/index.html?a=%20b&c", data="some content")
    assert (response.status_code, response.content) == (200, b"some content")
    assert server.refused == ["no proof"]
    assert [answer.status_code for answer in response.history] == [401]


def test_later_requests_are_signed_before_they_are_asked_and_the_count_goes_up(guarded, session):
    server, site = guarded()
    for path in ("/", "/b", "/dir/index.html?", "/b?x#fragment"):
        assert session.get(site.url + path).content == b"welcome"
    assert server.refused == ["no proof"]
    assert list(server.counts.values()) == [[1, 2, 3, 4]]


@pytest.mark.parametrize("options", [{"qop": ""}, {"algorithm": "MD5-sess"}], ids=["no qop", "session"])
def test_where_the_nonce_cannot_safely_be_used_again_each_request_is_challenged(guarded, session, options):
    server, site = guarded(**options)
    for _ in range(3):
        assert session.get(site.url).content == b"welcome"
    assert server.refused == ["no proof"] * 3


@pytest.mark.parametrize("says_stale", [True, False])
def test_a_nonce_that_has_expired_is_replaced_whether_the_server_calls_it_stale_or_not(guarded, session, says_stale):
    server, site = guarded(uses=2, says_stale=says_stale)
    for _ in range(5):
        assert session.get(site.url).content == b"welcome"
    assert server.refused == ["no proof", "stale", "stale"]


def test_the_nonce_the_server_names_for_next_time_is_used(guarded, session):
    server, site = guarded(uses=1, next_nonce=True)
    for _ in range(4):
        assert session.get(site.url).content == b"welcome"
    assert server.refused == ["no proof"]
    assert [counts for counts in server.counts.values() if counts] == [[1]] * 4


def test_a_wrong_password_is_refused_once_and_the_answer_given_to_the_caller(guarded, session):
    server, site = guarded(HTTPDigestAuth("Mufasa", "wrong"))
    response = session.get(site.url)
    assert (response.status_code, response.content) == (401, b"who?")
    assert server.refused == ["no proof", "wrong"]
    # What was signed in advance is worth one more proof: the nonce might have been too old.
    assert session.get(site.url).status_code == 401
    assert server.refused[2:] == ["wrong", "wrong"]


def test_a_stale_nonce_is_replaced_also_without_qop(on, answering):
    """RFC 2069 has no client's nonce, in which to write that a request was signed before."""
    server = DigestServer(qop="")
    site = answering({"/": server})
    server.uses, fresh = 0, server.fresh

    def second_is_good():
        server.uses = len(server.counts)
        return fresh()

    server.fresh = second_is_good
    session = on.session()
    scheme = HTTPDigestAuth(b"Mufasa", b"Circle of Life")
    answer = on.wait(session.get(site.url, auth=scheme))
    assert (answer.status_code, server.refused) == (200, ["no proof", "stale"])
    assert len(answer.history) == 2
    server.uses, server.fresh, server.refused[:] = 0, fresh, []
    assert on.wait(session.get(site.url, auth=scheme)).status_code == 401
    assert server.refused == ["no proof", "stale", "stale"]


def test_a_server_that_calls_each_nonce_stale_is_tried_once_more_and_no_further(guarded, session):
    server, site = guarded(uses=0)
    assert session.get(site.url).status_code == 401
    assert server.refused == ["no proof", "stale", "stale"]


@pytest.mark.parametrize("options", [{}, {"charset": "UTF-8"}, {"charset": "utf-8", "userhash": True}])
def test_names_outside_ascii_are_sent_in_the_form_the_server_reads(guarded, session, options):
    user, password, realm = ('Jäsøn \\"Doe" 名', "passwört", 'Bär \\ "x"'.encode())
    server, site = guarded(
        HTTPDigestAuth(user, password), user=user.encode(), password=password.encode(), realm=realm, **options
    )
    assert session.get(site.url).content == b"welcome"
    assert server.refused == ["no proof"]


def test_user_and_password_in_bytes_are_taken_as_they_are(guarded, session):
    _, site = guarded(HTTPDigestAuth(b"\xff\xfe", b"\x80"), user=b"\xff\xfe", password=b"\x80")
    assert session.get(site.url).content == b"welcome"


def test_a_file_is_sent_again_from_where_it_stood(guarded, session):
    _, site = guarded()
    file = io.BytesIO(b"skipped, content")
    file.seek(9)
    assert session.post(site.url, data=file).content == b"content"


def test_a_body_that_would_have_to_be_read_first_is_not_signed_with_its_content(guarded, session):
    server, site = guarded(qop="auth-int")
    assert session.post(site.url, data=io.BytesIO(b"content")).status_code == 401
    assert session.get(site.url).content == b"welcome"
    assert session.post(site.url, data=io.BytesIO(b"content")).status_code == 401
    assert server.refused == ["no proof"] * 3


def test_many_threads_share_a_nonce_and_never_a_count(guarded, session):
    server, site = guarded()
    session.get(site.url)
    statuses: list[int] = []

    def work() -> None:
        statuses.extend(session.get(site.url).status_code for _ in range(25))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 200
    assert server.refused == ["no proof"]
    assert [sorted(counts) for counts in server.counts.values()] == [list(range(1, 202))]


def test_after_a_redirect_on_the_site_the_old_proof_does_not_count_as_refused(answering, session):
    """The redirected request carries a proof for another method and target."""
    session.trust_env = False
    server = DigestServer()

    def guarded_redirect(request):
        answer = server(request)
        moved = Answer(status=303, headers=(("Location", request.path),))
        return moved if answer.status == 200 and request.method == "POST" else answer

    site = answering({"/": guarded_redirect})
    response = session.post(site.url, data="x", auth=HTTPDigestAuth("Mufasa", "Circle of Life"))
    assert (response.status_code, response.content) == (200, b"welcome")
    assert response.request.method == "GET"


def test_a_challenge_of_the_site_a_redirect_leads_to_is_not_answered(answering, session):
    session.trust_env = False
    foreign = DigestServer()
    other = answering({"/": foreign})
    site = answering({"/": Answer(status=302, headers=(("Location", other.url + "/"),))})
    assert session.get(site.url, auth=HTTPDigestAuth("Mufasa", "Circle of Life")).status_code == 401
    assert foreign.refused == ["no proof"]


# One answer at a time


def test_the_strongest_of_several_challenges_is_answered(digest):
    request = digest(asked())
    field_value = (
        'Basic realm="b", Digest realm="r", nonce="1", qop="auth", algorithm=MD5, '
        'DIGEST realm="r", nonce="2", qop="auth", algorithm=SHA-256, Digest realm="r", nonce="3", algorithm=UNKNOWN, '
        'Digest realm="r", nonce="4", qop="auth", algorithm=SHA-256-sess, Digest realm="r", nonce="5", algorithm=SHA'
    )
    again = digest.answered(challenged(request, field_value))
    assert again is not None
    assert again is not request
    assert 'nonce="2"' in proof_in(again)
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Digest",
        "Digest x",
        'Basic realm="r", nonce="1"',
        'Digest realm="r"',
        'Digest nonce="1"',
        'Digest realm="r", nonce="1", algorithm=MD6',
        'Digest realm="r", nonce="1", qop="auth-ext"',
        'Digest realm="r\x01", nonce="1", qop="auth"',
        'Digest realm="r", nonce="\x7f"',
        'Digest realm="r", nonce="1", opaque="\x02"',
    ],
)
def test_what_cannot_be_answered_is_kept(digest, challenge):
    assert digest.answered(challenged(digest(asked()), challenge)) is None


@pytest.mark.parametrize(
    ("status", "may_challenge"), [(200, False), (302, False), (401, True), (403, True), (503, False)]
)
def test_every_refusal_may_hold_a_challenge_and_no_other_answer(digest, status, may_challenge):
    reply = challenged(digest(asked()), 'Digest realm="r", nonce="1"', status)
    assert (digest.answered(reply) is not None) is may_challenge


def test_an_origin_no_request_was_meant_for_gets_no_proof(digest):
    digest(asked("https://a.example/"))
    for url in ("https://b.example/", "https://a.example:444/", "http://a.example/"):
        assert digest.answered(challenged(asked(url), 'Digest realm="r", nonce="1", qop="auth"')) is None


def test_the_same_host_by_https_gets_one_as_requests_has_it(digest):
    digest(asked("http://a.example/"))
    again = digest.answered(challenged(asked("https://a.example:443/"), 'Digest realm="r", nonce="1", qop="auth"'))
    assert again is not None


def test_each_origin_has_its_own_nonce(digest):
    for number, url in enumerate(("http://a.example/", "http://b.example/", "http://a.example:81/")):
        request = digest(asked(url))
        assert "Authorization" not in request.headers
        digest.answered(challenged(request, f'Digest realm="r", nonce="n{number}", qop="auth"'))
    again = proof_in(digest(asked("http://b.example/other")))
    assert 'nonce="n1"' in again
    assert "nc=00000002" in again
    assert 'nonce="n0", uri="/other", nc=00000002' in proof_in(digest(asked("http://A.example:80/other")))


def test_a_request_is_answered_for_twice_at_most_however_it_is_sent(digest):
    request = digest(asked())
    for number in range(2):
        again = digest.answered(challenged(request, f'Digest realm="r", nonce="{number}", qop="auth", stale=true'))
        assert again is not None
        request = again
    assert digest.answered(challenged(request, 'Digest realm="r", nonce="2", qop="auth", stale=true')) is None


@pytest.mark.parametrize(
    ("user", "parameters", "written"),
    [
        ("Jäsøn", "charset=UTF-8", "username*=UTF-8''J%C3%A4s%C3%B8n, "),
        ("Jason", "charset=UTF-8", 'username="Jason", '),
        ("Jäsøn", "qop=auth", f'username="{"Jäsøn".encode().decode("latin-1")}", '),
        ("Jäsøn", "charset=UTF-8, userhash=true", f'username="{hashlib.md5("Jäsøn:r".encode()).hexdigest()}", '),
        ("Jäsøn", "charset=UTF-8, userhash=false", "username*=UTF-8''J%C3%A4s%C3%B8n, "),
    ],
)
def test_the_name_is_written_as_the_server_asks(user, parameters, written):
    digest = HTTPDigestAuth(user, "password")
    again = digest.answered(challenged(digest(asked()), f'Digest realm="r", nonce="1", {parameters}'))
    assert again is not None
    assert proof_in(again).startswith(f"Digest {written}")


def test_another_realm_with_the_same_nonce_is_answered(digest):
    digest.answered(challenged(digest(asked()), 'Digest realm="r", nonce="1", qop="auth"'))
    ahead = digest(asked())
    assert digest.answered(challenged(ahead, 'Digest realm="r", nonce="1", qop="auth"')) is None
    again = digest.answered(challenged(ahead, 'Digest realm="s", nonce="1", qop="auth"'))
    assert again is not None
    assert 'realm="s"' in proof_in(again)


def test_origins_are_forgotten_when_they_are_too_many(digest):
    for number in range(1025):
        request = digest(asked(f"http://{number}.example/"))
        digest.answered(challenged(request, 'Digest realm="r", nonce="1", qop="auth"'))
        digest(asked("http://0.example/"))
    assert "Authorization" in digest(asked("http://0.example/")).headers
    assert "Authorization" in digest(asked("http://1024.example/")).headers
    assert "Authorization" not in digest(asked("http://1.example/")).headers


def test_a_nonce_for_next_time_is_believed_only_in_answer_to_a_proof(digest):
    digest.answered(challenged(digest(asked()), 'Digest realm="r", nonce="1", qop="auth"'))
    stranger = asked(headers={"Authorization": 'Digest realm="r", nonce="1", qop=auth, response="x"'})
    digest.answered(Reply(stranger, 200, {"Authentication-Info": 'nextnonce="evil"'}))
    assert 'nonce="1"' in proof_in(digest(asked()))
    digest.answered(Reply(digest(asked()), 200, {"Authentication-Info": 'nextnonce="2"'}))
    assert 'nonce="2", uri="/x", nc=00000001' in proof_in(digest(asked()))
    digest.answered(Reply(digest(asked()), 200, {"Authentication-Info": 'nextnonce="\x01"'}))
    assert 'nonce="2", uri="/x", nc=00000003' in proof_in(digest(asked()))


@settings(max_examples=200)
@given(st.text(max_size=200), st.text(max_size=50))
def test_no_server_can_make_it_fail(challenge, info):
    digest = HTTPDigestAuth("user", "password")
    request = digest(asked())
    again = digest.answered(challenged(request, f'Digest realm="r", nonce="n", {challenge}'))
    digest.answered(Reply(again or request, 200, {"Authentication-Info": info}))
    for made in (again or request, digest(asked())):
        assert made.parts()


_SENT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)


@given(_SENT, _SENT, _SENT.filter(bool), st.sampled_from(["", "MD5", "SHA-256"]), st.sampled_from(["", "auth"]))
def test_whatever_realm_and_names_hold_the_server_can_check_the_proof(user, password, realm, algorithm, qop):
    server = DigestServer(user.encode(), password.encode(), algorithm, qop, realm=realm.encode("latin-1"))
    digest = HTTPDigestAuth(user, password)
    again = digest.answered(challenged(digest(asked()), server.challenge(stale=False)))
    assert again is not None
    block = {name.decode().lower(): value.decode("latin-1") for name, value in again.headers.block().pairs}
    seen = keeppool.testing.Request("GET", "/x", "1.1", [], block, b"", 1, 1, 0.0)
    assert server.refusal(seen) is None


# As an object


def test_equal_credentials_are_equal_schemes_as_in_requests(digest):
    for kind, other in ((HTTPDigestAuth, digest), (DigestAuthOfRequests, DigestAuthOfRequests("Mufasa", "a"))):
        assert kind("a", "b") == kind("a", "b")
        assert kind("a", "b") != other
        assert kind("a", "b") != ("a", "b")
        with pytest.raises(TypeError):
            hash(kind("a", "b"))
    assert HTTPDigestAuth("a", "b") == HTTPBasicAuth("a", "b")


def test_it_is_pickled_without_what_it_has_learned(digest):
    digest.answered(challenged(digest(asked()), 'Digest realm="r", nonce="1", qop="auth"'))
    copy = pickle.loads(pickle.dumps(digest))
    assert copy == digest
    assert "Authorization" not in copy(asked()).headers


def test_numbers_are_taken_for_their_text():
    digest = HTTPDigestAuth(1, 2)  # type: ignore[arg-type]
    again = digest.answered(challenged(digest(asked()), 'Digest realm="r", nonce="n"'))
    assert again is not None
    expected = hashlib.md5(b"%b:n:%b" % tuple(hashlib.md5(part).hexdigest().encode() for part in (b"1:r:2", b"GET:/x")))
    assert proof_in(again).endswith(f'response="{expected.hexdigest()}"')
