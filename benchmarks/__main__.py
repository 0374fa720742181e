"""All questions, one command: `python -m benchmarks`. Peers come with the extra `bench`, nginx from the system.

Each question is a program of this folder and runs in a process of its own, so that none disturbs another: first its
progress on standard error, in the end two tables each on standard output, for client and server on one core and on all,
and one that says which goals were met. `--write` puts those that README and docs/speed.md show into their place. A peer
that is not installed is left out and named; so is a question that this machine cannot answer.

Knows: the questions' order, their command line, how results are shown. Does not know: what is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import installed, table
from benchmarks.pages import write_pages
from benchmarks.picture import picture
from benchmarks.program import ALL_CORES, ONE_CORE, UNAVAILABLE, heading, report, written
from benchmarks.questions import QUESTIONS, Bar, Question

ROOT = Path(__file__).resolve().parent.parent
#: Seconds a question may take before it counts as stuck; the longest takes a tenth of it.
PATIENCE = 1800


class Outcome(NamedTuple):
    """What came of one question.

    Attributes:
        answer: The program's own JSON; empty where it did not come to one.
        remarks: What it said beside it: peers that were left out, why it cannot run here.
        is_failed: It should have answered.
    """

    answer: Mapping[str, Any]
    remarks: Sequence[str]
    is_failed: bool

    @property
    def rows(self) -> Mapping[str, Any]:
        """The rows of figures."""
        rows: Mapping[str, Any] = self.answer.get("rows", {})
        return rows

    @property
    def placed(self) -> Mapping[str, Mapping[str, Any]]:
        """The rows, by where client and server ran."""
        placed: Mapping[str, Mapping[str, Any]] = self.answer.get("placed", {})
        return placed


def run(question: Question, *, quick: bool, where: Sequence[str] = ()) -> Outcome:
    """Run a question's program, and wait for it. `where` holds the option that says where it runs, if not both."""
    rounds, requests = question.quick if quick else question.usual
    command = [sys.executable, "-m", f"benchmarks.{question.program}", "--json", *where]
    command += ["--rounds", str(rounds), "--requests", str(requests)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return Outcome({}, [f"no answer within {PATIENCE} s"], is_failed=True)
    return outcome_of(done)


def outcome_of(done: subprocess.CompletedProcess[str]) -> Outcome:
    """Take from a program that has ended what came of its question."""
    said = list(dict.fromkeys(done.stderr.strip().splitlines()))
    if done.returncode:
        return Outcome({}, said[-1:] or [f"ended with {done.returncode}"], done.returncode != UNAVAILABLE)
    return Outcome(json.loads(done.stdout), [line for line in said if line.startswith("left out")], is_failed=False)


def chosen(questions: Sequence[Question], names: Sequence[str] | None) -> Sequence[Question]:
    """Take the questions of those names, in their own order; all of them, if none is named."""
    return questions if names is None else [question for question in questions if question.program in names]


def run_all(questions: Sequence[Question], *, quick: bool, where: Sequence[str] = ()) -> dict[Question, Outcome]:
    """Run them one after the other, with a line of progress for each."""
    outcomes = {}
    for number, question in enumerate(questions, 1):
        line = f"[{number}/{len(questions)}] {question.program}: {question.title} …"
        print(line, end="", file=sys.stderr, flush=True)
        began = time.monotonic()
        outcome = outcomes[question] = run(question, quick=quick, where=where)
        print(f" {time.monotonic() - began:.0f} s", file=sys.stderr)
        for remark in outcome.remarks:
            print(f"    {remark}", file=sys.stderr)
    return outcomes


def sections(outcomes: Mapping[Question, Outcome]) -> Iterator[str]:
    """Write each question's part of the document, and the table of goals."""
    for question, outcome in outcomes.items():
        yield f"## {question.title}"
        yield f"`python -m benchmarks.{question.program}`"
        if outcome.answer:
            yield from tables(outcome)
        if outcome.remarks:
            yield "\n".join(f"- {remark}" for remark in outcome.remarks)
    if rows := list(bar_rows(outcomes)):
        yield "## Goals"
        yield table(GOALS, rows)


def tables(outcome: Outcome) -> Iterator[str]:
    """Write what one question was answered: what it ran on, and a table for each place it ran in."""
    yield "{machine}; {rounds} rounds of {requests}".format_map(outcome.answer)
    for place, rows in outcome.placed.items():
        yield f"{place[0].upper()}{place[1:]}:"
        yield report(rows)


#: The columns of the table of goals. A goal is one for the place where its row says it is met or not.
GOALS = ("what", "goal", ONE_CORE, ALL_CORES, "met")


def bar_rows(outcomes: Mapping[Question, Outcome]) -> Iterator[list[str]]:
    """Compare what was measured with what has to hold."""
    for question, outcome in outcomes.items():
        for bar in question.bars:
            rows = outcome.placed.get(ALL_CORES, {}) if bar.on_all_cores else outcome.rows
            measured = [placed.get(bar.row, {}).get(bar.figure) for placed in both(outcome)]
            what = f"{question.program}: {bar.row}, {heading(bar.figure)}"
            shown = [written(bar.figure, value) for value in measured]
            yield [what, str(bar), *shown, verdict(bar, rows.get(bar.row, {}).get(bar.figure))]


def both(outcome: Outcome) -> Iterator[Mapping[str, Any]]:
    """Give the rows of each place, those of none where it did not run there."""
    for place in ONE_CORE, ALL_CORES:
        yield outcome.placed.get(place, {})


def verdict(bar: Bar, measured: float | None) -> str:
    """Say whether a goal was met."""
    if measured is None:
        return "not measured"
    return "yes" if bar.is_held_by(measured) else "no"


def parsed(arguments: Sequence[str] | None, questions: Sequence[Question]) -> argparse.Namespace:
    """Read the command line."""
    listed = "\n".join(f"  {question.program:12} {question.title}" for question in questions)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Answer all questions, or some:\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [question.program for question in questions]
    parser.add_argument("--quick", action="store_true", help="fewer rounds: three minutes instead of twelve")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="only these questions")
    parser.add_argument("--one-core", dest="where", action="store_const", const=["--one-core"], default=[])
    parser.add_argument("--all-cores", dest="where", action="store_const", const=["--all-cores"])
    parser.add_argument(
        "--write", action="store_true", help="put the tables of README and docs/speed.md in their place"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every figure here")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the picture here")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, questions: Sequence[Question] = QUESTIONS) -> int:
    """Run, print, keep what is to be kept; 1 if a question that can be answered here was not.

    Raises:
        SystemExit: urllib3 is not itself in this environment.
    """
    options = parsed(arguments, questions)
    if installed("urllib3-future"):
        raise SystemExit("urllib3-future (niquests) replaces urllib3: every figure beside it would be another's")
    outcomes = run_all(chosen(questions, options.only), quick=options.quick, where=options.where)
    print("\n\n".join(sections(outcomes)))
    answers = {question.program: outcome.answer for question, outcome in outcomes.items()}
    if options.json:
        options.json.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
    if options.write:
        write_pages({question.program: "\n\n".join(tables(one)) for question, one in outcomes.items() if one.answer})
        write_pages({"goals": table(GOALS, list(bar_rows(outcomes)))})
    if options.svg:
        options.svg.write_text(picture(answers), encoding="utf-8")
    return int(any(outcome.is_failed for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
