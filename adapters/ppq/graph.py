"""A model on its way to codes: the graph that passes of PPQ work on."""

import os
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import onnx

from qcore.adapters.onnx.data.inputs import conform, inputs_of
from qcore.adapters.onnx.files.model_file import Source, save
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.request import requested
from qcore.adapters.onnx.running.sessions import open_session
from qcore.adapters.ppq.config import TensorQuantizationConfig
from qcore.adapters.ppq.errors import PassOrderError
from qcore.adapters.ppq.floats import users_in_codes, without
from qcore.adapters.ppq.platforms import TargetPlatform, rules_of
from qcore.adapters.ppq.states import QuantizationStates
from qcore.adapters.ppq.table import Table, table_of
from qcore.errors import QuantError, nearest
from qcore.statistics import Statistics

_WAITING = {
    QuantizationStates.ACTIVATED: QuantizationStates.INITIAL,
    QuantizationStates.BAKED: QuantizationStates.INITIAL,
    QuantizationStates.PASSIVE: QuantizationStates.PASSIVE_INIT,
    QuantizationStates.PASSIVE_BAKED: QuantizationStates.PASSIVE_INIT,
}


class QuantizedGraph:
    """
    A model, and how each of its tensors is quantized.

    Parameters
    ----------
    model : path or ModelProto
        The float model.
    platform : TargetPlatform, optional
        Where it is to run, which decides what gets codes.
    exclude : collection of str, optional
        Nodes that stay float, by name or operator.

    Attributes
    ----------
    tensors : dict
        A `TensorQuantizationConfig` by tensor, activations first: its state, spec and
        qparams. Names are those of the model, as it is once constants are folded and
        affine operators absorbed.
    statistics : dict
        What was collected last, by tensor.
    platform : TargetPlatform
        As it was given.
    plan : Plan
        Which operators compute on codes and what stays float and why.

    Raises
    ------
    QuantError
        If the model cannot be read, the platform has no rules, or nothing of the model
        can be quantized there.
    """

    def __init__(
        self,
        model: Source,
        /,
        *,
        platform: TargetPlatform = TargetPlatform.ONNXRUNTIME,
        exclude: Collection[str] = (),
    ) -> None:
        target, activation = rules_of(platform)
        self.platform = platform
        self.request = requested(target=target, activation=activation, exclude=exclude)
        self.float_model = prepare(model, opset=self.request.opset)
        self.plan = self.request.plan(self.float_model)
        self.tensors: Table = self._planned()
        self.statistics: dict[str, Statistics] = {}
        self._model: onnx.ModelProto | None = None

    def _planned(self) -> Table:
        """Return a table of what is planned, without scales."""
        formats = self.request.formats
        assert formats.activation is not None  # which no platform leaves float
        return table_of(
            self.float_model.graph,
            self.plan,
            formats.activation,
            formats.weight,
            bias_codes=self.request.weights.bias_codes,
        )

    def replan(self) -> None:
        """Leave float what cannot be in codes if tensors that are FP32 are not."""
        floats = {
            name
            for name in self.plan.tensors
            if self.tensors[name].state is QuantizationStates.FP32
        }
        if not floats:
            return
        nodes = users_in_codes(self.float_model.graph, self.plan, floats)
        selection = without(self.request.selection, nodes)
        self.request = replace(self.request, selection=selection)
        self.plan = self.request.plan(self.float_model)
        planned = self._planned()
        for name, config in self.tensors.items():
            now = planned.get(name)
            master = None if now is None else now.master
            if now is None:
                config.state = QuantizationStates.FP32
            elif master is None and config.master is not None:
                # Its values are among those that gave its scale so far.
                config.qparams = config.dominated_by.qparams
                is_known = config.qparams is not None
                config.state = QuantizationStates.ACTIVATED if is_known else now.state
            config.master = None if master is None else self.tensors[master.name]

    def forget_codes(self) -> None:
        """Have all parameters wait for their scales, which those of others decide."""
        self._model = None
        for config in self.tensors.values():
            if config.is_parameter:
                config.state = _WAITING.get(config.state, config.state)

    def hold(self, model: onnx.ModelProto, /) -> None:
        """Take a model with codes as that of this graph."""
        self._model = model

    def activation(self, name: str, /) -> TensorQuantizationConfig:
        """Return how an activation is quantized; raise QuantError if it is not."""
        quantized = {
            config.name: config
            for config in self.tensors.values()
            if not config.is_parameter and config.state is not QuantizationStates.FP32
        }
        if name not in quantized:
            raise QuantError(
                f"{name!r} must be an activation that is quantized; "
                + nearest(name, quantized)
            )
        return quantized[name]

    @property
    def model(self) -> onnx.ModelProto:
        """
        The model with codes, in QDQ form.

        Raises
        ------
        PassOrderError
            If a tensor has no scale yet; it names the first.
        """
        if self._model is None:
            waiting = (
                f"{config.name!r} is {config.state.name}"
                for config in self.tensors.values()
                if not QuantizationStates.can_export(config.state)
            )
            raise PassOrderError(
                "the scales of parameters must be known; PassiveParameterQuantizePass "
                f"is to give them: {next(waiting, 'it was not run')}."
            )
        return self._model

    def export(self, path: str | os.PathLike[str], /) -> None:
        """
        Write the model with codes to an ONNX file, which is the old or the new one.

        Raises
        ------
        PassOrderError
            As by `model`.
        QuantError
            If the path is a folder or lies in none that exists.
        """
        save(self.model, path)

    def run(self, feeds: Mapping[str, object], /) -> dict[str, np.ndarray]:
        """
        Return the outputs of the model with codes, by name, as onnxruntime has them.

        If the model is for another platform, each operator is run as it is written.

        Parameters
        ----------
        feeds : mapping
            An array for each input.

        Raises
        ------
        PassOrderError
            As by `model`.
        QuantError
            If they do not fit the inputs.
        """
        model = self.model
        fed = conform(feeds, inputs_of(self.float_model.graph), "in `feeds`")
        is_own = self.platform is TargetPlatform.ONNXRUNTIME
        session = open_session(model.SerializeToString(), as_written=not is_own)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, fed), strict=True))
