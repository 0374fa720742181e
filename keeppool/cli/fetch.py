"""`keeppool fetch`: many URLs at once through one capped pool.

Decides: what counts as arrived: a whole body with a status below 400, and where asked for its file in place.
Knows: the session, the workers, where files go. Does not know: connections; the pool does.
"""

from __future__ import annotations

import contextlib
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress, TaskID
from rich.text import Text

from keeppool import AsyncResponse, Response, Session
from keeppool.cli.console import shortened, standard_error, standard_output, write_json
from keeppool.cli.endings import Exit, UsageError
from keeppool.cli.fetch_tasks import LoopSession
from keeppool.cli.names import Names
from keeppool.cli.pictures import Pictures
from keeppool.cli.progress import Meter, progress_bar
from keeppool.cli.report import fetch_totals, report_fetch
from keeppool.cli.settings import config_of
from keeppool.cli.sinks import Folder, Sink
from keeppool.cli.sources import Source
from keeppool.cli.workers import Workers
from keeppool.errors import HTTPError

#: Bytes of a body handed on at a time.
_PIECE = 65536


class Job(NamedTuple):
    """A URL, and what its file will be called if it gets one."""

    url: str
    name: str | None


@dataclass(slots=True)
class Fetched:
    """What became of one URL; its fields are those of the JSON line.

    Attributes:
        url: As it was given.
        status: Of the last response; `None` if there was none.
        bytes: Length of the body, content codings undone, as far as it came.
        seconds: From the start, waiting for a connection included, to the end of the body.
        file: Where the body is, if it was to be kept and is whole.
        error: Why it did not arrive: the error's class and message.
    """

    url: str
    status: int | None = None
    bytes: int = 0
    seconds: float = 0.0
    file: str | None = None
    error: str | None = None


def run(arguments: Namespace) -> int:
    """Carry out the command.

    Raises:
        ConfigError: The arguments are invalid; nothing was fetched.
        UsageError: The same, or there was no URL to fetch.
    """
    out = standard_output()
    meter = Meter()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(Source(arguments.urls, arguments.input))
        pictures = Pictures(arguments, "keeppool fetch")
        config, listener = config_of(arguments), pictures.listener()
        session: Session | LoopSession = (
            Session(config=config, on_event=listener)
            if arguments.pipelining is None
            else LoopSession(config, on_event=listener)
        )
        stack.enter_context(session)
        folder = stack.enter_context(Folder(arguments.output)) if arguments.output is not None else None
        bar = progress_bar(standard_error(), session, meter, shown=not _is_terminal_taken(arguments, out))
        count = source.count()
        if count == 0:
            raise UsageError(f"no URLs in {arguments.input}")
        score = Score(out if arguments.json else None, bar, bar.add_task("", total=count, failed=0))
        fetcher = Fetcher(session, folder, meter)
        workers = stack.enter_context(Workers(_jobs(source, folder), fetcher.fetch, arguments.threads))
        started = time.monotonic()
        try:
            with bar:
                score.take(workers)
            if not score.done:
                raise UsageError(f"no URLs in {arguments.input}")
        finally:
            seconds = time.monotonic() - started
            session.close()
            pictures.save()
            totals = fetch_totals(score.done, score.failed, meter.bytes, seconds, session.stats())
            report_fetch(out, totals, as_json=arguments.json)
    return Exit.FAILED if score.failed else Exit.OK


class Fetcher:
    """Fetches one URL at a time; any number of threads share one.

    Args:
        session: What to fetch with.
        folder: Where bodies go; `None` drops them.
        meter: Told of all bytes that arrive.
    """

    def __init__(self, session: Session | LoopSession, folder: Folder | None, meter: Meter) -> None:
        self._session = session
        self._folder = folder
        self._meter = meter

    def fetch(self, job: Job) -> Fetched:
        """Fetch a URL. Whatever goes wrong with it is in the result, and stays with it."""
        fetched = Fetched(job.url)
        started = time.monotonic()
        try:
            if isinstance(self._session, LoopSession):
                self._take_whole(self._session.get(job.url), job, fetched)
            else:
                self._take_in_pieces(self._session, job, fetched)
        except Exception as error:
            fetched.error = f"{type(error).__name__}: {error}"
        fetched.seconds = round(time.monotonic() - started, 6)
        return fetched

    def _take_in_pieces(self, session: Session, job: Job, fetched: Fetched) -> None:
        with session.get(job.url, stream=True) as answer:
            fetched.status = answer.status_code
            if answer.status_code >= 400:
                answer.drain()  # Its connection is free for the next.
            _check(answer)
            with self._sink(job.name) as sink:
                self._receive(answer.iter_content(_PIECE), sink, fetched)

    def _take_whole(self, answer: AsyncResponse, job: Job, fetched: Fetched) -> None:
        fetched.status = answer.status_code
        _check(answer)
        with self._sink(job.name) as sink:
            self._receive([answer.content], sink, fetched)

    def _receive(self, pieces: Iterable[bytes], sink: Sink | None, fetched: Fetched) -> None:
        for piece in pieces:
            fetched.bytes += len(piece)
            self._meter.add(len(piece))
            if sink is not None:
                sink.write(piece)
        if sink is not None:
            sink.finish()
            fetched.file = str(sink.path)

    def _sink(self, name: str | None) -> contextlib.AbstractContextManager[Sink | None]:
        if self._folder is None or name is None:
            return contextlib.nullcontext()
        return self._folder.sink(name)


class Score:
    """Counts what is done, moves the bar, and writes a line for what has to be reported.

    Args:
        out: Where each result goes as JSON; `None` if nowhere.
        bar: The progress bar; failures are written above it.
        task: Its one task.
    """

    def __init__(self, out: Console | None, bar: Progress, task: TaskID) -> None:
        self.done = 0
        self.failed = 0
        self._out = out
        self._bar = bar
        self._task = task

    def take(self, results: Iterable[Fetched]) -> None:
        """Take in all results, as they come."""
        for fetched in results:
            self._note(fetched)

    def _note(self, fetched: Fetched) -> None:
        self.done += 1
        if fetched.error is not None:
            self.failed += 1
            line = Text.assemble(("failed", "red"), f" {shortened(fetched.url)}  {shortened(fetched.error, 500)}")
            self._bar.console.print(line, soft_wrap=True)
        self._bar.update(self._task, advance=1, failed=self.failed)
        if self._out is not None:
            write_json(self._out, asdict(fetched))


def _jobs(urls: Iterable[str], folder: Folder | None) -> Iterator[Job]:
    if folder is None:
        return (Job(url, None) for url in urls)
    names = Names()
    return (Job(url, names.name_for(url)) for url in urls)


def _check(answer: Response | AsyncResponse) -> None:
    """Let pass a response whose body is what was asked for.

    Raises:
        HTTPError: Its status says that it is not.
    """
    if answer.status_code >= 400:
        raise HTTPError(f"{answer.status_code} {answer.reason}".rstrip(), response=answer)


def _is_terminal_taken(arguments: Namespace, out: Console) -> bool:
    """Tell whether a bar would be written over: by lines of JSON, or by the URLs somebody types."""
    typed = arguments.input == "-" and sys.stdin is not None and sys.stdin.isatty()
    return typed or (arguments.json and out.is_terminal)
