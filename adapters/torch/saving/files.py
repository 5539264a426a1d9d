"""A quantized model in one file, from which a float one is quantized again.

The file is of safetensors. Its tensors are those of the model's state dict, of the
quantizers alone unless weights are asked for, and, for other readers, ``scale`` and
``zero_point`` of every quantizer that has a range. The header's ``qcore`` entry is
JSON: the file's version, the architecture, the quantizers and the configuration.
"""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from array_api_compat import torch as xp
from torch import nn

from qcore.adapters.given_path import path_to_write
from qcore.adapters.torch.calibration.batches import device_of
from qcore.adapters.torch.given_model import check_model, innermost
from qcore.adapters.torch.quantizer.lookup import named_quantizers
from qcore.adapters.torch.rewriting.replacing import replace_modules
from qcore.adapters.torch.rewriting.residuals import quantize_residuals
from qcore.adapters.torch.saving.architecture import architecture, check_architecture
from qcore.adapters.torch.saving.quantizers import (
    SavedQuantizers,
    describe_quantizers,
)
from qcore.adapters.torch.saving.safetensors import read_tensors, write_tensors
from qcore.errors import FileFormatError
from qcore.files import from_arrays, to_arrays

VERSION = 1
_STATISTICS = "statistics/"
_QPARAMS = ("scale", "zero_point")


def save(
    model: nn.Module,
    path: str | os.PathLike[str],
    /,
    *,
    statistics: bool = False,
    weights: bool = False,
    config: Any = None,
) -> None:
    """
    Write the quantizers of a model to a file, atomically.

    Parameters
    ----------
    model : Module
        On any device; of its quantizers ranges, learned scales, formats and stages are
        kept.
    path : path
        The file; an old one is replaced once the new one is whole.
    statistics : bool, optional
        Keep what the calibrators have collected too.
    weights : bool, optional
        Keep the model's parameters and buffers too.
    config : plain data, optional
        What JSON can hold, such as the configuration the model was quantized with;
        kept for `saved_config`.

    Raises
    ------
    TypeError
        If the configuration is not plain data, the state dict holds no tensors alone,
        or an argument is of the wrong kind.
    OSError
        If the file cannot be written.
    """
    check_model(model)
    model = innermost(model)
    path = path_to_write(path)
    try:
        json.dumps(config)
    except TypeError as error:
        raise TypeError(f"`config` must be plain data; {error}.") from error
    quantizers = named_quantizers(model)
    tensors, aliases = _state(model, quantizers, weights=weights)
    for name, quantizer in quantizers.items():
        if quantizer.has_range() or quantizer.is_learned():
            qparams = quantizer.frozen_qparams()
            for key in _QPARAMS:
                tensors[f"{name}.{key}"] = getattr(qparams, key)
    seen = {
        name: quantizer.calibrator.statistics
        for name, quantizer in quantizers.items()
        if statistics and quantizer.calibrator is not None
    }
    arrays, states = to_arrays({n: s for n, s in seen.items() if s is not None})
    for key, values in arrays.items():
        tensors[_STATISTICS + key] = torch.from_numpy(values)
    header = {
        "version": VERSION,
        "architecture": architecture(model),
        **describe_quantizers(model),
        "has_weights": weights,
        "aliases": aliases,
        "states": states,
        "config": config,
    }
    write_tensors(path, tensors, header)


