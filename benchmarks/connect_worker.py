"""A Kafka Connect worker with Debezium's JDBC sink: its jars, its process, and its connectors over REST."""

import hashlib
import http.client
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.services.kafka import LOGGING
from tests.services.process import ServerError, ServerProcess, ServicesMissingError, free_port, log_tail

POM = Path(__file__).with_name("connect.pom.xml")
CACHE = Path(__file__).parents[1] / ".cache" / "connect"
HEAP = "2g"
"""The -Xmx that Kafka's own connect-standalone.sh gives."""
COLLECTOR = "-XX:+UseParallelGC"
"""Not the script's G1: on two cores the sink takes a fifth less CPU in a warm JVM, and pauses do not matter here."""
REST_SECONDS = 60.0
"""How long one REST request may take: a connector is checked against its database before the answer."""


class ConnectorFailed(RuntimeError):
    """A connector or a task of it failed, or was refused; the message holds the reason and the log's end."""


def jars() -> Path:
    """The folder of the jars that connect.pom.xml names, fetched by Maven where it is not there yet.

    Raises ServicesMissingError without Maven, ServerError where Maven fails.
    """
    folder = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as part:
            _fetch(Path(part) / "lib", folder)
    return folder


def _fetch(part: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServicesMissingError("mvn")
    command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={part}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise ServerError(f"Maven could not fetch the jars named in {POM}: {done.stdout}{done.stderr}")
    try:
        part.rename(folder)
    except OSError:  # another run was quicker
        if not folder.exists():
            raise


class ConnectWorker(ServerProcess):
    """A standalone worker, ready between `with` and its end; connectors come and go while it runs."""

    def __init__(self, directory: Path, brokers: str, *, heap: str = HEAP) -> None:
        self.port = free_port()
        self._brokers = brokers
        self._properties = directory / "worker.properties"
        super().__init__([*_java(heap), str(self._properties)], directory=directory)

    def _prepare(self) -> None:
        properties = {
            "bootstrap.servers": self._brokers,
            "listeners": f"http://127.0.0.1:{self.port}",
            "offset.storage.file.filename": str(self.directory / "offsets"),
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "plugin.discovery": "service_load",  # quicker than a scan, and all our plugins are declared
        }
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))

    def _ready(self) -> bool:
        try:
            status, _ = self._ask("GET", "/health", seconds=1)
        except (OSError, http.client.HTTPException, ValueError):  # the last: Jetty's own page, not the worker's JSON
            return False
        return status == http.HTTPStatus.OK

    def create(self, name: str, settings: Mapping[str, str]) -> None:
        """Start a connector. Raises ConnectorFailed where the worker refuses it."""
        status, answer = self._ask("POST", "/connectors", {"name": name, "config": dict(settings)})
        if status != http.HTTPStatus.CREATED:
            raise ConnectorFailed(f"{name} was refused: {answer}. {log_tail(self.log)}")

    def check(self, name: str) -> None:
        """Raises ConnectorFailed where the connector or a task of it has failed, ServerError without a worker."""
        self._running()
        status, answer = self._ask("GET", f"/connectors/{name}/status")
        if status != http.HTTPStatus.OK:  # it has no status before it has started
            return
        for part in (answer["connector"], *answer["tasks"]):
            if part["state"] == "FAILED":
                raise ConnectorFailed(f"{name} failed: {part.get('trace')}. {log_tail(self.log)}")

    def delete(self, name: str, seconds: float = 30) -> None:
        """End a connector, and return when its tasks are gone. Raises ConnectorFailed after `seconds`."""
        self._ask("DELETE", f"/connectors/{name}")
        deadline = time.monotonic() + seconds
        while self._ask("GET", f"/connectors/{name}/status")[0] != http.HTTPStatus.NOT_FOUND:
            if time.monotonic() > deadline:
                raise ConnectorFailed(f"{name} has not ended after {seconds} s. {log_tail(self.log)}")
            time.sleep(0.1)

    def _ask(self, method: str, path: str, body: object = None, *, seconds: float = REST_SECONDS) -> tuple[int, Any]:
        """The status and the JSON value that answer a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response.status, json.loads(text) if text else None


def _java(heap: str) -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise ServicesMissingError("java")
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    options = [f"-Xmx{heap}", COLLECTOR, "-Duser.timezone=UTC", *LOGGING, quiet]
    return [java, *options, "-cp", f"{jars()}/*", "org.apache.kafka.connect.cli.ConnectStandalone"]
