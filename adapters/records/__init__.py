"""The files in which other toolkits keep what they decided: scales, offsets, ranges.

>>> from qcore.adapters import records
>>> tensors = records.read("calibration.cache")  # doctest: +SKIP
>>> records.write("scales.encodings", tensors)  # doctest: +SKIP
"""

from qcore.adapters.records.record_files import read, write

__all__ = ["read", "write"]
