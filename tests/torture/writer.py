"""Whoever writes the followed log of a round, and rotates it."""

import gzip
import os
from pathlib import Path


class Writer:
    """Writes lines at an even rate, and renames the file when it is told to; what was rotated before is compressed."""

    def __init__(self, path: Path, lines: list[bytes], seconds: float) -> None:
        self.path = path
        self.lines = lines
        self._rate = len(lines) / seconds
        self._written = 0
        path.parent.mkdir()
        self._file = path.open("ab", buffering=0)

    @property
    def done(self) -> bool:
        """Whether everything is written."""
        return self._written == len(self.lines)

    def write(self, seconds: float) -> None:
        """Write what is due so many seconds after the beginning, in two parts that cut a line."""
        due = self.lines[self._written : int(seconds * self._rate)]
        self._written += len(due)
        text = b"".join(line + b"\n" for line in due)
        self._file.write(text[: len(text) // 2])
        self._file.write(text[len(text) // 2 :])

    def rotate(self) -> None:
        """Rename the log and begin another; the one before is compressed, with its time, as gzip does."""
        rotated = self.path.with_name(f"{self.path.name}.1")
        if rotated.exists():
            number = len(list(self.path.parent.iterdir()))
            packed = self.path.with_name(f"{self.path.name}.{number}.gz")
            times = rotated.stat()
            packed.write_bytes(gzip.compress(rotated.read_bytes()))
            os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
            rotated.unlink()
        self.path.rename(rotated)
        self._file.close()
        self._file = self.path.open("ab", buffering=0)

    def close(self) -> None:
        """Close the log."""
        self._file.close()
