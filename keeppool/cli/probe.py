"""`keeppool probe`: how a server keeps connections, and the configuration that suits it.

Decides: what a failure is: a server whose first response does not come. Everything else that is seen is a result.
Knows: `keeppool.survey`. Does not know: how it finds out, or how the result is worded (`probe_view.py`).

Ctrl-C prints no result, in either form: half of a survey would be taken for the whole.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from keeppool import Survey, survey
from keeppool.cli.console import printable, standard_error, standard_output, write_json
from keeppool.cli.endings import Exit, UsageError
from keeppool.cli.probe_view import probe_entry, probe_report
from keeppool.cli.progress import waiting_bar
from keeppool.errors import ConfigError, InvalidRequest, KeepPoolError

if TYPE_CHECKING:
    from keeppool.probe.survey import Progress


def run(arguments: Namespace) -> int:
    """Carry out the command.

    Raises:
        ConfigError, UsageError: The arguments are invalid; nothing was sent.
    """
    out = standard_output()
    try:
        found = _survey(arguments)
    except InvalidRequest as error:
        raise UsageError(printable(str(error))) from error
    except ConfigError:
        raise
    except KeepPoolError as error:
        sys.stderr.write(f"failed {printable(arguments.url)}  {type(error).__name__}: {printable(str(error))}\n")
        return Exit.FAILED
    if arguments.json:
        write_json(out, probe_entry(found))
    else:
        probe_report(out, found)
    return Exit.OK


def _survey(arguments: Namespace) -> Survey:
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
            on_progress=show,
        )
