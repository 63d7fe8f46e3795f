"""Verdicts on claims from a few seeds.

How a verdict is reached. A claim says that some quantity, such as the difference of two means over categories, lies
above or below a bound. The quantity is measured once for each seed, always as a paired difference (same categories,
same seed). From these numbers comes a 95 % interval for their mean, Student's with n - 1 degrees of freedom:

* ``holds``: the whole interval lies on the claimed side of the bound;
* ``does not hold``: the whole interval lies on the other side;
* ``cannot be told``: the bound is inside it, or there is one seed (then the spread is unknown), or records are missing.

A claim of several parts holds if all parts hold, and does not hold if one does not. Categories are not sampled:
they are the data set. Timings have no seed; there a factor of 1.1 between two speeds, and 1.5 between a
speed and a bound, counts as a difference. What is counted rather than estimated (receptive fields, sizes) needs no interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot be told"
_CONFIDENCE = 0.95
#: Of two timings; of a timing and a bound: nobody repeated them.
FASTER, CLEARLY = 1.1, 1.5


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean over seeds and the ends of its 95 % interval; infinite ends for a single seed."""
    array = np.asarray(values, float)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, -np.inf, np.inf
    half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return mean, mean - half, mean + half


def above(values: Sequence[float], bound: float = 0.0) -> str:
    """Verdict on "lies above the bound", from one number a seed."""
    _, low, high = interval(values)
    return HOLDS if low > bound else FAILS if high < bound else UNKNOWN


def below(values: Sequence[float], bound: float = 0.0) -> str:
    """Verdict on "lies below the bound"."""
    return above([-value for value in values], -bound)


def every(verdicts: Sequence[str]) -> str:
    """Verdict on a claim of several parts."""
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and all(v == HOLDS for v in verdicts) else UNKNOWN


def timed(speed: float, bound: float) -> str:
    """Verdict on "is at least as fast", from single timings."""
    return HOLDS if speed >= bound * CLEARLY else FAILS if speed * CLEARLY <= bound else UNKNOWN
