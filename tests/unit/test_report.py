"""The benchmark's report says what the results say, and its pictures hold their labels."""

import json
import math
import socket
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import machine, plots, report
from benchmarks.drawing import NothingToDraw, percentile, rates_over_time, size_name
from benchmarks.markdown import number, table
from benchmarks.measure import Sample, summary
from benchmarks.report import write_report

TARGETS = [
    {"measure": "10 M lines", "target": "<= 80 s", "value": 91.234, "unit": "s", "met": False, "note": "index | build"},
    {"measure": "producer", "target": ">= 1.0 x kcat", "value": 1.25, "unit": "x", "met": True, "note": ""},
    {"measure": "memory", "target": "<= 150 MB", "value": None, "unit": "MB", "met": True, "note": ""},
]
SERIES = [[0.0, {"kafka": 0.0, "workers": 0.0}], [1.0, {"kafka": 0.25, "workers": 1.0}],
          [2.0, {"kafka": 0.5, "workers": 2.0}]]  # fmt: skip


def samples(*rates: int) -> dict[str, Any]:
    """The summary of a run of a second at each of these rates."""
    return summary([
        Sample(rate, 1.0, {"kafka": 0.5, "workers": 1.5}, {"workers": 211.4}, {"p99_ms": rate / 1000, "series": []})
        for rate in rates
    ])  # fmt: skip


def results(folder: Path, **changed: Any) -> Path:
    """A made-up results file."""
    run: dict[str, Any] = {
        "kind": "small", "started": "2026-01-02T03:04:05+00:00", "seconds": 601.5, "lines": 1_000_000,
        "machine": {"cpu": "A processor", "cores": 2, "versions": {"librdkafka": "2.16.0"}, "extra": "MariaDB 11"},
        "measures": {
            "consume": {"chatferry consume": samples(160_000, 170_000, 150_000), "jq | LOAD": samples(90_000)}
        },
        "targets": TARGETS,
        "figures": {"cpu": {"plot": "cpu", "suite": "consume", "title": "CPU of a run", "data": SERIES,
                            "options": {"cores": 2}}},
    }  # fmt: skip
    path = folder / "small.json"
    path.write_text(json.dumps(run | changed))
    return path


