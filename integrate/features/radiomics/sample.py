"""Interpolation of a box of one grid from the voxels of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Box", "fill_unknown", "sample_image", "sample_mask"]

#: A box of voxels as first index and shape ``(z, y, x)``.
Box = tuple[tuple[int, int, int], tuple[int, int, int]]

#: How far beyond a box voxels matter: the influence of a voxel on a cubic spline falls by 3.7 per voxel of distance.
_REACH = {"nearest": 1, "linear": 2, "cubic": 28}
_ORDER = {"nearest": 0, "linear": 1, "cubic": 3}


def sample_image(
    source: np.ndarray[Any, Any], matrix: np.ndarray[Any, Any], box: Box, *, method: str
) -> np.ndarray[Any, Any]:
    """Return the intensities in a box of the target grid, float64.

    Parameters
    ----------
    source
        Image ``(z, y, x)``; NaN where unknown.
    matrix
        From target to source indices, 4 × 4.
    box
        What to interpolate, in target indices.
    method
        ``"linear"``, ``"cubic"`` or ``"nearest"``. Beyond its border the image goes on as at the border.

    Notes
    -----
    Voxels without intensity are filled from the nearest one that has some before interpolation; a result to which they
    contribute half or more is NaN.
    """
    import numpy as np

    piece, local = _cut(source, matrix, box, reach=_REACH[method])
    piece = piece.astype(np.float64)
    if _is_shift(local):
        return _shift(piece, local, box[1], fill=np.nan)
    unknown = ~np.isfinite(piece)
    if unknown.all():
        return np.full(box[1], np.nan)
    values = _transform(fill_unknown(piece), local, box[1], order=_ORDER[method])
    if unknown.any():
        values[_transform(unknown.astype(np.float64), local, box[1], order=1) > 0.5 - 1e-6] = np.nan
    return values


def sample_mask(
    source: np.ndarray[Any, Any],
    label: int,
    matrix: np.ndarray[Any, Any],
    box: Box,
    *,
    method: str = "linear",
    threshold: float = 0.5,
) -> np.ndarray[Any, Any]:
    """Return which voxels of a box of the target grid belong to a label: 0 or 1 is interpolated, never the labels."""
    import numpy as np

    piece, local = _cut(source, matrix, box, reach=_REACH[method])
    inside = piece == label
    if _is_shift(local):
        return _shift(inside, local, box[1], fill=False)
    weight = _transform(inside.astype(np.float64), local, box[1], order=_ORDER[method])
    weight[_beyond(local, box[1], inside.shape)] = 0
    return weight >= threshold - 1e-6  # halves come out of the interpolation with rounding errors


def fill_unknown(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an image in which voxels without intensity have that of the nearest one; all NaN where none has."""
    import numpy as np
    from scipy import ndimage

    unknown = ~np.isfinite(image)
    if not unknown.any() or unknown.all():
        return image
    nearest = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
    known: np.ndarray[Any, Any] = image[tuple(nearest)]
    return known


def _cut(
    source: np.ndarray[Any, Any], matrix: np.ndarray[Any, Any], box: Box, *, reach: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the part of the source that matters to a box, and the matrix from indices of the box to that part's."""
    import itertools

    import numpy as np

    start, shape = np.array(box[0]), np.array(box[1])
    local = matrix.copy()
    local[:3, 3] += matrix[:3, :3] @ start
    corners = np.array(list(itertools.product(*((0, n - 1) for n in shape))))
    ends = corners @ local[:3, :3].T + local[:3, 3]
    limit = np.array(source.shape)
    first = np.clip(np.floor(ends.min(axis=0)).astype(int) - reach, 0, limit - 1)
    last = np.clip(np.ceil(ends.max(axis=0)).astype(int) + reach, 0, limit - 1)
    local[:3, 3] -= first
    return source[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))], local


def _is_shift(local: np.ndarray[Any, Any]) -> bool:
    import numpy as np

    return bool(
        np.allclose(local[:3, :3], np.eye(3), atol=1e-6) and np.abs(local[:3, 3] - np.round(local[:3, 3])).max() < 1e-2
    )


def _shift(
    piece: np.ndarray[Any, Any], local: np.ndarray[Any, Any], shape: tuple[int, ...], *, fill: float | bool
) -> np.ndarray[Any, Any]:
    """Return voxels as they are, `fill` beyond the border."""
    import numpy as np

    result = np.full(shape, fill, dtype=piece.dtype)
    target, source = [], []
    for offset, n, m in zip(np.round(local[:3, 3]).astype(int), shape, piece.shape, strict=True):
        first, last = max(0, -offset), min(n, m - offset)
        if last <= first:
            return result
        target.append(slice(first, last))
        source.append(slice(first + offset, last + offset))
    result[tuple(target)] = piece[tuple(source)]
    return result


def _transform(
    piece: np.ndarray[Any, Any], local: np.ndarray[Any, Any], shape: tuple[int, ...], *, order: int
) -> np.ndarray[Any, Any]:
    import numpy as np
    from scipy import ndimage

    linear = local[:3, :3]
    straight = np.allclose(linear, np.diag(np.diag(linear)), atol=1e-9) and (np.diag(linear) > 0).all()
    matrix = np.diag(linear) if straight else linear  # along axes scipy computes weights once per axis
    return ndimage.affine_transform(piece, matrix, local[:3, 3], output_shape=shape, order=order, mode="nearest")


def _beyond(local: np.ndarray[Any, Any], shape: tuple[int, ...], limit: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return which voxels of the box have their centre outside the source."""
    import numpy as np

    beyond = np.zeros(shape, bool)
    axes = [np.arange(n).reshape([-1 if k == axis else 1 for k in range(3)]) for axis, n in enumerate(shape)]
    for row, n in enumerate(limit):
        index = sum((local[row, axis] * axes[axis] for axis in range(3)), start=np.float64(local[row, 3]))
        beyond |= (index < -0.5 - 1e-6) | (index > n - 0.5 + 1e-6)
    return beyond
