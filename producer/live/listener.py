"""What listens, what it speaks into, and how it is kept at it."""

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from producer.live.heard import Heard
from producer.live.spool import Mark
from schemas.errors import ChatferryError, ConnectionLost, InputBroken, Stop
from terminal.outage import Outage

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LASTING_SECONDS = 60.0
"""A session that lasted so long was a good one: the next pause is short again."""


class Ear(ABC):
    """What a listener speaks into; each listener has its own.

    What was taken is on the spool, and outlives a kill of this process. It is on the topic when `durable` says so.
    """

    when_listening: Callable[[], None] = staticmethod(lambda: None)
    """Called by `listening`: for whoever keeps the listener at it."""
    untaken: Sequence[bytes] = ()
    """What `put` could not put on the spool."""

    async def take(self, heard: Heard) -> Mark:
        """Put it on the spool; waits while that is full. The mark is for `durable` and for `Memory.remember`."""
        return await self.take_lines([heard.line()])

    @abstractmethod
    async def take_lines(self, lines: Sequence[bytes]) -> Mark:
        """All of them in one write: all are on the spool, or, after a kill in mid-write, only the first ones."""

    async def put(self, lines: Sequence[bytes] = ()) -> Mark:
        """For what cannot be heard again: as `take_lines`, but what is not taken, for the disk fails, is kept.

        Whoever calls it next puts that first. What nobody calls it for any more is refused in the end.
        """
        self.untaken = [*self.untaken, *lines]
        mark = await self.take_lines(self.untaken) if self.untaken else self.last
        self.untaken = ()
        return mark

    @abstractmethod
    async def durable(self, mark: Mark) -> None:
        """Returns when Kafka has acknowledged everything up to `mark`."""

    def listening(self, name: str) -> None:
        """Say in the log that `name` is listened to: the channel was joined, the port is open."""
        log.info("%s: listening", name)
        self.when_listening()

    @abstractmethod
    def refuse(self, what: str, lines: int = 1) -> None:
        """Something was heard that cannot be taken, and is lost: it is told, counted, and makes the exit status 1."""

    @property
    @abstractmethod
    def last(self) -> Mark:
        """The mark of all that was taken so far, by any listener: for a memory of what brought no line."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether the spool is at its limit, or its disk has no room, so that `take` would wait."""

    @property
    @abstractmethod
    def delay(self) -> float:
        """For how many seconds the oldest line that Kafka has not acknowledged has been waiting; 0 without one."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """The longest line in bytes that fits into a record of the topic."""


class Listener(Protocol):
    """One live system that is listened to."""

    @property
    def name(self) -> str:
        """A printable URL, without a secret."""
        ...

    async def session(self, ear: Ear) -> None:
        """One connection, from dialing to its end; calls `ear.listening` once it has joined.

        Returns where there will never be more to hear. Raises `ConnectionLost` where trying again may help (the server
        is away, or closed the connection), `InputBroken` where it is no use, `Stop` where a person must act (a wrong
        password, no such room). Cancelled, it says goodbye and leaves.
        """
        ...


@dataclass(frozen=True)
class Patience:
    """How long to wait before try number `n`, from 0 on: any time up to 1 s, 2 s, 4 s ... 60 s.

    The whole time is random ("full jitter"), so that many listeners do not come back to a server all at once.
    """

    first: float = FIRST_PAUSE_SECONDS
    longest: float = LONGEST_PAUSE_SECONDS
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def pause(self, tries: int) -> float:
        """Seconds to wait after so many tries in a row that failed."""
        return self.random() * min(self.longest, self.first * 2.0 ** min(tries, 30))


async def keep_listening(listener: Listener, ear: Ear, patience: Patience | None = None) -> None:
    """Listen for ever, session after session; returns where the listener says that there will never be more.

    An outage is told once, and with its length when it is over. Raises the `Stop` of a listener that never came to
    listen; a later one is told, and tried again: the person may mend it while others are listened to. Raises any
    `InputBroken`.
    """
    try:
        await _Keeper(listener, ear, patience or Patience()).keep()
    finally:
        if count := len(ear.untaken):
            ear.refuse(f"{count:,} lines that were heard could not be put on the spool, and are lost", count)


class _Keeper:
    def __init__(self, listener: Listener, ear: Ear, patience: Patience) -> None:
        self._listener = listener
        self._ear = ear
        self._patience = patience
        self._outage: Outage | None = None
        self._ever = False
        self._tries = 0
        self._since = 0.0
        ear.when_listening = self._listening

    def _listening(self) -> None:
        if self._outage:
            self._outage.is_over()
            self._outage = None
        self._ever = True
        self._since = self._patience.clock()

    async def keep(self) -> None:
        while True:
            self._since = float("inf")
            try:
                await self._listener.session(self._ear)
            except ConnectionLost as lost:
                await self._wait(lost)
            except InputBroken:
                raise
            except Stop as stop:
                if not self._ever:
                    raise
                await self._wait(stop)
            else:
                return

    async def _wait(self, problem: ChatferryError) -> None:
        if (task := asyncio.current_task()) and task.cancelling():
            raise problem  # in leaving: nobody comes back
        if self._patience.clock() - self._since >= LASTING_SECONDS:
            self._tries = 0
        self._outage = self._outage or Outage("it is tried again", name=self._listener.name, clock=self._patience.clock)
        self._outage.goes_on(problem)
        pause = self._patience.pause(self._tries)
        self._tries += 1
        await self._patience.sleep(pause)
