"""Settings and meta: which caps hold, which TLS, which source address, and what a wrong word is answered with."""

import asyncio
import gc
import http.server
import logging
import resource
import ssl
import subprocess
import sys
import threading
import weakref

import pytest
import trustme
from scrapy_bench import Bench, Request, crawler_with

from keeppool import HostConfig, Limits, Pace, Timeout
from keeppool.adapters.scrapy import pool as scrapy_pool
from keeppool.adapters.scrapy.errors import DownloadCancelledError, DownloadFailedError, DownloadTimeoutError
from keeppool.adapters.scrapy.settings import configuration
from keeppool.config import INHERIT
from keeppool.errors import ConfigError
from keeppool.fleet import Fleet
from keeppool.testing import Behaviour, Site


def limits_with(**settings):
    return configuration(crawler_with(**settings).settings).limits


@pytest.fixture
def bench():
    with Bench() as bench:
        yield bench


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Site(Behaviour(body=b"secret"), tls=context) as site:
        yield site


# Limits


def test_scrapys_own_settings_are_the_caps():
    assert limits_with() == Limits(per_host=8, total=768)
    assert limits_with(CONCURRENT_REQUESTS_PER_DOMAIN=2).per_host == 2
    assert limits_with(CONCURRENT_REQUESTS_PER_DOMAIN=0).per_host is None
    assert limits_with(DOWNLOAD_SLOTS={"a.example": {"concurrency": 20}, "b.example": {"delay": 1}}).per_host == 20


@pytest.fixture(autouse=True)
def descriptors(monkeypatch):
    """Let the process have 1024 descriptors, whatever the machine gives; the result sets another number."""

    def allow(soft):
        monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))

    allow(1024)
    return allow


@pytest.mark.parametrize(
    ("soft", "total"), [(1024, 768), (256, 192), (100_000, 4096), (resource.RLIM_INFINITY, 4096), (1, 16)]
)
def test_the_total_is_what_the_process_has_descriptors_for(descriptors, soft, total):
    descriptors(soft)
    assert limits_with().total == total


def test_no_other_cap_is_below_what_scrapy_may_ask_for_at_a_time():
    limits = limits_with(CONCURRENT_REQUESTS=1000)
    assert (limits.total, limits.per_proxy) == (1000, 1000)


def test_keeppools_own_setting_wins_also_as_json():
    assert limits_with(KEEPPOOL_LIMITS={"total": 40, "idle_timeout": 5.0}) == Limits(
        per_host=8, total=40, idle_timeout=5.0
    )
    assert limits_with(KEEPPOOL_LIMITS='{"per_host": null}').per_host is None


def test_a_pace_may_be_a_dict_as_json_has_it():
    crawler = crawler_with(KEEPPOOL_HOSTS='{"a.example": {"pace": {"per_second": 2, "burst": 5}}}')
    assert configuration(crawler.settings).hosts["a.example"].pace == Pace(per_second=2, burst=5)


def test_a_files_tables_win_over_scrapys_settings_and_the_other_settings_over_the_file(tmp_path):
    file = tmp_path / "keeppool.toml"
    file.write_text('[limits]\ntotal = 99\n[host."a.example"]\nper_host = 3\n[host."b.example"]\nper_host = 4\n')
    crawler = crawler_with(
        KEEPPOOL_CONFIG=file, KEEPPOOL_LIMITS={"per_host": 5}, KEEPPOOL_HOSTS={"b.example": HostConfig(per_host=1)}
    )
    config = configuration(crawler.settings)
    assert config.limits == Limits(total=99, per_host=5)
    assert {name: entry.per_host for name, entry in config.hosts.items()} == {"a.example": 3, "b.example": 1}
    assert (config.timeout.connect, config.timeout.read, config.timeout.pool) == (None, None, None)


