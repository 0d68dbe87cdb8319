"""Requests to the webhook: their bodies within bounds, and answers in JSON."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError

from producer.live.webhooks.answers import Refused

LONGEST_BODY_BYTES = 16 << 20
"""Of one request, decompressed."""

BODIES_BYTES = 64 << 20
"""Of all requests that are being read or delivered: it bounds the memory."""

BODY_SECONDS = 30.0
"""How long a body may take to come."""

RETRY_SECONDS = 2

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Bodies:
    """Reads bodies, as many at once as there is memory for. A body counts until its request was answered."""

    def __init__(self, one: int = LONGEST_BODY_BYTES, all_of_them: int = BODIES_BYTES) -> None:
        self._one = one
        self._all = all_of_them
        self._held = 0
        self._of: dict[web.Request, int] = {}

    async def read(self, request: web.Request) -> bytes:
        """The body, decompressed. Raises `Refused`: 413 where it is too large, 429 where there is no memory now, 408
        where it does not come, 400 where it is not what its headers say."""
        if (request.content_length or 0) > self._one:
            raise self._too_large()
        pieces = []
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for piece in request.content.iter_any():
                    self._count(request, len(piece))
                    pieces.append(piece)
        except TimeoutError:
            raise Refused(408, f"the body did not come within {BODY_SECONDS:.0f} s") from None
        except (ClientPayloadError, HttpProcessingError, web.RequestPayloadError) as error:
            raise Refused(400, f"the body cannot be read: {error}") from None
        return b"".join(pieces)

    def _count(self, request: web.Request, size: int) -> None:
        self._of[request] = self._of.get(request, 0) + size
        self._held += size
        if self._of[request] > self._one:
            raise self._too_large()
        if self._held > self._all:
            raise Refused(429, "too many requests at once")

    def _too_large(self) -> Refused:
        return Refused(413, f"the body has more than {self._one:,} bytes")

    def done(self, request: web.Request) -> None:
        """The request was answered."""
        self._held -= self._of.pop(request, 0)


def answer(status: int, body: Any) -> web.Response:
    """An answer in JSON."""
    headers = {}
    if status == 429:
        headers["Retry-After"] = str(RETRY_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers)


def guarded(bodies: Bodies) -> Any:
    """The middleware that turns `Refused` into its answer, and says in JSON what aiohttp says of paths and methods."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return answer(refused.status, refused.body)
        except web.HTTPException as error:
            return answer(error.status, {"error": error.reason})
        finally:
            bodies.done(request)

    return guard
