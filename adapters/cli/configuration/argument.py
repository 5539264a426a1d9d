"""The argument that names a configuration file."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import zip_longest
from pathlib import Path

from qcore.adapters.cli.argument_parser import Parser
from qcore.adapters.cli.arguments import Container, path
from qcore.adapters.cli.configuration.apply import apply
from qcore.adapters.cli.errors import BadInputError

OPTION = "--config"


def add_config(command: Container) -> None:
    """Add a file of arguments."""
    path(command, OPTION, what="a YAML file of arguments; typed ones go before it")


def configure(commands: Mapping[str, Parser], typed: Sequence[str]) -> None:
    """
    Make the file that was named, if any, the defaults of the command that was typed.

    Raises
    ------
    BadInputError
        If the file is not one of arguments.
    OSError
        If it cannot be read.
    """
    takers = {
        name: command
        for name, command in commands.items()
        if OPTION in command._option_string_actions
    }
    name = next((text for text in typed if text in commands), None)
    found = _named(typed)
    if name in takers and found is not None:
        # PyYAML comes with an extra, and serves this alone.
        module = import_module("qcore.adapters.cli.configuration.yaml")
        try:
            apply(module.read_entries(Path(found)), takers, name, typed)
        except BadInputError as error:
            error.command = commands[name].prog
            raise


def _named(typed: Sequence[str]) -> str | None:
    """Return the file that was named last."""
    found = None
    for text, after in zip_longest(typed, typed[1:]):
        if text == OPTION:
            found = after
        elif text.startswith(f"{OPTION}="):
            found = text.removeprefix(f"{OPTION}=")
    return found
