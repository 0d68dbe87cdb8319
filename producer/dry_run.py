"""`--dry-run`: what would be sent, on standard output instead of a topic."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

from producer.exports.conversion import Conversion
from producer.exports.opening import open_input
from producer.exports.source import ExportSource
from producer.moments import Window
from producer.sources.blocks import Block
from producer.sources.names import each_file_once
from producer.sources.reader import READ_BYTES, Reader
from producer.sources.streams import Source
from schemas.errors import BadLine, Stop
from schemas.message import parse, parse_lines
from schemas.topics import KAFKA_DEFAULT_MAX_MESSAGE_BYTES, RECORD_OVERHEAD
from terminal.command import emit_json, say
from terminal.logs import counted, printable
from terminal.signals import Interruption

log = logging.getLogger(__name__)

LIMIT = KAFKA_DEFAULT_MAX_MESSAGE_BYTES - RECORD_OVERHEAD
"""Bytes of a line that a topic of Kafka's defaults takes: no broker is asked."""


BAD_TO_NAME = 10
"""So many bad lines are told one by one, ..."""
BAD_SHOWN = 200
"""... with so many of their first bytes."""


@dataclass
class Findings:
    """What a dry run found. `bad` of the `messages` would become dead letters, and so would a reference to each of the
    `oversize` lines."""

    lines: int = 0
    blank: int = 0
    messages: int = 0
    bad: int = 0
    oversize: int = 0
    outside_window: int = 0


def dry_run(
    files: Sequence[str], how: Conversion, window: Window | None, interruption: Interruption, *, as_json: bool
) -> int:
    """Print every line that a run from the start would send, or the account alone; returns the exit status.

    Checkpoints are neither read nor written. Raises `Stop` as a run would, after what it would send before that.
    """
    started = time.monotonic()
    findings = Findings()
    try:
        for path in each_file_once(files):
            _read(path, how, window, interruption, findings, as_json=as_json)
    except Stop:
        if findings.lines and not as_json:
            say(_sentence(findings), err=True)
        raise
    if as_json:
        emit_json({"dry_run": True, **asdict(findings), "seconds": round(time.monotonic() - started, 3)})
    else:
        say(_sentence(findings), err=True)
    return interruption.exit_status


def _read(
    path: str, how: Conversion, window: Window | None, interruption: Interruption, findings: Findings, *, as_json: bool
) -> None:
    with closing(open_input(path, interruption.__bool__, how)) as source:
        reader = Reader(source, limit=LIMIT, read_bytes=READ_BYTES)
        while not interruption and (block := reader.next_block() or reader.last_block()):
            lines = _look(block, source, window, findings)
            if not as_json:
                _print(lines)


def _look(block: Block, source: Source, window: Window | None, findings: Findings) -> list[bytes]:
    """The lines of the block that would be sent."""
    lines = [line for line in block.lines if window is None or window.wanted(line)]
    findings.lines += block.total
    findings.blank += block.blank
    for number, bad, why in _bad(lines):
        findings.bad += 1
        if findings.bad <= BAD_TO_NAME:
            _tell_bad(source, findings.messages + number, bad, why)
    findings.messages += len(lines)
    findings.oversize += len(block.oversize)
    findings.outside_window += len(block.lines) - len(lines)
    for line in block.oversize:
        log.warning("%s: the line at byte %d has %d bytes: a reference would be sent",
                    source.name, line.offset, line.length)  # fmt: skip
    return lines


def _bad(lines: list[bytes]) -> Iterator[tuple[int, bytes, str]]:
    """The bad ones: which of the lines, counted from 1, its bytes, and why."""
    if not lines or parse_lines(lines) is not None:
        return
    for number, line in enumerate(lines, 1):
        try:
            parse(line)
        except BadLine as problem:
            yield number, line, str(problem)


def _tell_bad(source: Source, number: int, line: bytes, why: str) -> None:
    """Of an export only its conversion knows why, and its bytes tell where it stands."""
    if isinstance(source, ExportSource):
        why = f"no {source.compression} message could be made of it"
    shown = line[:BAD_SHOWN].decode("utf-8", "backslashreplace") + ("..." if len(line) > BAD_SHOWN else "")
    log.warning("%s: line %s of those to be sent is bad: %s: %s", source.name, f"{number:,}", why, shown)


def _print(lines: list[bytes]) -> None:
    """Bytes as they are, but for a terminal, which must not obey them."""
    if sys.stdout.isatty():
        for line in lines:
            say(printable(line.decode("utf-8", "backslashreplace")))
    elif lines:
        sys.stdout.buffer.write(b"\n".join(lines) + b"\n")
        sys.stdout.buffer.flush()


def _sentence(findings: Findings) -> str:
    parts = [
        f"{findings.messages:,} of {counted(findings.lines, 'line')} would be sent",
        f"{findings.bad:,} of them bad",
    ]
    if findings.blank:
        parts.append(f"{findings.blank:,} blank")
    if findings.oversize:
        parts.append(f"{findings.oversize:,} too large for a topic of Kafka's defaults")
    if findings.outside_window:
        parts.append(f"{findings.outside_window:,} outside the time window")
    return f"{', '.join(parts)}; nothing was sent"
