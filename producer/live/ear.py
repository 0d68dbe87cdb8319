"""The ears of one command's listeners: all of them write to one spool, and hear from its carrier what Kafka has."""

import asyncio
import heapq
import itertools
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from producer.live.carrier import Carrier
from producer.live.listener import Ear
from producer.live.spool import Mark, Spool
from schemas.errors import SpoolFull
from schemas.message import NAME_LENGTH
from terminal.outage import Outage

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.2

NO_ROOM_SECONDS = 10.0
"""So long after its disk had no room the spool counts as full for those who may ask first."""
GROUP_SECONDS = 0.1
GROUPS = 1000


class Desk:
    """Takes lines for the spool, and wakes who waits for room or for Kafka. For the event loop's thread alone."""

    def __init__(self, spool: Spool, carrier: Carrier, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._carrier = carrier
        self._clock = clock
        self._waiting: list[tuple[Mark, int, asyncio.Future[None]]] = []
        self._number = itertools.count()
        self._groups: deque[tuple[float, Mark]] = deque()
        """When the first line of a group was taken, and where the group ends."""
        self._outage: Outage | None = None
        self._no_room_until = -math.inf
        self.heard: Counter[str] = Counter()
        """Lines taken in this run, by listener."""
        self.refused: Counter[str] = Counter()
        """What could not be taken, by listener."""

    async def take(self, name: str, lines: Sequence[bytes]) -> Mark:
        """Put lines on the spool, when there is room. Raises `Stop` where the disk fails."""
        while True:
            try:
                if not self._spool.full:
                    return self._taken(name, lines, self._spool.append(lines))
                self._tell_full(SpoolFull(f"The spool is full ({self._spool.limit_bytes:,} bytes that Kafka has not)"))
            except SpoolFull as no_room:
                self._no_room_until = self._clock() + NO_ROOM_SECONDS
                self._tell_full(no_room)
            await asyncio.sleep(RETRY_SECONDS)

    def _taken(self, name: str, lines: Sequence[bytes], mark: Mark) -> Mark:
        self._tell_room()
        self._no_room_until = -math.inf
        self.heard[name] += len(lines)
        self._note_time(mark)
        self._carrier.look()
        return mark

    def _note_time(self, mark: Mark) -> None:
        """Keep when what was taken; in a long outage the lines of the newest group count as old as its first."""
        now, groups = self._clock(), self._groups
        if groups and (now - groups[-1][0] < GROUP_SECONDS or len(groups) >= GROUPS):
            groups[-1] = (groups[-1][0], mark)
        else:
            groups.append((now, mark))

    def _tell_full(self, problem: SpoolFull) -> None:
        self._outage = self._outage or Outage(
            "nothing more is heard: who speaks is made to wait, and what a system does not keep may be missed",
            name="Spool",
        )
        self._outage.goes_on(problem)

    def _tell_room(self) -> None:
        """Half of it, so that a spool that is just below its limit is not told again and again."""
        if self._outage and self._spool.waiting_bytes <= self._spool.limit_bytes // 2:
            self._outage.is_over()
            self._outage = None

    def moved(self, acknowledged: Mark) -> None:
        """Kafka has everything up to there."""
        self._tell_room()
        while self._waiting and self._waiting[0][0] <= acknowledged:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
        while self._groups and self._groups[0][1] <= acknowledged:
            self._groups.popleft()

    async def durable(self, mark: Mark) -> None:
        """See `Ear.durable`."""
        if mark <= self._spool.acknowledged:
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (mark, next(self._number), future))
        await future

    @property
    def full(self) -> bool:
        """See `Ear.full`."""
        return self._spool.full or self._clock() < self._no_room_until

    @property
    def last(self) -> Mark:
        """See `Ear.last`."""
        return self._spool.written

    @property
    def longest(self) -> int:
        """See `Ear.longest`."""
        return self._carrier.longest_line

    @property
    def delay(self) -> float:
        """See `Ear.delay`."""
        return self._clock() - self._groups[0][0] if self._groups else 0.0


class _Named(msgspec.Struct):
    id: str = ""


def fitting(ear: Ear, lines: Sequence[bytes]) -> Sequence[bytes]:
    """The lines that fit into a record; the ear refuses the others."""
    longest = ear.longest
    if not (too_long := [line for line in lines if len(line) > longest]):
        return lines
    for line in too_long:
        ear.refuse(f"{_called(line)} has {len(line):,} bytes, more than the topic takes, and is not taken")
    return [line for line in lines if len(line) <= longest]


def _called(line: bytes) -> str:
    try:
        name = msgspec.json.decode(line, type=_Named).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        name = ""
    return f"the message {name[:NAME_LENGTH]!r}" if name else "a line"


class SpoolEar(Ear):
    """The ear of one listener."""

    def __init__(self, name: str, desk: Desk) -> None:
        self._name = name
        self._desk = desk

    async def take_lines(self, lines: Sequence[bytes]) -> Mark:
        """See `Ear`. A line that is too long for the topic is refused: there is no other copy to refer to."""
        fit = fitting(self, lines)
        return await self._desk.take(self._name, fit) if fit else self.last

    async def durable(self, mark: Mark) -> None:
        """See `Ear`."""
        await self._desk.durable(mark)

    def refuse(self, what: str, lines: int = 1) -> None:
        """See `Ear`."""
        log.warning("%s: %s", self._name, what)
        self._desk.refused[self._name] += lines

    @property
    def last(self) -> Mark:
        """See `Ear`."""
        return self._desk.last

    @property
    def full(self) -> bool:
        """See `Ear`."""
        return self._desk.full

    @property
    def delay(self) -> float:
        """See `Ear`."""
        return self._desk.delay

    @property
    def longest(self) -> int:
        """See `Ear`."""
        return self._desk.longest


class Tally(Protocol):
    """Where what was heard is counted, by listener."""

    heard: Counter[str]
    refused: Counter[str]


class PrintingEar(Ear):
    """`--dry-run`: what would be sent is given to `show`, and counted."""

    def __init__(self, name: str, account: Tally, show: Callable[[bytes], None], longest: int) -> None:
        self._name = name
        self._account = account
        self._show = show
        self._longest = longest

    async def take_lines(self, lines: Sequence[bytes]) -> Mark:
        """Show them."""
        fit = fitting(self, lines)
        for line in fit:
            self._show(line)
        self._account.heard[self._name] += len(fit)
        await asyncio.sleep(0)  # a source that never waits would let no signal through
        return 0

    async def durable(self, mark: Mark) -> None:
        """At once: nothing is sent."""

    def refuse(self, what: str, lines: int = 1) -> None:
        """See `Ear`."""
        log.warning("%s: %s", self._name, what)
        self._account.refused[self._name] += lines

    @property
    def last(self) -> Mark:
        """See `Ear`."""
        return 0

    @property
    def full(self) -> bool:
        """See `Ear`."""
        return False

    @property
    def delay(self) -> float:
        """See `Ear`."""
        return 0.0

    @property
    def longest(self) -> int:
        """See `Ear`."""
        return self._longest
