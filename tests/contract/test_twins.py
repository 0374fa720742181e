"""What does not wait stands once: few code lines are the same in a module for threads and in its twin for tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract import twins

#: Lines that may stand twice, by room, 204 in all: what truly waits, and the signatures that both fronts have.
MOST = {"client": 50, "net": 19, "pools": 96, "requests": 39}


@pytest.mark.parametrize("room", MOST)
def test_few_lines_stand_twice(room: str) -> None:
    found = {name: count for name, count in twins.counts().items() if Path(name).parts[0] == room}
    assert found, "no twins in this room"
    assert sum(found.values()) <= MOST[room], f"python -m tests.contract.twins {room} shows them: {found}"


def test_a_line_for_tasks_is_the_line_for_threads_but_for_its_waiting(tmp_path: Path) -> None:
    threads, tasks = tmp_path / "x.py", tmp_path / "x_tasks.py"
    threads.write_text(
        '"""Words."""\nimport a\n\ndef f(r: Response):\n    with r:\n        g(r)  # waits\n    r.close()\n'
    )
    tasks.write_text("async def f(r: AsyncResponse):\n    async with r:\n        await g(r)\n    await r.aclose()\n")
    assert twins.blocks(threads, tasks) == [["def f(r: Response):", "with r:", "g(r)", "r.close()"]]
    tasks.write_text("async def f(r: AsyncResponse):\n    async with r:\n        other\n    await r.aclose()\n")
    assert twins.blocks(threads, tasks) == []
