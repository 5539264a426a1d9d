"""AMCT's record files: S5.4 and the file format of SEMANTICS 2.11."""

from pathlib import Path

import numpy as np
import pytest

from qcore import (
    FileFormatError,
)
from qcore.adapters.records import amct
from qcore.adapters.records.amct import Entry, KVCacheRecord, LayerRecord, Record

EXAMPLE = """\
# two layers
record {
  key: "conv1"
  value { scale_d: 0.05 offset_d: -3 scale_w: 0.002 scale_w: 0.003 offset_w: 0
          offset_w: 0 skip_fusion: true dst_type: "INT8" }
}
record {
  key: "qat_1"
  kv_cache_value { scale: 0.012 scale: 0.013 offset: -4 offset: 7 }
}
"""


EVERYTHING = LayerRecord(
    scale_d=0.1,
    offset_d=-7,
    scale_w=(0.2, 0.3),
    offset_w=(0, 0),
    shift_bit=(1, 2),
    tensor_balance_factor=(1.5, 0.25),
    skip_fusion=False,
    dst_type="INT4",
    act_type="INT16",
    wts_type="INT8",
    fakequant_precision_mode="HIGH",
    scale_h=0.4,
    offset_h=5,
    scale_r=(0.6,),
    offset_r=(0,),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.txt"


def test_a_record_is_read(path: Path):
    path.write_text(EXAMPLE)
    record = amct.read(path)
    assert list(record) == ["conv1", "qat_1"]
    layer = record["conv1"].value
    assert (layer.offset_d, layer.skip_fusion, layer.dst_type) == (-3, True, "INT8")
    np.testing.assert_array_equal(layer.scale_w, np.float32([0.002, 0.003]))
    assert record["qat_1"].kv_cache_value == KVCacheRecord((0.012, 0.013), (-4, 7))


def test_what_is_written_has_a_field_on_each_line(path: Path):
    amct.write(path, {"k": Entry(kv_cache_value=KVCacheRecord((0.012, 3), (-4, 7)))})
    lines = [line.strip() for line in path.read_text().splitlines()]
    fields = ["scale: 0.012", "scale: 3.0", "offset: -4", "offset: 7"]
    assert lines == ["record {", 'key: "k"', "kv_cache_value {", *fields, "}", "}"]


@pytest.mark.parametrize("entry", [Entry(EVERYTHING), Entry(), Entry(LayerRecord())])
def test_what_was_written_is_read(path: Path, entry: Entry):
    record = Record({"ü": entry, "b": Entry(kv_cache_value=KVCacheRecord((1,), (2,)))})
    amct.write(path, record)
    assert amct.read(path) == record
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_empty_file_is_a_record_of_nothing(path: Path):
    path.touch()
    assert amct.read(path) == Record()


def test_of_a_field_given_twice_the_last_one_counts(path: Path):
    path.write_text('record { key: "a" value { scale_d: 1 offset_d: 2 scale_d: 3 } }')
    assert amct.read(path)["a"].value == LayerRecord(scale_d=3, offset_d=2)


def test_of_a_layer_given_twice_the_last_one_counts(path: Path):
    block = 'record {{ key: "a" kv_cache_value {{ scale: {} offset: 1 }} }}'
    value = 'record { key: "a" value { offset_d: 4 } }'
    path.write_text(block.format(2) + value + block.format(3))
    entry = amct.read(path)["a"]
    assert entry == Entry(LayerRecord(offset_d=4), KVCacheRecord((3,), (1,)))


def test_of_a_block_given_twice_the_last_one_counts(path: Path):
    blocks = "kv_cache_value { scale: 2 offset: 0 } kv_cache_value { scale: 3 }"
    path.write_text(f'record {{ key: "a" {blocks} }}')
    assert amct.read(path)["a"].kv_cache_value == KVCacheRecord((3,), (0,))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'record {\n key: "a"\n valeu { }\n}', 3),
        (b'record {\n key: "a"\n value { scale_d: large }\n}', 3),
        (b'record {\n\n key: "a"\n value { offset_d: 99999999999 }', 4),
        (b"record { key: 3 }", 1),
        (b'record {\n key: "\xff" }', 2),
        (b"\x00\x01", 1),
        (b'{"a": 1}', 1),
    ],
)
def test_what_is_no_record_is_named_with_its_line(path: Path, text: bytes, line: int):
    path.write_bytes(text)
    with pytest.raises(
        FileFormatError, match=rf"record\.txt must be .*; line {line}: "
    ):
        amct.read(path)
    with pytest.raises(FileFormatError):
        amct.merge(path, {"b": Entry(EVERYTHING)})
    assert path.read_bytes() == text


