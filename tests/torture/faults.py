"""Each fault of a schedule carried out, and undone."""

import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from tests.services.process import ServerError
from tests.torture.fleet import Service, send
from tests.torture.schedule import Event, Fault
from tests.torture.site import Site
from tests.torture.writer import Writer

Undo = Callable[[], None]


class Faults:
    """Does to a round's commands and servers what its schedule says. `did` holds the events that found their target."""

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
            Fault.LOG_ROTATED: lambda _: (_done(self._writer.rotate), _nothing),
            Fault.WORKER_KILLED: lambda event: (_kill(_picked(consumer.workers(), event)), _nothing),
            Fault.WORKER_FROZEN: lambda event: _freeze(_picked(consumer.workers(), event)),
            Fault.FORK_SERVER_KILLED: lambda _: (_kill(consumer.fork_servers()), _nothing),
            Fault.SUPERVISOR_KILLED: lambda _: (consumer.signal(signal.SIGKILL), _nothing),
            Fault.SUPERVISOR_ENDED: lambda _: (consumer.signal(signal.SIGTERM), _nothing),
            Fault.SUPERVISOR_FROZEN: lambda _: _freeze(_pids(consumer)),
            Fault.CONSUMER_JOINS: lambda _: self._join(),
            Fault.DATABASE_KILLED: lambda _: self._kill_database(),
            Fault.DATABASE_FROZEN: lambda _: self._freeze_database(),
            Fault.DATABASE_CUT: lambda _: (_done(site.database_way.cut), site.database_way.heal),
            Fault.DATABASE_UNHEARD: lambda _: (_done(site.database_way.black_hole), site.database_way.heal),
            Fault.SESSIONS_KILLED: lambda _: (self._kill_sessions(), _nothing),
            Fault.LEADER_KILLED: lambda event: self._lose_leader(event, orderly=False),
            Fault.LEADER_ENDED: lambda event: self._lose_leader(event, orderly=True),
            Fault.BROKER_FROZEN: self._freeze_broker,
            Fault.BROKERS_CUT: lambda _: self._part("cut"),
            Fault.BROKERS_UNHEARD: lambda _: self._part("black_hole"),
        }

    def _join(self) -> tuple[bool, Undo]:
        def leave() -> None:
            self.joined = False
            self._other.signal(signal.SIGTERM)

        self.joined = True
        return True, leave

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
        if maria.ended():
            return False
        busy = maria.execute(
            "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'root'"
        )
        for (number,) in busy:
            with suppress(Exception):
                maria.execute(f"KILL {number}")
        return bool(busy)

    def _lose_leader(self, event: Event, *, orderly: bool) -> tuple[bool, Undo]:
        node = self._site.cluster.leader(self._topic, int(event.pick * 4))
        if node < 0:
            return False, _nothing
        kafka = self._site.cluster.nodes[node]
        kafka.stop() if orderly else kafka.kill()
        return True, lambda: kafka.start() if kafka.ended() else None

    def _freeze_broker(self, event: Event) -> tuple[bool, Undo]:
        kafka = self._site.cluster.nodes[1 + int(event.pick * 3)]
        if kafka.ended():
            return False, _nothing
        kafka.pause()
        return True, lambda: _resume(kafka.resume)

    def _part(self, how: str) -> tuple[bool, Undo]:
        def heal() -> None:
            for way in self._site.brokers_ways:
                way.heal()

        for way in self._site.brokers_ways:
            getattr(way, how)()
        return True, heal


def _nothing() -> None:
    """There is nothing to undo."""


def _done(act: Callable[[], None]) -> bool:
    act()
    return True


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
