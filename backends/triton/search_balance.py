"""Which windows lose no more to saturation than to rounding, by Triton."""

import torch

from qcore.backends.triton import search_fine
from qcore.backends.triton.search_error import search_symmetric
from qcore.formats import FloatFormat, IntFormat
from qcore.spec import QuantSpec


def is_balanced(
    counts: torch.Tensor, below: torch.Tensor, above: torch.Tensor, spec: QuantSpec, /
) -> torch.Tensor:
    """Return what the kernel of this name does."""
    fmt, errors = spec.format, None
    if spec.symmetric:
        steps = above * (1 / fmt.max)
    else:
        assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
        steps = (below + above) * (1 / (fmt.qmax - fmt.qmin))
    if isinstance(fmt, FloatFormat):
        shape = counts.shape[0], steps.shape[1]
        every = torch.ones(shape, dtype=torch.bool, device=counts.device)
        errors = search_symmetric(counts, steps, every, fmt, is_search=False)
    return search_fine.is_balanced(counts, steps, below, above, errors)
