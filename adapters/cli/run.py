"""From what was typed to an exit code: run a command, turn errors into one sentence.

0: done. 1: the job could not be done. 2: bad usage or bad input. As shells count
signals, 130: interrupted, 141: nobody reads the output any more, and 143: terminated.
"""

import io
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from qcore.adapters.cli.colour import RED, painted
from qcore.adapters.cli.errors import BadInputError, CannotDoError
from qcore.adapters.cli.parser import parse
from qcore.adapters.cli.termination import Terminated, terminable
from qcore.adapters.cli.verbose import told
from qcore.errors import NonFiniteError, QuantError

DONE, CANNOT, BAD_INPUT = 0, 1, 2
INTERRUPTED, NO_READER, TERMINATED = 130, 141, 143

STOPPED = {
    KeyboardInterrupt: (INTERRUPTED, "interrupted."),
    Terminated: (TERMINATED, "terminated."),
}

BAD_PATH = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)

EXTRAS = {"PIL": "images", "tokenizers": "text"}
"""What brings a library that is not installed; all others come with `onnx`."""

EXPECTED = (
    BadInputError,
    BrokenPipeError,
    CannotDoError,
    KeyboardInterrupt,
    ModuleNotFoundError,
    OSError,
    QuantError,
)
"""What is no fault of this program; all else deserves its traceback."""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line and return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        What follows `qcore`; that of the process by default.
    """
    with terminable():
        code, sentence = _outcome(argv)
    # Only here has the error let go of a progress bar, which thus has left the line.
    if sentence:
        if code == INTERRUPTED and sys.stderr.isatty():
            sys.stderr.write("\n")  # the terminal shows ^C on the line of the bar
        name, colon, said = " ".join(sentence.split()).partition(":")
        sys.stderr.write(f"{painted(name + colon, RED, sys.stderr)}{said}\n")
    return code


def _outcome(argv: Sequence[str] | None) -> tuple[int, str]:
    """Return the exit code, and the sentence to say if the job is not done."""
    name = "qcore"
    # Of what they find odd in a file and leave as it is; what matters is raised.
    for library in ("onnx_ir", "PIL"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        try:
            arguments = parse(argv)
            name = f"qcore {arguments.command}"
            with told(name, verbose=arguments.verbose):
                _write_lines(arguments.command, arguments)
        finally:
            sys.stdout.flush()
    except SystemExit:  # after --help and --version; our parser exits on no error
        return DONE, ""
    except EXPECTED as error:
        code, sentence = _verdict(error)
        name = getattr(error, "command", None) or name
        return code, f"{name}: {sentence}" if sentence else ""
    return DONE, ""


def _write_lines(command: str, arguments: object) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):  # tensors are named in any script
        sys.stdout.reconfigure(errors="backslashreplace")
    # Imported only now: `qcore --help` is instant and works without any extra.
    for line in import_module(f"qcore.adapters.cli.commands.{command}").run(arguments):
        sys.stdout.write(f"{line}\n")


def _verdict(error: BaseException) -> tuple[int, str]:
    """Return the exit code of an error, and what to say of it."""
    match error:
        case KeyboardInterrupt():
            return STOPPED[type(error)]
        case BrokenPipeError():
            _discard_output()
            return NO_READER, ""
        case ModuleNotFoundError(name=str(module)) if not module.startswith("qcore"):
            extra = EXTRAS.get(module.partition(".")[0], "onnx")
            install = f"pip install 'qcore-quant[{extra}]'"
            return BAD_INPUT, f"needs {module}, which is not installed: {install}"
        case OSError():
            return (BAD_INPUT if isinstance(error, BAD_PATH) else CANNOT), _said(error)
        case CannotDoError() | NonFiniteError():
            return CANNOT, str(error)
        case BadInputError() | QuantError():
            return BAD_INPUT, str(error)
    raise error


def _discard_output() -> None:
    """Keep the interpreter from failing once more when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _said(error: OSError) -> str:
    """Return what went wrong, and with which file, without its number."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
