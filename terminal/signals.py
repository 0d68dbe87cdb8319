"""SIGINT and SIGTERM: the first asks the work to end safely, the second ends the process at once."""

import os
import signal
import sys
from types import FrameType

GRACE_SECONDS = 20.0
"""How long the end of the work may take after the first signal before it is given up: a broker or a database that
is away must not hold a service manager, which kills after 30 s (systemd waits 90, Kubernetes 30)."""


class Interruption:
    """What the person at the keyboard, or the service manager, asked for."""

    def __init__(self) -> None:
        self.signal: int | None = None

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
            os.write(
                sys.stderr.fileno(),
                b"chatferry: leaving now; run the same command again, nothing is lost\n",
            )
            os._exit(128 + number)
        self.signal = number
        os.write(sys.stderr.fileno(), b"chatferry: ending safely; once more to leave now\n")
