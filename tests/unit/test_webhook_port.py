"""The webhook's port, on real connections: what strangers send keeps nobody out, and stays out of the log."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from aiohttp import web

from producer.live.urls import WebPlace, parse_place
from producer.live.webhooks import plain, port
from producer.live.webhooks.answers import Refused
from producer.live.webhooks.port import serving

SECONDS = 10.0
TOKEN = "planted-3Fq9"
GOOD = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def serve(talk: Callable[[int], Awaitable[None]], *, read: bool = False) -> None:
    """Serve while `talk` talks to the port; with `read` a request's body is read."""

    async def hello(request: web.Request) -> web.Response:
        if read:
            await request.read()
        return web.Response(text="hello")

    async def run() -> None:
        app = web.Application()
        app.add_routes([web.route("*", "/", hello)])
        place = parse_place("http://127.0.0.1:0")
        assert isinstance(place, WebPlace)
        async with asyncio.timeout(SECONDS), serving(app, place) as (url,):
            await talk(int(url.rpartition(":")[2]))

    asyncio.run(run())


async def ask(to: int, request: bytes) -> bytes:
    """What comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", to)
    try:
        writer.write(request)
        with suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\x01\r\n\r\n",
        f"POST / HTTP/1.1\nHost: x\nAuthorization: Bearer {TOKEN}\nContent-Length: 2\n\nhi",
        f"GET /?token={TOKEN}\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\nX: {TOKEN}\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{TOKEN}{TOKEN}\r\n",
        f"\x16\x03\x01{TOKEN}",
    ],
    ids=["control character", "bare newlines", "in the path", "length", "chunk", "TLS"],
)
def test_what_is_no_http_is_refused_and_nothing_of_it_is_logged(
    request_: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def talk(to: int) -> None:
        assert (await ask(to, request_.encode("latin-1"))).startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))

    serve(talk, read=True)
    assert TOKEN not in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_sender_that_goes_away_within_its_body_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(to: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", to)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        assert b"100" in await reader.readline()  # now its handler waits for the body
        writer.transport.abort()
        assert b"hello" in await ask(to, GOOD)

    serve(talk, read=True)
    assert not caplog.records


def test_a_bug_is_told_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async def wrong(_request: web.Request) -> web.Response:
            raise KeyError("a bug")

        app = web.Application()
        app.add_routes([web.get("/", wrong)])
        place = parse_place("http://127.0.0.1:0")
        assert isinstance(place, WebPlace)
        async with asyncio.timeout(SECONDS), serving(app, place) as (url,):
            assert b" 500 " in await ask(int(url.rpartition(":")[2]), GOOD)

    asyncio.run(run())
    assert "KeyError: 'a bug'" in caplog.text


def test_head_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "IDLE_SECONDS", 0.2)

    async def talk(to: int) -> None:
        assert await ask(to, b"POST / HTTP/1.1\r\nX: ") == b""

    serve(talk)


def test_connection_too_many_is_turned_away_and_the_next_is_served_when_one_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(port, "MOST_CONNECTIONS", 2)

    async def talk(to: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", to) for _ in range(2)]
        assert await ask(to, GOOD) == b""
        for _, writer in held:
            writer.close()
        while b"hello" not in await ask(to, GOOD):  # noqa: ASYNC110 -- until the server has seen that they are gone
            await asyncio.sleep(0.01)

    serve(talk)


def test_connections_leave_half_of_the_descriptors_to_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 4096))
    assert port.most_connections() == 128


def test_first_item_that_is_no_message_ends_the_judging() -> None:
    with pytest.raises(Refused) as caught:
        plain.lines_of(json.dumps([[], *[{}] * 3]).encode(), "application/json")
    assert caught.value.body["item"] == 0
