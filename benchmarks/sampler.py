"""What a measure cost: core-seconds and memory by group of processes, and how both went over time."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import psutil

EVERY_SECONDS = 0.05
"""How often the processes are looked at: what one used between the last look and its end is not seen."""

NEW_EVERY = 10
"""Every so many looks, new processes are looked for: that costs more, and they use little at first."""


@dataclass
class Usage:
    """What the groups used while they were watched."""

    cpu: dict[str, float] = field(default_factory=dict)
    """Core-seconds by group."""
    peak_mb: dict[str, float] = field(default_factory=dict)
    """The largest resident size of one process of the group, in MB (10^6 bytes)."""
    series: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    """Seconds since the start, and the core-seconds of each group by then."""


class Sampler:
    """Watches groups of processes between `with` and its end.

    `groups` gives for each group a function that names the process ids to watch now: workers come and go. A process
    that is there at the start counts from then on, one that comes later from its own start.
    """

    def __init__(self, groups: Mapping[str, Callable[[], list[int]]]) -> None:
        self._groups = groups
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._seen: dict[int, tuple[str, float, float]] = {}  # process: group, core-seconds at the start, and now
        self._began = time.monotonic()
        self.usage = Usage()

    def __enter__(self) -> Self:
        self._find(first=True)
        self._note()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        self._note()

    def _watch(self) -> None:
        looks = 0
        while not self._over.wait(EVERY_SECONDS):
            looks += 1
            if looks % NEW_EVERY:
                self._look()
            else:
                self._find()
                self._note()

    def _find(self, *, first: bool = False) -> None:
        for group, processes in self._groups.items():
            for pid in processes():
                self._look_at(group, pid, first=first)

    def _look(self) -> None:
        for pid, (group, _, _) in list(self._seen.items()):
            self._look_at(group, pid, first=False)

    def _note(self) -> None:
        used = dict.fromkeys(self._groups, 0.0)
        for group, then, now in self._seen.values():
            used[group] += now - then
        self.usage.cpu = used
        self.usage.series.append((round(time.monotonic() - self._began, 2), used))

    def _look_at(self, group: str, pid: int, *, first: bool) -> None:
        try:
            process = psutil.Process(pid)
            times, memory = process.cpu_times(), process.memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            return
        now = times.user + times.system
        _, then, _ = self._seen.get(pid, (group, now if first else 0.0, 0.0))
        self._seen[pid] = (group, then, now)
        self.usage.peak_mb[group] = max(self.usage.peak_mb.get(group, 0.0), memory)


def children(pid: int) -> list[int]:
    """The ids of a process's descendants, as of now."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
