"""All sources of one run, one after the other for a replay, or together as they grow."""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Self

from producer.descriptors import make_room, most_open
from producer.first_look import FirstLook
from producer.following import Following, Orphan
from producer.history import History
from producer.hold import CheckpointPlace, Hold
from producer.logbook import Logbook
from producer.merging import Conductor
from producer.publisher import Publisher
from producer.shipment import Manner
from producer.sources.names import Names, each_file_once
from producer.sources.streams import STANDARD_INPUT, Identity, printable_path
from producer.topic import TopicFacts
from schemas.errors import ClientEnded, Stop, UsageProblem

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 0.05
"""How often a followed file is looked at when it did not grow: part of a line's way to its row, which should take a
quarter of a second at most."""

ROOM_SECONDS = 0.01
"""How often it is looked whether one of too many small files is acknowledged, and can be closed."""


class Dispatch:
    """Says which source is sent when, and sees the work to its end."""

    def __init__(
        self, publisher: Publisher, facts: TopicFacts, manner: Manner, checkpoints: CheckpointPlace | None
    ) -> None:
        """`checkpoints` is None where nothing should be resumed: then every source is read from its start."""
        self._publisher = publisher
        self._facts = facts
        self._manner = manner
        self.hold = Hold(publisher, facts, manner, checkpoints)
        self._most = most_open()
        self._following: Following | None = None
        self.orphans: list[Orphan] = []
        """Followed files that are not to be found any more, and wait for whoever goes on."""

    def run(self, paths: Iterable[str], progress: Callable[[], None], *, follow: bool, grace_seconds: float) -> int:
        """Send the sources and wait for the acknowledgements; returns how many records stayed without one.

        What was read before a source came to a bad end is delivered, too. Raises `Stop` as the sources and the
        publisher do.
        """
        try:
            (self.follow if follow else self.replay)(paths, progress)
        except ClientEnded:
            self.give_up()
            raise
        except Stop:
            self._finish(grace_seconds)
            raise
        except BaseException:  # a bug: the broker, which may be away, is not waited for
            self.hold.close()
            raise
        return self._finish(grace_seconds)

    # -- a replay --

    def replay(self, paths: Iterable[str], progress: Callable[[], None]) -> None:
        """Send every source to its end: by the timestamps merged by time, otherwise in the order given. A loop does so
        again and again."""
        given = dict.fromkeys(paths)
        names = each_file_once(given)
        once_more = given.keys() - names
        for path in [path for path in given if path in once_more]:
            log.info("%s is a file that is named before: sent once", printable_path(path))
        once = self._merged if self._manner.pace.by_moment else self._in_turn
        if self._manner.loop is None:
            once(names, progress)
            return
        while not self._manner.stopping() and self._manner.loop.next_round():
            before = self.hold.totals
            self._manner.pace.begin()
            once(names, progress)
            self._publisher.flush(give_up=self._manner.stopping)
            self.hold.settle_round()
            if not self.hold.totals.sent - before.sent and not self._manner.stopping():
                log.warning("A round without a line to send: there will be no other")
                return

    def _in_turn(self, paths: Collection[str], progress: Callable[[], None]) -> None:
        for path in paths:
            shipment = self.hold.open(path)
            while not self._manner.stopping() and shipment.step():
                progress()
            self.hold.close_settled()
            while self.hold.open_files > self._most and not self._manner.stopping():
                self._publisher.serve(ROOM_SECONDS)
                progress()
                self.hold.close_settled()
            if self._manner.stopping():
                return

    def _merged(self, paths: Collection[str], progress: Callable[[], None]) -> None:
        def attend() -> None:
            self.hold.attend()
            progress()

        make_room(len(paths))
        shipments = [self.hold.open(path) for path in paths]
        Conductor(shipments, self._publisher, self._manner, attend).run()

    # -- files as they grow --

    def follow(self, paths: Iterable[str], progress: Callable[[], None]) -> None:
        """Send the sources as they grow, until told to stop.

        Raises `UsageProblem` for standard input beside others: it would hold them up.
        """
        names = list(dict.fromkeys(paths))
        if STANDARD_INPUT in names:
            if len(names) > 1:
                raise UsageProblem("With --follow, standard input cannot be read beside files", "Run two producers")
            self.replay(names, progress)
            return
        first_look = self._manner.first_look or FirstLook(Names(names))
        checkpoints = self.hold.checkpoints
        restart = checkpoints is not None and checkpoints.restart
        rotated = first_look.claim(self.hold.open_checkpoint, restart=restart) if checkpoints else []
        self._following = Following(
            first_look.names, self.hold, self._history, afresh=lambda path: restart and path not in rotated
        )
        self._following.inherit(self.orphans)
        self.orphans.clear()
        while not self._manner.stopping():
            if not self._following.turn():
                self._publisher.serve(FOLLOW_SECONDS)
            progress()

    def _history(self, taken: Collection[Identity]) -> History | None:
        if self.hold.checkpoints is None:
            return None
        logbook = Logbook(self.hold.checkpoints.folder, self._facts.name, self.hold.target)
        return History(logbook, self.hold.open_checkpoint, taken)

    # -- the end --

    def _finish(self, grace_seconds: float) -> int:
        """Wait for the acknowledgements, write the checkpoints; returns how many records stayed without one.

        Waits for ever where nobody interrupted, and `grace_seconds` after an interruption.
        """
        deadline: float | None = None

        def time_is_up() -> bool:
            nonlocal deadline
            if not self._manner.stopping():
                return False
            deadline = deadline or time.monotonic() + grace_seconds
            return time.monotonic() > deadline

        try:
            left = self._publisher.flush(give_up=time_is_up)
            if left:
                self._publisher.abandon()
        finally:
            self.hold.close()
        return left

    def give_up(self) -> None:
        """The client ended: close everything, and keep what only this process can still read for the successor."""
        if self._following:
            self.orphans = self._following.orphans()
        self.hold.close()

    def successor(self, publisher: Publisher, facts: TopicFacts) -> Self:
        """Another that goes on from the checkpoints of this one, which gave up."""
        successor = type(self)(publisher, facts, self._manner, self.hold.checkpoints)
        successor.hold = self.hold.successor(publisher, facts)
        successor.orphans, self.orphans = self.orphans, []
        return successor
