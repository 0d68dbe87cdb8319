"""Synapse, a Matrix homeserver, on the loopback address: SQLite, no federation, accounts made by a shared secret."""

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.services.process import ServerProcess, free_port, installed

SERVER_NAME = "localhost"
SHARED_SECRET = "the-tests-register-by-this"
SECONDS = 120.0
API = "/_matrix/client/v3"

LOGGING = """
version: 1
formatters: {plain: {format: "%(asctime)s %(levelname)s %(name)s %(message)s"}}
handlers: {console: {class: logging.StreamHandler, formatter: plain}}
root: {level: WARNING, handlers: [console]}
disable_existing_loggers: false
"""

GENEROUS = {"per_second": 1000, "burst_count": 1000}


class Synapse(ServerProcess):
    """A homeserver, at `url`. `limits` add to its settings, such as `rc_login`; else it hardly limits anybody."""

    def __init__(self, directory: Path, limits: dict[str, Any] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._configuration = directory / "homeserver.yaml"
        self._limits = limits or {}
        python = installed("synapse") / "bin/python"
        command = [str(python), "-m", "synapse.app.homeserver", "--config-path", str(self._configuration)]
        super().__init__(command, directory=directory, environment={"SYNAPSE_CACHE_FACTOR": "0.1"})

    def _prepare(self) -> None:
        if self._configuration.exists():
            return
        (self.directory / "log.yaml").write_text(LOGGING)
        key = "ed25519 a_tests SmzdWKcp9ZBE3G1vFcSkIeh7UjFcA1PjCNDV7kJNd4w"  # any 32 bytes: it signs for nobody
        (self.directory / "signing.key").write_text(key + "\n")
        self._configuration.write_text(json.dumps(self._settings()))  # JSON is YAML, too

    def _settings(self) -> dict[str, Any]:
        listener = {"port": self.port, "bind_addresses": ["127.0.0.1"], "type": "http", "tls": False}
        database = {"name": "sqlite3", "args": {"database": str(self.directory / "homeserver.db")}}
        limits = {
            "rc_message": GENEROUS,
            "rc_login": {"address": GENEROUS, "account": GENEROUS, "failed_attempts": GENEROUS},
            "rc_joins": {"local": GENEROUS, "remote": GENEROUS},
            "rc_registration": GENEROUS,
        }
        return {
            "server_name": SERVER_NAME,
            "listeners": [{**listener, "resources": [{"names": ["client"]}]}],
            "database": database,
            "log_config": str(self.directory / "log.yaml"),
            "media_store_path": str(self.directory / "media"),
            "signing_key_path": str(self.directory / "signing.key"),
            "registration_shared_secret": SHARED_SECRET,
            "macaroon_secret_key": "the-tests-sign-by-this",
            "form_secret": "the-tests-post-by-this",
            "report_stats": False,
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            **limits,
            **self._limits,
        }

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:  # noqa: S310 -- our own
                return bool(answer.status == 200)
        except OSError:
            return False

    def register(self, name: str, password: str) -> "Person":
        """Make an account, and log it in."""
        nonce = call(self.url, "GET", "/_synapse/admin/v1/register")["nonce"]
        parts = [nonce, name, password, "notadmin"]
        mac = hmac.new(SHARED_SECRET.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": name, "password": password, "admin": False, "mac": mac}
        answer = call(self.url, "POST", "/_synapse/admin/v1/register", body)
        return Person(self.url, answer["user_id"], answer["access_token"])


class Person:
    """Somebody with an account, who makes rooms and says things."""

    def __init__(self, url: str, user: str, token: str) -> None:
        self._url = url
        self.user = user
        self.token = token
        self._sent = 0

    def make_room(self, alias: str, preset: str = "public_chat", **more: Any) -> str:
        """A room that anybody may join; its id."""
        body = {"room_alias_name": alias, "preset": preset, **more}
        return str(self.call("POST", f"{API}/createRoom", body)["room_id"])

    def say(self, room: str, text: str, **more: Any) -> str:
        """Say it; the event's id. `more` is further content."""
        return self.send(room, "m.room.message", {"msgtype": "m.text", "body": text, **more})

    def send(self, room: str, kind: str, content: dict[str, Any]) -> str:
        """Send an event; its id."""
        self._sent += 1
        path = f"{API}/rooms/{quote(room)}/send/{kind}/{self.token[-8:]}{self._sent}"
        return str(self.call("PUT", path, content)["event_id"])

    def redact(self, room: str, event: str, reason: str) -> str:
        """Take an event back."""
        self._sent += 1
        path = f"{API}/rooms/{quote(room)}/redact/{quote(event)}/{self.token[-8:]}{self._sent}"
        return str(self.call("PUT", path, {"reason": reason})["event_id"])

    def set(self, room: str, kind: str, content: dict[str, Any], key: str = "") -> None:
        """Set a piece of the room's state."""
        self.call("PUT", f"{API}/rooms/{quote(room)}/state/{kind}/{quote(key)}", content)

    def act(self, room: str, what: str, **content: Any) -> None:
        """Join, leave, kick, ban, unban, invite."""
        self.call("POST", f"{API}/rooms/{quote(room)}/{what}", content)

    def devices(self) -> list[dict[str, Any]]:
        """The devices of this account."""
        found: list[dict[str, Any]] = self.call("GET", f"{API}/devices")["devices"]
        return found

    def everything(self, room: str) -> list[dict[str, Any]]:
        """All events of the room, oldest first."""
        events: list[dict[str, Any]] = []
        query = {"dir": "f", "limit": "100"}
        while True:
            page = self.call("GET", f"{API}/rooms/{quote(room)}/messages?{urlencode(query)}")
            events += page["chunk"]
            if not page["chunk"] or "end" not in page:
                return events
            query["from"] = page["end"]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request of the client-server API."""
        return call(self._url, method, path, body, self.token)


def call(url: str, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
    """Ask the server. Raises AssertionError with its words where it refuses."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, content, headers, method=method)  # noqa: S310 -- our own
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 -- our own
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None
