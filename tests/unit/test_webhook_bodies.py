"""Bodies of requests: whole, however they are packed, and within bounds, whoever sends them."""

import asyncio
import gzip
import io
import time
import zlib
from collections.abc import AsyncIterator, Iterable
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.urls import WebPlace, parse_place
from producer.live.webhooks.answers import Refused
from producer.live.webhooks.bodies import Bodies, make_unpacker
from producer.live.webhooks.listener import SIGNED_BODIES_BYTES, WebListener

ONE = 1 << 20
PIECE = 64 << 10
TWO_MEMBERS = gzip.compress(b"one\n") + gzip.compress(b"two\n")


class Content:
    """A body as it comes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.came = 0

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        """Its pieces."""
        for piece in self._pieces:
            self.came += 1
            yield piece


class Asked:
    """As much of a request as bodies are read from."""

    content_length = None

    def __init__(self, pieces: Iterable[bytes], encoding: str) -> None:
        self.headers = {"Content-Encoding": encoding}
        self.content = Content(pieces)


def read(pieces: Iterable[bytes], encoding: str = "gzip") -> bytes:
    return asyncio.run(Bodies(ONE, 4 * ONE).read(cast("web.Request", Asked(pieces, encoding))))


@pytest.mark.parametrize("size", [1, 7, len(gzip.compress(b"one\n")), 1000])
def test_gzip_of_several_members_is_read_to_its_end(size: int) -> None:
    pieces = [TWO_MEMBERS[first : first + size] for first in range(0, len(TWO_MEMBERS), size)]
    assert read(pieces) == b"one\ntwo\n"


@pytest.mark.parametrize("packed", [gzip.compress(b"text" * 99), zlib.compress(b"text" * 99)], ids=["gzip", "deflate"])
def test_body_that_ends_within_its_compressed_data_is_refused(packed: bytes) -> None:
    assert read([packed]) == b"text" * 99
    for end in (1, len(packed) // 2, len(packed) - 1):
        with pytest.raises(Refused) as caught:
            read([packed[:end]])
        assert caught.value.status == 400


def test_what_is_no_gzip_behind_a_gzip_is_refused_at_once() -> None:
    asked = Asked([gzip.compress(b"one\n"), *[b"garbage" * 9_000] * 200], "gzip")
    with pytest.raises(Refused) as caught:
        asyncio.run(Bodies(ONE, 4 * ONE).read(cast("web.Request", asked)))
    assert (caught.value.status, asked.content.came) == (400, 2)


def test_compressed_body_that_grows_to_nothing_has_an_end() -> None:
    empty = gzip.compress(b"")
    with pytest.raises(Refused) as caught:
        read([empty * (PIECE // len(empty))] * 20)
    assert caught.value.status == 413


def test_nothing_is_held_of_what_was_decompressed() -> None:
    unpacker = make_unpacker("gzip")
    content = gzip.compress(b"x" * (8 << 20))
    assert max(len(piece) for piece in unpacker.feed(content)) == PIECE


def test_empty_body_is_empty_however_it_is_packed() -> None:
    assert (read([]), read([], "identity"), read([b"as it is"], "identity")) == (b"", b"", b"as it is")


# --- what strangers may have read -------------------------------------------------------------------------------


def listener() -> WebListener:
    place = parse_place("http://127.0.0.1:0")
    assert isinstance(place, WebPlace)
    secrets = {"CHATFERRY_HTTP_TOKEN": "token", "CHATFERRY_SLACK_SIGNING_SECRET": "secret"}
    return WebListener(place, Secrets((), [place], secrets), Memory(None))


async def endless() -> AsyncIterator[bytes]:
    """A body of which a piece comes, and then nothing."""
    yield b"x"
    await asyncio.Event().wait()


SLACK = {"X-Slack-Signature": "v0=" + "0" * 64}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/slack/events", {}),
        ("/slack/events", {**SLACK, "X-Slack-Request-Timestamp": "1700000000"}),
        ("/slack/events", {"X-Slack-Signature": "v0=0", "X-Slack-Request-Timestamp": "now"}),
        ("/discord", {"X-Signature-Ed25519": "00" * 64}),
    ],
)
def test_body_of_a_stranger_is_not_waited_for(path: str, headers: dict[str, str]) -> None:
    async def ask() -> int:
        async with TestClient(TestServer(listener()._app())) as client, asyncio.timeout(10):
            named = {name: str(int(time.time())) if text == "now" else text for name, text in headers.items()}
            async with client.post(path, data=endless(), headers=named) as answer:
                return answer.status

    assert asyncio.run(ask()) == 401


def test_strangers_bodies_take_no_room_from_those_with_a_token() -> None:
    async def ask() -> list[int]:
        hook = listener()
        hook._signed_bodies._held = {1: SIGNED_BODIES_BYTES}
        headers = {**SLACK, "X-Slack-Request-Timestamp": str(int(time.time()))}
        async with TestClient(TestServer(hook._app())) as client:
            async with client.post("/slack/events", data=b"{}", headers=headers) as signed:
                pass
            async with client.post("/messages", data=b"[]", headers={"Authorization": "Bearer token"}) as trusted:
                pass
            async with client.post("/slack/events", data=io.BytesIO(b" " * (3 << 20)), headers=headers) as large:
                return [signed.status, trusted.status, large.status]

    assert asyncio.run(ask()) == [429, 200, 413]
