"""irssi's logs: a time on each line, and lines of their own that say on which day."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from producer.exports.bundle import Bundle, folder_of
from producer.exports.conversion import Conversion, Day, Kind, as_it_is, line, local
from producer.exports.text import Ids, Piece, lines, stem

NETWORK = "irc"
ENDINGS = (".log", ".txt", ".log.gz", ".log.zst", ".log.xz", ".log.bz2")

DAY = re.compile(
    r"--- (?:Log opened|Day changed) \S+ (?P<month>[A-Z][a-z]{2}) (?P<day>\d\d)(?: \d\d:\d\d:\d\d)? (?P<year>\d{4})",
    re.ASCII,
)
_MARK = "--- "
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d))? (.*)", re.ASCII)
_SAID = re.compile(r"<[ @+%&~!]?([^ >]+)> ?(.*)")
_DID = re.compile(r" \* (\S+) ?(.*)")
_NOTICE = re.compile(r"-([^ (:!]+)(?:\([^)]*\)|:[^ ]+)?- (.*)")
_HAPPENED = re.compile(r"-!- (.*)")
_WHO = re.compile(r"(\S+) (?:\[\S*\] has (?:joined|left|quit)|is now known as|changed the topic)\b")
_MONTHS = dict(zip("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), range(1, 13), strict=True))  # noqa: SIM905


class Saying(NamedTuple):
    """What stands on a line after its time."""

    sender: str
    kind: Kind
    text: str


def wanted(name: str) -> bool:
    """Whether a part of this name is a log."""
    return name.endswith(ENDINGS)


def convert(bundle: Bundle, how: Conversion) -> Iterator[bytes]:
    """The lines of each log in its order. A site is named like the file and its folder: irssi writes to
    `irclogs/NETWORK/CHANNEL.log`."""
    for part in bundle.walk(wanted):
        network = how.network or folder_of(bundle, part) or NETWORK
        yield from _log(lines(part.stream), f"{network}/{stem(part.name)}", Ids(network), how)


def _log(texts: Iterator[bytes], site: str, ids: Ids, how: Conversion) -> Iterator[bytes]:
    day: Day | None = None
    for text in texts:
        if isinstance(text, Piece):
            yield bytes(text)
            continue
        written = text.decode("utf-8", "replace").removesuffix("\r")
        if written.startswith(_MARK):
            day = day if written.startswith("--- Log closed") else day_of(written)
            if day is None:
                yield as_it_is(text)
            continue
        yield _line(text, day, site, ids, how)


def day_of(mark: str) -> Day | None:
    """Year, month and day that a line of irssi's own names; None for one that we cannot read: then no day is known."""
    found = DAY.match(mark)
    if not found or found["month"] not in _MONTHS:
        return None
    return int(found["year"]), _MONTHS[found["month"]], int(found["day"])


def _line(text: bytes, day: Day | None, site: str, ids: Ids, how: Conversion) -> bytes:
    try:
        time = _TIME.fullmatch(text.decode().removesuffix("\r"))
        saying = saying_of(time[4]) if time else None
        if day is None or time is None or saying is None:
            return as_it_is(text)
        timestamp = local(how.zone, day, (int(time[1]), int(time[2]), int(time[3] or 0)))
    except ValueError:  # not UTF-8, or no moment
        return as_it_is(text)
    identity = ids.next(site, timestamp, *saying)
    return line(identity, saying.sender, saying.kind, site, timestamp, saying.text)


def saying_of(text: str) -> Saying | None:
    """Who said or did what; None for a line that irssi's own theme does not write."""
    if said := _SAID.fullmatch(text):
        return Saying(said[1], "message", said[2])
    if did := _DID.fullmatch(text):
        return Saying(did[1], "message", f"/me {did[2]}")
    if notice := _NOTICE.fullmatch(text):
        return Saying(notice[1], "message", notice[2])
    if happened := _HAPPENED.fullmatch(text):
        who = _WHO.match(happened[1])
        return Saying(who[1] if who else "", "status", happened[1])
    return None
