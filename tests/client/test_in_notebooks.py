"""A response as a notebook shows it: facts and header fields, no secrets, and nothing is read for it."""

from __future__ import annotations

import asyncio

import keeppool
from keeppool.testing import Answer, Behaviour, Request, Sites


def secretive(request: Request) -> Answer:
    return Answer(
        status=200,
        body=b"body-secret",
        headers=[("Set-Cookie", "sid=cookie-secret"), ("X-Auth-Token", "token-secret"), ("X-Note", "<b>note</b>")],
    )


def test_a_response_shows_what_was_asked_and_its_header_fields_without_secrets(sites: Sites) -> None:
    site = sites.add(handler=secretive)
    with keeppool.Session() as session:
        response = session.get(site.url.replace("//", "//user:url-secret@") + "/a?b=1")
        markup = response._repr_html_()
    assert f"GET {site.url}/a?b=1" in markup
    assert "200 OK" in markup
    assert "11 bytes" in markup
    assert "&lt;b&gt;note&lt;/b&gt;" in markup
    assert "Set-Cookie" in markup
    assert "secret" not in markup
    response.url = "http://user:url-secret@a.example/"
    assert "secret" not in response._repr_html_()


def test_to_show_a_streamed_response_reads_nothing_of_its_body(sites: Sites) -> None:
    site = sites.add(Behaviour(body=bytes(1 << 20)))
    with keeppool.Session() as session, session.get(site.url, stream=True) as response:
        assert "not read" in response._repr_html_()
        assert len(response.content) == 1 << 20
        assert "1,048,576 bytes" in response._repr_html_()


def test_a_response_of_a_task_and_one_made_by_hand_show_themselves_too(sites: Sites) -> None:
    site = sites.add()

    async def main() -> str:
        async with keeppool.AsyncSession() as session:
            return (await session.get(site.url))._repr_html_()

    assert f"GET {site.url}/" in asyncio.run(main())
    made = keeppool.Response()
    made.status_code, made.reason = 404, b"Gone away"  # type: ignore[assignment]
    assert "404 Gone away" in made._repr_html_()
