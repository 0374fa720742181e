"""A pytest plugin: every session of requests that is made while it is loaded has keeppool's adapter mounted.

`requests.Session` mounts `requests.sessions.HTTPAdapter`, and programs that build adapters take
`requests.adapters.HTTPAdapter`; both names lead to `KeepPoolAdapter` here.
"""

import requests.adapters
import requests.sessions

from keeppool.adapters.requests import KeepPoolAdapter

requests.sessions.HTTPAdapter = KeepPoolAdapter
requests.adapters.HTTPAdapter = KeepPoolAdapter
