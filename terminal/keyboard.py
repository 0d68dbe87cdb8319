"""Single keys of the terminal, without Enter. The terminal is as it was before whenever this process has it not."""

import os
import select
import signal
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Self

KEYS_AT_ONCE = 64


class Keyboard:
    """Keys typed on standard input, where that is a terminal, a person looks at it, and this process has it.

    Signals by key (Ctrl-C, Ctrl-Z) work as ever. Only SIGKILL leaves the terminal without an echo; a shell mends that.
    """

    def __init__(self, *, wanted: bool = True) -> None:
        """`wanted` is False where standard input is for something else."""
        self._descriptor = 0
        self._usable = wanted and os.isatty(0) and sys.stderr.isatty()
        self._listens = False
        self._before: list[Any] | None = None
        """The terminal's modes, while they are ours."""

    def __enter__(self) -> Self:
        if self._usable:
            self._listens = True
            signal.signal(signal.SIGTSTP, self._stop)
            self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()
        if self._listens:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    def pressed(self) -> str:
        """What was typed since the last call; waits for nothing."""
        if not self._usable or not self._ours():
            return ""
        try:
            self._take()
            ready, _, _ = select.select([self._descriptor], [], [], 0)
            typed = os.read(self._descriptor, KEYS_AT_ONCE) if ready else b""
        except (OSError, termios.error):  # the terminal is gone
            self._usable = False
            return ""
        self._usable = bool(typed) or not ready
        return typed.decode("ascii", "replace")

    def give_back(self) -> None:
        """Put the terminal's modes back, where they are ours."""
        before, self._before = self._before, None
        if before is not None and self._ours():
            try:
                termios.tcsetattr(self._descriptor, termios.TCSANOW, before)
            except termios.error:
                self._usable = False  # the terminal is gone

    def _take(self) -> None:
        if self._before is None and self._ours():
            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor, termios.TCSANOW)

    def _ours(self) -> bool:
        """Whether this process is in the foreground: in the background it would be stopped for touching it."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return False

    def _stop(self, number: int, _frame: object) -> None:
        """Ctrl-Z: the shell gets the terminal as it was; `pressed` takes it again once the process goes on."""
        self.give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._stop)
