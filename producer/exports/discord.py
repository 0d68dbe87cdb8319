"""DiscordChatExporter's JSON: one document a channel or thread."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from producer.exports.bundle import Bundle
from producer.exports.conversion import Conversion, Kind, as_it_is, line, unix, with_extras
from producer.exports.document import Document
from schemas.errors import Stop

NETWORK = "discord"
ENDINGS = (".json",)

MESSAGES = frozenset({"Default", "Reply", "ThreadStarterMessage", "20", "21", "23"})
"""Types that somebody wrote (20 and 23: by a command, 21: what began a thread); every other tells what happened."""

_NO_DISCRIMINATOR = ("", "0", "0000")


class _Named(msgspec.Struct):
    id: str
    name: str


class _Author(msgspec.Struct):
    name: str
    discriminator: str | None = None


class _Attachment(msgspec.Struct):
    url: str = ""


class _Sticker(msgspec.Struct):
    name: str = ""


class _Embed(msgspec.Struct):
    title: str | None = None
    url: str | None = None
    description: str | None = None


class _Message(msgspec.Struct):
    id: str
    type: str
    timestamp: str
    content: str
    author: _Author
    attachments: list[_Attachment] = []
    stickers: list[_Sticker] = []
    embeds: list[_Embed] = []


_decode = msgspec.json.Decoder(_Message).decode


def wanted(name: str) -> bool:
    """Whether a part of this name may be a channel."""
    return name.endswith(ENDINGS)


def convert(bundle: Bundle, how: Conversion) -> Iterator[bytes]:
    """The messages of each document, in its order."""
    alone = len(bundle.names()) == 1
    for part in bundle.walk(wanted):
        name = bundle.name if alone else f"{bundle.name}: {part.name}"
        document = Document(part.stream, name)
        yield from _channel(document, name, how)
        document.finish()


def _channel(document: Document, name: str, how: Conversion) -> Iterator[bytes]:
    known: dict[str, _Named] = {}
    for key in document.members():
        if key in ("guild", "channel"):
            known[key] = _named(document.value(), name)
        elif key == "messages":
            if len(known) < 2:
                raise _no_export(name)
            site = how.site(NETWORK, f"{known['guild'].name}/{known['channel'].name}")
            for element in document.values():
                yield _message(element, site, known["channel"].id, how)
    if len(known) < 2:
        raise _no_export(name)


def _named(value: bytes, name: str) -> _Named:
    try:
        return msgspec.json.decode(value, type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _no_export(name) from None


def _no_export(name: str) -> Stop:
    return Stop(f"{name} is no JSON of DiscordChatExporter: guild and channel do not come first", "Leave it out")


def _message(element: bytes, site: str, channel: str, how: Conversion) -> bytes:
    try:
        message = _decode(element)
        moment = datetime.fromisoformat(message.timestamp)
        if moment.tzinfo is None:
            return as_it_is(element)
        timestamp = unix(moment)
    except (msgspec.DecodeError, ValueError, RecursionError, OverflowError):
        return as_it_is(element)
    author, tag = message.author.name, message.author.discriminator or ""
    sender = author if tag in _NO_DISCRIMINATOR else f"{author}#{tag}"
    identity = f"{how.network or NETWORK}/{channel}/{message.id}"
    kind: Kind = "message" if message.type in MESSAGES else "status"
    return line(identity, sender, kind, site, timestamp, _said(message))


def _said(message: _Message) -> str:
    extras = [f"[file] {attachment.url}" for attachment in message.attachments]
    extras += [f"[sticker] {sticker.name}" for sticker in message.stickers]
    if not message.content:
        shown = ([embed.title, embed.description, embed.url] for embed in message.embeds)
        extras += [f"[embed] {' '.join(filter(None, parts))}" for parts in shown]
    return with_extras(message.content, extras)
