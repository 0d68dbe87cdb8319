"""What happens in a round, and when: out of a seed, the same each time. Pure: nothing is started here."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

FLOW_SECONDS = 8.0
"""How long the lines of a round flow, where nothing disturbs them: the faults fall into this time."""

PARTITIONS = 4
"""Of a round's topic."""

RATES = (2_000, 4_000, 8_000)
BAD, REPEATS = 0.005, 0.02

SESSION_SECONDS = 6.0
"""The session timeout of a round's group: the brokers' own (`tests.services.kafka`), and the same by the classic
protocol, whose members bring theirs with them."""

_CLASSIC = ("-X", "group.protocol=classic", "-X", f"session.timeout.ms={SESSION_SECONDS * 1000:.0f}")

CONSUMERS: Sequence[tuple[str, ...]] = (
    (),
    ("--batch-rows", "500"),
    ("--batch-bytes", "30000"),
    ("--batch-seconds", "0.01", "--batch-rows", "50"),
    ("--workers", "1"),
    ("--workers", "4"),
    _CLASSIC,
    (*_CLASSIC, "--batch-rows", "500"),
)
"""Options of `consume`; each round has one of these."""


class Fault(StrEnum):
    """What is done, and to whom. Those with a length are undone after it."""

    PRODUCER_KILLED = "producer killed"
    PRODUCER_ENDED = "producer ended by SIGTERM"
    PRODUCER_FROZEN = "producer frozen"
    LOG_ROTATED = "followed log rotated"
    WORKER_KILLED = "worker killed"
    WORKER_FROZEN = "worker frozen"
    FORK_SERVER_KILLED = "fork server killed"
    SUPERVISOR_KILLED = "supervisor killed"
    SUPERVISOR_ENDED = "supervisor ended by SIGTERM"
    SUPERVISOR_FROZEN = "supervisor frozen"
    CONSUMER_JOINS = "another consumer joins, and leaves"
    DATABASE_KILLED = "database killed"
    DATABASE_FROZEN = "database frozen"
    DATABASE_CUT = "connections to the database cut"
    DATABASE_UNHEARD = "nothing comes from the database"
    SESSIONS_KILLED = "sessions of the database killed"
    LEADER_KILLED = "leader killed"
    LEADER_ENDED = "leader ended by SIGTERM"
    BROKER_FROZEN = "broker frozen"
    BROKERS_CUT = "connections to all brokers cut"
    BROKERS_UNHEARD = "nothing comes from any broker"


BROKER_FAULTS = frozenset({Fault.LEADER_KILLED, Fault.LEADER_ENDED, Fault.BROKER_FROZEN})
"""One at a time, and a round has one at most: a topic with three copies bears the loss of one."""

AT_ONCE = frozenset(
    {
        Fault.PRODUCER_KILLED,
        Fault.PRODUCER_ENDED,
        Fault.LOG_ROTATED,
        Fault.WORKER_KILLED,
        Fault.FORK_SERVER_KILLED,
        Fault.SUPERVISOR_KILLED,
        Fault.SUPERVISOR_ENDED,
        Fault.SESSIONS_KILLED,
    }
)
"""Those that have no length."""

LONGEST = {
    Fault.WORKER_FROZEN: 9.0,
    Fault.SUPERVISOR_FROZEN: 9.0,
    Fault.PRODUCER_FROZEN: 9.0,
    Fault.CONSUMER_JOINS: 9.0,
}
"""Seconds, where it is not the usual 4: longer than the session, so that some wake up as members no more; and long
enough for a newcomer to get a partition."""


@dataclass(frozen=True)
class Event:
    """One fault: `at` seconds after the lines began to flow, `seconds` long."""

    at: float
    fault: Fault
    seconds: float
    pick: float
    """Which of several, as a share of them."""

    def __str__(self) -> str:
        length = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:.1f} s {self.fault}{length}"


@dataclass(frozen=True)
class Round:
    """All that is decided before a round begins."""

    number: int
    lines: int
    rate: int
    options: tuple[str, ...]
    events: tuple[Event, ...]


def plan(seed: str, number: int) -> Round:
    """The round of this number."""
    rng = random.Random(f"chatferry {seed} {number}")
    rate = rng.choice(RATES)
    faults = rng.sample(list(Fault), rng.randint(2, 5))
    first_of_brokers = next((fault for fault in faults if fault in BROKER_FAULTS), None)
    events = [_event(rng, fault) for fault in faults if fault not in BROKER_FAULTS or fault is first_of_brokers]
    return Round(
        number,
        round(rate * FLOW_SECONDS),
        rate,
        rng.choice(CONSUMERS),
        tuple(sorted(events, key=lambda event: event.at)),
    )


def _event(rng: random.Random, fault: Fault) -> Event:
    at = round(rng.uniform(0.5, FLOW_SECONDS - 1.0), 1)
    seconds = 0.0 if fault in AT_ONCE else round(rng.uniform(0.5, LONGEST.get(fault, 4.0)), 1)
    return Event(at, fault, seconds, round(rng.random(), 3))
