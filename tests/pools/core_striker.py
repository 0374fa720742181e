"""`CoreStriker`: KeyboardInterrupt at each moment in which CPython would raise it in the core."""

from __future__ import annotations

import dis
import functools
import sys
from pathlib import Path

import keeppool

CORE = str(Path(keeppool.__file__).parent / "core")


@functools.cache
def steps(code):
    """Name a function's instructions by their offsets."""
    return {each.offset: each.opname for each in dis.get_instructions(code)}


class CoreStriker:
    """Raises KeyboardInterrupt at the n-th moment at which CPython would in the core: where a function begins, behind
    a call, and where a loop turns back (`eval_breaker` in `Python/bytecodes.c`).
    """

    def __init__(self, at):
        self.left = at
        self.struck = False
        self.before = {}

    def __call__(self, frame, event, _):
        if self.struck or not frame.f_code.co_filename.startswith(CORE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call":
            self.may_strike()
        elif event == "opcode":
            before = self.before.get(frame, "")
            self.before[frame] = steps(frame.f_code).get(frame.f_lasti, "")
            if before.startswith("CALL") or before == "JUMP_BACKWARD":
                self.may_strike()
        elif event == "return":
            self.before.pop(frame, None)
        return self

    def may_strike(self):
        self.left -= 1
        if not self.left:
            self.struck = True
            raise KeyboardInterrupt

    def __enter__(self):
        self.outer = sys.gettrace()
        sys.settrace(self)

    def __exit__(self, *exc_info):
        sys.settrace(self.outer)
        self.before.clear()
