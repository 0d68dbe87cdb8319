"""The benchmark's targets are judged by the figures of one run, and a tool that is missing is left out and said."""

from typing import Any

import pytest

from benchmarks.measure import Missing, Sample, interleaved, summary
from benchmarks.suites import so_far
from benchmarks.targets import TARGETS, judged


def suite(**rates: tuple[float, ...]) -> dict[str, Any]:
    """Summaries of measures that ran a second at each of these rates."""
    return {
        name.replace("_", " "): summary([Sample(int(rate), 1.0, {"workers": 2e-6 * rate}) for rate in found])
        for name, found in rates.items()
    }


def verdict(measure: str, measures: dict[str, Any]) -> dict[str, Any]:
    (found,) = [said for said in judged(measures, 1_000_000) if said["measure"] == measure]
    return found


def test_ratio_is_of_medians_and_against_the_best_of_several() -> None:
    measures = {
        "end to end": {
            **suite(chatferry_load=(50, 80, 60)),
            "best limit: runs of 50,000": summary([Sample(90, 1.0)]),
            "best limit: runs of 500,000": summary([Sample(100, 1.0)]),
        }
    }
    said = verdict("1 M lines, of the best limit", measures)
    assert (said["value"], said["met"]) == (0.6, True)


def test_missed_target_says_so_and_where_its_time_went() -> None:
    load = summary([Sample(100, 120.0, {"mariadb": 130.0, "workers": 40.0})])
    limit = summary([Sample(100, 90.0, {"mariadb": 110.0})])
    measures = {"end to end, large": {"chatferry load": load, "best limit: runs of 1,000,000": limit}}
    said = verdict("10 M lines, file to table", measures)
    assert (said["value"], said["met"]) == (120.0, False)
    assert "chatferry load: 170 core-seconds in 120.0 s (mariadb 130.0, workers 40.0)" in said["note"]


def test_target_for_a_million_lines_is_not_judged_by_fewer() -> None:
    measures = {"end to end": suite(chatferry_load=(60,), article=(5,))}
    said = [t for t in judged(measures, 200_000) if t["measure"] == "1 M lines, over the article's program"]
    assert [(t["value"], t["note"]) for t in said] == [(None, "this run has 200,000 lines")]


def test_what_was_not_measured_is_not_met() -> None:
    for said in judged({}, 1_000_000):
        assert (said["value"], said["met"]) == (None, False)
    assert len(judged({}, 1_000_000)) == len(TARGETS)


@pytest.mark.parametrize(("said", "right"), [("database", 3.0), ("parsing", 2.0)])
def test_own_judgements_are_held_against_what_is_known(said: str, right: float) -> None:
    measures = {
        "what holds it back": {
            name: summary([Sample(1, 1.0, more={"held_back_by": held})])
            for name, held in [
                ("database-bound: a", said),
                ("parsing-bound: b", "parsing"),
                ("source-bound: c", "source"),
            ]
        }
    }
    assert verdict("own judgement right, of 3 situations", measures)["value"] == right


def test_measures_are_taken_in_rounds_and_a_missing_one_is_left_out() -> None:
    order = []

    def present() -> Sample:
        order.append("present")
        return Sample(1, 1.0)

    def absent() -> Sample:
        order.append("absent")
        raise Missing("apt-get install absent")

    missing: dict[str, str] = {}
    samples = interleaved({"present": present, "absent": absent}, 2, missing)
    assert order == ["present", "absent", "present"]
    assert missing == {"absent": "apt-get install absent"}
    assert list(samples) == ["present"]
    assert len(samples["present"]) == 2


def test_curves_are_not_kept_with_every_run() -> None:
    found = summary([Sample(1, 1.0, more={"p99_ms": 5.0, "milliseconds": [1.0, 2.0]})])
    assert found["runs"][0]["more"] == {"p99_ms": 5.0}


def test_rows_so_far_are_the_sum_of_the_batches() -> None:
    assert so_far([(1.0, 0, 10, "full"), (2.5, 1, 5, "full")]) == [(0.0, 0), (1.0, 10), (2.5, 15)]
