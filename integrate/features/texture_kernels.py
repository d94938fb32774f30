"""Compiled loops over pixels and their neighbours, one whole region after another."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["count_patterns", "describe_counts", "describe_texture", "measure_gradients", "measure_spread"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def _extremes(pixels: Array, row: Array, start: Array, stop: Array) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for k in range(row.size):
        for x in range(start[k], stop[k]):
            value = pixels[row[k], x]
            low, high = min(low, value), max(high, value)  # NaN leaves both as they are
    return low, high


@nb.njit(nogil=True, cache=True)
def _paint(
    pixels: Array, row: Array, start: Array, stop: Array, limits: tuple[float, float], levels: int, stamp: int,
    painted: Array, level: Array,
) -> None:  # fmt: skip
    """Write who a pixel belongs to and its grey level; NaN belongs to nobody."""
    low, high = limits
    for k in range(row.size):
        for x in range(start[k], stop[k]):
            value = pixels[row[k], x]
            painted[row[k], x] = 0 if value != value else stamp
            if value == value:
                share = (min(max(value, low), high) - low) / (high - low) if high > low else 0.0
                level[row[k], x] = min(int(share * levels), levels - 1)


@nb.njit(nogil=True, cache=True)
def _count_pairs(
    row: Array,
    start: Array,
    stop: Array,
    step: tuple[int, int],
    stamp: int,
    painted: Array,
    level: Array,
    counts: Array,
) -> int:
    """Count grey levels of neighbours both ways; return how many were counted."""
    dy, dx = step
    height, width = painted.shape
    total = 0
    for k in range(row.size):
        y = row[k] + dy
        if y < 0 or y >= height:
            continue
        for x in range(max(start[k], -dx), min(stop[k], width - dx)):
            if painted[row[k], x] == stamp and painted[y, x + dx] == stamp:
                a, b = level[row[k], x], level[y, x + dx]
                counts[a, b] += 1
                counts[b, a] += 1
                total += 2
    return total


@nb.njit(nogil=True, cache=True)
def describe_counts(counts: Array, total: int, found: Array) -> None:
    """Write contrast, dissimilarity, homogeneity, angular second moment, correlation, entropy, shade, prominence."""
    levels = counts.shape[0]
    mean = 0.0
    for i in range(levels):
        for j in range(levels):
            mean += i * counts[i, j]
    mean /= total
    found[:] = 0.0
    variance, covariance = 0.0, 0.0
    for i in range(levels):
        for j in range(levels):
            if counts[i, j] == 0:
                continue
            p = counts[i, j] / total
            apart, around = i - j, i + j - 2 * mean
            found[0] += p * apart * apart
            found[1] += p * abs(apart)
            found[2] += p / (1 + apart * apart)
            found[3] += p * p
            found[5] -= p * np.log2(p)
            found[6] += p * around**3
            found[7] += p * around**4
            variance += p * (i - mean) ** 2
            covariance += p * (i - mean) * (j - mean)
    found[4] = covariance / variance if variance > 0 else np.nan


@nb.njit(nogil=True, cache=True)
def describe_texture(
    regions: int, pixels: Array, limits: tuple[float, float], levels: int, distance: int,
    region: Array, row: Array, start: Array, stop: Array,
) -> Array:  # fmt: skip
    """Return per region the statistics of its co-occurrence matrices, averaged over four directions.

    Limits that are NaN stand for the extremes of each region. A direction without pairs is left out.
    """
    result = np.full((regions, 8), np.nan)
    painted = np.zeros(pixels.shape, np.int32)
    level = np.zeros(pixels.shape, np.int32)
    found = np.empty(8)
    steps = ((0, distance), (distance, distance), (distance, 0), (distance, -distance))
    first = 0
    while first < region.size:
        last = first
        while last < region.size and region[last] == region[first]:
            last += 1
        rows, begins, ends = row[first:last], start[first:last], stop[first:last]
        r = region[first]
        own = _extremes(pixels, rows, begins, ends) if limits[0] != limits[0] else limits
        _paint(pixels, rows, begins, ends, own, levels, r + 1, painted, level)
        directions = 0
        average = np.zeros(8)
        for step in steps:
            counts = np.zeros((levels, levels), np.int64)
            total = _count_pairs(rows, begins, ends, step, r + 1, painted, level, counts)
            if total:
                describe_counts(counts, total, found)
                average += found
                directions += 1
        if directions:
            result[r] = average / directions
        first = last
    return result


@nb.njit(nogil=True, cache=True)
def count_patterns(regions: int, pixels: Array, region: Array, row: Array, start: Array, stop: Array) -> Array:
    """Return per region the shares of the ten uniform local binary patterns of 8 neighbours on a circle of radius 1.

    Neighbours on the diagonals lie between pixels: what is compared is the weighted sum of differences from the centre,
    which is 0 exactly where the image is flat. Pixels at the edge of the raster, or beside NaN, are left out.
    """
    shares = np.zeros((regions, 10))
    height, width = pixels.shape
    near, far = 1 - np.sqrt(0.5), np.sqrt(0.5)
    ring_y, ring_x = (0, -1, -1, -1, 0, 1, 1, 1), (1, 1, 0, -1, -1, -1, 0, 1)
    for k in range(region.size):
        y = row[k]
        if y == 0 or y == height - 1:
            continue
        for x in range(max(start[k], 1), min(stop[k], width - 1)):
            centre = pixels[y, x]
            ones, changes, last, known = 0, 0, -1, True
            for p in range(8):
                dy, dx = ring_y[p], ring_x[p]
                value = pixels[y + dy, x + dx] - centre
                if dy != 0 and dx != 0:
                    beside = (pixels[y, x + dx] - centre) + (pixels[y + dy, x] - centre)
                    value = far * far * value + far * near * beside
                known = known and value == value
                bit = 1 if value >= 0 else 0
                ones += bit
                changes += p > 0 and bit != last  # from first to last, not round the circle: as scikit-image counts
                last = bit
            if known:
                shares[region[k], ones if changes <= 2 else 9] += 1
    for r in range(regions):
        total = shares[r].sum()
        for p in range(10):
            shares[r, p] = shares[r, p] / total if total > 0 else np.nan
    return shares


@nb.njit(nogil=True, cache=True)
def measure_gradients(regions: int, pixels: Array, region: Array, row: Array, start: Array, stop: Array) -> Array:
    """Return per region mean and standard deviation of Sobel's gradient; edges of the raster and NaN are left out."""
    found = np.full((regions, 2), np.nan)
    count = np.zeros(regions, np.int64)
    mean = np.zeros(regions)
    spread = np.zeros(regions)
    height, width = pixels.shape
    for k in range(region.size):
        y, r = row[k], region[k]
        if y == 0 or y == height - 1:
            continue
        for x in range(max(start[k], 1), min(stop[k], width - 1)):
            down = pixels[y + 1, x - 1] + 2 * pixels[y + 1, x] + pixels[y + 1, x + 1]
            up = pixels[y - 1, x - 1] + 2 * pixels[y - 1, x] + pixels[y - 1, x + 1]
            right = pixels[y - 1, x + 1] + 2 * pixels[y, x + 1] + pixels[y + 1, x + 1]
            left = pixels[y - 1, x - 1] + 2 * pixels[y, x - 1] + pixels[y + 1, x - 1]
            slope = np.sqrt(((down - up) / 4) ** 2 / 2 + ((right - left) / 4) ** 2 / 2)
            if slope == slope:
                count[r] += 1
                change = slope - mean[r]
                mean[r] += change / count[r]
                spread[r] += change * (slope - mean[r])
    for r in range(regions):
        if count[r]:
            found[r, 0], found[r, 1] = mean[r], np.sqrt(spread[r] / count[r])
    return found


@nb.njit(nogil=True, cache=True)
def measure_spread(values: Array, begins: Array) -> Array:
    """Return per region Gini's coefficient and the median absolute deviation from the median; NaN is left out."""
    found = np.full((begins.size - 1, 2), np.nan)
    for r in range(begins.size - 1):
        line = values[begins[r] : begins[r + 1]]
        line = np.sort(line[line == line])
        n = line.size
        if n == 0:
            continue
        total, weighted = 0.0, 0.0
        for i in range(n):
            total += line[i]
            weighted += (2 * i - n + 1) * line[i]
        if line[0] >= 0 and total > 0:
            found[r, 0] = weighted / (n * total)
        middle = (line[(n - 1) // 2] + line[n // 2]) / 2
        apart = np.sort(np.abs(line - middle))
        found[r, 1] = (apart[(n - 1) // 2] + apart[n // 2]) / 2
    return found
