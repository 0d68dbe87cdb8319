"""What chatferry writes beside its table is for its owner alone, and never goes through a link or to a stranger."""

import os
import socket
import stat
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.account import Manifest
from ops.dead_letter_file import keep_dead_letters
from schemas.errors import Stop
from tests.acceptance.ferry import Ferry, create_topic, message, publish
from tests.services.kafka import GivenKafka, Kafka
from tests.services.process import free_port

NOBODY = 65534


@pytest.fixture
def produce(ferry: Ferry, kafka: Kafka | GivenKafka, topic: str) -> list[str]:
    """A command that sends one line, keeping its checkpoint in the folder `state`."""
    create_topic(kafka.brokers, topic, 1)
    (ferry.folder / "chat.jsonl").write_bytes(message(1) + b"\n")
    return ["produce", "chat.jsonl", "--brokers", kafka.brokers, "--topic", topic, "--state", "state"]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """A shell's umask; 0 takes nothing from the mode of a new file."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """The mode of a folder and of each file in it, by the ends of their names."""
    return {path.suffix: oct(stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.iterdir())}


def test_state_files_are_for_their_owner_alone_whatever_the_umask(ferry: Ferry, produce: list[str]) -> None:
    with umask(0):
        ferry.run(*produce)
    assert modes(ferry.folder / "state") == {"": "0o700", ".json": "0o600", ".lock": "0o600"}


def test_state_folder_that_is_a_link_is_refused(ferry: Ferry, produce: list[str], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "state").symlink_to("elsewhere")
    told = ferry.run(*produce, check=1).error
    assert "The state folder state is a link" in told
    assert "--state" in told
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_state_folder_of_somebody_else_is_refused(ferry: Ferry, produce: list[str], tmp_path: Path) -> None:
    folder = Path("/")  # somebody else's for everybody but root
    if os.geteuid() == 0:
        folder = tmp_path / "theirs"
        folder.mkdir(0o777)
        os.chown(folder, NOBODY, NOBODY)
    told = ferry.run(*produce, "--state", folder, check=1).error
    assert f"The state folder {folder} belongs to somebody else" in told


def test_state_folder_that_everybody_can_write_to_is_refused(ferry: Ferry, produce: list[str], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o1777)
    assert "can be written to by everybody" in ferry.run(*produce, check=1).error


def test_checkpoint_that_is_a_link_is_refused_and_named(ferry: Ferry, produce: list[str], tmp_path: Path) -> None:
    ferry.run(*produce)
    (checkpoint,) = (tmp_path / "state").glob("*.json")
    checkpoint.rename(tmp_path / "target")
    checkpoint.symlink_to(tmp_path / "target")
    told = ferry.run(*produce, check=1).error
    assert f"state/{checkpoint.name}" in told
    assert "Remove it, or name another folder: --state" in told


def give_away(file: Path) -> None:
    """Make it somebody else's. Who is not root, and may not, puts a pipe in its place, which is as little ours."""
    if os.geteuid() == 0:
        os.chown(file, NOBODY, NOBODY)
    else:
        file.unlink()
        os.mkfifo(file)


@pytest.mark.parametrize("suffix", [".json", ".lock"])
def test_state_file_of_somebody_else_is_refused_and_named(
    ferry: Ferry, produce: list[str], tmp_path: Path, suffix: str
) -> None:
    ferry.run(*produce)
    (file,) = (tmp_path / "state").glob(f"*{suffix}")
    give_away(file)
    told = ferry.run(*produce, check=1).error
    assert f"state/{file.name} is not a file of ours" in told
    assert "Remove it, or name another folder: --state" in told


def test_dead_letters_file_is_for_its_owner_alone_whatever_the_umask(ferry: Ferry, sqlite_url: str) -> None:
    (ferry.folder / "chat.jsonl").write_bytes(b"no JSON\n")
    with umask(0):
        kept = ferry.run("load", "chat.jsonl", "--database", sqlite_url, "--json").json["dead_letters_file"]
    assert stat.S_IMODE(Path(kept).stat().st_mode) == 0o600


def test_dead_letters_file_does_not_go_through_a_link(kafka: Kafka | GivenKafka, topic: str, tmp_path: Path) -> None:
    create_topic(kafka.brokers, topic, 1)
    publish(kafka.brokers, topic, [b"no JSON"], [0])
    victim, link = tmp_path / "victim", tmp_path / "letters.jsonl"
    victim.write_bytes(b"precious")
    link.symlink_to(victim)
    with pytest.raises(Stop, match="Cannot write the dead letters"):
        keep_dead_letters({"bootstrap.servers": kafka.brokers, "log_level": 2}, topic, link, Manifest())
    assert victim.read_bytes() == b"precious"


def test_metrics_are_served_to_this_machine_alone(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, group: str, sqlite_url: str
) -> None:
    create_topic(kafka.brokers, topic, 1)
    ferry.run("db", "upgrade", "--database", sqlite_url)
    port = free_port()
    place = ["--brokers", kafka.brokers, "--topic", topic, "--group", group, "--database", sqlite_url]
    running = ferry.start("consume", *place, "--metrics-port", str(port))
    running.wait_until(lambda: _answers("127.0.0.1", port), "metrics")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        assert b"chatferry" in page.read()
    assert not _answers("127.0.0.2", port), "another address of this machine: it listens on one alone"


def _answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((host, port)) == 0
