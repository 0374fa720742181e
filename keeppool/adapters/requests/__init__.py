"""The mount for requests' own sessions; needs requests.

session.mount("https://", KeepPoolAdapter(limits=Limits(per_host=2)))
"""

from keeppool.adapters.requests.adapter import KeepPoolAdapter, MountedResponse

__all__ = ["KeepPoolAdapter", "MountedResponse"]
