"""Calibrate with one toolkit, in an interpreter that holds it and perhaps no other.

`bench_peers` runs ``python peer_methods.py TOOLKIT FOLDER OUT``: FOLDER has the data,
one file of batches ``[batches, n]`` for each distribution, OUT gets the rows. A method
is a pair of functions: what collects all batches, and what gets amax from that. int8,
symmetric; where a toolkit gives a scale, its 127-fold is amax.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 3
WEIGHTS = "weights"
"""The file ``[channels, width]`` that is calibrated per channel."""

Collect = Callable[[list[Any]], Any]
Compute = Callable[[Any], Any]
Methods = dict[str, tuple[Collect, Compute]]


def qcore() -> tuple[str, Methods, Any]:
    import qcore  # noqa: PLC0415 - each toolkit has an environment of its own

    spec = qcore.QuantSpec("int8")

    def collect(batches: list[Any]) -> Any:
        histogram = qcore.Histogram.of(batches[0])
        for batch in batches[1:]:
            histogram = histogram.update(batch)
        return histogram

    def computing(method: str) -> Compute:
        return lambda histogram: qcore.compute_range(histogram, spec, method)[1][0]

    def weights(x: np.ndarray) -> Any:
        histogram = qcore.Histogram.of(x, granularity=qcore.PerChannel(0))
        return qcore.compute_range(histogram, spec, "mse")[1]

    names = ("mse", "auto", "entropy", "percentile", "minmax", "ifmr", "hfmg")
    methods = {name: (collect, computing(name)) for name in names}
    return "qcore-quant", methods, weights


def modelopt() -> tuple[str, Methods, Any]:
    import torch  # noqa: PLC0415
    from modelopt.torch.quantization import calib  # noqa: PLC0415
    from modelopt.torch.quantization.nn import TensorQuantizer  # noqa: PLC0415
    from modelopt.torch.quantization.tensor_quant import (  # noqa: PLC0415
        fake_tensor_quant,
    )

    def histogram(batches: list[Any]) -> Any:
        calibrator = calib.HistogramCalibrator()
        return _observed(calibrator, calibrator.collect, batches)

    def largest(batches: list[Any]) -> Any:
        calibrator = calib.MaxCalibrator()
        return _observed(calibrator, calibrator.collect, batches)

    def candidates(batches: list[Any]) -> Any:
        amax = max(torch.from_numpy(batch).abs().max() for batch in batches)
        # Its default candidates: 39 factors of what it is given, from 0.25 to 4.
        calibrator = calib.MseCalibrator(amax, quant_func=fake_tensor_quant)
        return _observed(calibrator, calibrator.collect, batches)

    def computing(*method: str) -> Compute:
        return lambda calibrator: calibrator.compute_amax(*method)

    def weights(x: np.ndarray) -> Any:
        layer = torch.nn.Linear(x.shape[1], x.shape[0], bias=False)
        layer.weight.data = torch.from_numpy(x)
        layer.weight_quantizer = TensorQuantizer()
        calib.calibrate_weights(layer, method="mse", perchannel=True)
        return layer.weight_quantizer.amax.ravel()

    methods: Methods = {
        "HistogramCalibrator, mse": (histogram, computing("mse")),
        "HistogramCalibrator, entropy": (histogram, computing("entropy")),
        "HistogramCalibrator, percentile": (
            histogram,
            lambda calibrator: calibrator.compute_amax("percentile", percentile=99.99),
        ),
        "MseCalibrator": (candidates, computing()),
        "MaxCalibrator": (largest, computing()),
    }
    return "nvidia-modelopt", methods, weights


def onnxruntime() -> tuple[str, Methods, None]:
    from onnxruntime.quantization.calibrate import (  # noqa: PLC0415
        HistogramCollector,
    )

    def method(name: str, bins: int, levels: int) -> tuple[Collect, Compute]:
        def collect(batches: list[Any]) -> Any:
            collector = HistogramCollector(name, True, bins, levels, 99.99, "same")
            return _observed(collector, lambda x: collector.collect({"x": x}), batches)

        def compute(collector: Any) -> Any:
            lowest, highest = collector.compute_collection_result()["x"][:2]
            return max(abs(lowest), abs(highest))

        return collect, compute

    methods: Methods = {
        "entropy, 2048 bins": method("entropy", 2048, 128),
        "entropy, defaults": method("entropy", 128, 128),
        "percentile": method("percentile", 2048, 128),
    }
    return "onnxruntime", methods, None


def ppq() -> tuple[str, Methods, None]:
    import torch  # noqa: PLC0415
    from ppq import core  # noqa: PLC0415
    from ppq.IR import Variable  # noqa: PLC0415
    from ppq.quantization.observer import order  # noqa: PLC0415
    from ppq.quantization.observer import range as ranges  # noqa: PLC0415

    properties = core.QuantizationProperty
    policy = core.QuantizationPolicy(
        properties.SYMMETRICAL + properties.PER_TENSOR + properties.LINEAR
    )

    def method(observer_class: Any, passes: int) -> tuple[Collect, Compute]:
        def collect(batches: list[Any]) -> Any:
            config = core.TensorQuantizationConfig(
                policy, quant_min=-128, quant_max=127
            )
            config.detail[core.OBSERVER_ISOTONE_OBSERVER_AXIS] = -1
            observer = observer_class(Variable("x"), config)
            for turn in (1, 2)[:passes]:
                if turn == 2:  # what the first one found decides the slots
                    observer.render_quantization_config()
                for batch in batches:
                    observer.observe(torch.from_numpy(batch))
            return observer

        def compute(observer: Any) -> Any:
            observer.render_quantization_config()
            return observer._quant_cfg.scale * 127

        return collect, compute

    methods: Methods = {
        "mse": method(ranges.TorchMSEObserver, 2),
        "kl": method(ranges.TorchHistObserver, 2),
        "percentile": method(ranges.TorchPercentileObserver, 1),
        "isotone": method(order.TorchIsotoneObserver, 1),
        "minmax": method(ranges.TorchMinMaxObserver, 1),
    }
    return "ppq", methods, None


def torch_ao() -> tuple[str, Methods, None]:
    import torch  # noqa: PLC0415
    from torch.ao import quantization  # noqa: PLC0415

    def method(name: str) -> tuple[Collect, Compute]:
        def collect(batches: list[Any]) -> Any:
            observer = getattr(quantization, name)(
                dtype=torch.qint8, qscheme=torch.per_tensor_symmetric
            )
            return _observed(observer, observer, batches)

        def compute(observer: Any) -> Any:
            return observer.calculate_qparams()[0] * 127

        return collect, compute

    names = ("HistogramObserver", "MinMaxObserver", "MovingAverageMinMaxObserver")
    return "torch", {name: method(name) for name in names}, None


def _observed(observer: Any, collect: Callable[[Any], Any], batches: list[Any]) -> Any:
    """Give the batches to what takes torch tensors, or arrays if it is numpy's."""
    torch = sys.modules.get("torch")
    for batch in batches:
        collect(batch if torch is None else torch.from_numpy(batch))
    return observer


