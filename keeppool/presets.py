"""How browsers, RFC 2616 and SDKs cap their connections, as `Limits` to start from.

    PoolManager(limits=presets.CHROME)      dataclasses.replace(presets.IE8, total=50)

Knows: the figures, each with its source beside it. Where a source gives none, the comment says what stands in.
Does not know: how a pool applies them. A browser's own way to choose a victim is not copied either: this pool evicts
the least recently used idle connection under every preset, as Netscape did.

The sources, by the names used below:

    Wang & Cao      "Persistent Connection Behavior of Popular Browsers", University of Wisconsin, 1998: Navigator 4.05
                    and Internet Explorer 4.01 measured against servers that never close
    encyclopedia    the section "Use in web browsers" of Wikipedia's "HTTP persistent connection", as of 2010
    Souders         S. Souders, "Roundup on Parallel Connections", 2008 to 2010: connections per server, measured
    MozillaZine     kb.mozillazine.org, one page for each network.http preference
    source          the browser's published source, file named

`SDK` is for programs that ask few hosts with many requests at a time; its figures are those of the SDKs' own source
(openai 3, `_constants.py`; anthropic 2, `_constants.py` and `_base_client.py`; httpx 0.28, `_config.py`).
"""

from __future__ import annotations

from typing import Final

from keeppool.checks import bad
from keeppool.config import Config, HostConfig, Limits, Timeout

NETSCAPE: Final = Limits(
    # Source of 1998, network/main/mkgeturl.c: four live connections a window, others wait first come, first served.
    # A page loads in one window, so four is what one host saw.
    per_host=4,
    # No source gives a figure for a proxy: four as for a host.
    per_proxy=4,
    # Wang & Cao: "seems to be 15" persistent connections to different servers. The source has two other figures:
    # mkhttp.c keeps MAX_CACHED_HTTP_CONNECTIONS = 4 connections cached, mkgeturl.c allows 100 live ones. `total` counts
    # idle and busy alike, and that is what was measured from outside; 4 would leave three idle beside one busy.
    total=15,
    # Wang & Cao, encyclopedia: never timed out, only killed by an LRU rule when another needs the room.
    idle_timeout=None,
)

IE6: Final = Limits(
    # Microsoft on WinInet: two to an HTTP/1.1 server (four to HTTP/1.0, which this preset does not tell apart). Souders
    # measured the same for 6 and 7.
    per_host=2,
    # RFC 2616 §8.1.4, which IE followed, has one rule for "any server or proxy". Not measured.
    per_proxy=2,
    # No source gives a bound on the sum.
    total=None,
    # Microsoft on KeepAliveTimeout: one minute. Wang & Cao measured it for 4.01.
    idle_timeout=60.0,
)

IE8: Final = Limits(
    # Microsoft on window.maxConnectionsPerServer: six on broadband. Souders measured six.
    per_host=6,
    # As for IE6: a proxy taken as one more server. Not measured.
    per_proxy=6,
    # No source gives a bound on the sum (Browserscope counted 35 at once from IE 9).
    total=None,
    # KeepAliveTimeout as before.
    idle_timeout=60.0,
)

FIREFOX: Final = Limits(
    # MozillaZine, max-persistent-connections-per-server: 2, six since Firefox 3 (Mozilla bug 423377). Six to this day.
    per_host=6,
    # Today's default of max-persistent-connections-per-proxy. MozillaZine: 4, then 8 in Firefox 3.
    per_proxy=32,
    # MozillaZine, max-connections: 24, 30 in Firefox 3, 256 since Firefox 6 (Mozilla bug 648570). 900 today.
    total=256,
    # Source, all.js: default of network.http.keep-alive.timeout while max-connections was 24, and the encyclopedia's
    # figure. 115 later, because some servers drop a connection after 120 s without a word.
    idle_timeout=300.0,
)

