"""What single tensors get other than the rest, as typed."""

from argparse import ArgumentTypeError, Namespace
from typing import Any

from qcore.adapters.cli.arguments import Container
from qcore.adapters.cli.values import option


def add_override(command: Container) -> None:
    """Add what a tensor gets other than the rest."""
    command.add_argument(
        "--override",
        metavar="T:KEY=VALUE",
        action="append",
        type=_override,
        default=[],
        help="for tensor T alone: format, symmetric, range=LO,HI, method or an "
        "option of it; * and ? match; repeatable",
    )


def overridden(arguments: Namespace) -> dict[str, dict[str, Any]]:
    """Return that by tensor."""
    found: dict[str, dict[str, Any]] = {}
    for tensor, (key, value) in arguments.override:
        found.setdefault(tensor, {})[key] = value
    return found


def _override(text: str) -> tuple[str, tuple[str, Any]]:
    """Return a tensor, whose own name may hold colons, and what it gets."""
    before, equals, value = text.partition("=")
    tensor, _, key = before.rpartition(":")
    if not (equals and tensor and key):
        raise ArgumentTypeError(f"must be TENSOR:KEY=VALUE; got {text!r}")
    return tensor, option(f"{key}={value}")
