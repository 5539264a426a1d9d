"""Calibrate what a model puts in its KV cache, from inside the model.

`QuantCalibrationOp` of AMCT (Ascend Model Compression Toolkit). Differences:

* Batches are folded into histograms; AMCT keeps all of them.
* A record file is merged with, whatever process wrote it; AMCT empties it first.
* float64 is taken.
"""

import os
import warnings
from typing import Any

import torch
from array_api_compat import torch as xp

from qcore import Histogram, calibrate
from qcore.adapters.given_path import path_of_file
from qcore.adapters.records import amct
from qcore.adapters.torch.amct.quant_calibration_config import (
    ConfigurationTypeError,
    QuantCalibrationConfig,
    check_quant_method,
)
from qcore.adapters.torch.given_data import check_tensor
from qcore.errors import NonFiniteError, QuantError


class QuantCalibrationOp(torch.nn.Module):
    """
    Return its input, and write its scales and offsets to a file after some batches.

    Parameters
    ----------
    record_file : str or path
        The record file. What it holds already stays, except for what is calibrated
        anew, of which a warning tells; its folder is made if need be.
    quant_algo_params : dict, optional
        The algorithm and its parameters, as `QuantCalibrationConfig.parse` has them.
    quant_method : str, optional
        ``"kv_cache_quant"``, the one way in which factors are written.

    Attributes
    ----------
    record_file : str
        The file's path, absolute.
    config : QuantCalibrationConfig
        What the parameters mean.
    cur_batch : dict
        By layer: how many batches it has passed on, counted up to `batch_num`.

    Raises
    ------
    TypeError
        If an argument or a parameter is of a wrong type.
    RuntimeError
        If a parameter is unknown, of the other algorithm, or out of its range.
    FileFormatError
        If there is a file that is no record of AMCT; it is left as it is.
    """

    def __init__(
        self,
        record_file: str | os.PathLike[str],
        quant_algo_params: dict[str, Any] | None = None,
        quant_method: str = "kv_cache_quant",
    ) -> None:
        super().__init__()
        if not isinstance(record_file, str | os.PathLike):
            raise ConfigurationTypeError(
                f"`record_file` must be a path; got {record_file!r}."
            )
        self.config = QuantCalibrationConfig.parse(quant_algo_params)
        check_quant_method(quant_method)
        path = path_of_file(record_file, "record_file").resolve()
        if path.exists():
            amct.read(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.record_file = str(path)
        self.cur_batch: dict[str, int] = {}
        self._collected: dict[str, Histogram] = {}

    @property
    def batch_num(self) -> int:
        """How many batches the factors of a layer are made of."""
        return self.config.batch_num

    def forward(self, calibrated_layer_name: str, inputs: torch.Tensor) -> torch.Tensor:
        """
        Return `inputs` as they are, calibrating until the layer has its batches.

        Parameters
        ----------
        calibrated_layer_name : str
            Whose factors they give. Each layer has its own count of batches.
        inputs : torch.Tensor
            Floating-point data of any shape; the last axis is that of channels.

        Raises
        ------
        NonFiniteError, NoDataError
            If a batch holds NaN or infinity, or all batches hold nothing. Both are
            RuntimeErrors; the batch does not count.
        TypeError
            If the data is not floating-point or no tensor.
        QuantError
            If the channels are not those of earlier batches.
        """
        if not isinstance(calibrated_layer_name, str):
            raise TypeError(
                "`calibrated_layer_name` must be a string; got "
                f"{calibrated_layer_name!r}."
            )
        if self.cur_batch.get(calibrated_layer_name, 0) < self.batch_num:
            with torch.no_grad():
                self._collect(calibrated_layer_name, inputs)
        return inputs

    def extra_repr(self) -> str:
        """Return what tells one from another when a model is printed."""
        return f"{self.record_file!r}, {self.config.method}, batch_num={self.batch_num}"

    def _collect(self, name: str, batch: torch.Tensor) -> None:
        """Count a batch, and write the layer's factors if it was the last one."""
        number = self.cur_batch.get(name, 0) + 1
        state = self._folded(name, number, batch)
        if number == self.batch_num:
            self._write(name, state)
            self._collected.pop(name, None)
        else:
            self._collected[name] = state
        self.cur_batch[name] = number

    def _folded(self, name: str, number: int, batch: torch.Tensor) -> Histogram:
        """Return what the batches up to this one hold."""
        try:
            check_tensor(batch, "inputs", has_values=True)
            state = self._collected.get(name)
            if state is None:
                granularity = self.config.spec.granularity
                state = Histogram.of(
                    batch, bins=self.config.bins, granularity=granularity, xp=xp
                )
            else:
                if state.min.device != batch.device:
                    state = state.to(xp, batch.device)
                state = state.update(batch)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else QuantError
            raise kind(f"layer {name!r}, batch {number}: {error}") from error
        if bool(torch.any(state.nonfinite > 0)):
            raise NonFiniteError(
                f"layer {name!r}, batch {number}: `inputs` must be finite; got "
                f"{int(state.nans.sum())} NaN and {int(state.infs.sum())} infinite "
                "values."
            )
        return state

    def _write(self, name: str, state: Histogram) -> None:
        """Record the factors of a layer."""
        config = self.config
        try:
            qparams = calibrate(
                state, config.spec, config.method, xp=xp, **config.options
            )
        except QuantError as error:
            raise type(error)(f"layer {name!r}: {error}") from error
        entry = amct.Entry(kv_cache_value=amct.KVCacheRecord.of(qparams))
        for layer, parameter in amct.merge(self.record_file, {name: entry}):
            warnings.warn(
                f"layer {layer!r} already had {parameter} in the record file "
                f"{self.record_file}; it is overwritten.",
                stacklevel=2,
            )
