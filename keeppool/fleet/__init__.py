"""One cap and one pace for each host, for all processes of a fleet, through Redis or Valkey; needs a client of theirs.

with keeppool.Session(fleet=Fleet(redis.Redis(), name="crawl")) as session:
"""

from keeppool.fleet.fleet import Fleet

__all__ = ["Fleet"]