def test_a_file_without_limits_leaves_them_to_scrapy_and_its_timeouts_hold(tmp_path):
    file = tmp_path / "keeppool.toml"
    file.write_text("[timeout]\nconnect = 3\n")
    config = configuration(crawler_with(KEEPPOOL_CONFIG=str(file), CONCURRENT_REQUESTS_PER_DOMAIN=2).settings)
    assert (config.limits.per_host, config.timeout.connect) == (2, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"KEEPPOOL_LIMITS": {"per_host": "six"}}, r"KEEPPOOL_LIMITS\[\"per_host\"\]='six': must be a whole number"),
        ({"KEEPPOOL_LIMITS": {"perhost": 6}}, r"KEEPPOOL_LIMITS\[\"perhost\"\]=6: no such field; there are per_host"),
        ({"KEEPPOOL_LIMITS": "{"}, r"KEEPPOOL_LIMITS='\*\*\*': must be a dict, or one as JSON"),
        ({"KEEPPOOL_HOSTS": {"a.example": 6}}, r"KEEPPOOL_HOSTS\[\"a.example\"\]=6: must be a dict"),
        ({"KEEPPOOL_HOSTS": {"a.example": {"cap": 6}}}, r"KEEPPOOL_HOSTS\[\"a.example\"\]\[\"cap\"\]=6: no such field"),
        ({"KEEPPOOL_HOSTS": {"a.example": {"tag": 7}}}, r"\[\"a.example\"\]\[\"tag\"\]=7: must be non-empty text"),
        (
            {"KEEPPOOL_HOSTS": {"a.example": {"pace": {"per_second": 1, "burst": 0}}}},
            r"\[\"pace.burst\"\]=0: must be a whole number",
        ),
        ({"KEEPPOOL_HOSTS": {"a.*": {}}}, r"KEEPPOOL_HOSTS='a\.\*': \* stands alone"),
        ({"KEEPPOOL_CONFIG": 7}, "KEEPPOOL_CONFIG=7: must be the path"),
        ({"KEEPPOOL_CONFIG": "missing.toml"}, "missing.toml"),
        ({"DOWNLOAD_BIND_ADDRESS": 7}, "DOWNLOAD_BIND_ADDRESS=7: must be a host"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_the_rule(settings, words):
    with pytest.raises(ConfigError, match=words):
        configuration(crawler_with(**settings).settings)


# A fleet

URL = "redis://redis.internal"


@pytest.mark.parametrize(
    ("said", "name", "ttl"),
    [
        (URL, "crawl", 20),
        (f"{URL}?name=books&ttl=30", "books", 30),
        ({"url": URL, "name": "books", "ttl": 30}, "books", 30),
        (f'{{"url": "{URL}", "name": "books"}}', "books", 20),
        (Fleet.from_url(URL, "books", ttl=5), "books", 5),
    ],
)
def test_a_fleet_is_a_url_or_arguments_or_one_that_is_there(said, name, ttl):
    fleet = configuration(crawler_with(KEEPPOOL_FLEET=said).settings).fleet
    assert (fleet.name, fleet.ttl) == (name, ttl)


def test_a_fleets_cap_is_the_settings_or_a_hosts_own_and_else_what_scrapy_says():
    settings = {"KEEPPOOL_FLEET": URL, "KEEPPOOL_HOSTS": {"a.example": {"fleet_per_host": 2}}}
    config = configuration(crawler_with(KEEPPOOL_FLEET_PER_HOST="6", **settings).settings)
    assert (config.defaults.fleet_per_host, config.hosts["a.example"].fleet_per_host) == (6, 2)
    assert configuration(crawler_with(**settings).settings).defaults.fleet_per_host is INHERIT


def test_a_files_fleet_holds_unless_a_setting_names_another(tmp_path):
    file = tmp_path / "keeppool.toml"
    file.write_text(f'fleet = "{URL}?name=file"\n[default]\nfleet_per_host = 3\n')
    config = configuration(crawler_with(KEEPPOOL_CONFIG=str(file)).settings)
    assert (config.fleet.name, config.defaults.fleet_per_host) == ("file", 3)
    config = configuration(
        crawler_with(KEEPPOOL_CONFIG=str(file), KEEPPOOL_FLEET=URL, KEEPPOOL_FLEET_PER_HOST=4).settings
    )
    assert (config.fleet.name, config.defaults.fleet_per_host) == ("crawl", 4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"KEEPPOOL_FLEET": "redis.internal"}, r"KEEPPOOL_FLEET='\*\*\*': must begin with one of redis://"),
        ({"KEEPPOOL_FLEET": 6379}, "KEEPPOOL_FLEET=6379: must be the URL of a Redis, a dict"),
        ({"KEEPPOOL_FLEET": "{"}, r"KEEPPOOL_FLEET='\*\*\*': must be a dict, or one as JSON"),
        ({"KEEPPOOL_FLEET": {"name": "a"}}, r"KEEPPOOL_FLEET\[\"url\"\]=None: must be there, such as redis://"),
        ({"KEEPPOOL_FLEET": {"url": URL, "cap": 6}}, r"KEEPPOOL_FLEET\[\"cap\"\]=6: no such argument; there are url"),
        ({"KEEPPOOL_FLEET": {"url": URL, "ttl": 1}}, r"KEEPPOOL_FLEET\[\"ttl\"\]=1: must be a number, from 2 seconds"),
        ({"KEEPPOOL_FLEET": {"url": URL, "ttl": "long"}}, r"KEEPPOOL_FLEET\[\"ttl\"\]="),
        ({"KEEPPOOL_FLEET_PER_HOST": "six"}, r"KEEPPOOL_FLEET_PER_HOST='\*\*\*': must be a whole number, 1 or more"),
        ({"KEEPPOOL_FLEET_PER_HOST": 0}, "KEEPPOOL_FLEET_PER_HOST=0: must be a whole number, 1 or more"),
        ({"KEEPPOOL_FLEET_PER_HOST": 2.5}, "KEEPPOOL_FLEET_PER_HOST=2.5: must be a whole number, 1 or more"),
    ],
)
def test_a_wrong_fleet_is_named_with_the_rule_and_without_a_password(settings, words):
    with pytest.raises(ConfigError, match=words):
        configuration(crawler_with(**settings).settings)
    secret = {"KEEPPOOL_FLEET": "redis://user:hush@redis.internal/0/1"}
    with pytest.raises(ConfigError) as refused:
        configuration(crawler_with(**secret).settings)
    assert "hush" not in f"{refused.value!r} {vars(refused.value)}"


