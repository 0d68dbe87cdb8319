"""One file that is followed, open: what stands, or stood, behind a name."""

import logging
import os
from dataclasses import dataclass

from producer.shipment import Shipment
from producer.sources.streams import Identity, Source

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""So long a compressed file that is cut short is waited for after it grew for the last time."""

RETRY_SECONDS = 1.0


@dataclass
class Generation:
    """A file on its way. Times are in seconds of the clock that is passed in."""

    shipment: Shipment
    identity: Identity
    quiet_since: float
    """When the last line came."""
    ends_at: int | None = None
    """Its size in bytes when another file was found at its name: so far it is read before that one."""
    at_end: bool = False
    """Whether there was nothing more the last time."""
    _tried_at: int = 0
    _seen_size: int = 0

    def step(self, now: float) -> bool:
        """Send the next block; whether there was one."""
        moved = self.shipment.step()
        self.at_end = not moved
        if moved:
            self.quiet_since = now
        return moved

    @property
    def name(self) -> str:
        """The name under which it was opened, as it can be shown."""
        return self.shipment.name

    @property
    def size(self) -> int:
        """Its size in bytes now."""
        return self._source.status().st_size

    @property
    def removed(self) -> bool:
        """Whether it has no name any more."""
        return self._source.status().st_nlink == 0

    @property
    def _source(self) -> Source:
        return self.shipment.reader.source

    def duplicate(self) -> int:
        """Another descriptor of the file, for somebody else to close."""
        return os.dup(self._source.raw.fileno())

    @property
    def unterminated(self) -> int:
        """Bytes of its last line, which has no newline (yet)."""
        return self.shipment.reader.held

    @property
    def settled(self) -> bool:
        """Whether everything that was read of it is acknowledged."""
        return self.shipment.ledger.settled

    @property
    def unread(self) -> bool:
        """Whether there may be something in it that was not read yet."""
        packed = self._source.compression is not None
        return packed or self.size > self.shipment.reader.position

    @property
    def read_so_far(self) -> bool:
        """Whether it is read up to where it ended when its successor was found (or where it ends now)."""
        return self.ends_at is not None and self.shipment.reader.position >= min(self.ends_at, self.size)

    def waits(self, now: float) -> bool:
        """Whether it is a compressed file that is cut short and may still grow; tries again when it did."""
        reader = self.shipment.reader
        if reader.damage is None:
            return False
        if self.size != self._seen_size:
            self._seen_size = self.size
            self.quiet_since = now
        quiet = now - self.quiet_since
        if quiet >= RETRY_SECONDS and self._tried_at != self._seen_size:
            self._tried_at = self._seen_size
            reader.try_again()
        return quiet < PATIENCE_SECONDS

    def tell_what_is_left(self) -> bool:
        """Say what of it was not sent, now that it is closed; whether it was sent to its end."""
        reader = self.shipment.reader
        if reader.damage:
            log.warning("%s", reader.damage)
            return False
        if self.unterminated:
            log.warning(
                "%s: its last line, %s bytes from byte %s on, has no newline and was not sent; the file is not read "
                "any more. Where that is a whole line, `chatferry produce` of the file sends it",
                self.name,
                f"{self.unterminated:,}",
                f"{reader.whole_lines_end:,}",
            )
        return True
