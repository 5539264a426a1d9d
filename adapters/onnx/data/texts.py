"""Samples that are the lines of a text file."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from qcore.adapters.onnx.data.inputs import Feed, Input
from qcore.adapters.onnx.data.picking import KnownFeeds
from qcore.errors import QuantError

FILLED = {
    "input_ids": "ids",
    "attention_mask": "attention_mask",
    "token_type_ids": "type_ids",
}
"""Inputs as Hugging Face names them, with what of an encoding fills each."""


@dataclass(frozen=True)
class TextFile:
    """
    The texts of a file, one in each line, as the tokens that a model reads.

    Each is a batch of its own, so that none is padded, unless the model's inputs have a
    fixed length. Blank lines are passed over. Needs the extra ``text``.

    Parameters
    ----------
    path : path
        The file, in UTF-8.
    tokenizer : path
        A ``tokenizer.json`` as Hugging Face's models have it.
    max_length : int, optional
        Tokens that are kept of each text; by default what the tokenizer says.

    Raises
    ------
    QuantError
        If `max_length` is no positive number; when samples are asked for: if a file
        cannot be read, or the model wants an input that tokens do not fill.
    """

    path: str | os.PathLike[str]
    tokenizer: str | os.PathLike[str]
    max_length: int | None = None

    def __post_init__(self) -> None:
        length = self.max_length
        if length is not None and not (isinstance(length, int) and length > 0):
            raise QuantError(f"`max_length` must be a positive number; got {length!r}.")

    def feeds(self, inputs: Sequence[Input], /) -> KnownFeeds:
        """Return the texts as samples for ``input_ids`` and what goes with them."""
        return _TextFeeds(self, inputs)


class _TextFeeds(KnownFeeds):
    def __init__(self, file: TextFile, inputs: Sequence[Input]) -> None:
        self.path, self.inputs = Path(file.path), inputs
        for wanted in inputs:
            if wanted.name not in FILLED and len(inputs) > 1:
                raise QuantError(
                    f"texts fill {', '.join(FILLED)}; the model has an input "
                    f"{wanted.name!r}."
                )
        if not self.path.is_file():
            raise QuantError(
                f"`path` must be a file of texts; there is no file {str(self.path)!r}."
            )
        fixed = [
            i.shape[-1] for i in inputs if i.shape and isinstance(i.shape[-1], int)
        ]
        module: Any = import_module("qcore.adapters.onnx.data.tokenizers")
        self.tokenizer = module.open_tokenizer(
            Path(file.tokenizer), file.max_length, min(fixed, default=None)
        )
        self.length = sum(1 for _ in self._texts())

    def __len__(self) -> int:
        return self.length

    def pick(self, numbers: Iterable[int]) -> Iterator[Feed]:
        wanted = set(numbers)
        for number, text in enumerate(self._texts()):
            if number in wanted:
                yield self._feed(text, number)

    def _texts(self) -> Iterator[str]:
        """Yield the lines, of which one is held at a time."""
        try:
            with self.path.open(encoding="utf-8-sig") as lines:
                yield from filter(None, map(str.strip, lines))
        except UnicodeDecodeError as error:
            raise QuantError(
                f"{str(self.path)!r} must be text in UTF-8: {error}"
            ) from error

    def _feed(self, text: str, number: int) -> Feed:
        encoding = self.tokenizer.encode(text)
        if not encoding.ids:
            raise QuantError(f"text {number} of {str(self.path)!r} has no tokens.")
        return {
            i.name: np.asarray([getattr(encoding, FILLED.get(i.name, "ids"))], i.dtype)
            for i in self.inputs
        }
