"""The compose file without Docker: what it says is run, and the servers get the settings that it gives them.

Each of our services runs as a process with its command and its environment as they stand in docker-compose.yml, and
with nothing else of the test's environment but PATH. What is replaced, and nothing more:

- the addresses kafka:9092 and mariadb:3306, by those of the tests' servers;
- in the database URL the database and the user, by ones that only this test has;
- the folders that are mounted into the container, by folders below tmp_path.

The topic, the group and the passwords are set as a person sets them: through the variables that the file asks for.
"""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from confluent_kafka.admin import AdminClient
from sqlalchemy import make_url

from benchmarks.generate import Row, digest_rows, expected_rows, generate
from tests.acceptance.ferry import committed
from tests.services.kafka import GivenKafka, Kafka
from tests.services.mariadb import Databases, GivenMariaDB, MariaDB
from tests.services.process import free_port

ROOT = Path(__file__).parents[2]
OURS = ("topics", "schema", "consumer", "producer")
LINES = 2_000
PASSWORDS = {"CHATFERRY_DATABASE_PASSWORD": 'it\'s "a" \\ $word', "CHATFERRY_OWNER_PASSWORD": "owner's $$ `word`"}
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::-([^}]*))?\})")

Service = dict[str, Any]


# --- the files ------------------------------------------------------------------------------------------------------


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """The value with ${NAME:-default} and $$ replaced in every text, as Compose does it."""
    if isinstance(value, dict):
        return {key: interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    return VARIABLE.sub(lambda found: "$" if found[0] == "$$" else variables.get(found[1]) or found[2] or "", value)


def compose_file(**variables: str) -> dict[str, Any]:
    """The compose file, with these variables set."""
    content = interpolate(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), variables)
    assert isinstance(content, dict)
    return content


def instructions(name: str) -> list[str]:
    """The rest of every line of the Dockerfile that has this instruction, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(name + " ")]


def arguments(service: Service) -> list[str]:
    """What the container runs; our image's entrypoint where the service names none."""
    entrypoint = service.get("entrypoint") or json.loads(instructions("ENTRYPOINT")[-1])
    return [*entrypoint, *service["command"]]


@pytest.fixture
def compose() -> dict[str, Any]:
    """The compose file as it is with no variable set."""
    return compose_file()


# --- one run of all services ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Container:
    """What stands for a container: a process, and the file with what it printed."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What it printed so far."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """End it at once, where it has not ended."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Stage:
    """Runs services of the compose file as processes, with the replacements that the module's docstring lists."""

    compose: dict[str, Any]
    brokers: str
    database: str
    users: Mapping[str, str]
    folder: Path

    def start(self, name: str, number: int = 1) -> "Container":
        """Start one container's worth of a service; `number` tells several of one service apart."""
        service = self.compose["services"][name]
        program, *rest = arguments(service)
        assert program == "chatferry"
        environment = {key: self._here(str(value), service) for key, value in service["environment"].items()}
        log = self.folder / f"{name}-{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name(program)), *(self._here(argument, service) for argument in rest)],
                env={"PATH": os.environ["PATH"], **environment},
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return Container(process, log)

    def run(self, name: str) -> str:
        """Run a service that ends by itself; returns what it printed."""
        container = self.start(name)
        try:
            assert container.process.wait(timeout=60) == 0, container.output()
        finally:
            container.kill()
        return container.output()

    def mounted(self, target: str) -> Path:
        """The folder that stands for a container's folder."""
        return self.folder / target.lstrip("/")

    def _here(self, value: str, service: Service) -> str:
        if value.startswith("mysql+pymysql://"):
            return self._database(value)
        for mount in service.get("volumes", []):
            target = mount.split(":")[1]
            if value == target or value.startswith(target + "/"):
                return str(self.mounted(target)) + value.removeprefix(target)
        return self.brokers if value == "kafka:9092" else value

    def _database(self, value: str) -> str:
        asked, ours = make_url(value), make_url(self.database)
        assert (asked.host, asked.port, asked.database) == ("mariadb", 3306, "chat")
        there = asked.set(
            host=ours.host, port=ours.port, database=ours.database, username=self.users[str(asked.username)]
        )
        return there.render_as_string(hide_password=False)


def statements(compose: dict[str, Any]) -> list[str]:
    """The SQL that the database container runs on its first start: the image's own part, then our script's.

    The script gets the two functions of the image's entrypoint that it calls.
    """
    settings = {key: str(value) for key, value in compose["services"]["mariadb"]["environment"].items()}
    functions = r"""
        docker_process_sql() { cat; }
        docker_sql_escape_string_literal() { local escaped=${1//\\/\\\\}; echo "${escaped//\'/\\\'}"; }
        printf "CREATE USER '%s'@'%%' IDENTIFIED BY '%s';\n" \
            "$MARIADB_USER" "$(docker_sql_escape_string_literal "$MARIADB_PASSWORD")"
        echo "GRANT ALL ON $MARIADB_DATABASE.* TO '$MARIADB_USER'@'%';"
    """
    script = functions + "\n" + compose["configs"]["grants"]["content"]
    environment = {"PATH": os.environ["PATH"], **settings}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [statement for line in done.stdout.splitlines() if (statement := line.strip().removesuffix(";"))]


