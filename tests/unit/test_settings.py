"""Settings: the file is checked by name, secrets stay out of sight, and each setting is declared whole."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ops.cli import main
from schemas.errors import UsageProblem
from schemas.settings import REDACTED, SETTINGS, Setting, pass_through, read_file, redact, secret

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def quiet_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the logging of the test run as it is."""
    monkeypatch.setattr("terminal.command.set_up_logs", lambda _level: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


# --- declared -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_setting_is_declared_whole(setting: Setting) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", setting.name)
    assert setting.variable == f"CHATFERRY_{setting.name.upper()}"
    assert setting.flag == ("-X" if setting.name == "librdkafka" else f"--{setting.name.replace('_', '-')}")
    assert re.fullmatch(r"[A-Z].*\.(  \[default: [^\]]+\])?|.*[^.]\.", setting.help)
    default: Any = setting.default
    assert setting.minimum is None or default is None or default >= setting.minimum
    assert default is None or isinstance(default, setting.kind)
    assert not setting.choices or default is None or default in setting.choices


# --- the file -----------------------------------------------------------------------------------------------


def test_file_gives_values_by_name(file: Path) -> None:
    file.write_text('brokers = "a:9092,b:9092"\nbatch_rows = 100\nbatch_seconds = 0.5\nfollow = true\n')
    assert read_file(file) == {"brokers": "a:9092,b:9092", "batch_rows": 100, "batch_seconds": 0.5, "follow": True}


def test_empty_file_gives_nothing(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert read_file(file) == {}


def test_table_of_librdkafka_gives_what_x_takes(file: Path) -> None:
    file.write_text(
        '[librdkafka]\n"sasl.username" = "ann"\n"enable.ssl.certificate.verification" = false\n"linger.ms" = 5\n'
    )
    assert read_file(file) == {
        "librdkafka": ["sasl.username=ann", "enable.ssl.certificate.verification=false", "linger.ms=5"]
    }


def test_list_of_librdkafka_is_kept(file: Path) -> None:
    file.write_text('librdkafka = ["linger.ms=5", "a=b=c"]\n')
    assert read_file(file) == {"librdkafka": ["linger.ms=5", "a=b=c"]}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("broker", "brokers"),
        ("batch-rows", "batch_rows"),
        ("BROKERS", "brokers"),
        ("from_", "from"),
        ("json", None),
        ("config", None),
    ],
)
def test_unknown_setting_in_the_file_is_named(file: Path, name: str, meant: str | None) -> None:
    file.write_text(f'"{name}" = "x"\n')
    with pytest.raises(UsageProblem) as caught:
        read_file(file)
    assert caught.value.text == f"{file}: unknown setting {name!r}"
    hint = f"Did you mean {meant!r}?" if meant else "`chatferry config show --help` lists them all"
    assert caught.value.next_step == hint
    assert caught.value.exit_status == 2


def test_unknown_table_in_the_file_is_named(file: Path) -> None:
    file.write_text('[kafka]\nbrokers = "a:9092"\n')
    with pytest.raises(UsageProblem, match="unknown setting 'kafka'"):
        read_file(file)


def test_table_where_one_value_is_due_is_refused(file: Path) -> None:
    file.write_text('[topic]\nname = "chat"\n')
    with pytest.raises(UsageProblem, match="topic takes one value, not a table"):
        read_file(file)


@pytest.mark.parametrize("content", [b"brokers = ", b"brokers = 'a'\nbrokers = 'b'\n", b"{}", b"[librdkafka\n"])
def test_what_is_not_toml_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageProblem, match="is not TOML"):
        read_file(file)


@pytest.mark.parametrize("content", [b"topic = '\xe9'\n", "topic = 'x'\n".encode("utf-16")])
def test_file_that_is_not_utf_8_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageProblem, match="Cannot read the settings file"):
        read_file(file)


def test_missing_file_and_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="No such file"):
        read_file(tmp_path / "missing.toml")
    with pytest.raises(UsageProblem, match="Is a directory"):
        read_file(tmp_path)


# --- what goes through to librdkafka ------------------------------------------------------------------------


def test_pairs_become_settings() -> None:
    pairs = ["linger.ms=5", "sasl.password=a=b ", " debug =all", "empty=", "linger.ms=10"]
    assert pass_through(pairs) == {"linger.ms": "10", "sasl.password": "a=b ", "debug": "all", "empty": ""}


