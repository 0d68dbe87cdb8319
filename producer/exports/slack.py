"""A Slack export: a folder or zip with lists of users and channels, and a folder a channel with a file a day."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TypeVar

import msgspec

from producer.exports.bundle import Bundle
from producer.exports.conversion import Conversion, Kind, as_it_is, line, with_extras
from producer.exports.document import Document
from schemas.errors import Stop

NETWORK = "slack"

USERS = frozenset({"users.json", "org_users.json"})
CHANNELS = frozenset({"channels.json", "groups.json", "mpims.json", "dms.json"})
DAY = re.compile(r"(?:.*/)?([^/]+)/\d{4}-\d\d-\d\d\.json")

MESSAGES = frozenset(
    {"", "bot_message", "me_message", "thread_broadcast", "reply_broadcast", "file_share", "file_comment",
     "file_mention", "slackbot_response", "assistant_app_thread"}
)  # fmt: skip
"""Subtypes that somebody wrote; every other tells what happened."""

T = TypeVar("T")

_TIMESTAMP = re.compile(r"[0-9]{1,12}\.[0-9]{1,6}", re.ASCII)


class _User(msgspec.Struct):
    id: str
    name: str = ""


class _Channel(msgspec.Struct):
    id: str
    name: str = ""


class _File(msgspec.Struct):
    name: str | None = None
    title: str | None = None
    url_private: str | None = None


class _Attachment(msgspec.Struct):
    fallback: str | None = None
    text: str | None = None


class _Message(msgspec.Struct):
    ts: str
    type: str = "message"
    subtype: str | None = None
    user: str | None = None
    username: str | None = None
    bot_id: str | None = None
    text: str | None = None
    files: list[_File] | None = None
    attachments: list[_Attachment] | None = None


_decode = msgspec.json.Decoder(_Message).decode


def wanted(name: str) -> bool:
    """Whether a part of this name holds a day of a channel."""
    return DAY.fullmatch(name) is not None


def convert(bundle: Bundle, how: Conversion) -> Iterator[bytes]:
    """The messages by channel and day. Held in memory: the names of users and channels.

    Raises `Stop` for a list of users or channels that is none.
    """
    users = {user.id: user.name for user in _list(bundle, USERS, _User)}
    channels = {channel.name or channel.id: channel.id for channel in _list(bundle, CHANNELS, _Channel)}
    for part in bundle.walk(wanted):
        folder = PurePosixPath(part.name).parent.name
        site = how.site(NETWORK, folder)
        document = Document(part.stream, f"{bundle.name}: {part.name}")
        for element in document.values():
            yield _message(element, site, channels.get(folder, folder), users, how)
        document.finish()


def _list(bundle: Bundle, names: frozenset[str], shape: type[T]) -> Iterator[T]:
    for part in bundle.walk(lambda name: PurePosixPath(name).name in names and not wanted(name)):
        document = Document(part.stream, f"{bundle.name}: {part.name}")
        for element in document.values():
            try:
                yield msgspec.json.decode(element, type=shape)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Stop(f"{bundle.name}: {part.name}: not as Slack writes it: {error}", "Export it anew") from None


def _message(element: bytes, site: str, channel: str, users: dict[str, str], how: Conversion) -> bytes:
    try:
        message = _decode(element)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return as_it_is(element)
    if message.type != "message" or not _TIMESTAMP.fullmatch(message.ts):
        return as_it_is(element)
    sender = users.get(message.user or "") or message.username or message.user or message.bot_id or ""
    identity = f"{how.network or NETWORK}/{channel}/{message.ts}"
    kind: Kind = "message" if (message.subtype or "") in MESSAGES else "status"
    return line(identity, sender, kind, site, message.ts, _said(message))


def _said(message: _Message) -> str:
    extras = [f"[file] {f.name or f.title or f.url_private or ''}".rstrip() for f in message.files or ()]
    if not message.text:
        extras += [a.fallback or a.text or "" for a in message.attachments or ()]
    return with_extras(message.text or "", extras)
