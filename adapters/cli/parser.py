"""What can be typed: one short function for each command."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib.metadata import version

from qcore.adapters.cli import arguments as add
from qcore.adapters.cli.argument_parser import Parser
from qcore.adapters.cli.candidates import add_sweep
from qcore.adapters.cli.configuration.argument import add_config, configure
from qcore.adapters.cli.conversion import add_conversion
from qcore.adapters.cli.overrides import add_override
from qcore.adapters.cli.samples import add_samples
from qcore.adapters.cli.shard import add_shard


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Return what was typed, and what a file says that it names."""
    whole, commands = _parsers()
    configure(commands, sys.argv[1:] if argv is None else argv)
    return whole.parse_args(argv)


def parser() -> Parser:
    """Return the parser of the whole command line."""
    return _parsers()[0]


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """Return the parser of the whole command line, and those of its commands."""
    whole = Parser(
        prog="qcore",
        description="Quantize neural networks to int8, from the command line.",
        epilog="example:\n  qcore quantize model.onnx --data calibration.npz "
        "-o model.int8.onnx",
    )
    whole.add_argument(
        "-V",
        "--version",
        action="version",
        version=f"qcore-quant {version('qcore-quant')}",
        help="show the version and exit",
    )
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (summary, example, declare) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example:\n  {example}",
        )
        declare(command)
        add.json(command)
        add.volume(command)
    return whole, dict(commands.choices)


def _quantize(command: Parser) -> None:
    command.usage = (
        "qcore quantize MODEL (--data NPZ | --reader M:F | --statistics ST) -o OUT\n"
        "       qcore quantize MODEL --plan"
    )
    add.model(command)
    source = command.add_mutually_exclusive_group()
    add.data(source)
    add.path(source, "--statistics", what="what qcore calibrate wrote, instead of data")
    add.output(command, "the int8 model", required=False)
    command.add_argument(
        "--plan", action="store_true", help="tell what would be done, and do nothing"
    )
    add.method(command, command.more, default="mse")
    add.activation(command)
    add.weights(command, command.more)
    add.fake(command.more)
    add.selection(command, command.more)
    add.recovery(command, command.more)
    add_override(command.more)
    add_sweep(command.more)
    add.collection(command.more)
    add_samples(command.more)
    add_config(command)


def _calibrate(command: Parser) -> None:
    command.usage = (
        "qcore calibrate MODEL (--data NPZ | --reader M:F) -o FILE [options]"
    )
    add.model(command)
    add.data(command.add_mutually_exclusive_group(required=True))
    add.output(command, "the statistics, in safetensors form")
    add.codes(command)
    add.fake(command.more)
    add.selection(command, command.more)
    add.collection(command.more)
    add_samples(command.more)
    add_shard(command.more)
    add.checkpoint(command.more)
    add_config(command)


def _merge(command: Parser) -> None:
    command.usage = "qcore merge FILE... -o OUT [options]"
    what = "statistics, of shards of one run or of runs that belong together"
    add.path(command, "files", metavar="FILE", what=what, nargs="+")
    add.output(command, "the statistics of all of them")
    command.add_argument(
        "--partial",
        action="store_true",
        help="shards may be missing, to be merged with OUT later",
    )


def _compare(command: Parser) -> None:
    command.usage = (
        "qcore compare FLOAT QUANTIZED... (--data NPZ | --reader M:F) [options]"
    )
    add.path(command, "float_model", metavar="FLOAT", what="the float ONNX model")
    made = "what was made of it; several are shown side by side"
    add.path(command, "quantized_models", metavar="QUANTIZED", what=made, nargs="+")
    add.data(command.add_mutually_exclusive_group(required=True))
    command.add_argument(
        "--deployed",
        action="store_true",
        help="outputs of onnxruntime's integer kernels (as written)",
    )
    add_samples(command.more)
    add.limit(command, default=12)
    add_config(command)


def _inspect(command: Parser) -> None:
    command.usage = "qcore inspect FILE [options]"
    add.path(command, "file", what="an ONNX model, or statistics")
    add.target(command)
    add.method(command, command.more, default=None)
    add.activation(command)
    add.limit(command, default=None)
    add_config(command)


def _convert(command: Parser) -> None:
    command.usage = "qcore convert SOURCE TARGET [options]"
    add_conversion(command)


def _demo(command: Parser) -> None:
    what = "where to leave the int8 models; by default nowhere"
    add.path(command, "--out", metavar="DIR", what=what)


def _nothing(command: Parser) -> None:
    del command


_COMMANDS: dict[str, tuple[str, str, Callable[[Parser], None]]] = {
    "quantize": (
        "write the int8 model of a float ONNX model",
        "qcore quantize model.onnx --data calibration.npz -o model.int8.onnx",
        _quantize,
    ),
    "calibrate": (
        "run an ONNX model on data and save what its activations are",
        "qcore calibrate model.onnx --data calibration.npz -o stats.safetensors",
        _calibrate,
    ),
    "merge": (
        "merge statistics that many machines have collected",
        "qcore merge shard-*.safetensors -o stats.safetensors",
        _merge,
    ),
    "inspect": (
        "tell what is in a file: an ONNX model, or statistics",
        "qcore inspect stats.safetensors --method percentile --percentile 99.9",
        _inspect,
    ),
    "compare": (
        "tell how close a quantized model is, tensor by tensor",
        "qcore compare model.onnx model.int8.onnx --data samples.npz",
        _compare,
    ),
    "convert": (
        "write the scales of a record in the form of another toolkit",
        "qcore convert model.int8.onnx calibration.cache --symmetric",
        _convert,
    ),
    "methods": (
        "list the calibration methods and their options",
        "qcore methods",
        _nothing,
    ),
    "backends": (
        "list array libraries and compilers, and what serves each kernel",
        "qcore backends",
        _nothing,
    ),
    "demo": (
        "quantize a small network with every method and score it",
        "qcore demo --out models",
        _demo,
    ),
}
"""By name: what it does, an example, and what declares its arguments."""
