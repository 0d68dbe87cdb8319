"""One run of one measure, many runs interleaved, and what they come to."""

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One run of one measure: how many, how long, and what it cost."""

    count: int
    """Rows that were stored, or lines that were sent."""
    seconds: float
    cpu: Mapping[str, float] = field(default_factory=dict)
    """Core-seconds by group of processes."""
    peak_mb: Mapping[str, float] = field(default_factory=dict)
    """Largest resident size of one process of each group, in MB."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """What only this measure has, such as percentiles or a series over time."""

    @property
    def rate(self) -> float:
        """Rows or lines a second."""
        return self.count / self.seconds


Measure = Callable[[], Sample]


class CommandFailed(RuntimeError):
    """A command of a measure failed; the message holds what it said."""


class Missing(RuntimeError):
    """What is to be measured is not on this machine; the message says how to install it."""


def interleaved(measures: Mapping[str, Measure], runs: int, missing: dict[str, str]) -> dict[str, list[Sample]]:
    """Each measure `runs` times, in rounds, so that what the machine does beside falls on all of them alike.

    One whose tool is not there is left out, and so is another's program that fails; both are entered in `missing` with
    the reason. A failure of our own is raised.
    """
    samples: dict[str, list[Sample]] = {}
    for number in range(runs):
        for name, measure in measures.items():
            if name in missing:
                continue
            try:
                sample = measure()
            except (Missing, CommandFailed) as reason:
                if name.startswith(OURS):
                    raise
                missing[name] = str(reason)
                print(f"left out: {name}: {reason}", file=sys.stderr, flush=True)
                continue
            samples.setdefault(name, [])
            samples[name].append(sample)
            print(f"run {number + 1} of {runs}: {name}: {sample.rate:,.0f}/s, {sample.seconds:.1f} s",
                  file=sys.stderr, flush=True)  # fmt: skip
    return samples


OURS = "chatferry"
"""How the names of our own measures begin."""

CURVES = frozenset(["series", "batches_over_time", "milliseconds"])
"""What of `Sample.more` is drawn, and not kept with every run."""


def summary(samples: list[Sample]) -> dict[str, Any]:
    """Median and spread of the rate, the median cost of a line in microseconds by group, and every run."""
    rates = [sample.rate for sample in samples]
    groups = sorted({group for sample in samples for group in sample.cpu})
    return {
        "rate": {"median": statistics.median(rates), "lowest": min(rates), "highest": max(rates)},
        "cpu_us_a_line": {
            group: statistics.median([1e6 * sample.cpu.get(group, 0.0) / sample.count for sample in samples])
            for group in groups
        },
        "peak_mb": {
            group: max(sample.peak_mb.get(group, 0.0) for sample in samples)
            for group in sorted({group for sample in samples for group in sample.peak_mb})
        },
        "runs": [asdict(replace(sample, more=_without_curves(sample.more))) for sample in samples],
    }


def _without_curves(more: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in more.items() if name not in CURVES}
