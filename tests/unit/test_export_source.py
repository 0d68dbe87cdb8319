"""An export as a source: whatever a run reached, the next goes on at that line, or from the start where it must."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from producer.checkpoint import Checkpoint
from producer.exports.conversion import Conversion
from producer.exports.opening import open_input
from producer.sources.reader import Reader
from producer.sources.streams import Source
from schemas.errors import Stop
from tests.exports.samples import SAMPLES, irssi_log, slack_folder, tarred, telegram_chat, zipped, zulip_folder

AUTO = Conversion()
FORMATS = [*SAMPLES, "zip", "tar"]


def never() -> bool:
    return False


def make(name: str, folder: Path) -> Path:
    if name == "zip":
        return zipped(slack_folder(folder))
    return tarred(zulip_folder(folder)) if name == "tar" else SAMPLES[name](folder)


def opened(path: Path, how: Conversion = AUTO) -> Source:
    return open_input(str(path), never, how)


def rest(source: Source) -> bytes:
    return b"".join(iter(lambda: source.read(100), b""))


@pytest.mark.parametrize("name", FORMATS)
def test_resumed_at_any_line_it_gives_the_rest_of_one_run(name: str, tmp_path: Path) -> None:
    path = make(name, tmp_path)
    source = opened(path)
    whole = rest(source)
    for offset in (place + 1 for place, byte in enumerate(whole) if byte == b"\n"[0]):
        assert source.goes_on_at(offset)
        source.skip_to(offset)
        assert rest(source) == whole[offset:]
    source.close()


@pytest.mark.parametrize("name", FORMATS)
def test_place_within_a_line_or_beyond_the_end_is_none_to_go_on_from(name: str, tmp_path: Path) -> None:
    source = opened(make(name, tmp_path))
    end = len(rest(source))
    assert not source.goes_on_at(2)
    assert not source.goes_on_at(end - 1)
    assert not source.goes_on_at(end + 1)
    with pytest.raises(Stop, match="ends before its checkpoint"):
        source.skip_to(end + 1)
    source.close()


def reached(path: Path, state: Path, how: Conversion = AUTO) -> int:
    """Where the checkpoint lets a run go on; it then reads all and writes that down."""
    source = opened(path, how)
    with Checkpoint(state, source, "topic", "id") as checkpoint:
        start = checkpoint.load()
        reader = Reader(source, limit=1 << 20, start=start)
        end = start
        while block := reader.next_block():
            end = block.end
        checkpoint.save(end)
    source.close()
    return start


@pytest.mark.parametrize("name", FORMATS)
def test_checkpoint_is_believed_for_the_same_export_and_no_other(name: str, tmp_path: Path) -> None:
    path, state = make(name, tmp_path), tmp_path / "state"
    assert reached(path, state) == 0
    assert reached(path, state) > 0
    assert reached(path, state, replace(AUTO, network="acme")) == 0
    assert reached(path, state) == 0


def test_new_version_of_a_document_is_sent_whole(tmp_path: Path) -> None:
    path, state = telegram_chat(tmp_path) / "result.json", tmp_path / "state"
    assert reached(path, state) == 0
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Bob", b"Rob"))
    os.utime(path, ns=(1, 1))
    assert reached(path, state) == 0


def test_folder_in_which_a_file_changed_is_sent_whole(tmp_path: Path) -> None:
    path, state = slack_folder(tmp_path), tmp_path / "state"
    assert reached(path, state) == 0
    (path / "general" / "2024-05-03.json").write_text("[]")
    assert reached(path, state) == 0


def test_irc_log_that_grew_is_gone_on_with(tmp_path: Path) -> None:
    path, state = irssi_log(tmp_path), tmp_path / "state"
    path.write_bytes(path.read_bytes() + b"07:02 < ann> filler filler filler\n" * 40)  # its first kilobyte stays
    assert reached(path, state) == 0
    with path.open("ab") as log:
        log.write(b"08:00 < ann> more\n")
    assert reached(path, state) > 0


def test_irc_log_whose_last_line_grew_is_read_from_its_start(tmp_path: Path) -> None:
    path = irssi_log(tmp_path)
    path.write_bytes(path.read_bytes() + b"07:02 < ann> half")
    source = opened(path)
    end = len(rest(source))
    source.close()
    with path.open("ab") as log:
        log.write(b" a line\n")
    source = opened(path)
    assert not source.goes_on_at(end)
    source.close()


def test_file_replaced_while_it_is_read_stops(tmp_path: Path) -> None:
    path = irssi_log(tmp_path)
    source = opened(path)
    other = path.with_name("new")
    other.write_bytes(path.read_bytes())
    other.replace(path)
    with pytest.raises(Stop, match="was replaced by another file"):
        source.read(10)
    source.close()


@pytest.mark.parametrize("size", [100, 1 << 20])
@pytest.mark.parametrize("name", ["telegram", "slack"])
def test_damaged_export_gives_all_messages_before_the_damage(name: str, size: int, tmp_path: Path) -> None:
    whole = opened(path := make(name, tmp_path))
    expected = rest(whole)
    whole.close()
    if name == "telegram":
        document = path / "result.json"
        document.write_bytes(document.read_bytes()[:-4])
    else:
        (path / "general" / "2024-05-03.json").write_text("[{")
    source = opened(path)
    given: list[bytes] = []
    with pytest.raises(Stop, match="in the middle of its JSON"):
        given.extend(iter(lambda: source.read(size), b""))
    source.close()
    assert b"".join(given) == expected


def test_progress_goes_to_the_size_of_the_folder(tmp_path: Path) -> None:
    source = opened(slack_folder(tmp_path))
    rest(source)
    assert source.raw_position == source.size
    source.close()
