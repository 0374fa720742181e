"""The names of `requests.packages` that programs import: `from requests.packages.urllib3.util.retry import Retry`.

Decides: nothing. Each module below is urllib3's own, whichever way it is imported, as in requests.
"""

import sys

import urllib3

__all__ = ["urllib3"]

for _name, _module in list(sys.modules.items()):
    if _name == "urllib3" or _name.startswith("urllib3."):
        sys.modules[f"{__name__}.{_name}"] = _module
