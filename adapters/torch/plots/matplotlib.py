"""Bars by Matplotlib; no window, no state of `pyplot`."""

import os
from collections.abc import Mapping
from math import isfinite

from matplotlib.figure import Figure

from qcore.adapters.given_path import path_to_write
from qcore.files import written_atomically

_INCHES = 8.0, 1.2, 0.22
"""Width; height of what is around the bars, and of one bar."""


def plot_bars(
    path: str | os.PathLike[str],
    values: Mapping[str, float],
    /,
    *,
    label: str,
    reference: tuple[str, float],
) -> None:
    """
    Write a picture of bars, the first on top.

    Parameters
    ----------
    path : path
        Its suffix names the format, such as ``.png``, which it is without, or ``.svg``.
    values : mapping
        Name of each bar to its length; what is not finite is written instead.
    label : str
        Of the axis.
    reference : (str, float)
        Name and place of a line to compare with, left out if not finite.
    """
    target = path_to_write(path)
    width, around, each = _INCHES
    figure = Figure((width, around + each * len(values)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(values))
    lengths = [x if isfinite(x) else 0.0 for x in values.values()]
    bars = axes.barh(places, lengths, color="tab:blue")
    axes.bar_label(bars, [f"{x:.4g}" for x in values.values()], padding=2)
    axes.set_yticks(places, [_plain(name) for name in values])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(_plain(label))
    name, place = reference
    if isfinite(place):
        axes.axvline(place, color="tab:red", linewidth=1, label=name)
        figure.legend(loc="outside upper right", frameon=False)
    with written_atomically(target) as file:
        figure.savefig(file, format=target.suffix[1:] or "png")


def _plain(text: str) -> str:
    """Return text in which dollars are no mathematics."""
    return text.replace("$", r"\$")
