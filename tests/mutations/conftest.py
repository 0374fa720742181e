"""The state machine lives with the tests of the core; here it is driven against broken copies."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "core"))
