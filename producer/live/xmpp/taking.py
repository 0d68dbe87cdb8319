"""What is said in a room, taken: as it is said, and out of the room's archive what was said while nobody listened."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from xml.etree.ElementTree import Element

from producer.live.heard import Heard
from producer.live.listener import Ear
from producer.live.memory import Memory
from producer.live.recent import Once
from producer.live.urls import XmppPlace
from producer.live.xmpp import questions as ask
from producer.live.xmpp.stanzas import CLIENT, RoomTalk, archive_id, delayed, error_of
from schemas.errors import ConnectionLost

log = logging.getLogger(__name__)

OVERLAP_SECONDS = 60.0
"""A room without an archive is asked for so much more of its history: its clock may be another."""

NEWEST = "newest"

PASSING = ("internal-server-error", "remote-server-timeout", "resource-constraint", "service-unavailable")
PATIENCE_TIMES = 5
"""So often in a row an archive that cannot be read now is asked again, before its room is heard without it."""

Ask = Callable[[Element, Callable[[Element], Awaitable[None]]], None]
"""Asks the room something; the second is called with the answer."""


@dataclass
class Position:
    """Up to where the room was heard: an id of its archive ("" is its beginning), and a moment in Unix seconds."""

    archive: str | None = None
    moment: float | None = None


@dataclass
class Trouble:
    """How often in a row the archive could not be read, over all sessions."""

    times: int = 0


class Taking:
    """Takes the messages of one session, one after the other.

    The position moves along the archive without a gap: while older messages are still being fetched from there, what
    is said meanwhile is taken, and does not move it.
    """

    def __init__(
        self,
        place: XmppPlace,
        talk: RoomTalk,
        ear: Ear,
        memory: Memory,
        position: Position,
        trouble: Trouble,
        asks: Ask,
    ) -> None:
        """`position` and `trouble` are kept from session to session."""
        self._room = place.room
        self._url = place.url
        self._talk = talk
        self._ear = ear
        self._memory = memory
        self._position = position
        self._trouble = trouble
        self._ask = asks
        self._archive = False
        self._stable_ids = False
        self._greeted = False
        self._once = Once(ear)
        self._query = ""
        self._pages = 0
        self.caught_up = False
        """Whether there is nothing more to fetch."""

    def may_ask(self, features: frozenset[str]) -> None:
        """What the room can do."""
        self._archive = ask.ARCHIVE in features
        self._stable_ids = self._archive or ask.STABLE_IDS in features

    @property
    def since(self) -> float | None:
        """From when on the room's history is wanted, in Unix seconds; None where it is not."""
        if self._archive or self._position.moment is None:
            return None
        return self._position.moment - OVERLAP_SECONDS

    async def joined(self) -> None:
        """Begin to fetch what was missed. The first time ever there is nothing missed: we begin now."""
        if self._archive and self._position.archive is None:
            self._query = NEWEST
            self._ask(ask.ask_newest(NEWEST), self._from_now_on)
        elif self._archive:
            self._ear.listening(self._url)
            self._page(after=self._position.archive)
        elif self._position.moment is None:
            await self._begin(self._talk.now())
        else:
            self.caught_up = True
            self._ear.listening(self._url)

    async def message(self, stanza: Element) -> None:
        """A message of the room, or out of its archive."""
        archived = ask.archived_of(stanza, self._room, self._query)
        if archived is None:
            if stanza.get("type") == "groupchat":
                await self._live(stanza)
        elif self._query != NEWEST:
            await self._once.take(self._talk.message(archived.message, archived.id, archived.moment))
            self._position.archive = archived.id or self._position.archive
            self._remember(archived.moment)

    async def status(self, heard: Heard) -> None:
        """Somebody came or went."""
        await self._once.take(heard)

    async def _live(self, stanza: Element) -> None:
        identity = archive_id(stanza, self._room) if self._stable_ids else None
        moment = delayed(stanza, by=self._room)
        if self._is_greeting(stanza, fresh=identity is not None and moment is None):
            return
        await self._once.take(self._talk.message(stanza, identity, moment))
        if self.caught_up:
            if self._archive and identity:
                self._position.archive = identity
            self._remember(self._talk.now() if moment is None else moment)

    def _is_greeting(self, stanza: Element, *, fresh: bool) -> bool:
        """Whether it is the subject as it is told to everybody who comes in: nobody set it now."""
        if self._greeted or stanza.find(f"{CLIENT}subject") is None or stanza.find(f"{CLIENT}body") is not None:
            return False
        self._greeted = True
        return not fresh

    def _remember(self, moment: float | None) -> None:
        """(No clock that is ahead of ours makes us ask for what will be said.)"""
        known = min(moment or 0.0, self._talk.now())
        self._position.moment = max(known, self._position.moment or 0.0) or None
        self._memory.remember(self._ear.last, asdict(self._position))

    # -- the archive ---------------------------------------------------------------------------------------------------

    def _page(self, *, after: str | None = None, start: float | None = None) -> None:
        self._pages += 1
        self._query = f"page-{self._pages}"
        self._ask(ask.ask_archive(self._query, after=after, start=start), self._page_ended)

    async def _from_now_on(self, answer: Element) -> None:
        """Where the archive ends now is where we begin; what was said since we came in was taken."""
        if answer.get("type") == "error":
            self._see_whether_it_passes(answer)
            self._tell_closed(answer)
        else:
            self._position.archive = ask.page_end_of(answer).last or ""
        await self._begin(self._talk.now())

    async def _begin(self, moment: float) -> None:
        """From here on nothing is missed, not even after a kill."""
        self.caught_up = True
        self._remember(moment)
        await self._ear.durable(mark := self._ear.last)
        self._memory.settle(mark)
        self._ear.listening(self._url)

    async def _page_ended(self, answer: Element) -> None:
        if answer.get("type") == "error":
            self._page_failed(answer)
            return
        self._trouble.times = 0
        end = ask.page_end_of(answer)
        self._position.archive = end.last or self._position.archive
        if end.last and not end.complete:
            self._page(after=end.last)
            return
        self.caught_up = True
        self._remember(None)

    def _page_failed(self, answer: Element) -> None:
        if error_of(answer)[1] != "item-not-found" or not self._position.archive:
            self._see_whether_it_passes(answer)
            self.caught_up = True
            self._tell_closed(answer)
            return
        log.warning(
            "%s: its archive no longer has the last message that was heard; what it has since then is taken, "
            "what it has forgotten is missing",
            self._room,
        )
        self._position.archive = ""
        self._page(start=self._position.moment)

    def _see_whether_it_passes(self, answer: Element) -> None:
        """Raises `ConnectionLost`, so that it is asked again by the next session, where the archive may answer then."""
        kind, condition, text = error_of(answer)
        self._trouble.times += 1
        if (kind == "wait" or condition in PASSING) and self._trouble.times <= PATIENCE_TIMES:
            raise ConnectionLost(f"{self._room}: its archive cannot be read now ({condition} {text})")

    def _tell_closed(self, answer: Element) -> None:
        _, condition, text = error_of(answer)
        why = f"{condition} {text}".rstrip()
        log.warning(
            "%s: its archive cannot be read (%s); what was said while nobody listened is missing", self._room, why
        )
