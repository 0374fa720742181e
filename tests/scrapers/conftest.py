"""The shop, over http and https, and the two proxies in front of it."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from net.proxies import TunnelProxy
from scrapers.shop import Proxy, Seen, Shop, seen

from keeppool.testing import Site, Sites

#: Seconds a scraper may take; it takes two on a machine that has time.
PATIENCE = 100


@dataclass
class Town:
    """Where the shop is, and what was asked of it.

    Attributes:
        shop: Over http.
        secure: Over https.
        proxy: Takes whole URLs.
        tunnel: Takes CONNECT.
    """

    handler: Shop
    shop: Site
    secure: Site
    proxy: Site
    tunnel: TunnelProxy
    ca_file: Path

    @property
    def arguments(self) -> list[str]:
        proxy = self.proxy.url.replace("://", "://me:secret@")
        return [self.shop.url, self.secure.url, proxy, self.tunnel.url, str(self.ca_file)]

    def named(self, text: str) -> str:
        """Put names in the place of ports, which differ from run to run."""
        for name, port in [("SHOP", self.shop.port), ("SECURE", self.secure.port), ("PROXY", self.proxy.port)]:
            text = text.replace(f":{port}", f":{name}")
        return text

    def was_asked(self) -> list[Seen]:
        """All that was asked for, from whichever site."""
        every = [seen(request) for site in (self.shop, self.secure, self.proxy) for request in site.log]
        named = [one._replace(fields=tuple((name, self.named(value)) for name, value in one.fields)) for one in every]
        return [one._replace(target=self.named(one.target)) for one in named]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Callable[[], Town]]:
    """Give a function that builds a new town: one for each scraper, so that none sees what another has left."""
    ca = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    tunnels = []

    with Sites() as sites:

        def build() -> Town:
            handler = Shop()
            shop, secure = sites.add(handler=handler), sites.add(handler=handler, tls=context)
            handler.elsewhere = shop.url.replace("127.0.0.1", "localhost")
            proxy = sites.add(handler=Proxy(handler))
            tunnels.append(tunnel := TunnelProxy())
            return Town(handler, shop, secure, proxy, tunnel, ca_file)

        yield build
        for tunnel in tunnels:
            tunnel.__exit__()


def run(source: str, arguments: list[str], folder: Path) -> str:
    """Run a program in a process of its own, with each warning an error; give what it printed."""
    folder.mkdir()
    program = folder / "scraper.py"
    program.write_text(source, encoding="utf-8")
    command = [sys.executable, "-W", "error", str(program), *arguments, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
