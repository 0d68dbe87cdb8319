"""Discord: its signed webhook events, and messages that a bot forwards. Pure.

Discord sends the messages of its channels over its Gateway alone. So three things are taken: a Gateway dispatch as a
bot has it (`t` and `d`), a message object alone, and the webhook events that carry messages (LOBBY_MESSAGE_*,
GAME_DIRECT_MESSAGE_*). Facts: Discord's pages "Webhook Events", "Receiving Interactions" and "Message".
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from producer.live.heard import Heard, site_of, stable_id, status_text
from producer.live.webhooks.answers import Refused, unauthorized
from schemas.errors import UsageProblem

SYSTEM = "discord"
SIGNATURE_BYTES = 64
EPOCH_MILLISECONDS = 1_420_070_400_000
"""Discord's own: what the upper 42 bits of an id count from."""

_MESSAGE_TYPES = (0, 19, 20, 23)  # default, reply, slash command, context menu command
_STATUS_TYPES = {1: "join", 2: "part", 4: "rename", 6: "pin", 7: "join", 18: "thread"}


class _User(msgspec.Struct):
    id: str = ""
    username: str = ""
    global_name: str | None = None


class _Message(msgspec.Struct):
    id: str
    channel_id: str
    guild_id: str = ""
    type: int = 0
    author: _User | None = None
    content: str = ""
    timestamp: str = ""
    edited_timestamp: str | None = None
    attachments: list[dict[str, Any]] = []


class Body(msgspec.Struct):
    """A request: a webhook event (`type` and `event`), an interaction (`type`), a dispatch (`t` and `d`), or a message
    alone (`id` and `channel_id`)."""

    t: str | None = None
    d: dict[str, Any] | None = None
    type: int | None = None
    event: dict[str, Any] | None = None
    id: str | None = None
    channel_id: str | None = None


def public_key(text: str) -> Ed25519PublicKey:
    """The application's key, from the hexadecimal digits that Discord shows. Raises `UsageProblem`."""
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text.strip()))
    except ValueError:
        raise UsageProblem(
            "CHATFERRY_DISCORD_PUBLIC_KEY is no key", "It has 64 hexadecimal digits: copy it from the developer portal"
        ) from None


def signature_of(text: str) -> bytes:
    """The signature that a header holds. Raises `Refused` (401) where it can be none."""
    try:
        signature = bytes.fromhex(text)
    except ValueError:
        signature = b""
    if len(signature) != SIGNATURE_BYTES:
        raise unauthorized("the signature is wrong")
    return signature


def check_signature(key: Ed25519PublicKey, timestamp: str, signature: bytes, body: bytes) -> None:
    """See that Discord signed the request. Raises `Refused` (401) where it did not."""
    try:
        key.verify(signature, timestamp.encode("utf-8", "replace") + body)
    except InvalidSignature:
        raise unauthorized("the signature is wrong") from None


def read(body: bytes) -> tuple[Body, dict[str, Any]]:
    """The request's content, and all its fields. Raises `Refused` (400) where it is none of Discord's."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
        return msgspec.convert(fields, Body), fields
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"not a request of Discord's: {error}") from None


def heard(body: Body, fields: dict[str, Any], network: str | None, now: float) -> list[Heard]:
    """What was said: one message or status, or nothing, where the event is of another kind.

    `network` is what `--as` says; `now`, in Unix seconds, is when a message was deleted: Discord does not say that.
    Raises `Refused` (400) where a message lacks what makes one.
    """
    kind, content = _message_in(body, fields)
    if content is None:
        return []
    try:
        message = msgspec.convert(content, _Message)
    except msgspec.ValidationError as error:
        raise Refused(400, f"the message: {error}", field=_missing(content)) from None
    return _heard(kind, message, network, now)


def _message_in(body: Body, fields: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """CREATE, UPDATE or DELETE, and the message; None where there is none."""
    if body.t is not None:
        name, content = body.t, body.d
    elif body.event is not None:
        name, content = str(body.event.get("type")), body.event.get("data")
    elif "content" in fields or "id" in fields:
        return "CREATE", fields
    else:
        return "", None
    system, _, kind = name.rpartition("MESSAGE_")
    known = system in ("", "LOBBY_", "GAME_DIRECT_") and kind in ("CREATE", "UPDATE", "DELETE")
    return kind, content if known else None


def _missing(content: dict[str, Any]) -> str | None:
    return next((name for name in ("id", "channel_id") if not isinstance(content.get(name), str)), None)


def _heard(kind: str, message: _Message, network: str | None, now: float) -> list[Heard]:
    if kind == "CREATE":
        return [_made(message, network, (), _moment(message), *_content(message))]
    if kind == "DELETE":
        data = status_text("deletion", of=_id(message))
        return [_made(message, network, ("deletion",), now, "status", data)]
    if not message.edited_timestamp:
        return []  # Discord itself changed something, such as a link's preview
    data = status_text("edit", of=_id(message), text=_content(message)[1])
    when = message.edited_timestamp
    return [_made(message, network, ("edit", when), _seconds(when, "edited_timestamp"), "status", data)]


def _id(message: _Message, *more: str) -> str:
    return stable_id(SYSTEM, message.channel_id, message.id, *more)


def _made(message: _Message, network: str | None, more: tuple[str, ...], moment: float, kind: Any, data: Any) -> Heard:
    author = message.author or _User()
    channel = f"{message.guild_id}/{message.channel_id}" if message.guild_id else message.channel_id
    return Heard(
        id=_id(message, *more),
        sender=author.username or author.global_name or author.id,
        type=kind,
        site_id=site_of(network or SYSTEM, channel),
        timestamp=moment,
        data=data,
    )


def _content(message: _Message) -> tuple[str, str | None]:
    links = [str(file.get("url") or file.get("filename") or "file") for file in message.attachments]
    text = "\n".join([*([message.content] if message.content else []), *links]) or None
    if message.type in _MESSAGE_TYPES:
        return "message", text
    return "status", status_text(_STATUS_TYPES.get(message.type, f"event-{message.type}"), text=text)


def _moment(message: _Message) -> float:
    """When it was sent: its timestamp, or else what its id says."""
    if message.timestamp:
        return _seconds(message.timestamp, "timestamp")
    if not (message.id.isascii() and message.id.isdigit() and len(message.id) <= 20):
        raise Refused(400, "the message has no timestamp", field="timestamp")
    return ((int(message.id) >> 22) + EPOCH_MILLISECONDS) / 1000


def _seconds(text: str, field: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, f"{field} {text[:40]!r} is no ISO 8601 timestamp", field=field) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
