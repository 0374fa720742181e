"""Whether a connection may carry another request: a row for each clause, its id the section that says so."""

from __future__ import annotations

from typing import Any

import pytest

from keeppool.core.reuse import why_not_reusable
from keeppool.events import Why

GOOD: dict[str, Any] = {
    "framing": None,
    "status": 200,
    "version": 11,
    "connection": None,
    "request_sent": True,
    "client_close": False,
}


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        pytest.param({}, None, id="9112-9.3-persists"),
        pytest.param({"status": 204}, None, id="9112-6.3-no-content"),
        pytest.param({"status": 304}, None, id="9112-6.3-not-modified"),
        pytest.param({"status": 404}, None, id="9112-9.3-client-error-persists"),
        pytest.param({"status": 503}, None, id="9112-9.3-server-error-persists"),
        pytest.param({"connection": b"keep-alive"}, None, id="9112-9.3-keep-alive"),
        pytest.param({"version": 10, "connection": b"keep-alive"}, None, id="9112-9.3-http10-keep-alive"),
        pytest.param({"version": 10}, Why.SERVER_CLOSE, id="9112-9.3-http10"),
        pytest.param({"connection": b"close"}, Why.SERVER_CLOSE, id="9112-9.6-server-close"),
        pytest.param({"connection": b"Keep-Alive, Close"}, Why.SERVER_CLOSE, id="9112-9.3-close-wins"),
        pytest.param({"client_close": True}, Why.CLIENT_CLOSE, id="9112-9.6-client-close"),
        pytest.param({"client_close": True, "connection": b"keep-alive"}, Why.CLIENT_CLOSE, id="9112-9.6-client-said"),
        pytest.param({"status": 408}, Why.SERVER_CLOSE, id="9110-15.5.9-timeout"),
        pytest.param({"status": 408, "connection": b"keep-alive"}, Why.SERVER_CLOSE, id="9110-15.5.9-whatever-it-says"),
        pytest.param({"framing": Why.CLOSE_DELIMITED}, Why.CLOSE_DELIMITED, id="9112-6.3-until-close"),
        pytest.param({"framing": Why.AMBIGUOUS_FRAMING}, Why.AMBIGUOUS_FRAMING, id="9112-6.3-both-lengths"),
        pytest.param({"framing": Why.SWITCHED, "status": 101}, Why.SWITCHED, id="9110-15.2.2-switched"),
        pytest.param({"request_sent": False}, Why.REQUEST_UNSENT, id="9112-9.3-early-answer"),
        pytest.param({"request_sent": False, "status": 413}, Why.REQUEST_UNSENT, id="9112-9.3-refused-early"),
    ],
)
def test_a_connection_is_reused_unless(facts: dict[str, Any], why: Why | None) -> None:
    assert why_not_reusable(**(GOOD | facts)) is why


@pytest.mark.parametrize("connection", [None, b"keep-alive", b"close"])
@pytest.mark.parametrize("version", [10, 11])
@pytest.mark.parametrize("framing", [Why.CLOSE_DELIMITED, Why.AMBIGUOUS_FRAMING, Why.SWITCHED])
def test_no_header_makes_up_for_the_framing(framing: Why, version: int, connection: bytes | None) -> None:
    facts = GOOD | {"framing": framing, "version": version, "connection": connection}
    assert why_not_reusable(**facts) is framing