@pytest.mark.parametrize("pair", ["linger.ms", "", "=5", " =5"])
def test_pair_without_key_or_equals_is_a_usage_problem(pair: str) -> None:
    with pytest.raises(UsageProblem, match="not of the form key=value"):
        pass_through([pair])


# --- secrets ------------------------------------------------------------------------------------------------

SECRET_KEYS = [
    "sasl.password",
    "SASL.PASSWORD",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "ssl.key.location",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.jaas.config",
    "some.token",
    "some.passphrase",
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_secret_of_librdkafka_is_hidden(key: str) -> None:
    assert redact("librdkafka", [f"{key}={SECRET}={SECRET}"]) == [f"{key}={REDACTED}"]


@pytest.mark.parametrize("key", ["sasl.username", "sasl.mechanism", "linger.ms", "debug", "ssl.ca.location"])
def test_setting_of_librdkafka_that_is_no_secret_is_shown(key: str) -> None:
    assert redact("librdkafka", [f"{key}=value"]) == [f"{key}=value"]


def test_database_is_shown_as_its_driver_hides_it() -> None:
    assert redact("database", f"mysql://ann:{SECRET}@db/chat", "mysql://ann:***@db/chat") == "mysql://ann:***@db/chat"
    assert redact("database", f"mysql://ann:{SECRET}@db/chat") is None
    assert redact("database", None) is None


def test_other_settings_are_shown() -> None:
    assert redact("topic", "chat") == "chat"
    assert redact("batch_rows", 5) == 5


def show(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, ["config", "show", *arguments], env=dict(variables), catch_exceptions=False)


URL = f"mysql+pymysql://ann:{SECRET}@db.example:3306/chat"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_config_show_hides_every_secret_whatever_it_comes_from(file: Path, form: list[str]) -> None:
    file.write_text(f'database = "{URL}"\n[librdkafka]\n"sasl.password" = "{SECRET}"\n"sasl.username" = "ann"\n')
    results = [
        show(*form, "--config", str(file)),
        show(*form, "--database", URL, "-X", f"sasl.password={SECRET}", "-X", "sasl.username=ann"),
        show(*form, CHATFERRY_DATABASE=URL, CHATFERRY_LIBRDKAFKA=f"sasl.password={SECRET} sasl.username=ann"),
    ]
    for result in results:
        assert result.exit_code == 0
        assert SECRET not in result.output
        assert "mysql+pymysql://ann:***@db.example:3306/chat" in result.stdout
        assert "sasl.password=***" in result.stdout
        assert "sasl.username=ann" in result.stdout


def test_config_show_never_reads_a_password_from_its_variable() -> None:
    result = show("--json", CHATFERRY_DATABASE_PASSWORD=SECRET, CHATFERRY_KAFKA_PASSWORD=SECRET)
    assert SECRET not in result.output
    assert set(json.loads(result.stdout)) == set(SETTINGS)


def test_config_show_says_where_each_value_comes_from(file: Path) -> None:
    file.write_text('topic = "from-file"\nfrom = "2025-03-11"\n')
    result = show("--json", "--config", str(file), "--group", "from-flag", CHATFERRY_BATCH_ROWS="7")
    found = json.loads(result.stdout)
    assert found["topic"] == {"value": "from-file", "source": f"file {file}"}
    assert found["from"] == {"value": "2025-03-11", "source": f"file {file}"}
    assert found["group"] == {"value": "from-flag", "source": "flag"}
    assert found["batch_rows"] == {"value": 7, "source": "environment"}
    assert found["batch_seconds"] == {"value": 0.1, "source": "default"}


# --- passwords ----------------------------------------------------------------------------------------------


def test_password_comes_from_its_file_before_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f" {SECRET} \r\n")
    assert secret("CHATFERRY_X", file, {"CHATFERRY_X": "other"}) == f" {SECRET} "


def test_password_comes_from_its_variable() -> None:
    assert secret("CHATFERRY_X", None, {"CHATFERRY_X": SECRET}) == SECRET
    assert secret("CHATFERRY_X", None, {}) is None


def test_password_file_that_cannot_be_read_is_a_usage_problem(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"/missing: No such file or directory\. Check the path"):
        secret("CHATFERRY_X", tmp_path / "missing", {"CHATFERRY_X": SECRET})
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(UsageProblem, match="Cannot read the password file") as caught:
        secret("CHATFERRY_X", tmp_path / "latin", {})
    assert "caf" not in str(caught.value)
