"""Files merged by time: in order, nothing lost, and each line accounted for in its own file's ledger."""

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.checkpoint import Checkpoint
from producer.descriptors import make_room
from producer.ledger import Counts, Pending
from producer.looping import Loop
from producer.merging import Conductor
from producer.moments import Window, moment_of
from producer.pacing import GROUP_BYTES, Pace
from producer.publisher import Publisher
from producer.shipment import Manner, Shipment
from producer.sources.reader import Reader
from producer.sources.streams import open_source
from schemas.errors import Stop, UsageProblem
from schemas.topics import Oversize

LONGEST = 400


@dataclass
class Topic:
    """Stands where the publisher stands, and takes what it is given; it acknowledges when it is told to."""

    lines: list[bytes] = field(default_factory=list)
    references: list[int] = field(default_factory=list)
    unacknowledged: list[Pending] = field(default_factory=list)

    def publish(self, lines: list[bytes], pending: Pending) -> None:
        assert lines
        self.lines += lines
        pending.parts += 1
        self.unacknowledged.append(pending)

    def refer(self, line: Oversize, _source: str, pending: Pending) -> None:
        self.references.append(line.offset)
        pending.parts += 1
        self.unacknowledged.append(pending)

    def acknowledge(self) -> None:
        for pending in self.unacknowledged:
            pending.acknowledged()
        self.unacknowledged.clear()


@dataclass
class Site:
    """Files in a folder, read in small blocks, on their way to a topic."""

    folder: Path
    read_bytes: int = 100
    topic: Topic = field(default_factory=Topic)
    manner: Manner = field(default_factory=lambda: Manner(Pace(speed=1e12)))
    shipments: list[Shipment] = field(default_factory=list)
    resources: ExitStack = field(default_factory=ExitStack)

    def add(self, *lines: bytes, start: int = 0, newline: bytes = b"\n", state: Path | None = None) -> None:
        """One more file; with a checkpoint where there is a folder for it."""
        path = self.folder / f"{len(self.shipments)}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines).removesuffix(b"\n") + newline)
        source = open_source(str(path), lambda: False)
        self.resources.callback(source.close)
        reader = Reader(source, limit=LONGEST, start=start, read_bytes=self.read_bytes, by_line=True)
        publisher = cast("Publisher", self.topic)
        checkpoint = self.resources.enter_context(Checkpoint(state, source, "t", "identity")) if state else None
        self.shipments.append(Shipment(reader, publisher, self.manner, checkpoint, start))

    def conduct(self, attend: Callable[[], None] = lambda: None) -> list[bytes]:
        """Send them; what arrived."""
        Conductor(self.shipments, cast("Publisher", self.topic), self.manner, attend).run()
        return self.topic.lines

    @property
    def settled(self) -> list[bool]:
        return [shipment.ledger.settled for shipment in self.shipments]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    with site.resources:
        yield site


def line(moment: Any = None, name: str = "") -> bytes:
    return json.dumps({"id": name} if moment is None else {"id": name, "timestamp": moment}).encode()


