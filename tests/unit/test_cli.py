"""The command line holds what its help promises: every option explained, one JSON object, errors as one line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ops.cli import COMMANDS, main
from schemas.settings import SETTINGS
from terminal.command import FerryCommand, parameter_name

RUNNER = CliRunner()

COMMON = {"json", "quiet", "verbose", "config"}

CONTRACT = {
    "load": ["--database", "--brokers", "--topic", "--workers"],
    "produce": ["--brokers", "--topic", "--state", "--key", "--follow", "--speed", "--rate", "--from", "--until",
                "--catch-up", "--loop", "--rounds"],
    "listen": ["--brokers", "--topic", "--state", "--as", "--secret-file", "--spool-limit", "--dry-run"],
    "consume": ["--brokers", "--topic", "--group", "--database", "--workers", "--until-end", "--on-duplicate",
                "--metrics-port"],
    "topics create": ["--brokers", "--topic", "--partitions", "--replication-factor"],
    "db upgrade": ["--database"],
    "db check": ["--database"],
}  # fmt: skip
"""The flags that other people's scripts rely on (design, "The contract that scripts rely on")."""

HEAVY = [
    "confluent_kafka",
    "sqlalchemy",
    "alembic",
    "pymysql",
    "rich",
    "msgspec",
    "zstandard",
    "prometheus_client",
    "aiohttp",
    "cryptography",
]


