"""Compiled fit of many mixed models: the variances of least deviance (REML) and Satterthwaite's degrees of freedom."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from integrate.analyse.deviance_kernels import deviance, factorise, invert, write_covariance, write_products

__all__ = ["COLLINEAR", "FLAT", "FOUND", "NO_FREEDOM", "SINGLE", "scan_mixed"]

Array = np.ndarray[Any, Any]

FOUND = 0
#: The fixed effects explain everything, or nothing varies.
FLAT = 1
#: One fixed effect is a sum of others among the known rows.
COLLINEAR = 2
#: No group has two rows, or there is one group: the random effect cannot be told from the residual.
SINGLE = 3
#: There are not more rows than fixed effects.
NO_FREEDOM = 4

#: Ratios of a group's variance to the residual variance that are looked at first, as logarithms; beyond them is zero.
LOWEST, HIGHEST, GRID = -16.0, 14.0, 16
GOLDEN = 0.6180339887498949
ROUNDS, LINE_STEPS, NEWTON_STEPS = 3, 12, 12
STEP = 1e-3
#: A variance that improves the deviance by less is taken as zero.
NOTHING = 1e-9


@nb.njit(nogil=True, cache=True)
def _ratio(logarithm: float) -> float:
    return 0.0 if logarithm <= LOWEST else float(np.exp(logarithm))


@nb.njit(nogil=True, cache=True)
def _search_line(
    sums: Array, counts: Array, outer: Array, total: Array, n: int, ratios: Array, which: int, work: Array
) -> float:
    """Set one ratio to where the deviance is least with the other fixed, by a grid and golden section; return that."""
    width = (HIGHEST - LOWEST) / (GRID - 1)
    best, centre = np.inf, LOWEST
    for point in range(GRID):
        ratios[which] = _ratio(LOWEST + point * width)
        value = deviance(sums, counts, outer, total, n, ratios, 0.0, work)
        if value < best:
            best, centre = value, LOWEST + point * width
    low, high = centre - width, centre + width
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    values = np.empty(2)
    ratios[which] = _ratio(left)
    values[0] = deviance(sums, counts, outer, total, n, ratios, 0.0, work)
    ratios[which] = _ratio(right)
    values[1] = deviance(sums, counts, outer, total, n, ratios, 0.0, work)
    for _ in range(LINE_STEPS):
        if values[0] < values[1]:
            high, right, values[1] = right, left, values[0]
            left = high - GOLDEN * (high - low)
            ratios[which] = _ratio(left)
            values[0] = deviance(sums, counts, outer, total, n, ratios, 0.0, work)
        else:
            low, left, values[0] = left, right, values[1]
            right = low + GOLDEN * (high - low)
            ratios[which] = _ratio(right)
            values[1] = deviance(sums, counts, outer, total, n, ratios, 0.0, work)
    found = left if values[0] < values[1] else right
    if best < min(values[0], values[1]):
        found = centre
    ratios[which] = _ratio(found)
    return min(best, values[0], values[1])


@nb.njit(nogil=True, cache=True)
def _move(ratios: Array, active: Array, shifts: Array, moved: Array) -> None:
    """Write the ratios times the exponentials of the shifts."""
    moved[0], moved[1] = ratios[0], ratios[1]
    for place in range(len(active)):
        moved[active[place]] *= np.exp(shifts[place])


@nb.njit(nogil=True, cache=True)
def _shift(shifts: Array, a: int, b: int, corner: int) -> None:
    """Write the shifts of one of four corners around a point; of two ends (corners 0 and 2) when a is b."""
    for place in range(len(shifts)):
        shifts[place] = 0.0
    shifts[a] += STEP if corner < 2 else -STEP
    if a != b:
        shifts[b] += STEP if corner % 2 == 0 else -STEP


@nb.njit(nogil=True, cache=True)
def _bend(corners: Array, now: float, a: int, b: int) -> float:
    """Return the second derivative by a and b from the values at the corners of `_shift`."""
    if a == b:
        return float((corners[0] - 2 * now + corners[2]) / STEP**2)
    return float((corners[0] - corners[1] - corners[2] + corners[3]) / (4 * STEP**2))


@nb.njit(nogil=True, cache=True)
def _polish(sums: Array, counts: Array, outer: Array, total: Array, n: int, ratios: Array, work: Array) -> None:
    """Move the ratios that are not zero to the least deviance, by Newton's steps that may not make it worse."""
    active = np.flatnonzero(ratios > 0)
    size = len(active)
    gradient, curvature, shifts = np.zeros(size), np.zeros((size, size)), np.zeros(size)
    corners, tried = np.zeros(4), np.zeros(2)
    now = deviance(sums, counts, outer, total, n, ratios, 0.0, work)
    for _ in range(NEWTON_STEPS if size else 0):
        for a in range(size):
            for b in range(a + 1):
                for corner in range(4):
                    _shift(shifts, a, b, corner)
                    _move(ratios, active, shifts, tried)
                    corners[corner] = deviance(sums, counts, outer, total, n, tried, 0.0, work)
                curvature[a, b] = curvature[b, a] = _bend(corners, now, a, b)
                if a == b:
                    gradient[a] = (corners[0] - corners[2]) / (2 * STEP)
        if not invert(curvature):
            return
        longest = 0.0
        for a in range(size):
            shifts[a] = 0.0
            for b in range(size):
                shifts[a] -= curvature[a, b] * gradient[b]
            longest = max(longest, abs(shifts[a]))
        for _ in range(20):
            _move(ratios, active, shifts, tried)
            value = deviance(sums, counts, outer, total, n, tried, 0.0, work)
            if value <= now:
                break
            for a in range(size):
                shifts[a] /= 2
        if not value <= now:
            return
        now = value
        ratios[0], ratios[1] = tried[0], tried[1]
        if longest < 1e-7:
            return


