"""The webhook's port: an HTTP server that strangers can neither keep busy nor have write into the log."""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from producer.live.urls import WebPlace, bracketed
from schemas.errors import Stop

log = logging.getLogger(__name__)

GOODBYE_SECONDS = 4.0
"""How long requests may take to end when the listener does."""

IDLE_SECONDS = 30.0
"""How long a connection may be without a whole head of a request."""

MOST_CONNECTIONS = 1000
"""At most; and half of what the process may open, so that spool, log and Kafka never lack a descriptor."""


@asynccontextmanager
async def serving(app: web.Application, place: WebPlace) -> AsyncIterator[list[str]]:
    """Serve until the block ends; gives the URLs that it serves at. Raises `Stop` where the port cannot be had."""
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_server_log(),
        auto_decompress=False,
        keepalive_timeout=IDLE_SECONDS,
        shutdown_timeout=GOODBYE_SECONDS,
    )
    await runner.setup()
    try:
        port = await _open(runner, place)
        try:
            yield [_url(socket.getsockname()) for socket in port.sockets]
        finally:
            port.close()
    finally:
        await runner.cleanup()


async def _open(runner: web.AppRunner, place: WebPlace) -> asyncio.Server:
    server = runner.server
    assert server is not None
    most = most_connections()

    def connected() -> asyncio.BaseProtocol:
        return server() if len(server.connections) < most else _TurnedAway()

    try:
        return await asyncio.get_running_loop().create_server(connected, place.host, place.port)
    except OSError as error:
        raise Stop(f"{place.url}: {error.strerror or error}", "Name another host or port") from None


def most_connections() -> int:
    """How many connections there may be at once."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if allowed == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, allowed // 2)


def _url(address: Any) -> str:
    host, port = address[:2]
    return f"http://{bracketed(host)}:{port}"


class _TurnedAway(asyncio.Protocol):
    """A connection too many: closed at once, so that its client comes again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _server_log() -> logging.Logger:
    """aiohttp's log of this server, without what senders do.

    It would tell each request that is no HTTP, or whose sender goes away, with a traceback, and in that the bytes that
    came: a token, and what people wrote.
    """
    quiet = logging.getLogger(f"{__name__}.server")
    quiet.addFilter(_is_ours)
    return quiet


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError | ClientError | ConnectionError | web.RequestPayloadError):
        return True
    log.debug("A request could not be read (%s)", type(error).__name__)
    return False
