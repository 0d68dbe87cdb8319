"""Files that were left for another one, and may still get a line from a writer that does not know it yet."""

from collections.abc import Callable

from producer.generation import Generation

LINGER_SECONDS = 60.0
"""So long after its last line a file that was rotated away is still looked at."""

MOST = 8
"""So many of them at most."""


class Lingering:
    """The files of one followed name that were left, the oldest first."""

    def __init__(self, close: Callable[[Generation], None]) -> None:
        """`close` writes the checkpoint of a file of which nothing more comes, and closes it."""
        self._close = close
        self.generations: list[Generation] = []

    def add(self, generation: Generation) -> None:
        """Look after it from now on."""
        self.generations.append(generation)

    def step(self, now: float) -> bool:
        """Send what still comes of them, and close those of which nothing did for a while; whether something came."""
        moved = [self._look_after(generation, now) for generation in list(self.generations)]
        return any(moved)

    def _look_after(self, generation: Generation, now: float) -> bool:
        moved = generation.step(now)
        packed = generation.shipment.reader.source.compression is not None
        over = packed or now - generation.quiet_since >= LINGER_SECONDS or len(self.generations) > MOST
        if not moved and over and generation.settled:
            self.generations.remove(generation)
            self._close(generation)
        return moved
