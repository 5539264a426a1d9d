"""Configurations: which modules are quantized, and how.

A configuration is a list of rules, in plain data or as text; the first that matches a
module wins, and what none matches stays as it is. A rule selects modules by `name` (a
pattern such as ``"encoder.*"``, of the dotted name), by `type` (the name of a class,
such as ``"Linear"`` or ``"nn.Conv2d"``) and, in Python, by `where`, a function of name
and module; what it leaves out matches all. It then says ``skip: true``, or how `input`,
`weight` and `output` are quantized: keywords of a `QuantDescriptor`, the name of a
format, or null for not at all. A `preset` says it for what the rule itself does not. As
text::

    - {name: head, skip: true}
    - name: "encoder.*"
      type: [Linear, Conv2d]
      input: {num_bits: 8, calib_method: entropy}
      weight: {num_bits: 4, block_sizes: {input: 32}}
    - {preset: int8}

Beyond the keywords of a descriptor, ``dynamic: true`` takes the range of each tensor
instead of a calibrated one, and axes may be called ``input`` and ``output``, for the
layer's channels, whose numbers differ from layer to layer. `functions` quantizes the
operands of functions that the selected modules call, see `quantize_functions`::

    - type: Attention
      functions: {scaled_dot_product_attention: {key: int8, value: int8}}

Instead of a list there may be the name of a preset alone, or what TensorRT Model
Optimizer takes, ``{"quant_cfg": …, "algorithm": …}``.
"""

import os
from collections.abc import Mapping
from typing import Any

import yaml

from qcore.adapters.given_path import path_of_file
from qcore.adapters.torch.configuration.choices import Config
from qcore.adapters.torch.configuration.modelopt import read_modelopt
from qcore.adapters.torch.configuration.modelopt_attributes import plain
from qcore.adapters.torch.configuration.presets import PRESETS
from qcore.adapters.torch.configuration.rules import read_rules
from qcore.errors import nearest

DEFAULT = "int8"
"""The preset where there is no configuration."""

_SUFFIXES = (".yaml", ".yml", ".json")


def read_config(config: Any = None, /) -> Config:
    """
    Return a configuration, checked.

    Parameters
    ----------
    config : None, str, path, list or mapping, optional
        The name of a preset, by default ``"int8"``; a path of a YAML or JSON file, or
        such text; a list of rules, one rule, or ``{"rules": list}``; or a mapping with
        ``quant_cfg``, or an object that has a `model_dump`, of TensorRT Model
        Optimizer.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or a rule is not valid.
    OSError
        If the file cannot be read.
    """
    data = DEFAULT if config is None else config
    if isinstance(data, str | os.PathLike):
        data = _from_text(data)
    data = plain(data)
    if isinstance(data, Mapping) and "quant_cfg" in data:
        return read_modelopt(data)
    if isinstance(data, Mapping) and "rules" in data:
        if others := sorted(set(data) - {"rules"}):
            raise ValueError(f"keys beside `rules` must not be there; got {others}.")
        data = data["rules"]
    if isinstance(data, Mapping):
        data = [data]
    if not isinstance(data, list | tuple):
        raise TypeError(
            "`config` must be a preset, a list of rules or their text; got "
            f"{type(config).__name__}."
        )
    return read_rules(data)


def _from_text(given: str | os.PathLike[str]) -> Any:
    """Return the data of a preset's name, of a file or of text."""
    if isinstance(given, str) and given in PRESETS:
        return [{"preset": given}]
    is_file = isinstance(given, os.PathLike) or given.endswith(_SUFFIXES)
    try:
        text = (
            path_of_file(given, "config").read_text("utf-8") if is_file else str(given)
        )
        data = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())  # YAML's own spans lines
        raise ValueError(f"`config` must be YAML or JSON: {said}") from error
    if data is None:
        raise ValueError(f"`config` must hold rules; {str(given)!r} is empty.")
    if isinstance(data, str):
        raise ValueError(
            f"`config` must be a preset, a path of YAML or JSON, or such text; got "
            f"{data!r}: {nearest(data, PRESETS)}"
        )
    return data
