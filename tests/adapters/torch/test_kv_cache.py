"""Keys and values in codes: what attention sees of them, and what they cost."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qcore import (
    FileFormatError,
    Histogram,
    PerChannel,
    PerTensor,
    QuantError,
    QuantSpec,
)
from qcore.adapters.records import amct
from qcore.adapters.torch.amct.quant_calibration_op import QuantCalibrationOp
from qcore.adapters.torch.kv_cache.cache import KVCache
from tests.adapters.torch.kv_cache_layers import data, held_shape, layer, scales

HEADS, WIDTH, LAYERS, WORDS, STEPS = 4, 16, 3, 50, 64


class FloatCache:
    """The cache that a quantized one stands in for."""

    def __init__(self) -> None:
        self.held = [(torch.zeros(1, HEADS, 0, WIDTH),) * 2 for _ in range(LAYERS)]

    def update(self, keys, values, layer):
        pairs = zip(self.held[layer], (keys, values), strict=True)
        self.held[layer] = tuple(torch.cat(pair, dim=2) for pair in pairs)
        return self.held[layer]

    @property
    def nbytes(self) -> int:
        return sum(x.nbytes for pair in self.held for x in pair)


class Decoder(nn.Module):
    """A transformer that reads a word at a time, its weights random but seeded."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        size = HEADS * WIDTH
        self.words = nn.Embedding(WORDS, size)
        self.places = nn.Embedding(2 * STEPS, size)
        self.inputs = nn.ModuleList(nn.Linear(size, 3 * size) for _ in range(LAYERS))
        self.outputs = nn.ModuleList(nn.Linear(size, size) for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(LAYERS))
        self.logits = nn.Linear(size, WORDS)

    def forward(self, word: int, place: int, cache):
        x = self.words.weight[word] + self.places.weight[place]
        for i in range(LAYERS):
            parts = self.inputs[i](self.norms[i](x)).reshape(3, 1, HEADS, 1, WIDTH)
            queries, keys, values = parts
            keys, values = cache.update(keys, values, i)
            seen = nn.functional.scaled_dot_product_attention(queries, keys, values)
            x = x + self.outputs[i](seen.reshape(-1))
        return self.logits(x)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # its matrices are so small that threads only wait
    yield Decoder().requires_grad_(False)
    torch.set_num_threads(threads)


NAMES = [(f"{i}.keys", f"{i}.values") for i in range(LAYERS)]


TEXT = np.random.default_rng(1).integers(0, WORDS, STEPS).tolist()


OTHER_TEXT = np.random.default_rng(2).integers(0, WORDS, STEPS).tolist()


def read(decoder: Decoder, text: list[int], cache):
    return torch.stack([decoder(word, i, cache) for i, word in enumerate(text)])


@pytest.fixture(scope="module")
def other(decoder: Decoder) -> FloatCache:
    """What the decoder holds after another text, which scales are made of."""
    cache = FloatCache()
    read(decoder, OTHER_TEXT, cache)
    return cache


@pytest.fixture(scope="module")
def exact(decoder: Decoder) -> tuple[torch.Tensor, int]:
    """The logits after each word with a cache of floats, and its bytes."""
    cache = FloatCache()
    return read(decoder, TEXT, cache), cache.nbytes


def least_cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(nn.functional.cosine_similarity(a, b, dim=-1).min())


@pytest.mark.parametrize("algorithm", ["ifmr", "hfmg"])
@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_a_decoder_reads_64_words_with_scales_of_a_record(
    decoder, other, exact, tmp_path: Path, algorithm: str, granularity: str
):
    path = tmp_path / "record.txt"
    params = {"act_algo": algorithm, "quant_granularity": granularity}
    op = QuantCalibrationOp(path, params)
    for names, pair in zip(NAMES, other.held, strict=True):
        for name, x in zip(names, pair, strict=True):
            op(name, x)
    cache = KVCache.from_record(path, NAMES)
    expected, nbytes = exact
    found = read(decoder, TEXT, cache)
    assert least_cosine(found, expected) >= 0.99
    assert not torch.equal(found, expected)  # it is the codes that were read
    assert cache.nbytes == nbytes / 4
    assert {layer.length for layer in cache} == {STEPS}


