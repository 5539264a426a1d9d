"""Samples: where they are, what is made of them, and how many are used."""

import argparse
from pathlib import Path
from typing import Any

from qcore.adapters.cli.arguments import Container
from qcore.adapters.cli.errors import BadInputError
from qcore.adapters.cli.preprocess import preprocess
from qcore.adapters.cli.reader import read
from qcore.adapters.cli.values import at_least

MOST = 500
"""Samples that are used of more: ranges hardly change any further."""
FEW = 100
"""Below this number, ranges depend on which samples they are."""


def add_samples(command: Container) -> None:
    """Add what is made of samples, and how many are used."""
    command.add_argument(
        "--preprocess",
        metavar="KEY=VALUE",
        type=preprocess,
        help="--data is a folder of pictures: size=256,crop=224,mean=..., as "
        "docs/data.md tells",
    )
    command.add_argument(
        "--tokenizer",
        metavar="JSON",
        type=Path,
        help="--data is a text in each line: the model's tokenizer.json",
    )
    command.add_argument(
        "--max-length",
        metavar="N",
        type=at_least(1),
        help="tokens that are kept of a text (as the tokenizer says)",
    )
    command.add_argument(
        "--samples",
        metavar="N",
        type=_most,
        default=MOST,
        help=f"how many to use at most, or all ({MOST})",
    )


def samples(arguments: argparse.Namespace) -> Any:
    """
    Return the samples, or where they are.

    Raises
    ------
    BadInputError
        If an argument does not go with another.
    """
    source, pictures = arguments.data, arguments.preprocess is not None
    texts = arguments.tokenizer is not None
    given = {"--preprocess": pictures, "--tokenizer": texts}
    for name in (name for name, is_given in given.items() if is_given):
        if source is None:
            raise BadInputError(f"{name} must come with --data.")
    if pictures and texts:
        raise BadInputError("--preprocess and --tokenizer do not go together.")
    if arguments.max_length is not None and not texts:
        raise BadInputError("--max-length must come with --tokenizer.")
    if source is None:
        return read(arguments.reader)
    # ONNX, which takes a second to import and may be missing, only where it is needed.
    from qcore.adapters.onnx import ImageFolder, TextFile  # noqa: PLC0415

    if pictures:
        return ImageFolder(source, **arguments.preprocess)
    if texts:
        return TextFile(source, arguments.tokenizer, arguments.max_length)
    if source.suffix == ".txt":
        raise BadInputError(f"--data {source} must come with --tokenizer.")
    return source


def told(arguments: argparse.Namespace, used: int) -> str:
    """Return how many samples were used, and whether others would have been better."""
    kind = "samples"
    if arguments.preprocess is not None:
        kind = "pictures"
    elif arguments.tokenizer is not None:
        kind = "texts"
    said = f"Calibrated on {used} {kind if used > 1 else kind[:-1]}"
    if used == arguments.samples:
        return f"{said}, the most that --samples allows."
    if used < FEW:
        return f"{said}; {FEW} to {MOST} make ranges that hold for others, too."
    return f"{said}."


def _most(text: str) -> int | None:
    return None if text == "all" else at_least(1)(text)
