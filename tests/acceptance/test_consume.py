"""`chatferry consume`: what is on the topic is in the table, each line once, whoever comes and goes."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from benchmarks.generate import digest_rows, expected_rows, generate, parse
from tests.acceptance.ferry import (
    Ferry,
    Running,
    command_line,
    committed,
    count_rows,
    create_topic,
    lines_of,
    message,
    publish,
    query,
    table_rows,
    values,
    wait_until,
)
from tests.services.kafka import GivenKafka, Kafka
from tests.services.process import free_port


class Place:
    """A topic, a group and a table of the test's own, and the command line that joins them."""

    def __init__(self, ferry: Ferry, brokers: str, topic: str, group: str, database: str) -> None:
        create_topic(brokers, topic)
        ferry.run("db", "upgrade", "--database", database)
        self.brokers = brokers
        self.topic = topic
        self.database = database
        self._group = group
        self._admin = AdminClient({"bootstrap.servers": brokers})
        self.command = [
            "consume", "--brokers", brokers, "--topic", topic, "--group", group, "--database", database, "--json",
        ]  # fmt: skip

    def members(self) -> list[int]:
        """How many partitions each member of the group has, of those that have any."""
        described = self._admin.describe_consumer_groups([self._group])[self._group].result(timeout=10)
        held = [len(m.assignment.topic_partitions) for m in described.members if m.assignment]
        return sorted(count for count in held if count)

    def committed(self) -> int:
        """The sum of the group's committed offsets."""
        return sum(committed(self.brokers, self._group).values())


@pytest.fixture
def place(ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, group: str, mysql_url: str) -> Place:
    """A topic of four partitions, a group, and an empty table in MariaDB."""
    return Place(ferry, kafka.brokers, topic, group, mysql_url)


# --- to the end -----------------------------------------------------------------------------------------------------


def test_until_end_of_an_empty_topic_ends_at_once_with_zeros(ferry: Ferry, place: Place) -> None:
    account = ferry.run(*place.command, "--until-end", seconds=10).json
    counts = ("messages", "rows", "repeats", "dead_letters")
    assert [account[name] for name in counts] == [0, 0, 0, 0]
    assert account["seconds"] < 5


