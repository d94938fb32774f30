"""Adjustment of p-values for how many questions were asked."""

from __future__ import annotations

from typing import Any

from integrate.errors import ParameterError, closest

__all__ = ["adjust_p_values", "permutation_q_values"]

METHODS: tuple[str, ...] = ("bh", "by", "bonferroni", "none")


def adjust_p_values(p: Any, *, method: str = "bh") -> Any:
    """Return p-values adjusted within one family.

    Parameters
    ----------
    p
        P-values in any shape; missing ones were not asked and do not count.
    method
        ``"bh"`` (Benjamini–Hochberg false discovery rate), ``"by"`` (Benjamini–Yekutieli, under any dependence),
        ``"bonferroni"`` (family-wise error) or ``"none"``.

    Returns
    -------
    Float array of the same shape, between 0 and 1; missing stays missing.

    Raises
    ------
    ParameterError
        If the method is unknown, or a value is not between 0 and 1.

    Examples
    --------
    >>> adjust_p_values([0.01, 0.02, 0.30, float("nan")]).tolist()
    [0.03, 0.03, 0.3, nan]
    """
    import numpy as np

    if method not in METHODS:
        raise ParameterError(f"no adjustment {method!r}; {closest(method, METHODS)}")
    given = np.asarray(p, dtype=float)
    asked = ~np.isnan(given)
    values = given[asked]
    if ((values < 0) | (values > 1)).any():
        raise ParameterError("p-values lie between 0 and 1")
    adjusted = given.copy()
    adjusted[asked] = np.minimum(values * len(values), 1) if method == "bonferroni" else _step_up(values, method)
    return adjusted


def _step_up(values: Any, method: str) -> Any:
    """Return ``min over j >= i of p_(j) m / j`` in the order given; ``by`` multiplies by the harmonic number of m."""
    import numpy as np

    if method == "none" or not len(values):
        return values
    ranks = np.arange(1, len(values) + 1)
    factor = float(np.sum(1 / ranks)) if method == "by" else 1.0
    order = np.argsort(values, kind="stable")
    scaled = values[order] * (len(values) * factor / ranks)
    smallest = np.minimum.accumulate(scaled[::-1])[::-1]
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(smallest, 1)
    return adjusted


def permutation_q_values(p: Any, null: Any) -> Any:
    """Return the false discovery rate at each p-value: how many are as small when nothing is there, over how many are.

    Parameters
    ----------
    p
        P-values of one family; missing ones stay missing.
    null
        (permutations, tests) p-values of the same tests after the units of one side were shuffled.

    Returns
    -------
    Between 0 and 1, not falling with p.

    Examples
    --------
    >>> permutation_q_values([0.01, 0.5], [[0.2, 0.6], [0.9, 0.4]]).tolist()
    [0.0, 0.5]
    """
    import numpy as np

    given = np.asarray(p, dtype=float)
    shuffled = np.asarray(null, dtype=float)
    asked = ~np.isnan(given)
    values = given[asked]
    order = np.argsort(values, kind="stable")
    flat = np.sort(shuffled[~np.isnan(shuffled)])
    expected = np.searchsorted(flat, values[order] * (1 + 1e-9), side="right") / len(shuffled)
    found = np.searchsorted(values[order], values[order], side="right")
    rate = np.minimum.accumulate((expected / found)[::-1])[::-1]
    q = np.full(given.shape, np.nan)
    places = np.flatnonzero(asked)
    q[places[order]] = np.minimum(rate, 1)
    return q
