"""Quantize an ONNX model in one call, as PPQ does."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from qcore.adapters.onnx.data.inputs import inputs_of
from qcore.adapters.onnx.files.model_file import Source
from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.pipeline import pipeline_of
from qcore.adapters.ppq.platforms import TargetPlatform
from qcore.adapters.ppq.setting import QuantizationSetting, QuantizationSettingFactory
from qcore.errors import QuantError

_UNUSED = frozenset({"device", "input_dtype", "inputs", "verbose"})
"""What PPQ needs to run a model, and ONNX files tell."""


def quantize_onnx_model(
    onnx_import_file: Source,
    calib_dataloader: Iterable[Any] | None = None,
    calib_steps: int = 32,
    input_shape: Sequence[int] | None = None,
    *,
    setting: QuantizationSetting | None = None,
    collate_fn: Callable[[Any], Any] | None = None,
    platform: TargetPlatform = TargetPlatform.ONNXRUNTIME,
    do_quantize: bool = True,
    **unused: Any,
) -> QuantizedGraph:
    """
    Return a model in codes, with the state of each of its tensors.

    Parameters
    ----------
    onnx_import_file : path or ModelProto
        The float model.
    calib_dataloader : iterable
        Samples: arrays by input, in the order of the inputs, or that of the only one.
    calib_steps : int, optional
        How many, 8 to 512; the loader starts again until there are so many.
    input_shape : sequence of int, optional
        Of the only input; the model tells it, and it is just compared with that.
    setting : QuantizationSetting, optional
        What is done; by default `QuantizationSettingFactory.default_setting`.
    collate_fn : callable, optional
        Makes of what the loader gives a sample.
    platform : TargetPlatform, optional
        Where the model is to run. (PPQ's own default, PPL_DSP_INT8, has no rules here.)
    do_quantize : bool, optional
        If false, all stays as it was before the first pass: no data is needed, and the
        passes may be run one by one.
    **unused
        ``device``, ``input_dtype``, ``inputs``, ``verbose``: taken, not used.

    Returns
    -------
    QuantizedGraph
        Its ``model`` is the ModelProto, ``tensors`` the table; ``export(path)`` writes
        and ``run(feeds)`` runs it.

    Raises
    ------
    QuantError
        If model, data or setting do not fit, or the platform has no rules.
    NonFiniteError
        If a tensor holds NaN or infinity; it names tensor and sample.
    """
    check_unused(unused)
    wanted = setting or QuantizationSettingFactory.default_setting()
    pipeline = pipeline_of(wanted)
    graph = QuantizedGraph(
        onnx_import_file,
        platform=platform,
        exclude=[each.operation for each in wanted.dispatching_table.dispatchings],
    )
    if input_shape is not None:
        _check_shape(graph, tuple(input_shape))
    if do_quantize:
        if calib_dataloader is None:
            raise QuantError("`calib_dataloader` must be given unless not to quantize.")
        pipeline.optimize(
            graph,
            dataloader=calib_dataloader,
            calib_steps=calib_steps,
            collate_fn=collate_fn,
        )
    return graph


def check_unused(given: Iterable[str], /) -> None:
    """Raise TypeError if an argument is none of PPQ's."""
    for name in given:
        if name not in _UNUSED:
            raise TypeError(f"no argument is called {name!r}.")


def _check_shape(graph: QuantizedGraph, shape: tuple[int, ...]) -> None:
    inputs = inputs_of(graph.float_model.graph)
    if len(inputs) != 1:
        raise QuantError(
            f"`input_shape` must be None unless the model has one input; it has "
            f"{len(inputs)}."
        )
    dummy = np.broadcast_to(np.zeros((), inputs[0].dtype), shape)
    inputs[0].conform(dummy, "in `input_shape`")
