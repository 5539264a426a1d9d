import copy
import inspect
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch.nn import QuantLSTM, QuantLSTMCell
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from tests.adapters.torch.nn.lstm_equations import fake, step

# What torch says of its own LSTM on CPUs.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

FORMS = [
    {
        "num_layers": layers,
        "bias": bias,
        "batch_first": batch_first,
        "bidirectional": bidirectional,
        "proj_size": proj_size,
    }
    for layers, bias, batch_first, bidirectional, proj_size in itertools.product(
        (1, 2), (True, False), (True, False), (True, False), (0, 3)
    )
]


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def quantizers(module):
    return [m for m in module.modules() if isinstance(m, quant_nn.TensorQuantizer)]


def twins(plain, **kwargs):
    """An LSTM of torch and one that quantizes, of the same parameters."""
    torch.manual_seed(1)
    plain.reset_parameters()
    names = [n for n in inspect.signature(QuantLSTM).parameters if n != "kwargs"]
    quantized = QuantLSTM(**{n: getattr(plain, n) for n in names}, **kwargs)
    quantized.load_state_dict(plain.state_dict(), strict=False)
    return plain, quantized


def pass_through(quantized):
    """Let quantizers compute what leaves everything as it is, by our own loop."""
    for quantizer in quantizers(quantized):
        quantizer.disable_quant()


def states(plain, batch):
    rows = plain.num_layers * (1 + plain.bidirectional)
    width = plain.proj_size or plain.hidden_size
    return data(rows, *batch, width), data(rows, *batch, plain.hidden_size, seed=1)


def test_s3_30_an_lstm_repeats_the_cell_with_weights_quantized_once():
    plain, quantized = twins(nn.LSTM(4, 5))
    x, h, c = data(6, 3, 4).numpy(), np.zeros((3, 5)), np.zeros((3, 5))
    w_ih, w_hh, b_ih, b_hh = (p.detach().numpy() for p in plain.parameters())
    weight = fake(np.concatenate([w_ih, w_hh], 1), 1)
    for now, found in zip(x, quantized(torch.from_numpy(x))[0].detach(), strict=True):
        operand = fake(np.concatenate([now, h.astype(np.float32)], 1))
        h, c = step(operand, c, weight, b_ih + b_hh)
        np.testing.assert_allclose(found, h, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_without_quantization_the_loop_is_torchs_lstm(form):
    plain, quantized = twins(nn.LSTM(4, 5, **form))
    pass_through(quantized)
    for x, batch in (
        (data(3, 4, 4), (3 if plain.batch_first else 4,)),
        (data(4, 4), ()),
    ):
        for hx in (None, states(plain, batch)):
            torch.testing.assert_close(quantized(x, hx), plain(x, hx))


@pytest.mark.parametrize("form", FORMS)
def test_without_quantization_packed_sequences_too(form):
    plain, quantized = twins(nn.LSTM(4, 5, **form))
    pass_through(quantized)
    x = data(3, 4, 4) if plain.batch_first else data(4, 3, 4)
    packed = pack_padded_sequence(x, [2, 4, 3], plain.batch_first, False)
    for hx in (None, states(plain, (3,))):
        (found, ends), (expected, wanted) = quantized(packed, hx), plain(packed, hx)
        torch.testing.assert_close(ends, wanted)
        torch.testing.assert_close(tuple(found), tuple(expected))


@pytest.mark.parametrize("form", FORMS[::5])
def test_disabled_it_is_torchs_own_bit_for_bit(form):
    plain, quantized = twins(nn.LSTM(4, 5, **form))
    for quantizer in quantizers(quantized):
        quantizer.disable()
    x = data(3, 6, 4)
    assert torch.equal(quantized(x)[0], plain(x)[0])


@pytest.mark.parametrize("batch_first", [True, False])
def test_dropout_between_layers_is_torchs(batch_first):
    plain = nn.LSTM(4, 5, 3, dropout=0.5, batch_first=batch_first)
    plain, quantized = twins(plain)
    pass_through(quantized)
    found, expected = [], []
    for module, outputs in ((quantized, found), (plain, expected)):
        torch.manual_seed(3)
        outputs.append(module(data(6, 3, 4))[0])
        outputs.append(module.eval()(data(6, 3, 4))[0])
    torch.testing.assert_close(found, expected)


def test_padding_does_not_move_the_range_of_packed_sequences():
    _, quantized = twins(nn.LSTM(4, 5))
    x = data(6, 2, 4)
    x[3:, 1] = 1e6
    packed = pack_padded_sequence(x, [6, 3])
    for quantizer in quantizers(quantized):
        quantizer.enable_calib()
        quantizer.disable_quant()
    quantized(packed)
    quantized._input_quantizers[0].load_calib_amax()
    assert quantized._input_quantizers[0].amax == packed.data.abs().max()


def test_a_packed_sequence_is_quantized_step_by_step_as_its_rows_are():
    desc = QuantDescriptor(amax=3.0)
    _, quantized = twins(nn.LSTM(4, 5, bidirectional=True), quant_desc_input=desc)
    x = data(6, 2, 4)
    packed = pack_padded_sequence(x, [6, 3])
    found, _ = pad_packed_sequence(quantized(packed)[0])
    for row, length in enumerate((6, 3)):
        expected = quantized(x[:length, row])[0]
        torch.testing.assert_close(found[:length, row], expected)


def test_arguments_may_be_given_by_position_as_to_torch():
    given = (4, 5, 2, False, True, 0.5, True, 3)
    assert QuantLSTM(*given).extra_repr() == nn.LSTM(*given).extra_repr()


@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, False), (3, True)])
def test_s3_30_there_is_a_pair_for_each_layer_and_direction(layers, both):
    made = QuantLSTM(4, 5, layers, bidirectional=both)
    count = layers * (1 + both)
    assert len(made._input_quantizers) == len(made._weight_quantizers) == count
    assert {q.axis for q in made._input_quantizers} == {None}
    assert {q.axis for q in made._weight_quantizers} == {0}


