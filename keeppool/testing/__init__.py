"""Servers and observers for tests of code that uses keeppool, or any other HTTP/1.x client.

Knows: HTTP from the server's side; the servers need the standard library only, and do not know the pool.

- `Site`, `Sites`: embedded servers with a chosen `Behaviour`, which count what they see. Dozens run on one thread.
- `ScriptedServer`: a raw server that does exactly what a script says, well-formed or not.
- `Replay`: responses from a HAR file, or made up for requests of a pattern, in the place of the network.
- `recorded_events`: collects what a pool reports. `FakeClock`: time that passes on command.

Example:
    A test that two requests to one host share a connection, and that the pool notices when the server hangs up::

        import keeppool
        from keeppool.events import ConnectionClosed, Why
        from keeppool.testing import Site, recorded_events


        def test_connections_are_shared_until_the_server_closes_them():
            events = recorded_events()
            with Site() as site, keeppool.PoolManager(on_event=events) as pool:
                for _ in range(2):
                    assert pool.request("GET", f"{site.url}/hello").status == 200
                assert site.opened == 1

                site.drop_idle()
                pool.request("GET", f"{site.url}/hello")
                assert site.opened == 2
                assert site.executed == {"/hello": 3}
                assert events.of(ConnectionClosed)[0].why is Why.PEER_CLOSED
"""

from keeppool.fakers import UnseenWarning
from keeppool.testing.behaviour import Behaviour, Manners
from keeppool.testing.canned import Canned
from keeppool.testing.clock import FakeClock
from keeppool.testing.messages import Answer, Request
from keeppool.testing.recorder import Recorder, recorded_events
from keeppool.testing.replay import Replay
from keeppool.testing.script import ClientGone, RawConnection, ScriptedServer
from keeppool.testing.site import Site, Sites
from keeppool.testing.tally import Tally
from keeppool.testing.unexpected import UnexpectedRequest, UnusedResponses

__all__ = [
    "Answer",
    "Behaviour",
    "Canned",
    "ClientGone",
    "FakeClock",
    "Manners",
    "RawConnection",
    "Recorder",
    "Replay",
    "Request",
    "ScriptedServer",
    "Site",
    "Sites",
    "Tally",
    "UnexpectedRequest",
    "UnseenWarning",
    "UnusedResponses",
    "recorded_events",
]
