"""The command `qcore`: what to type is in `parser`, what it does in `commands`."""

from qcore.adapters.cli.run import main

__all__ = ["main"]
