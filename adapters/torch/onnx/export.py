"""Export to ONNX: fake quantization becomes QuantizeLinear and DequantizeLinear.

One graph comes of two ways: `export_onnx`, and ``torch.onnx.export`` inside of
`enable_onnx_export`, as pytorch-quantization has it. Codes are those of PyTorch; 16-bit
and 64-bit floats are cast to float32 around the pair.
"""

import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

import torch
from torch import nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]
from torch.utils._pytree import tree_leaves

from qcore.adapters.given_path import path_to_write
from qcore.adapters.onnx_formats import BLOCKS
from qcore.adapters.packages import check_packages
from qcore.adapters.torch.evaluating import evaluating
from qcore.adapters.torch.given_model import check_model
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.onnx.preparing import prepared
from qcore.errors import QuantError
from qcore.methods.options import whole_number

_EARLIEST = 18
"""The opset from which what formats need is more than exporters choose by default."""


@contextmanager
def enable_onnx_export() -> Iterator[None]:
    """
    Let quantizers write operators of ONNX, as long as the block lasts.

    Inside, call ``torch.onnx.export`` by this very name: it then also checks the model,
    freezes learned scales, and takes the opset that the formats need if it is told less
    or none. A function imported from there does none of that. Blocks may be nested.

    Raises
    ------
    NoDataError, QuantError
        By ``torch.onnx.export``, as `export_onnx`.

    Examples
    --------
    >>> with enable_onnx_export():  # doctest: +SKIP
    ...     torch.onnx.export(model, (x,), "model.onnx")
    """
    switch, export = TensorQuantizer._enable_onnx_export, torch.onnx.export
    TensorQuantizer._enable_onnx_export = True
    if not isinstance(export, _PreparedExport):
        torch.onnx.export = _PreparedExport(export)
    try:
        yield
    finally:
        TensorQuantizer._enable_onnx_export = switch
        torch.onnx.export = export


def export_onnx(
    model: nn.Module,
    args: torch.Tensor | tuple[Any, ...],
    path: str | os.PathLike[str],
    *,
    kwargs: Mapping[str, Any] | None = None,
    opset_version: int | None = None,
    dynamic_shapes: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    weights: Literal["float", "codes"] = "float",
    verify: bool = False,
    **options: Any,
) -> None:
    """
    Write a quantized model to an ONNX file.

    It is exported as it evaluates, whatever mode it is in, and left as it was.

    Parameters
    ----------
    model : Module
        Its quantizers that are on must be calibrated.
    args : Tensor or tuple
        Example inputs.
    path : path
        The file. It is the old or the new one, never a part. Weights that do not fit
        into its 2 GB go to a second file, ``<name>.data``.
    kwargs : dict, optional
        Example inputs by name.
    opset_version : int, optional
        The least opset; formats may need a later one. int8 needs 10, several scales 13,
        float8 19, int4, int16 and blocks 21, float4 23.
    dynamic_shapes, input_names, output_names
        As of ``torch.onnx.export``.
    weights : {"float", "codes"}, optional
        As floats that are quantized in the graph, which is what TensorRT reads and
        ``torch.onnx.export`` writes; or as codes, a quarter of the size for 8 bits.
    verify : bool, optional
        Run the model in ONNX Runtime too, before anything is written.
    **options
        Others of ``torch.onnx.export``, such as ``dynamo=False`` with `dynamic_axes`.

    Raises
    ------
    NoDataError
        If quantizers are not calibrated; names every one. A RuntimeError, too.
    QuantError
        If ONNX, or its opset that the exporter knows, lacks what a quantizer does; if
        an argument is wrong; or if ONNX Runtime's outputs differ by more than rounding
        explains: noise above -30 dB.
    TypeError
        If an argument is of the wrong kind.
    ModuleNotFoundError
        If packages are missing; names what to install.
    """
    check_model(model)
    path = path_to_write(path)
    if not (isinstance(args, tuple) or _holds_tensor(args)):
        raise TypeError(
            f"`args` must be a tensor, or a tuple of inputs; got {type(args).__name__}."
        )
    if not isinstance(kwargs, Mapping | None):
        raise TypeError(f"`kwargs` must be inputs by name; got {kwargs!r}.")
    if opset_version is not None:
        whole_number("opset_version", opset_version, 1)
    for key, names in (("input_names", input_names), ("output_names", output_names)):
        is_several = isinstance(names, list | tuple | None)
        if not (is_several and all(isinstance(name, str) for name in names or ())):
            raise TypeError(f"`{key}` must be a list of strings; got {names!r}.")
    if weights not in ("float", "codes"):
        raise QuantError(f"`weights` must be 'float' or 'codes'; got {weights!r}.")
    onnx_model = _onnx_model()
    args = args if isinstance(args, tuple) else (args,)
    named = dict(kwargs or {})
    with evaluating(model), _quiet(), enable_onnx_export():
        exported = onnx_model.exported(
            model,
            args,
            kwargs=named,
            opset_version=opset_version,
            dynamic_shapes=dynamic_shapes,
            input_names=input_names,
            output_names=output_names,
            **options,
        )
    finished = onnx_model.finished(exported, weights=weights)
    if verify:
        with evaluating(model), torch.no_grad():
            onnx_model.verify(finished, model(*args, **named), args, named)
    onnx_model.save(finished, path)


def _holds_tensor(given: Any) -> bool:
    """Return whether there is a tensor in what a model is to be called with."""
    return any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(given))


class _PreparedExport:
    """``torch.onnx.export`` of a model that is made ready before."""

    def __init__(self, export: Callable[..., Any]) -> None:
        self.export = export
        parameters = inspect.signature(export).parameters
        self.dynamo = parameters["dynamo"].default

    def __call__(self, model: Any, *args: Any, **options: Any) -> Any:
        """Return what ``torch.onnx.export`` does."""
        options.pop("enable_onnx_checker", None)  # PyTorch 1.10 knew it
        if not isinstance(model, nn.Module):
            return self.export(model, *args, **options)
        dynamo = options.get("dynamo", self.dynamo)
        if dynamo:
            check_packages("an export to ONNX", "torch,onnx", "onnx", "onnxscript")
        with prepared(model) as operators:
            opsets = {name: found.opset for name, found in operators.items()}
            least = max(opsets.values(), default=0)
            if not dynamo and least >= BLOCKS:
                later = [name for name, opset in opsets.items() if opset >= BLOCKS]
                raise QuantError(
                    f"`dynamo` must be true to export {', '.join(later)}, which need "
                    f"opset {least}: the TorchScript exporter lacks it."
                )
            asked = options.get("opset_version")
            if least > (_EARLIEST if asked is None else asked):
                options["opset_version"] = least
            with warnings.catch_warnings():
                # A trace of TorchScript warns of every look at the shape of a constant.
                warnings.filterwarnings(
                    "ignore", category=TracerWarning, module=r"qcore\."
                )
                return self.export(model, *args, **options)


def _onnx_model() -> Any:
    """Return the module that handles models of ONNX, which an extra brings."""
    check_packages(
        "an export to ONNX",
        "torch,onnx",
        "onnx",
        "onnx_ir",
        "onnxscript",
        "onnxruntime",
    )
    return import_module("qcore.adapters.torch.onnx.model")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what exporters say of themselves, which no user can change."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=category, module=r"torch\b")
            warnings.filterwarnings("ignore", category=category, module="copyreg")
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript")
        yield
