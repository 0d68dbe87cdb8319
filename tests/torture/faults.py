"""Each fault of a schedule carried out, and undone."""

import re
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from pymysql.constants import ER
from sqlalchemy.exc import OperationalError

from tests.services.cluster import NODES
from tests.services.process import ServerError
from tests.services.proxy import Proxy
from tests.torture.fleet import Service, send
from tests.torture.schedule import PARTITIONS, Event, Fault
from tests.torture.site import Site
from tests.torture.writer import Writer

Undo = Callable[[], None]

GOT_PARTITIONS = re.compile(r"partitions \[\d.* came, now ")
"""In what a worker says with -v when the group gives it some: only then is it more than a guest."""


class Faults:
    """Does to a round's commands and servers what its schedule says. `did` holds the events that found their target: a
    process that was there, a connection that was open, a group that gave the newcomer a partition."""

    def __init__(
        self, site: Site, topic: str, writer: Writer, producers: Sequence[Service], consumers: tuple[Service, Service]
    ) -> None:
        self._site = site
        self._topic = topic
        self._writer = writer
        self._producers = producers
        self._consumer, self._other = consumers
        self.joined = False
        """Whether the other consumer is to run."""
        self.did: list[Event] = []

    def strike(self, event: Event) -> Undo:
        """Carry it out; returns what undoes it."""
        hit, undo = self._strikes()[event.fault](event)
        if hit:
            self.did.append(event)
        return undo

    def _strikes(self) -> dict[Fault, Callable[[Event], tuple[bool, Undo]]]:
        producers, consumer = self._producers, self._consumer
        site = self._site
        return {
            Fault.PRODUCER_KILLED: lambda _: (_signal(producers, signal.SIGKILL), _nothing),
            Fault.PRODUCER_ENDED: lambda _: (_signal(producers, signal.SIGTERM), _nothing),
            Fault.PRODUCER_FROZEN: lambda _: _freeze([pid for producer in producers for pid in _pids(producer)]),
            Fault.LOG_ROTATED: lambda _: (self._rotate(), _nothing),
            Fault.WORKER_KILLED: lambda event: (_kill(_picked(consumer.workers(), event)), _nothing),
            Fault.WORKER_FROZEN: lambda event: _freeze(_picked(consumer.workers(), event)),
            Fault.FORK_SERVER_KILLED: lambda _: (_kill(consumer.fork_servers()), _nothing),
            Fault.SUPERVISOR_KILLED: lambda _: (consumer.signal(signal.SIGKILL), _nothing),
            Fault.SUPERVISOR_ENDED: lambda _: (consumer.signal(signal.SIGTERM), _nothing),
            Fault.SUPERVISOR_FROZEN: lambda _: _freeze(_pids(consumer)),
            Fault.CONSUMER_JOINS: self._join,
            Fault.DATABASE_KILLED: lambda _: self._kill_database(),
            Fault.DATABASE_FROZEN: lambda _: self._freeze_database(),
            Fault.DATABASE_CUT: lambda _: _part([site.database_way], Proxy.cut),
            Fault.DATABASE_UNHEARD: lambda _: _part([site.database_way], Proxy.black_hole),
            Fault.SESSIONS_KILLED: lambda _: (self._kill_sessions(), _nothing),
            Fault.LEADER_KILLED: lambda event: self._lose_leader(event, orderly=False),
            Fault.LEADER_ENDED: lambda event: self._lose_leader(event, orderly=True),
            Fault.BROKER_FROZEN: self._freeze_broker,
            Fault.BROKERS_CUT: lambda _: _part(site.brokers_ways, Proxy.cut),
            Fault.BROKERS_UNHEARD: lambda _: _part(site.brokers_ways, Proxy.black_hole),
        }

    def _rotate(self) -> bool:
        """It counts where somebody reads the log; who comes later finds it rotated, and is tested elsewhere."""
        self._writer.rotate()
        return any(_pids(producer) for producer in self._producers)

    def _join(self, event: Event) -> tuple[bool, Undo]:
        def leave() -> None:
            self.joined = False
            self._other.signal(signal.SIGTERM)
            if any(GOT_PARTITIONS.search(run.err) for run in self._other.runs):
                self.did.append(event)

        self.joined = True
        return False, leave  # whether it gets in is seen when it leaves

    def _kill_database(self) -> tuple[bool, Undo]:
        maria = self._site.maria
        if maria.ended():
            return False, _nothing
        maria.kill()
        return True, lambda: maria.start() if maria.ended() else None

    def _freeze_database(self) -> tuple[bool, Undo]:
        maria = self._site.maria
        if maria.ended():
            return False, _nothing
        maria.pause()
        return True, lambda: _resume(maria.resume)

    def _kill_sessions(self) -> bool:
        maria = self._site.maria
        if maria.ended() or maria.paused():  # a frozen one would hold up this thread, which alone can thaw it
            return False
        busy = maria.execute(
            "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'root'"
        )
        return sum(self._kill_session(number) for (number,) in busy) > 0

    def _kill_session(self, number: int) -> bool:
        try:
            self._site.maria.execute(f"KILL {number}")
        except OperationalError as error:
            if error.orig is None or error.orig.args[0] != ER.NO_SUCH_THREAD:
                raise
            return False  # it ended by itself meanwhile
        return True

    def _lose_leader(self, event: Event, *, orderly: bool) -> tuple[bool, Undo]:
        node = self._site.cluster.leader(self._topic, int(event.pick * PARTITIONS))
        if node is None:
            return False, _nothing
        kafka = self._site.cluster.nodes[node]
        kafka.stop() if orderly else kafka.kill()
        return True, lambda: kafka.start() if kafka.ended() else None

    def _freeze_broker(self, event: Event) -> tuple[bool, Undo]:
        kafka = self._site.cluster.nodes[NODES[int(event.pick * len(NODES))]]
        if kafka.ended():
            return False, _nothing
        kafka.pause()
        return True, lambda: _resume(kafka.resume)


def _nothing() -> None:
    """There is nothing to undo."""


def _part(ways: Sequence[Proxy], how: Callable[[Proxy], None]) -> tuple[bool, Undo]:
    hit = any(way.links for way in ways)

    def heal() -> None:
        for way in ways:
            way.heal()

    for way in ways:
        how(way)
    return hit, heal


def _signal(services: Sequence[Service], number: signal.Signals) -> bool:
    return sum(service.signal(number) for service in services) > 0


def _resume(resume: Callable[[], None]) -> None:
    with suppress(ServerError):  # it was killed meanwhile
        resume()


def _pids(service: Service) -> list[int]:
    return [] if service.ended else [service.now.pid]


def _picked(pids: Sequence[int], event: Event) -> list[int]:
    return [pids[int(event.pick * len(pids))]] if pids else []


def _kill(pids: Sequence[int]) -> bool:
    return sum(send(pid, signal.SIGKILL) for pid in pids) > 0


def _freeze(pids: Sequence[int]) -> tuple[bool, Undo]:
    hit = sum(send(pid, signal.SIGSTOP) for pid in pids) > 0
    return hit, lambda: _thaw(pids)


def _thaw(pids: Sequence[int]) -> None:
    for pid in pids:
        send(pid, signal.SIGCONT)
