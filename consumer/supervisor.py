"""Starts the workers, watches them, tells them to end, starts another for one that was killed. Knows no Kafka and no
SQL."""

import logging
import multiprocessing
import multiprocessing.context
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from consumer.process import BEGIN_ANEW, PRELOAD, work
from schemas.errors import Stop
from schemas.reports import Alive, BatchDone, Committed, WorkerOrder, WorkerStopped
from terminal.signals import GRACE_SECONDS

log = logging.getLogger(__name__)

FORK_TRIES = 20

MALLOC_ARENAS = "2"
"""glibc's heaps in a worker: with one for each of its threads, long lines, which go from thread to thread, cost tens of
megabytes more."""

UNKNOWN_END = 255
"""The exit status that multiprocessing gives where the fork server, which would know it, is gone."""


def prepare_workers() -> multiprocessing.context.ForkServerContext:
    """Start the process that workers are forked from, and have it import what they need: half a second of work.

    It runs beside the start of a command that will want workers; they are there at once then. It has no thread and no
    client, so that forking it is sound, and it ends when this process does.
    """
    os.environ.setdefault("MALLOC_ARENA_MAX", MALLOC_ARENAS)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    forkserver.ensure_running()
    return context


TICK_SECONDS = 0.05
KILLED_TOO_OFTEN = 5
WITHIN_SECONDS = 60.0
"""So many workers killed within this time, and something kills them (memory, an operator): then starting more helps
nobody."""

FIRST_DELAY_SECONDS = 0.5
"""What the place of the second worker killed within that time waits for another, doubled with each more; the first is
replaced at once."""

SILENT_SECONDS = 120.0
"""A worker that has said nothing for so long is stuck: its loop turns every few seconds, whatever it waits for, and
says so; only a commit may take the client's socket.timeout.ms (60 s)."""


@dataclass
class _Member:
    order: WorkerOrder
    process: BaseProcess
    pipe: Connection
    heard: float
    ended: bool = False


@dataclass(frozen=True)
class _Vacancy:
    order: WorkerOrder
    until: float


