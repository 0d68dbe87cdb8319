"""All listeners of one command, the spool they share, and its carrier: from the start to a safe end."""

import asyncio
import hashlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from producer.delivery import Address
from producer.live.carrier import Carrier
from producer.live.ear import Desk, PrintingEar, SpoolEar
from producer.live.listener import Ear, Listener, keep_listening
from producer.live.making import make_listener
from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.spool import Mark, Spool
from producer.live.urls import Place
from producer.private import private_folder
from schemas.errors import ChatferryError, ServiceDown
from schemas.topics import KAFKA_DEFAULT_MAX_MESSAGE_BYTES, RECORD_OVERHEAD
from terminal.signals import GRACE_SECONDS, Interruption

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1
GOODBYE_SECONDS = 5.0
"""How long listeners may take to leave."""


@dataclass
class Account:
    """What became of what was heard. Counts are lines, `spooled_bytes` and `spooled` what Kafka has not yet."""

    heard: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    spooled: int = 0
    spooled_bytes: int = 0


Show = Callable[[Account, float], None]
"""Called ten times a second: the account so far (without `spooled`), and how many seconds Kafka is behind."""


@dataclass(frozen=True)
class Order:
    """What to listen to, and how."""

    places: Sequence[Place]
    secrets: Secrets
    interruption: Interruption
    show: Show


def listen_onto(order: Order, address: Address, state: Path, limit_bytes: int) -> Account:
    """Listen until a signal, or until there is nothing more to hear; then deliver what was heard.

    After a signal that may take the grace period; what is left stays on the spool, for the next start. Raises `Stop`
    where no broker answers, the state folder cannot be used, or a listener cannot begin.
    """
    opened = address.open(live=True)
    folder = _folder(state, address.topic, opened[1].identity)
    with Spool(folder, limit_bytes) as spool:
        memories = [Memory(folder / f"{_digest(place.url)}.json") for place in order.places]
        listeners = [make_listener(*pair) for pair in _given(order, memories)]
        if spool.waiting_bytes:
            log.info("%s bytes of an earlier run are on the spool: they are sent first", f"{spool.waiting_bytes:,}")

        def settle(acknowledged: Mark) -> None:
            for memory in memories:
                memory.settle(acknowledged)

        async def work() -> Account:
            loop = asyncio.get_running_loop()

            def moved(mark: Mark) -> None:
                loop.call_soon_threadsafe(desk.moved, mark)

            carrier = Carrier(spool, address, opened, moved=moved, settle=settle)
            desk = Desk(spool, carrier)
            return await _Station(order, listeners, spool, carrier, desk).work()

        return asyncio.run(work())


def listen_and_print(order: Order, print_line: Callable[[bytes], None]) -> Account:
    """The dry run: no broker, no spool, no memory; what would be sent is printed."""
    memories = [Memory(None) for _ in order.places]
    listeners = [make_listener(*pair) for pair in _given(order, memories)]
    account = Account()
    longest = KAFKA_DEFAULT_MAX_MESSAGE_BYTES - RECORD_OVERHEAD
    ears = [PrintingEar(place.url, account, print_line, longest) for place in order.places]

    async def work() -> None:
        watch = asyncio.create_task(_ticks(order, lambda: order.show(account, 0.0)))
        await _listened(listeners, ears, {watch})

    asyncio.run(work())
    return account


def _given(order: Order, memories: Sequence[Memory]) -> list[tuple[Place, Secrets, Memory]]:
    return [(place, order.secrets, memory) for place, memory in zip(order.places, memories, strict=True)]


def _folder(state: Path, topic: str, identity: str) -> Path:
    """Where spool and memories for this topic are: another cluster's topic of the same name has its own."""
    cluster, _, _ = identity.partition("/")
    return private_folder(state, "listen", topic, _digest(cluster))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Station:
    def __init__(self, order: Order, listeners: Sequence[Listener], spool: Spool, carrier: Carrier, desk: Desk) -> None:
        self._order = order
        self._listeners = listeners
        self._spool = spool
        self._carrier = carrier
        self._desk = desk

    async def work(self) -> Account:
        ears = [SpoolEar(place.url, self._desk) for place in self._order.places]
        carried = asyncio.wrap_future(self._carrier.done)
        watch = asyncio.create_task(_ticks(self._order, self._show))
        self._carrier.start()
        try:
            await _listened(self._listeners, ears, {watch, carried})
        finally:
            await self._deliver_the_rest(carried)
            watch.cancel()
        return self._account(self._spool.left())

    async def _deliver_the_rest(self, carried: asyncio.Future[None]) -> None:
        """For ever where nobody interrupted, and for the grace period after an interruption."""
        over = math.inf
        self._carrier.finish(over)
        while not carried.done() and time.monotonic() < over + GOODBYE_SECONDS:
            if self._order.interruption and over == math.inf:
                over = time.monotonic() + GRACE_SECONDS
                self._carrier.finish(over)
            await asyncio.wait({carried}, timeout=TICK_SECONDS)
            self._show()
        if carried.done():  # else it asks Kafka something, and ends with the process
            carried.result()

    def _account(self, spooled: int = 0) -> Account:
        return Account(
            self._desk.heard,
            self._desk.refused,
            self._carrier.acknowledged_lines,
            spooled,
            self._spool.waiting_bytes,
        )

    def _show(self) -> None:
        self._order.show(self._account(), self._desk.delay)


async def _ticks(order: Order, show: Callable[[], None]) -> None:
    """Show how far it is, until somebody interrupts."""
    while not order.interruption:
        show()
        await asyncio.sleep(TICK_SECONDS)


async def _listened(listeners: Sequence[Listener], ears: Sequence[Ear], until: set[asyncio.Future[None]]) -> None:
    """Listen until all have heard everything, one of `until` is over, or something cannot go on, which is raised.

    So is what goes wrong in leaving, where nothing did before.
    """
    pairs = zip(listeners, ears, strict=True)
    tasks = {asyncio.create_task(keep_listening(*pair), name=pair[0].name) for pair in pairs}
    try:
        await _all_heard(set(tasks), until)
    except BaseException as problem:
        for name, other in await _leave(tasks):
            if other is not problem:
                log.warning("%s: %s", name, other, exc_info=None if isinstance(other, ChatferryError) else other)
        raise
    for _, other in await _leave(tasks):
        raise other


async def _all_heard(running: set[asyncio.Task[None]], until: set[asyncio.Future[None]]) -> None:
    while running:
        done, _ = await asyncio.wait(running | until, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()
        if done & until:
            return
        running -= done


async def _leave(tasks: set[asyncio.Task[None]]) -> list[tuple[str, BaseException]]:
    """End them; what any of them failed by, but for a system that was away, and by whose name."""
    left = set(tasks)
    for _ in range(2):  # a goodbye that takes too long is broken off
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=GOODBYE_SECONDS)
    for task in left:
        log.warning("%s: did not leave within %.0f s, and is left behind", task.get_name(), 2 * GOODBYE_SECONDS)
    problems = [(task.get_name(), task.exception()) for task in tasks - left if not task.cancelled()]
    return [(name, problem) for name, problem in problems if problem and not isinstance(problem, ServiceDown)]
