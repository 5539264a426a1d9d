"""How the public models are fed and scored, as the README in each one's folder says.

The folder is that of the environment variable ``QCORE_MODELS``, by default
``../shared/models`` beside the checkout.
"""

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

FOLDER = Path(
    os.environ.get("QCORE_MODELS", Path(__file__).parents[2] / "shared" / "models")
)
CALIBRATION = 128
"""Samples at the beginning of each data set that are never scored."""

Feed = dict[str, np.ndarray]
Scores = dict[str, float]


@dataclass(frozen=True)
class PublicModel:
    """A model with its samples and its score.

    Attributes
    ----------
    name : str
        Its folder below `FOLDER`.
    feeds : callable
        From two sample numbers to the feeds from the first to before the second.
    score : callable
        From the model's path and its float original's to figures of merit.
    op_types : tuple of str
        Operators to quantize.
    """

    name: str
    feeds: Callable[[int, int], Iterator[Feed]]
    score: Callable[[Path, Path], Scores]
    op_types: tuple[str, ...] = ("Conv", "Gemm", "MatMul")

    @property
    def path(self) -> Path:
        """Where the float model lies."""
        return FOLDER / self.name / "model.onnx"


def session(path: Path | str) -> onnxruntime.InferenceSession:
    """Return a session whose integer kernels are exact on every CPU.

    Without VNNI, those for int8 weights add pairs of products in 16 bits, which
    overflow, unless told otherwise.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def sqnr(reference: np.ndarray, got: np.ndarray) -> float:
    """Return the signal to quantization noise ratio in dB."""
    reference, got = np.float64(reference), np.float64(got)
    noise = np.square(reference - got).sum()
    return float(10 * np.log10(np.square(reference).sum() / max(noise, 1e-30)))


def _outputs(path: Path, feeds: Iterator[Feed]) -> list[np.ndarray]:
    run = session(path).run
    return [run(None, feed)[0] for feed in feeds]


def _classified(
    path: Path, original: Path, feeds: Callable[[], Iterator[Feed]], labels: np.ndarray
) -> Scores:
    got, reference = (np.concatenate(_outputs(p, feeds())) for p in (path, original))
    top, expected = got.argmax(1), reference.argmax(1)
    return {
        "top1": float((top == labels).mean()),
        "agreement": float((top == expected).mean()),
        "sqnr_db": sqnr(reference, got),
    }


def _pictures(first: int, last: int) -> Iterator[tuple[Image.Image, int]]:
    with (FOLDER / "images" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))[first:last]
    for row in rows:
        with Image.open(FOLDER / "images" / row["file"]) as picture:
            yield picture, int(row["class"])


def _imagenet_feeds(first: int, last: int) -> Iterator[Feed]:
    for picture, _ in _pictures(first, last):
        pixels = np.asarray(picture.convert("RGB"), np.float32)[16:240, 16:240]
        yield {"image": (pixels / 127.5 - 1).transpose(2, 0, 1)[None]}


def _imagenet_score(path: Path, original: Path) -> Scores:
    labels = np.array([label for _, label in _pictures(CALIBRATION, 500)])
    return _classified(
        path, original, lambda: _imagenet_feeds(CALIBRATION, 500), labels
    )


def _digits() -> tuple[np.ndarray, np.ndarray]:
    data = np.load(FOLDER / "mnist_cnn" / "digits.npz")
    return data["images"], data["labels"]


def _mnist_feeds(first: int, last: int) -> Iterator[Feed]:
    for image in _digits()[0][first:last]:
        yield {"Input3": image.astype(np.float32)[None, None]}


def _mnist_score(path: Path, original: Path) -> Scores:
    labels = _digits()[1][CALIBRATION:]
    return _classified(path, original, lambda: _mnist_feeds(CALIBRATION, 5000), labels)


def _luminance(first: int, last: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the network's input and the picture it shall restore."""
    for picture, _ in _pictures(first, last):
        y = picture.convert("YCbCr").split()[0].crop((0, 0, 255, 255))
        small = y.resize((85, 85), Image.Resampling.BICUBIC)
        yield np.float32(small)[None, None] / 255, np.float32(y) / 255


def _super_resolution_feeds(first: int, last: int) -> Iterator[Feed]:
    for small, _ in _luminance(first, last):
        yield {"y": small}


def _super_resolution_score(path: Path, original: Path) -> Scores:
    last = CALIBRATION + 100
    truths = [truth for _, truth in _luminance(CALIBRATION, last)]

    def restored(model: Path) -> list[np.ndarray]:
        feeds = _super_resolution_feeds(CALIBRATION, last)
        return [np.clip(y[0, 0], 0, 1) for y in _outputs(model, feeds)]

    got, reference = restored(path), restored(original)
    inner = slice(4, -4)
    errors = [
        np.square(y - truth)[inner, inner].mean()
        for y, truth in zip(got, truths, strict=True)
    ]
    return {
        "psnr_db": float(np.mean(-10 * np.log10(errors))),
        "sqnr_db": sqnr(np.stack(reference), np.stack(got)),
    }


def _sentences() -> tuple[np.ndarray, np.ndarray]:
    data = np.load(FOLDER / "minilm_l6" / "stsb_dev.npz")
    return data["ids"], data["score"]


def _sentence_feed(ids: np.ndarray) -> Feed:
    """Return a batch of token rows, cut to the longest."""
    ids = ids[:, : int((ids != 0).sum(1).max())].astype(np.int64)
    return {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)}


def _minilm_feeds(first: int, last: int) -> Iterator[Feed]:
    for pair in _sentences()[0][first:last]:
        yield _sentence_feed(pair[:1])


def _minilm_score(path: Path, original: Path) -> Scores:
    ids, score = _sentences()
    rows = ids[CALIBRATION:].reshape(-1, ids.shape[-1])
    order = np.argsort((rows != 0).sum(1), kind="stable")
    batches = np.array_split(order, -(-len(rows) // 64))

    def embed(model: Path) -> np.ndarray:
        feeds = (_sentence_feed(rows[batch]) for batch in batches)
        embedded = np.concatenate(_outputs(model, feeds))[np.argsort(order)]
        return embedded / np.linalg.norm(embedded, axis=1, keepdims=True)

    got, reference = embed(path), embed(original)
    similarity = (got[::2] * got[1::2]).sum(1)
    return {
        "spearman": _spearman(similarity, score[CALIBRATION:]),
        "sqnr_db": sqnr(reference, got),
        "cosine": float((got * reference).sum(1).mean()),
    }


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    def ranks(x: np.ndarray) -> np.ndarray:
        _, place, count = np.unique(x, return_inverse=True, return_counts=True)
        return (np.cumsum(count) - (count - 1) / 2)[place]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


MOBILENET = PublicModel("mobilenet_v1_075", _imagenet_feeds, _imagenet_score)
MNIST = PublicModel("mnist_cnn", _mnist_feeds, _mnist_score)
SUPER_RESOLUTION = PublicModel(
    "super_resolution", _super_resolution_feeds, _super_resolution_score
)
MINILM = PublicModel("minilm_l6", _minilm_feeds, _minilm_score, ("MatMul",))
"""Its file is not there: `minilm_onnx.py` builds it from the weights of a package."""
