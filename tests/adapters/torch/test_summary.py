import torch
from torch import nn

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from qcore.adapters.torch.summary import print_summary, summary


def row(quantizer):
    return [
        cell
        for cell in summary(nn.ModuleDict({"q": quantizer})).splitlines()[1].split("  ")
        if cell
    ]


def quantizer(**given):
    return TensorQuantizer(QuantDescriptor(**given))


def test_a_line_says_format_granularity_range_and_stages():
    fixed = quantizer(amax=2.64)

    assert row(fixed) == ["q", "int8", "tensor", " [-2.64, 2.64]", "quant"]


def test_of_several_ranges_the_widest_is_told():
    amax = [[1.0], [3.0]]

    assert "[-3, 3] (2)" in " ".join(row(quantizer(amax=amax, axis=0)))


def test_unsigned_and_asymmetric_ranges():
    both = quantizer(symmetric=False)
    both.replace_range(torch.tensor(-1.0), torch.tensor(5.0))

    assert "[0, 2]" in " ".join(row(quantizer(amax=2.0, unsigned=True)))
    assert "[-1, 5]" in " ".join(row(both))
    assert "[-4, 4]" in " ".join(row(quantizer(amax=2.0, scale_amax=2.0)))


def test_what_is_not_fixed_is_told():
    assert "dynamic" in " ".join(row(quantizer()))
    assert "learned" in " ".join(row(quantizer(learn_amax=True)))
    assert "mxfp4" in " ".join(row(quantizer(format="mxfp4")))
    assert "blocks of 4 on axis -1" in " ".join(row(quantizer(block_sizes={-1: 4})))
    assert "axis (0, 1)" in " ".join(row(quantizer(axis=(0, 1))))
    assert row(quantizer(num_bits=0))[:2] == ["q", "0bit"]


def test_stages():
    calibrating = TensorQuantizer(if_quant=False, if_calib=True)
    calibrating.pre_quant_scale = 2.0

    assert row(calibrating)[-1] == "scale calib"
    assert row(TensorQuantizer(disabled=True))[-1] == "disabled"
    assert row(TensorQuantizer(if_quant=False))[-1] == "none"


def test_lines_are_aligned_and_printed(capsys):
    model = nn.Sequential(quantizer(amax=1.0), nn.Sequential(quantizer()))
    print_summary(model)

    printed = capsys.readouterr().out
    assert printed == f"{summary(model)}\n"
    assert len({line.index("int8") for line in printed.splitlines()[1:]}) == 1


def test_a_model_without_quantizers_says_so():
    assert summary(nn.Linear(1, 1)) == "no quantizers"
