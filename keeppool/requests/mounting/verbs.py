"""`request` as requests has it, where its arguments may be given by place and any method is in upper case.

Knows: requests' order. The methods that are named after their verbs take here what they take everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keeppool.client.verbs import ResponseT, Verbs
from keeppool.config import INHERIT, Inherit, TimeoutArgument

if TYPE_CHECKING:
    from keeppool.client.arguments import (
        AuthArgument,
        CertArgument,
        ContentArgument,
        CookiesArgument,
        DataArgument,
        FilesArgument,
        HeadersArgument,
        HooksArgument,
        ParamsArgument,
        ProxiesArgument,
    )
    from keeppool.client.retries import RetriesArgument


class RequestsVerbs(Verbs[ResponseT]):
    """The verbs of a session of requests' kind."""

    __slots__ = ()

    def request(
        self,
        method: str,
        url: str | bytes,
        params: ParamsArgument = None,
        data: DataArgument = None,
        headers: HeadersArgument | None = None,
        cookies: CookiesArgument | None = None,
        files: FilesArgument = None,
        auth: AuthArgument = None,
        timeout: TimeoutArgument | Inherit = INHERIT,
        allow_redirects: bool | None = None,
        proxies: ProxiesArgument = None,
        hooks: HooksArgument = None,
        stream: bool | None = None,
        verify: bool | str | None = None,
        cert: CertArgument = None,
        json: object = None,
        *,
        retries: RetriesArgument | Inherit = INHERIT,
        content: ContentArgument = None,
        follow_redirects: bool | None = None,
    ) -> ResponseT:
        """Send a request with any method, in upper case; arguments and errors are those of `keeppool.Session.request`.

        As in requests all up to `json` may be given by place.
        """
        return self._call(
            method.upper() if isinstance(method, (str, bytes)) else method,
            url,
            params,
            data=data,
            json=json,
            headers=headers,
            cookies=cookies,
            files=files,
            auth=auth,
            timeout=timeout,
            allow_redirects=allow_redirects,
            proxies=proxies,
            hooks=hooks,
            stream=stream,
            verify=verify,
            cert=cert,
            retries=retries,
            content=content,
            follow_redirects=follow_redirects,
        )
