"""Mirror a shop with httpx: log in, walk the catalogue, download many files at once on an event loop, upload a report.

Usage: with_httpx.py SHOP SECURE_SHOP PROXY TUNNEL CA_FILE FOLDER
"""

import asyncio
import hashlib
import json
import re
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import httpx

HEADERS = {"User-Agent": "shop-mirror/2.1", "Accept-Language": "de,en;q=0.8"}
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=5.0)

shop, secure_shop, proxy, tunnel, ca_file, folder = sys.argv[1:]
folder = Path(folder)
found = {}


def log_in(client, user, password):
    page = client.get("/login")
    page.raise_for_status()
    token = re.search(r'name="csrf" value="([^"]+)"', page.text).group(1)
    form = {"csrf": token, "user": user, "password": password}
    return client.post("/login", data=form, headers={"Referer": str(page.url)})


def pages(client):
    """Follow `rel=next` until there is none."""
    url, params = "/catalogue", {"sort": "name"}
    while url:
        response = client.get(url, params=params).raise_for_status()
        yield [urljoin(str(response.url), item["href"]) for item in response.json()["items"]]
        url, params = response.links.get("next", {}).get("url"), None


def price_of(client, url):
    response = client.get(url)
    response.raise_for_status()
    response.encoding = "windows-1251"
    title = re.search("<h1>(.*)</h1>", response.text).group(1)
    return title, float(re.search(r'class="price">([\d.]+)', response.text).group(1))


def download(client, path, target):
    """Stream a file to disk; go on where an earlier download has stopped."""
    have = target.stat().st_size if target.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", path, headers=headers) as response:
        response.raise_for_status()
        size = have + int(response.headers["Content-Length"])
        with target.open("ab") as file:
            for chunk in response.iter_bytes():
                have += file.write(chunk)
    return [have == size, hashlib.sha256(target.read_bytes()).hexdigest()[:12], response.headers["content-disposition"]]


def error_of(client, path, **kwargs):
    """What goes wrong, as a program that handles errors would see it."""
    try:
        response = client.get(path, **kwargs)
        response.raise_for_status()
        response.json()
    except httpx.HTTPStatusError as e:
        return ["status", e.response.status_code, e.response.reason_phrase, e.request.method]
    except httpx.ConnectTimeout:
        return ["connect timeout"]
    except httpx.ReadTimeout as e:
        return ["read timeout", isinstance(e, httpx.TimeoutException), str(e.request.url).removeprefix(shop)]
    except httpx.ConnectError:
        return ["connect"]
    except (httpx.TooManyRedirects, httpx.DecodingError):
        return ["redirects or decoding"]
    except httpx.UnsupportedProtocol:
        return ["scheme"]
    except httpx.RemoteProtocolError:
        return ["disconnected"]
    except json.JSONDecodeError as e:
        return ["json", e.pos]
    except httpx.RequestError as e:
        return ["other", type(e).__name__]
    return "fine"


