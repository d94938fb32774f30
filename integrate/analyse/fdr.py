"""Adjustment of p-values for how many questions were asked."""

from __future__ import annotations

from typing import Any

from integrate.errors import ParameterError, closest

__all__ = ["adjust_p_values"]

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
