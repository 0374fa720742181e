"""The name of `requests.packages` that programs use, as in `requests.packages.urllib3.disable_warnings()`."""

import urllib3

__all__ = ["urllib3"]
