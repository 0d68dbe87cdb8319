"""The `chatferry` command. Each subcommand's module is imported only when it is called: start-up time is part of the
tool."""

from importlib import import_module

import click

COMMANDS = {
    "load": ("ops.load", "load"),
    "produce": ("producer.command", "produce"),
    "listen": ("producer.live.command", "listen"),
    "consume": ("consumer.command", "consume"),
    "topics": ("ops.topics", "topics"),
    "db": ("ops.database", "db"),
    "config": ("ops.config", "config"),
}
"""Name: module and attribute, in the order of the help text."""


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The subcommands, in the order of a newcomer's interest."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Import and return the subcommand."""
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chatferry", prog_name="chatferry")
def main() -> None:
    """Chat logs into a database through Kafka: no line lost, none doubled, every line accounted for.

    Start with: chatferry load FILE
    """


if __name__ == "__main__":
    main()
