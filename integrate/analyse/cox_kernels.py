"""Compiled loops over a risk set: the Cox partial likelihood with Efron's ties, and its maximum."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["COLLINEAR", "FOUND", "UNBOUNDED", "fit_cox", "partial_likelihood", "scan_cox"]

Array = np.ndarray[Any, Any]

FOUND = 0
#: The covariates do not vary within risk sets, or one is a sum of others.
COLLINEAR = 1
#: The likelihood rises without end: a covariate tells apart who has the event.
UNBOUNDED = 2

MAX_STEPS = 100
MAX_HALVINGS = 40
TOLERANCE = 1e-9
#: A pivot of the information this small, relative to its diagonal, is rounding.
PIVOT = 1e-10
#: Information that fell below this share of what it was at 0 belongs to an estimate that runs away.
EXHAUSTED = 1e-6


@nb.njit(nogil=True, cache=True)
def partial_likelihood(
    x: Array, time: Array, event: Array, stratum: Array, beta: Array, score: Array, information: Array
) -> float:
    """Return the log partial likelihood at `beta`; its first and negative second derivatives are written.

    Rows are sorted by stratum, then from the longest time to the shortest.
    """
    n, k = x.shape
    score[:] = 0.0
    information[:] = 0.0
    s1, d1, mean = np.zeros(k), np.zeros(k), np.zeros(k)
    s2, d2 = np.zeros((k, k)), np.zeros((k, k))
    eta = np.dot(x, beta)
    total = 0.0
    i = 0
    while i < n:
        stop = i
        shift = -np.inf
        while stop < n and stratum[stop] == stratum[i]:
            shift = max(shift, eta[stop])
            stop += 1
        s0 = 0.0
        s1[:] = 0.0
        s2[:] = 0.0
        while i < stop:
            now = time[i]
            deaths = 0
            d0 = 0.0
            d1[:] = 0.0
            d2[:] = 0.0
            while i < stop and time[i] == now:
                risk = np.exp(eta[i] - shift)
                s0 += risk
                if event[i]:
                    deaths += 1
                    d0 += risk
                    total += eta[i] - shift
                for a in range(k):
                    first = risk * x[i, a]
                    s1[a] += first
                    if event[i]:
                        d1[a] += first
                        score[a] += x[i, a]
                    for b in range(a + 1):
                        second = first * x[i, b]
                        s2[a, b] += second
                        if event[i]:
                            d2[a, b] += second
                i += 1
            for rank in range(deaths):
                share = rank / deaths
                denominator = s0 - share * d0
                if not denominator > 0:  # a step so long that a whole risk set vanished beside one unit
                    return -np.inf
                total -= np.log(denominator)
                for a in range(k):
                    mean[a] = (s1[a] - share * d1[a]) / denominator
                    score[a] -= mean[a]
                    for b in range(a + 1):
                        information[a, b] += (s2[a, b] - share * d2[a, b]) / denominator - mean[a] * mean[b]
    for a in range(k):
        for b in range(a):
            information[b, a] = information[a, b]
    return total


@nb.njit(nogil=True, cache=True)
def _is_singular(information: Array) -> bool:
    """Return whether a pivot of the Cholesky factor is rounding, or no number."""
    k = information.shape[0]
    factor = np.zeros((k, k))
    for a in range(k):
        for b in range(a + 1):
            rest = information[a, b]
            for c in range(b):
                rest -= factor[a, c] * factor[b, c]
            if a == b:
                if not rest > PIVOT * max(information[a, a], 1e-300):
                    return True
                factor[a, a] = np.sqrt(rest)
            else:
                factor[a, b] = rest / factor[b, b]
    return False


@nb.njit(nogil=True, cache=True)
def fit_cox(x: Array, time: Array, event: Array, stratum: Array, beta: Array, covariance: Array) -> int:
    """Write the estimates and their covariance; return `FOUND`, `COLLINEAR` or `UNBOUNDED`.

    Columns of `x` are centred and of unit spread. Newton's steps are halved until the likelihood does not fall: without
    that, skewed covariates send the estimate to a wrong place.
    """
    k = x.shape[1]
    score, information = np.zeros(k), np.zeros((k, k))
    beta[:] = 0.0
    likelihood = partial_likelihood(x, time, event, stratum, beta, score, information)
    if _is_singular(information):
        return COLLINEAR
    at_start = np.diag(information).copy()
    for _ in range(MAX_STEPS):
        step = np.linalg.solve(information, score)
        for _ in range(MAX_HALVINGS):
            tried = beta + step
            higher = partial_likelihood(x, time, event, stratum, tried, score, information)
            if higher >= likelihood - 1e-12 * (1 + abs(likelihood)):
                break
            step /= 2
        beta[:] = tried
        likelihood = higher
        if _is_singular(information) or (np.diag(information) < EXHAUSTED * at_start).any():
            return UNBOUNDED
        if np.abs(step).max() <= TOLERANCE * (1 + np.abs(beta).max()):
            covariance[:] = np.linalg.inv(information)
            return FOUND
    return UNBOUNDED


@nb.njit(nogil=True, cache=True)
def scan_cox(features: Array, covariates: Array, time: Array, event: Array, stratum: Array) -> tuple[Array, Array]:
    """Return ``(log hazard ratio, standard error)`` of each row of `features`, and how each fit ended.

    NaN leaves a row's unit out. Every row has at least one event, and no row and no covariate is constant among them.
    """
    m = features.shape[0]
    k = covariates.shape[1] + 1
    estimates, ended = np.full((m, 2), np.nan), np.zeros(m, np.int64)
    beta, covariance = np.zeros(k), np.zeros((k, k))
    for row in range(m):
        known = np.flatnonzero(~np.isnan(features[row]))
        x = np.empty((len(known), k))
        x[:, 0] = features[row][known]
        x[:, 1:] = covariates[known]
        spread = 1.0
        for column in range(k):
            values = x[:, column] - x[:, column].mean()
            scale = values.std()
            if column == 0:
                spread = scale
            x[:, column] = values / scale if scale > 0 else values
        ended[row] = fit_cox(x, time[known], event[known], stratum[known], beta, covariance)
        if ended[row] == FOUND:
            estimates[row, 0] = beta[0] / spread
            estimates[row, 1] = np.sqrt(covariance[0, 0]) / spread
    return estimates, ended
