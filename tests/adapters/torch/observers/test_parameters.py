"""What observers can be given: defaults, and errors that say what is wrong."""

import pytest
import torch

from qcore import IntFormat
from qcore.adapters.torch.observers import (
    ClipObserver,
    ClipStdObserver,
    FixedScaleObserver,
    KLObserver,
    MinMaxObserver,
    MixObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    MSEObserver,
    NormObserver,
    PercentileObserver,
)

OWN = {
    KLObserver: {"bins": 512, "update_interval": 1},  # S4.1
    MSEObserver: {"stride": 1},  # S4.3
    MinMaxObserver: {},  # S4.4
    MixObserver: {},  # S4.5
    PercentileObserver: {"percentile": 99.99, "bins": 2048},  # S4.6
    ClipObserver: {"xmin": -1.0, "xmax": 1.0},  # S4.11
    ClipStdObserver: {"std_scale": 3.0},
    NormObserver: {"norm": 2.0},
}
COMMON = {
    "ch_axis": -1,
    "dtype": torch.qint8,
    "qscheme": torch.per_tensor_symmetric,
    "quant_min": -128,
    "quant_max": 127,
    "is_sync_quantize": False,
}
CHANNELS = {"qscheme": torch.per_channel_symmetric, "ch_axis": 1}


@pytest.mark.parametrize("cls", OWN)
def test_s4_defaults_are_the_documented_ones(cls: type) -> None:
    observer = cls()
    share = 1.0 if cls is ClipObserver else 0.01
    expected = {**COMMON, **OWN[cls], "averaging_constant": share}
    assert {name: getattr(observer, name) for name in expected} == expected


@pytest.mark.parametrize("cls", OWN)
def test_parameters_come_in_the_documented_order(cls: type) -> None:
    own = OWN[cls].values()
    scheme = torch.per_channel_symmetric
    observer = cls(*own, 0.5, 2, "qint4", scheme, -7, 7, True, {"dtype": torch.float64})
    names = ["averaging_constant", "ch_axis", "qscheme", "quant_min", "quant_max"]
    assert [getattr(observer, n) for n in names] == [0.5, 2, scheme, -7, 7]
    assert observer.is_sync_quantize
    assert observer.min_val.dtype == torch.float64


def test_s4_7_the_legacy_observer_is_per_tensor() -> None:
    scheme = torch.per_tensor_symmetric
    observer = MovingAverageMinMaxObserver(0.5, torch.quint8, scheme, 0, 15)
    assert (observer.averaging_constant, observer.ch_axis) == (0.5, -1)
    assert (observer.quant_min, observer.quant_max) == (0, 15)
    with pytest.raises(ValueError, match=r"per tensor; got torch\.per_channel"):
        MovingAverageMinMaxObserver(qscheme=torch.per_channel_symmetric)


def test_s4_8_the_legacy_observer_per_channel() -> None:
    observer = MovingAveragePerChannelMinMaxObserver()
    assert (observer.averaging_constant, observer.ch_axis) == (0.01, 0)
    assert observer.qscheme == torch.per_channel_symmetric
    with pytest.raises(ValueError, match=r"per channel; got torch\.per_tensor"):
        MovingAveragePerChannelMinMaxObserver(qscheme=torch.per_tensor_symmetric)


def test_s4_7_reduce_range_leaves_one_bit_less() -> None:
    observer = MovingAverageMinMaxObserver(reduce_range=True)
    assert (observer.quant_min, observer.quant_max) == (-64, 63)
    channels = MovingAveragePerChannelMinMaxObserver(
        dtype=torch.quint8, qscheme=torch.per_channel_affine, reduce_range=True
    )
    assert (channels.quant_min, channels.quant_max) == (0, 127)


@pytest.mark.parametrize(
    ("given", "held", "low", "high"),
    [
        ("qint4", torch.qint8, -8, 7),
        ("qint8", torch.qint8, -128, 127),
        ("quint8", torch.quint8, 0, 255),
        ("qint12", torch.int16, -2048, 2047),
        ("qint16", torch.int16, -32768, 32767),
        (torch.quint8, torch.quint8, 0, 255),
        (torch.int8, torch.int8, -128, 127),
        (torch.uint8, torch.uint8, 0, 255),
        (torch.uint16, torch.uint16, 0, 65535),
        ("int4", torch.int8, -8, 7),
        (IntFormat(8, narrow=True), torch.int8, -127, 127),
        ("float8_e4m3fn", torch.float8_e4m3fn, -448, 448),
        ("float4_e2m1fn", torch.uint8, -6, 6),
    ],
)
def test_s4_codes_follow_the_dtype(
    given: str | torch.dtype, held: torch.dtype, low: int, high: int
) -> None:
    observer = MinMaxObserver(dtype=given)
    assert (observer.dtype, observer.quant_min, observer.quant_max) == (held, low, high)


