"""Arguments that several commands share, each meaning the same in all of them."""

import argparse
from pathlib import Path
from typing import Any, Protocol

from qcore.adapters.cli import values
from qcore.adapters.cli.argument_parser import Parser
from qcore.adapters.recovery_levels import LEVELS


class Container(Protocol):
    """A parser, or a group of arguments in one."""

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """Add an argument."""


def path(
    command: Container, *names: str, what: str, metavar: str = "FILE", **options: Any
) -> None:
    """Add a file or folder."""
    command.add_argument(*names, metavar=metavar, type=Path, help=what, **options)


def model(command: Container) -> None:
    """Add the float model."""
    path(command, "model", metavar="MODEL", what="a float ONNX model")


def data(command: Container) -> None:
    """Add the samples."""
    what = "samples: arrays by input, or input:0 ...; or a folder"
    path(command, "--data", metavar="NPZ", what=what)
    command.add_argument(
        "--reader",
        metavar="M:F",
        help="samples that function F of your module M gives",
    )


def output(command: Container, what: str, *, required: bool = True) -> None:
    """Add the file to write."""
    path(command, "-o", "--output", what=what, required=required)


def method(command: Container, more: Container, default: str | None) -> None:
    """Add the choice of a method and the options that methods have."""
    command.add_argument(
        "--method",
        metavar="NAME",
        default=default,
        help="how ranges are chosen (mse); see qcore methods",
    )
    command.add_argument(
        "--percentile",
        metavar="P",
        type=values.percentile,
        help="percentile: share of values kept (99.99), or LO,HI",
    )
    more.add_argument(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        type=values.option,
        default=[],
        help="any other option of the method; repeatable",
    )


def method_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the method that were given."""
    return _given(arguments, "percentile") | dict(arguments.option)


def codes(command: Container) -> None:
    """Add the format of the activations' codes."""
    command.add_argument(
        "--activation",
        metavar="FORMAT",
        help="uint8 (default), int8, int16, float8_e4m3fn, dynamic, float",
    )


def fake(command: Container) -> None:
    """Add the wish for floats that are rounded to what codes stand for."""
    command.add_argument(
        "--fake",
        action="store_true",
        help="hold floats rounded to any format: int6, mxfp4, nvfp4 ...",
    )


def activation(command: Container) -> None:
    """Add the form of the activations' codes."""
    codes(command)
    command.add_argument(
        "--symmetric", action="store_true", help="zero points are 0, as TensorRT wants"
    )


def weights(command: Container, more: Container) -> None:
    """Add the form of the weights' codes."""
    command.add_argument(
        "--weight",
        metavar="FORMAT",
        help="that of weights: int8, uint8, int4 ... (as activations)",
    )
    more.add_argument(
        "--block",
        metavar="N",
        type=int,
        help="N weights share a scale; needs --activation float",
    )
    more.add_argument(
        "--weight-form",
        metavar="FORM",
        default="qdq",
        help="qdq, or matmulnbits: int4 blocks as onnxruntime packs them",
    )
    more.add_argument(
        "--weight-method",
        metavar="METHOD",
        default="output",
        help="ranges of weights: output, minmax, mse ...",
    )


def target(command: Container) -> None:
    """Add the runtime."""
    command.add_argument(
        "--target",
        metavar="RUNTIME",
        default="onnxruntime",
        help="onnxruntime (default), tensorrt or openvino",
    )


def selection(command: Container, more: Container) -> None:
    """Add the choice of what becomes int8."""
    target(command)
    command.add_argument(
        "--exclude",
        metavar="NAME",
        action="append",
        help="a node that stays float; * and ? match; repeatable",
    )
    more.add_argument(
        "--include",
        metavar="NAME",
        action="append",
        help="a node or operator for int8, others stay float; repeatable",
    )
    more.add_argument(
        "--op-types",
        metavar="TYPES",
        type=values.names,
        help="which of Conv,Gemm,MatMul ... become int8 (all)",
    )
    more.add_argument(
        "--keep-existing",
        action="store_true",
        help="take a model that is partly quantized; leave that as it is",
    )


def selected(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return that choice, as far as it was made."""
    names = "target", "activation", "fake", "op_types", "include", "exclude"
    return _given(arguments, *names, "keep_existing")


def recovery(command: Container, more: Container) -> None:
    """Add what is done about the errors of rounding."""
    command.add_argument(
        "--recover",
        metavar="LEVEL",
        choices=LEVELS,
        help="win accuracy back: none, bias, gptq or full (the default)",
    )
    more.add_argument(
        "--smooth",
        metavar="A",
        nargs="?",
        const=True,
        default=False,
        type=float,
        help="for transformers: move outliers of inputs into weights, 0 to 1 of "
        "them (0.75)",
    )
    more.add_argument(
        "--budget",
        metavar="BITS",
        type=float,
        help="of a weight on the average, 8 to 16: layers that cost most get 16",
    )
    more.add_argument(
        "--memory",
        metavar="MB",
        type=values.at_least(1),
        default=1024,
        help="of samples to hold in memory at once, more lies on disk (1024)",
    )
    checkpoint(more)


def checkpoint(command: Container) -> None:
    """Add where it is kept how far the work has come."""
    path(
        command,
        "--checkpoint",
        metavar="DIR",
        what="go on from there if stopped; gone once the output is written",
    )


def collection(command: Container) -> None:
    """Add how statistics are collected."""
    command.add_argument(
        "--bins",
        metavar="N",
        type=values.at_least(2),
        help="resolution of histograms (2048)",
    )


def volume(command: Parser) -> None:
    """Add how much is told beside the result."""
    louder = command.add_mutually_exclusive_group()
    louder.add_argument(
        "-q", "--quiet", action="store_true", help="no progress and no remarks"
    )
    louder.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="tell versions and time, and where an error is from",
    )


def json(command: Container) -> None:
    """Add the wish for what programs read."""
    command.add_argument("--json", action="store_true", help="all of it, as JSON")


def limit(command: Container, default: int | None) -> None:
    """Add how long a list may become."""
    command.add_argument(
        "--limit",
        metavar="N",
        type=values.at_least(0),
        default=default,
        help="tensors to show (12); 0 shows all",
    )


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}
