from pathlib import Path

import numpy as np
import pytest

from qcore import QuantError
from qcore.adapters.onnx import calibrate
from qcore.adapters.onnx.data.inputs import Input
from qcore.adapters.onnx.data.texts import TextFile

tokenizers = pytest.importorskip("tokenizers")

NAMES = ("input_ids", "attention_mask", "token_type_ids")
WORDS = {"[UNK]": 0, "[CLS]": 1, "the": 2, "cat": 3, "sat": 4, "[PAD]": 9}


def wanted(*names: str, length: int | None = None, dtype: str = "int64"):
    return [Input(name, np.dtype(dtype), ("N", length)) for name in names]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A file of one token for each word, after one that begins a text."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, "[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 1)]
    )
    made.enable_padding(length=16, pad_id=9, pad_token="[PAD]")
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("the cat sat\n\n  cat \nthe dog", encoding="utf-8")
    return path


IDS = [[1, 2, 3, 4], [1, 3], [1, 2, 0]]


def test_each_line_is_a_sample_as_long_as_it_is(texts, tokenizer):
    feeds = TextFile(texts, tokenizer).feeds(wanted(*NAMES))
    assert len(feeds) == 3
    for feed, ids in zip(feeds, IDS, strict=True):
        ones = np.ones((1, len(ids)), np.int64)
        expected = np.array([ids]), ones, ones - 1
        for name, array in zip(NAMES, expected, strict=True):
            np.testing.assert_array_equal(feed[name], array, strict=True)


def test_inputs_that_the_model_lacks_are_left_out(texts, tokenizer):
    (feed, *_) = TextFile(texts, tokenizer).feeds(wanted("input_ids", dtype="int32"))
    assert list(feed) == ["input_ids"]
    assert feed["input_ids"].dtype == np.int32


def test_the_only_input_may_have_any_name(texts, tokenizer):
    feeds = TextFile(texts, tokenizer).feeds(wanted("tokens"))
    assert [feed["tokens"].tolist() for feed in feeds] == [[ids] for ids in IDS]


def test_texts_are_cut_to_the_length_asked_for(texts, tokenizer):
    feeds = TextFile(texts, tokenizer, max_length=2).feeds(wanted("input_ids"))
    assert [feed["input_ids"].tolist() for feed in feeds] == [[ids[:2]] for ids in IDS]


def test_texts_for_inputs_of_fixed_length_are_padded_as_the_tokenizer_says(
    texts, tokenizer
):
    feeds = TextFile(texts, tokenizer).feeds(wanted(*NAMES[:2], length=3))
    assert [feed["input_ids"].tolist() for feed in feeds] == [
        [[1, 2, 3]],
        [[1, 3, 9]],
        [[1, 2, 0]],
    ]
    assert [feed["attention_mask"].tolist() for feed in feeds][1] == [[1, 1, 0]]


def test_some_of_the_texts_are_picked(texts, tokenizer):
    feeds = TextFile(texts, tokenizer).feeds(wanted("input_ids"))
    assert [feed["input_ids"].tolist() for feed in feeds.pick([0, 2])] == [
        [IDS[0]],
        [IDS[2]],
    ]


def test_a_model_is_calibrated_on_texts(build, texts, tokenizer):
    model = build(
        "int64[N, T] input_ids, int64[N, T] attention_mask",
        "float[N, T, 2] y",
        """{
            e = Gather(table, input_ids)
            m = Cast<to = 1>(attention_mask)
            axis = Constant<value = int64[1] {-1}>()
            u = Unsqueeze(m, axis)
            h = Mul(e, u)
            y = MatMul(h, w)
        }""",
        table=np.arange(20, dtype=np.float32).reshape(10, 2),
        w=np.eye(2, dtype=np.float32),
    )
    seen = calibrate(model, TextFile(texts, tokenizer), tensors=["h"])["h"]
    assert (seen.min, seen.max) == (0, 9)  # both of the rows of [UNK] and "sat"


@pytest.mark.parametrize("length", [0, -3, 2.5, "8"])
def test_a_length_that_is_no_positive_number_is_refused(length):
    with pytest.raises(QuantError, match="`max_length` must be a positive number"):
        TextFile("texts.txt", "tokenizer.json", length)


def test_an_input_that_tokens_do_not_fill_is_refused(texts, tokenizer):
    inputs = wanted("input_ids", "pixel_values")
    with pytest.raises(QuantError, match="the model has an input 'pixel_values'"):
        TextFile(texts, tokenizer).feeds(inputs)


def test_files_that_are_not_there_are_named(texts, tokenizer, tmp_path):
    missing = tmp_path / "missing"
    with pytest.raises(
        QuantError, match=r"a file of texts; there is no file .*missing"
    ):
        TextFile(missing, tokenizer).feeds(wanted("input_ids"))
    with pytest.raises(QuantError, match=r"a tokenizer.json; there is no file .*missi"):
        TextFile(texts, missing).feeds(wanted("input_ids"))


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": {"type": "Magic"}}'])
def test_a_file_that_is_no_tokenizer_is_named(texts, tmp_path, content):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(QuantError, match=r"other.json' cannot be used: "):
        TextFile(texts, tmp_path / "other.json").feeds(wanted("input_ids"))


def test_text_in_another_encoding_is_told(texts, tokenizer):
    texts.write_bytes("café".encode("latin-1"))
    with pytest.raises(QuantError, match=r"texts.txt' must be text in UTF-8"):
        TextFile(texts, tokenizer).feeds(wanted("input_ids"))


def test_a_text_without_tokens_is_told(texts, tokenizer):
    plain = tokenizers.Tokenizer.from_file(str(tokenizer))
    plain.post_processor = None
    plain.normalizer = tokenizers.normalizers.Replace("cat", "")
    plain.save(str(tokenizer))
    with pytest.raises(QuantError, match=r"text 1 of .*texts.txt' has no tokens"):
        list(TextFile(texts, tokenizer).feeds(wanted("input_ids")))
