"""The mean over slices and directions, of those that have a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["mean_of"]


def mean_of(features: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return the mean of every feature over the matrices for which it is defined; NaN where it is for none.

    Examples
    --------
    >>> import numpy as np
    >>> mean_of([np.array([1.0, np.nan]), np.array([3.0, np.nan])]).tolist()
    [2.0, nan]
    """
    import numpy as np

    values = np.stack(features)
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0).sum(axis=0)
    count = defined.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
