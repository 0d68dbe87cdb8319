"""Standard input as a live system: JSON lines as they come."""

import asyncio
import contextlib
import logging

from producer.live.listener import Ear
from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.urls import InputPlace
from producer.sources.blocks import Block, LineCutter
from producer.sources.streams import STANDARD_INPUT, Source, open_source
from schemas.errors import InputBroken, Stop

log = logging.getLogger(__name__)

LEAVING_SECONDS = 1.0
"""So long the spool may take for what was read last."""

READ_BYTES = 256 << 10
LONGEST_BYTES = 16 << 20
"""A longer line is not held in memory. (One that is too long for the topic alone is refused too, by the ear.)"""


class InputListener:
    """Lines of standard input, unread: whether they are messages is for the consumer to judge.

    It cannot be dialed again. So the next session reads on where the last one ended, whose lines the spool's disk did
    not take: they are the first ones. Where the input itself fails, that is the end.
    """

    def __init__(self, _place: InputPlace, _secrets: Secrets, _memory: Memory) -> None:
        self._source: Source | None = None
        self._cutter = LineCutter(LONGEST_BYTES)
        self._at_end = False
        self._left = False

    @property
    def name(self) -> str:
        """What it is called in the log."""
        return "standard input"

    async def session(self, ear: Ear) -> None:
        """Read it to its end. Raises `InputBroken` where it cannot be read, or is compressed and damaged."""
        await ear.put()
        ear.listening(self.name)
        while not self._at_end:
            reading = asyncio.ensure_future(asyncio.to_thread(self._read))
            try:
                data = await asyncio.shield(reading)
            except asyncio.CancelledError:
                self._left = True  # the reading thread sees it within a moment
                await self._leave(ear, await reading)
                raise
            await self._take(ear, data)

    async def _leave(self, ear: Ear, data: bytes) -> None:
        """What was read when we were told to end: gone from the input, it is not read again."""
        block = self._cutter.feed(data) if data else None
        if self._cutter.held:
            log.warning(
                "%s: the last %s bytes that were read are not a whole line, and are not taken",
                self.name,
                f"{self._cutter.held:,}",
            )
        with contextlib.suppress(TimeoutError):  # the spool is full: what it did not take is told
            async with asyncio.timeout(LEAVING_SECONDS):
                await ear.put(block.lines if block else ())

    def _read(self) -> bytes:
        try:
            self._source = self._source or open_source(STANDARD_INPUT, lambda: self._left)
            return self._source.read(READ_BYTES)
        except Stop as stop:
            raise InputBroken(stop.text, stop.next_step) from None
        except OSError as error:  # at its very beginning: a folder, or nothing at all
            raise InputBroken(f"{self.name}: cannot be read: {error.strerror}") from None

    async def _take(self, ear: Ear, data: bytes) -> None:
        """Its lines; `b""` is the end, which also ends a line."""
        self._at_end = not data
        block: Block | None = self._cutter.feed(data) if data else self._cutter.finish()
        for line in block.oversize if block else ():
            ear.refuse(f"the line at byte {line.offset:,} has {line.length:,} bytes, and is not taken")
        await ear.put(block.lines if block else ())
