"""`import keeppool.requests as requests`: each name requests has is there, is our own, and means the same."""

from __future__ import annotations

import importlib
import inspect
import itertools
import subprocess
import sys
import time
from collections.abc import MutableMapping
from http.cookiejar import CookieJar as StandardCookieJar
from http.cookies import SimpleCookie
from types import ModuleType

import pytest

import keeppool
import keeppool.requests as ours
from keeppool.testing import Answer

theirs = pytest.importorskip("requests")

MODULES = (
    *("adapters", "api", "auth", "certs", "cookies", "exceptions", "hooks", "models"),
    *("sessions", "status_codes", "structures"),
)
#: Functions of `requests.utils` that programs were found to use.
USED = (
    *("add_dict_to_cookiejar", "cookiejar_from_dict", "default_headers", "default_user_agent", "dict_from_cookiejar"),
    *("get_auth_from_url", "get_encoding_from_headers", "get_environ_proxies", "get_netrc_auth"),
    *("parse_header_links", "quote", "select_proxy", "super_len", "unquote"),
)
#: What only requests itself calls: parts of how its classes are made, and what they are inherited from.
MACHINERY = {
    "cookies": {"MockRequest", "MockResponse", "remove_cookie_by_name"},
    "models": {"RequestEncodingMixin", "RequestHooksMixin"},
    "sessions": {"SessionRedirectMixin", "merge_hooks", "merge_setting"},
    "structures": {"LookupDict"},
}
#: Names of another kind here, and the one that is meant.
OWN_NAMES = {
    "cookies.RequestsCookieJar": "keeppool.client.cookies.CookieJar",
    "cookies.create_cookie": "keeppool.client.cookies.made_cookie",
    "exceptions.RequestException": "keeppool.errors.KeepPoolError",
    "exceptions.URLRequired": "keeppool.errors.InvalidURL",
}


def theirs_of(module: str) -> ModuleType:
    return importlib.import_module(f"requests.{module}")


