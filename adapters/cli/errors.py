"""What a command says no with; each has its exit code."""


class BadInputError(Exception):
    """What was typed, or a file that it names, is not what the command takes.

    `command` is what it was typed for, where the command has not begun.
    """

    command: str | None = None


class UsageError(BadInputError):
    """What was typed is not understood."""

    def __init__(self, command: str, sentence: str) -> None:
        super().__init__(f"{sentence} (see {command} --help)")
        self.command = command


class CannotDoError(Exception):
    """The input is as it should be, but the job cannot be done with it."""
