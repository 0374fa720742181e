"""What goes over the wire for a request of Scrapy's: its own fields and nothing else, and the URL as it stands."""

import asyncio

import pytest
from scrapy_bench import Bench, Request

from keeppool.adapters.scrapy.errors import DownloadCancelledError, UnsupportedURLSchemeError
from keeppool.testing import Behaviour, RawConnection, ScriptedServer, Site


@pytest.fixture
def bench():
    with Bench() as bench:
        yield bench


def test_header_fields_go_out_in_their_order_with_host_and_the_keep_alive_and_nothing_else(bench, site):
    headers = [("X-B", "2"), ("Accept", "*/*"), ("X-A", "1"), ("User-Agent", "spider"), ("X-A", "again")]
    bench.download(Request(site.url, headers=headers))
    assert site.log[0].pairs == [
        ("Host", f"127.0.0.1:{site.port}"),
        ("X-B", "2"),
        ("Accept", "*/*"),
        ("X-A", "1"),
        ("X-A", "again"),
        ("User-Agent", "spider"),
        ("Connection", "keep-alive"),
    ]


def test_without_headers_neither_a_user_agent_nor_an_encoding_is_made_up(bench, site):
    bench.download(site.url)
    assert {name for name, _ in site.log[0].pairs} == {"Host", "Connection"}


def test_empty_values_go_out_and_none_does_not(bench, site):
    bench.download(Request(site.url, headers={"X-Empty": "", "X-None": None, "Cookie": None}))
    assert site.log[0].headers["x-empty"] == ""
    assert not {"x-none", "cookie"} & set(site.log[0].headers)


def test_no_post_is_lost_on_a_server_that_closes_behind_each_response_unannounced(bench):
    """Row K1."""
    with Site(behaviour=Behaviour(close_after=1)) as site:
        for number in range(60):
            sent = Request(f"{site.url}/echo", method="POST", body=b"%d" % number)
            assert bench.download(sent).json()["body"] == str(number)
        assert [request.body for request in site.log] == [b"%d" % number for number in range(60)]


def test_a_host_and_a_connection_field_of_the_requests_own_stand_alone(bench, site):
    bench.download(Request(site.url, headers={"Host": "other.example", "Connection": "close"}))
    assert [value for name, value in site.log[0].pairs if name in ("Host", "Connection")] == ["other.example", "close"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_bodyless_post_says_content_length_0_once(bench, site, method):
    bench.download(Request(site.url, method=method))
    assert [value for name, value in site.log[0].pairs if name == "Content-Length"] == ["0"]


def test_a_body_goes_out_with_its_length_also_in_a_get(bench, site):
    bench.download(Request(site.url, method="GET", body=b"words"))
    assert (site.log[0].body, site.log[0].headers["content-length"]) == (b"words", "5")


@pytest.mark.parametrize("length", ["4", "6", "five", "5, 5"])
def test_a_content_length_that_is_not_the_bodys_is_refused_and_nothing_sent(bench, site, length):
    with pytest.raises(DownloadCancelledError, match=r"Content-Length|bytes"):
        bench.download(Request(site.url, method="POST", body=b"words", headers={"Content-Length": length}))
    assert site.opened == 0


def test_a_line_end_in_a_value_is_refused_and_nothing_sent(bench, site):
    with pytest.raises(DownloadCancelledError, match="line end"):
        bench.download(Request(site.url, headers={"X": "a\r\nY: b"}))
    assert site.opened == 0


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/a/../b", "/a/../b"),
        ("/%7euser/%c3%a9", "/%7euser/%c3%a9"),
        ("?q=1", "/?q=1"),
        ("/page#part", "/page"),
        ("/a//b;c=d?e=f?g", "/a//b;c=d?e=f?g"),
        ("", "/"),
    ],
)
def test_the_path_goes_out_as_scrapy_has_it(bench, site, url, target):
    bench.download(site.url + url)
    assert site.log[0].target == target


def test_a_verbatim_url_keeps_what_scrapy_would_quote(bench, site):
    bench.download(site.url + "/items?data[0]=|", verbatim_url=True)
    bench.download(site.url + "/items?data[0]=|")
    bench.download(site.url + "?q", verbatim_url=True)
    assert [request.target for request in site.log] == ["/items?data[0]=|", "/items?data%5B0%5D=%7C", "/?q"]


@pytest.mark.parametrize("url", ["ftp://a.example/", "http:///path", "http://a.example:port/"])
def test_a_url_that_is_not_http_is_refused_for_good(bench, url):
    with pytest.raises(UnsupportedURLSchemeError):
        bench.download(url, verbatim_url=True)


def test_a_verbatim_url_http_cannot_carry_is_refused_for_good(bench, site):
    with pytest.raises(UnsupportedURLSchemeError, match="visible ASCII"):
        bench.download(site.url + "/a b", verbatim_url=True)
    assert site.opened == 0


def test_user_and_password_of_a_url_are_not_sent(bench, site):
    bench.download(site.url.replace("//", "//user:hush@"))
    assert "hush" not in repr(site.log[0])


def test_a_proxys_credentials_do_not_reach_an_origin_that_has_no_proxy(bench, site):
    bench.download(Request(site.url, headers={"Proxy-Authorization": "Basic aHVzaA=="}))
    assert "proxy-authorization" not in site.log[0].headers


def test_neither_cookies_nor_redirects_nor_encodings_are_looked_at(bench, site):
    response = bench.download(f"{site.url}/cookies/set?name=value")
    assert b"name=value" in response.headers["Set-Cookie"]
    assert bench.download(f"{site.url}/cookies").json() == {}
    assert bench.download(f"{site.url}/redirect/1").status == 302
    assert bench.download(f"{site.url}/gzip").body[:2] == b"\x1f\x8b"
    assert site.opened == 1


def test_a_hundred_downloads_at_once_stay_below_the_cap(site):
    site.pause()
    with Bench(CONCURRENT_REQUESTS_PER_DOMAIN=3) as bench:

        async def crawl():
            pages = [bench.handler.download_request(Request(f"{site.url}/{page}")) for page in range(100)]
            gathering = asyncio.gather(*pages)
            await asyncio.to_thread(site.wait_for, lambda: site.requests == 3)
            site.resume()
            return await gathering

        assert {response.status for response in bench.run(crawl())} == {200}
    assert (site.requests, site.peak_open) == (100, 3)


def test_a_connection_the_server_dropped_is_replaced_without_an_error(bench, site):
    for _ in range(3):
        assert bench.download(Request(site.url, method="POST", body=b"once")).status == 200
        site.drop_idle(reset=True)
    assert (site.opened, site.requests) == (3, 3)


def test_http_10_is_named_in_the_response(bench):
    with ScriptedServer([RawConnection.read_request, b"HTTP/1.0 200 OK\r\n\r\nold"]) as server:
        response = bench.download(server.url)
    assert (response.protocol, response.body) == ("HTTP/1.0", b"old")


def test_a_site_on_ipv6_is_reached_and_named(bench):
    with Site(host="::1") as site:
        assert str(bench.download(site.url).ip_address) == "::1"