@contextmanager
def accounts(compose: dict[str, Any], server: Databases, database: str) -> Iterator[dict[str, str]]:
    """The database accounts that the compose file makes, by the name that they have there, under names of our own."""
    users = {name: f"{name}_{secrets.token_hex(4)}" for name in ("chatferry", "chatferry_owner")}
    try:
        for statement in statements(compose):
            ours = re.sub(r"'(\w+)'@", lambda found: f"'{users[found[1]]}'@", statement)
            ours = ours.replace(" ON chat.* ", f" ON `{database}`.* ")
            server.execute(ours.replace("%", "%%"))  # the driver fills in its parameters with %
        yield users
    finally:
        for own in users.values():
            server.execute(f"DROP USER IF EXISTS '{own}'@'%%'")


@pytest.fixture
def stage(
    kafka: Kafka | GivenKafka, mariadb: MariaDB | GivenMariaDB, topic: str, group: str, mysql_url: str, tmp_path: Path
) -> Iterator[Stage]:
    """The services with a topic, a group, a database and database accounts of their own."""
    compose = compose_file(CHATFERRY_TOPIC=topic, CHATFERRY_GROUP=group, **PASSWORDS)
    database = str(make_url(mysql_url).database)
    with accounts(compose, mariadb, database) as users:
        yield Stage(compose, kafka.brokers, mysql_url, users, tmp_path)


