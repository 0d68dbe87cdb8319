"""The files to be followed as they stood when the command began, before Kafka had answered."""

import logging
from contextlib import closing, suppress

from producer.checkpoint import OpenCheckpoint
from producer.descriptors import most_followed
from producer.sources.names import Names
from producer.sources.rotated import identity_at
from producer.sources.streams import Source, open_source
from producer.state import place_of
from schemas.errors import Stop

log = logging.getLogger(__name__)


class FirstLook:
    """Holds them open until the topic is known.

    A checkpoint bears the topic's id, so there can be none before. Without one, a file that was rotated away while
    Kafka was waited for would be unknown, and what it held missing.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self._sources: list[Source] = []
        for path in names.look()[: most_followed()]:
            with suppress(Stop):  # what cannot be opened is told when it is begun, and waited for if it is not there
                self._sources.append(open_source(path))

    def claim(self, open_checkpoint: OpenCheckpoint, *, restart: bool) -> list[str]:
        """Give each that stands at its name no more a checkpoint, by which it is found and sent first; let all go.

        With `restart` they are to be sent from their start. Returns the names where one of them stood.
        """
        claimed: list[str] = []
        while self._sources:
            with closing(self._sources.pop()) as source:
                assert source.path is not None
                found = identity_at(source.path)
                if found is None or found[0] != source.identity:
                    self._claim(source, source.path, open_checkpoint, restart=restart)
                    claimed.append(source.path)
        return claimed

    @staticmethod
    def _claim(source: Source, path: str, open_checkpoint: OpenCheckpoint, *, restart: bool) -> None:
        log.info("%s: the file that stood there at the start was renamed or removed since", source.name)
        try:
            with open_checkpoint(source, place_of(path)) as checkpoint:
                checkpoint.save(0 if restart else checkpoint.load())
        except Stop as problem:  # another producer has it, or it is told again with the first file that is begun
            log.warning("%s", problem)
