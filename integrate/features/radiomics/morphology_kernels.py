"""Compiled loops over a mask: mesh cells, mesh vertices that can be corners, moments, and spheres around voxels."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["count_cells", "find_corners", "find_diameter", "sum_moments", "sum_spheres"]

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
    """Return mesh vertices ``(z, y, x)`` in voxels of the padded mask: in every plane of them the corners of the hull.

    A vertex lies halfway between a voxel inside and a neighbour outside. Any corner of the convex hull of all is among
    those of the planes, which are found in whole numbers of half voxels.
    """
    slices, rows, columns = inside.shape
    found = np.empty((8 * slices * rows, 3), np.int64)
    ends = np.empty((2 * rows, 2), np.int64)
    number = 0
    for plane in range(2 * slices - 2):
        ends[:] = -1
        z = plane // 2
        for y in range(rows - 1):
            here, below, beyond = inside[z, y], inside[z, y + 1], inside[z + 1, y]
            for x in range(columns - 1):
                if plane % 2:
                    if here[x] != beyond[x]:
                        _stretch(ends[2 * y], 2 * x)
                else:
                    if here[x] != here[x + 1]:
                        _stretch(ends[2 * y], 2 * x + 1)
                    if here[x] != below[x]:
                        _stretch(ends[2 * y + 1], 2 * x)
        for side in range(2):
            number = _bend(ends[:, side], 1 - 2 * side, plane, found, number)
    return found[:number] / 2


@nb.njit(nogil=True, cache=True)
def _stretch(ends: Array, x: int) -> None:
    if ends[0] < 0:
        ends[0] = x
    ends[1] = x


@nb.njit(nogil=True, cache=True)
def _bend(line: Array, sign: int, plane: int, found: Array, number: int) -> int:
    """Append one side of the hull of a plane, the left for `sign` 1, and return how many points are found now."""
    start = number
    for y in range(len(line)):
        x = line[y]
        if x < 0:
            continue
        while number - start >= 2:
            a, b = found[number - 2], found[number - 1]
            if sign * ((x - a[2]) * (b[1] - a[1]) - (b[2] - a[2]) * (y - a[1])) > 0:
                break
            number -= 1
        found[number, 0], found[number, 1], found[number, 2] = plane, y, x
        number += 1
    return number


@nb.njit(nogil=True, cache=True)
def find_diameter(points: Array) -> float:
    """Return the largest distance of two points."""
    largest = 0.0
    for i in range(len(points)):
        for j in range(i):
            apart = 0.0
            for axis in range(3):
                apart += (points[i, axis] - points[j, axis]) ** 2
            largest = max(largest, apart)
    return np.sqrt(largest)


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
def sum_spheres(image: Array, corner: tuple[int, int, int], shape: tuple[int, int, int], reach: Array) -> Array:
    """Return the sums of an image over a sphere around each voxel of a box that begins at `corner`.

    Nothing is added beyond the image. ``reach[|dz|, |dy|]`` is how far the sphere extends along x, -1 for not at all.
    Each slice gives the disc of every height once, which the spheres above and below share; a disc is made of rows,
    and a row is the difference of two running totals.
    """
    slices, rows, columns = shape
    high, deep = len(reach) - 1, reach.shape[1] - 1
    size = rows * columns
    sums = np.zeros((slices, size))
    lines = np.zeros((reach.max() + 1, rows + 2 * deep, columns))
    flat = lines.reshape(len(lines), -1)
    disc = np.empty(size)
    for z in range(max(corner[0] - high, 0), min(corner[0] + slices + high, len(image))):
        _sum_lines(image[z], corner[1] - deep, corner[2], lines)
        for k in range(high + 1):
            below, above = z - k - corner[0], z + k - corner[0]
            if below >= slices or above < 0:
                continue
            disc[:] = flat[reach[k, 0], deep * columns :][:size]
            for dy in range(1, deep + 1):
                if reach[k, dy] >= 0:
                    near = flat[reach[k, dy], (deep - dy) * columns :][:size]
                    far = flat[reach[k, dy], (deep + dy) * columns :][:size]
                    for i in range(size):
                        disc[i] += near[i] + far[i]
            if below >= 0:
                sums[below] += disc
            if k > 0 and above < slices:
                sums[above] += disc
    return sums.reshape(shape)


@nb.njit(nogil=True, cache=True)
def _sum_lines(plane: Array, first_row: int, first: int, lines: Array) -> None:
    """Fill ``lines[w, y, x]`` with the sum over `w` voxels to each side in a row of a plane."""
    extents, rows, columns = lines.shape
    margin = extents - 1
    total = np.zeros(columns + 2 * margin + 1)
    for y in range(rows):
        row = first_row + y
        if not 0 <= row < len(plane):
            lines[:, y] = 0
            continue
        for i in range(columns + 2 * margin):
            x = first - margin + i
            total[i + 1] = total[i] + (plane[row, x] if 0 <= x < plane.shape[1] else 0.0)
        for w in range(extents):
            before, after = total[margin - w :], total[margin + w + 1 :]
            for x in range(columns):
                lines[w, y, x] = after[x] - before[x]
