"""What all pictures of measures share: colours, axes, the file, and rates out of totals.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart. An SVG keeps its text as text and
has neither a date nor random names: the same data gives the same file.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.typing import RcKeyType

BLUE, ORANGE, GREEN, PINK, SKY, RED, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED, BLACK)
GROUPS = {"kafka": ORANGE, "mariadb": BLUE, "main": GREEN, "producer": GREEN, "workers": PINK}
MUTED = "#B8B8B8"
MARKERS = "osD^vPX"
DASHES = ("-", "--", ":", "-.")
ROW_LETTERS = 105  # how much text a legend can have in a row
WIDTH = 8.0  # inches; some 770 pixels in a browser
STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "chatferry", "text.parse_math": False, "font.size": 10,
    "font.family": "sans-serif", "axes.titlesize": 11, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "axes.axisbelow": True, "grid.color": "#E4E4E4", "legend.frameon": False,
    "savefig.dpi": 150,
}  # fmt: skip

Series = Sequence[tuple[float, float]]


class NothingToDraw(ValueError):
    """The data of a picture hold no point."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of the sorted values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def rates_over_time(series: Series, window: float | None = None) -> tuple[list[float], list[float]]:
    """The edges of windows in seconds (n + 1), and the change a second within each (n), never below 0.

    `series` is (seconds, so much by then). A window is at least as long as `window`: without one, a second or the 30th
    part of the series.
    """
    if len(series) < 2:
        return [], []
    least = window or max(1.0, (series[-1][0] - series[0][0]) / 30)
    kept = [series[0]]
    for point in series[1:]:
        if point[0] - kept[-1][0] >= least:
            kept.append(point)
    if series[-1][0] > kept[-1][0]:  # the rest is too short for a window: the last one takes it
        kept[max(1, len(kept) - 1) :] = [series[-1]]
    rates = [max(0.0, (after[1] - before[1]) / (after[0] - before[0])) for before, after in pairwise(kept)]
    return [seconds for seconds, _ in kept], rates


def need(given: bool) -> None:
    """Raise `NothingToDraw` unless something is given."""
    if not given:
        raise NothingToDraw("its data hold no point")


def colours_of(groups: Sequence[str]) -> dict[str, str]:
    """A colour for each group of processes: the same group has the same colour in every picture."""
    spare = iter([colour for colour in COLOURS if colour not in {GROUPS.get(group) for group in groups}] * len(groups))
    return {group: GROUPS.get(group) or next(spare) for group in groups}


def size_name(size: float) -> str:
    """A number of bytes as people say it: `1 GB` is 10^9."""
    unit, name = next(
        ((unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if size >= unit), (1, "B")
    )
    return f"{round(size / unit, 1):,g} {name}"


def name_axes(axes: Axes, x: str, y: str, *, grid: str = "y") -> None:
    """Label both axes, draw the grid of one, and write numbers with thousands separators.

    With `grid="x"` the y axis keeps its names.
    """
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, axis="x" if grid == "x" else "y")
    _plain_numbers(axes.xaxis)
    if grid == "y":
        _plain_numbers(axes.yaxis)


def logarithmic(axes: Axes, which: str) -> None:
    """Make the x or the y axis logarithmic, with plain numbers."""
    if which == "x":
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        _plain_numbers(axes.xaxis)
    else:
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)


def _plain_numbers(axis: Axis) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, axes: Axes) -> None:
    """The legend of the axes, below the picture: in one row where it fits, areas before lines."""
    pairs = sorted(zip(*axes.get_legend_handles_labels(), strict=True), key=lambda pair: isinstance(pair[0], Line2D))
    handles, labels = [handle for handle, _ in pairs], [label for _, label in pairs]
    fits = sum(len(label) + 6 for label in labels) <= ROW_LETTERS
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) if fits else 3)


@contextmanager
def picture(path: Path, title: str, *, height: float = 3.6) -> Iterator[tuple[Figure, Axes]]:
    """A figure of one panel, of this height in inches; written when the block ends."""
    with pictures(path, title, 1, height) as (figure, panels):
        yield figure, panels[0]


@contextmanager
def pictures(
    path: Path, title: str, panels: int, height: float, *, share_y: bool = True
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of panels, one below the other, each of this height in inches; written when the block ends."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height * panels + (0.6 if panels > 1 else 0)), layout="constrained")
        made = figure.subplots(panels, 1, sharex=True, sharey=share_y, squeeze=False)
        yield figure, [row[0] for row in made]
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        vector = path.suffix == ".svg"
        figure.savefig(path, metadata={"Date": None, "Creator": None} if vector else {"Software": None})