def test_a_proxys_password_stands_in_no_error():
    with pytest.raises(ConfigError) as refused:
        configuration(crawler_with(KEEPPOOL_HOSTS={"a.example": {"proxies": "hush", "proxy": 5}}).settings)
    with pytest.raises(ConfigError) as shown:
        configuration(crawler_with(KEEPPOOL_HOSTS={"a.example": {"proxy": ["http://u:hush@a"]}}).settings)
    assert refused.value.rule.startswith("no such field")
    assert "hush" not in str(shown.value)


def test_without_asyncio_the_handler_says_what_to_set():
    code = """
from twisted.internet import selectreactor
selectreactor.install()
from scrapy.exceptions import NotConfigured
from scrapy.utils.test import get_crawler
from keeppool.adapters.scrapy import KeepPoolDownloadHandler
try:
    KeepPoolDownloadHandler(get_crawler())
except NotConfigured as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "TWISTED_REACTOR_ENABLED = False" in done.stdout, done.stderr


# One pool for each crawler


def test_the_handlers_of_a_crawler_share_a_pool_until_the_last_is_closed(bench, site):
    other = bench.another()
    bench.download(site.url)
    bench.run(bench.handler.close())
    bench.run(bench.handler.close())
    assert bench.run(other.download_request(Request(site.url))).status == 200
    assert site.opened == 1
    bench.run(other.close())
    assert site.wait_for(lambda: site.open_now == 0)
    with Bench() as stranger:
        assert stranger.handler._pool is not bench.handler._pool


def test_a_crawler_that_is_gone_takes_its_pool_along():
    crawler = crawler_with()
    known, pool = weakref.ref(crawler), weakref.ref(scrapy_pool.lend(crawler))
    del crawler
    gc.collect()
    assert (known(), pool()) == (None, None)


# Hosts


def test_an_entry_for_a_host_holds_for_it_alone(site):
    with Site(host="127.0.0.2") as other:
        hosts = {"127.0.0.2": {"keep_alive": False, "headers": {"X-For": "it"}}}
        with Bench(KEEPPOOL_HOSTS=hosts) as bench:
            for url in (site.url, other.url) * 2:
                bench.download(url)
        assert (site.opened, other.opened) == (1, 2)
        assert [("x-for" in one.log[0].headers) for one in (site, other)] == [False, True]


# TLS


def test_certificates_are_not_checked_unless_that_is_asked_for(bench, secure):
    assert bench.download(secure.url).body == b"secret"


def test_an_entry_that_checks_is_not_overruled_by_the_setting_that_does_not(secure, authority, tmp_path):
    roots = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(roots)
    with (
        Bench(KEEPPOOL_HOSTS={"127.0.0.1": {"verify": True}}) as strict,
        Bench(KEEPPOOL_HOSTS={"127.0.0.1": {"verify": str(roots)}}) as told,
    ):
        with pytest.raises(DownloadFailedError, match="certificate"):
            strict.download(secure.url)
        with pytest.raises(DownloadFailedError, match="certificate"):
            told.download(secure.url, keeppool={"verify": True})
        assert told.download(secure.url).body == b"secret"
    assert secure.requests == 1


def test_the_context_is_made_once_from_the_settings(secure):
    secure_versions = {"DOWNLOAD_TLS_MIN_VERSION": "TLSv1.2", "DOWNLOAD_TLS_MAX_VERSION": "TLSv1.2"}
    ciphers = {"DOWNLOADER_CLIENT_TLS_CIPHERS": "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"}
    with Bench(**secure_versions, **ciphers) as bench:
        bench.download(secure.url)
        bench.download(secure.url, keeppool={"tag": "another"})
        contexts = {connection.stream.tls.context for connection in bench.handler._pool._pool._state.everything()}
        (context,) = contexts
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    assert context.verify_mode is ssl.CERT_NONE
    assert "AES128" not in str([cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"])


@pytest.mark.parametrize("name", ["DOWNLOAD_TLS_MIN_VERSION", "DOWNLOAD_TLS_MAX_VERSION"])
def test_a_tls_version_that_there_is_not_is_named(name):
    with pytest.raises(ValueError, match=f"Unknown {name} value: SSLv2"):
        configuration(crawler_with(**{name: "SSLv2"}).settings)


# Source address


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the address the connection comes from."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def echo():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("address", ["127.0.0.3", ("127.0.0.3", 0), ["127.0.0.3", 0]])
def test_the_address_bound_to_may_come_from_the_setting_or_from_meta(echo, address):
    with Bench(DOWNLOAD_BIND_ADDRESS=address) as bench:
        answers = [bench.download(echo, **meta).body for meta in ({}, {"bindaddress": "127.0.0.4"}, {})]
        assert bench.stats["opened"] == 2
    assert answers == [b"127.0.0.3", b"127.0.0.4", b"127.0.0.3"]


def test_a_port_to_bind_to_is_left_out_and_said_once(bench, echo, caplog):
    for _ in range(2):
        assert bench.download(echo, bindaddress=("127.0.0.5", 4711)).body == b"127.0.0.5"
    assert caplog.text.count("4711") == 1


# meta["keeppool"]


def test_a_tag_keeps_an_identity_on_its_own_connections(bench, site):
    for tag in ("one", "two", "one", "two"):
        bench.download(site.url, keeppool={"tag": tag})
    assert [request.connection for request in site.log] == [1, 2, 1, 2]


def test_fresh_takes_a_new_connection_and_leaves_the_others_alone(bench, site):
    bench.download(site.url)
    for _ in range(2):
        bench.download(site.url, keeppool={"fresh": True})
    bench.download(site.url)
    assert [request.connection for request in site.log] == [1, 2, 3, 1]
    assert site.log[1].headers["connection"] == "close"
    assert bench.handler._pool.stats().open == 1


def test_fresh_resumes_no_tls_session(bench, secure):
    for _ in range(2):
        bench.download(secure.url, keeppool={"fresh": True, "tag": "identity"})
    sessions = bench.handler._pool._pool.tls._sessions._kept
    assert len(sessions) == len({origin.tag for origin in sessions}) == 2


def test_a_host_config_is_taken_as_it_is(bench, site):
    bench.download(site.url, keeppool=HostConfig(headers={"X-One": "1"}))
    assert site.log[0].headers["x-one"] == "1"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"per_host": 0}, r'meta\["keeppool"\]\["per_host"\]=0: must be 1 or more'),
        ({"frish": True}, r'meta\["keeppool"\]\["frish"\]=True: no such field'),
        ({"fresh": "yes"}, r'meta\["keeppool"\]\["fresh"\]=\'\*\*\*\': must be True or False'),
        ("fresh", r'meta\["keeppool"\]=\'\*\*\*\': must be a dict'),
    ],
)
def test_a_wrong_word_in_meta_is_named_and_not_tried_again(bench, site, said, words):
    with pytest.raises(DownloadCancelledError, match=words) as refused:
        bench.download(site.url, keeppool=said)
    assert isinstance(refused.value.__cause__, ConfigError)
    assert site.opened == 0


def test_a_hosts_own_timeout_holds_where_it_is_shorter(site):
    site.pause()
    with Bench(KEEPPOOL_HOSTS={"127.0.0.1": {"timeout": [10, 0.05]}}) as bench:
        with pytest.raises(DownloadTimeoutError, match="the server sent nothing for"):
            bench.download(site.url, download_timeout=100)
        whole = {"timeout": Timeout(total=0.3)}
        with pytest.raises(DownloadTimeoutError, match=r"total timeout of 0\.3 s"):
            bench.download(site.url, download_timeout=100, keeppool=whole)
        with pytest.raises(DownloadTimeoutError, match=r"total timeout of 0\.2 s"):
            bench.download(site.url, download_timeout=0.2, keeppool=whole)
        assert bench.handler._pool.stats().open == 0


# Figures


def test_the_pools_figures_stand_in_scrapys_stats(bench, site):
    async def burst():
        pages = [bench.handler.download_request(Request(site.url)) for _ in range(10)]
        await asyncio.gather(*pages)

    bench.run(burst())
    stats = bench.stats
    assert stats["opened"] + stats["reused"] == 10
    assert (stats["peak_open"], stats["resent"], stats["connect_failed"]) == (site.peak_open, 0, 0)
    assert stats["waited"] == 2
    assert "closed/pool_closed" not in stats
    bench.run(bench.handler.close())
    assert bench.crawler.stats.get_value("keeppool/closed/pool_closed") == stats["opened"]


def test_figures_are_brought_up_to_date_now_and_then(bench, site):
    bench.download(site.url)
    assert bench.crawler.stats.get_value("keeppool/opened") is None
    bench.handler._pool._due = 0.0
    bench.download(site.url)
    bench.download(site.url, keeppool={"fresh": True})
    assert bench.crawler.stats.get_value("keeppool/opened") == 1


@pytest.mark.parametrize(("set_for", "is_on"), [(None, False), ("keeppool", True), ("keeppool.http", True)])
def test_what_pools_log_is_not_in_scrapys_log(site, monkeypatch, caplog, set_for, is_on):
    for name in ("keeppool", "keeppool.pool", "keeppool.http"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    caplog.set_level(logging.DEBUG)
    if set_for is not None:
        caplog.set_level(logging.DEBUG, set_for)
    with Bench() as bench:
        bench.download(site.url)
    assert any(record.name == "keeppool.http" for record in caplog.records) == is_on


def test_requests_to_a_host_follow_each_other_where_it_is_set():
    """Each page is its own, on no more connections than allowed."""

    async def crawl(handler, urls):
        return await asyncio.gather(*(handler.download_request(Request(url)) for url in urls))

    with Site() as site:
        settings = {"CONCURRENT_REQUESTS_PER_DOMAIN": 2, "KEEPPOOL_HOSTS": {"127.0.0.1": {"pipelining": 8}}}
        with Bench(**settings) as bench:
            urls = [f"{site.url}/bytes/{number}" for number in range(60)]
            pages = bench.run(crawl(bench.handler, urls))
            assert [len(page.body) for page in pages] == list(range(60))
            assert site.peak_open <= 2
            assert bench.handler._pool.stats().piped > 10


def test_a_setting_that_there_is_not_is_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        limits_with(KEEPPOOL_LIMIT={"per_host": 2}, KEEPPOOL_FLEET_PER_HOST=2)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("KEEPPOOL_LIMIT is no setting of keeppool's; there are KEEPPOOL_LIMITS, ")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    file = tmp_path / "keeppool.toml"
    file.write_bytes(b"\xef\xbb\xbf[limits]\nper_host = 3\n")
    assert limits_with(KEEPPOOL_CONFIG=file).per_host == 3
