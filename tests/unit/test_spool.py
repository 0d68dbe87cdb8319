"""The spool: what was appended is there until Kafka has it, whatever becomes of the process or the disk."""

import errno
import os
import stat
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.live.spool import Spool
from producer.private import private_folder
from schemas.errors import SpoolFull, Stop

LIMIT = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return private_folder(tmp_path / "state", "listen", "topic")


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jsonl"))


def unread(spool: Spool) -> bytes:
    return spool.read(spool.acknowledged, LIMIT)


def test_mark_is_the_end_of_all_that_was_appended(folder: Path) -> None:
    with Spool(folder, LIMIT) as spool:
        assert [spool.append([b"a"]), spool.append([b"bc", b"d"])] == [2, 7]
        assert (spool.read(0, 100), spool.read(2, 3), spool.read(7, 100)) == (b"a\nbc\nd\n", b"bc\n", b"")


def test_lines_that_nobody_acknowledged_are_there_for_the_next_process(folder: Path) -> None:
    with Spool(folder, LIMIT) as spool:
        spool.append([b"first", b"second", b"third"])
        spool.delivered(6)
        spool.save()
    with Spool(folder, LIMIT) as spool:
        assert (spool.acknowledged, spool.waiting_bytes, unread(spool), spool.left()) == (6, 13, b"second\nthird\n", 2)
        assert spool.append([b"fourth"]) == 26


def test_mark_that_was_not_saved_leads_to_lines_sent_again_and_never_skipped(folder: Path) -> None:
    with Spool(folder, LIMIT) as spool:
        spool.append([b"first", b"second"])
        spool.delivered(6)
    with Spool(folder, LIMIT) as spool:
        assert unread(spool) == b"first\nsecond\n"


@pytest.mark.parametrize("content", [b"", b"6", b"6 00000000\n", b"7 4b0bbe37\n", b"\xff\xfe", b"99 3a3a3a3a\n"])
def test_mark_that_cannot_be_believed_leads_to_lines_sent_again(folder: Path, content: bytes) -> None:
    with Spool(folder, LIMIT) as spool:
        spool.append([b"first", b"second"])
    (folder / "acknowledged").write_bytes(content)
    with Spool(folder, LIMIT) as spool:
        assert unread(spool) == b"first\nsecond\n"


def test_half_a_line_that_a_kill_left_is_cut_off(folder: Path) -> None:
    with Spool(folder, LIMIT) as spool:
        spool.append([b"whole"])
    with (folder / segments(folder)[0]).open("ab") as file:
        file.write(b"half a li" * 20_000)
    with Spool(folder, LIMIT) as spool:
        assert unread(spool) == b"whole\n"
        spool.append([b"next"])
        assert unread(spool) == b"whole\nnext\n"


def test_segments_that_are_delivered_are_removed_and_positions_go_on(folder: Path) -> None:
    with Spool(folder, LIMIT, segment_bytes=10) as spool:
        marks = [spool.append([b"12345"]) for _ in range(6)]
        assert segments(folder) == [f"{start:020}.jsonl" for start in (0, 12, 24)]
        spool.delivered(marks[3])
        assert segments(folder) == [f"{start:020}.jsonl" for start in (24,)]
        spool.delivered(marks[5])
        spool.save()
    with Spool(folder, LIMIT, segment_bytes=10) as spool:
        assert (spool.written, spool.acknowledged) == (36, 36)
        assert spool.append([b"12345"]) == 42
        assert unread(spool) == b"12345\n"


def test_position_goes_on_where_every_segment_is_gone(folder: Path) -> None:
    with Spool(folder, LIMIT) as spool:
        spool.delivered(spool.append([b"12345"]))
        spool.save()
    (folder / segments(folder)[0]).unlink()
    with Spool(folder, LIMIT) as spool:
        assert (spool.acknowledged, spool.append([b"x"])) == (6, 8)


def test_missing_segment_is_told(folder: Path) -> None:
    with Spool(folder, LIMIT, segment_bytes=10) as spool:
        for _ in range(6):
            spool.append([b"12345"])
    (folder / segments(folder)[1]).unlink()
    with pytest.raises(Stop, match="does not end where the next one begins"):
        Spool(folder, LIMIT)


