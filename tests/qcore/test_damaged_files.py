"""Files that are not, or no longer, files of statistics."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from qcore import FileFormatError, Histogram, Range, load, save

X = np.random.default_rng(0).normal(size=(4, 60)).astype(np.float32)


def damage(path: Path, change: Callable[[dict[str, Any], Any], Any]) -> None:
    """Rewrite a file after a change of its header and arrays."""
    arrays, whole = dict(load_file(path)), path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(json.loads(whole[8 : 8 + length])["__metadata__"]["qcore"])
    change(header, arrays)
    save_file(arrays, path, metadata={"qcore": json.dumps(header)})


def refusal(path: Path) -> str:
    """Return why a file is not read, one sentence that names it."""
    with pytest.raises(FileFormatError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_widths_that_no_histogram_has_are_refused(tmp_path: Path) -> None:
    histogram = replace(Histogram.of(X), k=np.int32([-(10**9)]))
    save(tmp_path / "s", {"x": histogram})
    assert "k from -1000000000" in refusal(tmp_path / "s")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    save(tmp_path / "s", {"x": Histogram.of(X)})
    (tmp_path / "s").write_bytes((tmp_path / "s").read_bytes()[:keep])
    assert "is no safetensors file" in refusal(tmp_path / "s")


@pytest.mark.parametrize("content", [b"hello, world\n" * 9, b"\x80\x04\x95" * 50])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    assert "is no safetensors file" in refusal(tmp_path / "s")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_other_tensors_are_refused(tmp_path: Path, metadata: Any) -> None:
    save_file({"weight": X}, tmp_path / "s", metadata=metadata)
    assert "holds other tensors" in refusal(tmp_path / "s")


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "s", {"x": Range.of(X)})
    damage(tmp_path / "s", lambda header, _: header.update(version=99))
    assert "version 1 at most; got 99: a later qcore" in refusal(tmp_path / "s")


DAMAGES: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "no array": lambda _, arrays: arrays.pop("0.counts"),
    "no states": lambda header, _: header.pop("states"),
    "no version": lambda header, _: header.pop("version"),
    "no name": lambda header, _: header["states"][0].pop("name"),
    "version": lambda header, _: header.update(version="new"),
    "class": lambda header, _: header["states"][0].update({"class": "Median"}),
    "function": lambda header, _: header["states"][0].update({"class": "stack"}),
    "base": lambda header, _: header["states"][0].update({"class": "Statistics"}),
    "granularity": lambda h, _: h["states"][0].update(granularity={"class": "PerRow"}),
    "fewer bins": lambda header, _: header["states"][0]["settings"].update(bins=4),
    "settings": lambda header, _: header["states"][0]["settings"].pop("bins"),
    "more settings": lambda header, _: header["states"][0]["settings"].update(a=1),
    "extents": lambda header, _: header["states"][0]["settings"].update(extents=[7]),
    "rank": lambda _, arrays: arrays.update({"0.counts": arrays["0.counts"][0]}),
    "rows": lambda _, arrays: arrays.update({"0.k": np.zeros(3, np.uint8)}),
    "exponents": lambda _, a: a.update({"0.exponents": a["0.exponents"][..., :9]}),
}


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
def test_contents_that_do_not_fit_together_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any], Any], Any]
) -> None:
    save(tmp_path / "s", {"x": Histogram.of(X)})
    damage(tmp_path / "s", change)
    refusal(tmp_path / "s")
