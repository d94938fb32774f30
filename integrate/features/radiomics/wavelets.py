"""Coefficients of separable wavelets, computed from their definitions."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["decompose"]


@lru_cache(maxsize=32)
def decompose(family: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the low-pass and the high-pass filter of a decomposition.

    Parameters
    ----------
    family
        ``"haar"``, ``"db1"`` … ``"db10"`` or ``"coif1"``.

    Examples
    --------
    >>> low, high = decompose("haar")
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([0.7071, 0.7071], [-0.7071, 0.7071])
    """
    import numpy as np

    if family == "coif1":
        root = math.sqrt(7)
        scaling = np.array([1 - root, 5 + root, 14 + 2 * root, 14 - 2 * root, 1 - root, root - 3]) / (16 * math.sqrt(2))
    else:
        scaling = _daubechies(1 if family == "haar" else int(family.removeprefix("db")))
    high = scaling * (-1.0) ** (np.arange(len(scaling)) + 1)
    return scaling[::-1].copy(), high


def _daubechies(moments: int) -> np.ndarray[Any, Any]:
    """Return the scaling filter of so many vanishing moments, of the roots inside the unit circle (Daubechies 1992)."""
    import numpy as np

    binomials = [math.comb(moments - 1 + k, k) for k in range(moments)]
    polynomial = np.poly(np.full(moments, -1.0))
    for y in np.roots(binomials[::-1]):
        pair = np.roots([1, 4 * y - 2, 1])
        polynomial = np.convolve(polynomial, [1, -pair[np.abs(pair).argmin()]])
    scaling = polynomial.real
    return scaling * (math.sqrt(2) / scaling.sum())