def test_s3_92_names_in_a_calibrated_state_dict_are_those_of_the_original():
    made = QuantLSTM(4, 5, quant_desc_input=QuantDescriptor(amax=1.0))
    names = set(made.state_dict()) - set(nn.LSTM(4, 5).state_dict())
    assert names == {"_input_quantizers.0._amax"}


def test_state_dicts_of_torch_load_and_nothing_is_missing():
    for name, args in (("LSTM", (4, 5, 2)), ("LSTMCell", (4, 5))):
        plain, made = (getattr(space, name)(*args) for space in (nn, quant_nn))
        keys = made.load_state_dict(plain.state_dict())
        assert not keys.missing_keys
        assert not keys.unexpected_keys


@pytest.mark.parametrize("name", ["LSTM", "LSTMCell"])
def test_s3_7_aliases_are_the_classes(name):
    assert getattr(quant_nn, name) is getattr(quant_nn, f"Quant{name}")


@pytest.mark.parametrize("made", [QuantLSTM, QuantLSTMCell])
@pytest.mark.parametrize("kind", [TypeError, KeyError])
def test_s3_32_an_unknown_keyword_is_either_error(made, kind):
    with pytest.raises(kind, match=r"must be .*; got size"):
        made(4, 5, size=1)


@pytest.mark.parametrize("made", [QuantLSTM, QuantLSTMCell])
def test_s3_33_only_fake_quantization_is_for_modules(made):
    with pytest.raises(ValueError, match="Only fake quantization is supported"):
        made(4, 5, quant_desc_weight=QuantDescriptor(fake_quant=False))


@pytest.mark.parametrize(
    ("x", "hx"),
    [
        ((6, 3, 7), None),
        ((6, 3, 4), ((1, 2, 5), (1, 3, 5))),
        ((6, 3, 4), ((1, 3, 5), (1, 3, 6))),
        ((6, 3, 4), ((1, 5), (1, 5))),
        ((0, 3, 4), None),
    ],
)
def test_shapes_that_do_not_fit_are_torchs_errors(x, hx):
    hx = hx and tuple(map(torch.zeros, hx))
    for module in (nn.LSTM(4, 5), QuantLSTM(4, 5)):
        with pytest.raises(RuntimeError, match=r"[Ee]xpected|should also be"):
            module(torch.zeros(x), hx)


def test_an_lstm_takes_no_four_dimensions():
    with pytest.raises(ValueError, match="2D or 3D, got 4D"):
        QuantLSTM(4, 5)(torch.zeros(1, 6, 3, 4))


def test_gradients_are_torchs_where_nothing_is_quantized():
    plain, quantized = twins(nn.LSTM(4, 5, 2, bidirectional=True))
    pass_through(quantized)
    for module in (plain, quantized):
        module(data(6, 3, 4))[0].square().sum().backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(quantized.get_parameter(name).grad, parameter.grad)


def test_gradients_reach_all_weights_through_quantizers():
    made = QuantLSTM(4, 5, 2, bidirectional=True)
    made(data(6, 3, 4))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_keep_theirs(dtype):
    output, (h, c) = QuantLSTM(4, 5, dtype=dtype)(data(6, 3, 4).to(dtype))
    assert output.dtype == h.dtype == c.dtype == dtype
    assert QuantLSTMCell(4, 5).to(dtype)(data(3, 4).to(dtype))[0].dtype == dtype


def test_an_empty_batch_passes():
    output, (h, c) = QuantLSTM(4, 5)(torch.zeros(6, 0, 4))
    assert (output.shape, h.shape, c.shape) == ((6, 0, 5), (1, 0, 5), (1, 0, 5))


def test_copies_and_pickles_compute_the_same():
    _, quantized = twins(nn.LSTM(4, 5))
    x = data(6, 3, 4)
    for other in (copy.deepcopy(quantized), pickle.loads(pickle.dumps(quantized))):
        assert torch.equal(other(x)[0], quantized(x)[0])


def test_a_quantized_copy_shares_parameters_but_nothing_else():
    plain = nn.LSTM(4, 5, 2, bidirectional=True).eval()
    made = QuantLSTM.from_float(plain)
    assert made.weight_ih_l0 is plain.weight_ih_l0
    assert made._flat_weights is not plain._flat_weights
    assert len(made._input_quantizers) == 4
    assert not any(m.training for m in made.modules())


@pytest.mark.parametrize("made", [QuantLSTM, QuantLSTMCell])
def test_compiled_without_a_break_it_is_the_eager_one_bit_for_bit(made):
    torch.compiler.reset()
    module, x = made(4, 5), data(*(2, 3, 4)[made is QuantLSTMCell :])
    # The compiler leaves LSTMs, and what inherits from them, alone unless told.
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x)[0], module(x)[0])


def test_quantizers_are_where_the_weights_are():
    for made in (QuantLSTM(4, 5, device="meta"), QuantLSTMCell(4, 5, device="meta")):
        assert {b.device.type for b in made.buffers()} == {"meta"}
