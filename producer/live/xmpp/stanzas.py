"""The stanzas of a group chat, as what is said there. Pure.

Facts: XEP-0045 (rooms), 0203 (delayed), 0308 (corrections), 0313 (archives), 0359 (stable ids), 0424 and 0425
(retractions), 0444 (reactions).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from producer.live.heard import Heard, Kind, stable_id, status_text
from producer.live.urls import XmppPlace

SYSTEM = "xmpp"
CLIENT = "{jabber:client}"
DELAY = "{urn:xmpp:delay}delay"
STANZA_ID = "{urn:xmpp:sid:0}stanza-id"
REPLACE = "{urn:xmpp:message-correct:0}replace"
RETRACT = "{urn:xmpp:message-retract:1}retract"
APPLY_TO = "{urn:xmpp:fasten:0}apply-to"
TAKEN_BACK = ("{urn:xmpp:message-retract:0}retract", "{urn:xmpp:message-moderate:0}moderated")
REACTIONS = "{urn:xmpp:reactions:0}reactions"
REACTION = "{urn:xmpp:reactions:0}reaction"
ENCRYPTION = "{urn:xmpp:eme:0}encryption"
USER = "{http://jabber.org/protocol/muc#user}"
ERRORS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"

KNOWN_MESSAGES = 1000
"""So many of the last messages are known by their senders' ids, for the corrections that name them so."""


def bare(jid: str) -> str:
    """A JID without its resource."""
    return jid.partition("/")[0]


def resource(jid: str) -> str:
    """What stands behind the `/` of a JID; in a room the nick."""
    return jid.partition("/")[2]


def delayed(stanza: Element, by: str | None = None) -> float | None:
    """When it was said, in Unix seconds, where that is written on it: `by` the room (its bare JID), or by anybody.

    A sender may write a delay of its own on a message, which says what it likes.
    """
    delays = [delay for delay in stanza.findall(DELAY) if by is None or bare(delay.get("from", "")) == by]
    return seconds_of(delays[-1].get("stamp", "")) if delays else None


def seconds_of(stamp: str) -> float | None:
    """Unix seconds of a moment as XEP-0082 writes it; None for what is none, or outside of the years 1 to 9999."""
    try:
        moment = datetime.fromisoformat(stamp)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def stamp_of(seconds: float) -> str:
    """The moment as XEP-0082 writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def error_of(stanza: Element) -> tuple[str, str, str]:
    """Of a stanza of type error: the error's type (auth, cancel, modify, wait), its condition, and its text or ''."""
    error = stanza.find(f"{CLIENT}error")
    if error is None:
        return "cancel", "undefined-condition", ""
    names = [child.tag.removeprefix(ERRORS) for child in error if child.tag.startswith(ERRORS)]
    condition = next((name for name in names if name != "text"), "undefined-condition")
    return error.get("type", "cancel"), condition, error.findtext(f"{ERRORS}text") or ""


def archive_id(message: Element, room: str) -> str | None:
    """The message's id in the room's archive: the one that the room itself wrote on it."""
    given = (mark.get("id") for mark in message.findall(STANZA_ID) if mark.get("by") == room)
    return next((text for text in given if text), None)


@dataclass(frozen=True)
class Presence:
    """Somebody in the room, or no longer in it. `codes` are XEP-0045's status codes, `new_nick` a rename's."""

    nick: str
    here: bool
    codes: frozenset[str]
    new_nick: str
    reason: str
    destroyed: bool
    id: str


def presence_of(stanza: Element) -> Presence:
    """A presence of the room, taken apart."""
    user = stanza.find(f"{USER}x")
    user = Element("x") if user is None else user
    item = user.find(f"{USER}item")
    item = Element("item") if item is None else item
    destroyed = user.find(f"{USER}destroy")
    reason = (item if destroyed is None else destroyed).findtext(f"{USER}reason")
    return Presence(
        nick=resource(stanza.get("from", "")),
        here=stanza.get("type") is None,
        codes=frozenset(status.get("code", "") for status in user.findall(f"{USER}status")),
        new_nick=item.get("nick", ""),
        reason=reason or "",
        destroyed=destroyed is not None,
        id=stanza.get("id", ""),
    )


