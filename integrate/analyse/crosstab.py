"""Association of two categorical variables."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Crosstab", "compare_categories"]


class Crosstab(NamedTuple):
    """Result of one pair: Cramér's V, the p-value, the counts and whether every expected count is at least 5."""

    effect: float
    p: float
    counts: Any
    well_filled: bool


def compare_categories(x: Any, y: Any, *, method: str) -> Crosstab:
    """Return the association of two categorical variables.

    Parameters
    ----------
    x, y
        Positions of the categories of each observation; none is missing.
    method
        ``"chi2"``, ``"fisher"`` (two by two), or ``"auto"``: Fisher's exact test for two by two, else chi-squared.

    Returns
    -------
    `Crosstab`; effect and p are NaN when a variable has one category only. Cramér's V is without continuity or bias
    correction, 0 to 1; chi-squared is without continuity correction.
    """
    import numpy as np
    from scipy import stats

    counts = np.zeros((x.max(initial=-1) + 1, y.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(counts, (x, y), 1)
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    if min(counts.shape) < 2:
        return Crosstab(np.nan, np.nan, counts, False)
    chi2, p, _, expected = stats.chi2_contingency(counts, correction=False)
    effect = float(np.sqrt(chi2 / (counts.sum() * (min(counts.shape) - 1))))
    if method != "chi2" and counts.shape == (2, 2):
        p = stats.fisher_exact(counts)[1]
    return Crosstab(effect, float(p), counts, bool((expected >= 5).all()))
