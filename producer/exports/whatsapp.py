"""WhatsApp's text of one chat. How a date is written depends on the phone, and is found out from the whole file."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import tzinfo

from producer.exports.bundle import Bundle, Part, folder_of
from producer.exports.conversion import Conversion, Day, Kind, Time, as_it_is, line, local
from producer.exports.text import Ids, Piece, lines, stem
from schemas.errors import Stop, UsageProblem
from terminal.logs import counted

NETWORK = "whatsapp"
ENDINGS = (".txt",)

LONGEST_MESSAGE = 1 << 20
"""Bytes; WhatsApp takes 64 kB."""

MARKS = "\u200e\u200f\u202a\u202b\u202c\u2068\u2069\ufeff"
"""Directions of writing, which WhatsApp puts before some dates and texts."""

HEAD = re.compile(
    rf"[{MARKS}]*(?P<open>\[)?"
    r"(?P<a>\d{1,4})(?P<cut>[./-])\s?(?P<b>\d{1,2})(?P=cut)\s?(?P<c>\d{1,4})\.?,?\s+(?:klo\s+)?"
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d\d)(?:[:.](?P<second>\d\d))?(?:\s?(?P<half>[AaPp])\.?\s?[Mm]\.?)?"
    r"(?(open)\]\s?|\s[-\u2013]\s)(?P<rest>.*)",
    re.DOTALL,
)
"""How a message begins: `31/12/2021, 23:59 - `, `12/31/21, 11:59 PM - `, `[31.12.21, 23:59:59] ` and the like."""

_SENDER = re.compile(r"(.{1,200}?):(?:[ \n](.*))?", re.DOTALL)
_CHAT = re.compile(r"WhatsApp Chat (?:with|-) (.+)")
_QUOTES = (("\u201c", "\u201d"), ("\u00ab", "\u00bb"), ("\u201e", "\u201c"))


def wanted(name: str) -> bool:
    """Whether a part of this name is a chat."""
    return name.endswith(ENDINGS)


def convert(bundle: Bundle, how: Conversion) -> Iterator[bytes]:
    """The messages of each chat in its order.

    Raises `UsageProblem` where no date tells which of its numbers is the day, `Stop` where no line has a date.
    """
    for part in bundle.walk(wanted):
        order = how.date_order or _order_of(bundle, part.name)
        site = how.site(NETWORK, _chat_name(bundle, part))
        yield from _Chat(site, order, how.zone, Ids(how.network or NETWORK)).convert(part)


def _chat_name(bundle: Bundle, part: Part) -> str:
    """As the file is called, or, where a phone calls it `_chat.txt`, as what holds it."""
    name = stem(part.name)
    if name == "_chat":
        name = folder_of(bundle, part) or name
    named = _CHAT.fullmatch(name)
    return named[1] if named else name


# --- which number is the day ----------------------------------------------------------------------------------------


def _order_of(bundle: Bundle, name: str) -> str:
    votes: Counter[str] = Counter()
    heads = 0
    for part in bundle.walk(lambda other: other == name):
        for text in lines(part.stream):
            if not isinstance(text, Piece) and (head := HEAD.match(_text(text, "replace"))):
                heads += 1
                votes.update(_votes(head))
    if not heads:
        raise Stop(f"{bundle.name}: no line begins with a date as WhatsApp writes them", "Is it a chat's export?")
    if len(votes) == 1:
        return next(iter(votes))
    why = "tell different things about" if votes else f"of {counted(heads, 'message')} do not tell"
    raise UsageProblem(
        f"{bundle.name}: the dates {why} which number is the day and which the month",
        "Say it with --date-order: dmy for 31/12/2024, mdy for 12/31/2024, ymd for 2024/12/31",
    )


def _votes(head: re.Match[str]) -> list[str]:
    """The only order in which the date can be one; none where several would do."""
    first, second = int(head["a"]), int(head["b"])
    if len(head["a"]) > 2:
        return ["ymd"]
    if first > 12:
        return ["dmy"]
    return ["mdy"] if second > 12 else []


def date_of(head: re.Match[str], order: str) -> Day:
    """The day that its numbers mean in this order."""
    numbers = dict(zip(order, (int(head["a"]), int(head["b"]), int(head["c"])), strict=True))
    year = numbers["y"] + 2000 if numbers["y"] < 100 else numbers["y"]
    return year, numbers["m"], numbers["d"]


def time_of(head: re.Match[str]) -> Time:
    """The time in 24 hours. Raises `ValueError` for an hour that no clock of twelve shows."""
    hour = int(head["hour"])
    if head["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if head["half"] in "Pp" else 0)
    return hour, int(head["minute"]), int(head["second"] or 0)


# --- messages -------------------------------------------------------------------------------------------------------


class _Chat:
    """Puts lines together again to messages: one without a date goes on with the message before it."""

    def __init__(self, site: str, order: str, zone: tzinfo, ids: Ids) -> None:
        self._site = site
        self._order = order
        self._zone = zone
        self._ids = ids
        self._held: list[bytes] = []
        self._bytes = 0

    def convert(self, part: Part) -> Iterator[bytes]:
        """The lines that the chat becomes."""
        for text in lines(part.stream):
            if isinstance(text, Piece):
                yield from self._as_they_are()
                yield bytes(text)
            elif HEAD.match(_text(text, "replace")):
                yield from self._message()
                self._held, self._bytes = [text], len(text)
            elif self._held and self._bytes + len(text) <= LONGEST_MESSAGE:
                self._held.append(text)
                self._bytes += len(text) + 1
            else:
                yield from self._as_they_are()
                yield as_it_is(text)
        yield from self._message()

    def _as_they_are(self) -> Iterator[bytes]:
        yield from map(as_it_is, self._held)
        self._held = []

    def _message(self) -> Iterator[bytes]:
        if not self._held:
            return
        try:
            head = HEAD.fullmatch("\n".join(map(_text, self._held)))
            timestamp = head and local(self._zone, date_of(head, self._order), time_of(head))
        except ValueError:  # not UTF-8, or no moment
            head = timestamp = None
        if head is None or timestamp is None:
            yield from self._as_they_are()
            return
        self._held = []
        sender, kind, data = saying_of(head["rest"])
        identity = self._ids.next(self._site, timestamp, sender, kind, data)
        yield line(identity, sender, kind, self._site, timestamp, data)


def _text(line_of_file: bytes, errors: str = "strict") -> str:
    """Without the carriage return that some phones write at the end of a line: it is no space before a text."""
    return line_of_file.removesuffix(b"\r").decode("utf-8", errors)


def saying_of(rest: str) -> tuple[str, Kind, str]:
    """Sender, kind and text of what follows the date; a status has no sender.

    `Ann changed the subject to "a: b"` has a colon too, but within a quotation.
    """
    rest = rest.strip(MARKS)
    said = _SENDER.fullmatch(rest)
    if not said or "\n" in said[1] or _within_quotation(said[1]):
        return "", "status", rest
    return said[1].strip(MARKS), "message", (said[2] or "").strip(MARKS)


def _within_quotation(text: str) -> bool:
    if text.count('"') % 2:
        return True
    return any(text.count(opening) > text.count(closing) for opening, closing in _QUOTES if opening in text)
