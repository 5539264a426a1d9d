"""Whatever is in a file: it is read, or refused in one sentence."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcore import Histogram, QParams, QuantError, QuantSpec, save
from qcore.adapters.records import read, write
from qcore.adapters.records.compressed_tensors import side_file
from qcore.adapters.records.kinds import KINDS
from tests.adapters.records.cases import BLOCKS, PER_CHANNEL, decide, of_range

SYMMETRIC = QuantSpec("int8")
NAMES = ("a.input", "b.input")
DOCUMENTS = ("aimet", "aimet-1.0.0", "aimet-0.6.1", "json", "onnxruntime")
READ = [kind for kind in KINDS if kind != "onnx"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all examples are written in turn."""
    return tmp_path_factory.mktemp("damaged") / "a"


def written(kind: str) -> bytes:
    """Return a file of that kind."""
    tensors = {name: of_range(-1, 1, SYMMETRIC) for name in NAMES}
    if kind in {"aimet", "json"}:
        tensors |= decide(PER_CHANNEL | BLOCKS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        if kind == "statistics":
            save(path, {"x": Histogram.of(np.ones(3, np.float32), bins=8)})
        else:
            write(path, tensors, kind=kind)
        return path.read_bytes()


WHOLE = {kind: written(kind) for kind in READ}


def check(place: Path, content: bytes, kind: str | None) -> None:
    """Read a file of that content."""
    place.write_bytes(content)
    check_file(place, kind)


def check_file(path: Path, kind: str | None) -> None:
    """Read a file, which may be refused, in one sentence."""
    found: dict[str, QParams] = {}
    said = ""
    with suppress(QuantError):
        try:
            found = read(path, kind=kind)
        except QuantError as error:
            said = str(error)
            raise
    assert len(said) < 2000
    for name, one in found.items():
        assert isinstance(name, str)
        assert isinstance(one, QParams)


kinds = pytest.mark.parametrize("kind", READ)


@kinds
@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(place: Path, kind: str, content: bytes) -> None:
    check(place, content, kind)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300))
def test_random_bytes_are_of_no_kind(place: Path, content: bytes) -> None:
    check(place, content, None)


@kinds
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_files_that_end_too_early_are_refused(place: Path, kind: str, data) -> None:
    whole = WHOLE[kind]
    end = data.draw(st.integers(0, len(whole) - 1))
    check(place, whole[:end], data.draw(st.sampled_from([kind, None])))


@kinds
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_files_with_other_bytes_in_between_are_refused(
    place: Path, kind: str, data
) -> None:
    content = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(
            st.sampled_from([b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\n", b'"'])
            | st.binary(max_size=4)
        )
    check(place, bytes(content), data.draw(st.sampled_from([kind, None])))


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [0, -1, 2**31, 2**63, 10**400, 1e-310, 1e308, 0.5, "", "1", "\ud800"]
    ),
    st.recursive(st.integers() | st.text(max_size=3), st.lists, max_leaves=8),
    st.dictionaries(st.sampled_from(["data", "CLS", "class", "axis"]), st.integers()),
)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield all objects and lists with their keys."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(pairs):
        yield document, key
        if isinstance(value, dict | list):
            yield from places(value)


@pytest.mark.parametrize("kind", DOCUMENTS)
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_documents_with_other_values_are_refused(place: Path, kind: str, data) -> None:
    document = json.loads(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 2))):
        within, key = data.draw(st.sampled_from(list(places(document))))
        if data.draw(st.booleans()) and isinstance(within, dict):
            within[data.draw(st.sampled_from(["\ud800", "CLS", "x"]))] = within.pop(key)
        else:
            within[key] = data.draw(odd)
    check(
        place, json.dumps(document).encode(), data.draw(st.sampled_from([kind, None]))
    )


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configuration") / "a.json"
    tensors = decide({"a.weight": PER_CHANNEL["rows"]})
    write(path, tensors, kind="compressed-tensors")
    return path


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_configurations_with_other_values_are_refused(
    place: Path, configuration: Path, data
) -> None:
    document = json.loads(configuration.read_bytes())
    within, key = data.draw(st.sampled_from(list(places(document))))
    within[key] = data.draw(odd)
    place.with_name("b.json").write_text(json.dumps(document))
    content = bytearray(side_file(configuration).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(0, 255))
    side_file(place.with_name("b.json")).write_bytes(content)
    check_file(place.with_name("b.json"), "compressed-tensors")


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deeply|no JSON"),
        ('{"a":' * 100_000, "nested too deeply|no JSON"),
        ('{"a": 1, "a": 2}', "an object has the key 'a' twice"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": [0, 1' + "0" * 5000 + "]}", "no JSON"),
        ('{"a": [0, 1]', "line 1, column 13"),
        ('{"\\ud800": [0, 1]}', "is no Unicode"),
        ("1", "an object"),
        ("\xa0", "no JSON"),
    ],
)
def test_what_json_has_but_records_have_not_is_refused(tmp_path, kind, text, said):
    (tmp_path / "a").write_text(text, encoding="utf-8")
    with pytest.raises(QuantError, match=said):
        read(tmp_path / "a", kind=kind)


def test_strings_that_overlap_do_not_fill_the_memory(tmp_path: Path) -> None:
    write(
        tmp_path / "a",
        {"a" * 4000: of_range(-1, 1, SYMMETRIC)},
        kind="onnxruntime-flatbuffers",
    )
    content = (tmp_path / "a").read_bytes()
    # Two thousand tensors that are all the one there.
    count = 2000
    body = content[36:]
    offsets = b"".join((4 * (count - n)).to_bytes(4, "little") for n in range(count))
    pair = bytearray(body)
    pair[:4] = (32 + 4 * count - 10).to_bytes(4, "little")
    many = content[:28] + count.to_bytes(4, "little") + offsets + bytes(pair)
    (tmp_path / "a").write_bytes(many)
    with pytest.raises(QuantError, match=r"once more|overlap"):
        read(tmp_path / "a", kind="onnxruntime-flatbuffers")