def restore(float_model: nn.Module, path: str | os.PathLike[str], /) -> nn.Module:
    """
    Quantize a model as a saved one was, without calibration.

    Parameters
    ----------
    float_model : Module
        Of the architecture that was saved, on any device. Changed in place; it keeps
        its weights unless the file has some.
    path : path
        A file that `save` wrote.

    Returns
    -------
    Module
        The model; a new object only if it was itself a layer such as Linear.

    Raises
    ------
    ValueError
        If the architecture is another; names the first difference. Or if the model is
        on the meta device. Nothing is changed then.
    TypeError
        If `float_model` is no module, or `path` no path.
    FileFormatError
        If the file is no saved model, is damaged, or is of a later version.
    OSError
        If the file cannot be read.
    """
    check_model(float_model, "float_model")
    tensors, header = _read(path)
    if device_of(float_model).type == "meta":
        raise ValueError("`float_model` must have weights; it is on the meta device.")
    try:
        saved = SavedQuantizers(header)
        layers = header["architecture"]
        statistics = _statistics(tensors, header["states"])
        states = {name: saved.state(name, tensors) for name in saved.described}
        weights = _weights(tensors, header)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(
            f"{path} must be a saved model; its contents do not fit together "
            f"({type(error).__name__}: {error})."
        ) from error
    check_architecture(float_model, layers)
    saved.check(float_model)
    model = replace_modules(float_model, saved).model
    if set(saved.residuals()) - set(named_quantizers(model)):
        model = quantize_residuals(model)
    saved.add_call_sites(model)
    for name, state in states.items():
        quantizer = saved.settle(name, model)
        quantizer.load_state_dict(state)
        if name in statistics:
            seen = statistics[name].to(xp, quantizer.device)
            quantizer.calibrator.statistics = seen
    if weights:
        # With the quantizers' own, which would else be reported as missing.
        held = {
            f"{name}.{key}": value
            for name, quantizer in named_quantizers(model).items()
            for key, value in quantizer.state_dict().items()
        }
        model.load_state_dict({**held, **weights}, strict=False)
    return model


def saved_config(path: str | os.PathLike[str], /) -> Any:
    """
    Return the configuration that was given to `save`.

    Raises
    ------
    FileFormatError, OSError
        As `restore`.
    """
    return _read(path)[1].get("config")


def _read(
    path: str | os.PathLike[str],
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors and the header of a file whose version is known."""
    tensors, header = read_tensors(path)
    version = header.get("version")
    if "quantizers" not in header or not isinstance(version, int):
        raise FileFormatError(f"{path} must be a saved model; it holds something else.")
    if version > VERSION:
        raise FileFormatError(
            f"{path} must be of version {VERSION} at most; got {version}: a later "
            "qcore wrote it."
        )
    return tensors, header


def _state(
    model: nn.Module, quantizers: Mapping[str, nn.Module], *, weights: bool
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return what the state dict holds, and the names of what is there already."""
    state = model.state_dict(keep_vars=True)
    below = _paths(quantizers)
    tensors: dict[str, torch.Tensor] = {}
    first: dict[int, str] = {}
    aliases = {}
    for key, value in state.items():
        if not (weights or key.startswith(below)):
            continue
        if not isinstance(value, torch.Tensor):
            raise TypeError(
                f"the state dict must hold tensors; got {type(value).__name__} for "
                f"{key!r}."
            )
        if id(value) in first:
            aliases[key] = first[id(value)]
        else:
            first[id(value)] = key
            tensors[key] = value
    return tensors, aliases


def _paths(names: Iterable[str]) -> tuple[str, ...]:
    """Return what the keys of modules begin with."""
    return tuple(f"{name}." if name else "" for name in names)


def _weights(
    tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    """Return the model's own part of the state dict, tied weights under every name."""
    if not header["has_weights"]:
        return {}
    held = {**tensors, **{key: tensors[of] for key, of in header["aliases"].items()}}
    others = (_STATISTICS, *_paths(header["quantizers"]))
    found = {key: value for key, value in held.items() if not key.startswith(others)}
    for name, _, shapes in header["architecture"]:
        for of, shape in shapes.items():
            key = f"{name}.{of}" if name else of
            if list(found[key].shape) != shape:
                raise ValueError(f"{key} of shape {tuple(found[key].shape)}")
    return found


def _statistics(tensors: Mapping[str, torch.Tensor], states: Any) -> dict[str, Any]:
    arrays = {
        key.removeprefix(_STATISTICS): value.numpy()
        for key, value in tensors.items()
        if key.startswith(_STATISTICS)
    }
    return from_arrays(arrays, states)
