"""Autocorrelation: how alike the intensities of near voxels of a region are, by Moran's I and Geary's C."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.region import bounding_box

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["measure_autocorrelation"]

#: How many waves along y are transformed along z and summed at a time, so that they stay in the processor's cache.
_WAVES = 8


def measure_autocorrelation(region: Region) -> tuple[float, float]:
    """Return Moran's I and Geary's C over all pairs of voxels, weighted by the inverse of their distance.

    Both are NaN for a single voxel or intensity.

    Notes
    -----
    A loop over the pairs of a large region would take hours. Their weights depend on nothing but the distance along
    each axis, so standing waves along the axes of a box of twice the size in each direction make the matrix of weights
    diagonal: a sum over pairs becomes one over waves, exact but for rounding. The box is folded about its middle, as a
    cosine sees only the even and a sine only the odd part, and transformed by products of matrices, which up to some
    hundred voxels an edge is faster than Fourier transforms of the padded box.
    """
    import numpy as np

    values = region.values
    if values.size < 2 or values.min() == values.max():
        return math.nan, math.nan
    cut = bounding_box(region.measured)
    present = region.measured[cut]
    off = np.where(present, region.image[cut] - values.mean(), 0.0)
    off /= np.abs(off).max()  # neither measure sees a scale, but the squares of a very small one would vanish
    pairs, products, squares = _sum_pairs(np.stack([present, off, off * off]), region.spacing_mm)
    variance = float((off * off).sum())
    moran = values.size / pairs * products / variance
    geary = (values.size - 1) / (2 * pairs) * (2 * squares - 2 * products) / variance
    return moran, geary


def _sum_pairs(fields: np.ndarray[Any, Any], spacing: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the weighted sums over all pairs of fields 0 · 0, 1 · 1 and 0 · 2, dims ``(3, z, y, x)``."""
    import itertools

    import numpy as np

    from integrate.features.radiomics.autocorrelation_kernels import fold_box, sum_squares

    shape = fields.shape[1:]
    along_z, along_y, along_x = (_waves(n) for n in shape)
    weights = _weights(shape, spacing)
    parts = fold_box(fields)
    sums = np.zeros(3)
    for z, y, x in itertools.product((0, 1), repeat=3):
        part = parts[z, y, x].reshape(-1, along_x.shape[1]) @ along_x[x]
        part = along_y[y].T @ part.reshape(3, along_z.shape[1], along_y.shape[1], -1)
        for first in range(0, part.shape[2], _WAVES):
            chunk = part[:, :, first : first + _WAVES]
            rows = along_z[z].T @ chunk.reshape(*chunk.shape[:2], -1)
            sums += sum_squares(weights[:, first : first + _WAVES].reshape(rows.shape[1:]), rows)
    pairs, products, squares = sums.tolist()
    return pairs, products, squares


@lru_cache(maxsize=256)
def _waves(number: int) -> np.ndarray[Any, Any]:
    """Return cosines and sines of 0 to `number` half turns in as many voxels, from the middle outwards."""
    import numpy as np

    place = np.arange(number % 2 == 0, number, 2)[:, None]  # in half voxels from the middle
    turn = place * np.arange(number + 1) % (4 * number) * (math.pi / (2 * number))
    waves = np.stack([np.cos(turn), np.sin(turn)])
    if number % 2:
        waves[:, 0] /= 2  # the middle is folded onto itself
    waves.flags.writeable = False
    return waves


def _weights(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> np.ndarray[Any, Any]:
    """Return how much the square of every wave counts: the spectrum of 1 / distance, 0 for a voxel with itself."""
    import numpy as np
    from scipy import fft

    squares = [(np.arange(n + 1) * step) ** 2 for n, step in zip(shape, spacing, strict=True)]
    distance = np.sqrt(squares[0][:, None, None] + squares[1][None, :, None] + squares[2])
    distance[0, 0, 0] = np.inf
    weights = fft.dctn(1 / distance, type=1, overwrite_x=True)
    for axis, n in enumerate(shape):
        share = np.full(n + 1, 1 / n)  # of 2 n waves, all but the slowest and the fastest come as a pair
        share[[0, -1]] = 0.5 / n
        weights *= share.reshape([-1 if one == axis else 1 for one in range(3)])
    return weights
