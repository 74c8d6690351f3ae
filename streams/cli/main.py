"""``tallystream``: the root of the command line.

Commands of this layer are registered here; those of the layers above arrive through the entry
point group ``tallystream.commands``. Each entry point names either a Typer application, mounted
under the entry's name, or a function ``register(root)`` that adds its commands itself.

A process that runs for weeks holds what it imported: where the first argument is an entry's name,
only that entry is loaded.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer
from typer.exceptions import Abort, TyperException

from streams.errors import TallystreamError

GROUP = "tallystream.commands"


def build(command: str | None = None) -> typer.Typer:
    """Assemble the command line: all of it, or what ``command``, its first argument, needs."""
    root = typer.Typer(
        name="tallystream",
        help="From row change to invoice line: change data capture for professional services.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    if any(entry.name == command for entry in entries):
        entries = [entry for entry in entries if entry.name == command]
        root.callback()(lambda: None)  # or Typer takes a single command for the root itself
    else:
        from streams.cli import config, contracts, stack

        root.add_typer(stack.app, name="stack")
        root.add_typer(contracts.app, name="contracts")
        root.add_typer(config.app, name="config")
    for entry in entries:
        contributed = entry.load()
        if isinstance(contributed, typer.Typer):
            root.add_typer(contributed, name=entry.name)
        else:
            contributed(root)
    return root


def main() -> None:
    """Run the command line; errors are one line on standard error, with the exit code of their class."""
    try:
        code = typer.main.get_command(build(next(iter(sys.argv[1:]), None)))(standalone_mode=False)
    except TyperException as error:
        # A group without a command "fails" with its help; the class is private, so by name, as Typer does.
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
        else:
            print(f"error: {' '.join(error.format_message().split())}", file=sys.stderr)
        sys.exit(2)
    except (Abort, KeyboardInterrupt):
        sys.exit(130)
    except TallystreamError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
