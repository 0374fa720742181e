"""Mirror a shop: log in, walk the catalogue with 16 threads, download files, upload a report, and print what was found.

Usage: with_requests.py SHOP SECURE_SHOP PROXY TUNNEL CA_FILE FOLDER
"""

import csv
import hashlib
import json
import pickle
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from urllib.parse import urljoin, urlparse

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth
from requests.exceptions import ConnectionError, HTTPError, ReadTimeout, RequestException
from urllib3.util.retry import Retry

HEADERS = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) shop-mirror/2.1", "Accept-Language": "de,en;q=0.8"}
WORKERS = 16

shop, secure_shop, proxy, tunnel, ca_file, folder = sys.argv[1:]
folder = Path(folder)
found = {}


class TimeoutHTTPAdapter(HTTPAdapter):
    """An adapter that never waits for ever."""

    def __init__(self, *args, timeout=10, **kwargs):
        self.timeout = timeout
        super().__init__(*args, **kwargs)

    def send(self, request, **kwargs):
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.timeout
        return super().send(request, **kwargs)


class ShopSession(requests.Session):
    """A session that takes paths, and retries what is unavailable."""

    def __init__(self, base_url):
        super().__init__()
        self.base_url = base_url
        retry = Retry(total=3, backoff_factor=0.001, status_forcelist=[429, 503, 504], allowed_methods=["GET", "HEAD"])
        adapter = TimeoutHTTPAdapter(max_retries=retry, pool_connections=4, pool_maxsize=WORKERS)
        self.mount("http://", adapter)
        self.mount("https://", adapter)
        self.headers.update(HEADERS)

    def request(self, method, url, *args, **kwargs):
        return super().request(method, urljoin(self.base_url, url), *args, **kwargs)


class TokenAuth(AuthBase):
    def __init__(self, token):
        self.token = token

    def __call__(self, r):
        r.headers["Authorization"] = f"Token {self.token}"
        return r


def log_in(session, user, password):
    page = session.get("/login")
    page.raise_for_status()
    token = re.search(r'name="csrf" value="([^"]+)"', page.text).group(1)
    form = {"csrf": token, "user": user, "password": password}
    response = session.post("/login", data=form, headers={"Referer": page.url})
    return response


def pages(session):
    """Follow `rel=next` until there is none."""
    url, params = "/catalogue", {"sort": "name"}
    while url:
        response = session.get(url, params=params)
        response.raise_for_status()
        yield [dict(item, url=urljoin(response.url, item["href"])) for item in response.json()["items"]]
        url, params = response.links.get("next", {}).get("url"), None


def price_of(session, item):
    response = session.get(item["url"])
    if not response:
        response.raise_for_status()
    if "charset" not in response.headers["content-type"]:
        response.encoding = re.search(rb'charset="([^"]+)"', response.content).group(1).decode()
    title = re.search("<h1>(.*)</h1>", response.text).group(1)
    return title, float(re.search(r'class="price">([\d.]+)', response.text).group(1))


def download(session, path, target, progress, chunk_size=8192):
    """Stream a file to disk; go on where an earlier download has stopped."""
    have = target.stat().st_size if target.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with session.get(path, headers=headers, stream=True, timeout=(3.05, 27)) as response:
        response.raise_for_status()
        size = have + int(response.headers["Content-Length"])
        with target.open("ab") as file:
            for chunk in response.iter_content(chunk_size=chunk_size):
                if chunk:
                    have += file.write(chunk)
                    progress(have / size)
    return hashlib.sha256(target.read_bytes()).hexdigest()[:12], response.headers["content-disposition"]


def error_of(session, path, **kwargs):
    """What goes wrong, as a program that handles errors would see it."""
    try:
        response = session.get(path, **kwargs)
        response.raise_for_status()
        response.json()
    except HTTPError as e:
        return ["HTTPError", e.response.status_code, e.request.method, str(e).partition(" for url")[0]]
    except ConnectionError as e:  # Also what is left of a read timeout when it was tried again.
        return ["ConnectionError", e.response is None, urlparse(e.request.url).path]
    except ReadTimeout as e:
        return ["ReadTimeout", urlparse(e.request.url).path, isinstance(e, requests.Timeout)]
    except requests.exceptions.JSONDecodeError as e:
        return ["JSONDecodeError", e.pos, isinstance(e, ValueError)]
    except requests.TooManyRedirects as e:
        return ["TooManyRedirects", len(e.response.history)]
    except RequestException as e:
        return [type(e).__name__, isinstance(e, IOError)]
    return "fine"


