"""Requests to the webhook: their bodies within bounds, and answers in JSON."""

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError

from producer.live.webhooks.answers import Refused
from schemas.errors import Stop

log = logging.getLogger(__name__)

LONGEST_BODY_BYTES = 16 << 20
"""Of one request, decompressed."""

BODIES_BYTES = 64 << 20
"""Of all requests that are being read or delivered: it bounds the memory."""

BODY_SECONDS = 30.0
"""How long a body may take to come."""

RETRY_SECONDS = 2

PIECE_BYTES = 64 << 10

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Bodies:
    """Reads bodies, as many at once as there is memory for. A body counts until its request was answered."""

    def __init__(self, one: int = LONGEST_BODY_BYTES, all_of_them: int = BODIES_BYTES) -> None:
        self._one = one
        self._all = all_of_them
        self._held: dict[int, int] = {}
        """Bytes by request: by its `id`, for a request is no key."""

    async def read(self, request: web.Request) -> bytes:
        """The body, decompressed. Raises `Refused`: 413 where it is too large, 429 where there is no memory now, 408
        where it does not come, 415 or 400 where it is compressed otherwise, or not what its headers say."""
        if (request.content_length or 0) > self._one:
            raise self._too_large()
        unpacker = make_unpacker(request.headers.get("Content-Encoding", "identity").lower())
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._read(request, unpacker)
        except TimeoutError:
            raise Refused(408, f"the body did not come within {BODY_SECONDS:.0f} s") from None
        except (ClientPayloadError, HttpProcessingError, web.RequestPayloadError, zlib.error) as error:
            raise Refused(400, f"the body cannot be read: {error}") from None

    async def _read(self, request: web.Request, unpacker: "Unpacker") -> bytes:
        pieces, came = [], 0
        async for raw in request.content.iter_chunked(PIECE_BYTES):
            came += len(raw)  # also of what grows to nothing there is an end
            if came > self._one:
                raise self._too_large()
            for piece in unpacker.feed(raw):
                self._count(request, len(piece))
                pieces.append(piece)
        unpacker.finish()
        return b"".join(pieces)

    def _count(self, request: web.Request, size: int) -> None:
        held = self._held[id(request)] = self._held.get(id(request), 0) + size
        if held > self._one:
            raise self._too_large()
        if sum(self._held.values()) > self._all:
            raise Refused(429, "too many requests at once")

    def _too_large(self) -> Refused:
        return Refused(413, f"the body has more than {self._one:,} bytes")

    def done(self, request: web.Request) -> None:
        """The request was answered."""
        self._held.pop(id(request), None)


class Unpacker:
    """A body as it is; the other encodings are beneath."""

    def feed(self, raw: bytes) -> Iterator[bytes]:
        """What a piece of the body grows to, in pieces of 64 kB. Raises `zlib.error`."""
        yield raw

    def finish(self) -> None:
        """There is no more. Raises `zlib.error` where there should be."""


class _Inflate(Unpacker):
    """gzip or zlib, as its head says: one stream after the other, as gzip's own tools take them.

    (aiohttp's own would tell its log of every body that is damaged, with a traceback.)
    """

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=47)
        self._begun = False

    def feed(self, raw: bytes) -> Iterator[bytes]:
        while raw:
            if self._stream.eof:
                self._stream = zlib.decompressobj(wbits=47)
            self._begun = True
            yield self._stream.decompress(raw, PIECE_BYTES)
            raw = self._stream.unused_data or self._stream.unconsumed_tail

    def finish(self) -> None:
        if self._begun and not self._stream.eof:
            raise zlib.error("its compressed data end too early")


def make_unpacker(encoding: str) -> Unpacker:
    """What takes a body that is encoded so. Raises `Refused` (415)."""
    if encoding == "identity":
        return Unpacker()
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _Inflate()
    raise Refused(415, f"Content-Encoding {encoding[:40]!r} is not taken, only gzip and deflate")


def answer(status: int, body: Any) -> web.Response:
    """An answer in JSON."""
    headers = {}
    if status == 429:
        headers["Retry-After"] = str(RETRY_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers)


def guarded(*bodies: Bodies) -> Any:
    """The middleware that turns `Refused` into its answer, and says in JSON what aiohttp says of paths and methods."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return answer(refused.status, refused.body)
        except Stop as stop:  # the spool's disk
            log.warning("%s", stop)
            return answer(503, {"error": "what was sent cannot be kept here now"})
        except web.HTTPException as error:
            return answer(error.status, {"error": error.reason})
        finally:
            for those in bodies:
                those.done(request)

    return guard
