"""A click command as every side of chatferry has it: settings from flag, environment and file; errors as one line;
`--json`."""

import json
import keyword
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec

from schemas.errors import ServiceDown, Stop, UsageProblem
from schemas.settings import DEFAULT_FILE, ENVIRONMENT_PREFIX, SETTINGS, Setting, read_file
from terminal.logs import printable, set_up_logs

BROKER = re.compile(r"([A-Z0-9_]+://)?[^,\s]+:[0-9]+")

F = TypeVar("F", bound=Callable[..., Any])


class FerryCommand(click.Command):
    """Turns what a person can cause into one line on stderr and an exit status; a bug keeps its traceback."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the command line; a settings file that cannot be read ends here."""
        as_json = "--json" in args  # parsing takes them away
        try:
            return super().make_context(info_name, args, parent, **extra)
        except Stop as problem:
            _die(problem, as_json=as_json)
        except click.UsageError as problem:
            if as_json:
                emit_json({"error": problem.format_message(), "next_step": f"See chatferry {info_name} --help"})
            raise click.UsageError(printable(problem.format_message(), keep="\n\t"), problem.ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the value it returns is the exit status."""
        set_up_logs(_level(ctx.params))
        try:
            status = super().invoke(ctx)
        except Stop as problem:
            _die(problem, as_json=bool(ctx.params.get("json")))
        except ServiceDown as problem:
            _die(Stop(str(problem), "Try again when it is back"), as_json=bool(ctx.params.get("json")))
        if isinstance(status, int) and status:
            ctx.exit(status)
        return status


def _die(problem: Stop, *, as_json: bool) -> NoReturn:
    say(f"chatferry: {problem}", err=True)
    if as_json:
        emit_json({"error": problem.text, "next_step": problem.next_step})
    sys.exit(problem.exit_status)


def _level(params: dict[str, Any]) -> int:
    if params.get("quiet"):
        return logging.WARNING
    return logging.DEBUG if params.get("verbose") else logging.INFO


def say(text: str, *, err: bool = False) -> None:
    """Print one line to stdout, or to stderr."""
    click.echo(printable(text), err=err)


def emit_json(values: dict[str, Any]) -> None:
    """Print the one JSON object of `--json` to stdout."""
    sys.stdout.buffer.write(json_line(values))
    sys.stdout.flush()


def json_line(values: dict[str, Any]) -> bytes:
    """The object on one line of JSON that a terminal can show: what it could obey stands as \\u escapes."""
    return printable_json(msgspec.json.encode(values).decode()).encode() + b"\n"


def printable_json(text: str) -> str:
    """JSON on one line, as a terminal can show it: it stays the same JSON."""
    if text.isprintable():  # only a string can hold such a character
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def parameter_name(setting: Setting) -> str:
    """The Python name under which a command receives the setting."""
    return setting.name + "_" if keyword.iskeyword(setting.name) else setting.name


def settings_options(names: Sequence[str], **defaults: Any) -> Callable[[F], F]:
    """Give a command the named settings, and the options that every command has.

    `defaults` replaces a setting's default for this command.
    """

    def decorate(function: F) -> F:
        for option in reversed([*(_option(SETTINGS[name], defaults) for name in names), *_common()]):
            function = option(function)
        return function

    return decorate


def _option(setting: Setting, defaults: dict[str, Any]) -> Callable[[F], F]:
    default = defaults.get(setting.name, setting.default)
    shown: dict[str, Any] = {
        "help": setting.help,
        "envvar": setting.variable,
        "show_envvar": True,
        "default": default,
        "show_default": default is not None and default is not False,
    }
    if setting.kind is bool:
        flag = f"{setting.flag}/--no-{setting.flag[2:]}" if default else setting.flag
        return click.option(flag, parameter_name(setting), is_flag=True, **shown)
    if setting.many:
        shown |= {"multiple": True, "default": (), "show_default": False}
    return click.option(setting.flag, parameter_name(setting), type=_type(setting), metavar=setting.metavar, **shown)


def _type(setting: Setting) -> Any:
    if setting.choices:
        return click.Choice(setting.choices)
    if setting.kind is Path:
        return click.Path(path_type=Path)
    least, most = setting.minimum, setting.maximum
    if setting.kind is int and least is not None:
        return click.IntRange(int(least), None if most is None else int(most))
    if setting.kind is float:
        return Finite(least, most)
    return NotBlank() if setting.kind is str else setting.kind


class Finite(click.FloatRange):
    """A number that is one: neither `nan`, which no bound keeps out, nor `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Fails for what is not a finite number within the bounds."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class NotBlank(click.types.StringParamType):
    """A text that says something: an empty variable in a script is a mistake, not a name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Fails for a text of nothing but blanks."""
        text = super().convert(value, param, ctx)
        if not text.strip():
            self.fail("it is empty.", param, ctx)
        return text


def _common() -> list[Callable[[F], F]]:
    return [
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar=ENVIRONMENT_PREFIX + "CONFIG",
            show_envvar=True,
            is_eager=True,
            expose_value=False,
            callback=_use_file,
            help=f"TOML file with settings.  [default: {DEFAULT_FILE}, where there is one]",
        ),
        click.option("--json", is_flag=True, help="Print one JSON object to stdout, and nothing else."),
        click.option("-q", "--quiet", is_flag=True, help="Only warnings and the account."),
        click.option("-v", "--verbose", is_flag=True, help="Say more (never what people wrote)."),
    ]


def _use_file(ctx: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        path = Path(DEFAULT_FILE)
        if not path.exists():
            return
    ctx.default_map = {parameter_name(SETTINGS[name]): value for name, value in read_file(path).items()}
    ctx.meta["chatferry.file"] = path


def required(setting: str, value: str | None) -> str:
    """The value of a setting that this command cannot do without.

    Raises `UsageProblem` where nobody gave it.
    """
    if not value:
        declared = SETTINGS[setting]
        raise UsageProblem(
            f"{declared.flag} is not set ({declared.help.split('.')[0]})",
            f"Give {declared.flag} {declared.metavar or ''}, or set {declared.variable}",
        )
    if setting == "brokers" and not all(BROKER.fullmatch(broker.strip()) for broker in value.split(",")):
        raise UsageProblem(
            f"--brokers {value}: not of the form HOST:PORT or HOST:PORT,HOST:PORT", "Name the port too, usually 9092"
        )
    return value


def environment() -> dict[str, str]:
    """This process's environment variables, for what is no setting: passwords."""
    return dict(os.environ)
