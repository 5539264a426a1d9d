"""Run kernels with a thread of the system for each of theirs, for one test."""

import numpy as np

from qcore import parse_format
from qcore.backends.cuda import candidates, entropy, gradient, regrid, search, tally
from tests.backends.cuda.cases import (
    gradient_case,
    regrid_cases,
    rounding_cases,
    tally_case,
)
from tests.backends.cuda.emulator import FLAGS, Emulator
from tests.backends.hard import assert_same_bits, rows

THREADED = (*FLAGS, "-DTHREADS_SHIM", "-fsanitize=thread")


def main(*flags):
    for module in (tally, gradient, candidates, search):
        module.THREADS = 64
    candidates.SCANNED = 64
    gradient.SHARED, gradient.LONG = 16, 200
    device = Emulator(flags=(*THREADED, *flags))
    for k in (None, [-9, 100, -126]):
        case = tally_case(rows(3, 2003), 64, k)
        compare(tally.tally(device, *case.given), case.expected, flags)
    if flags:  # compiling takes most of the time, and one race is enough to find
        return
    for slots, weights in ((2**17, False), (64, True)):  # in global memory
        case = tally_case(rows(3, 503), slots, [-9, 100, -126], True, weights)
        compare(tally.tally(device, *case.given), case.expected, flags)
    case = regrid_cases()["64 slots, some widened"]
    compare(regrid.regrid(device, *case.given), case.expected, flags)
    for launcher, *given in searches():
        found = launcher(device, *given)
        compare([found], [launcher(Emulator(), *given)], flags)
    case = gradient_case(rounding_cases()["long middle-float32-int8"])
    found = gradient.fake_quantize_gradient(device, *case.given)
    compare(found[:1], case.expected[:1], flags)


def searches():
    """Yield launchers of kernels whose threads share memory, and their arguments."""
    counts = np.random.default_rng(0).integers(0, 99, (2, 2, 200))
    steps, allowed = np.linspace(0.1, 20, 300)[None], np.ones((2, 300), np.bool_)
    yield search.search_symmetric, counts, steps, allowed, parse_format("int4")
    yield search.search_affine, counts, steps, allowed, 15
    last, cells = np.arange(2, 201)[None], tuple(k / 16 for k in range(17))
    given = counts[:, 0].copy(), np.zeros_like(last), last, np.ones((2, 199), np.bool_)
    yield (entropy.merged_information, *given, cells)


def compare(found, expected, flags):
    if not flags:
        for pair in zip(found, expected, strict=True):
            assert_same_bits(*pair)
