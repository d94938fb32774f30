"""Compiled loops over the grey levels of a region: pairs, runs, zones, distances and neighbourhoods.

Every array of levels is padded by one voxel of 0 (outside) on all sides, so that no neighbour needs a bounds check.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = [
    "count_neighbours",
    "count_pairs",
    "count_runs",
    "describe_pairs",
    "describe_sizes",
    "find_zones",
    "measure_depth",
]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def count_pairs(levels: Array, first: int, last: int, directions: Array, number: int) -> Array:
    """Return how often level ``i + 1`` meets ``j + 1`` along each direction and against it, in some slices."""
    _, rows, columns = levels.shape
    steps = (directions[:, 0] * rows + directions[:, 1]) * columns + directions[:, 2]
    flat = levels.ravel()
    counts = np.zeros((len(steps), number, number), np.int64)
    for z in range(first, last):
        for y in range(1, rows - 1):
            start = (z * rows + y) * columns
            for at in range(start + 1, start + columns - 1):
                level = flat[at]
                if level > 0:
                    for d in range(len(steps)):
                        other = flat[at + steps[d]]
                        if other > 0:
                            counts[d, level - 1, other - 1] += 1
    for d in range(len(steps)):
        for i in range(number):
            for j in range(i, number):
                both = counts[d, i, j] + counts[d, j, i]
                counts[d, i, j] = both
                counts[d, j, i] = both
    return counts


@nb.njit(nogil=True, cache=True)
def count_runs(levels: Array, first: int, last: int, directions: Array, number: int) -> Array:
    """Return how many runs of level ``i + 1`` and length ``j + 1`` lie along each direction."""
    _, rows, columns = levels.shape
    steps = (directions[:, 0] * rows + directions[:, 1]) * columns + directions[:, 2]
    flat = levels.ravel()
    counts = np.zeros((len(steps), number, max(levels.shape)), np.int64)
    for d in range(len(steps)):
        step = steps[d]
        for z in range(first, last):
            for y in range(1, rows - 1):
                start = (z * rows + y) * columns
                for at in range(start + 1, start + columns - 1):
                    level = flat[at]
                    if level > 0 and flat[at - step] != level:
                        end = at + step
                        while flat[end] == level:
                            end += step
                        counts[d, level - 1, (end - at) // step - 1] += 1
    return counts


@nb.njit(nogil=True, cache=True)
def measure_depth(inside: Array, *, flat: bool) -> Array:
    """Return the city-block distance of every voxel of a padded mask to the outside, 1 at its border.

    With `flat` only neighbours in the slice count. Two sweeps are exact for this distance.
    """
    slices, rows, columns = inside.shape
    depth = np.zeros(inside.shape, np.int32)
    for z in range(1, slices - 1):
        for y in range(1, rows - 1):
            for x in range(1, columns - 1):
                if inside[z, y, x]:
                    best = min(depth[z, y - 1, x], depth[z, y, x - 1])
                    if not flat:
                        best = min(best, depth[z - 1, y, x])
                    depth[z, y, x] = best + 1
    for z in range(slices - 2, 0, -1):
        for y in range(rows - 2, 0, -1):
            for x in range(columns - 2, 0, -1):
                if inside[z, y, x]:
                    best = min(depth[z, y + 1, x], depth[z, y, x + 1])
                    if not flat:
                        best = min(best, depth[z + 1, y, x])
                    depth[z, y, x] = min(depth[z, y, x], best + 1)
    return depth


@nb.njit(nogil=True, cache=True)
def find_zones(levels: Array, depth: Array, steps: Array) -> tuple[Array, Array, Array, Array]:
    """Return level, size, smallest depth and slice of every zone of equal, connected grey levels.

    `steps` are the offsets in the flattened array of the neighbours that connect.
    """
    _, rows, columns = levels.shape
    total = 0
    left = levels.copy().ravel()
    for value in left:
        total += value > 0
    near = depth.ravel()
    level_of = np.empty(total, np.int32)
    size_of = np.empty(total, np.int64)
    depth_of = np.empty(total, np.int32)
    slice_of = np.empty(total, np.int32)
    stack = np.empty(total + 1, np.int64)
    number = 0
    for seed in range(left.size):
        level = left[seed]
        if level == 0:
            continue
        top, size, shallow = 1, 0, near[seed]
        stack[0] = seed
        left[seed] = 0
        while top > 0:
            top -= 1
            at = stack[top]
            size += 1
            shallow = min(shallow, near[at])
            for step in steps:
                if left[at + step] == level:
                    left[at + step] = 0
                    stack[top] = at + step
                    top += 1
        level_of[number], size_of[number] = level, size
        depth_of[number], slice_of[number] = shallow, seed // (rows * columns)
        number += 1
    return level_of[:number], size_of[:number], depth_of[:number], slice_of[:number]


@nb.njit(nogil=True, cache=True)
def count_neighbours(levels: Array, first: int, last: int, steps: Array, number: int) -> tuple[Array, Array, Array]:
    """Return what the neighbourhoods of all voxels give.

    Returns
    -------
    How many voxels of each level have a neighbour in the region; the sum of their differences from the mean of those
    neighbours; and how many voxels of each level depend on 0, 1, 2 … neighbours of their own level.
    """
    _, rows, columns = levels.shape
    flat = levels.ravel()
    counts = np.zeros(number, np.int64)
    differences = np.zeros(number, np.float64)
    dependences = np.zeros((number, len(steps) + 1), np.int64)
    for z in range(first, last):
        for y in range(1, rows - 1):
            start = (z * rows + y) * columns
            for at in range(start + 1, start + columns - 1):
                level = flat[at]
                if level > 0:
                    present, total, same = 0, 0, 0
                    for step in steps:
                        other = flat[at + step]
                        present += other > 0
                        total += other
                        same += other == level
                    dependences[level - 1, same] += 1
                    if present:
                        counts[level - 1] += 1
                        differences[level - 1] += abs(level - total / present)
    return counts, differences, dependences


@nb.njit(nogil=True, cache=True)
def describe_pairs(counts: Array) -> Array:
    """Return the 25 co-occurrence features of one symmetric matrix; NaN where it is empty or a ratio is 0 / 0."""
    number = len(counts)
    total = counts.sum()
    features = np.full(25, np.nan)
    if total == 0:
        return features
    edge = np.zeros(number)
    apart = np.zeros(number)
    together = np.zeros(2 * number + 1)
    most, entropy, energy, product = 0.0, 0.0, 0.0, 0.0
    for i in range(number):
        for j in range(number):
            if counts[i, j] > 0:
                p = counts[i, j] / total
                edge[i] += p
                apart[abs(i - j)] += p
                together[i + j + 2] += p
                most = max(most, p)
                entropy -= p * np.log2(p)
                energy += p * p
                product += (i + 1) * (j + 1) * p
    mean, variance, edge_entropy = 0.0, 0.0, 0.0
    for i in range(number):
        mean += (i + 1) * edge[i]
    for i in range(number):
        variance += (i + 1 - mean) ** 2 * edge[i]
        if edge[i] > 0:
            edge_entropy -= edge[i] * np.log2(edge[i])
    apart_mean, apart_variance, apart_entropy, contrast = 0.0, 0.0, 0.0, 0.0
    inverse = np.zeros(5)
    for k in range(number):
        p = apart[k]
        apart_mean += k * p
        contrast += k * k * p
        inverse[0] += p / (1 + k)
        inverse[1] += p / (1 + k / number)
        inverse[2] += p / (1 + k * k)
        inverse[3] += p / (1 + (k / number) ** 2)
        if k > 0:
            inverse[4] += p / (k * k)
        if p > 0:
            apart_entropy -= p * np.log2(p)
    for k in range(number):
        apart_variance += (k - apart_mean) ** 2 * apart[k]
    sum_entropy, tendency, shade, prominence = 0.0, 0.0, 0.0, 0.0
    for k in range(2, 2 * number + 1):
        p = together[k]
        if p > 0:
            off = k - 2 * mean
            tendency += off**2 * p
            shade += off**3 * p
            prominence += off**4 * p
            sum_entropy -= p * np.log2(p)
    features[0] = most
    features[1] = mean
    features[2] = variance
    features[3] = entropy
    features[4] = apart_mean
    features[5] = apart_variance
    features[6] = apart_entropy
    features[7] = 2 * mean
    features[8] = tendency
    features[9] = sum_entropy
    features[10] = energy
    features[11] = contrast
    features[12] = apart_mean
    features[13:18] = inverse
    features[18] = (product - mean * mean) / variance if variance > 0 else np.nan
    features[19] = product
    features[20] = tendency
    features[21] = shade
    features[22] = prominence
    # The matrix is symmetric, so the entropies HXY1 and HXY2 of the manual are both twice that of its edge.
    features[23] = (entropy - 2 * edge_entropy) / edge_entropy if edge_entropy > 0 else np.nan
    features[24] = np.sqrt(max(0.0, 1 - np.exp(-2 * (2 * edge_entropy - entropy))))
    return features


@nb.njit(nogil=True, cache=True)
def describe_sizes(counts: Array, sizes: Array, voxels: int) -> Array:
    """Return 17 features of a matrix of level ``i + 1`` by ``sizes[j]``, a run length, zone size, depth or dependence.

    Emphasis of small, large, low, high, small low, small high, large low, large high; non-uniformity of levels and its
    normalised form, the same of sizes; percentage, variance of levels, variance of sizes, entropy, energy. All NaN
    where the matrix is empty.
    """
    total = counts.sum()
    features = np.full(17, np.nan)
    if total == 0:
        return features
    features[:] = 0
    levels, columns = counts.shape
    of_size = np.zeros(columns)
    mean_level, mean_size = 0.0, 0.0
    for i in range(levels):
        of_level = 0.0
        low, high = 1 / (i + 1.0) ** 2, (i + 1.0) ** 2
        for j in range(columns):
            count = counts[i, j]
            if count == 0:
                continue
            of_level += count
            of_size[j] += count
            p = count / total
            large = float(sizes[j]) ** 2
            features[0] += p / large
            features[1] += p * large
            features[2] += p * low
            features[3] += p * high
            features[4] += p * low / large
            features[5] += p * high / large
            features[6] += p * low * large
            features[7] += p * high * large
            features[15] -= p * np.log2(p)
            features[16] += p * p
            mean_level += (i + 1) * p
            mean_size += sizes[j] * p
        features[8] += of_level * of_level / total
    for j in range(columns):
        features[10] += of_size[j] * of_size[j] / total
        features[14] += (sizes[j] - mean_size) ** 2 * of_size[j] / total
    for i in range(levels):
        for j in range(columns):
            features[13] += (i + 1 - mean_level) ** 2 * counts[i, j] / total
    features[9] = features[8] / total
    features[11] = features[10] / total
    features[12] = total / voxels
    return features
