"""Made-up chat logs of any size for tests and benchmarks, and an independent reading of any log.

    python -m benchmarks.generate PATH --lines 1_000_000 --repeats 0.01 --bad 0.001

writes a log (the same bytes for the same arguments) and prints what a loader must make of it as JSON.
`expected_rows` and `digest` read a log with the standard library alone, so that a table can be compared with
its input by a judge that shares no code with the loader.
"""

# ruff: noqa: SIM905 - lists of words read better as text

import argparse
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn

CHUNK = 16_384  # lines built between two writes
POOL = 32_768  # ready-made surroundings of an id; every line takes one
WINDOW = 4_096  # earlier good lines that a repeat is taken from
START = 1_741_651_200  # Unix seconds of the first line: 2025-03-11 00:00:00 UTC
PACE = 12  # lines a second
SITES = 200
PEOPLE = 3_000
STATUSES = (b',"data":"online"', b',"data":"away"', b',"data":"offline"', b',"data":"typing"', b"")
WORDS = """
the a to and of in is it you that for on with this have be are not we can me will so just about from up what
when they there out all one time get go no yes ok thanks please today tomorrow meeting build release ticket
server coffee lunch weekend train rain plan photo video link file folder question answer problem idea team
customer order invoice delivery address number message reply later again maybe really sure great sorry hello
""".split()
FOREIGN = """
größer señor café naïve łódź привет спасибо 会議 ありがとう 안녕하세요 مرحبا שלום नमस्ते สวัสดี 😀 👩🏽‍💻 🇧🇷
""".split()
ESCAPES = (r"\n", r"\"quoted\"", r"\t", r"C:\\temp", r"caf\u00e9", r"it's; -- 100%")


@dataclass(frozen=True)
class Expected:
    """What a log holds. `lines` counts every line, and `lines == rows + repeats + bad + blank`."""

    lines: int = 0
    rows: int = 0
    repeats: int = 0
    bad: int = 0
    blank: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Shares:
    """The parts of all lines, 0 to 1, that are something else than a new good line."""

    repeats: float
    bad: float
    blank: float

    def between(self, start: int, end: int) -> Expected:
        """How many lines of each kind are among those from number `start` up to `end`; adds up exactly."""

        def part(share: float) -> int:
            return round(share * end) - round(share * start)

        repeats, bad, blank = part(self.repeats), part(self.bad), part(self.blank)
        lines = end - start
        return Expected(lines, lines - repeats - bad - blank, repeats, bad, blank)


# --- writing ------------------------------------------------------------------------------------------------


def _names(rng: random.Random) -> tuple[list[str], list[str]]:
    sites = [f"{rng.choice(WORDS)}-{rng.choice((*WORDS, *FOREIGN[:8]))}-{n:03}" for n in range(SITES)]
    people = [f"{rng.choice(WORDS).title()}.{rng.randrange(16**4):04x}" for _ in range(PEOPLE)]
    return sites, people


def _text(rng: random.Random, size: int) -> bytes:
    """A JSON string's inside of nearly `size` bytes; 2% hold something escaped and 2% something not ASCII."""
    words: list[str] = []
    chance = rng.random()
    if chance < 0.02:
        words.append(rng.choice(ESCAPES))
    elif chance < 0.04:
        words.append(rng.choice(FOREIGN))
    left = size - sum(len(word.encode()) for word in words)
    while left > 0:
        word = rng.choice(WORDS)
        words.append(word)
        left -= len(word) + 1
    rng.shuffle(words)
    return " ".join(words).encode()


def _pool(rng: random.Random, size: int, line_bytes: int) -> list[tuple[bytes, bytes]]:
    """What stands between an id and its seconds and what follows them, for lines of this mean length."""
    sites, people = _names(rng)
    pool = []
    frame = len(b'{"id":""}\n') + 32 + 10
    ahead = 0.0  # bytes that the lines so far lack or exceed, carried over so that the mean comes out
    for _ in range(size):
        status = rng.random() < 0.1
        quote = b'"' if rng.random() < 0.1 else b""
        fraction = b".%06d" % rng.randrange(10**6) if rng.random() < 0.5 else b""
        kind = b"status" if status else b"message"
        names = rng.choice(people).encode(), kind, rng.choice(sites).encode()
        head = b'","from":"%b","type":"%b","site_id":"%b","timestamp":' % names + quote
        ahead += line_bytes - frame - len(head) - len(fraction + quote)
        if status:
            data = rng.choice(STATUSES)
        else:
            data = b',"data":"%b"' % _text(rng, int(max(ahead - 10, 2) * rng.uniform(0.3, 1.7)))
        ahead -= len(data)
        pool.append((head, fraction + quote + data + b"}\n"))
    return pool


