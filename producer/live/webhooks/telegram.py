"""Telegram's webhook: an Update in each request. Pure. Facts: the pages of the Telegram Bot API."""

from typing import Any

import msgspec

from producer.live.heard import Heard, site_of, stable_id, status_text
from producer.live.webhooks.answers import Refused

SYSTEM = "telegram"

_SERVICE = {
    "new_chat_members": "join",
    "left_chat_member": "part",
    "new_chat_title": "rename",
    "new_chat_photo": "photo",
    "delete_chat_photo": "photo",
    "pinned_message": "pin",
    "group_chat_created": "creation",
    "supergroup_chat_created": "creation",
    "channel_chat_created": "creation",
    "migrate_to_chat_id": "migration",
    "migrate_from_chat_id": "migration",
}
"""Fields that make a Message a service message, and what it is called here."""

_KINDS = (
    "animation", "audio", "document", "photo", "sticker", "story", "video", "video_note", "voice", "contact", "dice",
    "game", "poll", "venue", "location", "invoice",
)  # fmt: skip
"""What a message without a text may hold: its `data` is this word in brackets."""


class Update(msgspec.Struct):
    """An Update, as far as it matters here."""

    update_id: int
    message: dict[str, Any] | None = None
    edited_message: dict[str, Any] | None = None
    channel_post: dict[str, Any] | None = None
    edited_channel_post: dict[str, Any] | None = None


class _Named(msgspec.Struct):
    id: int
    username: str = ""
    first_name: str = ""
    last_name: str = ""
    title: str = ""

    @property
    def shown(self) -> str:
        return self.username or self.title or f"{self.first_name} {self.last_name}".strip() or str(self.id)


class _Message(msgspec.Struct):
    message_id: int
    date: int
    chat: _Named
    sender: _Named | None = msgspec.field(default=None, name="from")
    sender_chat: _Named | None = None
    edit_date: int = 0
    text: str = ""
    caption: str = ""
    new_chat_members: list[_Named] = []
    left_chat_member: _Named | None = None
    new_chat_title: str = ""


def read(body: bytes) -> Update:
    """The Update. Raises `Refused` (400) where it is none."""
    try:
        return msgspec.json.decode(body, type=Update)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"not an Update of Telegram's: {error}") from None


def heard(update: Update, network: str | None) -> list[Heard]:
    """What was said: one message or status, or nothing, where the update is of another kind.

    `network` is what `--as` says. Raises `Refused` (400) where the message lacks what makes one.
    """
    new = update.message or update.channel_post
    edited = update.edited_message or update.edited_channel_post
    fields = new or edited
    if fields is None:
        return []
    try:
        message = msgspec.convert(fields, _Message)
    except msgspec.ValidationError as error:
        raise Refused(400, f"the message: {error}") from None
    return [_heard(message, fields, network, edited=new is None)]


def _heard(message: _Message, fields: dict[str, Any], network: str | None, *, edited: bool) -> Heard:
    parts = [SYSTEM, str(message.chat.id), str(message.message_id)]
    data, moment = _text(message, fields), message.date
    service = next((word for name, word in _SERVICE.items() if fields.get(name)), None)
    if edited:
        moment = message.edit_date or message.date
        data = status_text("edit", of=stable_id(*parts), text=data)
        parts += ["edit", str(moment)]
    elif service:
        data = status_text(service, text=_service_text(message))
    sender = message.sender or message.sender_chat or message.chat
    return Heard(
        id=stable_id(*parts),
        sender=sender.shown,
        type="status" if edited or service else "message",
        site_id=site_of(network or SYSTEM, str(message.chat.id)),
        timestamp=float(moment),
        data=data,
    )


def _text(message: _Message, fields: dict[str, Any]) -> str | None:
    kind = next((kind for kind in _KINDS if kind in fields), None)
    return message.text or message.caption or (f"[{kind}]" if kind else None)


def _service_text(message: _Message) -> str | None:
    names = [member.shown for member in message.new_chat_members]
    if message.left_chat_member:
        names = [message.left_chat_member.shown]
    return message.new_chat_title or ", ".join(names) or None
