"""Read YAML so that it is known where everything is written, and how."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from qcore.adapters.cli.configuration.entry import Entry, Place, Refused, Value, placed
from qcore.adapters.cli.errors import BadInputError

DEEPEST = 3
"""Mappings in each other: commands, arguments, what an argument maps."""

FLAGS = {"true": True, "false": False}


def read_entries(path: Path, /) -> list[Entry]:
    """
    Return what a file says, in its order.

    Raises
    ------
    BadInputError
        If it is no YAML, no mapping, or gives a name twice; it tells the line.
    OSError
        If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} must be text in UTF-8: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        said = getattr(error, "problem", None) or str(error)
        raise BadInputError(f"{where}: it must be YAML; {said}.") from error
    if node is None:
        return []
    return list(_entries(node, _Lines(str(path), text.splitlines()), DEEPEST))


class _Lines:
    """Finds the line that something is written on."""

    def __init__(self, file: str, lines: list[str]) -> None:
        self.file, self.lines = file, lines

    def place(self, node: yaml.Node) -> Place:
        line = node.start_mark.line
        text = self.lines[line] if line < len(self.lines) else ""
        return Place(self.file, line + 1, text)


def _entries(node: yaml.Node, lines: _Lines, deeper: int) -> Iterator[Entry]:
    with placed(lines.place(node)):
        if deeper == 0 or not isinstance(node, yaml.MappingNode):
            raise Refused("it must be a list of `argument: value`, one in a line.")
    seen: set[str] = set()
    for key, value in node.value:
        place = lines.place(key)
        with placed(place):
            name = _text(key)
            if name in seen:
                raise Refused(f"{name!r} must be given once; got twice.")
            seen.add(name)
            yield Entry(name, _value(value, lines, deeper), place)


def _value(node: yaml.Node, lines: _Lines, deeper: int) -> Value:
    if isinstance(node, yaml.MappingNode):
        return tuple(_entries(node, lines, deeper - 1))
    if isinstance(node, yaml.SequenceNode):
        return [_text(item) for item in node.value]
    if node.tag == "tag:yaml.org,2002:null":
        return None
    if node.tag == "tag:yaml.org,2002:bool" and node.value.lower() in FLAGS:
        return FLAGS[node.value.lower()]
    return _text(node)


def _text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise Refused("it must be text or a number, or a list of these.")
    return str(node.value)
