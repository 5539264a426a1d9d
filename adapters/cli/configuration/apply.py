"""Make what a configuration file says what arguments are unless they are typed."""

import argparse
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from qcore.adapters.cli.argument_parser import Parser
from qcore.adapters.cli.configuration.entry import Entry, Refused, Value, placed
from qcore.errors import nearest

NOT_HERE = ("help", "help-all", "config")
"""What a file cannot say."""


def apply(
    entries: Sequence[Entry],
    commands: Mapping[str, Parser],
    name: str,
    typed: Collection[str],
) -> None:
    """
    Set the defaults of a command to what a file says.

    Parameters
    ----------
    entries : sequence of Entry
        Arguments by name, of any of the commands; or those of one, below its name.
    commands : mapping
        Those that take a file.
    name : str
        The one to run.
    typed : collection of str
        What was typed: arguments that go with none of these are left out.

    Raises
    ------
    BadInputError
        If an argument is unknown or cannot be what the file says; it tells the line.
    """
    own = [entry for entry in entries if entry.key not in commands]
    everywhere = {key for command in commands.values() for key in _arguments(command)}
    for entry in own:
        with placed(entry.place):
            _check_known(entry.key, everywhere | {*commands})
    for entry in entries:
        if entry.key in commands:
            with placed(entry.place):
                if not isinstance(entry.value, tuple):
                    raise Refused("arguments of this command must be below it.")
            for below in entry.value:
                with placed(below.place):
                    _check_known(below.key, _arguments(commands[entry.key]))
            if entry.key == name:
                # What is said for the command goes before what is said for all.
                said = {below.key for below in entry.value}
                own = [*(e for e in own if e.key not in said), *entry.value]
    _Defaults(commands[name], typed).set(own)


def _arguments(command: Parser) -> dict[str, argparse.Action]:
    """Return arguments by their names in a file, which are those of the help."""
    found = {}
    for action in command._actions:
        long = [s.removeprefix("--") for s in action.option_strings if s[:2] == "--"]
        if long and long[-1] not in NOT_HERE:
            found[long[-1]] = action
        elif not action.option_strings:
            found[str(action.metavar).lower()] = action
    return found


def _check_known(key: str, known: Collection[str]) -> None:
    if key not in known:
        raise Refused(f"there is no argument {key!r}; {nearest(key, known)}")


class _Defaults:
    """Those of one command.

    Parameters
    ----------
    command : Parser
        Whose they are.
    typed : collection of str
        What was typed.
    """

    def __init__(self, command: Parser, typed: Collection[str]) -> None:
        self.command, self.arguments = command, _arguments(command)
        self.typed = {text.partition("=")[0] for text in typed}

    def set(self, entries: Sequence[Entry]) -> None:
        """Set those that the command has."""
        taken: dict[argparse.Action, str] = {}
        for entry in entries:
            action = self.arguments.get(entry.key)
            if action is None or any(map(self._is_typed, self._rivals(action))):
                continue
            with placed(entry.place):
                value = _converted(self.command, action, entry.value)
                for rival in self._rivals(action):
                    if rival in taken:
                        raise Refused(f"it does not go together with {taken[rival]!r}.")
            taken[action] = entry.key
            self.command.set_defaults(**{action.dest: value})
            action.required = False
            for group in self._groups(action):
                group.required = False

    def _groups(
        self, action: argparse.Action
    ) -> Iterator[argparse._MutuallyExclusiveGroup]:
        groups = self.command._mutually_exclusive_groups
        return (group for group in groups if action in group._group_actions)

    def _rivals(self, action: argparse.Action) -> list[argparse.Action]:
        """Return the arguments that one does not go together with."""
        groups = self._groups(action)
        return [a for group in groups for a in group._group_actions if a is not action]

    def _is_typed(self, action: argparse.Action) -> bool:
        return not self.typed.isdisjoint(action.option_strings)


def _converted(command: Parser, action: argparse.Action, value: Value) -> Any:
    """Return what an argument becomes, as if the value had been typed."""
    if value is None:
        raise Refused("it must have a value.")
    if isinstance(action, argparse._StoreTrueAction):
        if not isinstance(value, bool):
            raise Refused("it must be true or false.")
        return value
    if isinstance(value, bool):
        if action.nargs == argparse.OPTIONAL:
            return action.const if value else action.default
        value = str(value).lower()
    texts = _texts(value)
    if isinstance(action, argparse._AppendAction) or action.nargs == "+":
        return [_typed(command, action, text) for text in texts]
    return _typed(command, action, ",".join(texts))


def _texts(value: Value) -> list[str]:
    """Return what would be typed: several texts, or NAME=VALUE of what is below."""
    if isinstance(value, tuple):
        return [f"{below.key}={','.join(_texts(below.value))}" for below in value]
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return [value]
    raise Refused("it must be text or a number, or a list of these.")


def _typed(command: Parser, action: argparse.Action, text: str) -> Any:
    try:
        value = command._get_value(action, text)
        command._check_value(action, value)
    except argparse.ArgumentError as error:
        raise Refused(f"{error.message}.") from error
    return value
