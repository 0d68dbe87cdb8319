"""A TCP proxy on the loopback address that a test cuts, freezes or slows down, or that loses what it should carry."""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.services.process import free_port

CHUNK_BYTES = 64 << 10
QUEUED_CHUNKS = 64
SECONDS = 10.0

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing then sends a reset, as after a cut nothing is said in an orderly way."""


def kafka_request(api_key: int, client: str) -> bytes:
    """A pattern for the head of a Kafka request (Kafka's protocol guide: api key, version, correlation id, client)."""
    name = client.encode()
    return re.escape(struct.pack(">h", api_key)) + rb"\x00.{5}" + re.escape(struct.pack(">h", len(name)) + name)


class Proxy:
    """Carries connections from `port` to `target`, a port of this machine; healthy when it starts.

    `delay` seconds and a `rate` in bytes a second hold in each direction, from the next chunk on.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.delay = 0.0
        self.rate: float | None = None
        self.accepted = 0
        """Connections that were carried."""
        self.refused = 0
        """Connections that were reset at once, because the link was cut."""
        self.lost = 0
        """Requests whose answer, or that themselves, were lost by `lose`."""
        self._cut = False
        self._pattern: re.Pattern[bytes] | None = None
        self._answers_only = True
        self._times = 0
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)

    @property
    def address(self) -> str:
        """Where clients connect to, as host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def links(self) -> int:
        """How many connections there are now."""
        return len(self._links)

    # -- faults ----------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection, and each new one, until `heal`."""
        self._cut = True
        self.reset()

    def reset(self) -> None:
        """Reset every connection that there is; new ones are carried."""
        self._run(self._reset())

    def black_hole(self) -> None:
        """Take everything and carry nothing, until `heal` or a cut: connections stay, nobody hears anything."""
        self._run(self._set_open(False))

    def heal(self) -> None:
        """Carry everything again, what was held back first."""
        self._cut = False
        self.delay, self.rate, self._times = 0.0, None, 0
        self._run(self._set_open(True))

    def lose(self, pattern: bytes, *, answers: bool = True, times: int = 1) -> None:
        """Reset the connection of the next `times` requests in which the pattern is found (`lost` counts them).

        With `answers` the request arrives, and its connection is reset when it is answered, without the answer; else
        the request itself is lost. The pattern must lie within what the client sends at once.
        """
        self._answers_only, self._times = answers, times
        self._pattern = re.compile(pattern, re.DOTALL)

    def loses(self, chunk: bytes) -> bool:
        """Whether `lose` speaks of this chunk; counts it then."""
        if not self._times or self._pattern is None or not self._pattern.search(chunk):
            return False
        self._times -= 1
        self.lost += 1
        return True

    @property
    def answers_only(self) -> bool:
        """Whether a lost request itself arrives."""
        return self._answers_only

    async def passage(self) -> None:
        """Wait while this is a black hole."""
        await self._open.wait()

    # -- its thread --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            self.refused += 1
            reset(writer)
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # the server is down: so is the way to it
            reset(writer)
            return
        self.accepted += 1
        link = _Link(self, (reader, writer), there)
        self._links.add(link)
        try:
            await link.carry()
        finally:
            self._links.discard(link)

    async def _reset(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _set_open(self, passes: bool) -> None:
        (self._open.set if passes else self._open.clear)()

    async def _close(self) -> None:
        self._server.close()
        await self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection: a reader and a writer task for each direction, with a queue between them that holds the delay."""

    def __init__(self, proxy: Proxy, here: Stream, there: Stream) -> None:
        self._proxy = proxy
        self._here = here
        self._there = there
        self._tasks: list[asyncio.Task[None]] = []
        self._answer_is_lost = False

    async def carry(self) -> None:
        """Until one of the two sides closes it, or `reset`."""
        ways: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, bool]] = [
            (self._here[0], self._there[1], False),
            (self._there[0], self._here[1], True),
        ]
        for reader, writer, answers in ways:
            queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_CHUNKS)
            self._tasks.append(asyncio.create_task(self._take(reader, queue)))
            self._tasks.append(asyncio.create_task(self._give(queue, writer, answers=answers)))
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        with suppress(ConnectionError):  # an end like another
            while chunk := await reader.read(CHUNK_BYTES):
                await queue.put((asyncio.get_running_loop().time(), chunk))
        await queue.put((0.0, b""))
        await asyncio.Event().wait()  # the giver ends the link, when it has given everything

    async def _give(
        self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        loop, proxy = asyncio.get_running_loop(), self._proxy
        while True:
            taken, chunk = await queue.get()
            await asyncio.sleep(max(taken + proxy.delay - loop.time(), 0.0))
            await proxy.passage()
            if not chunk or self._is_lost(chunk, answers=answers):
                return
            if proxy.rate:
                await asyncio.sleep(len(chunk) / proxy.rate)
            try:
                writer.write(chunk)
                await writer.drain()
            except ConnectionError:
                return

    def _is_lost(self, chunk: bytes, *, answers: bool) -> bool:
        if answers:
            return self._answer_is_lost
        if self._proxy.loses(chunk):
            self._answer_is_lost = True
            return not self._proxy.answers_only
        return False

    def reset(self) -> None:
        """End it without a word."""
        for task in self._tasks:
            task.cancel()
        reset(self._here[1])
        reset(self._there[1])


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with a reset."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
