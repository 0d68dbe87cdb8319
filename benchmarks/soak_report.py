"""What is written of a soak: its results, a picture and a page."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.drawing import COLOURS, legend, name_axes, pictures
from benchmarks.markdown import number, table

NAMES = {"rss_mb": "resident memory, MB", "descriptors": "file descriptors", "threads": "threads"}

Points = Mapping[str, Sequence[tuple[float, Mapping[str, float]]]]
"""By process: seconds since the start, and what it had then."""


def growth(points: Points) -> list[tuple[str, str, float, float]]:
    """Process, figure, and its median in the second and the last tenth of the run."""
    found = []
    for process, series in points.items():
        tenth = max(len(series) // 10, 1)
        early, late = series[tenth : 2 * tenth] or series, series[-tenth:]
        found += [(process, figure, _median(early, figure), _median(late, figure)) for figure in NAMES]
    return found


def _median(series: Sequence[tuple[float, Mapping[str, float]]], figure: str) -> float:
    return statistics.median(values[figure] for _, values in series)


def write(result: Mapping[str, Any], wrong: Sequence[str], folder: Path) -> Path:
    """Write all of it; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.json").write_text(json.dumps({**result, "wrong": wrong}), encoding="utf-8")
    draw(result["points"], folder / "soak.svg")
    judgement = "Not as it should be: " + "; ".join(wrong) if wrong else "Nothing grew, and every line is accounted for"
    grown = [
        [process, NAMES[figure], number(early), number(late)]
        for process, figure, early, late in growth(result["points"])
    ]
    said = [[name, number(room["said"]), number(room["rows"])] for name, room in result["rooms"].items()]
    blocks = [
        "# Soak",
        _told(result),
        f"{judgement}.",
        table(["chat system", "messages said", "in the table"], said, right={1, 2}),
        table(["process", "figure", "second tenth, median", "last tenth, median"], grown, right={2, 3}),
        "![Memory, file descriptors and threads over time](soak.svg)",
    ]
    page = folder / "soak.md"
    page.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return page


def _told(result: Mapping[str, Any]) -> str:
    produced, heard, consumed = result["produced"], result["heard"], result["consumed"]
    flow = (
        f"{result['minutes']:g} minutes, {result['rate']:,} lines a second into a followed file that was rotated "
        f"{result['rotations']} times: {result['written']:,} lines written, {produced['acknowledged']:,} acknowledged."
    )
    rooms = (
        f"Beside it a listener in {len(result['rooms'])} chat systems, whose connections were cut {result['cuts']} "
        f"times: {heard['acknowledged']:,} lines acknowledged."
    )
    stored = (
        f"{consumed['messages']:,} consumed = {consumed['rows']:,} rows + {consumed['repeats']:,} repeats + "
        f"{consumed['dead_letters']:,} dead letters; {result['rows']:,} rows in the table."
    )
    return f"{flow} {rooms} {stored}"


def draw(points: Points, path: Path) -> None:
    """A panel for each figure, a line for each process, over minutes."""
    with pictures(path, "", len(NAMES), 2.6, share_y=False) as (figure, panels):
        for axes, key in zip(panels, NAMES, strict=True):
            for place, (process, series) in enumerate(points.items()):
                minutes = [seconds / 60 for seconds, _ in series]
                axes.plot(minutes, [values[key] for _, values in series], label=process, linewidth=1.4,
                          color=COLOURS[place % len(COLOURS)])  # fmt: skip
            name_axes(axes, "minutes" if axes is panels[-1] else "", NAMES[key])
            axes.set_ylim(bottom=0)
        legend(figure, panels[0])
