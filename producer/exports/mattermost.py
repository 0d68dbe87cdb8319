"""A Mattermost bulk export: JSON lines, each with a type; or the zip that holds them."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator

import msgspec

from producer.exports.bundle import Bundle
from producer.exports.conversion import Conversion, Kind, as_it_is, line, with_extras
from producer.exports.text import Piece
from producer.exports.text import lines as lines_of

log = logging.getLogger(__name__)

NETWORK = "mattermost"
ENDINGS = (".jsonl",)
LONGEST_LINE = 16 << 20
"""Bytes: a post stands on one line with all its replies."""

OTHERS = frozenset(
    {"version", "role", "scheme", "emoji", "team", "channel", "user", "bot", "direct_channel", "thread", "end"}
)
"""Types of lines that are no posts."""

_POSTS = ("post", "direct_post")


class _Attachment(msgspec.Struct):
    path: str = ""


class _Post(msgspec.Struct):
    user: str
    create_at: int
    message: str = ""
    type: str | None = None
    team: str = ""
    channel: str = ""
    channel_members: list[str] | None = None
    attachments: list[_Attachment] | None = None
    replies: "list[_Post] | None" = None


class _Line(msgspec.Struct):
    type: str
    post: _Post | None = None
    direct_post: _Post | None = None


_decode = msgspec.json.Decoder(_Line).decode


def wanted(name: str) -> bool:
    """Whether a part of this name holds posts."""
    return name.endswith(ENDINGS)


def convert(bundle: Bundle, how: Conversion) -> Iterator[bytes]:
    """The posts and, after each, its replies. How many lines are no posts is told at the end."""
    others: Counter[str] = Counter()
    for part in bundle.walk(wanted):
        for text in lines_of(part.stream, LONGEST_LINE):
            if isinstance(text, Piece):
                yield bytes(text)
            elif text.strip():
                yield from _line(text, how, others)
    if others:
        what = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(others.items()))
        log.info("%s: lines that are no posts and were left out: %s", bundle.name, what)


def _line(text: bytes, how: Conversion, others: Counter[str]) -> Iterator[bytes]:
    try:
        entry = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        entry = _Line("")
    post = entry.post if entry.type == "post" else entry.direct_post
    if entry.type in OTHERS:
        others[entry.type] += 1
    elif entry.type in _POSTS and post and (site := _site(post, how)):
        yield _message(post, site, None, how)
        for reply in post.replies or ():
            yield _message(reply, site, post, how)
    else:
        yield as_it_is(text)


def _site(post: _Post, how: Conversion) -> str | None:
    if post.channel_members:
        return how.site(NETWORK, f"direct/{','.join(sorted(post.channel_members))}")
    return how.site(NETWORK, f"{post.team}/{post.channel}") if post.channel else None


def _message(post: _Post, site: str, root: _Post | None, how: Conversion) -> bytes:
    """Mattermost knows a post again by channel, moment, author and text, when it imports one: so do we."""
    above = (root.create_at, root.user, root.message) if root else None
    parts = msgspec.json.encode((site.partition("/")[2], post.create_at, post.user, post.message, above))
    identity = f"{how.network or NETWORK}/{hashlib.blake2b(parts, digest_size=16).hexdigest()}"
    seconds, milliseconds = divmod(post.create_at, 1000)
    timestamp = seconds + milliseconds / 1000 if milliseconds else seconds
    data = with_extras(post.message, [f"[file] {file.path}" for file in post.attachments or ()])
    kind: Kind = "status" if (post.type or "").startswith("system_") else "message"
    return line(identity, post.user, kind, site, timestamp, data)