def defined_in(module: ModuleType) -> set[str]:
    """The public classes and functions a module of requests defines itself."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


@pytest.mark.parametrize("module", MODULES)
def test_what_a_module_of_requests_defines_is_there(module):
    missing = {name for name in defined_in(theirs_of(module)) if not hasattr(getattr(ours, module), name)}
    assert missing == MACHINERY.get(module, set())


@pytest.mark.parametrize("module", [*MODULES, "packages", "utils"])
def test_every_name_a_module_lists_is_there_and_none_comes_from_requests(module):
    mine = getattr(ours, module)
    for name in mine.__all__:
        home = getattr(getattr(mine, name), "__module__", "")
        assert home.partition(".")[0] != "requests", name


@pytest.mark.parametrize("name", USED)
def test_what_programs_use_of_requests_utils_is_there(name):
    assert hasattr(theirs.utils, name)
    assert callable(getattr(ours.utils, name))


#: What requests has not: what is for tasks.
BEYOND = {"AsyncResponse", "AsyncSession"}


@pytest.mark.parametrize("name", sorted(set(ours.__all__) - BEYOND - {"__version__"}))
def test_each_name_at_the_top_is_requests_too(name):
    assert hasattr(theirs, name), name
    mine, their = getattr(ours, name), getattr(theirs, name)
    assert inspect.isclass(mine) == inspect.isclass(their)
    assert callable(mine) == callable(their)


@pytest.mark.parametrize("name", ["Request", "PreparedRequest", "codes"])
def test_it_is_keeppools_own_object(name):
    assert getattr(ours, name) is getattr(keeppool, name)


@pytest.mark.parametrize("name", ["Session", "AsyncSession", "Response", "AsyncResponse"])
def test_it_is_keeppools_own_class_with_what_is_requests_on_top(name):
    assert issubclass(getattr(ours, name), getattr(keeppool, name))


def test_the_functions_share_a_session_of_requests_kind():
    shared = ours.api.shared_session
    assert isinstance(shared, ours.Session)
    for name in ("get", "options", "head", "post", "put", "patch", "delete"):
        assert getattr(ours, name).__self__ is shared


@pytest.mark.parametrize("name", sorted(OWN_NAMES))
def test_what_has_another_name_is_what_is_meant(name):
    module, _, attribute = OWN_NAMES[name].rpartition(".")
    place, _, short = name.partition(".")
    assert getattr(getattr(ours, place), short) is getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", sorted(set(ours.exceptions.__all__) - {"RequestException", "URLRequired"}))
def test_an_exception_has_one_class_wherever_it_is_found(name):
    found = getattr(ours.exceptions, name)
    assert found.__name__ == name
    if not issubclass(found, Warning):
        assert found is getattr(keeppool.errors, name)
    if hasattr(ours, name):
        assert getattr(ours, name) is found


# Exceptions: who is caught by whom

EXCEPTIONS = sorted(
    name for name, value in vars(theirs.exceptions).items() if getattr(value, "__module__", "") == "requests.exceptions"
)
BUILT_IN = [OSError, ValueError, TypeError, Warning, DeprecationWarning, ArithmeticError, LookupError]
#: An `except` clause catches more here, never less.
CAUGHT_HERE_ONLY = {
    ("MissingSchema", "InvalidURL"): "a URL without a scheme is one that cannot be used",
    ("InvalidSchema", "InvalidURL"): "so is one with a scheme nobody speaks",
    **{
        (name, "URLRequired"): "requests never raises it; here it is another name for InvalidURL"
        for name in ("InvalidProxyURL", "InvalidSchema", "InvalidURL", "MissingSchema")
    },
    ("URLRequired", "InvalidURL"): "the same",
    ("URLRequired", ValueError): "the same",
    ("InvalidJSONError", ValueError): "a value that cannot be sent, as every InvalidRequest",
}


def test_an_except_clause_catches_what_it_caught():
    pairs = [
        (name, other)
        for name, other in itertools.product(EXCEPTIONS, [*EXCEPTIONS, *BUILT_IN])
        if is_below(ours.exceptions, name, other) != is_below(theirs.exceptions, name, other)
    ]
    assert sorted(map(str, pairs)) == sorted(map(str, CAUGHT_HERE_ONLY))
    assert all(is_below(ours.exceptions, name, other) for name, other in pairs)


def is_below(module: ModuleType, name: str, other: str | type) -> bool:
    return issubclass(getattr(module, name), getattr(module, other) if isinstance(other, str) else other)


# What the functions do


def both(module: str, name: str, *arguments: object) -> list[object]:
    return [getattr(getattr(library, module), name)(*arguments) for library in (theirs, ours)]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_auth_from_url", ("http://us%40er:p%3Ass@a.example/",)),
        ("get_auth_from_url", ("http://a.example/",)),
        ("get_encoding_from_headers", ({"content-type": "text/html; charset=koi8-r"},)),
        ("get_encoding_from_headers", ({"content-type": "text/plain"},)),
        ("get_encoding_from_headers", ({"content-type": "application/json"},)),
        ("get_encoding_from_headers", ({},)),
        ("select_proxy", ("http://a.example/", {"http": "p", "all": "q"})),
        ("select_proxy", ("http://a.example/", {"http://a.example": "p"})),
        ("select_proxy", ("http://a.example/", {"https": "p"})),
        ("select_proxy", ("http://a.example/", None)),
        ("super_len", (b"bytes",)),
        ("super_len", ("ü",)),
        ("parse_header_links", ('<https://a.example/?p=2>; rel="next", </9>; rel=last',)),
        ("quote", ("a b/ü",)),
        ("unquote", ("a%20b",)),
    ],
)
def test_a_function_of_utils_gives_what_requests_gives(name, arguments):
    their, mine = both("utils", name, *arguments)
    assert mine == their


def test_cookies_made_and_merged_as_requests_does():
    for library in (theirs, ours):
        jar = library.cookies.cookiejar_from_dict({"a": "1"})
        jar.set_cookie(library.cookies.create_cookie("b", "2", domain="b.example", path="/x"))
        library.cookies.cookiejar_from_dict({"a": "kept", "c": "3"}, jar, overwrite=False)
        library.cookies.merge_cookies(jar, {"a": "also kept", "d": "4"})
        assert library.utils.dict_from_cookiejar(jar) == {"a": "1", "b": "2", "c": "3", "d": "4"}
        assert isinstance(jar, library.cookies.RequestsCookieJar)
        assert library.utils.dict_from_cookiejar(library.utils.add_dict_to_cookiejar(jar, {"e": "5"}))["e"] == "5"
        with pytest.raises(ValueError, match="CookieJar"):
            library.cookies.merge_cookies({}, {})


def test_hooks_are_dispatched_as_requests_does():
    for library in (theirs, ours):
        hooks = {"response": [lambda data, **more: data + more["by"], lambda data, **_: None]}
        assert library.hooks.dispatch_hook("response", hooks, 1, by=2) == 3
        assert library.hooks.dispatch_hook("response", {"response": lambda data: 5}, 1) == 5
        assert library.hooks.dispatch_hook("other", None, 1) == 1
        assert library.hooks.default_hooks() == {"response": []}


def test_fields_are_found_in_any_case_as_in_requests():
    for library in (theirs, ours):
        fields = library.structures.CaseInsensitiveDict({"Accept": "1"}, Other="2")
        fields["ACCEPT"] = "3"
        assert (fields["accept"], list(fields), len(fields)) == ("3", ["ACCEPT", "Other"], 2)
        assert dict(fields.lower_items()) == {"accept": "3", "other": "2"}
        assert fields == {"accept": "3", "OTHER": "2"}
        assert fields.copy() == fields
        assert fields.copy() is not fields
        assert repr(fields) == "{'ACCEPT': '3', 'Other': '2'}"
        assert len(library.structures.CaseInsensitiveDict()) == 0


def test_codes_have_requests_names():
    for name in ("ok", "not_found", "teapot", "I_AM_A_TEAPOT", "too_many", "found", "server_error"):
        assert getattr(ours.codes, name) == getattr(theirs.codes, name)
    assert ours.codes["\\o/"] == 200


def test_what_the_environment_says_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    monkeypatch.setenv("NO_PROXY", "direct.example")
    (tmp_path / "netrc").write_text("machine a.example login u password p")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name, argument in (
        ("get_environ_proxies", "http://a.example/"),
        ("get_environ_proxies", "http://direct.example/"),
        ("get_netrc_auth", "http://a.example/"),
        ("get_netrc_auth", "http://b.example/"),
    ):
        their, mine = both("utils", name, argument)
        if isinstance(their, dict):
            their.pop("no", None)  # No proxy, but where requests keeps the exceptions.
        assert mine == their


def test_the_jar_has_a_mappings_manners_as_requests_has():
    for library in (theirs, ours):
        jar = library.cookies.RequestsCookieJar()
        assert isinstance(jar, MutableMapping)
        assert isinstance(jar, StandardCookieJar)
        jar.set("a", "1", domain="a.example", path="/")
        jar.set("b", "2", domain="b.example", path="/x")
        jar["c"] = "3"
        assert (sorted(jar.keys()), sorted(jar.iterkeys()), len(jar)) == (["a", "b", "c"], ["a", "b", "c"], 3)
        assert (sorted(jar.values()), sorted(jar.itervalues())) == (["1", "2", "3"],) * 2
        assert sorted(jar.items()) == sorted(jar.iteritems()) == [("a", "1"), ("b", "2"), ("c", "3")]
        assert (sorted(jar.list_domains()), sorted(jar.list_paths())) == (["", "a.example", "b.example"], ["/", "/x"])
        assert (jar.get_dict(domain="a.example"), jar.get_dict(path="/x")) == ({"a": "1"}, {"b": "2"})
        assert (jar.pop("a"), jar.pop("a", "gone"), "a" in jar) == ("1", "gone", False)
        with pytest.raises(KeyError):
            jar.pop("a")
        jar.set("b", "other", domain="c.example")
        with pytest.raises(library.cookies.CookieConflictError):
            jar["b"]
        assert (jar.get("b", domain="b.example"), jar.get("z", "default")) == ("2", "default")
        twin = jar.copy()
        assert dict(twin.items()) == dict(jar.items())
        twin.update({"new": "1"})
        assert "new" not in jar
        del jar["c"]
        jar.set("b", None, domain="c.example")
        assert jar.items() == [("b", "2")]
        jar.clear()
        assert (len(jar), jar.get_policy() is not None) == (0, True)


def test_jars_are_equal_if_their_cookies_are():
    one, other = ours.cookies.RequestsCookieJar(), ours.cookies.RequestsCookieJar()
    one["a"] = other["a"] = "1"
    assert one == other == {"a": "1"}
    other["a"] = "2"
    assert one != other


# The one line

PROGRAM = """
import keeppool.requests as requests
from keeppool.requests.adapters import HTTPAdapter, Retry
from keeppool.requests.auth import AuthBase, HTTPBasicAuth

