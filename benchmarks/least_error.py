"""The least squared error that any scale and zero point can have, by brute force.

Nothing here comes from qcore: codes are the values a format has, an error is that of
the samples themselves. Samples are sorted and summed up once, so that an error costs a
search for each code and not a pass over the samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

OCTAVES = 2.2
"""How far float formats are searched, times the largest magnitude: the spacing of their
codes repeats in every octave, so that saturation alone does not decide."""

WINDOWS = 9
"""Places at which a range is tried, where there are too many zero points to try all."""
STARTS = 3
"""How many of the best candidates are refined; each has a valley of its own."""
ROUNDS = 14
"""Of halving the distance between candidates: to about a millionth."""
BLOCK = 1 << 20


def gaussian(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal(n, dtype=np.float32)


def laplace(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.laplace(size=n).astype(np.float32)


def relu_outliers(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return ReLU outputs of which one in ten thousand is 16 times as large."""
    x = np.maximum(rng.standard_normal(n, dtype=np.float32), 0)
    x[rng.random(n) < 1e-4] *= 16
    return x


def student(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_t(3, size=n).astype(np.float32)


def bimodal(rng: np.random.Generator, n: int) -> np.ndarray:
    is_low = rng.random(n) < 0.5
    x = np.where(is_low, rng.normal(-3, 0.5, n), rng.normal(2, 1, n))
    return x.astype(np.float32)


def uniform(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(-1, 1, n).astype(np.float32)


DATA: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "gaussian": gaussian,
    "laplace": laplace,
    "relu, outliers": relu_outliers,
    "student-t (3)": student,
    "bimodal": bimodal,
    "uniform": uniform,
}


@dataclass(frozen=True)
class Candidate:
    """A scale and a zero point with the error they have."""

    error: float
    scale: float
    zero_point: float


class Samples:
    """Samples, sorted, with what any squared error needs of them."""

    def __init__(self, x: np.ndarray) -> None:
        self.sorted = np.sort(x.astype(np.float64), axis=None)
        # An error is a small difference of large sums, and a running sum gathers the
        # rounding of all its terms: 64 bits of mantissa where the machine has them.
        running = np.cumsum(self.sorted, dtype=np.longdouble).astype(np.float64)
        self.sums = np.concatenate([[0.0], running])
        self.squares = np.sum(self.sorted**2)
        self.low = min(self.sorted[0], 0.0)
        self.high = max(self.sorted[-1], 0.0)

    def error(self, codes: np.ndarray, scale: float, zero_point: float) -> float:
        """Return the mean squared error with each sample at its nearest code."""
        return float(self.errors(codes, np.array([scale]), np.array([zero_point]))[0])

    def errors(
        self, codes: np.ndarray, scales: np.ndarray, zero_points: np.ndarray
    ) -> np.ndarray:
        """Return the errors of ascending `codes` with each scale and zero point."""
        size = max(1, BLOCK // len(codes))
        blocks = [
            self._errors((codes - z[:, None]) * s[:, None])
            for s, z in zip(_blocks(scales, size), _blocks(zero_points, size), strict=1)
        ]
        return np.concatenate(blocks)

    def _errors(self, reals: np.ndarray) -> np.ndarray:
        n = len(self.sorted)
        cuts = (reals[:, 1:] + reals[:, :-1]) / 2
        ends = np.searchsorted(self.sorted, cuts)
        ends = np.pad(ends, ((0, 0), (1, 1)), constant_values=((0, 0), (0, n)))
        counts = np.diff(ends, axis=1)
        sums = np.diff(self.sums[ends], axis=1)
        total = self.squares + np.sum(reals * (reals * counts - 2 * sums), axis=1)
        return total / n


def _blocks(x: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (x[i : i + size] for i in range(0, len(x), size))


def least_symmetric(
    samples: Samples, codes: np.ndarray, amax_code: float, *, reach: float = 1.05
) -> Candidate:
    """Return the best scale with zero point 0.

    `amax_code` is the code that amax is mapped to; `reach` is how far amax is searched,
    times the largest magnitude.
    """
    widest = max(-samples.low, samples.high) / amax_code
    candidates = 512 if len(codes) <= 256 else 80
    fractions = np.append(np.geomspace(0.005, reach, candidates), 1.0)
    scales = widest * fractions
    return _best(samples, codes, scales, np.zeros_like(scales), 0.0)


def least_asymmetric(samples: Samples, codes: np.ndarray) -> Candidate:
    """Return the best scale and zero point of integer codes."""
    steps, first = codes[-1] - codes[0], codes[0]
    width = samples.high - samples.low
    scales = width / steps * np.geomspace(0.02, 1.1, 128 if steps < 256 else 32)
    if steps < 256:
        zero_points = np.broadcast_to(codes, (len(scales), len(codes)))
        spacing = 1.0
    else:  # windows from one that begins at the smallest value to the largest's
        ends = (-samples.low / scales, steps - samples.high / scales)
        offsets = np.linspace(*ends, WINDOWS, axis=1)
        zero_points = first + np.round(np.clip(offsets, 0, steps))
        spacing = steps / WINDOWS
    scales = np.broadcast_to(scales[:, None], zero_points.shape)
    return _best(samples, codes, scales.ravel(), zero_points.ravel(), spacing)


def _best(
    samples: Samples,
    codes: np.ndarray,
    scales: np.ndarray,
    zero_points: np.ndarray,
    spacing: float,
) -> Candidate:
    """Return the best of all candidates and of those between the best of them."""
    errors = samples.errors(codes, scales, zero_points)
    found = []
    for start in np.argsort(errors)[:STARTS]:
        best = Candidate(*(x[start].item() for x in (errors, scales, zero_points)))
        found.append(_refined(samples, codes, best, spacing))
    return min(found, key=lambda candidate: candidate.error)


def _refined(
    samples: Samples, codes: np.ndarray, best: Candidate, spacing: float
) -> Candidate:
    """Return the best candidate near one, looking ever closer around the best yet."""
    width = 0.15  # relative, more than what lies between candidates
    for _ in range(ROUNDS):
        near = best.zero_point + np.round(spacing * np.linspace(-1, 1, 5))
        zero_points = np.unique(np.clip(near, codes[0], codes[-1]) if spacing else near)
        scales = best.scale * (1 + width * np.linspace(-1, 1, 9))
        s, z = (x.ravel() for x in np.meshgrid(scales, zero_points))
        errors = samples.errors(codes, s, z)
        i = np.argmin(errors)
        if errors[i] < best.error:
            best = Candidate(*(x[i].item() for x in (errors, s, z)))
        width /= 2
        spacing = max(spacing / 2, 1.0) if spacing else 0.0
    return best
