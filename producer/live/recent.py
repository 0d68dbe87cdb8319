"""What came a moment ago, so that it is not taken twice."""

from collections import OrderedDict

from producer.live.heard import Heard
from producer.live.listener import Ear

KEPT = 4096

RECENT = 1000
"""So many of the last ids are known where what is said is heard, and then found in an archive."""


class Seen:
    """How often the same came, among the last few thousand that came."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._times: OrderedDict[str, int] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._times

    def count(self, name: str) -> int:
        """How often it came before; it came once more now."""
        times = self._times.get(name, 0)
        self._times[name] = times + 1
        self._times.move_to_end(name)
        if len(self._times) > self._kept:
            self._times.popitem(last=False)
        return times


class Once:
    """Puts messages on the spool, each that was not put there a moment ago."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._recent = Seen(RECENT)

    async def take(self, heard: Heard | None) -> None:
        """Take it, where it is one. What the spool's disk did not take counts as not taken."""
        if heard is None or not heard.id or heard.id in self._recent:
            return
        await self._ear.take(heard)
        self._recent.count(heard.id)