@nb.njit(nogil=True, cache=True)
def _estimate(
    sums: Array, counts: Array, outer: Array, total: Array, n: int, levels: Array, ratios: Array, work: Array
) -> None:
    """Write the ratios of least deviance; `levels` are those that may differ from zero."""
    ratios[0], ratios[1] = 0.0, 0.0
    for _ in range(ROUNDS if len(levels) > 1 else 1):
        for place in range(len(levels)):
            _search_line(sums, counts, outer, total, n, ratios, levels[place], work)
    _polish(sums, counts, outer, total, n, ratios, work)
    best = deviance(sums, counts, outer, total, n, ratios, 0.0, work)
    for without in range(len(levels)):  # on the boundary, where Newton's steps do not arrive
        tried = np.zeros(2)
        for place in range(len(levels)):
            if place != without:
                _search_line(sums, counts, outer, total, n, tried, levels[place], work)
        _polish(sums, counts, outer, total, n, tried, work)
        value = deviance(sums, counts, outer, total, n, tried, 0.0, work)
        if value < best + NOTHING:
            best = min(best, value)
            ratios[0], ratios[1] = tried[0], tried[1]


@nb.njit(nogil=True, cache=True)
def _freedom(
    sums: Array, counts: Array, outer: Array, total: Array, n: int, ratios: Array, residual: float, work: Array,
    out: Array,
) -> None:  # fmt: skip
    """Write Satterthwaite's degrees of freedom of each fixed effect.

    Derivatives are with respect to the logarithms of the variances that are not zero; at zero a variance, as a square,
    does not move anything.
    """
    fixed = total.shape[0] - 1
    active = np.flatnonzero(ratios > 0)
    last = len(active)
    shifts, corners, tried = np.zeros(last + 1), np.zeros(4), np.zeros(2)
    gradient, curvature = np.zeros((last + 1, fixed)), np.zeros((last + 1, last + 1))
    covariance = np.zeros((fixed, fixed))
    now = deviance(sums, counts, outer, total, n, ratios, residual, work)
    for a in range(last + 1):
        for b in range(a + 1):
            for corner in range(4):
                _shift(shifts, a, b, corner)
                other = residual * np.exp(shifts[last])
                for place in range(last):
                    shifts[place] -= shifts[last]
                _move(ratios, active, shifts, tried)
                corners[corner] = deviance(sums, counts, outer, total, n, tried, other, work)
                if a == b and corner % 2 == 0:
                    write_covariance(sums, counts, outer, total, tried, other, work, covariance)
                    for one in range(fixed):
                        gradient[a, one] += covariance[one, one] * (1 - corner) / (2 * STEP)
            curvature[a, b] = curvature[b, a] = _bend(corners, now, a, b)
    found = invert(curvature)
    write_covariance(sums, counts, outer, total, ratios, residual, work, covariance)
    for one in range(fixed):
        spread = 0.0
        for a in range(last + 1):
            for b in range(last + 1):
                spread += gradient[a, one] * 2 * curvature[a, b] * gradient[b, one]
        out[one] = 2 * covariance[one, one] ** 2 / spread if found and spread > 0 else np.nan


@nb.njit(nogil=True, cache=True)
def _collect(y: Array, x: Array, inner: Array, outer: Array, known: Array, total: Array) -> tuple[Array, Array, Array]:
    """Return sums and counts of the inner groups of the known rows and their outer groups; write ``W' W``."""
    columns = x.shape[1] + 1
    sums, counts = np.zeros((len(known), columns)), np.zeros(len(known))
    owner = np.zeros(len(known), np.int64)
    group = -1
    total[:] = 0.0
    values = np.zeros(columns)
    for place in range(len(known)):
        row = known[place]
        if place == 0 or inner[row] != inner[known[place - 1]]:
            group += 1
            owner[group] = outer[row]
        for a in range(columns - 1):
            values[a] = x[row, a]
        values[columns - 1] = y[row]
        counts[group] += 1
        for a in range(columns):
            sums[group, a] += values[a]
            for b in range(a + 1):
                total[a, b] += values[a] * values[b]
    return sums[: group + 1], counts[: group + 1], owner[: group + 1]


