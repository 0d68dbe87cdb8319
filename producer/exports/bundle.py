"""What an export comes as: one file, a folder, a zip or a tar, whose parts are read one after the other.

Nothing is unpacked to the disk, and no part is held in memory.
"""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol, cast

from producer.sources.streams import DAMAGE, Identity, Source, Stream, open_source
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

    def walk(self, wanted: Wanted) -> Iterator[Part]:
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

    def walk(self, wanted: Wanted) -> Iterator[Part]:
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

    def walk(self, wanted: Wanted) -> Iterator[Part]:
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


class Zip:
    """A zip, in the order of names."""

    def __init__(self, source: Source) -> None:
        assert source.identity is not None
        self.name = source.name
        self.folder = PurePosixPath(source.name).name.removesuffix(".zip")
        self.identity = source.identity
        self.size = source.size or 0
        self._raw = source.raw
        try:
            self._zip = zipfile.ZipFile(cast("io.BufferedIOBase", source.raw))
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise self._damaged(str(error)) from None
        self._parts = sorted((part for part in self._zip.infolist() if not part.is_dir()), key=lambda p: p.filename)

    def names(self) -> list[str]:
        """See `Bundle`."""
        return [text_of(part.filename) for part in self._parts]

    def walk(self, wanted: Wanted) -> Iterator[Part]:
        """See `Bundle`."""
        for part in self._parts:
            if wanted(text_of(part.filename)):
                with closing(_ZipPart(self, part)) as stream:
                    yield Part(text_of(part.filename), stream)

    @property
    def position(self) -> int:
        """See `Bundle`."""
        return min(self._raw.tell(), self.size)

    def stamp(self) -> bytes:
        """See `Bundle`."""
        return repr([(part.filename, part.file_size, part.CRC) for part in self._parts]).encode()

    def open(self, part: zipfile.ZipInfo) -> io.BufferedIOBase:
        """One part. Raises `Stop` for one that is damaged, encrypted, or packed in a way that we cannot read."""
        try:
            return cast("io.BufferedIOBase", self._zip.open(part))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, what: str) -> Stop:
        return Stop(f"{self.name}: this zip cannot be read: {what}", "Fetch it anew, or unpack it and name the folder")


class _ZipPart:
    def __init__(self, archive: Zip, part: zipfile.ZipInfo) -> None:
        self._name = f"{archive.name}: {printable(text_of(part.filename))}"
        self._file = archive.open(part)

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except (zipfile.BadZipFile, *DAMAGE) as error:
            raise Stop(f"{self._name} is damaged: {error}", "What came before is safe; fetch it anew") from None

    def close(self) -> None:
        self._file.close()


class Tar:
    """A tar, compressed or not, in its own order: each walk is one pass from its start."""

    def __init__(self, path: str, source: Source) -> None:
        self._file = SingleFile(path, source)
        self.name = self._file.name
        self.folder = self._file.folder
        self.identity = self._file.identity
        self.size = self._file.size
        self._names: list[str] | None = None

    def names(self) -> list[str]:
        """See `Bundle`. Asked for the first time it takes a pass over the whole."""
        if self._names is None:
            self._names = [part.name for part in self.walk(everything)]
        return self._names

    def walk(self, wanted: Wanted) -> Iterator[Part]:
        """See `Bundle`."""
        for _, stream in self._file.walk(everything):
            try:
                with tarfile.open(fileobj=cast("io.BufferedReader", stream), mode="r|") as archive:
                    yield from self._parts(archive, wanted)
            except tarfile.TarError as error:
                raise Stop(f"{self.name}: this tar cannot be read: {error}", "Fetch it anew") from None

    @staticmethod
    def _parts(archive: tarfile.TarFile, wanted: Wanted) -> Iterator[Part]:
        for entry in archive:
            archive.members = []  # type: ignore[attr-defined] # it would remember each
            if entry.isreg() and wanted(text_of(entry.name)):
                file = archive.extractfile(entry)
                assert file is not None
                yield Part(text_of(entry.name), cast("Stream", file))

    @property
    def position(self) -> int:
        """See `Bundle`."""
        return self._file.position

    def stamp(self) -> bytes:
        """See `Bundle`."""
        return self._file.stamp()
