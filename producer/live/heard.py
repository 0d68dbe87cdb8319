"""What a listener hears, as the line that goes onto the topic. Pure."""

import hashlib
from typing import Literal

import msgspec

from schemas.message import NAME_LENGTH

Kind = Literal["message", "status"]


class Heard(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One message of a live system, or one status: a join, a part, a rename, a topic, an edit, a deletion.

    `id` is from `stable_id`, `site_id` from `site_of`, `timestamp` in Unix seconds: when it was said, as the system
    tells it. `data` is the text; for a status it is from `status_text`.
    """

    id: str
    sender: str = msgspec.field(name="from")
    type: Kind
    site_id: str
    timestamp: float
    data: str | None = None

    def line(self) -> bytes:
        """One JSON object on one line, without a newline, such as `schemas.message.parse` takes."""
        fit = msgspec.structs.replace(self, sender=self.sender[:NAME_LENGTH])
        try:
            return msgspec.json.encode(fit)
        except UnicodeEncodeError:  # half of a surrogate pair, which no UTF-8 holds
            return msgspec.json.encode(_without_surrogates(fit))


def _without_surrogates(heard: Heard) -> Heard:
    texts = {name: value for name in heard.__struct_fields__ if isinstance(value := getattr(heard, name), str)}
    return msgspec.structs.replace(heard, **{name: _replaced(text) for name, text in texts.items()})


def _replaced(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def stable_id(*parts: str) -> str:
    """The id of a message: the same for whoever hears it, and no other's.

    `parts` name it among all messages of the world: system, network, channel, the protocol's own id there; or that
    alone where it is global, as a Matrix event's. Joined by `/`; where that does not fit into 255 characters, the
    first part and a SHA-256 of them all.
    """
    joined = "/".join(parts)
    if len(joined) <= NAME_LENGTH:
        return joined
    return f"{parts[0][:64]}/{_digest(repr(parts))}"


def site_of(network: str, channel: str) -> str:
    """`network/channel`; one that is longer than 255 characters ends in a hash of what was cut."""
    site = f"{network}/{channel}"
    return site if len(site) <= NAME_LENGTH else f"{site[: NAME_LENGTH - 17]}~{_digest(site)[:16]}"


def status_text(event: str, *, of: str | None = None, text: str | None = None) -> str:
    """The `data` of a status: `event[ of ID][: TEXT]`.

    `event` is a word: join, part, rename, topic, edit, deletion. `of` is the id of the message that it speaks of.
    """
    return event + (f" of {of}" if of else "") + (f": {text}" if text else "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
