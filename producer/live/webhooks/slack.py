"""Slack's Events API: signed requests, the URL's verification, messages and what becomes of them. Pure.

Facts: Slack's pages "Verifying requests from Slack", "The Events API" and "message event" with its subtypes.
"""

import hashlib
import hmac
from typing import Any, NamedTuple

import msgspec

from producer.live.heard import Heard, Kind, site_of, stable_id, status_text
from producer.live.webhooks.answers import Refused, same, unauthorized

SYSTEM = "slack"
TOLERANCE_SECONDS = 300

_STATUS = {
    "channel_join": "join",
    "group_join": "join",
    "channel_leave": "part",
    "group_leave": "part",
    "channel_topic": "topic",
    "group_topic": "topic",
    "channel_purpose": "purpose",
    "group_purpose": "purpose",
    "channel_name": "rename",
    "group_name": "rename",
    "channel_archive": "archive",
    "group_archive": "archive",
    "channel_unarchive": "unarchive",
    "group_unarchive": "unarchive",
    "pinned_item": "pin",
    "bot_add": "bot-join",
    "bot_remove": "bot-part",
}
"""Subtypes that are no message, and what they are called here. Those that are not named (bot_message, file_share,
me_message, thread_broadcast ...) are messages."""


class _Event(msgspec.Struct):
    type: str = ""
    subtype: str = ""
    channel: str = ""
    ts: str = ""
    user: str | None = None
    bot_id: str | None = None
    username: str | None = None
    text: str | None = None
    files: list[dict[str, Any]] | None = None
    message: "_Event | None" = None
    edited: dict[str, Any] | None = None
    deleted_ts: str = ""


class Delivery(msgspec.Struct):
    """The body of a request, as far as it matters here."""

    type: str
    challenge: str = ""
    team_id: str = ""
    event: _Event | None = None


class Signed(NamedTuple):
    """What the headers of a request say of who signed it."""

    timestamp: str
    signature: str


def signed(timestamp: str | None, signature: str | None, now: float) -> Signed:
    """What the headers say, before the body is read.

    Raises `Refused` (401) where that cannot be Slack's, or is not of the last five minutes of `now` (Unix seconds).
    """
    if timestamp is None or signature is None or not (timestamp.isascii() and timestamp.isdigit()):
        raise unauthorized("X-Slack-Request-Timestamp and X-Slack-Signature are needed")
    if abs(now - int(timestamp[:12])) > TOLERANCE_SECONDS:
        raise unauthorized("the request's timestamp is more than five minutes off")
    if len(signature) != len("v0=") + 2 * hashlib.sha256().digest_size:
        raise unauthorized("the signature is wrong")
    return Signed(timestamp, signature)


def check_signature(secret: str, said: Signed, body: bytes) -> None:
    """See that Slack signed the request. Raises `Refused` (401) where it did not."""
    content = b"v0:" + said.timestamp.encode() + b":" + body
    if not same(said.signature, "v0=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()):
        raise unauthorized("the signature is wrong")


def read(body: bytes) -> Delivery:
    """The request's content. Raises `Refused` (400) where it is none of Slack's."""
    try:
        return msgspec.json.decode(body, type=Delivery)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"not a request of Slack's Events API: {error}") from None


def heard(delivery: Delivery, network: str | None) -> list[Heard]:
    """What was said: one message or status, or nothing, where the event is of another kind.

    `network` is what `--as` says. Slack sends an event again that was not answered in time: it has the same id then.
    Raises `Refused` (400) where a message lacks what makes one.
    """
    event = delivery.event
    if delivery.type != "event_callback" or event is None or event.type != "message":
        return []
    if not (event.channel and event.ts):
        missing = "channel" if not event.channel else "ts"
        raise Refused(400, f"the message event has no {missing}", field=missing)
    place = _Channel(delivery.team_id, event.channel, network)
    if event.subtype in ("message_changed", "message_replied"):
        return place.changed(event)
    if event.subtype == "message_deleted":
        return place.deleted(event)
    word = _STATUS.get(event.subtype)
    if word:
        return [place.made(event, event.ts, "status", status_text(word, text=event.text), event.ts)]
    return [place.made(event, event.ts, "message", _text(event), event.ts)]


class _Channel:
    def __init__(self, team: str, channel: str, network: str | None) -> None:
        self._parts = (SYSTEM, team, channel)
        self._site = site_of(network or SYSTEM, f"{team}/{channel}")

    def id_of(self, *parts: str) -> str:
        return stable_id(*self._parts, *parts)

    def made(self, event: _Event, last: str, kind: Kind, data: str | None, ts: str) -> Heard:
        sender = event.user or event.username or event.bot_id or ""
        return Heard(
            id=self.id_of(last), sender=sender, type=kind, site_id=self._site, timestamp=_seconds(ts), data=data
        )

    def changed(self, event: _Event) -> list[Heard]:
        """An edit; nothing where only Slack changed something, such as a link's preview or a count of replies."""
        now = event.message
        if now is None or now.edited is None:
            return []
        when = str(now.edited.get("ts") or event.ts)
        data = status_text("edit", of=self.id_of(now.ts), text=_text(now))
        return [self.made(now, f"{now.ts}/edit/{when}", "status", data, when)]

    def deleted(self, event: _Event) -> list[Heard]:
        data = status_text("deletion", of=self.id_of(event.deleted_ts))
        return [self.made(event, f"{event.deleted_ts}/deletion", "status", data, event.ts)]


def _text(event: _Event) -> str | None:
    """The text, and a line with the link of each file."""
    links = [str(file.get("permalink") or file.get("name") or "file") for file in event.files or []]
    return "\n".join([*([event.text] if event.text else []), *links]) or None


def _seconds(ts: str) -> float:
    try:
        return float(ts)
    except ValueError:
        raise Refused(400, f"ts {ts[:40]!r} is no timestamp", field="ts") from None