def test_until_end_stops_at_the_end_that_was_there_at_the_start_and_the_next_run_takes_the_rest(
    ferry: Ferry, place: Place, tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    held = generate(log, 3_000, bad=0.002)
    lines = lines_of(log)
    publish(place.brokers, place.topic, lines[:2_000])
    first = ferry.run(*place.command, "--until-end").json
    assert first["messages"] == first["rows"] + first["repeats"] + first["dead_letters"] == 2_000
    publish(place.brokers, place.topic, lines[2_000:])
    second = ferry.run(*place.command, "--until-end").json
    assert second["messages"] == 1_000
    assert (first["rows"] + second["rows"], first["dead_letters"] + second["dead_letters"]) == (held.rows, held.bad)
    assert digest_rows(table_rows(place.database)) == digest_rows(expected_rows(log))
    assert len(values(place.brokers, f"{place.topic}.dlq")) == held.bad


def test_another_group_reads_the_topic_from_its_beginning_and_finds_only_repeats(ferry: Ferry, place: Place) -> None:
    publish(place.brokers, place.topic, [message(number) for number in range(100)])
    assert ferry.run(*place.command, "--until-end").json["rows"] == 100
    again = ferry.run(*place.command, "--until-end", "--group", f"{place.topic}-again").json
    assert (again["messages"], again["rows"], again["repeats"]) == (100, 0, 100)


@pytest.mark.parametrize("kind", ["mariadb", "sqlite"])
def test_repeat_of_an_id_is_skipped_unless_it_should_update(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, group: str, mysql_url: str, sqlite_url: str, kind: str
) -> None:
    place = Place(ferry, kafka.brokers, topic, group, mysql_url if kind == "mariadb" else sqlite_url)
    run = [*place.command, "--until-end"]

    def texts() -> dict[str, str]:
        return {row[0]: str(row[5]) for row in table_rows(place.database)}

    publish(place.brokers, place.topic, [message(1, "old"), message(2, "old")], partitions=[0])
    ferry.run(*run)
    publish(place.brokers, place.topic, [message(1, "new")], partitions=[0])
    skipped = ferry.run(*run).json
    assert (skipped["messages"], skipped["rows"], skipped["repeats"]) == (1, 0, 1)
    assert texts() == {"id-1": "old", "id-2": "old"}

    later = [message(1, "newer"), message(3, "first"), message(1, "newest", site_id="elsewhere")]
    publish(place.brokers, place.topic, later, partitions=[0])
    updated = ferry.run(*run, "--on-duplicate", "update").json
    assert (updated["messages"], updated["rows"], updated["repeats"]) == (3, 1, 2)
    assert texts() == {"id-1": "newest", "id-2": "old", "id-3": "first"}
    assert parse(later[-1]) in table_rows(place.database)


def test_missing_dead_letter_topic_stops_the_work_and_commits_nothing(ferry: Ferry, place: Place) -> None:
    publish(place.brokers, place.topic, [message(1), b"no line of JSON", message(2)], partitions=[0])
    elsewhere = ["--dead-letter-topic", f"{place.topic}.nowhere"]
    ended = ferry.run(*place.command, "--until-end", *elsewhere, check=1)
    assert "There is no dead-letter topic" in ended.err
    assert "chatferry topics create" in ended.err.splitlines()[-1]
    assert ended.json["error"]
    assert place.committed() == 0
    account = ferry.run(*place.command, "--until-end").json
    assert (account["messages"], account["dead_letters"]) == (3, 1)
    assert count_rows(place.database) == 2


def test_run_of_bad_lines_stops_the_work_instead_of_dead_lettering_a_topic(ferry: Ferry, place: Place) -> None:
    publish(place.brokers, place.topic, [b"bad line %d" % number for number in range(200)], partitions=[0])
    ended = ferry.run(*place.command, "--until-end", "--dead-letter-run", "50", check=1)
    assert "bad lines in a row" in ended.err
    assert "--dead-letter-run 0" in ended.err
    assert place.committed() == 0
    assert ferry.run(*place.command, "--until-end", "--dead-letter-run", "0").json["dead_letters"] == 200


def test_share_of_bad_lines_that_is_too_large_stops_the_work_and_a_smaller_one_does_not(
    ferry: Ferry, place: Place
) -> None:
    lines = [message(number) if number % 10 == 0 else b"bad line" for number in range(12_000)]
    publish(place.brokers, place.topic, lines, partitions=[0])
    command = [*place.command, "--until-end", "--workers", "1"]
    ended = ferry.run(*command, "--dead-letter-ratio", "0.8", check=1)
    assert "lines are bad" in ended.err
    assert "--dead-letter-ratio 1" in ended.err
    before = place.committed()
    assert before < len(lines), "it went on to the end"
    account = ferry.run(*command, "--dead-letter-ratio", "0.95").json
    assert account["messages"] == len(lines) - before
    assert count_rows(place.database) == len(lines) // 10


# --- coming and going -----------------------------------------------------------------------------------------------


def test_one_of_two_consumers_leaves_while_lines_flow_and_nothing_is_lost_or_doubled(
    ferry: Ferry, place: Place, tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    held = generate(log, 8_000, bad=0.001)
    command = [*place.command, "--workers", "1", "--batch-rows", "200"]
    staying, leaving = ferry.start(*command), ferry.start(*command)
    staying.wait_until(lambda: place.members() == [2, 2], "two consumers with two partitions each")
    producer = ferry.start(
        "produce", log, "--brokers", place.brokers, "--topic", place.topic, "--rate", "2000", "--json"
    )
    leaving.wait_until(lambda: count_rows(place.database) > held.rows // 4, "a quarter of the rows in the table")
    left = leaving.end(signal.SIGTERM, seconds=20)
    assert left.status == 143, left.err
    assert left.json["messages"] > 0, "it had nothing to do"
    assert count_rows(place.database) < held.rows, "it left too late to matter"
    assert producer.wait().json["acknowledged"] == held.lines
    staying.wait_until(lambda: place.committed() == held.lines, "every offset committed")
    stayed = staying.end(signal.SIGTERM, seconds=20)

    accounts = left.json, stayed.json
    total = Counter[str]()
    for account in accounts:
        assert account["messages"] == account["rows"] + account["repeats"] + account["dead_letters"]
        total.update({name: account[name] for name in ("messages", "rows", "repeats", "dead_letters")})
    assert total == {
        "messages": held.lines, "rows": held.rows, "repeats": held.repeats, "dead_letters": held.bad,
    }, "something was delivered twice"  # fmt: skip
    assert digest_rows(table_rows(place.database)) == digest_rows(expected_rows(log))
    assert len(values(place.brokers, f"{place.topic}.dlq")) == held.bad


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_ends_it_in_its_grace_period_and_nothing_is_delivered_again(
    ferry: Ferry, place: Place, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    log = tmp_path / "chat.jsonl"
    held = generate(log, 20_000)
    publish(place.brokers, place.topic, lines_of(log))
    run = ferry.start(*place.command, "--workers", "2", "--batch-rows", "100")
    run.wait_until(lambda: count_rows(place.database) > 1_000, "the first rows")
    workers = run.workers()
    ended = run.end(number, seconds=20)
    assert ended.status == status
    assert "Traceback" not in ended.err
    wait_until(lambda: not any(map(command_line, workers)), "no worker is left", 5)
    first = ended.json
    assert first["messages"] == place.committed() < held.lines

    second = ferry.run(*place.command, "--until-end").json
    assert first["messages"] + second["messages"] == held.lines, "messages were delivered twice"
    assert (first["rows"] + second["rows"], first["repeats"] + second["repeats"]) == (held.rows, held.repeats)
    assert digest_rows(table_rows(place.database)) == digest_rows(expected_rows(log))
    assert ferry.run(*place.command, "--until-end").json["messages"] == 0


def test_ctrl_c_at_a_terminal_reaches_the_workers_too_and_ends_all_in_good_order(ferry: Ferry, place: Place) -> None:
    publish(place.brokers, place.topic, [message(number) for number in range(500)])
    run: Running = ferry.start(*place.command, "--workers", "2", new_session=True)
    run.wait_until(lambda: place.committed() == 500, "every offset committed")
    os.killpg(run.pid, signal.SIGINT)
    ended = run.wait(20)
    assert (ended.status, ended.json["messages"]) == (130, 500)
    assert "Traceback" not in ended.err


def test_killed_supervisor_takes_its_workers_along_and_the_next_run_makes_the_table_exact(
    ferry: Ferry, place: Place, tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    held = generate(log, 20_000)
    publish(place.brokers, place.topic, lines_of(log))
    run = ferry.start(*place.command, "--workers", "2", "--batch-rows", "100")
    run.wait_until(lambda: count_rows(place.database) > 1_000, "the first rows")
    workers = run.workers()
    assert len(workers) == 2
    assert run.end(signal.SIGKILL).status == -signal.SIGKILL
    account = ferry.run(*place.command, "--until-end").json
    assert account["rows"] + account["repeats"] + account["dead_letters"] == account["messages"] <= held.lines
    wait_until(lambda: not any(map(command_line, workers)), "no worker is left", 5)
    assert digest_rows(table_rows(place.database)) == digest_rows(expected_rows(log))


# --- what is said ---------------------------------------------------------------------------------------------------


def scrape(port: int) -> dict[str, float]:
    """The metrics without labels that are served on a port; none where nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines: Sequence[str] = answer.read().decode().splitlines()
    except urllib.error.URLError:
        return {}
    return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}


def test_metrics_port_serves_the_counts_on_this_machine_only(ferry: Ferry, place: Place) -> None:
    port = free_port()
    publish(place.brokers, place.topic, [*(message(number % 90) for number in range(100)), b"bad"])
    run = ferry.start(*place.command, "--workers", "2", "--metrics-port", str(port))
    run.wait_until(lambda: scrape(port).get("chatferry_messages_total") == 101, "101 messages in the metrics")
    served = scrape(port)
    assert served["chatferry_rows_total"] == 90
    assert served["chatferry_repeats_total"] == 10
    assert served["chatferry_dead_letters_total"] == 1
    assert served["chatferry_batches_total"] >= 1
    assert served["chatferry_workers"] == 2
    listening = subprocess.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True, check=True)
    addresses = [line.split()[1] for line in listening.stdout.splitlines() if f":{port:04X} " in line]
    assert any(address.startswith("0100007F") for address in addresses)
    assert not any(address.startswith("00000000") for address in addresses), "it listens on every interface"
    assert run.end(signal.SIGTERM, seconds=20).status == 143


def test_metrics_port_that_is_taken_is_told(ferry: Ferry, place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = ferry.run(*place.command, "--metrics-port", str(port), check=1)
    assert str(port) in ended.error
    assert "--metrics-port" in ended.error


def test_python_m_consumer_is_the_same_command(ferry: Ferry, place: Place) -> None:
    publish(place.brokers, place.topic, [message(1)])
    done = subprocess.run(
        [sys.executable, "-m", "consumer", *place.command[1:], "--until-end"],
        env=ferry.environment(), cwd=ferry.folder, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(b'{"messages":1,"rows":1,')


def test_account_goes_to_stdout_and_neither_content_nor_password_to_stderr(
    ferry: Ferry, place: Place, mysql_url: str
) -> None:
    user = f"{place.topic}_user"
    database = mysql_url.rpartition("/")[2].partition("?")[0]
    query(mysql_url, f"CREATE USER `{user}` IDENTIFIED BY 'hidden-word'")
    try:
        query(mysql_url, f"GRANT SELECT, INSERT, UPDATE ON `{database}`.`chat_messages` TO `{user}`")
        publish(place.brokers, place.topic, [message(1, "private"), b'{"id":"private", bad}'])
        command = [argument for argument in place.command if argument != "--json"]
        command[command.index("--database") + 1] = mysql_url.replace("root@", f"{user}@")
        done = ferry.run(*command, "--until-end", "-v", env={"CHATFERRY_DATABASE_PASSWORD": "hidden-word"})
    finally:
        query(mysql_url, f"DROP USER `{user}`")
    assert done.out.startswith(b"2 messages: 1 row, 0 repeats, 1 dead letter; ")
    for secret in ("private", "hidden-word"):
        assert secret not in done.err
    assert count_rows(place.database) == 1