TOOLKITS = {
    "qcore": qcore,
    "modelopt": modelopt,
    "onnxruntime": onnxruntime,
    "ppq": ppq,
    "torch": torch_ao,
}


def run(toolkit: str, folder: str, out: str) -> None:
    """Calibrate all data with all methods, write medians of the seconds, and amax."""
    package, methods, calibrate_weights = TOOLKITS[toolkit]()
    tool = f"{package} {version(package)}"
    rows = []
    for path in sorted(Path(folder).glob("*.npy")):
        x = np.load(path)
        if path.stem != WEIGHTS:
            for name, (collect, compute) in methods.items():
                row = {"data": path.stem, "tool": tool, "method": name}
                rows.append(row | _measured(collect, compute, list(x)))
        elif calibrate_weights is not None:
            channels = len(x) if toolkit == "qcore" else 64
            start = time.perf_counter()
            amax = np.asarray(calibrate_weights(x[:channels]))
            seconds = time.perf_counter() - start
            rows.append(
                {
                    "data": path.stem,
                    "tool": tool,
                    "method": "mse per channel",
                    "amax": amax.astype(float).tolist(),
                    "seconds": seconds,
                }
            )
    Path(out).write_text(json.dumps(rows))


def _measured(
    collect: Collect, compute: Compute, batches: list[Any]
) -> dict[str, float]:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        state = collect(batches)
        collected = time.perf_counter()
        amax = float(compute(state))
        times.append((collected - start, time.perf_counter() - collected))
    collecting, computing = np.median(times, axis=0).tolist()
    return {"amax": amax, "collect s": collecting, "compute s": computing}


if __name__ == "__main__":
    run(*sys.argv[1:])
