"""The files that are followed: named one by one, or by a folder or a glob that is looked at again and again."""

import glob
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from producer.sources.rotated import COMPRESSED, identity_at
from producer.sources.streams import STANDARD_INPUT, Identity, printable_path

log = logging.getLogger(__name__)


class Names:
    """What the arguments of a command name now.

    A file that is there is itself, whatever its name; a folder is every file in it, but none below; a glob is what it
    matches (`**` any folders). Of a folder or a glob hidden and compressed files are left out.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(dict.fromkeys(arguments))
        self._told: set[str] = set()
        self._told_empty: set[str] = set()
        """Folders that were looked for files to follow; that there were none was told the first time."""
        self._unreadable: dict[str, str | None] = {}
        """Folders that could not be looked into the last time, and why."""

    @property
    def given(self) -> list[str]:
        """The arguments that name one file, whether it is there or not. It is looked for at each call."""
        return [argument for argument in self._arguments if not self._is_many(argument)]

    def look(self) -> list[str]:
        """The paths of all files that are named now, each once; those of a folder or a glob by their names' order."""
        paths: dict[str, None] = {}
        for argument in self._arguments:
            if self._is_many(argument):
                paths |= dict.fromkeys(self._wanted(argument, self._members(argument)))
            else:
                paths[argument] = None
        return list(paths)

    @staticmethod
    def _is_many(argument: str) -> bool:
        return os.path.isdir(argument) or (glob.has_magic(argument) and not os.path.lexists(argument))  # noqa: PTH112

    def _members(self, argument: str) -> list[str]:
        if not os.path.isdir(argument):  # noqa: PTH112 -- a path that is not UTF-8 stays a str here
            return sorted(path for path in glob.glob(argument, recursive=True) if Path(path).is_file())  # noqa: PTH207
        try:
            paths = sorted(entry.path for entry in os.scandir(argument) if entry.is_file())
        except OSError as error:
            self._told_empty.add(argument)
            if self._unreadable.get(argument) != error.strerror:
                self._unreadable[argument] = error.strerror
                log.warning("%s: cannot be looked into: %s", printable_path(argument), error.strerror)
            return []
        self._unreadable.pop(argument, None)
        if not paths and argument not in self._told_empty:
            log.warning(
                "%s holds no file yet that can be followed (subfolders are not looked into): waiting",
                printable_path(argument),
            )
        self._told_empty.add(argument)
        return paths

    def _wanted(self, argument: str, paths: Sequence[str]) -> Iterator[str]:
        left_out = 0
        for path in paths:
            name = Path(path).name
            if name.startswith(".") or name.endswith(COMPRESSED):
                left_out += 1
            else:
                yield path
        if left_out and argument not in self._told:
            self._told.add(argument)
            log.info("%s: hidden and compressed files are left out (%d now)", printable_path(argument), left_out)


def each_file_once(paths: Iterable[str]) -> list[str]:
    """The names in their order, without those of a file that has another one already: a link beside it, for example."""
    names: dict[str | Identity, str] = {}
    for path in dict.fromkeys(paths):
        found = None if path == STANDARD_INPUT else identity_at(path)
        names.setdefault(found[0] if found else path, path)
    return list(names.values())
