"""Standard input as a file that is read as it comes."""

import io
import os
import select
from collections.abc import Callable

WAIT_SECONDS = 0.2  # how often a read looks whether it should stop


class StandardInput(io.RawIOBase):
    """Standard input, read as it comes, and left when `stopping` says so."""

    def __init__(self, stopping: Callable[[], bool], descriptor: int = 0) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._stopping = stopping
        self._peeked = b""
        self.stopped = False
        """Whether the end that `read` returned was ours, not the input's."""

    def readable(self) -> bool:
        """True: it is for reading only."""
        return True

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, or all where there are fewer; they will be read again."""
        while len(self._peeked) < size and (more := self._next(size - len(self._peeked))):
            self._peeked += more
        return self._peeked

    def at_hand(self, size: int) -> bytes:
        """Up to `size` of the first bytes: those that are there now, without waiting; they will be read again."""
        if len(self._peeked) < size and select.select([self._descriptor], [], [], 0)[0]:
            self._peeked += os.read(self._descriptor, size - len(self._peeked))
        return self._peeked

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, as soon as there are any; `b""` at the end or when stopping."""
        if self._peeked:
            first, self._peeked = self._peeked[:size], self._peeked[size:]
            return first
        return self._next(size if size >= 0 else 1 << 20)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # what io calls; typeshed wants every buffer
        """Fill `buffer` from the start; how many bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        while not (stopped := self._stopping()):
            ready, _, _ = select.select([self._descriptor], [], [], WAIT_SECONDS)
            if ready:
                return os.read(self._descriptor, size)
        self.stopped = stopped
        return b""
