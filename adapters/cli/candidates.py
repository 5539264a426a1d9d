"""Methods to try, and what chooses among them, as typed."""

from qcore.adapters.cli.arguments import Container
from qcore.adapters.cli.values import names

CANDIDATES = ("mse", "entropy", "percentile:99.9", "percentile:99.99", "minmax")
"""Methods that are tried unless others are named."""


def add_sweep(command: Container) -> None:
    """Add the choice of a method by the task's own metric."""
    command.add_argument(
        "--evaluate",
        metavar="M:F",
        help="try --methods, keep the best: F of your module M scores a ModelProto",
    )
    command.add_argument(
        "--methods",
        metavar="LIST",
        type=names,
        help="which to try: mse,percentile:99.9 ... (five usual ones)",
    )
    command.add_argument(
        "--lowest", action="store_true", help="the lowest score is the best"
    )
