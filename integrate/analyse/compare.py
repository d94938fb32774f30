"""Comparison of many numeric variables between groups, by ranks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from integrate.analyse.results import Z_95

__all__ = ["Comparisons", "area_limits", "compare_groups", "compare_two_groups"]

#: Two groups without ties are compared exactly when both together have at most this many observations (as in R) ...
EXACT_TOTAL = 50
#: ... or the smaller at most this many (as in SciPy); with ties when both hold, since every variable has its own ranks.
EXACT_SMALLER = 8


class Comparisons(NamedTuple):
    """Results per variable.

    Parameters
    ----------
    effect, ci_low, ci_high, p
        Effect size, its 95 % confidence limits (NaN for more than two groups) and the p-value.
    counts
        (variables, groups) observations.
    exact
        Whether `p` is exact.
    """

    effect: Any
    ci_low: Any
    ci_high: Any
    p: Any
    counts: Any
    exact: Any


def compare_groups(values: Any, codes: Any, n_groups: int) -> Comparisons:
    """Return the Kruskal–Wallis test of each column, with epsilon² as effect size.

    Parameters
    ----------
    values
        (observations, variables) floats, NaN where missing.
    codes
        Group of each observation.
    n_groups
        Number of groups; those in which a variable was not observed do not count for it.

    Notes
    -----
    H is corrected for ties. Epsilon² = H / (n - 1) is the share of the variance of ranks between groups, 0 to 1.
    The p-value is of chi-squared with (observed groups - 1) degrees of freedom.
    """
    import numpy as np
    from scipy import stats

    ranks, known = _ranks(values)
    member = np.eye(n_groups)[codes].T
    counts = member @ known
    n = counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (n + 1) / 2
        total = np.where(known, (ranks - centre) ** 2, 0).sum(axis=0)
        means = np.where(counts > 0, (member @ np.where(known, ranks, 0)) / counts, centre)
        between = (counts * (means - centre) ** 2).sum(axis=0)
        effect = np.where((total > 0) & (counts.max(axis=0) > 1), between / total, np.nan)
    freedom = (counts > 0).sum(axis=0) - 1
    effect = np.where(freedom > 0, effect, np.nan)
    p = np.where(np.isnan(effect), np.nan, stats.chi2.sf(effect * (n - 1), np.maximum(freedom, 1)))
    nothing = np.full(len(n), np.nan)
    return Comparisons(effect, nothing, nothing, p, counts.T.astype(np.int64), np.zeros(len(n), dtype=bool))


def compare_two_groups(values: Any, first: Any, *, alternative: str) -> Comparisons:
    """Return the Mann–Whitney test of each column, with the rank-biserial correlation as effect size.

    Parameters
    ----------
    values
        (observations, variables) floats, NaN where missing.
    first
        Whether each observation belongs to the first group.
    alternative
        ``"two-sided"``, ``"greater"`` (the first group has larger values) or ``"less"``.

    Notes
    -----
    The effect is P(first > second) - P(first < second), -1 to 1. Its confidence limits are Newcombe's (2006, method 5),
    which do not shrink to nothing when the groups are apart. The p-value is exact when both groups have at most 50
    observations together or the smaller at most 8 (with ties: when both hold), else of the normal approximation,
    corrected for ties and continuity.
    """
    import numpy as np

    ranks, known = _ranks(values)
    n_first, n_second = known[first].sum(axis=0), known[~first].sum(axis=0)
    rank_sum = np.where(known, ranks, 0)[first].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (rank_sum - n_first * (n_first + 1) / 2) / (n_first * n_second)
    spread = np.where(known, (ranks - (n_first + n_second + 1) / 2) ** 2, 0).sum(axis=0)
    area = np.where(spread > 0, area, np.nan)
    p = _normal_p(area, n_first, n_second, spread, alternative)
    exact = _can_be_exact(ranks, known, n_first, n_second) & ~np.isnan(area)
    for column in np.flatnonzero(exact):
        p[column] = _exact_p(ranks[known[:, column], column], rank_sum[column], int(n_first[column]), alternative)
    low, high = area_limits(area, [(n_first, n_second)], np.ones((1, len(area))))
    counts = np.stack([n_first, n_second], axis=1)
    return Comparisons(2 * area - 1, 2 * low - 1, 2 * high - 1, p, counts, exact)


def _ranks(values: Any) -> tuple[Any, Any]:
    """Return ranks within each column, NaN where missing, and where values are known."""
    import numpy as np
    from scipy import stats

    known = ~np.isnan(values)
    if known.all() or not values.size:
        return stats.rankdata(values, axis=0) if values.size else values, known
    return stats.rankdata(values, axis=0, nan_policy="omit"), known


def _normal_p(area: Any, n_first: Any, n_second: Any, spread: Any, alternative: str) -> Any:
    """Return p of the normal approximation; the variance of the ranks themselves is the correction for ties."""
    import numpy as np
    from scipy import stats

    n = n_first + n_second
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = (area - 0.5) * n_first * n_second
        sd = np.sqrt(n_first * n_second * spread / (n * (n - 1)))
        if alternative == "two-sided":
            return np.minimum(2 * stats.norm.sf((np.abs(deviation) - 0.5) / sd), 1)
        return stats.norm.sf(((deviation if alternative == "greater" else -deviation) - 0.5) / sd)


def _can_be_exact(ranks: Any, known: Any, n_first: Any, n_second: Any) -> Any:
    import numpy as np

    small, few = np.minimum(n_first, n_second) <= EXACT_SMALLER, n_first + n_second <= EXACT_TOTAL
    ordered = np.sort(np.where(known, ranks, np.inf), axis=0)
    with np.errstate(invalid="ignore"):
        tied = (np.diff(ordered, axis=0) == 0).any(axis=0)
    return np.where(tied, small & few, small | few)


def _exact_p(ranks: Any, rank_sum: float, n_first: int, alternative: str) -> float:
    """Return p from every way to choose which observations are the first group."""
    doubled = tuple(sorted(round(2 * rank) for rank in ranks))
    smaller = min(n_first, len(doubled) - n_first)
    observed = round(2 * rank_sum) if smaller == n_first else sum(doubled) - round(2 * rank_sum)
    at_most, at_least = _tails(doubled, smaller)
    greater, less = at_least[observed], at_most[observed]
    if smaller != n_first:  # the sum of the other group was looked up: large there is small here
        greater, less = less, greater
    tails = {"greater": greater, "less": less, "two-sided": 2 * min(greater, less)}
    return float(min(tails[alternative], 1))


@lru_cache(maxsize=256)
def _tails(doubled_ranks: Sequence[int], size: int) -> tuple[Any, Any]:
    """Return P(sum <= s) and P(sum >= s) for every sum s of `size` of the ranks, all choices equally likely."""
    import numpy as np

    largest = sum(doubled_ranks[len(doubled_ranks) - size :])
    ways = np.zeros((size + 1, largest + 1))
    ways[0, 0] = 1
    for rank in doubled_ranks:
        if rank <= largest:
            ways[1:, rank:] += ways[:-1, : largest + 1 - rank]
    share = ways[size] / ways[size].sum()
    return np.cumsum(share), np.cumsum(share[::-1])[::-1]


def area_limits(area: Any, sizes: Sequence[tuple[Any, Any]], weights: Any) -> tuple[Any, Any]:
    """Return the 95 % limits of P(first > second) + P(equal) / 2, by bisection of Newcombe's equation.

    Parameters
    ----------
    area
        Estimate of each variable; in several strata the mean with `weights`, and the limits are of one common value.
    sizes
        Observations of the first and the second group, for each stratum.
    weights
        (strata, variables).
    """
    import numpy as np

    def variance(a: Any) -> Any:
        total: Any = 0.0
        for (first, second), weight in zip(sizes, weights, strict=True):
            size = (first + second) / 2 - 1
            shape = 1 + size * (1 - a) / (2 - a) + size * a / (1 + a)
            counted = (first > 0) & (second > 0)
            total = total + np.where(counted, weight**2 * a * (1 - a) * shape / np.maximum(first * second, 1), 0)
        return total / weights.sum(axis=0) ** 2

    limits = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for edge in (0.0, 1.0):
            inside, outside = np.array(area, dtype=float), np.full(np.shape(area), edge)
            for _ in range(60):
                middle = (inside + outside) / 2
                reached = np.abs(area - middle) <= Z_95 * np.sqrt(variance(middle))
                inside, outside = np.where(reached, middle, inside), np.where(reached, outside, middle)
            limits.append(np.where(np.isnan(area), np.nan, (inside + outside) / 2))
    return limits[0], limits[1]
