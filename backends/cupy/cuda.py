"""CuPy: the kernels that are served by CUDA C.

Those that count and round bear the kernels' names, by which JAX asks for them.
"""

from functools import partial

from qcore import affine
from qcore import gradient as portable_gradient
from qcore.backends.cuda import gradient, kernels, rounding
from qcore.backends.cuda import regrid as regridding
from qcore.backends.cuda import tally as tallying
from qcore.backends.cupy.device import on_device
from qcore.backends.cupy.library import NAME
from qcore.statistics import tally as portable

_served = partial(kernels.native, on_device=on_device, source=__name__)

tally = portable.tally.accelerate(NAME)(_served(tallying.tally))
regrid = portable.regrid.accelerate(NAME)(_served(regridding.regrid))
quantize_data = affine.quantize_data.accelerate(NAME)(_served(rounding.quantize))
fake_quantize_data = affine.fake_quantize_data.accelerate(NAME)(
    _served(rounding.fake_quantize)
)
fake_quantize_gradient = portable_gradient.fake_quantize_gradient.accelerate(NAME)(
    _served(gradient.fake_quantize_gradient)
)
kernels.register(NAME, on_device)
