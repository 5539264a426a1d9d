"""Write a model that computes on codes, or holds its weights in them, in QDQ form."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import onnx

from qcore import QuantSpec
from qcore.adapters.onnx.data.feeds import Data
from qcore.adapters.onnx.data.inputs import inputs_of
from qcore.adapters.onnx.data.progress import Progress
from qcore.adapters.onnx.files.model_file import PathLike, Source, to_proto
from qcore.adapters.onnx.foresight import foresee
from qcore.adapters.onnx.formats import QDQ
from qcore.adapters.onnx.given_statistics import statistics_for
from qcore.adapters.onnx.passes.clean import clean
from qcore.adapters.onnx.passes.encode_constants import encode_constants
from qcore.adapters.onnx.passes.pack_blocks import pack_blocks
from qcore.adapters.onnx.passes.skip_recoding import skip_recoding
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.recovery.checkpoint import find_folder
from qcore.adapters.onnx.recovery.held import MEMORY, Held, holding
from qcore.adapters.onnx.recovery.level import choose_level
from qcore.adapters.onnx.recovery.recover import recover_layers
from qcore.adapters.onnx.recovery.samples import hold_samples
from qcore.adapters.onnx.request import requested
from qcore.adapters.onnx.rewriting import loadable, rewritten
from qcore.adapters.onnx.smoothing import checked_smooth, smooth_layers
from qcore.adapters.onnx.weights import OUTPUT
from qcore.errors import QuantError
from qcore.statistics import Statistics


def quantize(
    model: Source,
    statistics_or_data: Mapping[str, Statistics] | Data | None = None,
    /,
    *,
    target: str = "onnxruntime",
    method: str = "mse",
    activation: str | QuantSpec | None = None,
    symmetric: bool | None = None,
    weight: str | None = None,
    block: int | None = None,
    weight_form: str = QDQ,
    fake: bool = False,
    weight_method: str = OUTPUT,
    per_channel: bool = True,
    op_types: Collection[str] | None = None,
    include: Collection[str] = (),
    exclude: Collection[str] = (),
    keep_existing: bool = False,
    overrides: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    smooth: bool | float = False,
    recover: str | None = None,
    data: Data | None = None,
    samples: int | None = None,
    memory: int = MEMORY,
    checkpoint: PathLike | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> onnx.ModelProto:
    """
    Return a model that computes in 8 bits where that pays; `plan` tells where.

    Activations get QuantizeLinear and DequantizeLinear. Weights are stored as codes
    with a DequantizeLinear and so are, in 32 bits, biases for onnxruntime: runtimes
    merge these with the operators between them. Those of recurrent networks and tables
    of embeddings are stored in the same way, but for TensorRT; onnxruntime looks up
    codes and dequantizes the rows it found. Inputs, outputs and the names of nodes stay
    as they are.

    Parameters
    ----------
    model : path or ModelProto
        The float model, in 32 or 16 bits; opsets below 13 are raised, below 19 with
        tensors of 16 bits or codes of float8, below 21 with other codes than those of 8
        bits, or with blocks. Scales have the type of their tensors, and biases of 16
        bits stay floats.
    statistics_or_data : mapping, or data, optional
        What `calibrate` gave, or data for it. Activations that are ``"dynamic"`` or
        ``"float"`` need none; the method ``"output"`` makes use of it then, too.
    target : str, optional
        The runtime, as of `plan`. What it does not take is refused.
    method : str, optional
        How ranges of activations are chosen, one of ``qcore.methods()``.
    activation : str or QuantSpec, optional
        ``"uint8"`` or ``"int8"``; the default is uint8, or int8 if symmetric; TensorRT
        takes int8 alone. Both give the same numbers. onnxruntime on x86 computes on
        uint8 only, and cannot turn all int8 tensors into it: one with several users
        leaves their operators in float. ``"int16"``, ``"uint16"``, ``"float8_e4m3fn"``
        (TensorRT, too) and ``"float8_e5m2"`` are what hardware has kernels for; on CPUs
        products of what the codes stand for are those of floats. ``"dynamic"``: uint8,
        the range of each tensor found when the model runs (onnxruntime).
        ``"float"``: weights alone are stored in codes.
    symmetric : bool, optional
        Zero points of activations are 0; by default for TensorRT alone.
    weight : str, optional
        ``"int8"``, or ``"uint8"`` with zero point 128. On x86 without VNNI onnxruntime
        adds the products of two int8 weights in 16 bits, so scales are chosen, for it,
        such that no two are too large together: results are the same everywhere.
        uint8 does without that, and takes twice the time on x86 with VNNI. Also
        ``"int4"``, ``"uint4"``, other widths, held in the next wider type, and float8
        with activations in that or ``"float"``.
    block : int, optional
        So many weights that are summed share a scale, 16 to 256 (TensorRT: 64 or 128,
        its default for int4); with activations ``"float"``. Where the axis that is cut
        has fewer, all weights of a channel do; where a channel has fewer, it stays
        float.
    weight_form : {"qdq", "matmulnbits"}, optional
        The latter has products by blocks of int4 or uint4 done by MatMulNBits,
        onnxruntime's own operator, into which it turns the standard form by itself.
    fake : bool, optional
        Hold floats that are rounded to the numbers of a format, weights as constants
        and activations, where products read them, by standard operators. For formats
        that no runtime holds: `activation` and `weight` may be all of qcore's and block
        formats, ``"mxfp8_e4m3"``, ``"nvfp4"`` …, and `activation` a spec with scales
        that are powers of two. Blocks of activations are scaled by their own values,
        which needs no data.
    weight_method : str, optional
        How ranges of weights are chosen: ``"output"``, so that the output of their
        layer changes least, ``"minmax"``, ``"mse"``, ``"percentile"`` …
    per_channel : bool, optional
        One scale for each output channel of a weight, or one for all.
    op_types, include, exclude, keep_existing
        As in `plan`.
    overrides : mapping, optional
        What single tensors get instead, activations and weights, by name or pattern:
        ``format``, ``symmetric``, ``method`` with its options beside, or ``range``, the
        ends, such as ``{"image": {"range": (0, 1)}}``. The first pattern that fits a
        name holds.
    smooth : bool or float, optional
        Move outliers of the inputs of matrices into the weights, channel by channel:
        so much of them, from 0 to 1, or 0.75 if true. For transformers, which have such
        channels; it takes data.
    recover : {"none", "bias", "gptq", "full"}, optional
        What is done about the errors of rounding, layer by layer, by running the
        quantized model on the data once more: biases take out the mean error, and with
        ``"gptq"`` weights are rounded so that the output of their layer changes least.
        ``"full"``, which is the default with data, is all there is. With ``"none"`` a
        Conv that answers in floats stays float, if the target has no integer one that
        does, unless `include` names it.
    data : data, optional
        What to recover with, where statistics are given.
    samples : int, optional
        How many samples to use, as in `calibrate`.
    memory : int, optional
        Bytes of samples to hold in memory meanwhile; what is more lies on disk.
    checkpoint : path, optional
        A folder for what each layer got when it was recovered: a later run with the
        same model, data and options goes on from there, and gives the same bytes. It
        stays; remove it once the model is saved.
    progress : callable, optional
        As in `calibrate`.
    **options
        Of the method, such as ``percentile=99.9``.

    Raises
    ------
    QuantError
        If model, data or options do not fit, or no operator can compute in 8 bits.
    """
    asked = requested(
        target=target,
        method=method,
        activation=activation,
        symmetric=symmetric,
        weight=weight,
        block=block,
        weight_form=weight_form,
        fake=fake,
        weight_method=weight_method,
        per_channel=per_channel,
        op_types=op_types,
        include=include,
        exclude=exclude,
        overrides=overrides,
        **options,
    )
    formats = asked.formats
    asked.check()
    data = _data_of(statistics_or_data, data)
    has_data = not (data is None or isinstance(data, Mapping))
    level = choose_level(recover, formats, has_data=has_data)
    asked = asked.at(level)
    folder = find_folder(checkpoint, level)
    smooth = checked_smooth(smooth, statistics_or_data)
    prepared = prepare(model, keep_existing=keep_existing, opset=asked.opset)
    plan = asked.plan(prepared)
    # To refuse what cannot be, before data is run.
    foresee(prepared, plan, asked, smooths=smooth is not False)
    with holding(memory) as held:
        source: Mapping[str, Statistics] | Data | Held | None = statistics_or_data
        if data is not None and (level != "none" or smooth is not False):
            hold_samples(held, data, inputs_of(prepared.graph), samples)
            source = held if data is statistics_or_data else source
        if smooth is not False:
            prepared = smooth_layers(prepared, plan, held, smooth, progress)
            plan = asked.plan(prepared)
        statistics = statistics_for(
            prepared, plan, formats, source, samples=samples, progress=progress
        )
        if formats.needs_data:
            plan = asked.plan(prepared, statistics)
        tailored = asked.tailor(prepared, plan)
        original = prepared.clone()
        quantized = rewritten(prepared, plan, formats, statistics, tailored)
        if level != "none":
            recover_layers(
                quantized,
                original,
                held,
                level=level,
                bias_codes=formats.target.bias_codes,
                folder=folder,
                bar=progress is None,
            )
    quantized = loadable(quantized, formats.target)
    if formats.packed:
        quantized = pack_blocks(quantized)
    return to_proto(clean(skip_recoding(encode_constants(quantized))))


def _data_of(
    statistics_or_data: Mapping[str, Statistics] | Data | None, data: Data | None
) -> Data | None:
    """Return what the model can be run on, if anything, from where it was given."""
    if statistics_or_data is None or isinstance(statistics_or_data, Mapping):
        return data
    if data is not None:
        raise QuantError("`data` must come with statistics; got data in both places.")
    return statistics_or_data
