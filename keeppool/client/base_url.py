"""`base_url`: where the relative URLs of a session's calls begin.

Decides: how a call's URL is joined to it: appended, as httpx does, and not resolved as a reference. What is absolute
    stands by itself.
Does not know: sessions.
"""

from __future__ import annotations

import re

from keeppool.client.request.urls import text_of
from keeppool.errors import ConfigError, InvalidURL, quoted_url
from keeppool.urls.address import parse

_SCHEME = r"\s*[A-Za-z][A-Za-z0-9+.-]*:"  # Compiled when it is first used.
_RULE = "must be an absolute http or https URL without query and fragment, such as https://api.example.com/v1"


class BaseUrl:
    """An absolute URL that others are appended to.

    Args:
        url: As the caller gives it; a `/` at its end, and white space around it, make no difference.

    Attributes:
        url: The same, with the `/`, and with the user and password that were in it.

    Raises:
        ConfigError: It is no absolute http or https URL, or has a query or a fragment.
    """

    __slots__ = ("url",)

    def __init__(self, url: str | bytes) -> None:
        try:
            # As a call's URL: bytes, and objects whose `str` is one, such as httpx's.
            url = text_of(url).strip()
            parse(url)
        except InvalidURL as error:
            raise ConfigError(f"base_url {_RULE}: {error}", field="base_url", rule=_RULE) from error
        if "?" in url or "#" in url:
            text = f"base_url {_RULE}, not {quoted_url(url)}; params= of the session adds a query"
            raise ConfigError(text, field="base_url", rule=_RULE)
        self.url = url if url.endswith("/") else f"{url}/"

    def joined(self, url: str) -> str:
        """Give the absolute URL that a call's URL stands for.

        Raises:
            InvalidURL: It names a host and no scheme.
        """
        if re.match(_SCHEME, url):
            return url
        url = url.lstrip()
        if url.startswith(("//", "\\\\")):
            text = f"URL {quoted_url(url)} has a host and no scheme, beside base_url {quoted_url(self.url)}"
            raise InvalidURL(text, url=url)
        return self.url + url.lstrip("/")
