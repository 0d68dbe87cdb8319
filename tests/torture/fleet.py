"""The commands of a round, and whoever starts them again when they end: what a service manager does."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.acceptance.ferry import Ferry, Running, children, command_line

FAILED_TOO_OFTEN = 20
"""A command that was started again so often in a round will not come to its end."""


class WillNotWork(Exception):
    """A command ends by itself again and again; the text says how."""


@dataclass
class Service:
    """A command that is started again whenever it ends, until it is done."""

    ferry: Ferry
    command: Sequence[str]
    runs: list[Running] = field(default_factory=list)

    @property
    def now(self) -> Running:
        """The last run."""
        return self.runs[-1]

    @property
    def ended(self) -> bool:
        """Whether it does not run."""
        return not self.runs or self.now.process.poll() is not None

    @property
    def done(self) -> bool:
        """Whether its last run came to its end, and all was well."""
        return self.ended and bool(self.runs) and self.now.process.returncode == 0

    def keep(self) -> None:
        """Start it, where it does not run and is not done.

        Raises `WillNotWork` where it was started too often.
        """
        if self.ended and not self.done:
            if len(self.runs) > FAILED_TOO_OFTEN:
                raise WillNotWork(f"{self.command[0]} ended {len(self.runs)} times, at last: {self.now.err[-2000:]}")
            self.runs.append(self.ferry.start(*self.command))

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal; whether it was there to get it."""
        if self.ended:
            return False
        self.now.send(number)
        return True

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return [] if self.ended else self.now.workers()

    def fork_servers(self) -> list[int]:
        """The process id of the process that they are forked from, if it is there."""
        return [] if self.ended else [pid for pid in children(self.now.pid) if "forkserver" in command_line(pid)]


def send(pid: int, number: signal.Signals) -> bool:
    """Send a process a signal; whether it was there to get it."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
