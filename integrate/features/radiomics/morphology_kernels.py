"""Compiled loops over a mask: mesh cells, mesh vertices that can be corners, moments, and spheres around voxels."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["average_spheres", "count_cells", "find_corners", "sum_moments", "sum_spectra"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def count_cells(inside: Array) -> tuple[Array, Array]:
    """Return how many mesh cells of a padded mask have each of the 256 forms, and the sum of their x positions.

    A cell lies between eight voxels; bit ``4 z + 2 y + x`` of its form says whether that corner is inside.
    """
    slices, rows, columns = inside.shape
    count = np.zeros(256, np.int64)
    position = np.zeros(256, np.int64)
    for z in range(slices - 1):
        for y in range(rows - 1):
            a, b, c, d = inside[z, y], inside[z, y + 1], inside[z + 1, y], inside[z + 1, y + 1]
            left = a[0] + (b[0] << 2) + (c[0] << 4) + (d[0] << 6)
            for x in range(columns - 1):
                right = a[x + 1] + (b[x + 1] << 2) + (c[x + 1] << 4) + (d[x + 1] << 6)
                form = left + (right << 1)
                count[form] += 1
                position[form] += x
                left = right
    return count, position


@nb.njit(nogil=True, cache=True)
def find_corners(inside: Array) -> Array:
    """Return mesh vertices ``(z, y, x)`` in voxels of the padded mask: of those on one line along x, first and last.

    A vertex lies halfway between a voxel inside and a neighbour outside. Any corner of the convex hull is among them.
    """
    slices, rows, columns = inside.shape
    found = np.empty((6 * slices * rows, 3))
    number = 0
    for z in range(slices - 1):
        for y in range(rows - 1):
            for kind in range(3):
                first, last = -1, -1
                for x in range(columns - 1):
                    if kind == 0:
                        crosses = inside[z, y, x] != inside[z, y, x + 1]
                    elif kind == 1:
                        crosses = inside[z, y, x] != inside[z, y + 1, x]
                    else:
                        crosses = inside[z, y, x] != inside[z + 1, y, x]
                    if crosses:
                        if first < 0:
                            first = x
                        last = x
                if first >= 0:
                    for x in (first, last):
                        found[number, 0] = z + 0.5 * (kind == 2)
                        found[number, 1] = y + 0.5 * (kind == 1)
                        found[number, 2] = x + 0.5 * (kind == 0)
                        number += 1
    return found[:number]


@nb.njit(nogil=True, cache=True)
def sum_moments(inside: Array) -> Array:
    """Return count, sums of z, y, x and of zz, yy, xx, zy, zx, yx of the indices of voxels inside."""
    slices, rows, columns = inside.shape
    sums = np.zeros(10, np.int64)
    for z in range(slices):
        for y in range(rows):
            n, sx, sxx = 0, 0, 0
            for x in range(columns):
                if inside[z, y, x]:
                    n += 1
                    sx += x
                    sxx += x * x
            sums[0] += n
            sums[1] += n * z
            sums[2] += n * y
            sums[3] += sx
            sums[4] += n * z * z
            sums[5] += n * y * y
            sums[6] += sxx
            sums[7] += n * z * y
            sums[8] += z * sx
            sums[9] += y * sx
    return sums


@nb.njit(nogil=True, cache=True)
def sum_spectra(
    weights: Array, present: Array, off: Array, square: Array, first: int, shape: tuple[int, int, int]
) -> Array:
    """Return the weighted sums over all pairs of present · present, off · off and square · present (Parseval).

    `weights` is an eighth of an even spectrum of `shape`; of the half spectra of the others these are the rows from
    `first` on. Every frequency along x but 0 and the highest stands for two.
    """
    slices, rows, half = present.shape
    sums = np.zeros(3)
    for z in range(slices):
        for y in range(rows):
            line = np.zeros(3)
            row = weights[min(z, slices - z), min(first + y, shape[1] - first - y)]
            for x in range(half):
                weight = row[x] if x == 0 or 2 * x == shape[2] else 2 * row[x]
                one, two, three = present[z, y, x], off[z, y, x], square[z, y, x]
                line[0] += weight * (one.real * one.real + one.imag * one.imag)
                line[1] += weight * (two.real * two.real + two.imag * two.imag)
                line[2] += weight * (one.real * three.real + one.imag * three.imag)
            sums += line
    return sums


@nb.njit(nogil=True, cache=True)
def average_spheres(image: Array, voxels: Array, reach: Array) -> Array:
    """Return the mean around each voxel of the known intensities in a sphere, as far as it lies in the image.

    Row ``k`` of `reach` holds ``dz, dy`` and how far the sphere extends along x there. Sums come from running totals
    along x of what differs from the mean intensity, so that they lose no digits. Totals are padded by the largest
    extent, so that no row needs a bounds check. Voxels in one row, which are sorted, are summed side by side.
    """
    slices, rows, columns = image.shape
    pz, py, px = reach[:, 0].max(), reach[:, 1].max(), reach[:, 2].max()
    shape = (slices + 2 * pz, rows + 2 * py, columns + 2 * px + 1)
    total = np.zeros(shape)
    known = np.zeros(shape, np.int32)
    centre, number = 0.0, 0
    for value in image.ravel():
        if not np.isnan(value):
            centre += value
            number += 1
    centre /= max(number, 1)
    for z in range(slices):
        for y in range(rows):
            summed, counted = 0.0, 0
            for x in range(shape[2] - 1):
                if px <= x < px + columns and not np.isnan(image[z, y, x - px]):
                    summed += image[z, y, x - px] - centre
                    counted += 1
                total[z + pz, y + py, x + 1] = summed
                known[z + pz, y + py, x + 1] = counted
    totals, counts = total.ravel(), known.ravel()
    starts = (reach[:, 0] * shape[1] + reach[:, 1]) * shape[2] - reach[:, 2]
    stops = starts + 2 * reach[:, 2] + 1
    everything = (2 * reach[:, 2] + 1).sum()
    complete = number == image.size
    means = np.empty(len(voxels))
    sums, numbers = np.empty(columns), np.empty(columns, np.int32)
    v = 0
    while v < len(voxels):
        z, y, first = voxels[v]
        stop = v + 1
        while stop < len(voxels) and voxels[stop, 0] == z and voxels[stop, 1] == y:
            stop += 1
        width = voxels[stop - 1, 2] + 1 - first
        at = ((z + pz) * shape[1] + y + py) * shape[2] + first + px
        within = complete and pz <= z < slices - pz and py <= y < rows - py
        within = within and px <= first and first + width <= columns - px
        sums[:width], numbers[:width] = 0.0, everything if within else 0
        for k in range(len(reach)):
            before, after = totals[at + starts[k] :][:width], totals[at + stops[k] :][:width]
            for x in range(width):
                sums[x] += after[x] - before[x]
            if not within:
                fewer, more = counts[at + starts[k] :][:width], counts[at + stops[k] :][:width]
                for x in range(width):
                    numbers[x] += more[x] - fewer[x]
        for one in range(v, stop):
            x = voxels[one, 2] - first
            means[one] = sums[x] / numbers[x] + centre if numbers[x] else np.nan
        v = stop
    return means
