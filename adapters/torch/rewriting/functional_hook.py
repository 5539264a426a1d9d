"""Quantizes the operands of functions that a module calls, without editing it.

While the forward of such a module runs, calls of `scaled_dot_product_attention`,
`F.linear`, `torch.matmul` (also ``@``) and `torch.bmm` in its own code, not in that of
its children, pass through quantizers. Each call site has its own: the second matmul of
a forward is ``matmul_1``, a child of the module with the quantizers ``input_quantizer``
and ``other_quantizer``. They come into being when the call is first made, or when a
state dict is loaded that has them; a forward must therefore make its calls in one
order.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode

from qcore.adapters.torch.calibration.batches import device_of
from qcore.adapters.torch.configuration.choices import Operands, QuantizerChoice
from qcore.adapters.torch.given_model import check_model
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.adapters.torch.rewriting.function_operands import (
    NAME_OF,
    OPERANDS,
    operand_names,
)


def quantize_functions(
    module: nn.Module,
    functions: Mapping[
        str, ScaledQuantDescriptor | Mapping[str, ScaledQuantDescriptor]
    ],
    /,
) -> nn.Module:
    """
    Quantize operands of functions that a module calls.

    Parameters
    ----------
    module : Module
        Changed in place: it becomes one of a subclass of its class.
    functions : mapping
        ``"scaled_dot_product_attention"``, ``"linear"``, ``"matmul"`` or ``"bmm"`` to a
        descriptor for all operands, or to a mapping of operands (``"query"``,
        ``"key"``, ``"value"``; ``"input"`` and ``"weight"``; ``"input"`` and
        ``"other"``; ``"input"`` and ``"mat2"``) to descriptors.

    Returns
    -------
    Module
        The same.

    Raises
    ------
    ValueError
        If a function or an operand is unknown; names the nearest. Also if the module
        is a `torch.fx.GraphModule`.
    TypeError
        If a descriptor is none, or another argument of the wrong kind.

    Notes
    -----
    What functions of `torch.nn.functional` written in Python call is not seen, such as
    inside `multi_head_attention_forward`. Under `torch.compile` the call sites must
    exist: run the module once before, which calibration does.
    """
    check_model(module, "module")
    if not isinstance(functions, Mapping):
        raise TypeError(
            f"`functions` must map functions to descriptors; got {functions!r}."
        )
    chosen = {}
    for function, given in functions.items():
        names = operand_names(function)
        each = given if isinstance(given, Mapping) else dict.fromkeys(names, given)
        for operand, descriptor in each.items():
            if operand not in names:
                raise ValueError(
                    f"an operand of {function!r} must be one of {names}; got "
                    f"{operand!r}."
                )
            if not isinstance(descriptor, ScaledQuantDescriptor):
                raise TypeError(
                    f"`functions` must hold descriptors; got {descriptor!r} for "
                    f"{function!r}."
                )
        chosen[function] = {name: QuantizerChoice(d) for name, d in each.items()}
    return add_function_quantizers(module, chosen)


def add_function_quantizers(
    module: nn.Module, functions: Mapping[str, Operands], /
) -> nn.Module:
    """Let a module quantize operands of functions that it calls."""
    if isinstance(module, fx.GraphModule):
        raise ValueError("`module` must not be a torch.fx graph; got a GraphModule.")
    if isinstance(module, QuantizesCalls):
        module._call_choices = {**module._call_choices, **functions}
        return module
    children = [child for child in module.modules() if child is not module]
    module.__class__ = _with_calls(type(module))
    assert isinstance(module, QuantizesCalls)
    module._call_choices = functions
    module._calls_suspended = 0
    module._is_calibrating = False
    for child in children:
        child.register_forward_pre_hook(module._suspend)
        child.register_forward_hook(module._resume)
    return module


def call_choices(module: "QuantizesCalls", /) -> Mapping[str, Operands]:
    """Return how a module quantizes operands, by the function that it calls."""
    return module._call_choices


def add_call_sites(module: "QuantizesCalls", names: Iterable[str], /) -> None:
    """Make the quantizers of calls that else the first forward makes.

    Parameters
    ----------
    module : QuantizesCalls
        What is there already stays.
    names : iterable of str
        Of quantizers or their tensors, within the module; other names do not count.
    """
    for name in names:
        site = name.split(".")[0]
        function, _, index = site.rpartition("_")
        is_call = function in module._call_choices and index.isdecimal()
        if is_call and site not in module._modules:
            module._add_site(function, int(index))


@contextmanager
def calibrating_calls(model: nn.Module, /) -> Iterator[None]:
    """Let quantizers of calls that come into being in the block only watch."""
    hooked = [m for m in model.modules() if isinstance(m, QuantizesCalls)]
    for module in hooked:
        module._is_calibrating = True
    try:
        yield
    finally:
        for module in hooked:
            module._is_calibrating = False


class QuantizesCalls(nn.Module):
    """Of modules that quantize operands of functions they call; made by a hook.

    Names are private, and few: those of the module's own class must stay free.
    """

    _call_choices: Mapping[str, Operands]
    _calls_suspended: int
    _is_calibrating: bool
    """Whether quantizers that come into being only watch, as the others do just now."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module does, with operands quantized."""
        self._calls_suspended = 0
        with _Calls(self):
            return super().forward(*args, **kwargs)

    def _suspend(self, *_: Any) -> None:
        self._calls_suspended += 1

    def _resume(self, *_: Any) -> None:
        self._calls_suspended -= 1

    def _quantized(
        self, function: str, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call with operands quantized."""
        site = self._site(function, index)
        given = list(args)
        for place, operand in enumerate(OPERANDS[function]):
            quantizer = site._modules.get(f"{operand}_quantizer")
            if quantizer is None:
                continue
            if place < len(given):
                given[place] = quantizer(given[place])
            elif operand in kwargs:
                kwargs = {**kwargs, operand: quantizer(kwargs[operand])}
        return tuple(given), kwargs

    def _site(self, function: str, index: int) -> nn.Module:
        """Return the quantizers of a call, made if it is the first time."""
        name = f"{function}_{index}"
        found = self._modules.get(name)
        if found is not None:
            return found
        if torch.compiler.is_compiling():
            raise RuntimeError(
                f"the module must have run once before it is compiled; the call {name} "
                "has no quantizers yet."
            )
        return self._add_site(function, index)

    def _add_site(self, function: str, index: int) -> nn.Module:
        site = nn.ModuleDict(
            {
                f"{operand}_quantizer": choice.make()
                for operand, choice in self._call_choices[function].items()
            }
        )
        if self._is_calibrating:
            for quantizer in site.values():
                assert isinstance(quantizer, TensorQuantizer)
                quantizer.disable_quant()
                if quantizer.calibrator is not None:
                    quantizer.enable_calib()
        site = site.to(device_of(self)).train(self.training)
        self.add_module(f"{function}_{index}", site)
        return site

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Make the call sites that a state dict has."""
        add_call_sites(
            self, (k.removeprefix(prefix) for k in state_dict if k.startswith(prefix))
        )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Return how to copy and pickle it: its class is made, not imported."""
        made_from = type(self).__mro__[2]
        state = self.__getstate__()  # type: ignore[no-untyped-call]
        return _blank, (made_from,), state


class _Calls(TorchFunctionMode):
    """Counts the calls of one forward and quantizes their operands."""

    def __init__(self, module: QuantizesCalls) -> None:
        super().__init__()
        self.module = module
        self.seen: Counter[str] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call a function, of those chosen with quantized operands."""
        del types
        kwargs = kwargs or {}
        name = NAME_OF.get(func, "")
        module = self.module
        if name not in module._call_choices or module._calls_suspended:
            return func(*args, **kwargs)
        index = self.seen[name]
        self.seen[name] += 1
        args, kwargs = module._quantized(name, index, args, kwargs)
        return func(*args, **kwargs)


_classes: dict[type[nn.Module], type[nn.Module]] = {}


def _with_calls(cls: type[nn.Module]) -> type[nn.Module]:
    """Return the subclass of a class that quantizes operands of its calls."""
    if cls not in _classes:
        place = {"__module__": cls.__module__}
        _classes[cls] = type(cls.__name__, (QuantizesCalls, cls), place)
    return _classes[cls]


def _blank(cls: type[nn.Module]) -> nn.Module:
    """Return an object without state."""
    made = _with_calls(cls)
    return made.__new__(made)
