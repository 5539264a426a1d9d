"""How much is done about the errors of rounding."""

from typing import Literal, TypeAlias, get_args

Level: TypeAlias = Literal["none", "bias", "gptq", "full"]
"""Nothing; biases; weights and biases; all there is."""

LEVELS: tuple[Level, ...] = get_args(Level)
