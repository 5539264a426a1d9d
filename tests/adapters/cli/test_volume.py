"""How much is told, and in which colours."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

from qcore.adapters.cli import main
from qcore.adapters.cli.parser import parser
from qcore.adapters.cli.table import table

COMMANDS = next(a.choices for a in parser()._actions if a.dest == "command")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["-q", "-v", "--json"])
def test_every_command_says_less_or_more_or_json(command: str, name: str) -> None:
    assert name in COMMANDS[command]._option_string_actions


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_every_help_fits_a_screen(qcore, command: str | None, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = qcore(*filter(None, [command]), "--help").out.splitlines()
    assert len(lines) <= (34 if command == "quantize" else 24)
    assert max(map(len, lines)) <= 80


def test_versions_and_time_are_told_on_stderr(qcore) -> None:
    quiet, loud = qcore("methods"), qcore("methods", "-v")
    assert loud.out == quiet.out
    first, last = loud.err.splitlines()
    assert first.startswith(f"qcore methods: Python {sys.version.split()[0]}, qcore-qu")
    assert last.endswith(" s")


def test_it_is_told_where_an_error_is_from(qcore) -> None:
    code, _, err = qcore("inspect", "nothing.onnx", "-v")
    assert code == 2
    assert "Traceback" in err
    assert err.endswith("\nqcore inspect: there is no file 'nothing.onnx'.\n")
    assert "Traceback" not in qcore("inspect", "nothing.onnx").err


def test_less_and_more_do_not_go_together(qcore) -> None:
    assert "not allowed with argument -q/--quiet" in qcore("methods", "-q", "-v").err


@pytest.fixture
def terminal(monkeypatch) -> io.StringIO:
    """What shows colours, if that is wanted."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    stream.isatty = lambda: True
    return stream


def failed(stream: io.StringIO) -> str:
    with redirect_stderr(stream):
        main(["inspect", "nothing.onnx"])
    return stream.getvalue()


def test_on_a_terminal_errors_are_red(terminal) -> None:
    said = "\033[1;31mqcore inspect:\033[0m there is no file 'nothing.onnx'.\n"
    assert failed(terminal) == said


def test_on_a_terminal_headers_are_bold(terminal) -> None:
    with redirect_stdout(terminal):
        lines = list(table(("name", "n"), [("a", "12")]))
    assert lines == ["\033[1mname   n\033[0m", "a     12"]


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_switched_off(terminal, monkeypatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert "\033" not in failed(terminal)


def test_a_pipe_gets_no_colours(qcore, model) -> None:
    assert "\033" not in qcore("inspect", model).out
    assert "\033" not in qcore("inspect", "nothing.onnx").err
