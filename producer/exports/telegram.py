"""Telegram Desktop's `result.json`: one chat, or a whole account with its chats and the chats that were left."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from producer.exports.bundle import Bundle
from producer.exports.conversion import Conversion, as_it_is, line, unix, with_extras
from producer.exports.document import Document
from schemas.errors import Stop

NETWORK = "telegram"
ENDINGS = ("result.json",)

TYPES = frozenset(
    {"saved_messages", "replies", "verify_codes", "personal_chat", "bot_chat", "private_group", "private_supergroup",
     "public_supergroup", "private_channel", "public_channel"}
)  # fmt: skip
"""Of chats."""

_KNOWN = {"id", "type", "date", "date_unixtime", "edited", "edited_unixtime", "actor", "actor_id", "action", "text",
          "text_entities"}  # fmt: skip
"""What a service message has beside its details."""


class _Entity(msgspec.Struct):
    text: str


class _Message(msgspec.Struct):
    """Ids of users are numbers in exports of old versions."""

    id: int
    type: str
    date: str = ""
    date_unixtime: str = ""
    sender: str | None = msgspec.field(name="from", default=None)
    from_id: str | int | None = None
    actor: str | None = None
    actor_id: str | int | None = None
    action: str = ""
    text: str | list[str | _Entity] = ""
    photo: str | None = None
    file: str | None = None
    file_name: str | None = None
    media_type: str = "file"
    sticker_emoji: str | None = None
    poll: dict[str, Any] | None = None
    location_information: dict[str, Any] | None = None
    contact_information: dict[str, Any] | None = None


class _Chat(msgspec.Struct):
    id: int
    type: str
    name: str | None = None


_decode = msgspec.json.Decoder(_Message).decode


def wanted(name: str) -> bool:
    """Whether a part of this name holds chats."""
    return name.endswith(ENDINGS)


def convert(bundle: Bundle, how: Conversion) -> Iterator[bytes]:
    """The messages of every chat, in the order of the document."""
    for part in bundle.walk(wanted):
        document = Document(part.stream, bundle.name)
        yield from _chat_or_account(document, bundle.name, how)
        document.finish()


def _chat_or_account(document: Document, name: str, how: Conversion) -> Iterator[bytes]:
    known: dict[str, Any] = {}
    for key in document.members():
        if key in ("chats", "left_chats"):
            yield from _chats(document, name, how)
        else:
            yield from _of_chat(document, key, known, name, how)


def _chats(document: Document, name: str, how: Conversion) -> Iterator[bytes]:
    for key in document.members():
        if key == "list":
            for _ in document.elements():
                known: dict[str, Any] = {}
                for member in document.members():
                    yield from _of_chat(document, member, known, name, how)


def _of_chat(document: Document, key: str, known: dict[str, Any], name: str, how: Conversion) -> Iterator[bytes]:
    """One member of a chat; `known` is what came before its messages."""
    if key == "messages":
        try:
            chat = msgspec.convert(known, _Chat)
        except msgspec.ValidationError:
            raise Stop(
                f"{name}: messages at byte {document.position:,} of a chat without id and type",
                "Is it what Telegram Desktop exported, as it was?",
            ) from None
        for element in document.values():
            yield _message(element, chat, how)
    elif key in _Chat.__struct_fields__:
        value = document.value()
        try:
            known[key] = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            known[key] = None


def _message(element: bytes, chat: _Chat, how: Conversion) -> bytes:
    try:
        message = _decode(element)
        moment = _moment(message, how)
        happened = _happened(message, element) if message.type == "service" else ""
    except (msgspec.DecodeError, ValueError, RecursionError, OverflowError):
        return as_it_is(element)
    site = how.site(NETWORK, chat.name or str(chat.id))
    identity = f"{how.network or NETWORK}/{chat.id}/{message.id}"
    if message.type == "message":
        return line(identity, message.sender or str(message.from_id or ""), "message", site, moment, _said(message))
    if message.type == "service":
        sender = message.actor or str(message.actor_id or "")
        return line(identity, sender, "status", site, moment, happened)
    return as_it_is(element)


def _moment(message: _Message, how: Conversion) -> int | float:
    """Old exports have the local time alone. Raises `ValueError` where there is neither."""
    if message.date_unixtime:
        return int(message.date_unixtime)
    return unix(datetime.fromisoformat(message.date).replace(tzinfo=how.zone))


def _text(message: _Message) -> str:
    if isinstance(message.text, str):
        return message.text
    return "".join(part if isinstance(part, str) else part.text for part in message.text)


def _said(message: _Message) -> str:
    extras = []
    if message.photo:
        extras.append(f"[photo] {message.photo}")
    if message.file:
        extras.append(f"[{message.media_type}] {message.sticker_emoji or message.file_name or message.file}")
    kinds = ("poll", "location_information", "contact_information")
    details = ((kind.partition("_")[0], getattr(message, kind)) for kind in kinds)
    extras += [f"[{kind}] {msgspec.json.encode(detail).decode()}" for kind, detail in details if detail]
    return with_extras(_text(message), extras)


def _happened(message: _Message, element: bytes) -> str:
    """The action, and its details as JSON."""
    members: dict[str, Any] = msgspec.json.decode(element)
    details = {key: value for key, value in members.items() if key not in _KNOWN}
    return with_extras(
        " ".join([message.action, msgspec.json.encode(details).decode()] if details else [message.action]),
        [_text(message)],
    )
