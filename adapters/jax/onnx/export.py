"""A JAX function as an ONNX file; what ONNX needs is imported when it is asked for."""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from qcore import QParams
from qcore.adapters.given_path import path_to_write
from qcore.adapters.packages import check_packages
from qcore.statistics import Statistics


def export_onnx(
    f: Callable[..., Any],
    qparams: Mapping[str, QParams | Statistics] | None,
    args: tuple[Any, ...],
    path: str | os.PathLike[str],
    config: Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    opset: int | None = None,
) -> None:
    """
    Write a function to an ONNX file, its sites quantized.

    Sites become pairs of QuantizeLinear and DequantizeLinear; at weights, a
    DequantizeLinear of stored codes. Their codes are those of `fake_quant`, bit for
    bit, for equal operands; between sites runtimes may round differently.

    Parameters
    ----------
    f : callable
        As of `fake_quant`; of static shapes.
    qparams : mapping or None
        As of `fake_quant`.
    args : tuple
        Arguments of `f`: those that are weights become constants of the model and must
        be arrays; of the others, which become its inputs, shapes
        (`jax.ShapeDtypeStruct`) are enough.
    path : path
        The file. It is the old or the new one, never a part.
    config
        As of `fake_quant`; says which arguments are weights.
    kwargs : mapping, optional
        Arguments of `f` by name, inputs of the model too.
    opset : int, optional
        The least opset, at least 18; formats may need a later one. float8 needs 19,
        int4, int16 and blocks 21, float4 23.

    Raises
    ------
    QuantError
        If static sites have no qparams, ONNX cannot express a primitive or a format
        (names every one), or the path is a folder or lies in none that exists. Nothing
        is written then.
    ValueError, TypeError
        If a pattern of the configuration matches nothing, or an argument is wrong.
    ModuleNotFoundError
        If packages are missing; names what to install.
    """
    path = path_to_write(path)
    names = ("onnx", "onnx_ir", "onnxruntime", "onnxscript")
    check_packages("an export to ONNX", "jax,onnx", *names)
    model = import_module("qcore.adapters.jax.onnx.model")
    file = import_module("qcore.adapters.onnx.files.model_file")
    file.save(
        model.onnx_model(f, qparams, args, config, kwargs=kwargs, opset=opset), path
    )
