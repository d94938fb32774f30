"""Features of one texture matrix, compiled."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["describe_pairs", "describe_sizes"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def describe_pairs(counts: Array) -> Array:
    """Return the 25 co-occurrence features of one symmetric matrix; NaN where it is empty or a ratio is 0 / 0."""
    features = np.full(25, np.nan)
    total = counts.sum()
    if total == 0:
        return features
    number = len(counts)
    edge, apart, together = np.zeros(number), np.zeros(number), np.zeros(2 * number - 1)
    energy, product = 0.0, 0.0
    for i in range(number):
        for j in range(number):
            p = counts[i, j] / total
            edge[i] += p
            apart[abs(i - j)] += p
            together[i + j] += p
            energy += p * p
            product += (i + 1) * (j + 1) * p
    level = np.arange(1.0, number + 1)
    mean = (level * edge).sum()
    variance = ((level - mean) ** 2 * edge).sum()
    entropy, edge_entropy = _entropy(counts.ravel() / total), _entropy(edge)
    features[:4] = np.array([counts.max() / total, mean, variance, entropy])
    features[4:7], features[11:18] = _describe_differences(apart)
    features[7], features[20:23] = 2 * mean, _describe_sums(together, mean)
    features[8], features[9] = features[20], _entropy(together)
    features[10], features[19] = energy, product
    features[18] = (product - mean * mean) / variance if variance > 0 else np.nan
    # The matrix is symmetric, so the entropies HXY1 and HXY2 of the manual are both twice that of its edge.
    features[23] = (entropy - 2 * edge_entropy) / edge_entropy if edge_entropy > 0 else np.nan
    features[24] = np.sqrt(max(0.0, 1 - np.exp(-2 * (2 * edge_entropy - entropy))))
    return features


@nb.njit(nogil=True, cache=True)
def _entropy(shares: Array) -> float:
    entropy = 0.0
    for p in shares:
        if p > 0:
            entropy -= p * np.log2(p)
    return entropy


@nb.njit(nogil=True, cache=True)
def _describe_differences(apart: Array) -> tuple[Array, Array]:
    """Return mean, variance, entropy of level differences; contrast, dissimilarity, their inverses, inverse variance.

    ``apart[k]`` is the share of pairs whose levels differ by `k`.
    """
    number = len(apart)
    k = np.arange(1.0 * number)
    mean = (k * apart).sum()
    spread = np.array([mean, ((k - mean) ** 2 * apart).sum(), _entropy(apart)])
    inverse = np.empty(7)
    inverse[0], inverse[1] = (k * k * apart).sum(), mean
    inverse[2], inverse[3] = (apart / (1 + k)).sum(), (apart / (1 + k / number)).sum()
    inverse[4], inverse[5] = (apart / (1 + k * k)).sum(), (apart / (1 + (k / number) ** 2)).sum()
    inverse[6] = (apart[1:] / k[1:] ** 2).sum()
    return spread, inverse


@nb.njit(nogil=True, cache=True)
def _describe_sums(together: Array, mean: float) -> Array:
    """Return cluster tendency, shade and prominence; ``together[k]`` is the share of pairs with levels of sum k + 2."""
    off = np.arange(2.0, len(together) + 2) - 2 * mean
    return np.array([(off**2 * together).sum(), (off**3 * together).sum(), (off**4 * together).sum()])


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