OPERA: Final = Limits(
    # Souders: eight for 10.51 and later (four for 9.63). The Opera wiki cites eight as its developers' advice for the
    # setting "max connections per server". Others counted six for 11 and 12.
    per_host=8,
    # The encyclopedia knows two settings, per server and total; none for a proxy, so the total bounds it.
    per_proxy=None,
    # The default usually quoted for Opera 9 (64 for later versions). Unconfirmed: we found no copy of Opera's own
    # documents that states it. Browserscope counted 35 at once from Opera 11.
    total=20,
    # No source gives Opera's figure: this is keeppool's own default.
    idle_timeout=Limits().idle_timeout,
)

CHROME: Final = Limits(
    # Source, net/socket/client_socket_pool_manager.cc: six for each group of sockets (scheme, host and port).
    per_host=6,
    # Source, same file, in version 121; also the documented default of the policy MaxConnectionsPerProxy. 128 in
    # version 153.
    per_proxy=32,
    # Source, same file: 256 sockets in a pool.
    total=256,
    # Source, net/socket/client_socket_pool.cc: 300 s for a used idle socket; 60 s for one never used, which this pool
    # does not tell apart.
    idle_timeout=300.0,
)


def rfc2616(users: int = 1) -> Limits:
    """Build the limits RFC 2616 asked for, which many crawlers still keep out of courtesy.

    Args:
        users: How many people this client works for at the same time, as a proxy does.

    Returns:
        Two connections per host and `2 * users` per proxy; the rest are keeppool's own defaults. The RFC lets a proxy
        use up to 2N towards a server as well; staying at two there keeps both of its sentences.

    Raises:
        ConfigError: `users` is not a whole number of 1 or more.

    Source: RFC 2616 §8.1.4. RFC 9112 §9.4 gives no number any more: "conservative" is what it asks for.
    """
    if isinstance(users, bool) or not isinstance(users, int) or users < 1:
        raise bad("users", users, "must be a whole number, 1 or more")
    return Limits(per_host=2, per_proxy=2 * users)


SDK: Final = Limits(
    # SDKs ask one or two hosts, with many requests at a time that each wait for seconds: six connections would make a
    # queue of them. 100 is the most httpx opens by default, and what openai keeps idle (2026).
    per_host=100,
    # All that is asked goes through one proxy where there is one, so as many as for a host.
    per_proxy=100,
    # The most openai and anthropic allow their own client, whatever the hosts.
    total=1000,
    # keeppool's own: below the 60 s at which load balancers before such services hang up. httpx keeps connections for
    # 5 s, so that a program that thinks for longer shakes hands for each request.
    idle_timeout=Limits().idle_timeout,
)

#: `SDK` with what is no limit: what the transports for httpx and httpx2 use unless they are told otherwise.
SDK_CONFIG: Final = Config(
    limits=SDK,
    timeout=Timeout(
        # openai, anthropic and httpx all wait 5 s for a connection.
        connect=5.0,
        # openai and anthropic wait ten minutes for an answer: a model may think for as long before its first byte.
        read=600.0,
        # As long for a connection to come free; a queue whose heads think for minutes stands still without a fault.
        stall=None,
        pool=600.0,
    ),
    # anthropic probes a silent connection after 60 s, below the 350 s after which network gateways forget one, because
    # a model thinks without sending anything. It is the operating system's probe, no request.
    defaults=HostConfig(tcp_keepalive=60.0),
)

_BY_NAME: Final = {
    "NETSCAPE": NETSCAPE,
    "IE6": IE6,
    "IE8": IE8,
    "FIREFOX": FIREFOX,
    "OPERA": OPERA,
    "CHROME": CHROME,
    "SDK": SDK,
    "RFC2616": rfc2616(),
}

#: What `by_name` knows.
NAMES: Final = tuple(_BY_NAME)


def by_name(name: str) -> Limits:
    """Find a preset by its name, in any case.

    Args:
        name: One of `NAMES`; "RFC2616" is `rfc2616()` for one user.

    Raises:
        ConfigError: No preset has this name; the rule lists those there are.
    """
    limits = _BY_NAME.get(name.upper()) if isinstance(name, str) else None
    if limits is None:
        raise bad("preset", name, f"must be one of {', '.join(NAMES)}")
    return limits