@nb.njit(nogil=True, cache=True)
def _fit(
    y: Array, x: Array, inner: Array, outer: Array, known: Array, nested: int, beta: Array, error: Array,
    freedom: Array, variances: Array,
) -> int:  # fmt: skip
    """Fit one model on known rows, centred and of unit spread; return how it ended."""
    n, fixed = len(known), x.shape[1]
    if n <= fixed:
        return NO_FREEDOM
    total, work = np.zeros((fixed + 1, fixed + 1)), np.zeros((fixed + 1, fixed + 1))
    sums, counts, owner = _collect(y, x, inner, outer, known, total)
    owners = 1
    for group in range(1, len(counts)):
        owners += owner[group] != owner[group - 1]
    if owners < 2 or len(counts) == n or (nested and owners == len(counts)):
        return SINGLE
    work[:] = total
    if np.isnan(factorise(work)):
        return COLLINEAR
    if not work[fixed, fixed] > 1e-20 * n:
        return FLAT
    ratios, covariance = np.zeros(2), np.zeros((fixed, fixed))
    _estimate(sums, counts, owner, total, n, np.arange(nested + 1), ratios, work)
    deviance(sums, counts, owner, total, n, ratios, 0.0, work)
    residual = work[fixed, fixed] / (n - fixed)
    if not residual > 1e-20:
        return FLAT
    _freedom(sums, counts, owner, total, n, ratios, residual, work, freedom)
    write_covariance(sums, counts, owner, total, ratios, residual, work, covariance)
    write_products(sums, counts, owner, total, ratios, work)
    for a in range(fixed):
        beta[a] = 0.0
        error[a] = np.sqrt(covariance[a, a])
        for b in range(fixed):
            beta[a] += covariance[a, b] / residual * work[fixed, b]
    variances[0], variances[1], variances[2] = ratios[0] * residual, ratios[1] * residual, residual
    return FOUND


@nb.njit(nogil=True, cache=True)
def _standardise(values: Array, known: Array, out: Array) -> float:
    """Write values of mean 0 and standard deviation 1 over the known rows; return the standard deviation, 0 if none."""
    mean = 0.0
    for row in known:
        mean += values[row] / len(known)
    square = 0.0
    for row in known:
        square += (values[row] - mean) ** 2 / len(known)
    spread = np.sqrt(square)
    if not spread > 1e-14 * abs(mean):
        spread = 0.0
    for row in range(len(values)):
        out[row] = (values[row] - mean) / (spread if spread > 0 else 1.0)
    return float(spread)


@nb.njit(nogil=True, cache=True)
def _fixed_variance(x: Array, beta: Array, known: Array) -> float:
    """Return the variance of the fixed part over the known rows, whose columns have mean 0."""
    square = 0.0
    for row in known:
        part = 0.0
        for column in range(1, len(beta)):
            part += x[row, column] * beta[column]
        square += part**2 / len(known)
    return square


@nb.njit(nogil=True, cache=True)
def scan_mixed(
    features: Array, design: Array, inner: Array, outer: Array, nested: int
) -> tuple[Array, Array, Array, Array, Array]:
    """Return coefficients, standard errors, degrees of freedom, variances and how each fit ended, a row per feature.

    Rows are sorted by outer, then inner group; each group has one number. Without `nested` the inner groups are the
    outer ones. The first column of `design` is 1. NaN in a feature leaves the row out. Variances are those of the outer
    and the inner groups, of the residual, and of the fixed part over the known rows.
    """
    many, fixed = features.shape[0], design.shape[1]
    beta, error, freedom = (
        np.full((many, fixed), np.nan), np.full((many, fixed), np.nan), np.full((many, fixed), np.nan)
    )  # fmt: skip
    variances, ended = np.full((many, 4), np.nan), np.zeros(many, np.int64)
    x, y = np.ones(design.shape), np.zeros(len(design))
    for feature in range(many):
        known = np.flatnonzero(~np.isnan(features[feature]))
        if len(known) <= fixed:
            ended[feature] = NO_FREEDOM
            continue
        scale = np.ones(fixed)
        for column in range(1, fixed):
            scale[column] = _standardise(design[:, column], known, x[:, column])
        spread = _standardise(features[feature], known, y)
        if spread == 0.0:
            ended[feature] = FLAT
            continue
        ended[feature] = _fit(
            y, x, inner, outer, known, nested, beta[feature], error[feature], freedom[feature], variances[feature]
        )
        variances[feature, 3] = _fixed_variance(x, beta[feature], known)
        for column in range(fixed):
            if scale[column] > 0:
                beta[feature, column] *= spread / scale[column]
                error[feature, column] *= spread / scale[column]
        for part in range(4):
            variances[feature, part] *= spread**2
    return beta, error, freedom, variances, ended