def _good_lines(rng: random.Random, pool: list[tuple[bytes, bytes]], start: int, count: int) -> list[bytes]:
    """`count` new lines with their newlines; the first is line number `start` of the file."""
    ids = rng.randbytes(16 * count).hex().encode()
    first = START + start // PACE
    seconds = [b"%d" % second for second in range(first, START + (start + count) // PACE + 1)]
    offset = start % PACE
    return [
        b'{"id":"%b%b%b%b' % (ids[32 * n : 32 * n + 32], head, seconds[(offset + n) // PACE], tail)
        for n, (head, tail) in enumerate(rng.choices(pool, k=count))
    ]


def _timestamp(value: bytes) -> Callable[[bytes], bytes]:
    return lambda line: re.sub(rb'"timestamp":"?[\d.]+"?', b'"timestamp":' + value, line, count=1)


SPOILERS: tuple[Callable[[bytes], bytes], ...] = (
    lambda line: line[: len(line) // 2],  # cut short
    lambda line: line.replace(b'{"id":"', b'{"id":"\xff', 1),  # not UTF-8
    lambda line: re.sub(rb'"type":"\w+"', b'"type":"typing"', line, count=1),
    lambda line: line.replace(b'{"id":', b'{"uid":', 1),  # no id
    lambda line: re.sub(rb'{"id":"\w+"', b'{"id":true', line, count=1),
    lambda line: re.sub(rb'"site_id":"[^"]*",', b"", line, count=1),
    _timestamp(b"1741651200000"),  # milliseconds
    _timestamp(b"NaN"),
    _timestamp(b'"yesterday"'),
    lambda line: b"[" + line + b"]",
    lambda line: line + line,  # two objects
    lambda line: line.replace(b'"from":"', b'"from":"\\ud800', 1),  # half of a surrogate pair
    lambda line: line.replace(b'"from":"', b'"from":"\x01', 1),  # a raw control character
    lambda line: line.replace(b'"', b"'"),
)


def _spoil(rng: random.Random, line: bytes) -> bytes:
    """A bad line out of a good one that is written nowhere else; one kind of badness, by chance."""
    return rng.choice(SPOILERS)(line.rstrip(b"\n")) + b"\n"


def _mix(rng: random.Random, lines: list[bytes], parts: Expected, window: list[bytes]) -> Expected:
    """Replace lines of a chunk by repeats, bad and blank ones; its first stays good, for repeats to find.

    Returns what the chunk now holds: `parts`, or fewer specials where the chunk has no room for them.
    """
    wanted = parts.repeats + parts.bad + parts.blank
    places = rng.sample(range(1, len(lines)), min(wanted, len(lines) - 1))
    bad, blank = places[: parts.bad], places[parts.bad : parts.bad + parts.blank]
    repeats = places[parts.bad + parts.blank :]
    for place in bad:
        lines[place] = _spoil(rng, lines[place])
    for place in blank:
        lines[place] = b"\n"
    spoiled = {*bad, *blank}
    for place in sorted(repeats):
        near = rng.randrange(max(0, place - WINDOW), place)
        lines[place] = lines[0 if near in spoiled else near] if rng.random() < 0.5 else rng.choice(window)
    rows = len(lines) - len(places)
    return Expected(len(lines), rows, len(repeats), len(bad), len(blank), sum(map(len, lines)))


def _chunks(lines: int, shares: Shares, seed: int, line_bytes: int) -> Iterator[tuple[list[bytes], Expected]]:
    rng = random.Random(seed)
    pool = _pool(rng, min(POOL, max(1_024, lines)), line_bytes)
    window: list[bytes] = []
    for start in range(0, lines, CHUNK):
        count = min(CHUNK, lines - start)
        chunk = _good_lines(rng, pool, start, count)
        earlier = window or chunk[:1]
        fresh = chunk[: min(512, count)]  # taken before the chunk is mixed: all of them good
        held = _mix(rng, chunk, shares.between(start, start + count), earlier)
        yield chunk, held
        kept = set(chunk)
        for line in fresh:
            if line in kept:
                _keep(rng, window, line)


def _keep(rng: random.Random, window: list[bytes], line: bytes) -> None:
    """Put a good line into the window, in the place of a random one once it is full."""
    if len(window) < WINDOW:
        window.append(line)
    else:
        window[rng.randrange(WINDOW)] = line


def _total(one: Expected, two: Expected) -> Expected:
    pairs = zip(asdict(one).values(), asdict(two).values(), strict=True)
    return Expected(*(a + b for a, b in pairs))


def generate(
    path: Path | str,
    lines: int,
    *,
    repeats: float = 0.01,
    bad: float = 0.001,
    blank: float = 0.0,
    seed: int = 1,
    line_bytes: int = 181,
) -> Expected:
    """Write a log of `lines` lines and return what it holds; the same arguments give the same bytes.

    `repeats`, `bad` and `blank` are shares of all lines, 0 to 1, and together below 0.9. A repeat is an
    earlier good line, byte for byte. `line_bytes` is the mean length of a good line, newline included, 150 or
    more.
    """
    if min(repeats, bad, blank) < 0 or repeats + bad + blank >= 0.9:
        raise ValueError("repeats, bad and blank are shares of the lines: 0 or more, together below 0.9")
    total = Expected()
    with Path(path).open("wb") as out:
        for chunk, held in _chunks(lines, Shares(repeats, bad, blank), seed, line_bytes):
            out.write(b"".join(chunk))
            total = _total(total, held)
    return total


# --- reading ------------------------------------------------------------------------------------------------

Row = tuple[str, str, str, str, str, str | None]
"""id, from, type, site_id, timestamp as 'YYYY-MM-DD HH:MM:SS.ffffff' in UTC, data or None."""

NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
SURROGATE = re.compile("[\ud800-\udfff]")  # halves of pairs: no text, and no UTF-8 can hold them
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LIMITS = (-62_135_596_800, 253_402_300_800)  # Unix seconds: the start of year 1 and of year 10000
NAME_LENGTH = 255  # characters that the columns id, from and site_id hold


class BadLineError(ValueError):
    """The line is no message."""


def _refuse(constant: str) -> NoReturn:
    raise BadLineError(constant)


def _number(text: str) -> Decimal:
    if abs(number := Decimal(text)) > Decimal("1.8e308"):
        raise BadLineError(text)
    return number


def _string(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or SURROGATE.search(value):
        raise BadLineError(name)
    return value


def _moment(value: object) -> str:
    """Unix seconds, a number or a numeric string, as UTC to the microsecond; exact, for no float is used."""
    text = value if isinstance(value, str) else str(value)
    if isinstance(value, bool) or not NUMBER.fullmatch(text):
        raise BadLineError("timestamp")
    microseconds = round(Decimal(text) * 1_000_000)
    if not LIMITS[0] * 1_000_000 <= microseconds < LIMITS[1] * 1_000_000:
        raise BadLineError("timestamp")
    moment = EPOCH + timedelta(microseconds=microseconds)
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line.decode(), parse_constant=_refuse, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise BadLineError("not JSON in UTF-8") from error
    if not isinstance(fields, dict):
        raise BadLineError("not an object")
    return fields


def parse(line: bytes) -> Row:
    """The row of one line, without its newline; raises BadLineError when it is not a message."""
    fields = _fields(line)
    identifier, sender, kind, site = (_string(fields, name) for name in ("id", "from", "type", "site_id"))
    data = _string(fields, "data") if "data" in fields else None
    if kind not in {"message", "status"} or max(map(len, (identifier, sender, site))) > NAME_LENGTH:
        raise BadLineError("a value out of its range")
    return identifier, sender, kind, site, _moment(fields.get("timestamp")), data


def read(path: Path | str) -> Iterator[tuple[str, Row | None]]:
    """What each line of a log is, in order: rows (new, with the row), repeats, bad or blank (with None)."""
    seen: set[str] = set()
    with Path(path).open("rb") as log:
        for number, raw in enumerate(log):
            line = raw.removesuffix(b"\n").removesuffix(b"\r")
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
            if not line.strip(b" \t\r"):
                yield "blank", None
                continue
            try:
                row = parse(line)
            except BadLineError:
                yield "bad", None
                continue
            yield ("repeats", None) if row[0] in seen else ("rows", row)
            seen.add(row[0])


def count(path: Path | str) -> Expected:
    """What a log holds, found by reading it."""
    counts = dict.fromkeys(("rows", "repeats", "bad", "blank"), 0)
    for kind, _ in read(path):
        counts[kind] += 1
    return replace(Expected(**counts), lines=sum(counts.values()), bytes=Path(path).stat().st_size)


def expected_rows(path: Path | str) -> Iterator[Row]:
    """The rows that a table must hold once this log is loaded; of lines with one id the first counts."""
    return (row for _, row in read(path) if row is not None)


def digest_rows(rows: Iterable[Row]) -> str:
    """32 hexadecimal digits that stand for these rows in any order; others give others (to 2**-128)."""
    total = 0
    for row in rows:
        total += int.from_bytes(blake2b(repr(tuple(row)).encode(), digest_size=16).digest())
    return f"{total % 2**128:032x}"


def digest(path: Path | str) -> str:
    """The digest of the rows that a log must become; holds the ids in memory and nothing else."""
    return digest_rows(expected_rows(path))


def main() -> None:
    """Write a log and print what it holds as one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description="Write a made-up chat log.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--lines", type=int, default=1_000_000, help="how many (1_000_000)")
    parser.add_argument("--repeats", type=float, default=0.01, help="share of lines sent twice (0.01)")
    parser.add_argument("--bad", type=float, default=0.001, help="share of lines that are no message (0.001)")
    parser.add_argument("--blank", type=float, default=0.0, help="share of empty lines (0)")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives another log (1)")
    parser.add_argument("--line-bytes", type=int, default=181, help="mean bytes of a line (181)")
    settings = vars(parser.parse_args())
    print(json.dumps(asdict(generate(settings.pop("path"), settings.pop("lines"), **settings))))


if __name__ == "__main__":
    main()
