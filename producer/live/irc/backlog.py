"""What was said while nobody listened: how far each channel was heard, and what is asked of a server's history. Pure.

CHATHISTORY (IRCv3, a draft) is asked for what came after the last message that was heard, page by page.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from producer.live.irc.channels import Server
from producer.live.irc.wire import Line, compose

log = logging.getLogger(__name__)

PAGE = 100
PATIENCE_SECONDS = 60.0
NAMES_BYTES = 440
"""What channel and msgid may have in the line that asks; a msgid may come with thousands of bytes."""


@dataclass(frozen=True)
class Point:
    """A message in a channel: its msgid and its server-time, as they were told; empty where they were not."""

    msgid: str = ""
    time: str = ""

    @property
    def by_time(self) -> str:
        """A reference to just before it, for what was said in its millisecond is asked for again."""
        if not self.time:
            return ""
        moment = datetime.fromtimestamp(datetime.fromisoformat(self.time).timestamp() - 0.001, UTC)
        return f"timestamp={moment.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"

    def reference(self, name: str, *, by_msgid: bool) -> str:
        """What CHATHISTORY calls it, in the channel of that name; empty where it cannot be named."""
        fits = len(f"{name}{self.msgid}".encode()) <= NAMES_BYTES and not any(c in " \r\n\0" for c in self.msgid)
        return f"msgid={self.msgid}" if self.msgid and by_msgid and fits else self.by_time


@dataclass
class _Gap:
    """A history that is being asked for."""

    asked: str
    since: float
    page_end: Point | None = None
    live: Point | None = None
    """The last message that was heard live meanwhile: how far the channel is heard once the gap is filled."""


class Backlog:
    """How far each channel was heard. `value` is what to remember of it."""

    def __init__(self, remembered: dict[str, Any]) -> None:
        """`remembered` is a `value` of an earlier run; what does not look like one is forgotten."""
        told = remembered.get("channels")
        self._places: dict[str, Point] = {
            name: Point(str(place.get("msgid", "")), _valid(place.get("time")))
            for name, place in (told.items() if isinstance(told, dict) else ())
            if isinstance(place, dict)
        }
        self._gaps: dict[str, _Gap] = {}
        self.available = False
        """Whether the server keeps a history for us."""
        self._page = PAGE
        self._by_msgid = True

    @property
    def value(self) -> dict[str, Any]:
        """JSON, for `Memory.remember`."""
        return {"channels": {name: {"msgid": p.msgid, "time": p.time} for name, p in self._places.items()}}

    def new_session(self, available: bool) -> None:
        """A connection begins; `available`: whether its server keeps a history for us."""
        self._gaps.clear()
        self.available = available
        self._page = PAGE
        self._by_msgid = True

    def learn(self, server: Server) -> None:
        """What the server told of its history: how many messages it gives at once, and how it names them."""
        self._page = min(server.longest_history or PAGE, PAGE)
        self._by_msgid = server.knows_msgids

    def joined(self, name: str, line: Line, now: float) -> list[bytes]:
        """What to ask for, now that a channel was joined."""
        place = self._places.get(name)
        if place is None:  # never heard before: what was said before us is not asked for
            self.noted(name, line, in_history=False)
            return []
        return self._ask_behind(name, place, now) if self.available else []

    def _ask_behind(self, name: str, place: Point, now: float) -> list[bytes]:
        if reference := place.reference(name, by_msgid=self._by_msgid):
            return self._ask(name, reference, now)
        _tell_missing(name, "it cannot be asked what came after the last message that was heard")
        return []

    def _ask(self, name: str, reference: str, now: float) -> list[bytes]:
        earlier = self._gaps.get(name)
        self._gaps[name] = _Gap(reference, now, live=earlier.live if earlier else None)
        return [compose("CHATHISTORY", "AFTER", name, reference, str(self._page))]

    def noted(self, name: str, line: Line, *, in_history: bool) -> None:
        """This line of the channel was heard."""
        msgid, time = line.tags.get("msgid", ""), _valid(line.tags.get("time"))
        if not msgid and not time:
            return
        place, gap = Point(msgid, time), self._gaps.get(name)
        if in_history:
            if gap:
                gap.page_end = self._places[name] = place
        elif gap:
            gap.live = place
        else:
            self._places[name] = place

    def page_ended(self, name: str, now: float) -> list[bytes]:
        """A history of the channel was told to its end: ask for what comes behind it, until nothing does."""
        if not (gap := self._gaps.get(name)):
            return []
        following = gap.page_end.reference(name, by_msgid=self._by_msgid) if gap.page_end else gap.asked
        if following == gap.asked:
            self._close(name)
        elif following:
            return self._ask(name, following, now)
        else:
            self._give_up(name, "it cannot be asked what came after its last message")
        return []

    def refused(self, line: Line, now: float) -> list[bytes]:
        """The server gives no history: a message that it does not know any more is named by its time."""
        answers: list[bytes] = []
        for name in [name for name in self._gaps if name in line.params] or list(self._gaps):
            asked, by_time = self._gaps[name].asked, self._places[name].by_time
            if asked.startswith("msgid=") and by_time:
                answers += self._ask(name, by_time, now)
            else:
                self._give_up(name, line.text)
        return answers

    def tick(self, now: float) -> None:
        """Give up what the server does not answer."""
        for name in [name for name, gap in self._gaps.items() if now - gap.since > PATIENCE_SECONDS]:
            self._give_up(name, "no answer")

    def put_off(self, seconds: float) -> None:
        """Nobody listened for so long: the server had less time to answer."""
        for gap in self._gaps.values():
            gap.since += seconds

    def _give_up(self, name: str, why: str) -> None:
        _tell_missing(name, why)
        self._close(name)

    def _close(self, name: str) -> None:
        gap = self._gaps.pop(name)
        self._places[name] = gap.live or self._places[name]


def _tell_missing(name: str, why: str) -> None:
    log.warning("%s: the server gives no history (%s): what was said while nobody listened is missing", name, why)


def _valid(time: object) -> str:
    """The time, where it is one that can be asked for: year 1 has nothing before it."""
    try:
        return str(time) if Point(time=str(time)).by_time else ""
    except (ValueError, OverflowError):
        return ""
