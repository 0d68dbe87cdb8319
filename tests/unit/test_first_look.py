"""What a follower knows of files that are rotated away before it knows its topic."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.first_look import FirstLook
from producer.sources.names import Names
from tests.unit.following import Run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of one line."""
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs" / "chat.log"
    path.write_bytes(b"line 1\n")
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where checkpoints are."""
    return tmp_path / "state"


def claim(look: FirstLook, run: Run) -> list[str]:
    """The topic is known."""
    return look.claim(run.dispatch.hold.open_checkpoint, restart=run.restart)


@pytest.fixture
def run(log: Path, state: Path) -> Iterator[Run]:
    """A producer that has not begun."""
    run = Run(state, [log], begin=False)
    yield run
    run.kill()


@pytest.fixture
def anew(log: Path, state: Path) -> Iterator[Run]:
    """The same, and it leaves checkpoints aside."""
    run = Run(state, [log], restart=True, begin=False)
    yield run
    run.kill()


def descriptors() -> list[str]:
    """The links of what this process has open."""
    return sorted(str(entry) for entry in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("glob", [False, True])
def test_file_that_was_rotated_since_is_sent_first(log: Path, run: Run, *, glob: bool) -> None:
    look = FirstLook(Names([str(log.with_name("*.log") if glob else log)]))
    log.rename(log.with_name("chat.log.1"))
    log.write_bytes(b"line 2\n")
    claim(look, run)
    run.begin()
    assert run.settle() == [b"line 1", b"line 2"]


def test_file_that_was_rotated_since_is_sent_first_and_whole_by_a_restart(log: Path, run: Run, anew: Run) -> None:
    run.begin()
    assert run.settle() == [b"line 1"]
    run.end()
    look = FirstLook(Names([str(log)]))
    log.rename(log.with_name("chat.log.1"))
    log.write_bytes(b"line 2\n")
    anew.begin(claim(look, anew))
    assert anew.settle() == [b"line 1", b"line 2"]


def test_file_that_stands_where_it_stood_gets_no_checkpoint_and_all_are_closed(
    log: Path, state: Path, run: Run
) -> None:
    opened = descriptors()
    look = FirstLook(Names([str(log), str(log.parent), str(log.with_name("later.log"))]))
    claim(look, run)
    assert not state.exists()
    assert descriptors() == opened


def test_file_of_which_a_checkpoint_knows_goes_on_from_there(log: Path, state: Path, run: Run) -> None:
    run.begin()
    assert run.settle() == [b"line 1"]
    run.end()
    with log.open("ab") as file:
        file.write(b"line 2\n")
    look = FirstLook(Names([str(log)]))
    log.rename(log.with_name("chat.log.1"))
    again = Run(state, [log], begin=False)
    claim(look, again)
    again.begin()
    assert again.settle() == [b"line 2"]
    again.kill()


def test_file_that_was_removed_since_is_told(log: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    look = FirstLook(Names([str(log)]))
    log.unlink()
    claim(look, run)
    run.begin()
    assert run.settle() == []
    assert "chat.log: the file that stood there at the start was renamed or removed since" in caplog.text
    assert "was sent up to byte 0, and is not found beside it" in caplog.text


def test_what_another_producer_has_open_is_left_to_it(
    log: Path, state: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.begin()
    run.turn()
    look = FirstLook(Names([str(log)]))
    log.rename(log.with_name("chat.log.1"))
    claim(look, Run(state, [log], begin=False))
    assert "Another producer is sending" in caplog.text
