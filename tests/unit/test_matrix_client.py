"""The Matrix client before a server that limits, fails, or is none of Matrix's."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import web

from producer.live.matrix import client as matrix_client
from producer.live.matrix.client import MatrixClient, Refused
from schemas.errors import ConnectionLost, Stop

Answer = web.Response
JOINED = {"room_id": "!1:h"}


def ask(answers: list[Answer], use: Callable[[MatrixClient], Coroutine[Any, Any, Any]]) -> tuple[Any, list[float]]:
    """What `use` gets from a server that gives these answers in turn, and what the client waited in between."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def handle(_request: web.Request) -> Answer:
        return answers.pop(0)

    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        client = MatrixClient(f"http://127.0.0.1:{runner.addresses[0][1]}", sleep)
        try:
            return await use(client)
        finally:
            await client.close()
            await runner.cleanup()

    return asyncio.run(run()), waits


def join(client: MatrixClient) -> Coroutine[Any, Any, str]:
    return client.join("#a:h")


def test_a_server_that_asks_to_wait_is_waited_for() -> None:
    by_body = web.json_response({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500}, status=429)
    by_header = web.json_response({"errcode": "M_LIMIT_EXCEEDED"}, status=429, headers={"Retry-After": "7"})
    without = web.json_response({}, status=429)
    room, waits = ask([by_body, by_header, without, web.json_response(JOINED)], join)
    assert room == "!1:h"
    assert waits == [1.5, 7.0, 5.0]


@pytest.mark.parametrize("wait", [-1, 1e12])
def test_an_absurd_wait_is_bounded(wait: float) -> None:
    limited = web.json_response({"retry_after_ms": wait}, status=429)
    _, (waited,) = ask([limited, web.json_response(JOINED)], join)
    assert 0 < waited <= 600


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_server_out_of_order_is_a_lost_connection(status: int) -> None:
    with pytest.raises(ConnectionLost, match=f"cannot serve now: {status}"):
        ask([web.Response(status=status, text="<html>bad gateway</html>")], join)


def test_a_refusal_has_its_code_and_words() -> None:
    with pytest.raises(Refused, match="M_FORBIDDEN You are not invited"):
        ask([web.json_response({"errcode": "M_FORBIDDEN", "error": "You are not invited"}, status=403)], join)


def test_a_server_that_is_no_homeserver_is_told() -> None:
    with pytest.raises(ConnectionLost, match="no room_id: is it a Matrix homeserver"):
        ask([web.Response(text="<html>welcome</html>")], join)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_server_that_sends_us_elsewhere_is_not_followed(status: int) -> None:
    elsewhere = web.Response(status=status, headers={"Location": "http://other.test:81/_matrix/client/v3/login"})
    with pytest.raises(Stop, match=r"sends us elsewhere: 'http://other\.test:81'") as told:
        ask([elsewhere], lambda client: client.log_in("ann", "sesame", None))
    assert "sesame" not in str(told.value)


@pytest.mark.parametrize("length", [1000, 1001])
def test_an_answer_without_end_is_a_lost_connection(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_client, "LONGEST_ANSWER_BYTES", 1000)
    answer = json.dumps(JOINED).ljust(length)
    if length > 1000:
        with pytest.raises(ConnectionLost, match="more than 1,000 bytes"):
            ask([web.Response(text=answer)], join)
    else:
        assert ask([web.Response(text=answer)], join)[0] == "!1:h"


def test_nobody_there_is_a_lost_connection() -> None:
    async def run() -> None:
        client = MatrixClient("http://127.0.0.1:1")
        try:
            await client.join("#a:h")
        finally:
            await client.close()

    with pytest.raises(ConnectionLost, match="cannot be reached"):
        asyncio.run(run())
