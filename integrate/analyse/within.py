"""Comparison of many numeric variables between groups, by ranks, within strata or with covariates taken out."""

from __future__ import annotations

from typing import Any

from integrate.analyse.compare import Comparisons, area_limits
from integrate.analyse.correlate import covariates_of, patterns, prepared, residual

__all__ = ["compare_adjusted", "compare_in_strata"]


def compare_in_strata(values: Any, codes: Any, n_groups: int, strata: Any, *, alternative: str) -> Comparisons:
    """Return van Elteren's test of each column between two groups, or its extension to more.

    Parameters
    ----------
    values
        (observations, variables) floats, NaN where missing.
    codes
        Group of each observation, 0 to ``n_groups - 1``.
    n_groups
        Number of groups.
    strata
        Stratum of each observation.
    alternative
        Of two groups: ``"two-sided"``, ``"greater"`` (the first is larger) or ``"less"``.

    Notes
    -----
    Ranks are taken within each stratum and divided by its size + 1 (van Elteren 1960); the statistic is that of
    Cochran, Mantel and Haenszel for row mean scores, with the variance over all orders within strata, so ties are
    corrected for. With one stratum it is the test of Kruskal and Wallis. The effect of two groups is the rank-biserial
    correlation, averaged over strata by the test's own weights, with Newcombe's limits for one common value; of more,
    epsilon².
    """
    import numpy as np
    from scipy import stats

    known = ~np.isnan(values)
    member = np.eye(n_groups)[codes].T
    sums = np.zeros((values.shape[1], n_groups))
    spread = np.zeros((values.shape[1], n_groups, n_groups))
    parts = []
    for layer in np.unique(strata):
        rows = np.flatnonzero(strata == layer)
        counts = (member[:, rows] @ known[rows]).T
        n = counts.sum(axis=1)
        ranks = stats.rankdata(values[rows], axis=0, nan_policy="omit") if values.size else values[rows]
        scores = np.where(known[rows], ranks / (n + 1) - 0.5, 0)
        here = (member[:, rows] @ scores).T
        variance = (scores**2).sum(axis=0) / np.maximum(n - 1, 1)
        share = counts[:, :, None] * (np.eye(n_groups) - counts[:, None, :] / np.maximum(n, 1)[:, None, None])
        sums, spread = sums + here, spread + variance[:, None, None] * share
        parts.append((counts, here))
    counts = sum(part for part, _ in parts)
    if n_groups == 2:
        return _of_two(parts, sums[:, 0], spread[:, 0, 0], counts, alternative)
    statistic, freedom = _quadratic(sums, spread)
    left = counts.sum(axis=1) - sum((part.sum(axis=1) > 0) for part, _ in parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = np.where(freedom > 0, statistic / left, np.nan)
    p = np.where(freedom > 0, stats.chi2.sf(statistic, np.maximum(freedom, 1)), np.nan)
    nothing = np.full(len(p), np.nan)
    return Comparisons(effect, nothing, nothing, p, counts.astype(np.int64), np.zeros(len(p), dtype=bool))


def _of_two(parts: Any, total: Any, variance: Any, counts: Any, alternative: str) -> Comparisons:
    """Return the comparison of two groups from what each stratum adds to the first group's sum of scores."""
    import numpy as np

    sizes = [(each[:, 0], each[:, 1]) for each, _ in parts]
    weights = np.stack([first * second / (first + second + 1) for first, second in sizes])
    with np.errstate(invalid="ignore", divide="ignore"):
        # within a stratum the sum of scores is weight × (area - 1/2)
        area = np.where(variance > 0, 0.5 + total / weights.sum(axis=0), np.nan)
        z = np.where(variance > 0, total / np.sqrt(variance), np.nan)
        low, high = area_limits(area, sizes, weights)
    p = _tail(z, alternative)
    exact = np.zeros(len(p), dtype=bool)
    return Comparisons(2 * area - 1, 2 * low - 1, 2 * high - 1, p, counts.astype(np.int64), exact)


def _tail(z: Any, alternative: str) -> Any:
    import numpy as np
    from scipy import stats

    return (
        2 * stats.norm.sf(np.abs(z))
        if alternative == "two-sided"
        else stats.norm.sf(z if alternative == "greater" else -z)
    )


def _quadratic(sums: Any, spread: Any) -> tuple[Any, Any]:
    """Return the chi-squared statistic of each column and its degrees of freedom."""
    import numpy as np

    scale = np.sqrt(np.maximum(np.einsum("cgg->cg", spread), 1e-300))
    standard = spread / (scale[:, :, None] * scale[:, None, :])
    roots, axes = np.linalg.eigh(standard)
    counted = roots > 1e-9
    along = np.einsum("cgk,cg->ck", axes, sums / scale)
    statistic = np.where(counted, along**2 / np.where(counted, roots, 1), 0).sum(axis=1)
    present = np.einsum("cgg->cg", spread) > 0
    return statistic, np.where(present.sum(axis=1) > 1, counted.sum(axis=1), 0)


def compare_adjusted(
    values: Any, codes: Any, n_groups: int, adjust: Any, strata: Any, *, alternative: str
) -> Comparisons:
    """Return Quade's rank analysis of covariance of each column.

    Parameters
    ----------
    values, codes, n_groups, alternative
        As for `compare_in_strata`.
    adjust
        (observations, covariates) floats without missing values.
    strata
        Stratum of each observation, or ``None``; then ranks are those within the stratum.

    Notes
    -----
    Quade (1967): ranks of the variable are regressed on ranks of the covariates (and on the strata), and what is left
    is compared by the F test of a one-way analysis of variance. The effect of two groups is the rank-biserial
    correlation of what is left, with Newcombe's limits; of more, eta².
    """
    import numpy as np

    size = values.shape[1]
    effect, low, high, p = (np.full(size, np.nan) for _ in range(4))
    counts = np.zeros((size, n_groups), dtype=np.int64)
    member = np.eye(n_groups)[codes]
    for known, columns in patterns(values):
        rows = np.flatnonzero(known)
        sizes = member[rows].sum(axis=0)
        counts[columns] = sizes
        present = sizes > 0
        if present.sum() < 2 or len(rows) <= present.sum():
            continue
        layers = None if strata is None else strata[rows]
        ranks = prepared(values[np.ix_(rows, columns)], "spearman", layers)
        left = residual(ranks, covariates_of(adjust, rows, "spearman", layers))
        effect[columns], p[columns] = _variance_ratio(left, member[rows][:, present])
        if n_groups == 2:
            area, p[columns] = _signed(left, member[rows], p[columns], effect[columns], alternative)
            limits = area_limits(area, [tuple(sizes)], np.ones((1, len(columns))))
            effect[columns], low[columns], high[columns] = 2 * area - 1, 2 * limits[0] - 1, 2 * limits[1] - 1
    return Comparisons(effect, low, high, p, counts, np.zeros(size, dtype=bool))


def _variance_ratio(left: Any, member: Any) -> tuple[Any, Any]:
    """Return eta² and the p of the F test of each column between groups."""
    import numpy as np
    from scipy import stats

    n, k = member.shape
    centred = left - left.mean(axis=0)
    total = (centred**2).sum(axis=0)
    between = ((member.T @ centred) ** 2 / member.sum(axis=0)[:, None]).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(total > 0, between / total, np.nan)
        ratio = (share / (k - 1)) / ((1 - share) / (n - k))
    return share, np.where(np.isnan(share), np.nan, stats.f.sf(ratio, k - 1, n - k))


def _signed(left: Any, member: Any, p: Any, share: Any, alternative: str) -> tuple[Any, Any]:
    """Return P(first > second) + P(equal) / 2 of what is left, and p in the direction asked."""
    import numpy as np
    from scipy import stats

    first, second = (member[:, g].sum() for g in (0, 1))
    ranks = stats.rankdata(np.round(left, 12), axis=0)  # residuals of tied values differ in their last digit
    area = (ranks[member[:, 0] > 0].sum(axis=0) - first * (first + 1) / 2) / (first * second)
    if alternative != "two-sided":
        higher = left[member[:, 0] > 0].mean(axis=0) > left[member[:, 1] > 0].mean(axis=0)
        p = np.where(higher == (alternative == "greater"), p / 2, 1 - p / 2)
    return np.where(np.isnan(share), np.nan, area), p
