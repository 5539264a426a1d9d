"""A parser whose help fits a screen and whose complaints are one line."""

import argparse
import sys
from typing import NoReturn

from qcore.adapters.cli.errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line, and takes no abbreviations."""

    def __init__(self, **options: object) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=_formatter,
            add_help=False,
            **options,  # type: ignore[arg-type]
        )
        # One list for all, which is short enough for a screen.
        self._positionals = self._optionals
        self._action_groups = [self._optionals]
        self._optionals.title = "arguments"
        self.add_argument("-h", "--help", action="help", help="show this and exit")
        self._more: Group | None = None

    @property
    def more(self) -> "Group":
        """The arguments that few need: `--help-all` alone shows them."""
        if self._more is None:
            self._more = self.add_argument_group("more arguments")
            what = "show these and those that few need, and exit"
            added = self.add_argument("--help-all", action=_ShowAll, nargs=0, help=what)
            # Beside --help, wherever in a command the first that few need is declared.
            listed = self._optionals._group_actions
            listed.insert(1, listed.pop(listed.index(added)))
        return self._more

    def format_help(self) -> str:
        """Return what fits a screen."""
        every, self._action_groups = self._action_groups, [self._optionals]
        try:
            return super().format_help()
        finally:
            self._action_groups = every

    def format_all(self) -> str:
        """Return the help on all arguments."""
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed."""
        raise UsageError(self.prog, message)


Group = argparse._ArgumentGroup  # it has no public name


class _ShowAll(argparse.Action):
    """What `--help-all` does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        assert isinstance(parser, Parser)
        sys.stdout.write(parser.format_all())
        parser.exit()


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26)