def with_threads():
    client = httpx.Client(base_url=shop, headers=HEADERS, timeout=TIMEOUT, limits=LIMITS, follow_redirects=True)
    with client:
        response = log_in(client, "ada", "wrong")
        found["wrong"] = [response.status_code, response.is_success, response.is_error]
        response = log_in(client, "ada", "pass word&1")
        found["login"] = [
            response.status_code,
            str(response.url),
            [r.status_code for r in response.history],
            response.text,
        ]
        found["cookies"] = [client.cookies.get("session"), client.cookies.get("theme"), "visitor" in client.cookies]
        client.cookies.set("consent", "yes", domain="127.0.0.1")

        urls = [url for page in pages(client) for url in page]
        with ThreadPoolExecutor(16) as pool:
            found["prices"] = list(pool.map(lambda url: price_of(client, url), urls))

        found["download"] = download(client, "/file/data.bin", folder / "data.bin")
        (folder / "half.bin").write_bytes((folder / "data.bin").read_bytes()[:123_456])
        found["resumed"] = download(client, "/file/data.bin", folder / "half.bin")
        with client.stream("GET", "/prices") as response:
            lines = list(response.iter_lines())
        found["lines"] = [len(lines), lines[-1]]
        with client.stream("GET", "/prices") as response:
            found["read"] = len(response.read())
        found["fresh"] = client.get("/file/data.bin", headers={"If-None-Match": '"v1"'}).status_code
        found["head"] = client.head("/file/data.bin").headers["content-length"]

        with open(folder / "data.bin", "rb") as data:
            files = {"table": ("prices.csv", b"id;price", "text/csv"), "data": ("data.bin", data, "text/plain")}
            response = client.post("/upload", data={"kind": "report", "tags": ["a", "b"]}, files=files)
            parts = {name: [file, digest] for name, file, _, digest in response.json()["parts"]}
            found["upload"] = [response.status_code, sorted(parts.items())]
        found["content"] = client.put("/put/data", params={"part": 1}, content=b"\0\1" * 5000).json()
        found["generator"] = client.post("/echo", content=(b"line %d\n" % n for n in range(1000))).json()["size"]
        found["json"] = client.patch("/echo", json={"name": "Grüße", "price": 1.5}).request.headers["content-type"]
        request = client.build_request("DELETE", "/echo/7", params={"q": ["a b", "ü"]}, headers={"X-Trace": "1"})
        request.headers["X-Signature"] = hashlib.sha256(str(request.url).removeprefix(shop).encode()).hexdigest()[:8]
        found["built"] = client.send(request).json()["fields"]["x-trace"]

        response = client.get("/away", follow_redirects=False)
        found["stays"] = [response.status_code, response.is_redirect, str(response.next_request.url)]
        found["away"] = client.get("/away", auth=("ada", "secret")).json()["fields"]
        found["basic"] = client.get("/basic", auth=httpx.BasicAuth("ada", "pass")).json()
        found["digest"] = client.get("/digest/a?b=c", auth=httpx.DigestAuth("ada", "pass word&1")).json()
        found["codes"] = client.get("/account").status_code == httpx.codes.OK
        found["text"] = [client.get("/latin/said").text, client.get("/latin/said").encoding]

        paths = [
            "/missing",
            "/broken/json",
            "/broken/gzip",
            "/broken/hang",
            "/loop/1",
            "http://127.0.0.1:9/",
            "ftp://a/b",
        ]
        found["errors"] = {path.removeprefix(shop): error_of(client, path) for path in paths}
        found["timeout"] = error_of(client, "/broken/slow", timeout=httpx.Timeout(5.0, read=0.2))
        saved = dict(client.cookies)

    with httpx.Client(proxy=proxy, cookies={"session": saved["session"]}) as client:
        found["proxied"] = client.get(f"{shop}/account").headers["via"]
    with httpx.Client(verify=ssl.create_default_context(cafile=ca_file), proxy=tunnel) as client:
        found["secure"] = client.get(f"{secure_shop}/latin/said").text
    return saved


async def with_tasks(saved):
    async with httpx.AsyncClient(base_url=shop, cookies=saved, limits=LIMITS, timeout=TIMEOUT) as client:
        found["unfollowed"] = (await client.get("/old")).status_code
        found["followed"] = str((await client.get("/old", follow_redirects=True)).url)

        gate = asyncio.Semaphore(8)

        async def fetch(number):
            async with gate, client.stream("GET", "/file/data.bin") as response:
                digest, size = hashlib.sha256(), 0
                async for chunk in response.aiter_bytes():
                    digest.update(chunk)
                    size += len(chunk)
                return number, size, digest.hexdigest()[:12]

        found["together"] = await asyncio.gather(*(fetch(number) for number in range(20)))
        async with client.stream("GET", "/prices") as response:
            found["async lines"] = [line async for line in response.aiter_lines()][-1]
        async with client.stream("GET", "/prices") as response:
            found["async text"] = len("".join([text async for text in response.aiter_text()]))
        async with client.stream("GET", "/missing") as response:
            found["async read"] = [response.status_code, (await response.aread()).decode()]

        async def pieces():
            for number in range(10):
                yield b"piece %d" % number

        found["async sent"] = (await client.post("/echo", content=pieces())).json()["size"]
        answers = await asyncio.gather(client.get("/account"), client.get("/broken/hang"), return_exceptions=True)
        found["one failed"] = [answers[0].status_code, isinstance(answers[1], httpx.RequestError)]
        try:
            await asyncio.wait_for(client.get("/broken/slow"), 0.2)
        except TimeoutError:
            found["cancelled"] = (await client.get("/account")).status_code


asyncio.run(with_tasks(with_threads()))
print(json.dumps(found, indent=1))