@pytest.mark.parametrize(
    ("name", "share"), [("int8", 4), ("float8_e4m3fn", 4), ("int4", 8)]
)
def test_a_decoder_reads_64_words_with_scales_of_statistics(
    decoder, other, exact, name: str, share: int
):
    channels = PerChannel((1, 3))  # of each head
    pairs = [[Histogram.of(x, granularity=channels) for x in p] for p in other.held]
    cache = KVCache.from_statistics(pairs, name, max_length=STEPS)
    expected, nbytes = exact
    assert least_cosine(read(decoder, TEXT, cache), expected) >= 0.99
    assert cache.nbytes == nbytes / share


def test_what_is_no_cache_is_refused():
    with pytest.raises(TypeError, match="`qparams` must be QParams; got float"):
        KVCache([(0.5, 0.5)])
    with pytest.raises(ValueError, match="`qparams` must be those of one layer"):
        KVCache([])
    with pytest.raises(ValueError, match="`max_length` must be an integer of at"):
        layer(max_length=0)
    with pytest.raises(TypeError, match="`length` must be an integer"):
        layer().crop(1.5)


def test_all_layers_are_cropped_reordered_and_reset():
    cache = KVCache([(scales(), scales())] * 2)
    for i in range(2):
        cache.update(data(2, 4, 8), data(2, 4, 8), i)
    cache.crop(3)
    cache.reorder(torch.tensor([0]))
    assert [held_shape(part) for part in cache] == [(1, 3, 8)] * 2
    assert (len(cache), cache.length, cache.nbytes) == (2, 3, 2 * 2 * 4 * 8)
    cache.reset()
    assert cache.length == 0
    assert "(keys): CodeStore(int8, length=0)" in str(cache)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.txt"
    factors = amct.KVCacheRecord((0.5, 0.25), (1, -1))
    entries = {"k": amct.Entry(kv_cache_value=factors), "conv": amct.Entry()}
    entries["bad"] = amct.Entry(kv_cache_value=amct.KVCacheRecord((0.5,), ()))
    amct.write(path, entries)
    return path


def test_a_record_gives_scales_of_the_last_axis(record: Path):
    cache = KVCache.from_record(record, [("k", "k")])
    x = torch.tensor([[[0.6, 0.6], [1000.0, -1000.0]]])
    keys, _ = cache.update(x, x)
    expected = [[[0.5, 0.5], [(127 - 1) * 0.5, (-128 + 1) * 0.25]]]
    assert keys.tolist() == expected


def test_a_record_of_narrow_codes_is_told_so(record: Path):
    cache = KVCache.from_record(record, [("k", "k")], format="int4", max_length=4)
    keys, _ = cache.update(torch.full((1, 1, 2), 100.0), torch.ones(1, 1, 2))
    assert keys.tolist() == [[[(7 - 1) * 0.5, (7 + 1) * 0.25]]]
    assert cache.nbytes == 2 * 4


@pytest.mark.parametrize("name", ["conv", "nowhere"])
def test_a_name_that_has_no_factors_is_named(record: Path, name: str):
    with pytest.raises(QuantError, match=rf"record\.txt must hold .*'{name}'.*'k'"):
        KVCache.from_record(record, [("k", name)])


def test_factors_that_are_of_no_use_are_named(record: Path):
    with pytest.raises(QuantError, match=r"record\.txt, 'bad': .*as many scales"):
        KVCache.from_record(record, [("bad", "k")])
    record.write_text("no record")
    with pytest.raises(FileFormatError):
        KVCache.from_record(record, [("k", "k")])


def test_statistics_may_be_of_any_method():
    x = data(1, 2, 50, 4)
    pair = [Histogram.of(x, granularity=PerTensor())] * 2
    cache = KVCache.from_statistics(
        [pair], QuantSpec("int8", symmetric=False), method="percentile", percentile=50
    )
    keys, _ = cache.update(x, x)
    lo, hi = np.percentile(x.numpy(), [25, 75])  # half of the rest at each end
    assert float(keys.min()) == pytest.approx(lo, abs=0.02)
    assert float(keys.max()) == pytest.approx(hi, abs=0.02)
