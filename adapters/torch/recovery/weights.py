"""Round the weight of a layer so that its output changes least."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from qcore import (
    Gram,
    IntFormat,
    QParams,
    QuantSpec,
    dequantize,
    qparams_from_amax,
    quantize,
)
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.lookup import quantizers_of
from qcore.adapters.torch.recovery.geometry import Geometry
from qcore.adapters.torch.recovery.layers import Layer
from qcore.recovery import gptq, output_shift
from qcore.recovery.each_weight import each_weight
from qcore.recovery.fine_codes import FINE
from qcore.recovery.thinning import MOST_OUTPUTS, spacing


def can_round(layer: Layer, model: nn.Module, /) -> bool:
    """Return whether a layer has a weight of its own, whose scales are fixed."""
    (quantizer,) = quantizers_of(layer, "weight")
    if not _is_fixed(quantizer) or quantizer.pre_quant_scale is not None:
        return False
    weight = layer._parameters.get("weight")
    owners = [
        1
        for module in model.modules()
        for one in module._parameters.values()
        if one is weight
    ]
    return weight is not None and len(owners) == 1


def _is_fixed(quantizer: TensorQuantizer) -> bool:
    is_on = quantizer.is_enabled and quantizer.num_bits not in (0, 1)
    return is_on and (quantizer.has_range() or quantizer.is_learned())


class Rounded:
    """The weight of a layer, about to be rounded.

    Parameters
    ----------
    layer : Layer
        Whose weight is put only where `can_round` is true.
    shown : int
        How many outputs of a channel the data make.

    Attributes
    ----------
    needs_range : bool
        Whether inputs have no integer codes of one scale, so that their range must be
        found first.
    """

    def __init__(self, layer: Layer, shown: int) -> None:
        self.layer, self.geometry = layer, Geometry(layer)
        self.every = spacing(shown, MOST_OUTPUTS, len(self.geometry.kernel))
        (self.quantizer,) = quantizers_of(layer, "input")
        self.qparams = _of_codes(self.quantizer)
        self.needs_range = self.qparams is None
        self.amax = 0.0
        self.gram: Gram | None = None

    @contextmanager
    def ranging(self) -> Iterator[None]:
        """See how large inputs are as long as the block lasts."""

        def widen(x: torch.Tensor, _: torch.Tensor) -> None:
            if x.numel():
                self.amax = max(self.amax, float(x.abs().max()))

        with self._watching(widen):
            yield
        self.qparams = qparams_from_amax(np.float32(self.amax), FINE)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """See how inputs go together as long as the block lasts."""
        with self._watching(self._add):
            yield

    def own_shift(self) -> torch.Tensor:
        """Return what makes up in the bias for what the weight errs, unchanged."""
        assert self.gram is not None
        (quantizer,) = quantizers_of(self.layer, "weight")
        before, after = (
            self.geometry.by_output(_numpy(weight))
            for weight in (self.layer.weight, quantizer(self.layer.weight))
        )
        return torch.from_numpy(output_shift(before, after, self.gram))

    def put(self) -> torch.Tensor:
        """Change the weight; return what makes up for that in the bias."""
        assert self.gram is not None
        layer, geometry = self.layer, self.geometry
        (quantizer,) = quantizers_of(layer, "weight")
        shape, given = tuple(layer.weight.shape), _of_numpy(quantizer)
        grid = each_weight(given, shape, geometry.by_output, xp=np)
        before = geometry.by_output(_numpy(quantizer(layer.weight)))
        rows = geometry.by_output(_numpy(layer.weight))
        codes = gptq(rows, self.gram, grid, center=True)
        after = np.asarray(dequantize(codes, grid))
        stored = np.ascontiguousarray(geometry.as_stored(after))
        layer.weight.copy_(torch.from_numpy(stored))
        return torch.from_numpy(output_shift(before, after, self.gram))

    def _add(self, x: torch.Tensor, output: torch.Tensor) -> None:
        assert self.qparams is not None
        rank = len(self.geometry.kernel)
        images = self.geometry.images(x, self.every)
        extents = (tuple(y.shape[y.ndim - rank :]) for y in (images, output))
        codes = quantize(np.ascontiguousarray(_numpy(images)), self.qparams)
        window = self.geometry.window(self.every, *extents)
        gram = Gram.of(codes, self.qparams, window=window)
        gram = replace(gram, window=window.patch)
        self.gram = gram if self.gram is None else self.gram.merge(gram)

    @contextmanager
    def _watching(self, seen: Any) -> Iterator[None]:
        def hook(_: nn.Module, args: Any, kwargs: Any, output: torch.Tensor) -> None:
            seen(self.quantizer((*args, *kwargs.values())[0]), output)

        handle = self.layer.register_forward_hook(hook, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


def _of_codes(quantizer: TensorQuantizer) -> QParams | None:
    """Return the scale of inputs, if they are integers of a single fixed one."""
    if not _is_fixed(quantizer):
        return None
    given = _of_numpy(quantizer)
    if not isinstance(given.spec.format, IntFormat) or prod(given.scale.shape) != 1:
        return None
    spec = QuantSpec(
        given.spec.format,
        symmetric=given.spec.symmetric,
        rounding=given.spec.rounding,
    )
    return QParams(given.scale.reshape(()), given.zero_point.reshape(()), spec)


def _of_numpy(quantizer: TensorQuantizer) -> QParams:
    given = quantizer.frozen_qparams()
    zero_point = torch.as_tensor(given.zero_point).cpu().numpy()
    return QParams(_numpy(torch.as_tensor(given.scale)), zero_point, given.spec)


def _numpy(x: torch.Tensor) -> np.ndarray:
    found: np.ndarray = x.detach().float().cpu().numpy()
    return found
