"""What a listener must know again when it comes back: a sync token, the last id of an archive, of a channel."""

import logging
import threading
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from producer.live.spool import Mark
from producer.private import read_private, write_private

log = logging.getLogger(__name__)

WAITING = 64
"""So many values wait for their acknowledgement at most; beyond, a newer one takes the place of the newest."""


class Memory:
    """A small JSON object, in a file of its own, for its owner alone.

    What is written down speaks of nothing that Kafka has not acknowledged: a crash makes a listener hear things again,
    never skip them.
    """

    def __init__(self, path: Path | None) -> None:
        """`path` is None where nothing is to be kept.

        Raises `Stop` for a file that is not ours. One that is damaged is as good as none, and the log says so.
        """
        self._path = path
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: deque[tuple[Mark, bytes]] = deque()
        self._due = self._saved = b""
        """What is to be written down, and what was."""
        self.value: dict[str, Any] = self._load() if path else {}
        """What was remembered when this process began."""

    def _load(self) -> dict[str, Any]:
        assert self._path
        content = read_private(self._path)
        if content is None:
            return {}
        try:
            return msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError:
            log.warning("%s is damaged: what was said while nobody listened may be missing", self._path)
            return {}

    def remember(self, mark: Mark, value: dict[str, Any]) -> None:
        """Write `value` down as soon as Kafka has acknowledged `mark`: the mark of the last line that it speaks of.

        For a value that no line came with, `Ear.last` is the mark. Cheap to call with every line.
        """
        content = msgspec.json.encode(value)
        with self._lock:
            if len(self._waiting) >= WAITING:
                self._waiting.pop()
            self._waiting.append((mark, content))

    def settle(self, acknowledged: Mark) -> None:
        """Write down the newest value whose mark is acknowledged. The carrier's thread does it about once a second.

        A listener does it where it begins for the first time ever, before it says that it listens: after a kill within
        that second nobody would know that there is a gap. Raises `Stop` where the disk does not take it; whoever calls
        next tries it again.
        """
        with self._writing:
            self._due = self._newest(acknowledged)
            if self._path and self._due != self._saved:
                write_private(self._path, self._due)
                self._saved = self._due

    def _newest(self, acknowledged: Mark) -> bytes:
        content = self._due
        with self._lock:
            while self._waiting and self._waiting[0][0] <= acknowledged:
                _, content = self._waiting.popleft()
        return content
