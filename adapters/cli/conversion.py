"""What is converted, from which kind of record to which, and on the way what codes."""

import argparse
from typing import Any

from qcore.adapters.cli import arguments as add
from qcore.adapters.cli.argument_parser import Parser


def add_conversion(command: Parser) -> None:
    """Add the two records, their kinds, and what is done in between."""
    add.path(command, "source", metavar="SOURCE", what="record, model or statistics")
    add.path(command, "target", metavar="TARGET", what="the record to write")
    what = "of SOURCE; by default told by its content, or name"
    command.add_argument("--from", dest="source_kind", metavar="KIND", help=what)
    what = "of TARGET; by default told by its name: tensorrt (.cache), "
    what += "aimet (.encodings), json, safetensors, onnxruntime ..."
    command.add_argument("--to", dest="target_kind", metavar="KIND", help=what)
    command.add_argument(
        "--tensors",
        metavar="NAME",
        action="append",
        help="those to write (all); * and ? match; repeatable",
    )
    what = "other codes that reach the same ranges"
    command.add_argument("--activation", metavar="FORMAT", help=what)
    what = "likewise, zero points being 0, as TensorRT wants"
    command.add_argument("--symmetric", action="store_true", help=what)
    add.method(command.more, command.more, default=None)
    command.more.add_argument(
        "--header",
        metavar="LINE",
        help="first line of a cache of TensorRT, which compares it with its own",
    )


def read_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the method of statistics and its options, as far as they were given."""
    given = {} if arguments.method is None else {"method": arguments.method}
    return given | add.method_options(arguments)


def write_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a kind of record lets choose, as far as that was done."""
    return {} if arguments.header is None else {"header": arguments.header}
