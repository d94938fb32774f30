"""Association of two categorical variables."""

from __future__ import annotations

from typing import Any, NamedTuple

from integrate.analyse.results import Z_95

__all__ = ["Crosstab", "compare_categories"]

CRAMER = "Cramér V"
COMMON = "log odds ratio (Mantel-Haenszel)"


class Crosstab(NamedTuple):
    """Result of one pair: effect, limits, p, the counts, whether every expected one is at least 5, and what it is."""

    effect: float
    ci_low: float
    ci_high: float
    p: float
    counts: Any
    well_filled: bool
    method: str
    effect_name: str


def compare_categories(x: Any, y: Any, *, method: str, strata: Any = None) -> Crosstab:
    """Return the association of two categorical variables.

    Parameters
    ----------
    x, y
        Positions of the categories of each observation; none is missing.
    method
        ``"chi2"``, ``"fisher"`` (two by two), or ``"auto"``: Fisher's exact test for two by two, else chi-squared.
    strata
        Stratum of each observation; then the test is that of Cochran, Mantel and Haenszel, whatever the method.

    Returns
    -------
    `Crosstab`; effect and p are NaN when a variable has one category only. Cramér's V is without continuity or bias
    correction, 0 to 1; chi-squared is without continuity correction. Within strata two by two categories have Mantel
    and Haenszel's common odds ratio, as a logarithm, with the limits of Robins, Breslow and Greenland (1986).
    """
    import numpy as np
    from scipy import stats

    counts = np.zeros((x.max(initial=-1) + 1, y.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(counts, (x, y), 1)
    rows, columns = np.flatnonzero(counts.any(axis=1)), np.flatnonzero(counts.any(axis=0))
    kinds = counts.shape
    counts = counts[np.ix_(rows, columns)]
    if min(counts.shape) < 2:
        return Crosstab(np.nan, np.nan, np.nan, np.nan, counts, False, "chi2", CRAMER)
    if strata is not None:
        layers = np.unique(strata, return_inverse=True)[1]
        cube = np.zeros((layers.max() + 1, *kinds))
        np.add.at(cube, (layers, x, y), 1)
        return _in_strata(cube[:, rows][:, :, columns], counts)
    chi2, p, _, expected = stats.chi2_contingency(counts, correction=False)
    effect = float(np.sqrt(chi2 / (counts.sum() * (min(counts.shape) - 1))))
    exact = method != "chi2" and counts.shape == (2, 2)
    if exact:
        p = stats.fisher_exact(counts)[1]
    filled, name = bool((expected >= 5).all()), "fisher" if exact else "chi2"
    return Crosstab(effect, np.nan, np.nan, float(p), counts, filled, name, CRAMER)


def _in_strata(cube: Any, counts: Any) -> Crosstab:
    """Return the test of Cochran, Mantel and Haenszel of (strata, x, y) counts, all in all `counts`."""
    import numpy as np
    from scipy import stats

    n = cube.sum(axis=(1, 2))
    used = cube[n > 1]
    n = n[n > 1][:, None, None]
    of_x, of_y = used.sum(axis=2), used.sum(axis=1)
    expected = of_x[:, :, None] * of_y[:, None, :] / n
    k, m = (size - 1 for size in counts.shape)
    excess = (used - expected).sum(axis=0)[:k, :m].ravel()
    a, b = ((np.einsum("hi,ij->hij", one, np.eye(one.shape[1])) * n - one[:, :, None] * one[:, None, :]) / n
            for one in (of_x, of_y))  # fmt: skip
    variance = sum(np.kron(p[:k, :k], q[:m, :m]) / (t - 1) for p, q, t in zip(a, b, n.ravel(), strict=True))
    statistic = float(excess @ np.linalg.pinv(variance) @ excess)
    freedom = int(np.linalg.matrix_rank(variance))
    p = float(stats.chi2.sf(statistic, freedom)) if freedom else np.nan
    filled, name = bool((expected.sum(axis=0) >= 5).all()), "Cochran-Mantel-Haenszel"
    if counts.shape == (2, 2):
        return Crosstab(*_common_odds(used, n.ravel()), p, counts, filled, name, COMMON)
    left = float((n.ravel() - 1).sum())
    effect = float(np.sqrt(statistic / (left * min(k, m)))) if freedom else np.nan
    return Crosstab(effect, np.nan, np.nan, p, counts, filled, name, CRAMER)


def _common_odds(cube: Any, n: Any) -> tuple[float, float, float]:
    """Return Mantel and Haenszel's log odds ratio and its limits."""
    import numpy as np

    with_, against = cube[:, 0, 0] * cube[:, 1, 1] / n, cube[:, 0, 1] * cube[:, 1, 0] / n
    r, s = with_.sum(), against.sum()
    if not (r > 0 and s > 0):
        return np.nan, np.nan, np.nan
    p, q = (cube[:, 0, 0] + cube[:, 1, 1]) / n, (cube[:, 0, 1] + cube[:, 1, 0]) / n
    variance = (p * with_).sum() / (2 * r**2) + (p * against + q * with_).sum() / (2 * r * s)
    variance += (q * against).sum() / (2 * s**2)
    effect, half = float(np.log(r / s)), Z_95 * float(np.sqrt(variance))
    return effect, effect - half, effect + half
