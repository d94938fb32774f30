"""Compiled likelihood of a mixed model with random intercepts at one or two nested levels, from sums of its groups."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["deviance", "factorise", "invert", "write_covariance", "write_products"]

Array = np.ndarray[Any, Any]

#: A pivot this small, relative to its diagonal, is rounding.
PIVOT = 1e-10


@nb.njit(nogil=True, cache=True)
def write_products(sums: Array, counts: Array, outer: Array, total: Array, ratios: Array, out: Array) -> float:
    """Write ``W' V⁻¹ W`` for ``W = [X, y]`` and return ``log |V|``, both for a residual variance of 1.

    `sums` and `counts` belong to the inner groups, sorted by their `outer` one; `ratios` are the variances of the outer
    and the inner random effect.
    """
    columns = total.shape[0]
    out[:] = total
    log_volume = 0.0
    above = np.zeros(columns)
    weight = 0.0
    last = len(counts) - 1
    for group in range(len(counts)):
        volume = 1.0 + counts[group] * ratios[1]
        log_volume += np.log(volume)
        shrink = ratios[1] / volume
        weight += counts[group] / volume
        for a in range(columns):
            above[a] += sums[group, a] / volume
            for b in range(a + 1):
                out[a, b] -= shrink * sums[group, a] * sums[group, b]
        if group == last or outer[group + 1] != outer[group]:
            volume = 1.0 + ratios[0] * weight
            log_volume += np.log(volume)
            shrink = ratios[0] / volume
            for a in range(columns):
                for b in range(a + 1):
                    out[a, b] -= shrink * above[a] * above[b]
            above[:] = 0.0
            weight = 0.0
    return log_volume


@nb.njit(nogil=True, cache=True)
def factorise(products: Array) -> float:
    """Replace the lower triangle by its Cholesky factor; return ``log |X' V⁻¹ X|``, or NaN when that is singular.

    The last diagonal element becomes the residual sum of squares, the last row ``L⁻¹ X' V⁻¹ y``.
    """
    size = products.shape[0]
    log_volume = 0.0
    for a in range(size):
        for b in range(a + 1):
            rest = products[a, b]
            for c in range(b):
                rest -= products[a, c] * products[b, c]
            if a == b:
                if a == size - 1:
                    products[a, a] = rest
                elif not rest > PIVOT * products[a, a]:
                    return np.nan
                else:
                    products[a, a] = np.sqrt(rest)
                    log_volume += np.log(rest)
            else:
                products[a, b] = rest / products[b, b]
    return log_volume


@nb.njit(nogil=True, cache=True)
def deviance(
    sums: Array, counts: Array, outer: Array, total: Array, n: int, ratios: Array, residual: float, work: Array
) -> float:
    """Return -2 × the restricted log likelihood but for a constant; a residual variance of 0 means the best one."""
    fixed = total.shape[0] - 1
    log_volume = write_products(sums, counts, outer, total, ratios, work)
    log_volume += factorise(work)
    rss = work[fixed, fixed]
    if residual == 0.0:
        return float((n - fixed) * np.log(max(rss, 1e-300) / (n - fixed)) + log_volume)
    return float((n - fixed) * np.log(residual) + rss / residual + log_volume)


@nb.njit(nogil=True, cache=True)
def invert(matrix: Array) -> bool:
    """Replace a small positive definite matrix by its inverse (Gauss–Jordan); false when it is not one."""
    size = matrix.shape[0]
    for pivot in range(size):
        divisor = matrix[pivot, pivot]
        if not divisor > 0:
            return False
        matrix[pivot, pivot] = 1.0
        for column in range(size):
            matrix[pivot, column] /= divisor
        for row in range(size):
            if row != pivot:
                factor = matrix[row, pivot]
                matrix[row, pivot] = 0.0
                for column in range(size):
                    matrix[row, column] -= factor * matrix[pivot, column]
    return True


@nb.njit(nogil=True, cache=True)
def write_covariance(
    sums: Array, counts: Array, outer: Array, total: Array, ratios: Array, residual: float, work: Array, out: Array
) -> None:
    """Write the covariance of the fixed effects."""
    fixed = total.shape[0] - 1
    write_products(sums, counts, outer, total, ratios, work)
    for a in range(fixed):
        for b in range(a + 1):
            out[a, b] = work[a, b]
            out[b, a] = work[a, b]
    invert(out)
    for a in range(fixed):
        for b in range(fixed):
            out[a, b] *= residual