def wait_until(holds: Callable[[], bool], what: str, containers: Sequence[Container], seconds: float = 60) -> None:
    """Return as soon as it holds. Fails when a container has ended before, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        outputs = "\n".join(container.output() for container in containers)
        assert all(container.process.poll() is None for container in containers), f"ended before {what}: {outputs}"
        assert time.monotonic() < deadline, f"after {seconds} s: not {what}: {outputs}"
        time.sleep(0.1)


def sharing_members(admin: AdminClient, group: str) -> int:
    """How many members of the group have partitions."""
    described = admin.describe_consumer_groups([group])[group].result(timeout=10)
    return sum(bool(member.assignment and member.assignment.topic_partitions) for member in described.members)


def table_rows(server: Databases, database: str) -> list[Row]:
    """All rows of the table."""
    columns = "`id`, `from`, `type`, `site_id`, CAST(`timestamp` AS CHAR), `data`"
    rows = server.execute(f"SELECT {columns} FROM `chat_messages`", database)  # noqa: S608 -- constants
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


def count_rows(server: Databases, database: str) -> int:
    """How many rows the table has."""
    return int(server.execute("SELECT COUNT(*) FROM `chat_messages`", database)[0][0])


def test_services_carry_a_log_into_the_table_and_two_consumers_share_it(
    stage: Stage, mariadb: MariaDB | GivenMariaDB, topic: str, group: str
) -> None:
    log = stage.mounted("/logs") / "chat.jsonl"
    log.parent.mkdir()
    expected = generate(log, LINES, bad=0.005)
    database = str(make_url(stage.database).database)
    grace = float(stage.compose["services"]["consumer"]["stop_grace_period"].removesuffix("s"))

    assert topic in stage.run("topics")
    stage.run("schema")
    stage.run("producer")
    assert list(stage.mounted("/state").glob("*.json")), "the producer left no checkpoint in its volume"

    admin = AdminClient({"bootstrap.servers": stage.brokers})
    consumers = [stage.start("consumer", number) for number in (1, 2)]
    try:
        wait_until(lambda: count_rows(mariadb, database) >= expected.rows, "all rows in the table", consumers)
        wait_until(lambda: sharing_members(admin, group) == 2, "two consumers with partitions", consumers)
        wait_until(
            lambda: sum(committed(stage.brokers, group).values()) == expected.lines, "all offsets committed", consumers
        )
        for consumer in consumers:
            consumer.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + grace
        statuses = [consumer.process.wait(timeout=max(deadline - time.monotonic(), 0)) for consumer in consumers]
        assert statuses == [143, 143], [consumer.output() for consumer in consumers]
    finally:
        for consumer in consumers:
            consumer.kill()

    rows = table_rows(mariadb, database)
    assert len(rows) == expected.rows
    assert digest_rows(rows) == digest_rows(expected_rows(log))


# --- the servers' settings ------------------------------------------------------------------------------------------


def test_kafka_starts_with_its_settings_and_both_listeners_lead_back_to_it(
    compose: dict[str, Any], server_directory: Path
) -> None:
    ports = {port: str(free_port()) for port in ("9092", "9093", "29092")}
    environment = compose["services"]["kafka"]["environment"]
    properties = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): re.sub(
            r"(?:kafka|localhost)?:(9092|9093|29092)\b", lambda found: f"127.0.0.1:{ports[found[1]]}", str(value)
        )
        for key, value in environment.items()
        if key.startswith("KAFKA_") and key != "KAFKA_LOG_DIRS"
    }
    with Kafka(server_directory, port=int(ports["9092"]), properties=properties):
        for port in (ports["9092"], ports["29092"]):
            metadata = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"}).list_topics(timeout=10)
            assert [str(broker).split("/")[0] for broker in metadata.brokers.values()] == [f"127.0.0.1:{port}"]


def test_mariadb_starts_with_its_settings_and_stays_durable(compose: dict[str, Any], server_directory: Path) -> None:
    with MariaDB(server_directory, options=compose["services"]["mariadb"]["command"]) as server:
        values = server.execute(
            "SELECT @@innodb_buffer_pool_size, @@innodb_log_file_size, @@local_infile, @@character_set_server, "
            "@@innodb_flush_log_at_trx_commit, @@innodb_doublewrite"
        )
    assert values == [(2 << 30, 2 << 30, 1, "utf8mb4", 1, "ON")]


# --- what the files say ---------------------------------------------------------------------------------------------


def test_consumers_can_be_scaled(compose: dict[str, Any]) -> None:
    consumer = compose["services"]["consumer"]
    assert not {"container_name", "ports", "hostname"} & consumer.keys()
    assert consumer["restart"] == "unless-stopped"


def test_services_start_in_order_each_when_what_it_needs_is_ready(compose: dict[str, Any]) -> None:
    services = compose["services"]
    needs = {name: service.get("depends_on", {}) for name, service in services.items()}
    for name, needed in needs.items():
        for other, how in needed.items():
            assert other in services, f"{name} depends on {other}, which is no service"
            ready = "service_healthy" if "healthcheck" in services[other] else "service_completed_successfully"
            assert how == {"condition": ready}, f"{name} on {other}"
            assert not services[other].get("profiles"), f"{name} depends on {other}, which a profile may leave out"
    order = list(TopologicalSorter({name: list(needed) for name, needed in needs.items()}).static_order())
    assert order.index("consumer") > max(order.index(name) for name in ("kafka", "mariadb", "topics", "schema"))
    assert order.index("producer") > order.index("topics")


def test_passwords_are_in_no_command_line_and_in_no_url() -> None:
    compose = compose_file(**PASSWORDS)
    for name, service in compose["services"].items():
        for words in (service.get("entrypoint"), service.get("command"), service.get("healthcheck", {}).get("test")):
            text = " ".join(words or [])
            assert "password" not in text.lower(), name
            assert not any(password in text for password in PASSWORDS.values()), name
        url = service.get("environment", {}).get("CHATFERRY_DATABASE")
        assert url is None or make_url(url).password is None, name
    assert not any(password in compose["configs"]["grants"]["content"] for password in PASSWORDS.values())


def test_each_service_has_only_the_password_that_it_needs() -> None:
    services = compose_file(**PASSWORDS)["services"]
    holders = {
        name: {variable for variable, password in PASSWORDS.items() if password in service["environment"].values()}
        for name, service in services.items()
    }
    assert holders == {
        "kafka": set(),
        "mariadb": set(PASSWORDS),
        "topics": set(),
        "schema": {"CHATFERRY_OWNER_PASSWORD"},
        "consumer": {"CHATFERRY_DATABASE_PASSWORD"},
        "producer": set(),
    }


def test_every_variable_has_a_default_to_try_it_out_with() -> None:
    found = VARIABLE.findall((ROOT / "docker-compose.yml").read_text())
    assert [name for name, default in found if name and not default] == []


def test_images_are_pinned_and_ours_is_built_at_this_version(compose: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, service in compose["services"].items():
        image, _, version = service["image"].rpartition(":")
        assert image, name
        assert re.match(r"\d+\.\d+", version), name
        if name in OURS:
            assert (image, version) == ("chatferry", project["version"])
            assert (service["build"], service["pull_policy"]) == (".", "build")
    assert all(re.fullmatch(r"python:3\.\d+-slim( AS \w+)?", base) for base in instructions("FROM"))


def test_published_ports_are_on_this_machine_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_volumes_and_configs_that_services_name_are_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source.startswith("./") or source in compose["volumes"]
        assert all(config["source"] in compose["configs"] for config in service.get("configs", []))


def test_image_is_built_of_what_is_there_by_the_lock_and_runs_as_nobody_special() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    sources = [word for line in instructions("COPY") if not line.startswith("--from") for word in line.split()[:-1]]
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], "requirements.lock"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in allowed, source
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert re.search(r"pip install --require-hashes --requirement requirements\.lock", installs[0])
    assert all("--no-index --no-deps" in line for line in installs[1:])
    assert instructions("USER")[-1].split(":")[0] not in ("root", "0")


def test_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    """The image installs the wheel; the tests run on the source tree."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*command, "--wheel-dir", tmp_path, ROOT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("chatferry-*.whl")
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    expected = {str(file.relative_to(ROOT)) for name in packages for file in (ROOT / name).rglob("*.py")}
    with ZipFile(wheel) as archive:
        assert expected - set(archive.namelist()) == set()
