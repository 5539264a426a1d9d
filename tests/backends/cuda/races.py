"""Run kernels with a thread of the system for each of theirs, for one test."""

from qcore.backends.cuda import gradient, regrid, tally
from tests.backends.cuda.cases import (
    assert_same_bits,
    gradient_case,
    regrid_cases,
    rounding_cases,
    rows,
    tally_case,
)
from tests.backends.cuda.emulator import FLAGS, Emulator

THREADED = (*FLAGS, "-DTHREADS_SHIM", "-fsanitize=thread")


def main(*flags):
    tally.THREADS = gradient.THREADS = 64
    gradient.SHARED, gradient.LONG = 16, 200
    device = Emulator(flags=(*THREADED, *flags))
    for k in (None, [-9, 100, -126]):
        case = tally_case(rows(3, 2003), 64, k)
        compare(tally.tally(device, *case.given), case.expected, flags)
    for slots, weights in ((2**17, False), (64, True)):  # in global memory
        case = tally_case(rows(3, 503), slots, [-9, 100, -126], True, weights)
        compare(tally.tally(device, *case.given), case.expected, flags)
    case = regrid_cases()["64 slots, some widened"]
    compare(regrid.regrid(device, *case.given), case.expected, flags)
    case = gradient_case(rounding_cases()["long middle-float32-int8"])
    found = gradient.fake_quantize_gradient(device, *case.given)
    compare(found[:1], case.expected[:1], flags)


def compare(found, expected, flags):
    if not flags:
        for pair in zip(found, expected, strict=True):
            assert_same_bits(*pair)