def test_one_bound_alone_leaves_the_other_to_the_dtype() -> None:
    observer = MinMaxObserver(quant_min=-127)
    assert (observer.quant_min, observer.quant_max) == (-127, 127)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"qscheme": torch.per_channel_symmetric}, "`ch_axis` must not be negative"),
        ({"ch_axis": 0}, "`ch_axis` must be negative"),
        ({"qscheme": torch.per_channel_affine_float_qparams}, "`qscheme` must be one"),
        ({"quant_min": 5, "quant_max": -5}, "must ascend"),
        ({"quant_min": 0, "quant_max": 0}, "must ascend"),
        ({"quant_min": 1, "quant_max": 5}, "zero among them; got 1 and 5"),
        ({"quant_min": -129, "quant_max": 127}, "from -128 to 127"),
        ({"quant_max": 8, "dtype": "qint4"}, "from -8 to 7, the codes of int4"),
        ({"dtype": torch.float32}, "`dtype` must be one of"),
        ({"dtype": "qint17"}, "must be a known name"),
        ({"dtype": "qfloat8_e4m3fn"}, "must be a known name"),
        ({"dtype": "float8_e5m2", "quant_min": -1}, "whose codes are floats"),
        ({"dtype": "float8_e5m2", "qscheme": torch.per_tensor_affine}, "symmetric"),
        ({"averaging_constant": 1.5}, r"must lie in \[0, 1\]; got 1.5"),
        ({"averaging_constant": float("nan")}, r"must lie in \[0, 1\]; got nan"),
        ({"is_dynamic": True}, "`is_dynamic` must be false"),
    ],
)
def test_s4_10_a_contradiction_is_a_value_error(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MinMaxObserver(**arguments)


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (KLObserver, {"bins": 1}, "`bins` must be an integer from 2"),
        (KLObserver, {"update_interval": 0}, "`update_interval` must be an integer"),
        (MSEObserver, {"stride": 0}, "`stride` must be an integer of at least 1"),
        (MixObserver, {"update_interval": 0.5}, "`update_interval` must be"),
        (PercentileObserver, {"percentile": 101}, r"must lie in \[0, 100\]; got 101"),
        (PercentileObserver, {"percentile": -1}, r"must lie in \[0, 100\]; got -1"),
        (ClipObserver, {"xmin": 1.0, "xmax": 0.0}, "`xmin` must not exceed `xmax`"),
        (ClipStdObserver, {"std_scale": 0}, "`std_scale` must be positive"),
        (NormObserver, {"norm": 0}, "`norm` must be positive"),
        (FixedScaleObserver, {"scale": 0.0}, "`scale` must be a positive"),
        (FixedScaleObserver, {"scale": float("inf")}, "`scale` must be a positive"),
        (FixedScaleObserver, {"zero_point": 128}, "integer from -128 to 127; got 128"),
        (FixedScaleObserver, {"zero_point": 0.5}, r"integer from .*; got 0\.5"),
    ],
)
def test_s4_10_an_option_out_of_range_is_a_value_error(
    cls: type, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.parametrize("cls", [KLObserver, PercentileObserver, MixObserver])
def test_s4_10_every_method_works_per_channel(cls: type) -> None:
    observer = cls(**CHANNELS)
    observer(torch.tensor([[1.0, 20.0], [-3.0, 5.0]]))
    scale, _ = observer.calculate_qparams()
    assert scale.shape == (2,)
    assert scale[1] > scale[0]


def test_few_bins_are_no_error() -> None:  # S4.10: 256 was a limit of the source
    observer = KLObserver(bins=16)
    observer(torch.linspace(-1, 1, 100))
    assert observer.calculate_qparams()[0] <= 1 / 127


def test_s4_11_with_args_makes_factories() -> None:
    make = KLObserver.with_args(bins=64).with_args(dtype="qint4")
    first, second = make(), make(update_interval=3)
    assert first is not second
    assert (first.bins, first.quant_max, second.update_interval) == (64, 7, 3)


def test_a_factory_bears_the_name_of_its_class() -> None:  # torchao looks at it
    make = MovingAveragePerChannelMinMaxObserver.with_args(dtype="qint4")
    assert make.with_args(ch_axis=1).__name__ == "MovingAveragePerChannelMinMaxObserver"