class Supervisor:
    """Runs one process an order until `finished` says so, an interruption is heard, or a worker cannot go on."""

    def __init__(
        self,
        orders: Sequence[WorkerOrder],
        on_report: Callable[[BatchDone | Committed], None],
        renew: Callable[[WorkerOrder], WorkerOrder] = lambda order: order,
        work: Callable[[WorkerOrder, Connection], None] = work,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        """`renew` makes the order for a worker that takes a killed one's place; `work` is what each process runs.

        One that says nothing for `silent_seconds` is killed, and another takes its place.
        """
        self._orders = orders
        self._on_report = on_report
        self._renew = renew
        self._work = work
        self._context = prepare_workers()
        self._silent_seconds = silent_seconds
        self._looked = time.monotonic()
        self._members: list[_Member] = []
        self._vacancies: list[_Vacancy] = []
        self._deaths: deque[float] = deque(maxlen=KILLED_TOO_OFTEN)
        self._problem: Stop | None = None
        self._stopping_since: float | None = None

    @property
    def alive(self) -> int:
        """How many workers run."""
        return sum(not member.ended for member in self._members)

    def start(self) -> None:
        """Start every worker."""
        for order in self._orders:
            self._spawn(order)

    def run(self, finished: Callable[[], bool], interrupted: Callable[[], bool]) -> None:
        """Watch until every worker has ended.

        Raises `Stop` with a worker's own words where it could not go on.
        """
        try:
            while self.alive or self._vacancies:
                if self._stopping_since is None and (self._problem or interrupted() or finished()):
                    self._stop_all()
                self._watch()
                self._fill_vacancies()
                if self._stopping_since is not None and time.monotonic() - self._stopping_since > GRACE_SECONDS:
                    log.warning("Workers did not end in %d s: killed; what they held comes again", GRACE_SECONDS)
                    self.kill()
        finally:
            self.kill()
        if self._problem:
            raise self._problem

    def _spawn(self, order: WorkerOrder) -> None:
        for _ in range(FORK_TRIES):
            ours, theirs = self._context.Pipe()
            name = f"worker-{order.number}"
            process = self._context.Process(target=self._work, args=(order, theirs), name=name, daemon=True)
            try:
                process.start()
                break
            except (EOFError, ConnectionError):  # the fork server died just now; it is started anew once it is buried
                ours.close()
                time.sleep(TICK_SECONDS)
            finally:
                theirs.close()
        else:
            raise Stop("No worker can be started: what starts them dies again and again", "See what kills it (memory?)")
        self._members.append(_Member(order, process, ours, time.monotonic()))
        log.debug("worker %d runs as process %d", order.number, process.pid)

    def _fill_vacancies(self) -> None:
        """Start a worker in each place that has waited long enough."""
        due = [vacancy for vacancy in self._vacancies if vacancy.until <= time.monotonic()]
        self._vacancies = [vacancy for vacancy in self._vacancies if vacancy not in due]
        for vacancy in due:
            self._spawn(self._renew(vacancy.order))

    def _watch(self) -> None:
        """Take what the workers say, and see who ended, for up to a tick."""
        members = [member for member in self._members if not member.ended]
        if not members:
            time.sleep(TICK_SECONDS)
            return
        ready = wait([thing for m in members for thing in (m.pipe, m.process.sentinel)], TICK_SECONDS)
        for member in members:
            if member.pipe in ready:
                self._listen_to(member)
            if member.process.sentinel in ready:
                self._listen_to(member)
                self._bury(member)
        self._end_the_silent(members)

    def _end_the_silent(self, members: Sequence[_Member]) -> None:
        """Kill workers that are stuck: their partitions go to others, their process to a new one."""
        now = time.monotonic()
        slept, self._looked = now - self._looked > self._silent_seconds / 2, now
        for member in members:
            if slept:  # we did not listen: this process was stopped, or the machine slept
                member.heard = now
            elif not member.ended and now - member.heard > self._silent_seconds:
                log.warning("Worker %d has said nothing for %.0f s: killed", member.order.number, now - member.heard)
                member.process.kill()
                member.heard = now

    def _listen_to(self, member: _Member) -> None:
        try:
            while member.pipe.poll():
                said = member.pipe.recv()
                member.heard = time.monotonic()
                if isinstance(said, WorkerStopped):
                    self._problem = self._problem or Stop(said.text, said.next_step)
                elif not isinstance(said, Alive):
                    self._on_report(said)
        except (EOFError, ConnectionResetError):
            return  # its end is dealt with by its sentinel

    def _bury(self, member: _Member) -> None:
        member.process.join()
        member.ended = True
        member.pipe.close()
        code = member.process.exitcode or 0
        member.process.close()
        self._members.remove(member)  # there may be many in a year
        if self._stopping_since is not None or self._problem:
            return
        if code == BEGIN_ANEW:  # it has waited long enough by itself, and however many do so, no one is killing them
            self._vacancies.append(_Vacancy(member.order, time.monotonic() + FIRST_DELAY_SECONDS))
            return
        if code > 0 and code != UNKNOWN_END:
            self._problem = Stop(
                f"Worker {member.order.number} crashed", "Its traceback above is a bug: please report it"
            )
            return
        self._replace(member, _cause_of(code))

    def _replace(self, member: _Member, cause: str) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        if len(self._deaths) == KILLED_TOO_OFTEN and now - self._deaths[0] < WITHIN_SECONDS:
            self._problem = Stop(
                f"{KILLED_TOO_OFTEN} workers were killed within {WITHIN_SECONDS:.0f} s, the last by {cause}",
                "See what kills them (memory?), then start again: nothing is lost",
            )
            return
        recent = sum(now - death < WITHIN_SECONDS for death in self._deaths)
        delay = FIRST_DELAY_SECONDS * 2 ** (recent - 2) if recent > 1 else 0.0
        after = f" after {delay:g} s" if delay else ""
        log.warning("Worker %d was ended by %s: another takes its place%s", member.order.number, cause, after)
        self._vacancies.append(_Vacancy(member.order, now + delay))

    def _stop_all(self) -> None:
        self._stopping_since = time.monotonic()
        self._vacancies.clear()
        for member in self._members:
            if not member.ended:
                try:
                    member.pipe.send("end")
                except (BrokenPipeError, ConnectionResetError):
                    continue  # it ended just now

    def kill(self) -> None:
        """End every worker that is left, at once."""
        for member in self._members:
            if not member.ended:
                member.process.kill()
                member.process.join()
                self._listen_to(member)
                member.ended = True


def _cause_of(code: int) -> str:
    """What ended a worker, by its exit status: one that is no error of its own."""
    if code == 0:
        return "a signal of its own"
    return f"signal {-code}" if code < 0 else "the end of the process that it was forked from"
