"""JSON in a body: parsed by the standard library, with one error for all that can be wrong with it.

Decides: which failures of the parser say that the text is no JSON for us: those of its limits too, which are the depth
    of nesting and the digits of a number.
Does not know: where the text comes from, and in which encoding a field says it is.

Source: RFC 8259 §8.1 (encoding), §9 (a parser may set limits).
"""

from __future__ import annotations

import json
from typing import Any

from keeppool.errors import JSONDecodeError


def parse_json(text: bytes | str, **options: Any) -> Any:
    """Parse JSON.

    Args:
        text: In UTF-8, UTF-16 or UTF-32 if it is bytes.
        **options: For `json.loads`.

    Raises:
        JSONDecodeError: It is no JSON, in none of these encodings, or beyond what can be parsed; `doc` and `pos` say
            where, as far as it is known.
    """
    try:
        return json.loads(text, **options)
    except json.JSONDecodeError as error:
        raise JSONDecodeError(error.msg, error.doc, error.pos) from error
    except UnicodeDecodeError as error:
        reason = f"the text is not in {error.encoding}: {error.reason}"
        raise JSONDecodeError(reason, _written(text), error.start) from error
    except RecursionError as error:
        # Its traceback has a thousand frames, and its message says nothing of the text.
        raise JSONDecodeError("it is nested too deeply", _written(text), 0) from error
    except ValueError as error:  # A number with more digits than Python converts, or what a function in `options` says.
        raise JSONDecodeError(str(error), _written(text), 0) from error


def _written(text: bytes | str) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "replace")
