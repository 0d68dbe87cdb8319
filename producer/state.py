"""What a checkpoint file holds, and whether it can be believed."""

import hashlib
from pathlib import Path
from typing import Self

import msgspec

from producer.sources.streams import HEAD_BYTES, Identity, Source, printable_path


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the checkpoint file holds, as JSON. `offset` in bytes of the decompressed text."""

    path: str
    topic: str
    offset: int
    head_length: int
    head_sha256: str
    place: str = ""
    """The name behind which the file stood when it was read, as an absolute path that can be shown: rotated, it stands
    elsewhere."""
    topic_id: str = ""
    done: bool = False
    """Whether a file that was rotated away was sent to its end, and is not looked for any more."""
    version: int = 1
    seal: str = ""
    """The hash of all the others and of what the checkpoint stands for: a digit that a bad disk or a hand changed, or
    the checkpoint of a log that begins with the same lines, would skip lines."""

    def sealed(self, key: str) -> Self:
        """The same with its seal; `key` tells source and topic from all others."""
        content = key.encode() + msgspec.json.encode(msgspec.structs.replace(self, seal=""))
        return msgspec.structs.replace(self, seal=hashlib.sha256(content).hexdigest()[:16])

    def whole(self, key: str) -> bool:
        """Whether it is as it was written, for the source and topic of `key`."""
        return (
            self == self.sealed(key)
            and self.version == 1
            and 0 <= self.offset < 1 << 63
            and 0 <= self.head_length <= HEAD_BYTES
        )

    def begins_like(self, head: bytes) -> bool:
        """Whether a file that begins with `head` can be the one that this speaks of."""
        own = head[: self.head_length]
        return len(own) == self.head_length and hashlib.sha256(own).hexdigest() == self.head_sha256

    def distrust(self, key: str, source: Source) -> str | None:
        """Why it does not speak of this file as it is now; None where it does."""
        if not self.whole(key):
            return "its checkpoint is damaged, or another's"
        if not self.begins_like(source.head(self.head_length)):
            return "it is not the file that its checkpoint speaks of"
        if source.compression is None and not _ends_a_line(source, self.offset):
            return "it does not go on where its checkpoint stands (truncated, rewritten, or its last line grew)"
        return None


def _ends_a_line(source: Source, offset: int) -> bool:
    size = source.status().st_size
    if offset > size:
        return False
    return offset in (0, size) or source.part(offset - 1, 1) == b"\n"


def key_of(identity: Identity, topic: str, topic_id: str) -> str:
    """The name, without its ending, of the checkpoint file of a source and topic."""
    return hashlib.sha256(repr((*identity, topic, topic_id)).encode()).hexdigest()[:20]


def place_of(path: str) -> str:
    """The name behind which a file stands, whatever the working folder, as it is written down."""
    return printable_path(str(Path(path).absolute()))
