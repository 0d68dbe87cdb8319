"""Which export this is, by what is in it. A file is taken for an export only where its first bytes leave no doubt;
all else are JSON lines."""

import re
from collections.abc import Iterable
from contextlib import closing
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from producer.exports import irssi, slack, telegram, weechat, whatsapp, zulip
from producer.exports.bundle import Bundle
from producer.exports.document import Document
from producer.sources.blocks import BOM
from schemas.errors import BadLine, Stop
from schemas.message import parse

HEAD_BYTES = 64 << 10
LOOKED_AT = 100
"""So many files of a folder or zip are looked into at most."""

_LINES = 40
"""So many first lines of a text log are looked at."""

_DOCUMENTS = ("discord", "telegram")
"""One document is the whole file, and goes on behind its first line."""

_CANDIDATES = (".json", ".jsonl", ".txt", ".log", ".weechatlog", ".gz", ".zst", ".xz", ".bz2")
_VERSION = re.compile(rb'\s*\{\s*"type"\s*:\s*"version"\s*,[^\n]*\}\s*\n')


class Found(NamedTuple):
    """A format, and why it is this one."""

    format: str
    reason: str


class _Head:
    """The first bytes of a file as a stream."""

    def __init__(self, head: bytes) -> None:
        self._head = head

    def read(self, size: int, /) -> bytes:
        data, self._head = self._head[:size], self._head[size:]
        return data


def by_head(head: bytes) -> Found | None:
    """The export whose first bytes these are; None where they are no export's, or not surely."""
    head = head.removeprefix(BOM)
    if _VERSION.match(head):
        return Found("mattermost", 'its first line is of the type "version"')
    if head.lstrip()[:1] == b"{":
        return _document(head)
    texts = head.decode("utf-8", "replace").split("\n")[:_LINES]
    return next(filter(None, map(_by_line, texts)), None)


def surely_by_head(head: bytes) -> Found | None:
    """The same, but None as well where a line of these bytes might be meant as one of a log of JSON lines."""
    found = by_head(head)
    whole = head.removeprefix(BOM).split(b"\n")[:-1][:_LINES]
    if found is None or any(map(_is_chat_line, whole)):
        return None
    if found.format in _DOCUMENTS and whole and _is_json(whole[0]):
        return None
    return found


def _is_chat_line(text: bytes) -> bool:
    try:
        parse(text)
    except BadLine:
        return False
    return True


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _by_line(text: str) -> Found | None:
    if irssi.day_of(text):
        return Found("irssi", f"it says {text[:15].strip()!r}")
    if weechat.LINE.match(text):
        return Found("weechat", "a line has date, prefix and text between tabs")
    if whatsapp.HEAD.match(text):
        return Found("whatsapp", "a line begins with date, time and dash or brackets")
    return None


def _document(head: bytes) -> Found | None:
    keys: list[str] = []
    kind = b""
    try:
        document = Document(_Head(head), "")
        for key in document.members():
            keys.append(key)
            if key == "type":
                kind = document.value()
    except Stop:  # where the head ends
        pass
    if keys[:2] == ["guild", "channel"]:
        return Found("discord", "it is a JSON document that begins with guild and channel")
    if "from" in keys or "site_id" in keys:
        return None
    if _is_chat(kind) and "messages" in keys:
        return Found("telegram", "it is a JSON document of a chat with its messages")
    if "chats" in keys or keys[:2] == ["about", "personal_information"]:
        return Found("telegram", "it is a JSON document of an account with its chats")
    return None


def _is_chat(kind: bytes) -> bool:
    try:
        return msgspec.json.decode(kind) in telegram.TYPES
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return False


def by_names(names: Iterable[str]) -> Found | None:
    """The export that has parts of these names; None where they do not tell."""
    lists, days, realm, messages = False, False, False, False
    for name in names:
        base = PurePosixPath(name).name
        lists |= base in slack.USERS | slack.CHANNELS
        days |= slack.DAY.fullmatch(name) is not None
        realm |= base == zulip.REALM
        messages |= zulip.MESSAGES.fullmatch(name) is not None
    if realm and messages:
        return Found("zulip", "it holds realm.json and messages-*.json")
    if lists and days:
        return Found("slack", "it holds lists of users or channels, and files named like days")
    return None


def by_parts(bundle: Bundle) -> Found | None:
    """What a folder, zip or tar holds; None where nothing in it is known."""
    found = by_names(bundle.names())
    if found:
        return found
    candidates = [name for name in bundle.names() if name.endswith(_CANDIDATES)][:LOOKED_AT]
    with closing(bundle.walk(set(candidates).__contains__)) as parts:
        for part in parts:
            found = by_head(part.stream.read(HEAD_BYTES))
            if found:
                return Found(found.format, f"in {part.name}, {found.reason}")
    return None
