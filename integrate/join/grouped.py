"""Statistics of groups of rows that leave missing values out and count what is left."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

__all__ = ["grouped_count", "grouped_mean", "grouped_quantile"]

#: Columns of a sparse matrix that are made dense at a time.
BLOCK = 2048


def grouped_count(values: Any, codes: Any, n_groups: int) -> Any:
    """Return how many rows of each group have a value, (groups, columns)."""
    import numpy as np

    behind = _sum_observed(_one_hot(codes, n_groups), values, np.ones((len(codes), 1)))
    return np.rint(behind).astype(np.int64)


def grouped_mean(values: Any, codes: Any, n_groups: int, *, weights: Any = None, n: Any = None) -> tuple[Any, Any]:
    """Return the (weighted) mean of each group and column, and how many source rows stand behind it.

    Parameters
    ----------
    values
        (rows, columns) float array, or a SciPy sparse matrix whose empty places are zeros.
    codes
        Group of each row, 0 to ``n_groups - 1``.
    n_groups
        Number of groups; a group may have no row.
    weights
        (rows, 1) or (rows, columns), finite and not negative; ``None`` weighs rows equally.
    n
        (rows, columns) count of source rows behind each value; ``None`` when a row is a source row.

    Returns
    -------
    Two (groups, columns) arrays: the mean, NaN where nothing was observed, and the count, 0 there.

    Examples
    --------
    >>> import numpy as np
    >>> grouped_mean(np.array([[1.0], [3.0], [np.nan]]), np.array([0, 0, 1]), 2)[0].ravel().tolist()
    [2.0, nan]
    """
    import numpy as np

    sums = _one_hot(codes, n_groups)
    ones = np.ones((len(codes), 1))
    by = ones if weights is None else weights
    total = _dense(sums @ _times(_filled(values), by))
    weight = _sum_observed(sums, values, by)
    behind = _sum_observed(sums, values, ones if n is None else n)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where((weight > 0) & (behind > 0), total / weight, np.nan)
    return mean, np.rint(behind).astype(np.int64)


def grouped_quantile(values: Any, codes: Any, n_groups: int, *, q: float, n: Any = None) -> tuple[Any, Any]:
    """Return a quantile of each group and column, linear between neighbours, and how many source rows stand behind it.

    Parameters and result are those of `grouped_mean`; `q` lies between 0 and 1.
    """
    import numpy as np

    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(n_groups + 1))
    rows = values.tocsr() if hasattr(values, "tocsr") else values
    result = np.full((n_groups, values.shape[1]), np.nan)
    for group, (start, stop) in enumerate(pairwise(bounds)):
        part = rows[order[start:stop]]
        for left in range(0, values.shape[1], BLOCK):
            result[group, left : left + BLOCK] = _quantile(_dense(part[:, left : left + BLOCK]), q)
    behind = _sum_observed(_one_hot(codes, n_groups), values, np.ones((len(codes), 1)) if n is None else n)
    return result, np.rint(behind).astype(np.int64)


def _quantile(values: Any, q: float) -> Any:
    """Return the quantile of each column of a dense array; sorting puts missing values last."""
    import numpy as np

    if not len(values):
        return np.nan
    ordered = np.sort(values, axis=0)
    n = np.count_nonzero(~np.isnan(values), axis=0)
    place = q * np.maximum(n - 1, 0)
    low = np.floor(place).astype(int)
    high = np.ceil(place).astype(int)
    below, above = (np.take_along_axis(ordered, i[np.newaxis], axis=0)[0] for i in (low, high))
    with np.errstate(invalid="ignore"):
        between = below + (above - below) * (place - low)
    return np.where(n == 0, np.nan, np.where(high == low, below, between))


def _one_hot(codes: Any, n_groups: int) -> Any:
    import numpy as np
    from scipy import sparse

    ones = np.ones(len(codes))
    return sparse.csr_matrix((ones, (codes, np.arange(len(codes)))), shape=(n_groups, len(codes)))


def _sum_observed(sums: Any, values: Any, by: Any) -> Any:
    """Return the sum of `by` over the rows of each group whose value is not missing."""
    import numpy as np

    if not hasattr(values, "tocsr"):
        return _dense(sums @ (~np.isnan(values) * by))
    gaps = values.tocsr(copy=True)
    gaps.data = np.isnan(gaps.data).astype(float)
    gaps.eliminate_zeros()
    whole = np.broadcast_to(_dense(sums @ by), (sums.shape[0], values.shape[1]))
    return whole - _dense(sums @ _times(gaps, by))


def _filled(values: Any) -> Any:
    import numpy as np

    if not hasattr(values, "tocsr"):
        return np.where(np.isnan(values), 0.0, values)
    filled = values.tocsr(copy=True).astype(float)
    filled.data = np.where(np.isnan(filled.data), 0.0, filled.data)
    return filled


def _times(values: Any, weights: Any) -> Any:
    return values.multiply(weights).tocsr() if hasattr(values, "multiply") else values * weights


def _dense(values: Any) -> Any:
    import numpy as np

    return values.toarray() if hasattr(values, "toarray") else np.asarray(values)
