"""Data to round, every way that scales lie, and what the reference answers."""

import numpy as np
import torch
from array_api_compat import numpy as xp

import qcore
from qcore import PerBlock, PerChannel, PerTensor, affine, gradient
from qcore.backends.torch import triton as natives
from qcore.libraries import arithmetic
from tests.backends.hard import DTYPES, FLOATS, STEP, numbers

KERNELS = {
    "quantize": affine.quantize_data,
    "fake_quantize": affine.fake_quantize_data,
    "gradient": gradient.fake_quantize_gradient,
}

LAYOUTS = [
    ((), PerTensor()),
    ((1,), PerTensor()),
    ((4097,), PerTensor()),
    ((3, 5, 7), PerTensor()),
    ((3, 9000), PerChannel(0)),
    ((300, 9), PerChannel(0)),
    ((2, 3, 7, 7), PerChannel(1)),
    ((300, 3), PerChannel(-1)),
    ((70, 130), PerChannel(1)),
    ((3, 300), PerChannel(1)),
    ((4, 5, 6), PerChannel((0, 1))),
    ((4, 5, 6), PerChannel((0, 2))),
    ((4, 1, 6), PerChannel((0, 2))),
    ((4, 6), PerChannel((0, 1))),
    ((2, 3, 4, 5), PerChannel((1, 3))),
    ((6, 192), PerBlock(1, 32)),
    ((6, 200), PerBlock(1, 32)),
    ((3, 10_001), PerBlock(1, 5000)),
    ((70, 33), PerBlock(0, 16)),
    ((2, 50, 20), PerBlock(1, 16)),
    ((300, 5), PerBlock(0, 500)),
    ((5,), PerBlock(0, 2)),
    ((4, 3), PerBlock(1, 1)),
]


def tensor(x):
    """Return a tensor of equal values, of bfloat16 by way of float32."""
    if x.dtype == DTYPES["bfloat16"]:
        return torch.from_numpy(x.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(x)


def scales(shape, granularity, *, is_symmetric, low, high, seed=1):
    """Return scales and zero points as `fit` hands them on."""
    rng = np.random.default_rng(seed)
    size = granularity.scale_shape(shape)
    scale = rng.uniform(0.02, 0.06, size).astype(np.float32)
    zero = rng.integers(low, high, size, endpoint=True).astype(np.int32)
    zero = zero * (not is_symmetric)
    if scale.size == 1:
        return np.asarray(STEP), zero.reshape(())
    return scale, zero


def case(shape, granularity, fmt, dtype, seed=0):
    """Return data in its dtype as a tensor, scale, zero point and spec."""
    is_symmetric = fmt in FLOATS
    spec = qcore.QuantSpec(fmt, symmetric=is_symmetric, granularity=granularity)
    known = spec.format
    low, high = (0, 0) if is_symmetric else (known.qmin, known.qmax)
    x = tensor(np.asarray(numbers(shape, dtype, seed=seed)))
    scale, zero = scales(
        shape, granularity, is_symmetric=is_symmetric, low=low, high=high
    )
    return x, scale, zero, spec


def native(name):
    """Return the function that Triton serves a kernel of the core with."""
    (found,) = (
        n.function
        for n in KERNELS[name].natives["torch"]
        if n.source == natives.__name__
    )
    return found


def found(name, x, scale, zero, spec, device):
    """Return what Triton answers, as tensors on the CPU."""
    scale, zero = (torch.from_numpy(np.asarray(a)).to(device) for a in (scale, zero))
    extra = (gradient_of(x).to(device),) if name == "gradient" else ()
    answer = native(name)(*extra, x.to(device), scale, zero, spec)
    answer = answer if isinstance(answer, tuple) else (answer,)
    return tuple(a.cpu() for a in answer)


def expected(name, x, scale, zero, spec):
    """Return what the reference answers on NumPy, rounded once to a 16-bit dtype."""
    wide = x if x.dtype == torch.float64 else x.float()
    extra = (gradient_of(x).float().numpy(),) if name == "gradient" else ()
    if x.dtype == torch.float64 and extra:
        extra = (gradient_of(x).numpy(),)
    with arithmetic(xp):
        answer = KERNELS[name].reference(*extra, wide.numpy(), scale, zero, spec, xp=xp)
    answer = answer if isinstance(answer, tuple) else (answer,)
    answer = [torch.from_numpy(np.asarray(a)) for a in answer]
    if name != "quantize":
        answer[0] = answer[0].to(x.dtype)
    return tuple(answer)


def gradient_of(x):
    """Return a gradient of the shape and dtype of the data."""
    wave = np.cos(np.arange(x.numel(), dtype=np.float64)).reshape(x.shape)
    return torch.from_numpy(wave).to(x.dtype)


def check(name, x, scale, zero, spec, device):
    """Compare each bit of what has the data's shape, and sums nearly."""
    ours = found(name, x, scale, zero, spec, device)
    theirs = expected(name, x, scale, zero, spec)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
    np.testing.assert_array_equal(bits(ours[0]), bits(theirs[0]))
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def bits(x):
    """Return the patterns of numbers, those of NaN made one."""
    x = x.contiguous()
    if x.dtype.is_floating_point:
        x = torch.where(x.isnan(), torch.full_like(x, float("nan")), x)
        x = x.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x.itemsize])
    return x.numpy()
