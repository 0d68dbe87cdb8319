"""What a run says of itself: which stage held it back, and what would help."""

from typing import Any

import pytest

from consumer.filling import BACKLOG, CAUGHT_UP, FULL
from consumer.insight import BROKER, DATABASE, MANY_ROWS, MOST_POINTS, NOTHING, PARSING, SOURCE, Circumstances, Insight
from schemas.reports import BatchDone, Segment, Spent

HERE = Circumstances(workers=2, partitions=4, cores=4, batch_rows=1_000)


def done(spent: Spent, *, messages: int = 1_000, why: str = BACKLOG, worker: int = 0) -> BatchDone:
    return BatchDone(worker, {0: Segment(0, messages, messages, ())}, messages, 0, why, spent)


def insight_of(*reports: BatchDone) -> Insight:
    insight = Insight(lambda: 0.0)
    for report in reports:
        insight.add(report)
    return insight


BOUND_BY_DATABASE = done(Spent(broker=0.1, parsing=2.0, database=4.0, committing=0.2, storing=6.0))
BOUND_BY_PARSING = done(Spent(broker=0.2, parsing=5.0, database=0.0, committing=0.1, storing=1.0))
BOUND_BY_SOURCE = done(Spent(broker=9.0, parsing=0.4, database=0.0, committing=0.3, storing=0.9), why=CAUGHT_UP)


@pytest.mark.parametrize(
    ("report", "held"),
    [(BOUND_BY_DATABASE, DATABASE), (BOUND_BY_PARSING, PARSING), (BOUND_BY_SOURCE, SOURCE)],
)
def test_stage_with_the_most_work_is_named(report: BatchDone, held: str) -> None:
    insight = insight_of(report, report)
    assert insight.held_back_by() == held
    assert insight.account(HERE)["held_back_by"] == held
    assert f"Held back by the {held}" in " ".join(insight.sentences(HERE))


@pytest.mark.parametrize(("storing", "held"), [(1.5, DATABASE), (1.0, BROKER)])
def test_waiting_for_dead_letters_and_offsets_counts_for_the_storing_stage(storing: float, held: str) -> None:
    insight = insight_of(done(Spent(parsing=2.0, committing=1.5, storing=storing)))
    assert insight.held_back_by() == held
    assert f"Held back by the {held}" in " ".join(insight.sentences(HERE))


def test_database_that_was_away_held_the_run_back() -> None:
    report = done(Spent(broker=1.0, parsing=20.0, database=600.0, committing=0.1, storing=605.0))
    assert insight_of(report).held_back_by() == DATABASE


def test_run_without_a_batch_was_held_back_by_nothing() -> None:
    insight = insight_of()
    assert insight.held_back_by() == NOTHING
    assert insight.account(HERE)["batch_rows"] == {"median": 0, "largest": 0, "ended": {}}
    assert "nothing to do" in " ".join(insight.sentences(HERE))


def test_times_add_up_over_the_workers() -> None:
    account = insight_of(BOUND_BY_DATABASE, BOUND_BY_PARSING).account(HERE)
    assert account["time"] == {
        "waiting_for_records": 0.3,
        "parsing": 7.0,
        "waiting_for_database": 4.0,
        "committing": 0.3,
        "database_at_work": 7.0,
        "building_indexes": 0.0,
    }


def test_batches_are_told_by_size_and_reason() -> None:
    spent = Spent(parsing=1.0)
    reports = [done(spent, messages=n, why=why) for n, why in [(10, BACKLOG), (20, BACKLOG), (90, FULL)]]
    assert insight_of(*reports).account(HERE)["batch_rows"] == {
        "median": 20,
        "largest": 90,
        "ended": {BACKLOG: 2, FULL: 1},
    }


@pytest.mark.parametrize(
    ("report", "circumstances", "said"),
    [
        (BOUND_BY_SOURCE, {}, "no worker, partition or index would change that"),
        (BOUND_BY_PARSING, {}, "Another worker would help"),
        (BOUND_BY_PARSING, {"workers": 4, "partitions": 8}, "Workers on another machine would help"),
        (BOUND_BY_PARSING, {"partitions": 2}, "More partitions, and as many workers, would help"),
        (BOUND_BY_DATABASE, {}, "Another worker helps only where the database server has cores"),
        (done(BOUND_BY_DATABASE.spent, messages=MANY_ROWS), {"may_defer": True}, "--defer-indexes always"),
        (BOUND_BY_DATABASE, {"one_writer": True}, "another worker would not help"),
        (BOUND_BY_PARSING, {"one_writer": True}, "SQLite takes one writer"),
    ],
)
def test_advice_is_what_would_help_here(report: BatchDone, circumstances: dict[str, Any], said: str) -> None:
    insight = insight_of(report)
    assert said in insight.advice(HERE._replace(**circumstances))
    assert said in " ".join(insight.sentences(HERE._replace(**circumstances)))


@pytest.mark.parametrize(("rows", "limit"), [(1_000, "--batch-rows"), (300, "--batch-bytes")])
def test_advice_after_batches_at_their_limit_names_the_one_that_they_reached(rows: int, limit: str) -> None:
    full = done(BOUND_BY_DATABASE.spent, messages=rows, why=FULL)
    assert f"a larger {limit}" not in insight_of(full).advice(HERE)
    assert f"a larger {limit}" in insight_of(full, full).advice(HERE)


def test_run_of_repeats_is_not_told_to_build_indexes_anew() -> None:
    repeats = BOUND_BY_DATABASE._replace(rows=0, repeats=MANY_ROWS, segments={0: Segment(0, 1, MANY_ROWS, ())})
    assert "--defer-indexes" not in insight_of(repeats).advice(HERE._replace(may_defer=True))


def test_building_of_indexes_is_in_the_account_and_in_the_sentence() -> None:
    here, insight = HERE._replace(building_seconds=3.44), insight_of(BOUND_BY_DATABASE)
    assert insight.account(here)["time"]["building_indexes"] == 3.44
    assert "building the indexes then took 3.4 s" in " ".join(insight.sentences(here))
    assert "indexes" not in " ".join(insight.sentences(HERE))


def test_advice_does_not_speak_of_what_is_so_already() -> None:
    advice = insight_of(BOUND_BY_DATABASE).advice(HERE)
    assert "--defer-indexes" not in advice
    assert "--batch-rows" not in advice


def test_list_of_batches_stays_short_and_covers_the_whole_run() -> None:
    insight = Insight(lambda: 0.0)
    total = 10 * MOST_POINTS
    for number in range(total):
        insight.add(done(Spent(parsing=0.1), messages=number + 1))
    points = insight.account(HERE)["batches_over_time"]
    assert MOST_POINTS // 3 < len(points) <= MOST_POINTS
    sizes = [size for _, _, size, _ in points]
    assert sizes == sorted(sizes)
    assert sizes[0] == 1
    assert sizes[-1] > total * 0.9
    assert insight.account(HERE)["batch_rows"]["largest"] == total
