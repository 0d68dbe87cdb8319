"""Pictures of measures: each function writes one file, SVG or PNG by the ending of its path.

Each raises `NothingToDraw` where its data hold no point, and `OSError` where the file cannot be written.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import fill

from benchmarks.drawing import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    MARKERS,
    MUTED,
    RED,
    Series,
    colours_of,
    legend,
    logarithmic,
    name_axes,
    need,
    percentile,
    picture,
    pictures,
    rates_over_time,
    size_name,
)
from benchmarks.markdown import number as written

BOUNDS_MB = {"producer": 150.0, "workers": 256.0}
TARGET_MS = 250.0
MANY_POINTS = 2_000  # beyond these, points become one embedded picture, lest the SVG grow


def throughput(path: Path, runs: Mapping[str, Series], *, title: str = "", unit: str = "rows") -> None:
    """Rows a second over time; `runs` gives for each run its (seconds, rows so far).

    A rate is that of a window of a second or, for runs over half a minute, of their 30th part.
    """
    drawn = {name: rates_over_time(series) for name, series in runs.items()}
    need(any(rates for _, rates in drawn.values()))
    with picture(path, title) as (figure, axes):
        for number, (name, (edges, rates)) in enumerate(drawn.items()):
            middles = [(start + end) / 2 for start, end in pairwise(edges)]
            axes.plot([*edges[:1], *middles, *edges[-1:]], [*rates[:1], *rates, *rates[-1:]], label=name, linewidth=1.8,
                      linestyle=DASHES[number % len(DASHES)], color=COLOURS[number % len(COLOURS)])  # fmt: skip
        name_axes(axes, "seconds since the start", f"{unit} a second")
        axes.set_xlim(0, max(edges[-1] for edges, _ in drawn.values() if edges))
        axes.set_ylim(bottom=0)
        if len(drawn) > 1:
            legend(figure, axes)


def cpu(
    path: Path, series: Sequence[tuple[float, Mapping[str, float]]], *, title: str = "", cores: int | None = None
) -> None:
    """Cores in use over time, stacked by group of processes, with a line at the machine's `cores`.

    `series` is `Usage.series`: seconds, and the core-seconds of each group by then.
    """
    groups = list(dict.fromkeys(group for _, used in series for group in used))
    by_group = {group: [(seconds, used.get(group, 0.0)) for seconds, used in series] for group in groups}
    span = series[-1][0] - series[0][0] if series else 0.0
    drawn = {group: rates_over_time(points, max(0.4, span / 150)) for group, points in by_group.items()}
    need(any(rates for _, rates in drawn.values()))
    with picture(path, title) as (figure, axes):
        below = [0.0] * len(next(iter(drawn.values()))[1])
        for group, colour in colours_of(groups).items():
            edges, rates = drawn[group]
            above = [low + rate for low, rate in zip(below, rates, strict=True)]
            axes.stairs(above, edges, baseline=below, fill=True, label=group, color=colour, linewidth=0)
            below = above
        if cores:
            axes.axhline(cores, color=BLACK, linewidth=1, linestyle="--", label=f"the machine's {cores} cores")
        name_axes(axes, "seconds since the start", "cores in use")
        axes.set_xlim(0, max(edges[-1] for edges, _ in drawn.values()))
        axes.set_ylim(bottom=0, top=max(*below, cores or 0) * 1.05 or 1)
        legend(figure, axes)


def batches(path: Path, points: Sequence[tuple[float, object, float, str]], *, title: str = "") -> None:
    """Batch sizes over time, one panel a worker; colour and shape say why a batch ended.

    A point is (seconds, worker, rows, why). Rows are on a logarithmic axis where they differ much.
    """
    need(bool(points))
    workers = sorted({str(worker) for _, worker, _, _ in points})
    reasons = list(dict.fromkeys(why for *_, why in points))
    rows = [row for _, _, row, _ in points]
    with pictures(path, title, len(workers), 1.7 if len(workers) > 1 else 3.0) as (figure, panels):
        for worker, axes in zip(workers, panels, strict=True):
            for number, why in enumerate(reasons):
                mine = [(at, size) for at, who, size, cause in points if (str(who), cause) == (worker, why)]
                axes.plot([at for at, _ in mine], [size for _, size in mine], linestyle="none", label=why, markersize=5,
                          marker=MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)], alpha=0.75,
                          markeredgewidth=0, rasterized=len(points) > MANY_POINTS)  # fmt: skip
            if len(workers) > 1:
                axes.set_title(f"worker {worker}", fontsize=9, pad=3)
            name_axes(axes, "", "rows a batch")
            if min(rows) > 0 and max(rows) > 30 * min(rows):
                logarithmic(axes, "y")
            else:
                axes.set_ylim(0, max(rows) * 1.08 or 1)
        panels[-1].set_xlabel("seconds since the start")
        legend(figure, panels[0])


def memory(
    path: Path,
    points: Sequence[tuple[float, Mapping[str, float]]],
    *,
    title: str = "",
    bounds: Mapping[str, float] = BOUNDS_MB,
) -> None:
    """Peak memory by file size, in bars, with the bound of each group; a point is (bytes, {group: MB})."""
    groups = list(dict.fromkeys(group for _, peaks in points for group in peaks))
    need(bool(groups))
    ordered = sorted(points, key=lambda point: point[0])
    width = 0.7 / len(groups)
    highest = max(
        [peak for _, peaks in points for peak in peaks.values()] + [bounds.get(group, 0.0) for group in groups]
    )
    with picture(path, title) as (figure, axes):
        for number, (group, colour) in enumerate(colours_of(groups).items()):
            aside = (number - (len(groups) - 1) / 2) * width
            mine = [(place + aside, peaks[group]) for place, (_, peaks) in enumerate(ordered) if group in peaks]
            axes.bar([place for place, _ in mine], [peak for _, peak in mine], width * 0.92, color=colour,
                     label=group)  # fmt: skip
            for place, peak in mine:  # at the foot, where no bound runs through the number
                axes.annotate(f"{peak:,.0f}", (place, 0), (0, 4), textcoords="offset points", ha="center")
            if group in bounds:
                axes.axhline(bounds[group], color=BLACK, linestyle=DASHES[1 + number % 3], linewidth=1.4,
                             label=f"bound of {group}: {bounds[group]:,.0f} MB")  # fmt: skip
        name_axes(axes, "size of the file", "peak memory of a process, MB")
        axes.set_xticks(range(len(ordered)), [size_name(size) for size, _ in ordered])
        axes.set_ylim(0, highest * 1.12 or 1)
        axes.set_xlim(-0.6, len(ordered) - 0.4)
        axes.tick_params(axis="x", length=0)
        legend(figure, axes)


def bars(
    path: Path,
    rates: Mapping[str, Mapping[str, float]],
    *,
    title: str = "",
    ours: Collection[str] = (),
    unit: str = "rows or lines a second",
) -> None:
    """Median rates as horizontal bars, the fastest on top, with a line from the lowest to the highest run.

    `rates` gives for each measure `median`, `lowest` and `highest`; those in `ours` have chatferry's colour.
    """
    need(bool(rates))
    names = sorted(rates, key=lambda name: rates[name]["median"])
    medians = [rates[name]["median"] for name in names]
    highest = max(rates[name]["highest"] for name in names)
    spread = [[rates[name]["median"] - rates[name]["lowest"] for name in names],
              [rates[name]["highest"] - rates[name]["median"] for name in names]]  # fmt: skip
    with picture(path, title, height=0.9 + 0.36 * len(names)) as (figure, axes):
        colours = [BLUE if name in ours else MUTED for name in names]
        line = {"ecolor": BLACK, "elinewidth": 1.2, "capsize": 3}
        axes.barh([fill(name, 44) for name in names], medians, 0.68, color=colours, xerr=spread, error_kw=line)
        for place, name in enumerate(names):
            axes.text(rates[name]["highest"] + highest * 0.015, place, written(rates[name]["median"]), va="center")
        name_axes(axes, "", "", grid="x")
        figure.supxlabel(f"{unit}: the median run, and a line from the lowest to the highest", fontsize=10)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, highest * 1.2 or 1)


def latency(path: Path, milliseconds: Sequence[float], *, title: str = "", target_ms: float = TARGET_MS) -> None:
    """The share of lines that were visible within a time, with the 50th and 99th percentile and the target.

    The time is on a logarithmic axis where the slowest line took over four times the target.
    """
    need(bool(milliseconds))
    ordered = sorted(milliseconds)
    shares = [number / 1000 for number in range(1, 1001)]
    with picture(path, title) as (figure, axes):
        axes.plot([percentile(ordered, share) for share in shares], [100 * share for share in shares], color=BLUE)
        for share, marker in ((0.5, "o"), (0.99, "s")):
            at = percentile(ordered, share)
            axes.plot([at], [100 * share], linestyle="none", marker=marker, color=BLACK, clip_on=False,
                      label=f"p{100 * share:.0f}: {at:,.0f} ms")  # fmt: skip
        axes.axvline(target_ms, color=RED, linestyle="--", linewidth=1.4, label=f"target for p99: {target_ms:,.0f} ms")
        name_axes(axes, "milliseconds from the written line to its visible row", "lines, %")
        axes.set_ylim(0, 105)
        if ordered[-1] > 4 * target_ms:
            logarithmic(axes, "x")
        else:
            axes.set_xlim(0, max(target_ms, ordered[-1]) * 1.08)
        legend(figure, axes)


PLOTS: dict[str, Callable[..., None]] = {
    "throughput": throughput, "cpu": cpu, "batches": batches, "memory": memory, "bars": bars, "latency": latency,
}  # fmt: skip
"""Every picture by its name: each takes a path, its data, and options by name, `title` among them."""
