"""Which line of IRC becomes which message or status, in which channel and under which id. Pure."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from producer.live.heard import Heard, stable_id, status_text
from producer.live.irc.channels import Channels
from producer.live.irc.says import Saying, said
from producer.live.irc.wire import Line, fold
from producer.live.recent import Seen
from producer.live.urls import IrcPlace

OPEN_BATCHES = 256


@dataclass(frozen=True)
class Batch:
    """An open batch (IRCv3): its type, its parameters, and the history that it is in."""

    type: str
    params: tuple[str, ...]
    inside: "Batch | None" = None
    seen: Seen = field(default_factory=Seen)

    @property
    def history(self) -> "Batch | None":
        """The history that it is, or is in; None where it is what happens now."""
        return self if self.type == "chathistory" else self.inside


class Batches:
    """The batches that are open."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Batch] = OrderedDict()

    def note(self, line: Line) -> Batch | None:
        """Take a BATCH line in; the batch that it ends, if it does."""
        reference = line.param(0)
        if not reference.startswith("+"):
            return self._open.pop(reference.removeprefix("-"), None)
        outer = None if line.param(1) == "chathistory" else self.of(line)  # else a chain of them could grow for ever
        self._open[reference[1:]] = Batch(line.param(1), line.params[2:], outer and outer.history)
        if len(self._open) > OPEN_BATCHES:
            self._open.popitem(last=False)
        return None

    def of(self, line: Line) -> Batch | None:
        """The batch that a line is in."""
        return self._open.get(line.tags.get("batch", ""))


class Hearing:
    """From lines to what was heard, in one session.

    The id is the protocol's own where there is one. Else it is made of channel, nick, moment and text, and of a number
    where the same person said the same twice in that millisecond: whoever else hears it from the same server gives it
    the same id, and so does its repetition from a history. Where the server does not even tell the moment, nothing is
    the same for two who hear it, and nothing is ever repeated: the id is the session's, and a number.
    """

    def __init__(self, place: IrcPlace, channels: Channels, nonce: str, clock: Callable[[], float]) -> None:
        """`nonce` tells this session from all others, `clock` gives Unix seconds where the server gives no time."""
        self._place = place
        self._channels = channels
        self._nonce = nonce
        self._clock = clock
        self._number = 0
        self._seen = Seen()

    def hear(self, line: Line, batch: Batch | None) -> list[Heard]:
        """What a line says, in each channel that it speaks of."""
        if (saying := said(line)) is None:
            return []
        return [self._heard(line, channel, saying, batch) for channel in self.where(line, batch)]

    def where(self, line: Line, batch: Batch | None) -> Sequence[str]:
        """The channels that a line speaks of; a history's are the history's own."""
        if line.command not in ("QUIT", "NICK"):
            name = self._channels.name(line.param(0))
        elif batch and batch.history:
            name = self._channels.name("".join(batch.history.params[:1]))
        else:
            return self._channels.of(line.nick)
        return [name] if name else []

    def _heard(self, line: Line, channel: str, saying: Saying, batch: Batch | None) -> Heard:
        moment = line.moment
        return Heard(
            id=self._id(line, channel, saying, batch),
            sender=saying.sender,
            type="status" if saying.event else "message",
            site_id=self._place.site(channel),
            timestamp=round(self._clock(), 3) if moment is None else moment,
            data=self._data(channel, saying, batch),
        )

    def _data(self, channel: str, saying: Saying, batch: Batch | None) -> str:
        if not saying.event:
            return saying.text
        text = saying.text
        if batch and batch.type in ("netsplit", "netjoin"):
            text = f"{batch.type} {' '.join(batch.params)}"
        return status_text(saying.event, of=self._own_id(channel, saying.of) if saying.of else None, text=text)

    def _id(self, line: Line, channel: str, saying: Saying, batch: Batch | None) -> str:
        if line.msgid:
            return self._own_id(channel, line.msgid)
        if line.moment is None:
            self._number += 1
            return self._own_id(channel, f"{self._nonce}-{self._number}")
        parts = (saying.event, saying.sender, f"{line.moment:.3f}", saying.of, saying.text)
        same = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        history = batch.history if batch else None
        number = (history.seen if history else self._seen).count(channel + same)
        return self._own_id(channel, f"{same}-{number}" if number else same)

    def _own_id(self, channel: str, name: str) -> str:
        return stable_id("irc", self._place.network, fold(channel), name)
