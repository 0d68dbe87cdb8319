"""Progress of long work: a bar on a terminal, elsewhere a log line every few seconds while something changes."""

import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from terminal.logs import counted

if TYPE_CHECKING:
    from rich.progress import Progress

log = logging.getLogger(__name__)

LOG_EVERY_SECONDS = 5.0
SAME_EVERY_SECONDS = 60.0
DRAW_EVERY_SECONDS = 0.1


class Meter:
    """Shows how far the work is. `total` is in the unit of the `done` that `show` is given; None where nobody knows."""

    def __init__(
        self,
        verb: str,
        *,
        total: float | None,
        in_bytes: bool,
        quiet: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verb = verb
        self._total = total
        self._clock = clock
        self._started = clock()
        self._next = self._started
        self._told: tuple[float, int, str] | None = None
        self._told_at = self._started
        self._bar: Progress | None = None
        self._log = not quiet and not sys.stderr.isatty()
        if not quiet and sys.stderr.isatty():
            self._bar = _bar(in_bytes=in_bytes)
            self._task = self._bar.add_task(verb, total=total, rate="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def expect(self, total: float) -> None:
        """The total is known now."""
        if self._total != total:
            self._total = total
            if self._bar:
                self._bar.update(self._task, total=total)

    @property
    def due(self) -> bool:
        """Whether `show` would show anything now."""
        return self._clock() >= self._next

    def show(self, done: float, lines: int, note: str = "") -> None:
        """`done` of the total, and `lines` so far, with a `note` beside them. Cheap to call often."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + (DRAW_EVERY_SECONDS if self._bar else LOG_EVERY_SECONDS)
        rate = lines / max(now - self._started, 1e-9)
        note = f", {note}" if note else ""
        if self._bar:
            self._bar.update(self._task, completed=done, rate=f"{rate:,.0f} lines/s{note}")
        elif self._log and now > self._started + 1 and self._has_news(now, (done, lines, note)):
            share = f", {100 * done / self._total:.0f}%" if self._total else ""
            said = f"{counted(lines, 'line')}{share}, {rate:,.0f} lines/s{note}"
            log.info("%s: %s", self._verb, said)

    def _has_news(self, now: float, state: tuple[float, int, str]) -> bool:
        """A service whose log repeats itself all night tells nothing: what is as before is said once a minute."""
        if state == self._told and now < self._told_at + SAME_EVERY_SECONDS:
            return False
        self._told, self._told_at = state, now
        return True


def _bar(*, in_bytes: bool) -> "Progress":
    from rich.console import Console  # noqa: PLC0415 -- a third of the start-up time, and only needed on a terminal
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = DownloadColumn(binary_units=True) if in_bytes else MofNCompleteColumn()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
