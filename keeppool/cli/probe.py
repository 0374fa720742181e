"""`keeppool probe`: how a server keeps connections, and the configuration that suits it.

Decides: what a failure is: a server whose first response does not come. Everything else that is seen is a result.
Knows: `keeppool.survey`. Does not know: how it finds out, or how the result is worded (`probe_view.py`).

Ctrl-C prints no result, in either form: half of a survey would be taken for the whole.
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from keeppool import HostConfig, Survey, survey
from keeppool.cli.console import shortened, standard_error, standard_output, write_json
from keeppool.cli.endings import Exit, UsageError
from keeppool.cli.probe_view import probe_entry, probe_report
from keeppool.cli.progress import waiting_bar
from keeppool.client.environment import Environment
from keeppool.errors import ConfigError, InvalidRequest, KeepPoolError

if TYPE_CHECKING:
    from keeppool.probe.survey import Progress

#: User and password of a URL, which are nobody's to see.
_USERINFO: Final = re.compile(r"//[^/@]*@")


def run(arguments: Namespace) -> int:
    """Carry out the command.

    Raises:
        ConfigError, UsageError: The arguments are invalid; nothing was sent.
    """
    out = standard_output()
    way = _way(arguments.url)
    proxy = way.proxy if isinstance(way.proxy, str) else None
    through = None if proxy is None else _USERINFO.sub("//", proxy)
    try:
        found = _survey(arguments, way)
    except InvalidRequest as error:
        raise UsageError(shortened(str(error), 500)) from error
    except ConfigError:
        raise
    except KeepPoolError as error:
        sys.stderr.write(f"failed {shortened(arguments.url)}  {type(error).__name__}: {shortened(str(error), 500)}\n")
        return Exit.FAILED
    if arguments.json:
        write_json(out, probe_entry(found, through))
    else:
        probe_report(out, found, through)
    return Exit.OK


def _way(url: str) -> HostConfig:
    """Take from the environment what `fetch` takes from it: the proxy, and where trusted certificates are."""
    settings = Environment().read()
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        return HostConfig()  # the survey says what is wrong with the URL
    if settings is None or not host:
        return HostConfig()
    given: dict[str, Any] = {}
    if (proxy := settings.proxy_for(scheme, host, port)) is not None:
        given["proxy"] = proxy if "://" in proxy else f"http://{proxy}"
    if settings.ca_bundle is not None:
        given["verify"] = settings.ca_bundle
    return HostConfig(**given)


def _survey(arguments: Namespace, way: HostConfig) -> Survey:
    bar = waiting_bar(standard_error())
    task = bar.add_task("connecting", total=None)

    def show(progress: Progress) -> None:
        text = f"{progress.requests} answers · {progress.idle} connections idle and open · {progress.seconds:.0f} s"
        bar.update(task, total=arguments.max_wait, completed=progress.seconds, description=text)

    with bar:
        return survey(
            arguments.url,
            max_wait=arguments.max_wait,
            max_requests=arguments.max_requests,
            timeout=arguments.timeout,
            host=way,
            pipelined=True,
            on_progress=show,
        )
