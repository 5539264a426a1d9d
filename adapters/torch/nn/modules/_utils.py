"""What quantized modules share: their quantizers and the default descriptors."""

import copy
import inspect
import itertools
from typing import Any, ClassVar, Self

from torch import nn

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.adapters.torch.quantizer.quant_descs import QUANT_DESC_8BIT_PER_TENSOR

Descriptor = ScaledQuantDescriptor


class QuantizedModule:
    """What all quantized modules have.

    Of the two mixins neither is the other: ported code tells them apart by their class.
    """

    default_quant_desc_input: ClassVar[Descriptor] = QUANT_DESC_8BIT_PER_TENSOR
    _input_quantizer: TensorQuantizer

    @classmethod
    def set_default_quant_desc_input(cls, value: Descriptor) -> None:
        """
        Set how modules of this class made from now on quantize their input.

        Raises
        ------
        ValueError
            If the value is no descriptor.
        """
        cls.default_quant_desc_input = _copied(value)

    def _add_quantizers(self, *descriptors: Any) -> None:
        """Make the quantizers."""
        raise NotImplementedError

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what a module would keep and never use."""
        if name in ("input_quantizer", "weight_quantizer"):
            raise AttributeError(f"`{name}` cannot be set; `_{name}` can.")
        super().__setattr__(name, value)

    @property
    def input_quantizer(self) -> TensorQuantizer:
        """Quantizes the input."""
        return self._input_quantizer

    @classmethod
    def from_float(cls, module: nn.Module, *descriptors: Descriptor) -> Self:
        """
        Return a quantized module with the parameters, buffers and hooks of another.

        Parameters
        ----------
        module : Module
            Of the class that this one quantizes.
        *descriptors : QuantDescriptor
            Of input and weights; the defaults of the class if none.
        """
        made = cls.__new__(cls)
        made.__dict__ = {
            key: copy.copy(value) if isinstance(value, dict | list | set) else value
            for key, value in vars(module).items()
        }
        made._add_quantizers(*(descriptors or cls._default_descriptors()))
        held = next(itertools.chain(module.parameters(), module.buffers()), None)
        for quantizer in made.children():  # type: ignore[attr-defined]
            quantizer.train(module.training)
            if held is not None:
                quantizer.to(held.device)
        return made

    @classmethod
    def _default_descriptors(cls) -> tuple[Descriptor, ...]:
        return (cls.default_quant_desc_input,)


class QuantInputMixin(QuantizedModule):
    """Of modules that quantize their input."""

    def init_quantizer(self, quant_desc_input: Descriptor) -> None:
        """
        Make the quantizer.

        Raises
        ------
        TypeError
            If called from elsewhere than ``__init__``.
        ValueError
            If it would not be one of fake quantization.
        """
        _check_caller(type(self))
        self._add_quantizers(quant_desc_input)

    def _add_quantizers(self, quant_desc_input: Descriptor) -> None:
        _check_fake(quant_desc_input)
        self._input_quantizer = TensorQuantizer(quant_desc_input)


class QuantMixin(QuantizedModule):
    """Of modules that quantize their input and their weights."""

    default_quant_desc_weight: ClassVar[Descriptor] = QUANT_DESC_8BIT_PER_TENSOR
    _weight_quantizer: TensorQuantizer
    _input_quantizers: nn.ModuleList
    _weight_quantizers: nn.ModuleList

    @classmethod
    def set_default_quant_desc_weight(cls, value: Descriptor) -> None:
        """
        Set how modules of this class made from now on quantize their weights.

        Raises
        ------
        ValueError
            If the value is no descriptor.
        """
        cls.default_quant_desc_weight = _copied(value)

    def init_quantizer(
        self,
        quant_desc_input: Descriptor,
        quant_desc_weight: Descriptor,
        num_layers: int | None = None,
    ) -> None:
        """
        Make the quantizers; lists of `num_layers` of them if that is given.

        Raises
        ------
        TypeError
            If called from elsewhere than ``__init__``.
        ValueError
            If they would not be ones of fake quantization.
        """
        _check_caller(type(self))
        self._add_quantizers(quant_desc_input, quant_desc_weight, num_layers)

    def _add_quantizers(
        self,
        quant_desc_input: Descriptor,
        quant_desc_weight: Descriptor,
        num_layers: int | None = None,
    ) -> None:
        _check_fake(quant_desc_input, quant_desc_weight)
        descriptors = {"input": quant_desc_input, "weight": quant_desc_weight}
        for name, desc in descriptors.items():
            if num_layers is None:
                setattr(self, f"_{name}_quantizer", TensorQuantizer(desc))
                continue
            layers = (TensorQuantizer(desc) for _ in range(num_layers))
            setattr(self, f"_{name}_quantizers", nn.ModuleList(layers))

    @property
    def weight_quantizer(self) -> TensorQuantizer:
        """Quantizes the weights."""
        return self._weight_quantizer

    @classmethod
    def _default_descriptors(cls) -> tuple[Descriptor, ...]:
        return cls.default_quant_desc_input, cls.default_quant_desc_weight


def pop_quant_desc_in_kwargs(
    quant_cls: type[QuantizedModule], input_only: bool = False, **kwargs: Any
) -> Any:
    """
    Return the descriptors among keywords, or the defaults of the class.

    Parameters
    ----------
    quant_cls : type
        The quantized class.
    input_only : bool, optional
        Whether there is no descriptor of weights.
    **kwargs
        `quant_desc_input` and `quant_desc_weight`, both optional; None means the
        default.

    Returns
    -------
    QuantDescriptor or (QuantDescriptor, QuantDescriptor)
        Of the input, and of the weights unless `input_only`.

    Raises
    ------
    UnknownKeywordError
        If there are others; a TypeError and a KeyError.
    """
    names = ("input",) if input_only else ("input", "weight")
    found = []
    for name in names:
        given = kwargs.pop(f"quant_desc_{name}", None)
        default = getattr(quant_cls, f"default_quant_desc_{name}")
        found.append(default if given is None else given)
    if kwargs:
        known = " and ".join(f"quant_desc_{name}" for name in names)
        raise UnknownKeywordError(
            f"keywords of {quant_cls.__name__} beyond torch's must be {known}; got "
            f"{', '.join(sorted(kwargs))}."
        )
    return found[0] if input_only else tuple(found)


def pop_place(kwargs: dict[str, Any], /) -> dict[str, Any]:
    """Take `device` and `dtype`, which are torch's, out of keywords; return them."""
    return {key: kwargs.pop(key) for key in ("device", "dtype") if key in kwargs}


class UnknownKeywordError(TypeError, KeyError):
    """A quantized module was given a keyword it does not know."""

    def __str__(self) -> str:
        """Return the sentence, which a KeyError would quote."""
        return str(self.args[0])


def _copied(value: Descriptor) -> Descriptor:
    if not isinstance(value, ScaledQuantDescriptor):
        raise ValueError(
            f"`value` must be a QuantDescriptor; got {type(value).__name__}."
        )
    return copy.deepcopy(value)


def _check_fake(*descriptors: Descriptor) -> None:
    for desc in descriptors:
        if not isinstance(desc, ScaledQuantDescriptor):
            raise TypeError(
                f"a descriptor must be a QuantDescriptor; got {type(desc).__name__}."
            )
        if not desc.fake_quant:
            raise ValueError(
                "Only fake quantization is supported! `fake_quant` of a module's "
                "descriptors must be true."
            )


def _check_caller(cls: type) -> None:
    """Refuse a call of `init_quantizer` from elsewhere than a constructor."""
    frame = inspect.currentframe()
    caller = frame and frame.f_back and frame.f_back.f_back
    if caller is None or caller.f_code.co_name != "__init__":
        raise TypeError(
            f"`init_quantizer` of {cls.__name__} must be called by its __init__."
        )