def test_spool_is_full_at_its_limit_and_has_room_again_when_kafka_took_some(folder: Path) -> None:
    with Spool(folder, 10) as spool:
        fullness = []
        for _ in range(2):
            mark = spool.append([b"1234"])
            fullness.append(spool.full)
        spool.delivered(mark - 5)
        assert [*fullness, spool.full] == [False, True, False]


def test_disk_without_room_takes_nothing_of_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def half_of_it(descriptor: int, content: bytes) -> int:
        if len(content) < 4:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[: len(content) // 2])

    with Spool(folder, LIMIT) as spool:
        spool.append([b"before"])
        monkeypatch.setattr(os, "write", half_of_it)
        with pytest.raises(SpoolFull, match="No space left"):
            spool.append([b"too long for what is left"])
        monkeypatch.undo()
        spool.append([b"after"])
        assert unread(spool) == b"before\nafter\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE])
def test_segment_that_cannot_be_begun_is_a_full_spool_and_is_begun_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no_room(*_arguments: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    with Spool(folder, LIMIT, segment_bytes=5) as spool:
        spool.append([b"first"])
        monkeypatch.setattr(os, "open", no_room)
        with pytest.raises(SpoolFull, match=os.strerror(number)):
            spool.append([b"second"])
        monkeypatch.undo()
        spool.append([b"third"])
        assert unread(spool) + spool.read(6, LIMIT) == b"first\nthird\n"
    assert len(segments(folder)) == 2


def test_segment_that_is_not_ours_is_no_lack_of_room(folder: Path) -> None:
    with Spool(folder, LIMIT, segment_bytes=5) as spool:
        spool.append([b"first"])
        (folder / f"{6:020}.jsonl").symlink_to(folder / "elsewhere")
        with pytest.raises(Stop, match="Cannot write the spool"):
            spool.append([b"second"])


def test_second_listener_with_the_same_state_is_refused(folder: Path) -> None:
    with Spool(folder, LIMIT), pytest.raises(Stop, match="Another listener"):
        Spool(folder, LIMIT)
    Spool(folder, LIMIT).close()


def test_spool_is_for_its_owner_alone(folder: Path) -> None:
    with Spool(folder, LIMIT) as spool:
        spool.delivered(spool.append([b"x"]))
        spool.save()
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent, folder.parent.parent)} == {0o700}


@pytest.mark.parametrize("name", ["lock", "acknowledged", "00000000000000000000.jsonl"])
def test_link_in_the_folder_is_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(b"mine")
    (folder / name).symlink_to(target)
    with pytest.raises(Stop):
        Spool(folder, LIMIT)
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("level", [0, 1, 2])
def test_folder_that_others_can_write_to_is_refused(tmp_path: Path, level: int) -> None:
    private_folder(tmp_path / "state", "listen", "topic")
    [tmp_path / "state", tmp_path / "state/listen", tmp_path / "state/listen/topic"][level].chmod(0o777)
    with pytest.raises(Stop, match="written to by everybody"):
        private_folder(tmp_path / "state", "listen", "topic")


LINE = st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))
STEPS = st.lists(st.one_of(st.lists(LINE, min_size=1, max_size=3), st.sampled_from(["deliver", "save", "again"])))


@given(steps=STEPS)
def test_whatever_happens_every_line_is_delivered_or_still_there(
    steps: list[list[bytes] | str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = private_folder(tmp_path_factory.mktemp("spool") / "state")
    spool, everything, saved = Spool(folder, LIMIT, segment_bytes=40), b"", 0
    for step in steps:
        if step == "deliver":
            spool.delivered(spool.acknowledged + spool.read(spool.acknowledged, LIMIT).find(b"\n") + 1)
        elif step == "save":
            spool.save()
            saved = spool.acknowledged
        elif step == "again":
            spool.close()
            spool = Spool(folder, LIMIT, segment_bytes=40)
            assert saved <= spool.acknowledged
        else:
            assert isinstance(step, list)
            everything += b"".join(line + b"\n" for line in step)
            assert spool.append(step) == len(everything)
        position, left = spool.acknowledged, b""
        while data := spool.read(position + len(left), LIMIT):
            left += data
        assert left == everything[position:]
    spool.close()
