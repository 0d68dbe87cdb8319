"""SIGINT and SIGTERM: the first asks the work to end safely, the second ends the process at once. SIGUSR1: pause."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

GRACE_SECONDS = 20.0
"""How long the end of the work may take after the first signal before it is given up: a broker or a database that
is away must not hold a service manager, which kills after 30 s (systemd waits 90, Kubernetes 30)."""


class Interruption:
    """What the person at the keyboard, or the service manager, asked for."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.before_leaving: list[Callable[[], None]] = []
        """What must be done even where the process ends at once: the terminal is put back as it was."""

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_status(self) -> int:
        """130 after SIGINT, 143 after SIGTERM, 0 where nobody interrupted."""
        return 0 if self.signal is None else 128 + self.signal

    def listen(self) -> "Interruption":
        """Take both signals over for this process. To be called in its main thread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)
        return self

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            for put_back in self.before_leaving:
                put_back()
            os.write(
                sys.stderr.fileno(),
                b"chatferry: leaving now; run the same command again, nothing is lost\n",
            )
            os._exit(128 + number)
        self.signal = number
        os.write(sys.stderr.fileno(), b"chatferry: ending safely; once more to leave now\n")


class Pause:
    """Whether the work should rest for now: SIGUSR1 turns it on, and off again, and so does whoever calls `toggle`."""

    def __init__(self) -> None:
        self._on = False

    def __bool__(self) -> bool:
        return self._on

    def listen(self) -> "Pause":
        """Take SIGUSR1 over for this process, which ends it otherwise. To be called in its main thread."""
        signal.signal(signal.SIGUSR1, self.toggle)
        return self

    def toggle(self, *_: object) -> None:
        """Rest, or go on."""
        self._on = not self._on
