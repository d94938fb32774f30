"""Compiled loops over a risk set: the Cox partial likelihood with Efron's ties, and its maximum."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = [
    "COLLINEAR",
    "FOUND",
    "UNBOUNDED",
    "fit_cox",
    "partial_likelihood",
    "robust_covariance",
    "scan_cox",
    "score_residuals",
]

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
def _add_moments(row: Array, weight: float, first: Array, second: Array) -> None:
    """Add a weighted row, and the lower triangle of its square."""
    for a in range(len(row)):
        first[a] += weight * row[a]
        for b in range(a + 1):
            second[a, b] += weight * row[a] * row[b]


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
                _add_moments(x[i], risk, s1, s2)
                if event[i]:
                    _add_moments(x[i], risk, d1, d2)
                    for a in range(k):
                        score[a] += x[i, a]
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
def _efron_sums(
    x: Array, time: Array, event: Array, risk: Array, first: int, stop: int, hazard: Array, mean: Array
) -> None:
    """Write, at the last row of each time of one stratum, what those at risk and those who die there add.

    ``hazard[i]`` holds the sum of hazards and that of the shares Efron's ties take from those who die; ``mean[i]`` the
    covariates' means, weighted by these hazards, in three rows: plain, with the shares, and averaged over the deaths.
    """
    k = x.shape[1]
    s0, s1, d1 = 0.0, np.zeros(k), np.zeros(k)
    i = first
    while i < stop:
        now, deaths, d0 = time[i], 0, 0.0
        d1[:] = 0.0
        while i < stop and time[i] == now:
            s0 += risk[i]
            deaths += event[i]
            d0 += risk[i] * event[i]
            for a in range(k):
                s1[a] += risk[i] * x[i, a]
                d1[a] += risk[i] * x[i, a] * event[i]
            i += 1
        for rank in range(deaths):
            share = rank / deaths
            denominator = s0 - share * d0
            hazard[i - 1, 0] += 1 / denominator
            hazard[i - 1, 1] += (1 - share) / denominator
            for a in range(k):
                centre = (s1[a] - share * d1[a]) / denominator
                mean[i - 1, 0, a] += centre / denominator
                mean[i - 1, 1, a] += centre * (1 - share) / denominator
                mean[i - 1, 2, a] += centre / deaths


@nb.njit(nogil=True, cache=True)
def score_residuals(x: Array, time: Array, event: Array, stratum: Array, beta: Array, out: Array) -> None:
    """Write what each row adds to the score at `beta`; rows are sorted as for `partial_likelihood`."""
    n, k = x.shape
    eta = np.dot(x, beta)
    first = 0
    while first < n:
        stop = first
        shift = -np.inf
        while stop < n and stratum[stop] == stratum[first]:
            shift = max(shift, eta[stop])
            stop += 1
        risk = np.exp(eta - shift)
        hazard, mean = np.zeros((n, 2)), np.zeros((n, 3, k))
        _efron_sums(x, time, event, risk, first, stop, hazard, mean)
        total, weighted = 0.0, np.zeros(k)
        at = stop - 1
        for i in range(stop - 1, first - 1, -1):  # from the shortest time to the longest
            if i == stop - 1 or time[i] != time[i + 1]:
                at = i
                total += hazard[at, 0]
                weighted += mean[at, 0]
            spared = hazard[at, 0] - hazard[at, 1] if event[i] else 0.0
            for a in range(k):
                centre = weighted[a] - (mean[at, 0, a] - mean[at, 1, a] if event[i] else 0.0)
                out[i, a] = -risk[i] * (x[i, a] * (total - spared) - centre)
                if event[i]:
                    out[i, a] += x[i, a] - mean[at, 2, a]
        first = stop


@nb.njit(nogil=True, cache=True)
def robust_covariance(residuals: Array, cluster: Array, covariance: Array) -> Array:
    """Return the covariance of the estimates when the rows of one cluster go together (Lin and Wei 1989)."""
    k = residuals.shape[1]
    sums = np.zeros((cluster.max() + 1, k))
    for i in range(len(cluster)):
        for a in range(k):
            sums[cluster[i], a] += residuals[i, a]
    moved = np.dot(sums, covariance)
    return np.dot(moved.T, moved)


@nb.njit(nogil=True, cache=True)
def scan_cox(
    features: Array, covariates: Array, time: Array, event: Array, stratum: Array, cluster: Array
) -> tuple[Array, Array]:
    """Return ``(log hazard ratio, standard error)`` of each row of `features`, and how each fit ended.

    NaN leaves a row's unit out. Every row has at least one event, and no row and no covariate is constant among them.
    Standard errors are robust when `cluster` has a number for each unit; when it is empty they are of the information.
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
            if len(cluster):
                residuals = np.zeros(x.shape)
                score_residuals(x, time[known], event[known], stratum[known], beta, residuals)
                covariance[:] = robust_covariance(residuals, cluster[known], covariance)
            estimates[row, 0] = beta[0] / spread
            estimates[row, 1] = np.sqrt(covariance[0, 0]) / spread
    return estimates, ended
