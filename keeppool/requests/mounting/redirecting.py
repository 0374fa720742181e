"""`Redirecting`: what a redirect changes, in methods that programs override, as in requests.

Decides: nothing that `client/settings.py` and `client/response/redirect.py` do not decide for a session of ours.
Knows: requests' names for the steps from a redirect to the request that follows it.
"""

from __future__ import annotations

from typing import Any

from keeppool.client.arguments import CertArgument, ProxiesArgument
from keeppool.client.request.prepared import PreparedRequest
from keeppool.client.response import redirect
from keeppool.client.response.base import BaseResponse
from keeppool.client.settings import SessionSettings, rewind_for
from keeppool.urls.address import addressed, is_same_origin


class Redirecting(SessionSettings):
    """The part of a session that follows redirects, open to be changed."""

    def get_redirect_target(self, resp: Any) -> str | None:
        """Tell where a response leads; `None` if it leads nowhere."""
        return redirect.target_of(resp)

    def should_strip_auth(self, old_url: str, new_url: str) -> bool:
        """Tell whether what authenticates a request to one URL must not be sent to another."""
        return not is_same_origin(addressed(old_url), addressed(new_url))

    def rebuild_method(self, prepared_request: PreparedRequest, response: Any) -> None:
        """Set the method with which a redirect is followed.

        Args:
            prepared_request: A copy of the request that was redirected.
            response: The redirect.
        """
        prepared_request.verb = redirect.method_after(response.status_code, prepared_request.verb)

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Any) -> None:
        """Take off credentials that are not for where a redirect leads, and put on those that are.

        A scheme that signs what it is given, such as Digest, signs anew; the netrc file may know the new host.

        Args:
            prepared_request: The request that follows, with the redirected one's Authorization field.
            response: The redirect.
        """
        stays = not self.should_strip_auth(response.request.url, prepared_request.url or "")
        self._sign_again(prepared_request, stays)

    def rebuild_proxies(self, prepared_request: PreparedRequest, proxies: ProxiesArgument) -> dict[str, str]:
        """Tell which proxies hold for a request, those of the environment included.

        Args:
            prepared_request: Its URL counts.
            proxies: The call's own.
        """
        merged = self.merge_environment_settings(prepared_request.url or "", proxies, None, None, None)
        found: dict[str, str] = merged["proxies"]
        return found

    def merge_environment_settings(
        self,
        url: str,
        proxies: ProxiesArgument,
        stream: bool | None,
        verify: bool | str | None,
        cert: CertArgument,
    ) -> dict[str, Any]:
        """Tell what holds for a request to `url`, as arguments for `send`; for programs that prepare and send apart.

        Args:
            url: Where the request goes.
            proxies: The call's own.
            stream: The call's own; `None` for nothing.
            verify: The call's own; `None` for nothing.
            cert: The call's own; `None` for nothing.
        """
        merged = self._merged(addressed(url), proxies, stream, verify, cert)
        # As in requests. `_settings_of` leaves them in: what is to go direct must not come to a configured proxy.
        merged["proxies"] = {name: proxy for name, proxy in merged["proxies"].items() if proxy is not None}
        return merged

    def next_request(self, response: BaseResponse, location: str, *, is_sent: bool = False) -> PreparedRequest:
        """Make the request that follows a redirect. Its body is at its start, if that can be had again.

        Args:
            response: The redirect.
            location: Where it leads.
            is_sent: It is sent now, so a body that cannot be had again is an error.

        Raises:
            InvalidURL: It leads to nothing that can be requested.
            UnrewindableBodyError: See `is_sent`.
        """
        first, base = response.request, response.request.copy()
        self.rebuild_method(base, response)
        # What else has been changed about the copy is kept; what to do with the body depends on what was redirected.
        method, base.verb, base.address = base.verb, first.verb, first.address
        request = redirect.next_request(base, response.status_code, location, method)
        rewind_for(request, is_sent)
        self.rebuild_auth(request, response)
        return self.with_cookies(request)
