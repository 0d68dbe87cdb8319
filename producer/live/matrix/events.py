"""Events of a Matrix room, as what is said there. Pure.

Facts: the client-server API of the Matrix specification, "Room Events", "Redactions", and "Event replacements".
"""

from collections.abc import Callable
from typing import Any

from producer.live.heard import Heard, Kind, stable_id, status_text
from producer.live.urls import MatrixPlace

Event = dict[str, Any]
"""As the server sends it: any part may be missing, or be of any type."""

Said = tuple[Kind, str | None]

ENCRYPTED = "m.room.encrypted"
MEMBER = "m.room.member"
MEDIA_LINKS = ("url", "geo_uri")
FALLBACK_TEXTS = ("body", "m.text", "org.matrix.msc1767.text")


def heard_of(event: Event, place: MatrixPlace, user: str) -> Heard | None:
    """What an event says; None where it says nothing for a reader, such as a change of rights.

    `user` is our own id: that we come and go says nothing. The event's id is the message's: it is the world's only one.
    """
    said = _said(event, user)
    if said is None:
        return None
    kind, data = said
    sender = event.get("state_key") if event.get("type") == MEMBER else event.get("sender")
    return Heard(
        id=stable_id(text_of(event.get("event_id")) or ""),
        sender=text_of(sender) or "",
        type=kind,
        site_id=place.site(place.room),
        timestamp=_seconds(event.get("origin_server_ts")),
        data=data,
    )


def text_of(value: object) -> str | None:
    """The value where it is a text."""
    return value if isinstance(value, str) else None


def object_of(value: object) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _said(event: Event, user: str) -> Said | None:
    kind = text_of(event.get("type")) or ""
    content = object_of(event.get("content"))
    if kind == MEMBER:
        return None if event.get("state_key") == user else _membership(event, content)
    if reader := _READERS.get(kind):
        return reader(event, content)
    if "state_key" in event:
        return None
    text = next((text for name in FALLBACK_TEXTS if (text := text_of(content.get(name)))), None)
    return ("message", text) if text else None


def _message(_event: Event, content: dict[str, Any]) -> Said:
    """Text, notice, emote and media alike: its text, and a line with the address of what is not text.

    A message that was redacted before it was heard has lost its text; it was said all the same.
    """
    relation = object_of(content.get("m.relates_to"))
    if relation.get("rel_type") == "m.replace":
        text = _text_with_link(object_of(content.get("m.new_content")) or content)
        return "status", status_text("edit", of=text_of(relation.get("event_id")), text=text)
    return "message", _text_with_link(content)


def _text_with_link(content: dict[str, Any]) -> str | None:
    places = [content, object_of(content.get("file"))]
    links = [link for place in places for name in MEDIA_LINKS if (link := text_of(place.get(name)))]
    body = text_of(content.get("body"))
    return "\n".join([*([body] if body is not None else []), *links]) if links or body is not None else None


def _redaction(event: Event, content: dict[str, Any]) -> Said:
    of = text_of(content.get("redacts")) or text_of(event.get("redacts"))  # the place changed with room version 11
    return "status", status_text("deletion", of=of, text=text_of(content.get("reason")))


def _reaction(_event: Event, content: dict[str, Any]) -> Said:
    relation = object_of(content.get("m.relates_to"))
    return "status", status_text("reaction", of=text_of(relation.get("event_id")), text=text_of(relation.get("key")))


def _encrypted(_event: Event, content: dict[str, Any]) -> Said:
    return "status", status_text("encrypted", text=text_of(content.get("algorithm")))


def _state(word: str, *names: str) -> Callable[[Event, dict[str, Any]], Said]:
    def read(_event: Event, content: dict[str, Any]) -> Said:
        texts = (text_of(content.get(name)) for name in names)
        return "status", status_text(word, text=next((text for text in texts if text), None))

    return read


def _membership(event: Event, content: dict[str, Any]) -> Said | None:
    now = text_of(content.get("membership"))
    before = object_of(object_of(event.get("unsigned")).get("prev_content") or event.get("prev_content"))
    was = text_of(before.get("membership"))
    if now == was == "join":
        name = text_of(content.get("displayname"))
        return ("status", status_text("rename", text=name)) if name != before.get("displayname") else None
    word = _leaving(event, was) if now == "leave" else _COMING.get(now or "")
    return ("status", status_text(word, text=text_of(content.get("reason")))) if word else None


def _leaving(event: Event, was: str | None) -> str:
    if was == "ban":
        return "unban"
    return "part" if event.get("sender") == event.get("state_key") else "kick"


_COMING = {"join": "join", "ban": "ban", "invite": "invite", "knock": "knock"}

_READERS: dict[str, Callable[[Event, dict[str, Any]], Said]] = {
    "m.room.message": _message,
    "m.sticker": _message,
    "m.room.redaction": _redaction,
    "m.reaction": _reaction,
    ENCRYPTED: _encrypted,
    "m.room.encryption": _state("encryption", "algorithm"),
    "m.room.topic": _state("topic", "topic"),
    "m.room.name": _state("name", "name"),
    "m.room.tombstone": _state("upgrade", "replacement_room", "body"),
}


def _seconds(milliseconds: object) -> float:
    """Of what is no moment, 0: the line is good, and its time is visibly wrong."""
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool):
        return 0.0
    try:
        return float(milliseconds) / 1000
    except OverflowError:
        return 0.0
