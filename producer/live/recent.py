"""What came a moment ago, so that it is not taken twice. Pure."""

from collections import OrderedDict

KEPT = 4096


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
