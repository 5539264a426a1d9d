"""Colours on a terminal, and plain text wherever else lines go.

They are off in a pipe or file, on a terminal that is ``TERM=dumb``, and where NO_COLOR
is set (https://no-color.org).
"""

import os
from typing import TextIO

BOLD, RED = "1", "1;31"


def painted(text: str, colour: str, stream: TextIO) -> str:
    """Return text in a colour, if the stream shows colours."""
    return f"\033[{colour}m{text}\033[0m" if _shows(stream) else text


def _shows(stream: TextIO) -> bool:
    is_wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return is_wanted and stream.isatty()
