"""Layers of a cache and what goes into them."""

import torch

from qcore import QParams, QuantSpec, qparams_from_amax
from qcore.adapters.torch.kv_cache.cache import KVCacheLayer


def scales(
    amax: float = 4.0, spec: str | QuantSpec = "int8", shape: tuple[int, ...] = ()
) -> QParams:
    spec = spec if isinstance(spec, QuantSpec) else QuantSpec(spec)
    return qparams_from_amax(torch.full(shape, amax), spec)


def layer(spec: str | QuantSpec = "int8", **options) -> KVCacheLayer:
    return KVCacheLayer(scales(4.0, spec), scales(2.0, spec), **options)


def data(*shape: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype)


def held_shape(cache: KVCacheLayer) -> tuple[int, ...]:
    return tuple(cache.keys.all(torch.float32).shape)
