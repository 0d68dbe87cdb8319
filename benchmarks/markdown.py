"""Measures as Markdown tables."""

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

Measures = Mapping[str, Mapping[str, Any]]
"""By name, what `benchmarks.measure.summary` returns."""
NONE = "-"


def number(value: object) -> str:
    """A number with thousands separators and at least three digits of precision; `-` where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    if isinstance(value, int) or abs(value) >= 999.5 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.{2 - math.floor(math.log10(float(f'{abs(value):.2e}')))}f}"


def plain(text: object) -> str:
    """A text for one cell or one line: no line breaks, and nothing that ends a cell."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[int] = ()) -> str:
    """A Markdown table; the columns in `right`, counted from 0, are aligned to the right."""
    rule = ["---:" if column in right else "---" for column in range(len(head))]
    return "\n".join("| " + " | ".join(map(plain, row)) + " |" for row in (head, rule, *rows))


def measure_table(measures: Measures) -> str:
    """Rates with their spread, CPU a line and peak memory by group of processes."""
    cpu = _groups(measure.get("cpu_us_a_line") or {} for measure in measures.values())
    peaks = _groups(measure.get("peak_mb") or {} for measure in measures.values())
    head = ["measure", "runs", "median, a second", "lowest to highest"]
    head += [f"CPU of {group}, us a line" for group in cpu] + [f"peak of {group}, MB" for group in peaks]
    rows = [
        [
            name,
            number(len(measure.get("runs") or ())),
            number((measure.get("rate") or {}).get("median")),
            spread(*((measure.get("rate") or {}).get(end) for end in ("lowest", "highest"))),
            *(number((measure.get("cpu_us_a_line") or {}).get(group)) for group in cpu),
            *(number((measure.get("peak_mb") or {}).get(group)) for group in peaks),
        ]
        for name, measure in measures.items()
    ]
    return table(head, rows, right=range(1, len(head)))


def more_table(measures: Measures) -> str:
    """The numbers that only some measures have, from `more` of their runs; empty where there are none."""
    rows = [
        [name, key, number(statistics.median(values)), spread(min(values), max(values))]
        for name, measure in measures.items()
        for key, values in _more_numbers(measure.get("runs") or ()).items()
    ]
    return table(["measure", "figure", "median", "lowest to highest"], rows, right={2, 3}) if rows else ""


def judgement_table(measures: Measures) -> str:
    """What runs of ours said held them back, and advised; empty where none did."""
    last = {name: measure["runs"][-1].get("more") or {} for name, measure in measures.items() if measure.get("runs")}
    rows = [
        [
            name,
            more["held_back_by"],
            _shares_of_time(more["time"]),
            number(more["batch_rows"]["median"]),
            more["advice"],
        ]
        for name, more in last.items()
        if "held_back_by" in more
    ]
    head = ["measure", "held back by", "workers' time", "lines of the median batch", "advice"]
    return table(head, rows, right={3}) if rows else ""


def _shares_of_time(spent: Mapping[str, float]) -> str:
    """The workers' seconds as shares of all of them; the database is at work beside these."""
    beside = spent.get("database_at_work", 0.0)
    booked = {name: seconds for name, seconds in spent.items() if name != "database_at_work"}
    total = sum(booked.values()) or 1.0
    shares = [f"{name.replace('_', ' ')} {seconds / total:.0%}" for name, seconds in booked.items()]
    return ", ".join([*shares, f"database at work {beside / total:.0%}"])


def share_table(measures: Measures) -> str:
    """Core-seconds by group of processes with their shares; empty where no run knows them.

    The cores busy are the core-seconds by the seconds of the run.
    """
    watched = {name: [run for run in measure.get("runs") or () if run.get("cpu")] for name, measure in measures.items()}
    groups = _groups(run["cpu"] for runs in watched.values() for run in runs)
    if not groups:
        return ""
    head = ["measure", "seconds", *groups, "all groups", "cores busy"]
    rows = [[name, *_shares(runs, groups)] for name, runs in watched.items() if runs]
    return table(head, rows, right=range(1, len(head)))


def spread(lowest: object, highest: object) -> str:
    """Two numbers as `1,000 to 2,000`, or one where they are the same."""
    return number(lowest) if lowest == highest else f"{number(lowest)} to {number(highest)}"


def _shares(runs: Sequence[Mapping[str, Any]], groups: Sequence[str]) -> list[str]:
    used = {group: statistics.median([run["cpu"].get(group, 0.0) for run in runs]) for group in groups}
    whole = sum(used.values())
    busy = statistics.median([sum(run["cpu"].values()) / run["seconds"] for run in runs])
    return [
        number(statistics.median([float(run["seconds"]) for run in runs])),
        *(f"{number(used[group])} ({used[group] / whole:.0%})" if whole else number(0) for group in groups),
        number(whole),
        number(busy),
    ]


def _more_numbers(runs: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for run in runs:
        for key, value in (run.get("more") or {}).items():
            if number(value) != NONE:
                found.setdefault(key, []).append(value)
    return found


def _groups(by_group: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(group for groups in by_group for group in groups))
