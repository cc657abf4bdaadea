"""The command line. Each command lives in its own module and is loaded only when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from tocsin import __version__
from tocsin.errors import BadEvent, Misconfigured, TocsinError

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("tocsin.cli.up:command", "Start the server and its console."),
    "assess": ("tocsin.cli.assess:command", "Take any file through the whole loop, in shadow."),
    "replay": ("tocsin.cli.replay:command", "Feed a file to a running server."),
    "drill": ("tocsin.cli.drill:command", "Break the demo store on purpose and score the answer."),
    "model": ("tocsin.cli.model:command", "Train, evaluate, publish and roll back models."),
    "warm": ("tocsin.cli.warm:command", "Compile the kernels of the data plane."),
    "doctor": ("tocsin.cli.doctor:command", "Check the installation and say what to do."),
    "passwd": ("tocsin.cli.people:passwd", "Set a person's password."),
    "key": ("tocsin.cli.people:key", "Make or revoke a machine's key."),
    "audit": ("tocsin.cli.keeping:audit", "Verify the audit trail."),
    "backup": ("tocsin.cli.keeping:backup", "Copy the memory to a folder."),
    "restore": ("tocsin.cli.keeping:restore", "Bring a backup back."),
    "export": ("tocsin.cli.keeping:export", "Write the ledger as lines of JSON, and its hash."),
    "history": ("tocsin.cli.history:command", "List the Parquet history, or bring it up to date."),
    "forget": ("tocsin.cli.keeping:forget", "Destroy what is stored of a subject."),
    "vocabulary": ("tocsin.cli.vocabulary:command", "Print the event vocabulary, or a JSON Schema."),
    "openapi": ("tocsin.cli.openapi:command", "Print the OpenAPI document of the server."),
}


class Lazy(click.Group):
    """A group whose commands are imported only when they are called: ``tocsin --help`` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found = getattr(importlib.import_module(module), name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tocsin")
def group() -> None:
    """Tocsin: the emergency desk of an online store."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit codes: 0 done, 1 a goal missed or trouble found, 2 bad input or usage."""
    try:
        group.main(args=arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (BadEvent, Misconfigured) as error:
        click.echo(f"tocsin: {error}", err=True)
        sys.exit(2)
    except TocsinError as error:
        click.echo(f"tocsin: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)
