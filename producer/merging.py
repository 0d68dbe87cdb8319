"""Several files as one, by time: a merge that holds a few lines of each, however long they are."""

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from producer.ledger import Joint
from producer.moments import moment_of
from producer.publisher import Publisher
from producer.schedule import NO_MOMENT
from producer.shipment import Load, Manner, Shipment

ATTEND_LINES = 100


class Cue(NamedTuple):
    """A line and when it comes. They are compared by moment and place, which no two that wait have in common."""

    moment: float
    """The latest of its file so far, in Unix seconds: a line without a moment, and one whose moment goes back, goes
    with the line before it. Minus infinity before the first."""
    place: int
    """The file's, in the order given: of equal moments the first file's goes first."""
    line: bytes
    shipment: Shipment
    load: Load


def cues(shipment: Shipment, place: int, stopping: Callable[[], bool], attend: Callable[[], None]) -> Iterator[Cue]:
    """The wanted lines of one file, in its order, each a load of its own. None is read once the work should stop.

    `attend` is called now and then while none is wanted: many may go by.
    """
    moment, passed = NO_MOMENT, 0
    while not stopping() and (load := shipment.take()) is not None:
        if not load.lines:
            shipment.complete(load)
            passed += 1
            if passed % ATTEND_LINES == 0:
                attend()
            continue
        (line,) = load.lines
        stamped = moment_of(line)
        moment = moment if stamped is None else max(moment, stamped)
        yield Cue(moment, place, line, shipment, load)


class Conductor:
    """Sends files merged by time, each line when it is due, and each accounted for in its own file's ledger."""

    def __init__(
        self, shipments: Sequence[Shipment], publisher: Publisher, manner: Manner, attend: Callable[[], None]
    ) -> None:
        """`attend` does what must not wait for the next line. Each file is read by line."""
        self._publisher = publisher
        self._manner = manner
        self._attend = attend
        files = (cues(shipment, place, manner.stopping, attend) for place, shipment in enumerate(shipments))
        self._merged = heapq.merge(*files)

    def run(self) -> None:
        """Until all is sent, or the work should stop: then what is not due stays, and is the next run's."""
        for group in self._manner.pace.timed(self._wanted(), _moment, _size):
            self._hand_over(group)
            self._attend()

    def _wanted(self) -> Iterator[Cue]:
        return itertools.takewhile(lambda _: not self._manner.stopping(), self._merged)

    def _hand_over(self, group: list[Cue]) -> None:
        """All at once and in their order, whatever files they are of."""
        joint = Joint(cue.load.pending for cue in group)
        self._publisher.publish([cue.line for cue in group], joint)
        joint.acknowledged()
        for cue in group:
            cue.shipment.complete(cue.load)


def _moment(cue: Cue) -> float:
    return cue.moment


def _size(cue: Cue) -> int:
    return len(cue.line)
