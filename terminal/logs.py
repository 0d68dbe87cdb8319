"""Log lines: to stderr, one a line, the same from every process; and no text of others moves the terminal's cursor."""

import codecs
import logging
import sys
import traceback
from types import TracebackType
from typing import Any

_escape = codecs.getencoder("unicode_escape")
"""Looked up now: a lookup opens files, and there may be no descriptor left when something is to be told."""


def set_up_logs(level: int, name: str = "chatferry") -> None:
    """Send the log records of this process, from `level` on, to stderr; `name` says which process speaks."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter(f"%(asctime)s {name} %(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    sys.excepthook = _show_crash
    logging.getLogger("alembic").setLevel(max(level, logging.WARNING))


class PrintableFormatter(logging.Formatter):
    """One record, one line, whatever a server or a file name put into it; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        """The line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- logging's name
        """The traceback."""
        return printable(super().formatException(ei), keep="\n")


def _show_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python does with a bug, with the words of others made printable."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace)), keep="\n"))


def printable(text: str, keep: str = "") -> str:
    """`text` as it may reach a terminal: control characters, invisible and bidirectional ones escaped, but `keep`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c)[0].decode() for c in text)


def counted(count: int, thing: str) -> str:
    """So many of them: `1 line`, `2,000 lines`."""
    return f"{count:,} {plural(count, thing)}"


def plural(count: int, thing: str) -> str:
    """The word for so many of them: `1 line`, `2 lines`."""
    return thing if count == 1 else f"{thing}s"
