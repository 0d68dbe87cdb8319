"""Death at each named place of the way, on the real commands: whatever was half done is done once in the end."""

import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.generate import Expected, digest, digest_rows, generate
from terminal.failpoints import VARIABLE, Place
from tests.acceptance.ferry import Ferry, bad_lines, committed, lines_of, records, table_rows

LINES = 6_000
WORKER_PLACES = (
    Place.WORKER_STORED,
    pytest.param(Place.WORKER_DEAD_LETTERS, marks=pytest.mark.long),
    pytest.param(Place.WORKER_REPORTED, marks=pytest.mark.long),
    Place.WORKER_COMMITTED,
)
PRODUCER_PLACES = (Place.PRODUCER_ACKNOWLEDGED, Place.CHECKPOINT_WRITTEN, Place.CHECKPOINT_RENAMED)
INDEX_PLACES = (Place.INDEXES_DROPPED, Place.INDEXES_DUE)


@dataclass(frozen=True)
class Scene:
    """A log with repeats and bad lines in it, and where it goes."""

    log: Path
    held: Expected
    marker: Path
    produce: Sequence[str]
    consume: Sequence[str]


@pytest.fixture
def scene(brokers: str, topic: str, group: str, database: str, tmp_path: Path) -> Scene:
    """A log that nothing was sent of yet."""
    log = tmp_path / "chat.jsonl"
    held = generate(log, LINES, repeats=0.01, bad=0.05)
    named = ["--brokers", brokers, "--topic", topic, "--json"]
    produce = ["produce", str(log), *named, "--state", str(tmp_path / "state")]
    consume = ["consume", *named, "--group", group, "--database", database, "--until-end"]
    consume += ["--batch-rows", "500", "--batch-seconds", "3"]  # full ones, also of a slow broker: each has bad lines
    return Scene(log, held, tmp_path / "died", produce, consume)


def failpoint(place: Place, marker: Path, count: int = 1) -> Mapping[str, str]:
    """The environment in which one process dies at the place, once."""
    return {VARIABLE: f"{place}:kill:{count}:{marker}"}


@pytest.mark.parametrize("place", WORKER_PLACES)
def test_worker_killed_at_a_place_of_its_loop_repeats_what_it_had_not_committed_and_loses_nothing(
    place: Place, brokers: str, topic: str, group: str, database: str, ferry: Ferry, scene: Scene
) -> None:
    held = scene.held
    ferry.run(*scene.produce)
    result = ferry.start(*scene.consume, env=failpoint(place, scene.marker, 3)).wait()
    assert result.status == 0, result.err
    assert scene.marker.exists()
    assert result.err.count("was ended by signal 9") == 1
    account = result.json
    assert account["messages"] == account["rows"] + account["repeats"] + account["dead_letters"] == held.lines
    if place in (Place.WORKER_STORED, Place.WORKER_DEAD_LETTERS):  # rows that nobody had reported are found as repeats
        assert account["repeats"] > held.repeats
    assert digest_rows(table_rows(database)) == digest(scene.log)
    letters = Counter(letter.value for letter in records(brokers, f"{topic}.dlq"))
    assert letters.keys() == set(bad_lines(scene.log))
    if place is Place.WORKER_COMMITTED:
        assert account["repeats"] == held.repeats, "rows whose offsets were committed came again"
        assert letters.total() == held.bad
    if place in (Place.WORKER_DEAD_LETTERS, Place.WORKER_REPORTED):
        assert letters.total() > held.bad, "no dead letter came twice: the batch was not repeated"
    assert sum(committed(brokers, group).values()) == held.lines


@pytest.mark.parametrize("place", PRODUCER_PLACES)
def test_producer_killed_around_its_checkpoint_sends_again_what_no_checkpoint_knew_and_leaves_no_gap(
    place: Place, brokers: str, topic: str, ferry: Ferry, scene: Scene
) -> None:
    killed = ferry.start(*scene.produce, "--rate", "3000", env=failpoint(place, scene.marker)).wait()
    assert killed.status == -signal.SIGKILL
    before = len(records(brokers, topic))
    assert 0 < before < scene.held.lines
    again = ferry.run(*scene.produce).json
    copies, lines = Counter(record.value for record in records(brokers, topic)), Counter(lines_of(scene.log))
    assert copies >= lines
    assert copies.keys() == lines.keys()
    assert copies.total() == before + again["acknowledged"]
    known = again["resumed_from"][str(scene.log)]
    if place is Place.CHECKPOINT_RENAMED:
        assert known > 0
    else:
        assert known == 0
        assert copies.total() == scene.held.lines + before, "nothing was sent again"


@pytest.mark.parametrize("place", INDEX_PLACES)
def test_run_killed_with_the_indexes_off_leaves_what_db_check_sees_and_the_next_run_mends(
    place: Place, database: str, ferry: Ferry, scene: Scene
) -> None:
    ferry.run(*scene.produce)
    killed = ferry.start(*scene.consume, env=failpoint(place, scene.marker)).wait()
    assert killed.status == -signal.SIGKILL
    assert len(table_rows(database)) == (0 if place is Place.INDEXES_DROPPED else scene.held.rows)
    assert "lacks" in ferry.run("db", "check", "--database", database, check=1).error
    ferry.run(*scene.consume)
    ferry.run("db", "check", "--database", database)
    assert digest_rows(table_rows(database)) == digest(scene.log)
