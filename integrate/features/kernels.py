"""Compiled loops over runs: a run is a row's stretch of pixels of one region, found once and used for every channel."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = [
    "SPLIT",
    "count_pairs",
    "find_quantiles",
    "find_runs",
    "fingerprint",
    "fingerprint_colours",
    "finish_integers",
    "gather_pixels",
    "group_runs",
    "sum_floats",
    "sum_integers",
    "sum_positions",
]

Array = np.ndarray[Any, Any]

#: Dekker's constant: splits a float64 into two halves whose products are exact.
SPLIT = 134217729.0

#: What a minimum and a maximum start from: positions and integer pixels of up to 16 bits lie within.
_LARGEST = np.iinfo(np.int64).max
_SMALLEST = np.iinfo(np.int64).min


@nb.njit(nogil=True, cache=True)
def find_runs(labels: Array) -> tuple[Array, Array, Array, Array]:
    """Return ``id, row, start, stop`` of every run of a non-zero label, row by row."""
    rows, columns = labels.shape
    count = 0
    for y in range(rows):
        line = labels[y]
        count += line[0] != 0
        for x in range(1, columns):
            count += (line[x] != 0) & (line[x] != line[x - 1])
    ids = np.empty(count, np.int64)
    row = np.empty(count, np.int32)
    start = np.empty(count, np.int32)
    stop = np.empty(count, np.int32)
    k = 0
    for y in range(rows):
        x = 0
        while x < columns:
            label = labels[y, x]
            first = x
            x += 1
            while x < columns and labels[y, x] == label:
                x += 1
            if label != 0:
                ids[k], row[k], start[k], stop[k] = label, y, first, x
                k += 1
    return ids, row, start, stop


@nb.njit(nogil=True, cache=True)
def group_runs(regions: int, region: Array) -> Array:
    """Return the order in which runs come one region after another, in that in which regions first come."""
    place = np.zeros(regions, np.int64)
    for r in region:
        place[r] -= 1  # how many runs, negated, until the first run of the region gives it a place
    order = np.empty(region.size, np.int64)
    taken = 0
    for k in range(region.size):
        r = region[k]
        if place[r] < 0:
            place[r], taken = taken, taken - place[r]
        order[place[r]] = k
        place[r] += 1
    return order


@nb.njit(nogil=True, cache=True)
def sum_positions(
    regions: int, y0: int, x0: int, region: Array, row: Array, start: Array, stop: Array
) -> tuple[Array, Array]:
    """Return per region the sums of ``1, y, x, yy, xx, xy`` and the bounds ``y, x, -y, -x`` of its pixels.

    Bounds are minima: the last two are of the negated last row and column. Integers wrap around where a sum of squares
    leaves 64 bits; the central moments made from them are exact nevertheless, as long as they fit.
    """
    sums = np.zeros((regions, 6), np.int64)
    bounds = np.full((regions, 4), _LARGEST, np.int64)
    for k in range(region.size):
        r = region[k]
        y = row[k] + y0
        a = start[k] + x0
        b = stop[k] + x0
        n = b - a
        x = (a + b - 1) * n // 2
        sums[r, 0] += n
        sums[r, 1] += y * n
        sums[r, 2] += x
        sums[r, 3] += y * y * n
        sums[r, 4] += ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
        sums[r, 5] += y * x
        bounds[r, 0] = min(bounds[r, 0], y)
        bounds[r, 1] = min(bounds[r, 1], a)
        bounds[r, 2] = min(bounds[r, 2], -y)
        bounds[r, 3] = min(bounds[r, 3], 1 - b)
    return sums, bounds


@nb.njit(nogil=True, cache=True)
def count_pairs(regions: int, region: Array, row: Array, start: Array, stop: Array, *, overlap: bool) -> Array:
    """Return per region how many neighbouring pixels it has along ``x, y``, the diagonal and the antidiagonal.

    The fifth number is 3 for every full square of four of its pixels and 1 for every square with three, as Euler's
    number needs it. Found from the overlap of runs of consecutive rows, without looking at pixels. With `overlap` runs
    come region by region, otherwise row by row.
    """
    pairs = np.zeros((regions, 5), np.int64)
    below = 0
    for k in range(region.size):
        r = region[k]
        a = start[k]
        b = stop[k]
        pairs[r, 0] += b - a - 1
        if overlap and k and region[k - 1] != r:
            below = k
        while (
            below < row.size
            and (not overlap or region[below] == r)
            and (row[below] <= row[k] or (row[below] == row[k] + 1 and stop[below] < a))
        ):
            below += 1
        j = below
        while j < row.size and row[j] == row[k] + 1 and start[j] <= b:
            if region[j] == r:
                pairs[r, 1] += max(min(b, stop[j]) - max(a, start[j]), 0)
                pairs[r, 2] += max(min(b + 1, stop[j]) - max(a + 1, start[j]), 0)
                pairs[r, 3] += max(min(b - 1, stop[j]) - max(a - 1, start[j]), 0)
                pairs[r, 4] += 3 * max(min(b, stop[j]) - max(a, start[j]) - 1, 0)
                pairs[r, 4] += (a < start[j] < b) + (a < stop[j] < b) + (start[j] < a < stop[j])
                pairs[r, 4] += start[j] < b < stop[j]
            j += 1
    return pairs


@nb.njit(nogil=True, cache=True)
def sum_integers(
    regions: int, pixels: Array, region: Array, row: Array, start: Array, stop: Array
) -> tuple[Array, Array, Array]:
    """Return per region ``sum, sum of squares``, the minimum and the maximum of integers of up to 16 bits, exactly.

    Squares wrap around beyond 64 bits; see `sum_positions`.
    """
    sums = np.zeros((regions, 2), np.int64)
    low = np.full(regions, _LARGEST, np.int64)
    high = np.full(regions, _SMALLEST, np.int64)
    for k in range(region.size):
        r = region[k]
        line = pixels[row[k]][start[k] : stop[k]]  # a slice: its indices need no check, so the loop is vectorised
        total = np.int64(0)
        squares = np.int64(0)
        smallest: Any = low[r]
        largest: Any = high[r]
        for x in range(line.size):
            value = np.int64(line[x])
            total += value
            squares += value * value
            smallest = min(smallest, value)
            largest = max(largest, value)
        sums[r, 0] += total
        sums[r, 1] += squares
        low[r] = smallest
        high[r] = largest
    return sums, low, high


@nb.njit(nogil=True, cache=True)
def sum_floats(
    regions: int, pixels: Array, region: Array, row: Array, start: Array, stop: Array
) -> tuple[Array, Array, Array, Array]:
    """Return per region the count, ``sum, its rest, sum of squares, its rest``, minimum and maximum, without NaN.

    A sum and its rest hold about 106 bits, so neither cancellation nor the order of blocks shows in the result.
    Squares of float32 fit in float64; those of float64 leave a rest of their own.
    """
    counts = np.zeros(regions, np.int64)
    sums = np.zeros((regions, 4), np.float64)
    low = np.full(regions, np.inf)
    high = np.full(regions, -np.inf)
    for k in range(region.size):
        r = region[k]
        line = pixels[row[k]][start[k] : stop[k]]
        n = counts[r]
        total, total_rest, squares, squares_rest = sums[r, 0], sums[r, 1], sums[r, 2], sums[r, 3]
        smallest = low[r]
        largest = high[r]
        for x in range(line.size):
            value = np.float64(line[x])
            if value != value:
                continue
            n += 1
            smallest = min(smallest, value)
            largest = max(largest, value)
            new = total + value
            part = new - total
            total_rest += (total - (new - part)) + (value - part)
            total = new
            square = value * value
            if pixels.itemsize == 8:
                scaled = SPLIT * value
                upper = scaled - (scaled - value)
                lower = value - upper
                squares_rest += ((upper * upper - square) + 2.0 * upper * lower) + lower * lower
            new = squares + square
            part = new - squares
            squares_rest += (squares - (new - part)) + (square - part)
            squares = new
        counts[r] = n
        sums[r, 0], sums[r, 1], sums[r, 2], sums[r, 3] = total, total_rest, squares, squares_rest
        low[r] = smallest
        high[r] = largest
    return counts, sums, low, high


@nb.njit(nogil=True, cache=True)
def finish_integers(chosen: Array, counts: Array, total: Array, squares: Array, low: Array, high: Array) -> Array:
    """Return the `chosen` of ``n, sum, mean, standard deviation, minimum, maximum`` per region and channel.

    Sums may have wrapped around. Around the integer nearest to the mean the squares are exact modulo 2^64, and so small
    that nothing is lost. All but ``n`` are NaN without pixels.
    """
    regions, channels = total.shape
    found = np.empty((regions, channels, chosen.size))
    every = np.empty(6)
    for r in range(regions):
        n = counts[r]
        for c in range(channels):
            every[:] = np.nan
            every[0] = n
            if n:
                centre = np.int64(np.rint(total[r, c] / n))
                around = np.float64(np.uint64(squares[r, c] - 2 * centre * total[r, c] + n * centre * centre))
                offset = np.float64(total[r, c] - n * centre)
                every[1], every[2] = total[r, c], total[r, c] / n
                every[3] = np.sqrt(max((around - offset * offset / n) / n, 0.0))
                every[4], every[5] = low[r, c], high[r, c]
            for k in range(chosen.size):
                found[r, c, k] = every[chosen[k]]
    return found


@nb.njit(nogil=True, cache=True)
def fingerprint(bits: Array, row: Array, start: Array, stop: Array, row_keys: Array, column_keys: Array) -> Any:
    """Return the sum of ``bits * row key * column key`` over all runs, modulo 2^64.

    The upper half of 64 bits is folded into the lower: a product keeps too little of the sign of a float64.
    """
    total = np.uint64(0)
    for k in range(row.size):
        line = bits[row[k]][start[k] : stop[k]]
        keys = column_keys[start[k] : stop[k]]
        part = np.uint64(0)
        for x in range(line.size):
            value = np.uint64(line[x])
            part += (value ^ (value >> np.uint64(32))) * np.uint64(keys[x])
        total += part * row_keys[row[k]]
    return total


@nb.njit(nogil=True, cache=True)
def fingerprint_colours(
    colours: Array, row: Array, start: Array, stop: Array, row_keys: Array, column_keys: Array
) -> Any:
    """Return what `fingerprint` of three channels of 8 bits gives, weighed by 1, 3 and 5 as layers are."""
    total = np.uint64(0)
    for k in range(row.size):
        line = colours[row[k], start[k] : stop[k]]
        keys = column_keys[start[k] : stop[k]]
        part = np.uint64(0)
        for x in range(line.shape[0]):
            red, green, blue = np.uint32(line[x, 0]), np.uint32(line[x, 1]), np.uint32(line[x, 2])
            part += np.uint64(red + np.uint32(3) * green + np.uint32(5) * blue) * np.uint64(keys[x])
        total += part * row_keys[row[k]]
    return total


@nb.njit(nogil=True, cache=True)
def gather_pixels(
    regions: int, pixels: Array, region: Array, row: Array, start: Array, stop: Array
) -> tuple[Array, Array]:
    """Return the pixels of each region one after another, and where each region begins."""
    begins = np.zeros(regions + 1, np.int64)
    for k in range(region.size):
        begins[region[k] + 1] += stop[k] - start[k]
    for r in range(regions):
        begins[r + 1] += begins[r]
    place = begins.copy()
    values = np.empty(begins[-1], pixels.dtype)
    for k in range(region.size):
        line = pixels[row[k]][start[k] : stop[k]]
        first = place[region[k]]
        values[first : first + line.size] = line
        place[region[k]] += line.size
    return values, begins


@nb.njit(nogil=True, cache=True)
def _select(values: Array, k: int) -> Any:
    """Return the `k`-th smallest value; `values` are partly sorted, so that those after `k` are not below it."""
    low = 0
    high = values.size - 1
    while high > low:
        pivot = values[(low + high) >> 1]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@nb.njit(nogil=True, cache=True)
def find_quantiles(values: Array, begins: Array, probabilities: Array) -> Array:
    """Return per region the quantiles of its values, linear between neighbours, NaN without any; no NaN enters.

    The result is a function of the set of values alone; `values` are rearranged.
    """
    found = np.full((begins.size - 1, probabilities.size), np.nan)
    for r in range(begins.size - 1):
        line = values[begins[r] : begins[r + 1]]
        if line.size == 0:
            continue
        for q in range(probabilities.size):
            place = probabilities[q] * (line.size - 1)
            k = int(np.floor(place))
            share = place - k
            below = np.float64(_select(line, k))
            if share > 0:
                above = np.float64(line[k + 1 :].min())
                # Weighted from the nearer side: then neither end is missed by a rounding.
                if share < 0.5:
                    below += (above - below) * share
                else:
                    below = above - (above - below) * (1 - share)
            found[r, q] = below
    return found