def test_a_missing_end_is_seen(path: Path):
    path.write_text('record { key: "a"')
    with pytest.raises(FileFormatError, match=r"record\.txt must be .*Expected"):
        amct.read(path)


def test_s5_4_other_layers_and_other_factors_stay(path: Path):
    path.write_text(EXAMPLE)
    cache = KVCacheRecord((1,), (0,))
    update = {"conv1": Entry(kv_cache_value=cache), "new": Entry(EVERYTHING)}
    old = amct.read(path)
    assert amct.merge(path, update) == ()
    merged = amct.read(path)
    assert merged["conv1"] == Entry(old["conv1"].value, cache)
    assert (merged["qat_1"], merged["new"]) == (old["qat_1"], Entry(EVERYTHING))


def test_s5_4_what_is_overwritten_is_told(path: Path):
    path.write_text(EXAMPLE)
    value = LayerRecord(scale_d=0.5, tensor_balance_factor=(2,))
    update = {"qat_1": Entry(value, KVCacheRecord((1,), (0,))), "conv1": Entry(value)}
    told = amct.merge(path, update)
    assert told == (("qat_1", "kv_cache_value"), ("conv1", "scale_d"))
    layer = amct.read(path)["conv1"].value
    assert (layer.scale_d, layer.offset_d, layer.scale_w[1:]) == (
        0.5,
        -3,
        (float(np.float32(0.003)),),
    )


def test_a_file_is_made_where_there_is_none(path: Path):
    assert amct.merge(path, {"a": Entry(EVERYTHING)}) == ()
    assert amct.read(path) == Record({"a": Entry(EVERYTHING)})
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_is_said_of_pruning_stays(path: Path):
    pruned = 'prune_record { producer { name: "p" attr { name: "t" type: INT i: 3 } } }'
    path.write_text(pruned)
    before = amct.read(path).prune_records
    amct.merge(path, {"a": Entry(EVERYTHING)})
    assert len(before) == 1
    assert amct.read(path).prune_records == before
    assert 'name: "p"' in path.read_text()


def test_a_failed_write_leaves_the_old_file_alone(path: Path, monkeypatch):
    path.write_text(EXAMPLE)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):  # noqa: PT011 - the one of the line above
        amct.merge(path, {"a": Entry(EVERYTHING)})
    assert path.read_text() == EXAMPLE
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_link_stays_a_link(path: Path, tmp_path: Path):
    path.symlink_to(tmp_path / "target.txt")
    amct.merge(path, {"a": Entry(EVERYTHING)})
    assert path.is_symlink()
    assert list(amct.read(tmp_path / "target.txt")) == ["a"]


@pytest.mark.parametrize("wrong", [3, {"a": 1}, {1: Entry()}, {"a": EVERYTHING}])
def test_what_is_no_mapping_of_entries_is_refused(path: Path, wrong):
    for change in (amct.write, amct.merge):
        with pytest.raises(TypeError, match="must map names to entries"):
            change(path, wrong)
    with pytest.raises(TypeError, match="`value` must be a LayerRecord"):
        Entry(3)
    assert not path.exists()