def test_lines_of_three_files_leave_in_the_order_of_their_timestamps(site: Site) -> None:
    files = [[line(second, f"{name}{second}") for second in range(name, 300, 3)] for name in range(3)]
    for lines in files:
        site.add(*lines)
    assert site.conduct() == [files[second % 3][second // 3] for second in range(300)]


def test_equal_timestamps_leave_in_the_order_of_the_files_given_and_within_a_file_in_its_own(site: Site) -> None:
    first, second = ([line(7, f"{name}{n}") for n in range(20)] for name in "ab")
    site.add(*first)
    site.add(*second)
    assert site.conduct() == [*first, *second]


def test_line_without_a_timestamp_goes_with_the_line_before_it(site: Site) -> None:
    site.add(line(1, "a"), b"no JSON", line(None, "b"), line(5, "c"), line("soon", "d"))
    site.add(line(0, "x"), line(2, "y"), line(6, "z"))
    names = [text if text == b"no JSON" else json.loads(text)["id"] for text in site.conduct()]
    assert names == ["x", "a", b"no JSON", "b", "y", "c", "d", "z"]


def test_file_without_any_timestamp_goes_first_and_whole(site: Site) -> None:
    site.add(line(1), line(2))
    site.add(*[b"no JSON"] * 30)
    assert site.conduct() == [*[b"no JSON"] * 30, line(1), line(2)]


def test_timestamp_that_goes_back_keeps_its_place_in_its_file(site: Site) -> None:
    site.add(line(10, "a"), line(3, "b"), line(11, "c"))
    site.add(line(4, "x"), line(10.5, "y"))
    assert [json.loads(text)["id"] for text in site.conduct()] == ["x", "a", "b", "y", "c"]


def test_timestamps_zero_and_before_1970_are_timestamps(site: Site) -> None:
    site.add(line(-5), line(0), line(3))
    site.add(line(-6), line(-1), line(1))
    assert site.conduct() == [line(second) for second in (-6, -5, -1, 0, 1, 3)]


def test_empty_blank_and_unterminated_files_are_accounted_for(site: Site) -> None:
    site.add(b"", newline=b"")
    site.add(b"", b" ", b"\t", newline=b"\n")
    site.add(line(1), line(2), newline=b"")
    assert site.conduct() == [line(1), line(2)]
    site.topic.acknowledge()
    assert site.settled == [True, True, True]
    assert [(s.counts.lines, s.counts.blank) for s in site.shipments] == [(0, 0), (3, 3), (2, 0)]


def test_lines_outside_the_window_are_counted_and_looked_after_now_and_then(site: Site) -> None:
    site.manner.window = Window(250, 260)
    site.add(*(line(second) for second in range(500)))
    looks: list[int] = []
    sent = site.conduct(lambda: looks.append(site.shipments[0].counts.lines))
    assert sent == [line(second) for second in range(250, 260)]
    assert site.shipments[0].counts == Counts(lines=500, outside=490)
    assert len(looks) >= 4


def test_oversize_line_is_referred_to_in_its_own_files_ledger(site: Site) -> None:
    site.add(line(1), line(2, "x" * LONGEST), line(3))
    site.add(line(2))
    assert site.conduct() == [line(1), line(2), line(3)]
    assert site.topic.references == [len(line(1)) + 1]
    assert site.settled == [False, False]
    site.topic.acknowledge()
    assert site.settled == [True, True]


def test_no_line_counts_before_all_that_stand_before_it(site: Site) -> None:
    site.add(*(line(second, "x" * 300) for second in range(40)))
    site.add(*(line(second, "x" * 300) for second in range(80)))
    site.conduct()
    groups = list(site.topic.unacknowledged)
    assert len(groups) > 2
    reached = []
    for group in reversed(groups):  # as late as can be: the first of all comes last
        reached.append([shipment.ledger.acknowledged for shipment in site.shipments])
        group.acknowledged()
    assert reached == [[0, 0]] * len(groups)
    assert site.settled == [True, True]


def test_going_on_at_an_offset_sends_what_follows_it(site: Site) -> None:
    site.add(*(line(second) for second in range(10)), start=3 * len(line(0) + b"\n"))
    site.add(line(4.5))
    assert site.conduct() == [line(second) for second in (3, 4, 4.5, 5, 6, 7, 8, 9)]


# --- told to stop -------------------------------------------------------------------------------------------


def stopped_after(site: Site, lines: int) -> list[bytes]:
    """What is sent where it is told to stop once so many lines were sent."""
    site.manner.stopping = lambda: len(site.topic.lines) >= lines
    sent = site.conduct()
    site.topic.acknowledge()
    return sent


@pytest.mark.parametrize("lines", range(1, 40, 3))
def test_told_to_stop_the_next_run_sends_the_rest_and_nothing_twice(tmp_path: Path, lines: int) -> None:
    files = [[line(second, name * 200) for second in range(50)] for name in "abc"]
    first, second = Site(tmp_path), Site(tmp_path)
    with first.resources, second.resources:
        for content in files:
            first.add(*content)
        early = list(stopped_after(first, lines))
        reached = [shipment.ledger.acknowledged for shipment in first.shipments]
        for content, start in zip(files, reached, strict=True):
            second.add(*content, start=start)
        late = second.conduct()
        assert lines <= len(early) < lines + 40
        assert sorted(early + late) == sorted(line for content in files for line in content)
        assert sum(shipment.counts.lines for shipment in first.shipments) == len(early)


def test_a_signal_between_two_lines_of_a_block_loses_neither(site: Site) -> None:
    """Asked at any moment whether to stop: what was given out is handed over, and counted."""
    for asked in range(60):
        site.topic.lines.clear()
        site.shipments.clear()
        left = [asked]

        def stopping(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        site.manner.stopping = stopping
        site.add(*(line(second, "a") for second in range(9)))
        site.add(*(line(second + 0.5, "b") for second in range(9)))
        site.conduct()
        site.topic.acknowledge()
        for shipment, name in zip(site.shipments, "ab", strict=True):
            ours = [text for text in site.topic.lines if json.loads(text)["id"] == name]
            assert len(b"\n".join([*ours, b""])) == shipment.ledger.acknowledged
            assert len(ours) == shipment.counts.lines


# --- anything at all ----------------------------------------------------------------------------------------

LINES = st.one_of(
    st.integers(-3, 12).map(line),
    st.integers(0, 12).map(lambda second: line(str(second))),
    st.sampled_from([b"", b"  ", b"no JSON", line(), line(4, "x" * 500), line(None, "y" * 150)]),
)
FILES = st.lists(st.lists(LINES, max_size=15), max_size=5)


def expected(files: list[list[bytes]]) -> list[bytes]:
    """The merge by its definition: sorted by the latest moment so far, the file's place, the line's place."""
    entries = []
    for place, lines in enumerate(files):
        latest = float("-inf")
        for number, text in enumerate(lines):
            if not text.strip() or len(text) > LONGEST:
                continue
            moment = moment_of(text)
            latest = latest if moment is None else max(latest, moment)
            entries.append((latest, place, number, text))
    return [text for *_, text in sorted(entries)]


@settings(deadline=None)
@given(FILES, st.integers(1, 300), st.booleans())
def test_merge_is_the_sorted_whole_and_every_line_is_accounted_for(
    files: list[list[bytes]], read_bytes: int, newline: bool
) -> None:
    logging.disable(logging.WARNING)
    with TemporaryDirectory() as folder, ExitStack() as resources:
        resources.callback(logging.disable, logging.NOTSET)
        site = Site(Path(folder), read_bytes)
        resources.enter_context(site.resources)
        for lines in files:
            site.add(*lines, newline=b"\n" if newline and lines else b"")
        assert site.conduct() == expected(files)
        site.topic.acknowledge()
        for shipment in site.shipments:
            assert shipment.ledger.settled
            assert shipment.ledger.acknowledged == shipment.reader.source.size
            assert shipment.ledger.counts == shipment.counts


def test_little_of_each_file_is_held(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the files are: what was read of them and not sent is a read's bytes each, and a group."""
    for _ in range(3):
        site.add(*(line(second) for second in range(1_000)))
    ahead = []
    take = Shipment.take

    def counted(shipment: Shipment) -> Any:
        ahead.append(sum(s.reader.source.raw_position for s in site.shipments) - sum(map(len, site.topic.lines)))
        return take(shipment)

    monkeypatch.setattr(Shipment, "take", counted)
    site.conduct()
    newlines = 3_000
    assert 0 < max(ahead) <= GROUP_BYTES + 3 * 2 * site.read_bytes + newlines


# --- checkpoints beside the work ----------------------------------------------------------------------------


@pytest.fixture
def saving(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files whose checkpoints are always due and written by a thread; the state folder."""
    monkeypatch.setattr("producer.shipment.CHECKPOINT_SECONDS", 0.0)
    site.manner.scribe = site.resources.enter_context(ThreadPoolExecutor(1))
    for name in "ab":
        site.add(*(line(second, name) for second in range(200)), state=tmp_path / "state")
    return tmp_path / "state"


def offsets(state: Path) -> list[int]:
    """What the checkpoints say, in order."""
    return sorted(json.loads(file.read_bytes())["offset"] for file in state.glob("*.json"))


def test_checkpoints_written_by_a_thread_never_run_ahead_and_the_last_word_is_the_end(site: Site, saving: Path) -> None:
    looks = 0

    def attend() -> None:
        nonlocal looks
        looks += 1
        if looks % 3 == 0:
            site.topic.acknowledge()
        reached = max(shipment.ledger.acknowledged for shipment in site.shipments)
        for shipment in site.shipments:
            shipment.save_if_due()
        assert all(offset <= reached for offset in offsets(saving))

    site.conduct(attend)
    site.topic.acknowledge()
    for shipment in site.shipments:
        shipment.save()
    assert offsets(saving) == [shipment.reader.source.size for shipment in site.shipments]


def test_checkpoint_that_the_thread_cannot_write_stops_the_work(site: Site, saving: Path) -> None:
    for lock in saving.glob("*.lock"):
        lock.with_suffix(".new").mkdir()

    def attend() -> None:
        site.topic.acknowledge()
        for shipment in site.shipments:
            shipment.save_if_due()

    def work() -> None:
        site.conduct(attend)
        site.shipments[0].save()

    with pytest.raises(Stop, match="Cannot write the checkpoint"):
        work()
    assert offsets(saving) == []


# --- room, and rounds ---------------------------------------------------------------------------------------


def test_more_files_than_may_be_open_are_a_usage_problem_that_names_the_limit() -> None:
    with pytest.raises(UsageProblem, match=r"all 100,000,000 files are open at once.*ulimit -n 200000064"):
        make_room(100_000_000)


def test_loop_renames_lines_on_their_way(site: Site) -> None:
    site.manner.loop = Loop(run=17, rounds=1)
    site.manner.loop.next_round()
    site.add(line(1, "a"), b"no JSON")
    assert [*map(bytes, site.conduct())] == [b'{"id":"a~17.1","timestamp":1}', b"no JSON"]
