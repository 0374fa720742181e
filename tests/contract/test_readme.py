"""README and docs: every program in them runs, every name is there, every figure is the code's.

Programs talk to a site on loopback that stands in for example.com. A block that cannot run has a comment in front of it
that says why: `<!-- not run: it installs -->`.
"""

from __future__ import annotations

import ast
import importlib
import logging
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from keeppool import Limits, load_config, presets
from keeppool.testing import Answer, Request

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("**/*.md"))]
#: The host the pages' programs talk to; here a site on the loopback stands in for it.
EXAMPLE = "https://example.com"


#: Blocks of other languages that a test of their own runs, by page and the line's beginning.
RUN_ELSEWHERE = {
    "README.md": ("python -m pip install '.[cli]'", "python -m pip install '.[test]'"),
    "docs/moving-from-requests.md": ("grep -rnE",),
}


class Block(NamedTuple):
    """A fenced block of a page; `why_not` says why it is not run."""

    page: str
    place: str
    language: str
    text: str
    why_not: str


def all_blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text, name = page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))
        fence = r"^(?:<!-- not run: ([^\n]+) -->\n)?```(\w+)\n(.*?)^```$"
        for match in re.finditer(fence, text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start(2)) + 1
            found.append(Block(name, f"{name}:{line}", match[2], match[3], match[1] or ""))
    return found


def blocks(language: str) -> list[Block]:
    """Give the blocks of a language that are to be run."""
    return [block for block in all_blocks() if block.language == language and not block.why_not]


def test_every_block_is_run_or_says_why_not():
    for block in all_blocks():
        elsewhere = block.text.startswith(RUN_ELSEWHERE.get(block.page, ("\0",)))
        assert block.language in ("python", "toml", "text") or elsewhere or block.why_not, (
            f"{block.place}: no test runs this block; write <!-- not run: why --> on the line before it"
        )


def answer(request: Request) -> Answer:
    """Be the host the programs talk to: some text, some JSON, a large file, a tree of links, by path."""
    if request.path == "/items":
        return Answer(status=201, headers=(("Content-Type", "application/json"),), body=b'{"id": 1}')
    if request.path.startswith("/tree/"):
        links = "".join(f'<a href="{int(request.path[6:]) * 2 + step}">' for step in (0, 1))
        return Answer(headers=(("Content-Type", "text/html"),), body=links.encode())
    body = b"x" * 300_000 if request.path.endswith(".bin") else b"<p>keep-alive</p>"
    return Answer(headers=(("Content-Type", "text/html; charset=utf-8"),), body=body)


#: Packages that a page's program may import and the quick tests do without.
OTHERS = re.compile(r"^(?:import|from) (?:httpx|httpx2|openai)\b", re.MULTILINE)


def programs() -> list[object]:
    """Each program; those that need another project's package run where the SDKs' tests do."""
    return [
        pytest.param(block, id=block.place, marks=[pytest.mark.sdk] if OTHERS.search(block.text) else [])
        for block in blocks("python")
    ]


each_program = pytest.mark.parametrize("block", programs())


@pytest.fixture
def logging_as_before():
    """Put the loggers back as they were: some programs set levels, or a handler for all."""
    loggers = [logging.getLogger(name) for name in ("", "keeppool", "keeppool.pool", "keeppool.http")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@each_program
@pytest.mark.usefixtures("logging_as_before")
def test_every_program_runs(block, sites, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Some write a file.
    site = sites.add(handler=answer)
    program = compile(block.text.replace(EXAMPLE, site.url), block.place, "exec")
    exec(program, {"__name__": "__main__"})
    if EXAMPLE in block.text:
        assert site.requests > 0
        callers = 6 if "gather" in block.text or "ThreadPool" in block.text else max(1, block.text.count("Session("))
        assert site.opened <= callers, "one host: as many sockets as callers, and never more than six"


@each_program
def test_every_name_of_keeppool_in_a_program_is_public(block):
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "keeppool":
            module = importlib.import_module(node.module or "")
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "keeppool":
            module, names = importlib.import_module("keeppool"), [node.attr]
        else:
            continue
        assert set(names) <= set(getattr(module, "__all__", dir(module))), block.place


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.place)
def test_every_configuration_file_is_valid(block, tmp_path):
    path = tmp_path / "keeppool.toml"
    path.write_text(block.text, encoding="utf-8")
    assert isinstance(load_config(path).limits, Limits)


def test_the_two_commands_stand_where_a_newcomer_and_the_continuous_integration_look_for_them():
    commands = [block.text.strip() for block in blocks("sh") if block.place.startswith("README.md")]
    assert commands[:2] == [
        "python -m pip install '.[cli]' && keeppool demo",
        "python -m pip install '.[test]' && python -m pytest",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_installs_is_there_in_a_checkout(page):
    """No index has keeppool yet, so a name of it alone is found by no installer."""
    assert re.findall(r"pip install [^`\n&]*\bkeeppool\b", page.read_text(encoding="utf-8")) == []


def preset_rows() -> list[list[str]]:
    """The rows of README's table of presets, as cells."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return [row for row in rows if re.match(r"`(rfc2616|[A-Z]+[0-9]*)\b", row[0])]


def figure(cell: str) -> float | None:
    return None if cell.startswith("none") else float(cell.removesuffix(" s"))


def test_the_table_of_presets_lists_them_all():
    names = {name for name, value in vars(presets).items() if isinstance(value, Limits)}
    assert {row[0].strip("`") for row in preset_rows()} == names | {"rfc2616(users=N)"}


@pytest.mark.parametrize("row", preset_rows(), ids=lambda row: row[0])
def test_the_table_of_presets_has_the_figures_of_the_code(row):
    users = 10
    name, *cells = row
    limits = presets.rfc2616(users=users) if "rfc2616" in name else getattr(presets, name.strip("`"))
    cells = [cell.replace("2·N", str(2 * users)) for cell in cells]
    assert [figure(cell) for cell in cells] == [limits.per_host, limits.per_proxy, limits.total, limits.idle_timeout]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_file_the_architecture_names_is_there():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/[a-z_0-9/]*(?:\.py)?)`", text))
    missing = [name for name in named if not (ROOT / name).exists() and not (ROOT / "keeppool" / name).exists()]
    assert named
    assert missing == []


def test_the_page_has_a_command_that_finds_what_is_left_of_requests(tmp_path):
    found = [block.text for block in blocks("sh") if block.place.startswith("docs/moving-from-requests.md")]
    left = (
        "from requests.exceptions import Timeout",
        "import requests",
        "    import requests as r",
        "import requests.auth",
    )
    moved = ("import keeppool.requests as requests", "import requests_cache", "from keeppool.requests import get")
    (tmp_path / "left.py").write_text("\n".join(left), encoding="utf-8")
    (tmp_path / "moved.py").write_text("\n".join(moved), encoding="utf-8")
    run = subprocess.run(found[0], shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert [line.partition(":")[0] for line in run.stdout.splitlines()] == ["./left.py"] * len(left)
