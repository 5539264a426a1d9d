"""Arrays of other libraries are served as they lie in memory, or left to them."""

import ml_dtypes
import numpy as np
import pytest
from array_api_compat import numpy

import qcore
from qcore import PerChannel, QuantSpec
from qcore.affine import fake_quantize_data, quantize_data
from qcore.gradient import fake_quantize_gradient
from qcore.kernels import Declined
from qcore.libraries import arithmetic, library_name, namespace
from qcore.methods import registry
from qcore.methods.solve import solve
from qcore.statistics.tally import tally

pytest.importorskip("numba")

ROWS = PerChannel(0)


def native(kernel, x):
    """Return the compiled function that serves arrays of a library."""
    found = kernel.natives[library_name(namespace(x))]
    (chosen,) = (n for n in found if n.source.startswith("qcore.backends.numba."))
    return chosen.function


def data():
    x = np.random.default_rng(0).standard_normal((4, 3000)).astype(np.float32)
    x[0, :5] = np.nan, np.inf, -np.inf, 0, -1e-40
    return x


def qparams(array, spec):
    scale = np.float32([[0.01], [0.02], [0.03], [0.5]])
    return qcore.QParams(array(scale), array(np.zeros((4, 1), np.int32)), spec)


@pytest.mark.parametrize("name", ["int8", "int16", "float8_e4m3fn"])
@pytest.mark.parametrize("xp", ["torch", "jax"], indirect=True)
def test_bfloat16_has_the_bits_it_has_on_numpy(xp, array, to_numpy, name):
    spec = QuantSpec(name, granularity=ROWS)
    x = np.nan_to_num(data(), posinf=np.inf, neginf=-np.inf)
    x = x.astype(ml_dtypes.bfloat16)
    own, other = qparams(array, spec), qparams(np.asarray, spec)
    for kernel in (quantize_data, fake_quantize_data):
        with arithmetic(xp):
            found = native(kernel, own.scale)(array(x), own.scale, own.zero_point, spec)
        with arithmetic(numpy):
            expected = kernel.reference(
                x, other.scale, other.zero_point, spec, xp=numpy
            )
        assert to_numpy(found).dtype == expected.dtype
        bits = (y.view(f"u{y.itemsize}") for y in (to_numpy(found), expected))
        np.testing.assert_array_equal(*bits)


@pytest.mark.parametrize("xp", ["torch", "jax"], indirect=True)
def test_gradients_of_bfloat16_are_of_bfloat16(xp, array, to_numpy):
    spec = QuantSpec(granularity=ROWS)
    x = np.nan_to_num(data(), posinf=1, neginf=-1)
    own = qparams(array, spec)
    with arithmetic(xp):
        of_x, of_scale = native(fake_quantize_gradient, own.scale)(
            array(np.cos(x), "bfloat16"), array(x), own.scale, own.zero_point, spec
        )
    assert to_numpy(of_x).dtype == np.dtype(ml_dtypes.bfloat16)
    assert to_numpy(of_scale).dtype == np.float32


@pytest.mark.parametrize("xp", ["torch", "jax"], indirect=True)
def test_bfloat16_is_counted_as_its_numbers_are(xp, array, to_numpy):
    x = data().astype(ml_dtypes.bfloat16)
    rows = array(x)
    with arithmetic(xp):
        found = native(tally, rows)(rows, None, None, 64, None)
    with arithmetic(numpy):
        expected = tally.reference(x.astype(np.float32), None, None, 64, None, xp=numpy)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(to_numpy(one), other)


@pytest.mark.parametrize("method", ["mse", "entropy", "percentile"])
@pytest.mark.parametrize("xp", ["torch", "jax"], indirect=True)
def test_a_method_gives_the_ranges_it_gives_on_numpy(array, to_numpy, method):
    x = np.nan_to_num(data(), posinf=1, neginf=-1)
    spec = QuantSpec("int8")
    states = [qcore.Histogram.of(y, granularity=ROWS) for y in (array(x), x)]
    found, expected = (qcore.compute_range(h, spec, method) for h in states)
    assert str(native(solve, states[0].min).__module__).endswith("solve")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(to_numpy(one), other)


def test_a_tensor_that_needs_a_gradient_is_left_to_torch():
    torch = pytest.importorskip("torch")
    spec = QuantSpec(granularity=ROWS)
    own = qparams(torch.asarray, spec)
    x = torch.ones(4, 9)
    scale = own.scale.clone().requires_grad_()
    function = native(fake_quantize_data, x)
    assert isinstance(function(x, scale, own.zero_point, spec), Declined)
    qcore.fake_quantize(x, qcore.QParams(scale, own.zero_point, spec)).sum().backward()
    assert scale.grad is not None
    with torch.no_grad():
        found = function(torch.nn.Parameter(x), scale, own.zero_point, spec)
    assert type(found) is torch.Tensor