with ShopSession(shop) as session:
    # Who is not logged in is sent to the form; a wrong password is told.
    found["stranger"] = [session.get("/account").url, session.get("/account", allow_redirects=False).status_code]
    found["wrong"] = log_in(session, "ada", "wrong").status_code
    response = log_in(session, "ada", "pass word&1")
    found["login"] = [response.status_code, response.url, [r.status_code for r in response.history], response.text]
    found["first"] = [response.history[0].headers["Location"], response.history[0].is_redirect, response.request.method]
    found["cookies"] = [
        session.cookies.get_dict(),
        session.cookies.get("theme", path="/account"),
        "visitor" in session.cookies,
    ]
    session.cookies.set("consent", "yes", domain=urlparse(shop).hostname, path="/")

    # The catalogue, page after page, and its items at once.
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        items = [item for page in pages(session) for item in page]
        futures = {pool.submit(price_of, session, item): item["id"] for item in items}
        prices = dict(sorted((futures[future], future.result()) for future in as_completed(futures)))
        names = [f"name-{n}" for n in range(8)]
        found["retried"] = sorted(pool.map(lambda name: session.get(f"/flaky/{name}").text, names))
    found["prices"] = prices
    found["posted"] = session.post("/flaky/post", data="x").status_code

    # Downloads: with progress, gone on with, by lines, and through the raw file.
    progress, resumed = [], []
    found["download"] = download(session, "/file/data.bin", folder / "data.bin", progress.append)
    (folder / "half.bin").write_bytes((folder / "data.bin").read_bytes()[:123_456])
    found["resumed"] = download(session, "/file/data.bin", folder / "half.bin", resumed.append, chunk_size=None)
    found["progress"] = [len(progress) > 10, progress == sorted(progress), progress[-1], resumed[-1]]
    with closing(session.get("/prices", stream=True)) as response:
        rows = list(csv.DictReader(response.iter_lines(decode_unicode=True), delimiter=";"))
    found["csv"] = [len(rows), rows[-1]]
    response = session.get("/prices", stream=True)
    response.raw.decode_content = True
    with open(folder / "prices.csv", "wb") as file:
        shutil.copyfileobj(response.raw, file)
    found["copied"] = (folder / "prices.csv").stat().st_size
    found["fresh"] = session.get("/file/data.bin", headers={"If-None-Match": '"v1"'}).status_code
    head = session.head("/file/data.bin")
    found["head"] = [head.headers["Content-Length"], head.content, head.headers.get("etag")]

    # Uploads: a form with files, a generator, a file, JSON.
    with open(folder / "prices.csv", "rb") as table, open(folder / "data.bin", "rb") as data:
        files = [
            ("table", ("prices.csv", table, "text/csv", {"X-Part": "1"})),
            ("data", data),
            ("note", (None, "hello")),
        ]
        response = session.post("/upload", data={"kind": "report", "tags": ["a", "b"]}, files=files)
        found["upload"] = [
            response.status_code,
            response.json(),
            response.request.headers["Content-Type"].partition(";")[0],
        ]
        data.seek(0)
        found["put"] = session.put("/put/data", params={"part": 1}, data=data).json()
    found["chunked"] = session.post("/echo", data=(b"line %d\n" % n for n in range(1000))).json()["size"]
    response = session.patch("/echo", json={"name": "Grüße", "price": 1.5})
    found["json"] = [response.json()["sha"], response.request.headers["content-type"], response.request.body.decode()]

    # Hooks, prepared requests, settings of a session.
    calls = []
    session.hooks["response"].append(lambda r, *args, **kwargs: calls.append((r.status_code, urlparse(r.url).path)))
    request = requests.Request(
        "DELETE", urljoin(shop, "/echo/7"), params=[("q", "a b"), ("q", "ü")], headers={"X-Trace": "1"}
    )
    prepared = session.prepare_request(request)
    prepared.headers["X-Signature"] = hashlib.sha256(prepared.path_url.encode()).hexdigest()[:8]
    settings = session.merge_environment_settings(prepared.url, {}, True, None, None)
    response = session.send(prepared, timeout=5, **settings)
    found["prepared"] = [response.json(), response.url, sorted(settings), response.elapsed.total_seconds() > 0]
    found["old"] = session.get("/old", hooks={"response": lambda r, **kw: calls.append(r.reason)}).url
    found["away"] = [
        session.get("/away", auth=("ada", "secret")).json(),
        session.get("/away", allow_redirects=False).next.url,
    ]
    found["hooked"] = calls
    session.hooks["response"].clear()

    # Authentication of several kinds.
    found["basic"] = session.get("/basic", auth=HTTPBasicAuth("ada", "pass")).json()
    found["digest"] = [session.get("/digest/a?b=c", auth=HTTPDigestAuth("ada", "pass word&1")).json() for _ in range(2)]
    found["token"] = session.get("/echo", auth=TokenAuth("t-1")).json()["fields"]["authorization"]

    # Texts of unknown charset, and everything that goes wrong.
    response = session.get("/latin/unsaid")
    found["guessed"] = [response.encoding, response.apparent_encoding, response.content.decode()]
    found["said"] = [session.get("/latin/said").text, session.get("/latin/said").encoding]
    session.max_redirects = 5
    paths = ["/missing", "/flaky/never", "/loop/1", "/broken/json", "/broken/gzip", "/broken/hang"]
    found["errors"] = {path: error_of(session, path) for path in paths}
    found["timeout"] = error_of(session, "/broken/slow", timeout=(5, 0.2))
    with requests.Session() as impatient:
        found["once"] = error_of(impatient, urljoin(shop, "/broken/slow"), timeout=0.2)
    found["refused"] = error_of(session, "http://127.0.0.1:9/")
    found["no url"] = [error_of(session, url) for url in ("mailto:a@example.com", "http://", "http://*.example/")]

    # Through the proxy, and in its tunnel.
    session.proxies = {"http": proxy, "https": tunnel}
    found["proxied"] = [
        session.get("/account").headers["Via"],
        session.get("/account", proxies={"http": ""}).headers.get("Via"),
    ]
    session.verify = ca_file
    response = session.get(urljoin(secure_shop, "/account"))
    found["secure"] = [response.status_code, response.text, dict(response.request.headers).get("Cookie")]

    # What goes on another day: the cookies of this one.
    saved = pickle.dumps(session.cookies)

found["again"] = requests.get(urljoin(shop, "/account"), cookies=pickle.loads(saved), headers=HEADERS, timeout=5).text
found["dict"] = sorted(requests.utils.dict_from_cookiejar(pickle.loads(saved)).items())
found["ok"] = requests.codes.ok == requests.head(shop, allow_redirects=True).status_code
print(json.dumps(found, indent=1, default=str))