class RoomTalk:
    """What is said in one room. Knows its last messages by their senders' ids."""

    def __init__(self, place: XmppPlace, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds, for what carries no time of its own: it was said now."""
        self._room = place.room
        self._site = place.site(place.room)
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    def message(self, message: Element, archived_as: str | None, moment: float | None) -> Heard | None:
        """What a message says: a message or a status; None where it says nothing, such as "Ann is typing".

        `archived_as` is its id in the room's archive, `moment` when it was said, as far as the room tells.
        """
        found = self._read(message)
        if found is None:
            return None
        kind, text = found
        nick = resource(message.get("from", ""))
        moment = self._clock() if moment is None else moment
        own = self.id_of(archived_as) if archived_as else self._made_up_id(message, text, moment)
        if message.get("id"):
            self._know(nick, message.get("id", ""), own)
        return Heard(id=own, sender=nick, type=kind, site_id=self._site, timestamp=moment, data=text)

    def presence(self, presence: Presence, event: str, text: str | None = None) -> Heard:
        """A join, a part, a rename: rooms give these no id; the sender's own, or else the second, tells them apart."""
        now = self._clock()
        mark = presence.id or str(int(now))
        own = self.id_of(event, presence.nick, mark, _day(now))
        data = status_text(event, text=text)
        return Heard(id=own, sender=presence.nick, type="status", site_id=self._site, timestamp=now, data=data)

    def id_of(self, *parts: str) -> str:
        """The id of something in this room."""
        return stable_id(SYSTEM, self._room, *parts)

    def _read(self, message: Element) -> tuple[Kind, str] | None:
        body = message.findtext(f"{CLIENT}body")
        if (taken_back := _taken_back(message)) is not None:
            return "status", status_text("deletion", of=self._named(message, taken_back))
        if (replace := message.find(REPLACE)) is not None and body is not None:
            return "status", status_text("edit", of=self._named(message, replace.get("id", "")), text=body)
        if (reactions := message.find(REACTIONS)) is not None:
            text = " ".join(reaction.text or "" for reaction in reactions.findall(REACTION))
            return "status", status_text("reaction", of=self.id_of(reactions.get("id", "")), text=text)
        return _plain(message, body)

    def _named(self, message: Element, name: str) -> str:
        """The id of the message that is spoken of: by its sender's id where we know that, else the archive's."""
        return self._known.get((resource(message.get("from", "")), name)) or self.id_of(name)

    def _know(self, nick: str, name: str, own: str) -> None:
        self._known[nick, name] = own
        if len(self._known) > KNOWN_MESSAGES:
            self._known.popitem(last=False)

    def _made_up_id(self, message: Element, text: str, moment: float) -> str:
        """For a room without stable ids: sender, the sender's own id (or else the second), the text and the day.

        A sender may count its ids from 1 again, so they alone are not enough.
        """
        own = message.get("id") or str(int(moment))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self.id_of(resource(message.get("from", "")), own, digest, _day(moment))


def _taken_back(message: Element) -> str | None:
    """The id of the message that this one takes back, by its author or by a moderator."""
    if (retract := message.find(RETRACT)) is not None:
        return retract.get("id", "")
    for apply_to in message.findall(APPLY_TO):
        if any(apply_to.find(tag) is not None for tag in TAKEN_BACK):
            return apply_to.get("id", "")
    return None


def _plain(message: Element, body: str | None) -> tuple[Kind, str] | None:
    if body is not None:
        return "message", body
    subject = message.find(f"{CLIENT}subject")
    if subject is not None and message.find(f"{CLIENT}thread") is None:
        return "status", status_text("topic", text=subject.text)
    if (encryption := message.find(ENCRYPTION)) is not None:
        return "status", status_text("encrypted", text=encryption.get("name") or encryption.get("namespace"))
    return None


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d")
