"""Standard input as a live system: JSON lines as they come."""

import asyncio

from producer.live.listener import Ear
from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.urls import InputPlace
from producer.sources.blocks import Block, LineCutter
from producer.sources.streams import STANDARD_INPUT, open_source

READ_BYTES = 256 << 10
LONGEST_BYTES = 16 << 20
"""A longer line is not held in memory, so it is refused; one that is too long for the topic alone becomes a reference
among the dead letters."""


class InputListener:
    """Lines of standard input, unread: whether they are messages is for the consumer to judge."""

    def __init__(self, _place: InputPlace, _secrets: Secrets, _memory: Memory) -> None:
        self._left = False

    @property
    def name(self) -> str:
        """What it is called in the log."""
        return "standard input"

    async def session(self, ear: Ear) -> None:
        """Read it to its end. Raises `Stop` where it is compressed and damaged."""
        ear.listening(self.name)
        cutter = LineCutter(LONGEST_BYTES)
        try:
            source = await asyncio.to_thread(open_source, STANDARD_INPUT, lambda: self._left)
            while data := await asyncio.to_thread(source.read, READ_BYTES):
                await _take(ear, cutter.feed(data))
            await _take(ear, cutter.finish())
        finally:
            self._left = True  # the reading thread sees it within a moment


async def _take(ear: Ear, block: Block | None) -> None:
    if block is None:
        return
    for line in block.oversize:
        ear.refuse(f"the line at byte {line.offset:,} has {line.length:,} bytes, and is not taken")
    if block.lines:
        await ear.take_lines(block.lines)
