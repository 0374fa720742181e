"""Scrapy's conformance bases for download handlers, for ours: put into Scrapy's `tests` folder, and collected there.

The classes have the names they have in Scrapy's tests of its own handlers, so that the outcomes can be compared.
"""

import pytest
from tests.utils.bases import download_handlers_http as bases

from keeppool.adapters.scrapy import KeepPoolDownloadHandler

NAME = f"{KeepPoolDownloadHandler.__module__}.{KeepPoolDownloadHandler.__qualname__}"


class Ours:
    """What each base has to be told of a handler."""

    download_handler_cls = KeepPoolDownloadHandler
    settings_dict = {"DOWNLOAD_HANDLERS": {"http": NAME, "https": NAME}}  # noqa: RUF012 - Scrapy copies it
    #: A line in the head that is no field makes the whole head untrustworthy (RFC 9112 §5).
    handler_bad_header_handling = "fail"
    handler_supports_bindaddress_meta = True
    handler_supports_tls_in_tls = True
    #: An empty path is written `/`, as RFC 9110 §4.2.3 prefers.
    expected_http_proxy_request_body = b"http://example.com/"
    handler_supports_socks = True


class TestHttp(Ours, bases.TestHttpBase):
    pass


class TestHttps(Ours, bases.TestHttpsBase):
    tls_log_message = "SSL connection to 127.0.0.1 using protocol TLSv1.3, cipher"
    #: It is about a setting that names a class of Twisted's.
    test_verify_certs_deprecated = None


class TestSimpleHttps(Ours, bases.TestSimpleHttpsBase):
    pass


class TestHttpsWrongHostname(Ours, bases.TestHttpsWrongHostnameBase):
    pass


class TestHttpsInvalidDNSId(Ours, bases.TestHttpsInvalidDNSIdBase):
    pass


class TestHttpsInvalidDNSPattern(Ours, bases.TestHttpsInvalidDNSPatternBase):
    pass


class TestHttpsCustomCiphers(Ours, bases.TestHttpsCustomCiphersBase):
    pass


class TestHttpsDefaultCiphers(Ours, bases.TestHttpsDefaultCiphersBase):
    pass


class TestHttpsTLSVersion(Ours, bases.TestHttpsTLSVersionBase):
    pass


class TestHttpWithCrawler(Ours, bases.TestHttpWithCrawlerBase):
    pass


class TestHttpsWithCrawler(Ours, bases.TestHttpWithCrawlerBase):
    is_secure = True


class TestHttpProxy(Ours, bases.TestHttpProxyBase):
    pass


class TestHttpsProxy(Ours, bases.TestHttpProxyBase):
    is_secure = True


@pytest.mark.requires_mitmproxy
class TestMitmProxy(Ours, bases.TestMitmProxyBase):
    pass


del bases
