"""Sessions of onnxruntime for models of which each sample may have another shape."""

from pathlib import Path

import onnxruntime as ort


def open_session(
    model: Path | bytes, /, *, as_written: bool = False
) -> ort.InferenceSession:
    """
    Return a session on the CPU.

    Parameters
    ----------
    model : path or bytes
        An ONNX file, or what would be in one.
    as_written : bool, optional
        Whether no operators are merged, so that none computes on codes.
    """
    options = ort.SessionOptions()
    if as_written:
        level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    options.log_severity_level = 4  # what goes wrong is raised, and told by us
    # It would keep a plan of the memory for every shape that samples have.
    options.enable_mem_pattern = False
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
