"""Quantize a PyTorch model by way of ONNX, as PPQ does."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from qcore.adapters.onnx.files.model_file import PathLike, load
from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.platforms import TargetPlatform
from qcore.adapters.ppq.quantization import check_unused, quantize_onnx_model
from qcore.adapters.ppq.setting import QuantizationSetting
from qcore.adapters.torch import export_onnx
from qcore.errors import QuantError


def quantize_torch_model(
    model: nn.Module,
    calib_dataloader: Iterable[Any] | None = None,
    calib_steps: int = 32,
    input_shape: Sequence[int] | None = None,
    input_dtype: torch.dtype = torch.float32,
    *,
    setting: QuantizationSetting | None = None,
    collate_fn: Callable[[Any], Any] | None = None,
    inputs: Sequence[torch.Tensor] | None = None,
    do_quantize: bool = True,
    platform: TargetPlatform = TargetPlatform.ONNXRUNTIME,
    onnx_export_file: PathLike | None = None,
    **unused: Any,
) -> QuantizedGraph:
    """
    Return a PyTorch model as one of ONNX in codes, with the state of each tensor.

    It is exported as it evaluates and left as it was.

    Parameters
    ----------
    model : Module
        The float model.
    calib_dataloader, calib_steps, setting, collate_fn, platform, do_quantize
        As of `quantize_onnx_model`; tensors may lie on any device.
    input_shape : sequence of int, optional
        Of its only input. Samples must have this shape: that of a batch.
    input_dtype : dtype, optional
        Of that input.
    inputs : sequence of Tensor, optional
        Example inputs instead, on the device of the model.
    onnx_export_file : path, optional
        Where the float model of ONNX is to be kept; by default nowhere.
    **unused
        ``device``, ``verbose``: taken, not used; the model stays where it is.

    Returns
    -------
    QuantizedGraph
        As of `quantize_onnx_model`.

    Raises
    ------
    QuantError
        As by `quantize_onnx_model`, or if not just one of `input_shape` and `inputs` is
        given.
    """
    check_unused(unused)
    if (input_shape is None) == (inputs is None):
        raise QuantError("one of `input_shape` and `inputs` must be given.")
    if input_shape is not None:
        place = next((p.device for p in model.parameters()), None)
        inputs = [torch.zeros(tuple(input_shape), dtype=input_dtype, device=place)]
    assert inputs is not None

    def collate(sample: Any) -> Any:
        collated = sample if collate_fn is None else collate_fn(sample)
        return tree_map_only(torch.Tensor, lambda x: x.detach().cpu(), collated)

    with TemporaryDirectory() as folder:
        path = Path(onnx_export_file or Path(folder, "model.onnx"))
        export_onnx(model, tuple(inputs), path)
        return quantize_onnx_model(
            load(path) if onnx_export_file is None else path,
            calib_dataloader,
            calib_steps,
            setting=setting,
            collate_fn=collate,
            platform=platform,
            do_quantize=do_quantize,
        )