@pytest.fixture(autouse=True)
def quiet_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the logging of the test run as it is."""
    monkeypatch.setattr("terminal.command.set_up_logs", lambda _level: None)


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where there is no settings file, and with no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS.values():
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.delenv("CHATFERRY_CONFIG", raising=False)


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The commands that do something, with their names."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(click.Context(command)):
        below = command.get_command(click.Context(command), name)
        assert below is not None
        yield from leaves(below, (*path, name))


def commands(name: str) -> list[tuple[tuple[str, ...], click.Command]]:
    top = main.get_command(click.Context(main), name)
    assert top is not None
    return list(leaves(top, (name,)))


def options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def run(*arguments: str, **variables: str) -> Result:
    return RUNNER.invoke(main, arguments, env=dict(variables), catch_exceptions=False)


# --- every command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_command_explains_itself_and_each_of_its_options(name: str) -> None:
    for path, command in commands(name):
        assert command.help, path
        for option in options(command):
            assert option.help, (path, option.name)
            assert option.help.rstrip()[-1] in ".]", (path, option.help)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_takes_json_and_the_other_common_options(name: str) -> None:
    for path, command in commands(name):
        assert isinstance(command, FerryCommand), path
        assert {option.name for option in options(command)} >= COMMON, path
        (as_json,) = [option for option in options(command) if option.name == "json"]
        assert as_json.is_flag
        assert as_json.opts == ["--json"]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_setting_shows_its_flag_default_and_variable_in_the_help(name: str) -> None:
    settings = {parameter_name(setting): setting for setting in SETTINGS.values()}
    for path, command in commands(name):
        result = RUNNER.invoke(main, [*path, "--help"], terminal_width=200)
        assert result.exit_code == 0
        for option in options(command):
            if option.name in COMMON:
                continue
            setting = settings[option.name or ""]
            assert option.opts == [setting.flag], path
            assert option.envvar == setting.variable
            assert setting.flag in result.output
            assert f"env var: {setting.variable}" in result.output
            default = setting.flag[2:] if setting.default is True else option.default
            if setting.default not in (None, False):
                assert f"default: {default}" in " ".join(result.output.split())


def test_config_show_takes_every_setting() -> None:
    ((_, show),) = commands("config")
    assert {option.name for option in options(show)} == {parameter_name(s) for s in SETTINGS.values()} | COMMON


def test_every_setting_belongs_to_a_command_that_works_with_it() -> None:
    used = {option.name for name in COMMANDS if name != "config" for _, c in commands(name) for option in options(c)}
    assert {parameter_name(setting) for setting in SETTINGS.values()} - used == set()


@pytest.mark.parametrize(("name", "flags"), CONTRACT.items())
def test_flags_that_scripts_rely_on_are_there(name: str, flags: list[str]) -> None:
    found = {" ".join(path): {opt for option in options(command) for opt in option.opts}
             for path, command in commands(name.split(maxsplit=1)[0])}  # fmt: skip
    assert set(flags) | {"--json"} <= found[name]


def test_help_names_every_command_in_its_order() -> None:
    output = run("--help").output
    places = [output.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert run("-h").output == output


# --- what a person can get wrong ----------------------------------------------------------------------------


def test_unknown_command_and_option_are_usage_problems() -> None:
    assert run("lod").exit_code == 2
    assert run("db", "chek").exit_code == 2
    assert run("db", "check", "--databse", "x").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [(["topics", "create"], "brokers"), (["db", "check"], "database"), (["db", "upgrade"], "database")],
)
def test_missing_setting_is_one_line_that_names_flag_and_variable(arguments: list[str], flag: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"chatferry: --{flag} is not set (")
    assert f"CHATFERRY_{flag.upper()}" in line


@pytest.mark.parametrize("arguments", [["topics", "create", "--json"], ["db", "check", "--json"]])
def test_failure_with_json_is_one_object_on_stdout_too(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout.count("\n") == 1
    assert set(json.loads(result.stdout)) == {"error", "next_step"}
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_settings_file_that_cannot_be_read_ends_the_command(form: list[str]) -> None:
    result = run("db", "check", *form, "--config", "missing.toml")
    assert result.exit_code == 2
    assert "Cannot read the settings file missing.toml" in result.stderr
    assert "Traceback" not in result.output
    assert bool(result.stdout) == bool(form)


def test_settings_file_in_the_folder_is_used() -> None:
    Path("chatferry.toml").write_text('unknown = "x"\n')
    result = run("db", "check")
    assert (result.exit_code, result.stderr.count("chatferry.toml: unknown setting 'unknown'")) == (2, 1)


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--batch-rows", "0"), ("--batch-rows", "many"), ("--batch-seconds", "0"), ("--dead-letter-run", "-1"),
     ("--partitions", "0"), ("--metrics-port", "0"), ("--on-duplicate", "ignore"), ("--speed", "-1"), ("--rate", "0")],
)  # fmt: skip
def test_value_out_of_its_bounds_is_a_usage_problem_that_names_the_flag(flag: str, value: str) -> None:
    result = run("config", "show", flag, value)
    assert result.exit_code == 2
    assert flag in result.stderr


def test_pair_without_equals_is_a_usage_problem() -> None:
    result = run("topics", "create", "--brokers", "localhost:1", "-X", "linger.ms")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "-X linger.ms: not of the form key=value" in result.stderr


def test_version_is_the_packages() -> None:
    assert run("--version").output == f"chatferry, version {version('chatferry')}\n"


@pytest.mark.parametrize(
    ("arguments", "variables", "holds"),
    [
        ([], {}, True),
        (["--no-catch-up"], {}, False),
        ([], {"CHATFERRY_CATCH_UP": "false"}, False),
        (["--catch-up"], {"CHATFERRY_CATCH_UP": "0"}, True),
    ],
)
def test_setting_that_is_on_can_be_turned_off(arguments: list[str], variables: dict[str, str], holds: bool) -> None:
    result = run("config", "show", "--json", *arguments, **variables)
    assert json.loads(result.stdout)["catch_up"]["value"] is holds


# --- start-up -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "variables", "refused"),
    [
        (["--no-catch-up"], {}, True),
        (["--no-catch-up", "--speed", "2"], {}, False),
        (["--catch-up"], {}, False),
        ([], {"CHATFERRY_CATCH_UP": "0"}, False),
    ],
)
def test_no_catch_up_without_a_speed_is_a_usage_problem_where_it_was_typed(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], refused: bool
) -> None:
    log = tmp_path / "a.jsonl"
    log.write_bytes(b"{}\n")
    result = run("produce", str(log), "--dry-run", *arguments, **variables)
    assert result.exit_code == (2 if refused else 0)
    assert ("--no-catch-up" in result.output) == refused


def test_help_is_shown_without_importing_kafka_or_sqlalchemy() -> None:
    code = (
        "import sys; import ops.cli; "
        f"heavy = [name for name in {HEAVY} if name in sys.modules]; "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
