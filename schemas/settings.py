"""Every setting, declared once: its name, its default, its help.

The name is the flag (`batch_rows` is `--batch-rows`), the environment variable (`CHATFERRY_BATCH_ROWS`) and the key
in the TOML file (`batch_rows`). A flag wins over the environment, the environment over the file, the file over the
default.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import UsageProblem
from schemas.topics import DEFAULT_GROUP, DEFAULT_PARTITIONS, DEFAULT_TOPIC

EXPORT_FORMATS = ("slack", "discord", "telegram", "whatsapp", "irssi", "weechat", "zulip", "mattermost")
"""Exports of chat systems that can be read as they are."""

ENVIRONMENT_PREFIX = "CHATFERRY_"
DEFAULT_FILE = "chatferry.toml"


@dataclass(frozen=True)
class Setting:
    """One setting. `kind` is the Python type of its value; `choices` narrows a string; `minimum` and `maximum` bound
    a number; a text that is given must not be blank."""

    name: str
    help: str
    default: Any = None
    kind: type = str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    metavar: str | None = None
    many: bool = False

    @property
    def flag(self) -> str:
        """As it is typed on the command line."""
        return "-X" if self.name == "librdkafka" else "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        # Kafka
        Setting("brokers", "Kafka's bootstrap servers.", metavar="HOST:PORT,..."),
        Setting("topic", "The topic that carries the lines.", DEFAULT_TOPIC),
        Setting("dead_letter_topic", "Where bad lines go.  [default: <topic>.dlq]", metavar="TOPIC"),
        Setting("partitions", "Partitions of a topic that is created.", DEFAULT_PARTITIONS, int, minimum=1),
        Setting("replication_factor", "Copies of each partition.  [default: the broker's]", kind=int, minimum=1),
        Setting(
            "max_message_bytes",
            "Largest record of a topic that is created.  [default: the broker's]",
            kind=int,
            minimum=1024,
        ),
        Setting(
            "librdkafka",
            "Any librdkafka setting; may be repeated.",
            metavar="KEY=VALUE",
            many=True,
        ),
        Setting(
            "kafka_password_file",
            "File that holds the SASL password. Or set CHATFERRY_KAFKA_PASSWORD.",
            kind=Path,
        ),
        # the producer
        Setting(
            "state",
            "Folder of the checkpoints and of the spool.  [default: the user's state folder]",
            kind=Path,
            metavar="DIR",
        ),
        Setting(
            "key",
            "Key records by this field of the JSON object.  [default: no key, an even spread]",
            metavar="FIELD",
        ),
        Setting(
            "follow",
            "Go on reading as files grow, are rotated, or come into a folder or a glob, until a signal.",
            False,
            bool,
        ),
        Setting("restart", "Start at the beginning, whatever the checkpoint says.", False, bool),
        Setting(
            "speed",
            "Replay at N times the speed of the lines' timestamps, the files merged by time.",
            kind=float,
            minimum=1e-6,
            metavar="N",
        ),
        Setting(
            "catch_up",
            "With --speed: after a stall send what is late as fast as it goes; or skip it, and move the schedule.",
            True,
            bool,
        ),
        Setting("rate", "At most N lines a second.", kind=float, minimum=1e-3, metavar="N"),
        Setting("from", "Only lines from this moment on: ISO 8601 (UTC) or Unix seconds.", metavar="TIME"),
        Setting("until", "Only lines before this moment.", metavar="TIME"),
        Setting("loop", "A demo: send the files again and again, with other ids each time.", False, bool),
        Setting("rounds", "So many times, then end; implies --loop.", kind=int, minimum=1, metavar="N"),
        Setting(
            "format",
            "What the files are: JSON lines, or the export of a chat system. auto: seen from what is in them.",
            "auto",
            choices=("auto", "jsonl", *EXPORT_FORMATS),
        ),
        Setting(
            "timezone",
            "Where an export's times without a zone were written, for example Europe/Berlin; UTC where none is named.",
            metavar="ZONE",
        ),
        Setting(
            "date_order",
            "Order of day, month and year in WhatsApp's dates, where they do not tell it themselves.",
            choices=("dmy", "mdy", "ymd"),
        ),
        # the listeners
        Setting(
            "as",
            "What the network is called in site_id; for listen also URL=NAME, where there are several URLs.",
            metavar="[URL=]NAME",
            many=True,
        ),
        Setting(
            "secret_file",
            "File that holds a URL's password or token; may be repeated. Or set its variable: CHATFERRY_IRC_PASSWORD, "
            "CHATFERRY_XMPP_PASSWORD, CHATFERRY_MATRIX_PASSWORD, CHATFERRY_MATRIX_TOKEN, CHATFERRY_HTTP_TOKEN, ... "
            "(docs/live.md, Secrets).",
            metavar="URL=PATH",
            many=True,
        ),
        Setting(
            "spool_limit",
            "Bytes that wait on the disk at most while Kafka does not take them.",
            256 << 20,
            int,
            minimum=1024,
        ),
        Setting(
            "dry_run",
            "Print the lines that would be sent, and send nothing; needs no broker. listen joins all the same.",
            False,
            bool,
        ),
        # the consumer
        Setting("group", "The consumer group.", DEFAULT_GROUP),
        Setting(
            "database",
            "SQLAlchemy URL of the database; its password may come by CHATFERRY_DATABASE_PASSWORD or a file instead.",
            metavar="URL",
        ),
        Setting("database_password_file", "File that holds the database password.", kind=Path),
        Setting(
            "workers",
            "Worker processes; auto: the smaller of cores and partitions.",
            "auto",
            metavar="auto|N",
        ),
        Setting("until_end", "Stop at the end offsets seen at the start.", False, bool),
        Setting(
            "on_duplicate",
            "What a repeat of an id does: nothing, or replace the row.",
            "skip",
            choices=("skip", "update"),
        ),
        Setting(
            "defer_indexes",
            "With --until-end or load: build the table's indexes at the end. auto: where it is empty at the start.",
            "auto",
            choices=("auto", "always", "never"),
        ),
        Setting("batch_rows", "Rows that a batch holds at most; a backlog makes it grow.", 250_000, int, minimum=1),
        Setting("batch_bytes", "Bytes of lines that a batch holds at most.", 48 << 20, int, minimum=1024),
        Setting("batch_seconds", "How long a batch waits, without a backlog.", 0.1, float, minimum=0.001),
        Setting("dead_letter_run", "Stop after so many bad lines in a row; 0: never.", 10_000, int, minimum=0),
        Setting(
            "dead_letter_ratio",
            "Stop where a larger share of the last 10,000 lines is bad; 1: never.",
            0.9,
            float,
            minimum=0.0,
            maximum=1.0,
        ),
        Setting(
            "metrics_port",
            "Serve Prometheus metrics on this loopback port.",
            kind=int,
            minimum=1,
            maximum=65_535,
            metavar="PORT",
        ),
    )
}

SECRET_KEY = re.compile(r"password|secret|passphrase|\bkey\b|\.key\.|jaas|token|oauthbearer\.config", re.IGNORECASE)
REDACTED = "***"


def read_file(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, checked by name; a table `[librdkafka]` holds what `-X` takes.

    Raises `UsageProblem` for a file that cannot be read, is not TOML, or names a setting that does not exist.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"Cannot read the settings file {path}: {error}", "Name another with --config") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageProblem(f"{path} is not TOML: {error}", "Mend the line that it names") from None
    for name, value in values.items():
        if name not in SETTINGS:
            near = difflib.get_close_matches(name.lower(), SETTINGS, 1, 0.7)
            hint = f"Did you mean {near[0]!r}?" if near else "`chatferry config show --help` lists them all"
            raise UsageProblem(f"{path}: unknown setting {name!r}", hint)
        if isinstance(value, list) and not SETTINGS[name].many:
            raise UsageProblem(f"{path}: {name} takes one value, not a list")
        if name == "librdkafka" and not isinstance(value, dict | list):
            raise UsageProblem(f"{path}: librdkafka is a table", 'For example [librdkafka] and then "linger.ms" = 5')
        if SETTINGS[name].kind in (str, Path) and isinstance(value, int | float) and not isinstance(value, bool):
            values[name] = str(value)
        if isinstance(value, dict):
            if name != "librdkafka":
                raise UsageProblem(f"{path}: {name} takes one value, not a table")
            values[name] = [f"{key}={_librdkafka_text(item)}" for key, item in _flat(value)]
    return values


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of a table by their dotted names: TOML makes tables of a name's dots where it is not quoted."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _librdkafka_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def pass_through(pairs: Iterable[str]) -> dict[str, str]:
    """librdkafka settings out of `key=value` texts.

    Raises `UsageProblem` for a text without `=`.
    """
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageProblem(
                f"-X {_redact_pair(pair)}: not of the form key=value", "For example -X compression.type=zstd"
            )
        settings[key.strip()] = value
    return settings


def redact(name: str, value: Any, database_hidden: str | None = None) -> Any:
    """`value` as it may be shown: no password of a URL, no secret of librdkafka."""
    if name == "database" and value:
        return database_hidden
    if name == "librdkafka":
        return [_redact_pair(pair) for pair in value]
    return value


def _redact_pair(pair: str) -> str:
    key, equals, value = pair.partition("=")
    if not re.fullmatch(r"[A-Za-z][\w.]*", key, re.ASCII):
        return REDACTED  # what it is nobody knows
    if not equals:
        return key
    return f"{key}={REDACTED if SECRET_KEY.search(key) else value}"


def secret(variable: str, file: Path | None, environment: Mapping[str, str]) -> str | None:
    """A password from its file, or else from its environment variable; never from the command line.

    Raises `UsageProblem` for a file that cannot be read.
    """
    if file is None:
        return environment.get(variable)
    try:
        return file.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise UsageProblem(
            f"Cannot read the password file {file}: {error.strerror}", "Check the path and its permissions"
        ) from None
    except UnicodeDecodeError:
        raise UsageProblem(f"Cannot read the password file {file}: it is no UTF-8", "Write it anew") from None
