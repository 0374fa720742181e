"""What the verbs of a session take by name, one class for each set of arguments.

Knows: names and types. For type checkers alone: no program imports this, because to make the classes costs the start
    0.25 ms, and nothing reads them.

Source: requests' signatures.
"""

from __future__ import annotations

from typing import TypedDict

from keeppool.client.arguments import (
    AuthArgument,
    CertArgument,
    ContentArgument,
    CookiesArgument,
    DataArgument,
    FilesArgument,
    HeadersArgument,
    HooksArgument,
    ParamsArgument,
    ProxiesArgument,
)
from keeppool.client.retries import RetriesArgument
from keeppool.config import Inherit, TimeoutArgument


class Settled(TypedDict, total=False):
    """How a request is sent, whatever is in it. `Verbs.request` tells what each of these means."""

    timeout: TimeoutArgument | Inherit
    allow_redirects: bool | None
    proxies: ProxiesArgument
    hooks: HooksArgument
    stream: bool | None
    verify: bool | str | None
    cert: CertArgument
    retries: RetriesArgument | Inherit
    content: ContentArgument
    follow_redirects: bool | None


class RequestOptions(Settled, total=False):
    """What `request` takes by name only."""

    json: object


class PostOptions(Settled, total=False):
    """What `post` takes by name only."""

    params: ParamsArgument
    headers: HeadersArgument | None
    cookies: CookiesArgument | None
    files: FilesArgument
    auth: AuthArgument


class PutOptions(PostOptions, total=False):
    """What `put` and `patch` take by name only."""

    json: object


class GetOptions(Settled, total=False):
    """What `get` takes by name only."""

    data: DataArgument
    json: object
    headers: HeadersArgument | None
    cookies: CookiesArgument | None
    files: FilesArgument
    auth: AuthArgument


class Options(PutOptions, total=False):
    """What `options`, `head` and `delete` take by name only: everything."""

    data: DataArgument