def row_of(text: str, first: str) -> list[str]:
    """The cells of the table's row that begins with this cell."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")]


def svg_text(path: Path) -> str:
    """All texts of an SVG file."""
    return "\n".join(ET.parse(path).getroot().itertext())  # noqa: S314 - we wrote it


# --- the report ---------------------------------------------------------------------------------------------


def test_each_target_stands_beside_its_figure_and_whether_it_is_met(tmp_path: Path) -> None:
    text = write_report(results(tmp_path)).read_text()
    assert row_of(text, "10 M lines") == ["10 M lines", "<= 80 s", "91.2 s", "**missed**", "index / build"]
    assert row_of(text, "producer") == ["producer", ">= 1.0 x kcat", "1.25 x", "met", ""]
    assert "1 of 3 targets are met, 1 missed, 1 not measured." in text
    assert text.index("## Targets") < text.index("## Machine") < text.index("## consume")


def test_target_without_a_figure_is_never_met(tmp_path: Path) -> None:
    text = write_report(results(tmp_path)).read_text()
    assert row_of(text, "memory") == ["memory", "<= 150 MB", "-", "not measured", ""]


def test_measures_have_median_spread_cpu_and_memory(tmp_path: Path) -> None:
    text = write_report(results(tmp_path)).read_text()
    row = row_of(text, "chatferry consume")
    assert row == ["chatferry consume", "3", "160,000", "150,000 to 170,000", "3.12", "9.38", "211"]
    assert "| chatferry consume | p99_ms | 160 | 150 to 170 |" in text


def test_core_seconds_have_their_share(tmp_path: Path) -> None:
    text = write_report(results(tmp_path)).read_text()
    shares = text[text.index("### Where the core-seconds went") :]
    assert row_of(shares, "chatferry consume") == [
        "chatferry consume",
        "1.00",
        "0.500 (25%)",
        "1.50 (75%)",
        "2.00",
        "2.00",
    ]


def test_one_run_has_no_spread(tmp_path: Path) -> None:
    text = write_report(results(tmp_path, measures={"producer": {"kcat": samples(1_100_000)}})).read_text()
    assert row_of(text, "kcat")[1:4] == ["1", "1,100,000", "1,100,000"]


def test_machine_is_described_with_what_it_brings(tmp_path: Path) -> None:
    text = write_report(results(tmp_path)).read_text()
    assert row_of(text, "processor") == ["processor", "A processor"]
    assert row_of(text, "versions") == ["versions", "librdkafka 2.16.0"]
    assert row_of(text, "extra") == ["extra", "MariaDB 11"]


def test_every_picture_that_is_linked_is_there(tmp_path: Path) -> None:
    text = write_report(results(tmp_path)).read_text()
    links = [line.rpartition("(")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert links == ["small-figures/consume-rates.svg", "small-figures/cpu.svg"]
    assert "jq | LOAD" in svg_text(tmp_path / links[0])
    assert "the machine's 2 cores" in svg_text(tmp_path / links[1])


def test_pictures_of_an_earlier_run_are_gone(tmp_path: Path) -> None:
    write_report(results(tmp_path))
    write_report(results(tmp_path, figures={}))
    assert [path.name for path in (tmp_path / "small-figures").iterdir()] == ["consume-rates.svg"]


def test_figures_whose_names_make_the_same_file_name_are_two_files(tmp_path: Path) -> None:
    entry = {"plot": "cpu", "suite": "consume", "data": SERIES}
    write_report(results(tmp_path, figures={"a b": entry, "A-b": entry}))
    names = {path.name for path in (tmp_path / "small-figures").iterdir()}
    assert names == {"a-b.svg", "a-b-2.svg", "consume-rates.svg"}


@pytest.mark.parametrize(
    "entry",
    [None, {}, {"plot": "pie", "data": [1]}, {"plot": "cpu"}, {"plot": "cpu", "data": []},
     {"plot": "throughput", "data": {}}, {"plot": "throughput", "data": {"run 1": []}},
     {"plot": "latency", "data": None}, {"plot": "memory", "data": [[1e9, {}]]}],
)  # fmt: skip
def test_missing_figure_is_named_and_the_rest_is_there(tmp_path: Path, entry: dict[str, Any] | None) -> None:
    text = write_report(results(tmp_path, figures={"over time": entry})).read_text()
    assert "Not drawn: over time: " in text
    assert "| chatferry consume |" in text


def test_figure_of_no_suite_stands_at_the_end(tmp_path: Path) -> None:
    text = write_report(results(tmp_path, figures={"cpu": {"plot": "cpu", "data": SERIES}})).read_text()
    assert text.rstrip().endswith("![cpu](small-figures/cpu.svg)")
    assert text.index("## consume") < text.index("## Other figures")


@pytest.mark.parametrize("measures", [{}, {"consume": {}}, {"consume": {"broken": {}}}])
def test_empty_suite_leaves_the_targets(tmp_path: Path, measures: dict[str, Any]) -> None:
    text = write_report(results(tmp_path, measures=measures, machine={})).read_text()
    assert row_of(text, "10 M lines")[3] == "**missed**"
    assert ("Nothing was measured in this suite." in text) == (measures == {"consume": {}})


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_other_files_are_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(report.BadResults, match=r"other\.json"):
        write_report(path)
    assert not path.with_suffix(".md").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0, "0"), (1234567, "1,234,567"), (1234567.8, "1,234,568"), (999.6, "1,000"), (99.96, "100"),
     (9.999, "10.0"), (12.34, "12.3"), (0.7968, "0.797"), (0.0001234, "0.000123"), (-1.5, "-1.50"), (None, "-"),
     (math.nan, "-"), (math.inf, "-"), (True, "-"), ("7", "-")],
)  # fmt: skip
def test_numbers_have_three_digits_and_separators(value: object, text: str) -> None:
    assert number(value) == text


def test_cell_cannot_end_its_row() -> None:
    assert table(["a"], [["x | y\nz"]]).splitlines() == ["| a |", "| --- |", "| x \\| y z |"]


# --- the pictures -------------------------------------------------------------------------------------------

SPREAD = {"median": 1000.0, "lowest": 900.0, "highest": 1100.0}
BATCHES = [(1.0, 0, 500, "size"), (2.0, 1, 100, "age"), (3.0, 1, 90_000, "bytes")]
PICTURES: list[tuple[Callable[[Path], None], list[str]]] = [
    (lambda path: plots.throughput(path, {"first": [(0, 0), (1, 1000), (2, 2999)], "b": [(0, 0), (9, 9)]}, title="$x$"),
     ["$x$", "rows a second", "seconds since the start", "first", "b", "1,500"]),
    (lambda path: plots.cpu(path, [(0, {"kafka": 0, "own": 0}), (1, {"kafka": 1, "own": 0.5})], cores=4, title="T"),
     ["T", "cores in use", "kafka", "own", "the machine's 4 cores"]),
    (lambda path: plots.batches(path, BATCHES, title="T"),
     ["T", "rows a batch", "worker 0", "worker 1", "size", "age", "bytes", "10,000"]),
    (lambda path: plots.memory(path, [(1e10, {"workers": 201}), (1e9, {"producer": 61, "workers": 233})], title="T"),
     ["T", "1 GB", "10 GB", "233", "61", "bound of producer: 150 MB", "bound of workers: 256 MB"]),
    (lambda path: plots.bars(path, {"chatferry": SPREAD, "jq | LOAD <x>": SPREAD}, ours=["chatferry"], title="T"),
     ["T", "chatferry", "jq | LOAD <x>", "1,000", "rows or lines a second"]),
    (lambda path: plots.latency(path, list(range(1, 101)), title="T"),
     ["T", "p50: 50 ms", "p99: 99 ms", "target for p99: 250 ms"]),
    (lambda path: plots.latency(path, [10, 20, 9000]), ["1,000", "p50: 20 ms", "p99: 9,000 ms"]),
]  # fmt: skip


@pytest.mark.parametrize(("draw", "labels"), PICTURES)
def test_picture_is_an_svg_that_holds_its_labels(
    tmp_path: Path, draw: Callable[[Path], None], labels: list[str]
) -> None:
    path = tmp_path / "picture.svg"
    draw(path)
    texts = [text.strip() for text in svg_text(path).splitlines()]
    assert [label for label in labels if not any(label in text for text in texts)] == []


def test_same_data_makes_the_same_file(tmp_path: Path) -> None:
    paths = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in paths:
        PICTURES[0][0](path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_picture_can_be_a_png(tmp_path: Path) -> None:
    PICTURES[0][0](tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_many_batches_become_one_picture_within_the_svg(tmp_path: Path) -> None:
    plots.batches(tmp_path / "many.svg", [(float(at), 0, at, "size") for at in range(1, 10_001)])
    assert (tmp_path / "many.svg").stat().st_size < 200_000


@pytest.mark.parametrize("plot", plots.PLOTS)
def test_nothing_to_draw_writes_no_file(tmp_path: Path, plot: str) -> None:
    with pytest.raises(NothingToDraw):
        plots.PLOTS[plot](tmp_path / "picture.svg", {})
    assert not list(tmp_path.iterdir())


def test_rates_keep_the_total_and_join_a_short_rest() -> None:
    edges, rates = rates_over_time([(0.0, 0.0), (0.5, 10.0), (1.0, 30.0), (2.0, 40.0), (2.01, 45.0)])
    assert edges == [0.0, 1.0, 2.01]
    assert sum(
        rate * (end - start) for rate, start, end in zip(rates, edges, edges[1:], strict=False)
    ) == pytest.approx(45)


def test_rates_of_a_series_shorter_than_a_window_are_its_mean() -> None:
    assert rates_over_time([(0.0, 0.0), (0.5, 10.0)]) == ([0.0, 0.5], [20.0])
    assert rates_over_time([(0.0, 0.0)]) == ([], [])


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.51, 3), (0.75, 3), (0.99, 4), (1.0, 4), (0.001, 1)])
def test_percentile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert percentile([1, 2, 3, 4], share) == value


@pytest.mark.parametrize(
    ("size", "name"),
    [(1e10, "10 GB"), (1.5e9, "1.5 GB"), (2e6, "2 MB"), (1e3, "1 kB"), (7, "7 B"), (0, "0 B"), (2e13, "20,000 GB")],
)
def test_sizes_are_said_in_decimal_units(size: float, name: str) -> None:
    assert size_name(size) == name


# --- the machine --------------------------------------------------------------------------------------------


def test_machine_names_neither_host_nor_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "commit", lambda: "abc")
    facts = machine.describe(tmp_path)
    text = json.dumps(facts)
    assert facts["commit"] == "abc"
    assert facts["fsync_ms"] > 0
    assert set(report.MACHINE) == set(facts)
    assert not [place for place in (tmp_path, Path.cwd(), Path.home()) if str(place) in text]
    assert "/dev/" not in text
    assert socket.gethostname() not in [word.strip('",') for word in text.split()]
    assert not list(tmp_path.iterdir())


def test_processor_is_read_from_the_kernels_list(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: A B-1 : x\n")
    assert machine.cpu_model(tmp_path / "cpuinfo") == "A B-1 : x"
    assert machine.cpu_model(tmp_path / "none") == "unknown"


def test_file_system_is_that_of_the_device(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 2 8:1 / / rw - ext4 a rw\n3 2 0:22 / /tmp rw shared:1 - tmpfs b rw\n")
    assert machine.file_system("0:22", mounts) == "tmpfs"
    assert machine.file_system("9:9", mounts) == "unknown"
