"""The checkpoint file: what is believed, what is read from the start, and what a person must see to."""

import errno
import gzip
import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from producer.checkpoint import Checkpoint, default_folder
from producer.sources.streams import HEAD_BYTES, open_source
from schemas.errors import Stop

LOG = b"".join(b'{"id":"%04d","data":"hello"}\n' % number for number in range(200))
LINE = len(LOG) // 200
TOPIC, TOPIC_ID = "chat", "cluster/topic-id"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(LOG)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def opened(folder: Path, log: Path, topic: str = TOPIC, topic_id: str = TOPIC_ID) -> Iterator[Checkpoint]:
    source = open_source(str(log), lambda: False)
    try:
        with Checkpoint(folder, source, topic, topic_id) as checkpoint:
            yield checkpoint
    finally:
        source.close()


def save(folder: Path, log: Path, offset: int) -> Path:
    with opened(folder, log) as checkpoint:
        checkpoint.save(offset)
        return checkpoint.path


def load(folder: Path, log: Path, topic: str = TOPIC, topic_id: str = TOPIC_ID) -> int:
    with opened(folder, log, topic, topic_id) as checkpoint:
        return checkpoint.load()


# --- believed -----------------------------------------------------------------------------------------------


def test_no_checkpoint_starts_at_the_beginning(folder: Path, log: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load(folder, log) == 0
    assert caplog.messages == []


@pytest.mark.parametrize("offset", [0, LINE, 100 * LINE, len(LOG)])
def test_saved_offset_is_where_the_next_run_goes_on(folder: Path, log: Path, offset: int) -> None:
    save(folder, log, offset)
    assert load(folder, log) == offset


def test_later_offset_replaces_the_earlier_one(folder: Path, log: Path) -> None:
    save(folder, log, 10 * LINE)
    save(folder, log, 20 * LINE)
    assert load(folder, log) == 20 * LINE


def test_file_names_log_topic_and_head(folder: Path, log: Path) -> None:
    content = json.loads(save(folder, log, 5 * LINE).read_bytes())
    assert len(content.pop("seal")) == 16
    assert content == {
        "path": str(log),
        "topic": TOPIC,
        "offset": 5 * LINE,
        "head_length": HEAD_BYTES,
        "head_sha256": hashlib.sha256(LOG[:HEAD_BYTES]).hexdigest(),
        "place": str(log),
        "topic_id": TOPIC_ID,
        "done": False,
        "version": 1,
    }


def test_renamed_log_goes_on(folder: Path, log: Path) -> None:
    save(folder, log, 10 * LINE)
    assert load(folder, log.rename(log.with_name("chat.jsonl.1"))) == 10 * LINE


def test_log_that_grew_goes_on(folder: Path, log: Path) -> None:
    save(folder, log, len(LOG))
    log.write_bytes(LOG + b"{}\n")
    assert load(folder, log) == len(LOG)


def test_short_log_that_grew_beyond_its_head_goes_on(folder: Path, log: Path) -> None:
    log.write_bytes(LOG[:LINE])
    save(folder, log, LINE)
    log.write_bytes(LOG)
    assert load(folder, log) == LINE


def test_log_that_was_empty_starts_at_the_beginning(folder: Path, log: Path) -> None:
    log.write_bytes(b"")
    save(folder, log, 0)
    assert load(folder, log) == 0
    log.write_bytes(LOG)
    assert load(folder, log) == 0


def test_compressed_log_counts_decompressed_bytes(folder: Path, log: Path) -> None:
    log.write_bytes(gzip.compress(LOG))
    save(folder, log, 150 * LINE)
    assert load(folder, log) == 150 * LINE > log.stat().st_size


def test_unterminated_last_line_that_did_not_grow_stays_sent(folder: Path, log: Path) -> None:
    log.write_bytes(LOG + b'{"id":')
    save(folder, log, len(LOG) + 6)
    assert load(folder, log) == len(LOG) + 6


# --- not believed -------------------------------------------------------------------------------------------


def refused(folder: Path, log: Path, caplog: pytest.LogCaptureFixture) -> str:
    """The warning with which the log is read from its start."""
    caplog.clear()
    assert load(folder, log) == 0
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    return record.getMessage()


def test_unterminated_last_line_that_grew_is_read_from_the_start(
    folder: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log.write_bytes(LOG + b'{"id":')
    save(folder, log, len(LOG) + 6)
    log.write_bytes(LOG + b'{"id":"x"}\n')
    assert "(truncated, rewritten, or its last line grew)" in refused(folder, log, caplog)


def test_truncated_log_is_read_from_the_start(folder: Path, log: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(folder, log, 150 * LINE)
    log.write_bytes(LOG[: 100 * LINE])
    assert "(truncated, rewritten, or its last line grew)" in refused(folder, log, caplog)


def test_emptied_log_is_read_from_the_start(folder: Path, log: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(folder, log, 150 * LINE)
    log.write_bytes(b"")
    assert "not the file" in refused(folder, log, caplog)


def test_rewritten_log_under_the_same_inode_is_read_from_the_start(
    folder: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(folder, log, 10 * LINE)
    inode = log.stat().st_ino
    log.write_bytes(LOG.replace(b"hello", b"other"))
    assert log.stat().st_ino == inode
    assert "not the file" in refused(folder, log, caplog)


def test_rewritten_log_with_the_same_head_is_read_from_the_start(
    folder: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(folder, log, 150 * LINE)
    log.write_bytes(LOG[: 50 * LINE] + b"x" + LOG[50 * LINE :])
    assert "(truncated, rewritten, or its last line grew)" in refused(folder, log, caplog)


def test_offset_past_the_end_is_read_from_the_start(folder: Path, log: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(folder, log, len(LOG) + 1)
    assert "(truncated, rewritten, or its last line grew)" in refused(folder, log, caplog)


def test_offset_within_a_line_is_read_from_the_start(folder: Path, log: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(folder, log, 10 * LINE - 1)
    assert "(truncated, rewritten, or its last line grew)" in refused(folder, log, caplog)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\0" * 200, b"null", b"{}", b"\xff\xfe", b'"text"', b"[" * 50_000, b" " * 100_000],
    ids=["empty", "torn", "nul", "null", "no fields", "not utf-8", "text", "nested", "spaces"],
)
def test_damaged_checkpoint_is_read_from_the_start(
    folder: Path, log: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    save(folder, log, 10 * LINE).write_bytes(content)
    assert "damaged" in refused(folder, log, caplog)


@pytest.mark.parametrize(
    "change",
    [
        {"offset": 20 * LINE},
        {"offset": 0},
        {"seal": ""},
        {"offset": -1},
        {"offset": "300"},
        {"offset": 300.5},
        {"offset": None},
        {"version": 2},
        {"head_length": -1},
        {"head_length": HEAD_BYTES + 1},
        {"head_sha256": None},
        {"surprise": 1},
    ],
    ids=str,
)
def test_checkpoint_with_a_wrong_value_is_read_from_the_start(
    folder: Path, log: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    path = save(folder, log, 10 * LINE)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert "damaged" in refused(folder, log, caplog)


def test_every_torn_checkpoint_is_read_from_the_start(folder: Path, log: Path) -> None:
    path = save(folder, log, 10 * LINE)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert load(folder, log) == 0


@settings(max_examples=30)  # each writes to the disk and waits for it
@given(st.integers(0, 200))
def test_any_line_end_that_was_saved_is_where_the_next_run_goes_on(number: int) -> None:
    with TemporaryDirectory() as place:
        log, folder = Path(place, "chat.jsonl"), Path(place, "state")
        log.write_bytes(LOG)
        save(folder, log, number * LINE)
        assert load(folder, log) == number * LINE


changes = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4)


@settings(max_examples=100)
@given(st.one_of(st.binary(max_size=200), changes))
@example([(0, 1, b"")])
def test_checkpoint_of_any_bytes_never_skips_a_line(change: bytes | list[tuple[int, int, bytes]]) -> None:
    with TemporaryDirectory() as place:
        log, folder = Path(place, "chat.jsonl"), Path(place, "state")
        log.write_bytes(LOG)
        path = save(folder, log, 10 * LINE)
        content = path.read_bytes() if isinstance(change, list) else change
        for at, length, new in change if isinstance(change, list) else []:
            content = content[:at] + new + content[at + length :]
        path.write_bytes(content)
        assert load(folder, log) in (0, 10 * LINE)


def test_each_digit_of_a_checkpoint_changed_never_skips_a_line(folder: Path, log: Path) -> None:
    path = save(folder, log, 10 * LINE)
    content = path.read_bytes()
    for at in [at for at, byte in enumerate(content) if byte in b"0123456789"]:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert load(folder, log) == 0


def test_another_log_topic_or_cluster_has_a_checkpoint_of_its_own(folder: Path, log: Path) -> None:
    save(folder, log, 10 * LINE)
    copy = log.with_name("copy.jsonl")
    copy.write_bytes(LOG)
    assert load(folder, copy) == 0
    assert load(folder, log, topic="other") == 0
    assert load(folder, log, topic_id="other cluster/topic-id") == 0
    assert load(folder, log) == 10 * LINE


def test_checkpoint_of_a_log_that_begins_with_the_same_lines_is_read_from_the_start(
    folder: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(folder, log, 10 * LINE)
    copy = log.with_name("copy.jsonl")
    copy.write_bytes(LOG)
    save(folder, copy, 20 * LINE).rename(path)
    assert "another's" in refused(folder, log, caplog)


# --- a person must act --------------------------------------------------------------------------------------


def test_checkpoint_that_is_a_link_is_refused(folder: Path, log: Path) -> None:
    path = save(folder, log, 10 * LINE)
    target = path.rename(path.with_name("elsewhere"))
    path.symlink_to(target)
    with opened(folder, log) as checkpoint, pytest.raises(Stop, match="Remove it"):
        checkpoint.load()


def test_checkpoint_that_belongs_to_somebody_else_is_refused(
    folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder, log, 10 * LINE)
    somebody_else = os.geteuid() + 1
    with opened(folder, log) as checkpoint:
        monkeypatch.setattr(os, "geteuid", lambda: somebody_else)
        with pytest.raises(Stop, match="not a file of ours"):
            checkpoint.load()


def test_state_folder_that_belongs_to_somebody_else_is_refused(
    folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder, log, 10 * LINE)
    somebody_else = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody_else)
    with pytest.raises(Stop, match="belongs to somebody else"):
        load(folder, log)


def test_checkpoint_that_is_a_directory_is_refused(folder: Path, log: Path) -> None:
    path = save(folder, log, 10 * LINE)
    path.unlink()
    path.mkdir()
    with opened(folder, log) as checkpoint, pytest.raises(Stop, match="Remove it"):
        checkpoint.load()


def test_lock_that_is_a_link_is_refused(folder: Path, log: Path, tmp_path: Path) -> None:
    lock = save(folder, log, 10 * LINE).with_suffix(".lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "victim")
    with pytest.raises(Stop, match="state folder"), opened(folder, log):
        pass
    assert not (tmp_path / "victim").exists()


def test_second_producer_of_the_same_log_and_topic_is_refused(folder: Path, log: Path) -> None:
    with opened(folder, log), pytest.raises(Stop, match=r"Another producer is sending .*chat\.jsonl to chat"):
        load(folder, log)
    assert load(folder, log) == 0  # the lock went with the first


def test_second_producer_under_another_name_of_the_log_is_refused(folder: Path, log: Path) -> None:
    other = log.with_name("other.jsonl")
    other.hardlink_to(log)
    with opened(folder, log), pytest.raises(Stop, match="Another producer"):
        load(folder, other)


def test_second_producer_to_another_topic_is_let_in(folder: Path, log: Path) -> None:
    with opened(folder, log) as first, opened(folder, log, topic="other") as second:
        assert first.path != second.path


def test_state_folder_that_is_a_file_is_refused(log: Path) -> None:
    with pytest.raises(Stop, match="--state"):
        load(log, log)


# --- safe on the disk ---------------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_state_files_are_for_their_owner_alone(folder: Path, log: Path) -> None:
    before = os.umask(0)
    try:
        path = save(folder, log, LINE)
    finally:
        os.umask(before)
    assert (mode(path), mode(path.with_suffix(".lock")), mode(folder)) == (0o600, 0o600, 0o700)


def test_save_leaves_no_other_file_behind(folder: Path, log: Path) -> None:
    path = save(folder, log, LINE)
    assert set(folder.iterdir()) == {path, path.with_suffix(".lock")}


class Killed(BaseException):
    """Stands for `kill -9`."""


def killed(*_arguments: object) -> NoReturn:
    raise Killed


def no_room(*_arguments: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_killed_before_the_rename_leaves_the_old_checkpoint_and_does_no_harm(
    folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(folder, log, 10 * LINE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            save(folder, log, 20 * LINE)
    assert path.with_suffix(".new").exists()
    assert load(folder, log) == 10 * LINE
    save(folder, log, 30 * LINE)
    assert load(folder, log) == 30 * LINE
    assert not path.with_suffix(".new").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"x" * 10_000])
def test_leftover_new_file_of_any_content_does_no_harm(folder: Path, log: Path, content: bytes) -> None:
    path = save(folder, log, 10 * LINE)
    path.with_suffix(".new").write_bytes(content)
    assert load(folder, log) == 10 * LINE
    save(folder, log, 20 * LINE)
    assert load(folder, log) == 20 * LINE


def test_link_in_place_of_the_new_file_is_not_followed(folder: Path, log: Path, tmp_path: Path) -> None:
    path = save(folder, log, 10 * LINE)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    path.with_suffix(".new").symlink_to(victim)
    with pytest.raises(Stop, match="Cannot write the checkpoint"):
        save(folder, log, 20 * LINE)
    assert victim.read_bytes() == b"precious"
    assert load(folder, log) == 10 * LINE


def test_no_room_on_the_disk_keeps_the_old_checkpoint_and_says_so(
    folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(folder, log, 10 * LINE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        with pytest.raises(Stop, match="No space left") as caught:
            save(folder, log, 20 * LINE)
    assert caught.value.exit_status == 1
    assert "Make room" in caught.value.next_step
    assert not path.with_suffix(".new").exists()
    assert load(folder, log) == 10 * LINE


def test_content_is_on_the_disk_before_the_rename_and_the_rename_after(
    folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder, log, 0)
    steps = []
    fsync, rename = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("fsync of the folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync of the file")
        fsync(descriptor)

    def noted_rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    save(folder, log, LINE)
    assert steps == ["fsync of the file", "rename", "fsync of the folder"]


def test_same_offset_is_written_once(folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder, log) as checkpoint:
        checkpoint.save(LINE)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", killed)
            checkpoint.save(LINE)
        checkpoint.save(2 * LINE)
    with opened(folder, log) as checkpoint:
        assert checkpoint.load() == 2 * LINE
        monkeypatch.setattr(os, "fsync", killed)
        checkpoint.save(2 * LINE)


def test_log_whose_name_holds_any_bytes_goes_on(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / os.fsdecode(b"a\nb\xff c'\xc3\xa9" + b"x" * 200)
    log.write_bytes(LOG)
    path = save(folder, log, LINE)
    assert path.parent == folder
    assert path.name.isascii()
    assert path.name.isprintable()
    assert load(folder, log) == LINE


def test_default_folder_is_the_users_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/srv/state")
    assert default_folder() == Path("/srv/state/chatferry")
