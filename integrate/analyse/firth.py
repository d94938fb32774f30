"""Firth's logistic regression: odds that stay finite where a variable tells the groups apart."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Penalised", "fit_firth"]

#: Twice the fall of the likelihood at the ends of 95 % limits: the quantile of chi-squared with one degree of freedom.
FALL = 3.841458820694124
STEPS, HALVINGS, WIDENINGS = 200, 30, 40


class Penalised(NamedTuple):
    """The first column's slope, its profile likelihood limits, and the p-value of the likelihood ratio."""

    effect: float
    low: float
    high: float
    p: float


def fit_firth(x: Any, second: Any, covariates: Any) -> Penalised:
    """Return the slope of one variable in a logistic regression whose likelihood is penalised after Firth.

    Parameters
    ----------
    x
        One float per observation; none is missing.
    second
        Whether each observation is of the second group; there are both.
    covariates
        (observations, covariates) floats; neither these nor x are sums of others. An intercept is added.

    Notes
    -----
    Firth (1993), Heinze and Schemper (2002): the logarithm of the likelihood and half that of the determinant of the
    information, which together are highest at a finite place. Limits and p are of the profile, as in R's logistf; those
    of Wald would be too narrow on the far side.
    """
    import numpy as np
    from scipy import optimize, stats

    columns, y = np.column_stack([x, covariates]), second.astype(float)
    spread = columns.std(axis=0)
    rows = np.column_stack([(columns - columns.mean(axis=0)) / spread, np.ones(len(y))])
    free = np.ones(rows.shape[1], dtype=bool)
    best, highest = _climb(rows, y, np.zeros(rows.shape[1]), free)
    free[0] = False
    near = best

    def fall(slope: float) -> float:
        nonlocal near
        start = near.copy()
        start[0] = slope
        near, value = _climb(rows, y, start, free)
        return 2 * (highest - value)

    ends = []
    for side in (-1.0, 1.0):
        near, step = best, 1.0
        for _ in range(WIDENINGS):
            if fall(best[0] + side * step) > FALL:
                break
            step *= 2
        between = sorted((best[0], best[0] + side * step))
        ends.append(optimize.brentq(lambda slope: fall(slope) - FALL, *between, xtol=1e-9) / spread[0])
    near = best
    return Penalised(best[0] / spread[0], ends[0], ends[1], float(stats.chi2.sf(max(fall(0.0), 0.0), 1)))


def _climb(rows: Any, y: Any, beta: Any, free: Any) -> tuple[Any, float]:
    """Return the coefficients at which the penalised likelihood is highest while those not free stay, and its value."""
    import numpy as np

    value, score, information = _penalised(rows, y, beta)
    for _ in range(STEPS if np.isfinite(value) else 0):
        change = np.linalg.solve(information[np.ix_(free, free)], score[free])
        change *= min(1.0, 5 / max(np.abs(change).max(initial=0), 1e-300))
        for _ in range(HALVINGS):
            moved = beta.copy()
            moved[free] += change
            found = _penalised(rows, y, moved)
            if found[0] >= value - 1e-12:
                break
            change = change / 2
        (value, score, information), beta = found, moved
        if np.abs(change).max(initial=0) < 1e-9:
            break
    return beta, value


def _penalised(rows: Any, y: Any, beta: Any) -> tuple[float, Any, Any]:
    """Return the penalised log-likelihood, its score and the information."""
    import numpy as np
    from scipy import special

    linear = rows @ beta
    chance = special.expit(linear)
    weight = chance * special.expit(-linear)
    information = (rows * weight[:, None]).T @ rows
    sign, logarithm = np.linalg.slogdet(information)
    if sign <= 0:
        return -np.inf, np.zeros_like(beta), information
    leverage = weight * np.einsum("nk,kn->n", rows, np.linalg.solve(information, rows.T))
    score = rows.T @ (y - chance + leverage * (0.5 - chance))
    likelihood = (y * special.log_expit(linear) + (1 - y) * special.log_expit(-linear)).sum()
    return float(likelihood + 0.5 * logarithm), score, information
