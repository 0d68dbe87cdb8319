"""A Zulip export: a folder or tar.gz with `realm.json` and `messages-000001.json` and so on."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import msgspec

from producer.exports.bundle import Bundle
from producer.exports.conversion import Conversion, Kind, as_it_is, line
from producer.exports.document import Document
from schemas.errors import Stop

NETWORK = "zulip"
REALM = "realm.json"
MESSAGES = re.compile(r"(?:.*/)?messages-\d+\.json")

NOTIFIER = "notification-bot@"
"""The bot that tells of renamed, moved and created channels and topics."""

_RESOLVED = 2  # a message's type: a topic was marked as resolved
_PERSONAL, _CHANNEL = 1, 2  # a recipient's type; 3 is a group


class _User(msgspec.Struct):
    id: int
    full_name: str
    email: str = ""


class _Stream(msgspec.Struct):
    id: int
    name: str


class _Recipient(msgspec.Struct):
    id: int
    type: int
    type_id: int


class _Message(msgspec.Struct):
    id: int
    sender: int
    recipient: int
    date_sent: int | float
    content: str
    subject: str = ""
    type: int = 1


_SHAPES: dict[str, Any] = {
    "zerver_userprofile": _User,
    "zerver_userprofile_crossrealm": _User,
    "zerver_userprofile_mirrordummy": _User,
    "zerver_stream": _Stream,
    "zerver_recipient": _Recipient,
}
_decode = msgspec.json.Decoder(_Message).decode


class _Realm:
    """Who and what the numbers in messages stand for: the one thing that is held in memory."""

    def __init__(self) -> None:
        self.users: dict[int, _User] = {}
        self.streams: dict[int, str] = {}
        self.recipients: dict[int, _Recipient] = {}

    def add(self, known: _User | _Stream | _Recipient) -> None:
        if isinstance(known, _User):
            self.users[known.id] = known
        elif isinstance(known, _Stream):
            self.streams[known.id] = known.name
        else:
            self.recipients[known.id] = known

    def place(self, message: _Message) -> str:
        """Channel and topic, or who writes to whom. Raises `KeyError` for numbers that nothing is known of."""
        recipient = self.recipients[message.recipient]
        if recipient.type == _CHANNEL:
            return f"{self.streams[recipient.type_id]}/{message.subject}".removesuffix("/")
        if recipient.type == _PERSONAL:
            names = {self.users[message.sender].full_name, self.users[recipient.type_id].full_name}
            return f"direct/{', '.join(sorted(names))}"
        return f"direct/group {recipient.type_id}"


def wanted(name: str) -> bool:
    """Whether a part of this name holds messages."""
    return MESSAGES.fullmatch(name) is not None


def convert(bundle: Bundle, how: Conversion) -> Iterator[bytes]:
    """The messages, file after file.

    Raises `Stop` where `realm.json` is missing, or is not Zulip's.
    """
    realm = _realm(bundle)
    for part in bundle.walk(wanted):
        document = Document(part.stream, f"{bundle.name}: {part.name}")
        for key in document.members():
            if key == "zerver_message":
                for element in document.values():
                    yield _message(element, realm, how)
        document.finish()


def _realm(bundle: Bundle) -> _Realm:
    realm, found = _Realm(), False
    for part in bundle.walk(lambda name: PurePosixPath(name).name == REALM):
        found = True
        name = f"{bundle.name}: {part.name}"
        document = Document(part.stream, name)
        for key in document.members():
            if key in _SHAPES:
                for element in document.values():
                    realm.add(_known(element, _SHAPES[key], name))
    if not found:
        raise Stop(f"{bundle.name}: there is no {REALM} in it", "Name the folder or tar.gz of a whole Zulip export")
    return realm


def _known(element: bytes, shape: Any, name: str) -> Any:
    try:
        return msgspec.json.decode(element, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Stop(f"{name}: not as Zulip writes it: {error}", "Export it anew") from None


def _message(element: bytes, realm: _Realm, how: Conversion) -> bytes:
    try:
        message = _decode(element)
        sender = realm.users[message.sender]
        site = how.site(NETWORK, realm.place(message))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return as_it_is(element)
    identity = f"{how.network or NETWORK}/{message.id}"
    tells = message.type == _RESOLVED or sender.email.startswith(NOTIFIER)
    kind: Kind = "status" if tells else "message"
    return line(identity, sender.full_name, kind, site, message.date_sent, message.content)
