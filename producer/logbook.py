"""The checkpoints of one topic, by the name behind which their files stood: what a run knows of rotated logs."""

import logging
from pathlib import Path
from typing import NamedTuple

import msgspec

from producer.checkpoint import write_state
from producer.private import read_private
from producer.sources.streams import Identity
from producer.state import State, key_of
from schemas.errors import Stop

log = logging.getLogger(__name__)

KEEP_DONE_SECONDS = 30 * 86_400
"""So long the checkpoint of a file that was rotated away and sent to its end is kept: by then the file is gone, or a
compressed copy that could be taken for a new one is."""


class Entry(NamedTuple):
    """One checkpoint: the name of its file without the ending, what it says, and when it was written (Unix ns)."""

    key: str
    state: State
    saved_ns: int


class Logbook:
    """Reads the checkpoints in a state folder, each again only where it was written since."""

    def __init__(self, folder: Path, topic: str, topic_id: str) -> None:
        self._folder = folder
        self._topic = topic
        self._topic_id = topic_id
        self._entries: dict[str, Entry] = {}

    def key_of(self, identity: Identity) -> str:
        """The key of the checkpoint that a file has, or would have."""
        return key_of(identity, self._topic, self._topic_id)

    def refresh(self) -> None:
        """Read what was written since the last time. A file that cannot be read or believed is left out: whoever opens
        it as its checkpoint says so."""
        try:
            found = [file.stem for file in self._folder.iterdir() if file.suffix == ".json"]
        except OSError:  # the folder is made with the first checkpoint
            found = []
        self._entries = {key: entry for key in found if (entry := self.read(key))}

    def read(self, key: str) -> Entry | None:
        """The checkpoint with this key as it is now, without a look at the others."""
        path = self._path(key)
        try:
            saved_ns = path.lstat().st_mtime_ns
            known = self._entries.get(key)
            if known and known.saved_ns == saved_ns:
                return known
            state = msgspec.json.decode(read_private(path) or b"", type=State)
        except (OSError, Stop, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.debug("Checkpoint %s is left out: %s", path, error)
            return None
        ours = (state.topic, state.topic_id) == (self._topic, self._topic_id) and state.whole(key)
        return Entry(key, state, saved_ns) if ours else None

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def get(self, key: str) -> Entry | None:
        """The checkpoint with this key, as of the last `refresh`."""
        return self._entries.get(key)

    def of(self, place: str) -> list[Entry]:
        """The checkpoints of all files that stood behind a name, the oldest first, as of the last `refresh`."""
        entries = [entry for entry in self._entries.values() if entry.state.place == place]
        return sorted(entries, key=lambda entry: entry.saved_ns)

    def finish(self, entry: Entry) -> None:
        """Write down that nothing more is expected of a file that is not there any more.

        Raises `Stop` where the disk does not take it.
        """
        write_state(self._path(entry.key), msgspec.structs.replace(entry.state, done=True))

    def forget(self, entry: Entry) -> None:
        """Remove the checkpoint of a file that is long gone."""
        for ending in (".json", ".lock"):
            (self._folder / f"{entry.key}{ending}").unlink(missing_ok=True)
