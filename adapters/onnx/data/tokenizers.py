"""Texts as token ids, by Hugging Face's tokenizers (extra ``text``)."""

from pathlib import Path

from tokenizers import Tokenizer

from qcore.errors import QuantError


def open_tokenizer(path: Path, max_length: int | None, length: int | None) -> Tokenizer:
    """
    Return the tokenizer in a ``tokenizer.json``.

    Parameters
    ----------
    path : path
        The file.
    max_length : int, optional
        Tokens that are kept of a text, instead of what the file says.
    length : int, optional
        Tokens that each text shall have, cut or padded; by default as it is.

    Raises
    ------
    QuantError
        If the file is not there or is none.
    """
    if not path.is_file():
        raise QuantError(
            f"`tokenizer` must be a tokenizer.json; there is no file {str(path)!r}."
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
        padding = tokenizer.padding or {}
        tokenizer.no_padding()
        if kept := min((n for n in (max_length, length) if n), default=None):
            tokenizer.enable_truncation(kept)
    except Exception as error:  # bound Rust: its errors have no common base
        raise QuantError(f"{str(path)!r} cannot be used: {error}") from error
    if length:
        known = ("pad_id", "pad_token", "pad_type_id", "direction")
        kept_settings = {key: padding[key] for key in known if key in padding}
        tokenizer.enable_padding(length=length, **kept_settings)
    return tokenizer
