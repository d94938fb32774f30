"""Compiled loops over colour images: colours, stains and co-occurring greys of one region after another."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from integrate.features.texture_kernels import describe_counts

__all__ = ["describe_colours"]

Array = np.ndarray[Any, Any]

#: Weights of red, green and blue in grey, times 2^14 (ITU-R BT.601, rounded as OpenCV does).
_RED, _GREEN, _BLUE = np.uint32(4899), np.uint32(9617), np.uint32(1868)


@nb.njit(nogil=True, cache=True, fastmath={"contract"})  # a product and a sum may be rounded together
def _sum_colours(
    colours: Array, density: Array, unmixing: Array, level_of: Array, row: Array, start: Array, stop: Array,
    level: Array, sums: Array, amounts: Array,
) -> None:  # fmt: skip
    """Add colours and their squares, amounts of stains and squares of these, and write the level of every grey.

    Amounts count from those of the first pixel: nothing is lost where they hardly differ.
    """
    m = unmixing
    r0, g0, b0 = colours[row[0], start[0]]
    first = np.zeros(3)
    for s in range(3):
        first[s] = max(density[r0] * m[0, s] + density[g0] * m[1, s] + density[b0] * m[2, s], 0.0)
    total_r, total_g, total_b = np.int64(0), np.int64(0), np.int64(0)
    square_r, square_g, square_b = np.int64(0), np.int64(0), np.int64(0)
    h, e, d, hh, ee, dd = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    m00, m10, m20, m01, m11, m21 = m[0, 0], m[1, 0], m[2, 0], m[0, 1], m[1, 1], m[2, 1]
    m02, m12, m22 = m[0, 2], m[1, 2], m[2, 2]
    h0, e0, d0 = first
    for k in range(row.size):
        line = colours[row[k], start[k] : stop[k]]
        levels = level[row[k], start[k] : stop[k]]
        for x in range(line.shape[0]):
            r, g, b = np.uint32(line[x, 0]), np.uint32(line[x, 1]), np.uint32(line[x, 2])
            total_r += r
            total_g += g
            total_b += b
            square_r += r * r
            square_g += g * g
            square_b += b * b
            a, c, f = density[r], density[g], density[b]
            one = max(a * m00 + c * m10 + f * m20, 0.0) - h0
            two = max(a * m01 + c * m11 + f * m21, 0.0) - e0
            three = max(a * m02 + c * m12 + f * m22, 0.0) - d0
            h += one
            e += two
            d += three
            hh += one * one
            ee += two * two
            dd += three * three
            levels[x] = level_of[(r * _RED + g * _GREEN + b * _BLUE + np.uint32(8192)) >> np.uint32(14)]
    sums[:] = (total_r, total_g, total_b, square_r, square_g, square_b)
    amounts[:] = (h, e, d, hh, ee, dd, h0, e0, d0)


@nb.njit(nogil=True, cache=True)
def _count_beside(line: Array, levels: int, even: Array, odd: Array) -> None:
    """Count levels with those before them; two tables in turn, since the same one twice in a row has to wait."""
    step, one, x, n = np.uint32(levels), np.uint64(1), np.uint64(1), np.uint64(line.size)
    while x + one < n:
        even[np.uint64(np.uint32(line[x]) * step + np.uint32(line[x - one]))] += np.uint32(1)
        odd[np.uint64(np.uint32(line[x + one]) * step + np.uint32(line[x]))] += np.uint32(1)
        x += np.uint64(2)
    if x < n:
        even[np.uint64(np.uint32(line[x]) * step + np.uint32(line[x - one]))] += np.uint32(1)


@nb.njit(nogil=True, cache=True)
def _count_over(over: Array, line: Array, first: int, last: int, levels: int, counts: Array) -> None:
    """Count levels with all three neighbours above, of which none may lie outside the region."""
    step, one, x, n = np.uint32(levels), np.uint64(1), np.uint64(first), np.uint64(last)
    left, straight = np.uint32(over[x - one]), np.uint32(over[x])
    diagonal, upright, antidiagonal = counts[1], counts[2], counts[3]
    while x < n:
        base, right = np.uint32(line[x]) * step, np.uint32(over[x + one])
        diagonal[np.uint64(base + left)] += np.uint32(1)
        upright[np.uint64(base + straight)] += np.uint32(1)
        antidiagonal[np.uint64(base + right)] += np.uint32(1)
        left, straight = straight, right
        x += one


@nb.njit(nogil=True, cache=True)
def _count_levels(level: Array, levels: int, row: Array, start: Array, stop: Array, counts: Array) -> None:
    """Count neighbouring levels within one region along ``x``, the diagonal, ``y`` and the antidiagonal, one way.

    The fifth table has the other half of those along ``x``.
    """
    above = 0
    for k in range(row.size):
        line = level[row[k]]
        a, b = start[k], stop[k]
        _count_beside(line[a:b], levels, counts[0], counts[4])
        while row[above] < row[k] - 1:
            above += 1
        j = above
        while j < k and row[j] == row[k] - 1:
            over = level[row[j]]
            first = max(a, start[j] + 1)
            last = max(first, min(b, stop[j] - 1))
            if first < last:
                _count_over(over, line, first, last, levels, counts)
            for way in range(1, 4):  # at the ends some lie outside: the neighbour above is at x + way - 2
                low, high = max(a, start[j] + 2 - way), min(b, stop[j] + 2 - way)
                for x in range(low, min(high, first)):
                    counts[way, line[x] * levels + over[x + way - 2]] += np.uint32(1)
                for x in range(max(low, last), high):
                    counts[way, line[x] * levels + over[x + way - 2]] += np.uint32(1)
            j += 1


@nb.njit(nogil=True, cache=True)
def describe_colours(
    regions: int, colours: Array, density: Array, unmixing: Array, level_of: Array, levels: int,
    region: Array, row: Array, start: Array, stop: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """Return per region mean and deviation of three colours and three stains, and statistics of grey co-occurrence.

    `colours` are ``(y, x, 3)`` of 8 bits; `density` and `level_of` say what each of 256 values means. Statistics are
    those of `describe_counts`, averaged over the directions that have a pair.
    """
    moments = np.full((regions, 12), np.nan)
    texture = np.full((regions, 8), np.nan)
    level = np.empty(colours.shape[:2], np.uint8)
    sums, amounts, found = np.empty(6, np.int64), np.empty(9), np.empty(8)
    counts = np.empty((5, levels * levels), np.uint32)
    first = 0
    while first < region.size:
        last = first
        n = 0
        while last < region.size and region[last] == region[first]:
            n += stop[last] - start[last]
            last += 1
        r = region[first]
        rows, begins, ends = row[first:last], start[first:last], stop[first:last]
        _sum_colours(colours, density, unmixing, level_of, rows, begins, ends, level, sums, amounts)
        for c in range(3):
            centre = np.int64(np.rint(sums[c] / n))
            apart = (sums[c] - n * centre) / n
            spread = (sums[3 + c] - 2 * centre * sums[c] + n * centre * centre) / n - apart * apart
            moments[r, 2 * c], moments[r, 2 * c + 1] = sums[c] / n, np.sqrt(max(spread, 0.0))
            apart = amounts[c] / n
            spread = amounts[3 + c] / n - apart * apart
            moments[r, 6 + 2 * c], moments[r, 7 + 2 * c] = amounts[6 + c] + apart, np.sqrt(max(spread, 0.0))
        counts[:] = 0
        _count_levels(level, levels, rows, begins, ends, counts)
        counts[0] += counts[4]
        directions = 0
        average = np.zeros(8)
        for way in range(4):
            one_way = counts[way].reshape(levels, levels).astype(np.int64)
            total = 2 * one_way.sum()
            if total:
                describe_counts(one_way + one_way.T, total, found)
                average += found
                directions += 1
        if directions:
            texture[r] = average / directions
        first = last
    return moments, texture
