"""Extensions of requests on a session with our mount: requests-toolbelt and requests-cache."""

import io

import pytest
import requests

from keeppool.adapters.requests import KeepPoolAdapter
from keeppool.testing import Answer, Behaviour, Site

pytestmark = pytest.mark.sdk


@pytest.fixture
def site():
    with Site() as running:
        yield running


def mount(session):
    session.trust_env = False
    session.mount("http://", KeepPoolAdapter())
    return session


class TestToolbelt:
    """requests-toolbelt: bodies that are made while they are sent, and dumps of what was said."""

    toolbelt = pytest.importorskip("requests_toolbelt", reason="skipped: requests-toolbelt is not installed")

    @pytest.fixture
    def session(self):
        with mount(requests.Session()) as session:
            yield session

    def test_a_streamed_multipart_form_arrives_with_its_length(self, site, session):
        file = io.BytesIO(b"content" * 50_000)
        form = self.toolbelt.MultipartEncoder({"field": "value", "file": ("name.bin", file, "text/plain")})
        length = form.len
        session.post(site.url, data=form, headers={"Content-Type": form.content_type})
        request = site.log[0]
        assert request.headers["content-length"] == str(length) == str(len(request.body))
        assert b"content" * 50_000 in request.body
        assert b'name="field"' in request.body

    def test_a_monitor_sees_every_byte_go(self, site, session):
        seen = []
        form = self.toolbelt.MultipartEncoder({"file": ("name.bin", io.BytesIO(bytes(300_000)))})
        monitor = self.toolbelt.MultipartEncoderMonitor(form, lambda watched: seen.append(watched.bytes_read))
        session.post(site.url, data=monitor, headers={"Content-Type": monitor.content_type})
        assert seen == sorted(seen)
        assert seen[-1] == len(site.log[0].body)

    def test_a_streamed_answer_can_be_sent_on(self, site, session):
        from requests_toolbelt.streaming_iterator import StreamingIterator

        with session.get(f"{site.url}/bytes/200000", stream=True) as source:
            session.put(site.url, data=StreamingIterator(200_000, source.iter_content(7000)))
        assert len(site.log[1].body) == 200_000
        assert site.log[1].headers["content-length"] == "200000"

    def test_a_download_to_a_file_is_whole(self, site, session, tmp_path):
        from requests_toolbelt.downloadutils import stream

        target = tmp_path / "file"
        stream.stream_response_to_file(session.get(f"{site.url}/gzip", stream=True), path=str(target))
        assert target.stat().st_size == 10_000

    def test_a_dump_shows_both_sides(self, site, session):
        from requests_toolbelt.utils import dump

        text = dump.dump_all(session.get(f"{site.url}/redirect/1"))
        assert text.count(b"> HTTP/1.1 ") == 2
        assert b"< GET /redirect/1 HTTP/1.1" in text


class TestCache:
    """requests-cache: answers are taken apart, kept, and given again."""

    requests_cache = pytest.importorskip("requests_cache", reason="skipped: requests-cache is not installed")

    @pytest.fixture
    def session(self):
        with mount(self.requests_cache.CachedSession(backend="memory")) as session:
            yield session

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    @pytest.mark.parametrize("coding", [None, "gzip"])
    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_an_answer_is_fetched_once_and_is_the_same_again(self, session, stream, coding, framing):
        with Site(Behaviour(body=b"cached\n" * 2000, coding=coding, framing=framing)) as site:
            first, second = (session.get(site.url, stream=stream) for _ in range(2))
            assert first.content == second.content == b"cached\n" * 2000
            assert (first.from_cache, second.from_cache) == (False, True)
            assert dict(second.headers) == dict(first.headers)
            assert site.requests == 1

    def test_raw_can_still_be_read_after_the_cache_has_kept_it(self, session, site):
        first = session.get(f"{site.url}/bytes/5000", stream=True)
        assert len(first.raw.read()) == 5000

    def test_cookies_and_redirects_are_kept_with_the_answer(self, session):
        def handler(request):
            if request.path == "/start":
                return Answer(status=302, headers=(("Location", "/end"), ("Set-Cookie", "a=1")))
            return Answer(body=b"end")

        with Site(handler=handler) as site:
            session.get(f"{site.url}/start")
            again = session.get(f"{site.url}/start")
            assert again.from_cache
            assert again.content == b"end"
            assert again.history[0].cookies.get_dict() == {"a": "1"}

    def test_a_stale_answer_is_asked_after_and_found_unchanged(self, session):
        def handler(request):
            fresh = request.headers.get("if-none-match") == '"tag"'
            return Answer(status=304 if fresh else 200, headers=(("ETag", '"tag"'),), body=b"" if fresh else b"kept")

        with Site(handler=handler) as site:
            session.settings.cache_control = True
            session.settings.always_revalidate = True
            assert [session.get(site.url).content for _ in range(2)] == [b"kept", b"kept"]
            assert site.requests == 2
            assert site.opened == 1
