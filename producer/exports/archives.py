"""Zips and tars as bundles: read part by part, and never unpacked."""

import io
import tarfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import PurePosixPath
from typing import cast

from producer.exports.bundle import Part, SingleFile, Wanted, everything, text_of
from producer.sources.compressed import DAMAGE, Stream
from producer.sources.streams import Source
from schemas.errors import Stop
from terminal.logs import printable


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

    def walk(self, wanted: Wanted) -> Generator[Part, None, None]:
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
            raise Stop(f"{self._name} is damaged: {error}", "All before that is good; fetch it anew") from None

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

    def walk(self, wanted: Wanted) -> Generator[Part, None, None]:
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
