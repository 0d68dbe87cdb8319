"""A disk so small that a test can fill it: for root and for everybody else, gone with the test."""

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import pytest

MOUNT = 'mount -t tmpfs -o size="$1",mode=700 none "$0" && echo mounted && exec cat'


@dataclass(frozen=True)
class Disk:
    """A tmpfs that only the processes started by `within` see: as `folder`. The test reaches it by `outside`.

    It is a mount of a namespace of its own, so that no right is needed, and nothing is left of it when the last of its
    processes has ended, however that was.
    """

    folder: Path
    outside: Path
    within: tuple[str, ...]
    """What stands before a command that should see the disk."""

    @contextmanager
    def filled(self) -> Iterator[Callable[[], None]]:
        """Fill the disk to its last byte; yields the function that makes room again."""
        filler = self.outside / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                _write_until_full(file, bytes(size))
        try:
            yield lambda: filler.unlink(missing_ok=True)
        finally:
            filler.unlink(missing_ok=True)


def _write_until_full(file: FileIO, content: bytes) -> None:
    try:
        while True:
            file.write(content)
    except OSError as full:
        if full.errno != errno.ENOSPC:
            raise


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Disk]:
    """A disk of so many bytes ("64k", "16m"). Fails where this user may not have a mount namespace."""
    folder.mkdir(exist_ok=True)
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    holder = subprocess.Popen(
        ["unshare", *user, "--mount", "sh", "-c", MOUNT, str(folder), size],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stderr is not None
    with holder:  # which closes its input: the holder ends, also with a test run that is killed
        if holder.stdout.readline() != b"mounted\n":
            pytest.fail(f"cannot mount a disk: {holder.stderr.read().decode().strip()}", pytrace=False)
        enter = ["nsenter", "--target", str(holder.pid), *(["--user", "--preserve-credentials"] if user else [])]
        try:
            yield Disk(folder, Path(f"/proc/{holder.pid}/root{folder}"), (*enter, "--mount", f"--wd={folder.parent}"))
        finally:
            holder.send_signal(signal.SIGKILL)