def test_what_torch_transforms_or_keeps_elsewhere_is_left_to_it():
    torch = pytest.importorskip("torch")
    spec = QuantSpec()
    scale, zero = torch.tensor(0.5), torch.tensor(0, dtype=torch.int32)
    function = native(fake_quantize_data, scale)

    class Own(torch.Tensor):
        pass

    for x in (torch.ones(3, device="meta"), torch.ones(3).as_subclass(Own)):
        assert isinstance(function(x, scale, zero, spec), Declined)
    seen = []

    def given(scale):
        seen.append(function(torch.ones(3), scale, zero, spec))
        return scale

    torch.func.vmap(given)(torch.ones(2))
    assert isinstance(seen[0], Declined)


def test_tensors_of_any_strides_are_served():
    torch = pytest.importorskip("torch")
    spec = QuantSpec(granularity=PerChannel(1))
    x = torch.from_numpy(data()).T.contiguous().T[:, ::2]
    x = x.reshape(2, 2, 30, 50).to(memory_format=torch.channels_last)
    scale = torch.tensor([0.1, 0.2]).reshape(1, 2, 1, 1)
    zero = torch.zeros(scale.shape, dtype=torch.int32)
    for one in (x, x.bfloat16(), x.transpose(1, 3).contiguous().transpose(1, 3)):
        found = native(fake_quantize_data, x)(one, scale, zero, spec)
        xp = namespace(x)
        expected = fake_quantize_data.reference(one, scale, zero, spec, xp=xp)
        assert found.dtype == one.dtype
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_an_array_that_jax_traces_is_left_to_it():
    jax = pytest.importorskip("jax")
    x, spec = jax.numpy.ones((4, 9)), QuantSpec(granularity=ROWS)
    own = qparams(jax.numpy.asarray, spec)

    def total(scale):
        found = qcore.QParams(scale, own.zero_point, spec)
        return qcore.fake_quantize(x, found).sum()

    assert jax.grad(total)(own.scale).shape == (4, 1)


def test_large_results_are_taken_over_by_jax_as_they_are():
    jax = pytest.importorskip("jax")
    from qcore.backends.jax.numba import _from_numpy  # noqa: PLC0415
    from qcore.backends.numba.memory import LARGE, empty  # noqa: PLC0415

    memory = empty((LARGE,), np.dtype(np.float32))
    found = _from_numpy(memory, jax.numpy.ones(1), False)
    assert found.unsafe_buffer_pointer() == memory.ctypes.data


def torch_qparams(torch):
    scale, zero_point = torch.tensor(0.03), torch.tensor(0, dtype=torch.int32)
    return qcore.QParams(scale, zero_point, QuantSpec())


OLD = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


@OLD
@pytest.mark.parametrize("record", ["jit.trace", "make_fx"])
def test_what_pytorch_records_computes_anew_for_other_data(record):
    torch = pytest.importorskip("torch")
    x, qparams = torch.linspace(-5, 5, 9), torch_qparams(torch)

    def function(x):
        return qcore.fake_quantize(x, qparams)

    if record == "make_fx":
        proxies = pytest.importorskip("torch.fx.experimental.proxy_tensor")
        recorded = proxies.make_fx(function)(x)
    else:
        recorded = torch.jit.trace(function, x, check_trace=False)
    np.testing.assert_array_equal(recorded(x + 1), function(x + 1))


@OLD
def test_tangents_of_forward_mode_are_the_portable_ones():
    torch = pytest.importorskip("torch")
    forward = torch.autograd.forward_ad
    qparams = torch_qparams(torch)
    with forward.dual_level():
        scale = forward.make_dual(qparams.scale, torch.ones(()))
        x = torch.tensor([0.3, -0.09, 99.0])
        found = qcore.fake_quantize(
            x, qcore.QParams(scale, qparams.zero_point, qparams.spec)
        )
        tangent = forward.unpack_dual(found).tangent
    assert tangent.tolist() == [10, -3, 127]  # the codes


@pytest.mark.parametrize("xp", ["torch", "jax"], indirect=True)
def test_a_method_from_outside_is_given_arrays_of_its_library(xp, array, monkeypatch):
    for table in ("_methods", "_aliases"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    kinds = []

    @qcore.register_method("kind", needs=(qcore.Histogram,))
    def kind(statistics, _, /, *, xp):
        kinds.append(type(statistics.min))
        return statistics.min, xp.maximum(statistics.max, statistics.min)

    x = array(data()[1:])
    histogram = qcore.Histogram.of(x, bins=8192, granularity=ROWS)
    qcore.compute_range(histogram, QuantSpec(), "kind")
    assert kinds
    assert not any(issubclass(found, np.ndarray) for found in kinds), xp
