"""What an export comes as: one file, a folder, a zip or a tar, whose parts are read one after the other.

Nothing is unpacked to the disk, and no part is held in memory.
"""

import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from producer.sources.compressed import Stream
from producer.sources.streams import Identity, Source, open_source
from schemas.errors import Stop
from terminal.logs import printable

Wanted = Callable[[str], bool]


class Part(NamedTuple):
    """One opened part: its name within the export, folders divided by `/`, and its text."""

    name: str
    stream: Stream


class Bundle(Protocol):
    """The parts of an export. They can be walked through again and again."""

    name: str
    """Printable, for messages."""
    folder: str
    """The name of the folder that a part without folders is in."""
    identity: Identity
    size: int
    """Bytes on the disk."""

    def names(self) -> list[str]:
        """What is in it."""
        ...

    def walk(self, wanted: Wanted) -> Generator[Part, None, None]:
        """The parts whose name is wanted, each open until the next; always in the same order.

        Raises `Stop` for what cannot be read.
        """
        ...

    @property
    def position(self) -> int:
        """Bytes of `size` that are read: for a progress bar."""
        ...

    def stamp(self) -> bytes:
        """Changes where something in it changed: names, sizes, times."""
        ...


def everything(_name: str) -> bool:
    """Wants every part."""
    return True


def _never() -> bool:
    return False


def text_of(name: str) -> str:
    """A file's name as text, whatever its bytes are."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def folder_of(bundle: Bundle, part: Part) -> str:
    """The name of the folder that the part is in."""
    return PurePosixPath(part.name).parent.name or bundle.folder


def _base(path: str) -> str:
    return PurePosixPath(text_of(path)).name


class SingleFile:
    """A file, decompressed where it is compressed: an export of one part, which is always wanted."""

    def __init__(self, path: str, source: Source) -> None:
        assert source.identity is not None
        self.name = source.name
        self.identity = source.identity
        self.size = source.size or 0
        self.position = 0
        self.folder = _base(os.path.dirname(os.path.abspath(path)))  # noqa: PTH100, PTH120 -- as below
        self._path = path

    def names(self) -> list[str]:
        """See `Bundle`."""
        return [_base(self._path)]

    def walk(self, wanted: Wanted) -> Generator[Part, None, None]:
        """See `Bundle`."""
        del wanted
        source = open_source(self._path, _never)
        with closing(source):
            if source.identity != self.identity:
                raise Stop(f"{self.name} was replaced by another file while it was read", "Run again")
            yield Part(self.names()[0], _Counted(self, source))

    def stamp(self) -> bytes:
        """See `Bundle`."""
        status = os.stat(self._path)  # noqa: PTH116 -- a path that is not UTF-8 stays a str here
        return b"%d %d" % (status.st_size, status.st_mtime_ns)


class _Counted:
    """A source that keeps its bundle's position up to date."""

    def __init__(self, bundle: SingleFile, source: Source) -> None:
        self._bundle = bundle
        self._source = source

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._bundle.position = self._source.raw_position
        return data


class Folder:
    """A folder and all below it, in the order of names. Links are not followed."""

    def __init__(self, path: str) -> None:
        self.name = printable(text_of(path))
        self.folder = _base(os.path.abspath(path))  # noqa: PTH100 -- as below
        self.position = 0
        self._path = path
        try:
            status = os.stat(path)  # noqa: PTH116 -- a path that is not UTF-8 stays a str here
            self._files = dict(sorted(self._look()))
        except OSError as error:
            raise Stop(f"{self.name}: {error.strerror}", "Check the path and its permissions") from None
        self.identity = Identity(status.st_dev, status.st_ino)
        self.size = sum(file.st_size for file in self._files.values())

    def _look(self) -> Iterator[tuple[str, os.stat_result]]:
        for folder, _, files in os.walk(self._path):
            for file in files:
                path = os.path.join(folder, file)  # noqa: PTH118 -- as above
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode):
                    yield os.path.relpath(path, self._path), status

    def names(self) -> list[str]:
        """See `Bundle`."""
        return [text_of(name) for name in self._files]

    def walk(self, wanted: Wanted) -> Generator[Part, None, None]:
        """See `Bundle`."""
        done = 0
        for name, status in self._files.items():
            self.position = done
            if wanted(text_of(name)):
                with closing(open_source(os.path.join(self._path, name), _never)) as source:  # noqa: PTH118
                    yield Part(text_of(name), source)
            done += status.st_size
        self.position = done

    def stamp(self) -> bytes:
        """See `Bundle`."""
        return repr([(name, s.st_size, s.st_mtime_ns) for name, s in self._files.items()]).encode()
