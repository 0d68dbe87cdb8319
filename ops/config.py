"""`chatferry config`: which settings hold, and where each comes from."""

from typing import Any

import click
from click.core import ParameterSource

from consumer.stores.engine import shown
from schemas.settings import SETTINGS, redact
from terminal.command import FerryCommand, emit_json, parameter_name, say, settings_options

SOURCES = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
    ParameterSource.DEFAULT: "default",
}


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command(cls=FerryCommand, name="show")
@settings_options(list(SETTINGS))
@click.pass_context
def show(ctx: click.Context, /, **given: Any) -> int:
    """Print every setting that holds, and where it comes from; secrets are hidden."""
    found = {}
    for setting in SETTINGS.values():
        name = parameter_name(setting)
        value = redact(
            setting.name, given[name], shown(given[name]) if setting.name == "database" and given[name] else None
        )
        source = SOURCES.get(ctx.get_parameter_source(name) or ParameterSource.DEFAULT, "default")
        if source == "file":
            source = f"file {ctx.meta['chatferry.file']}"
        found[setting.name] = {"value": _plain(value), "source": source}
    if given["json"]:
        emit_json(found)
        return 0
    width = max(map(len, found))
    for name, entry in found.items():
        value = "" if entry["value"] in (None, []) else entry["value"]
        say(f"{name:<{width}}  {value!s:<32}  {entry['source']}")
    return 0


def _plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