class Token(AuthBase):
    def __call__(self, r):
        r.headers["X-Token"] = "t"
        return r

url = {url!r}
requests.packages.urllib3.disable_warnings(requests.packages.urllib3.exceptions.InsecureRequestWarning)
with requests.Session() as session:
    session.headers.update({{"X-App": "1"}})
    session.mount("http://", HTTPAdapter(max_retries=Retry(total=2, backoff_factor=0), pool_maxsize=4))
    answer = session.get(url + "/echo", params={{"q": "x"}}, auth=Token(), timeout=(3, 5))
    answer.raise_for_status()
    assert answer.status_code == requests.codes.ok and answer.json()["headers"]["x-token"] == "t"
try:
    requests.get(url + "/status/404").raise_for_status()
except requests.exceptions.HTTPError as error:
    assert isinstance(error, requests.RequestException) and error.response.status_code == 404
try:
    requests.get("http://127.0.0.1:1/", timeout=1)
except (requests.ConnectionError, requests.Timeout) as error:
    assert error.request.method == "GET"
prepared = requests.Request("POST", url + "/echo", json={{"a": 1}}).prepare()
with requests.session() as session:
    assert session.send(prepared).json()["body"] == '{{"a": 1}}'
print(requests.post(url + "/echo", data={{"a": "1"}}, auth=HTTPBasicAuth("u", "p")).json()["body"])
import sys
print("requests" in sys.modules)
"""


def test_a_program_needs_one_other_line(site):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(url=site.url)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("a=1\nFalse\n", "")


def test_names_that_lie_beside_the_usual_ones_are_there():
    assert ours.models.REDIRECT_STATI == theirs.models.REDIRECT_STATI
    assert issubclass(ours.FileModeWarning, Warning)
    assert (ours.sessions.Request, ours.sessions.HTTPAdapter) == (ours.Request, ours.adapters.HTTPAdapter)
    assert sorted(ours.Session.__attrs__) == sorted(theirs.Session.__attrs__)
    with ours.Session() as session:
        assert all(hasattr(session, name) for name in session.__attrs__)


def test_cookies_are_taken_from_a_response_and_written_for_a_request(answering):
    site = answering({"/set": Answer(headers=(("Set-Cookie", "a=1"),))})
    jar = ours.cookies.RequestsCookieJar()
    request = ours.Request("GET", f"{site.url}/set").prepare()
    with ours.Session() as session:
        response = session.send(request)
        ours.cookies.extract_cookies_to_jar(jar, response.request, response.raw)
    assert jar.get_dict() == {"a": "1"}
    assert ours.cookies.get_cookie_header(jar, request) == "a=1"
    assert ours.cookies.get_cookie_header(ours.cookies.RequestsCookieJar(), request) is None
    request.headers["Cookie"] = "own=1"
    assert ours.cookies.get_cookie_header(jar, request) is None


def test_cookies_are_taken_from_a_response_of_urllib3_too(answering):
    site = answering({"/set": Answer(headers=(("Set-Cookie", "a=1"),))})
    jar = ours.cookies.RequestsCookieJar()
    request = ours.Request("GET", f"{site.url}/set").prepare()
    with theirs.get(f"{site.url}/set", stream=True, timeout=9) as response:
        ours.cookies.extract_cookies_to_jar(jar, request, response.raw)
    ours.cookies.extract_cookies_to_jar(jar, request, object())
    assert jar.get_dict() == {"a": "1"}


def test_a_morsel_becomes_a_cookie():
    morsel = SimpleCookie("a=1; Path=/p; Domain=example.org; Secure; HttpOnly; Max-Age=60")["a"]
    cookie = ours.cookies.morsel_to_cookie(morsel)
    assert (cookie.name, cookie.value, cookie.path, cookie.domain) == ("a", "1", "/p", "example.org")
    assert cookie.secure
    assert cookie.expires > time.time()
    morsel["max-age"], morsel["expires"] = "", "Thu, 01-Jan-1970 00:00:01 GMT"
    assert ours.cookies.morsel_to_cookie(morsel).expires == 1
    morsel["expires"] = ""
    assert ours.cookies.morsel_to_cookie(morsel).expires is None
    morsel["max-age"] = "soon"
    with pytest.raises(TypeError, match="max-age"):
        ours.cookies.morsel_to_cookie(morsel)


@pytest.mark.parametrize("kind", [keeppool.Session, ours.Session])
@pytest.mark.parametrize("is_changed", [False, True])
def test_an_argument_that_nobody_takes_is_named(kind, is_changed):
    with kind() as session:
        if is_changed and kind is ours.Session:
            assert session.adapters
        for call in (session.get, session.post, lambda url, **more: session.request("GET", url, **more)):
            with pytest.raises(TypeError, match=r"request\(\) got an unexpected keyword argument 'nope'"):
                call("http://127.0.0.1:1/", nope=1)


@pytest.mark.parametrize("module", ["urllib3", "urllib3.exceptions", "urllib3.util", "urllib3.util.retry"])
def test_urllib3_is_imported_by_way_of_requests_packages(module):
    ours_of_it = importlib.import_module(f"keeppool.requests.packages.{module}")
    assert ours_of_it is importlib.import_module(f"requests.packages.{module}") is importlib.import_module(module)
