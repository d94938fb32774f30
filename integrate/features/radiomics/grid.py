"""Where voxels lie: the grid of a volume in millimetres, and the ways from one grid to another."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, UnitError
from integrate.features.radiomics.settings import Resample
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Pose", "VoxelGrid", "index_map", "move_grid", "read_grid", "resample_grid"]

#: Grids are equal when no voxel is further from its place than this part of a voxel.
_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True)
class VoxelGrid:
    """Shape and voxel edges ``(z, y, x)`` in mm, and the affine from voxel index to mm as rows of a 4 × 4 matrix.

    Integer indices are voxel centres. `space` says in which space the affine ends: ``"lps"`` (the patient) or
    ``"volume"`` (distances from the volume's corner, all that coordinates tell).
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    space: str

    @property
    def matrix(self) -> np.ndarray[Any, Any]:
        """The affine as an array."""
        import numpy as np

        return np.array(self.affine)


def read_grid(volume: xr.DataArray, *, what: str) -> VoxelGrid:
    """Return the grid of a volume ``(z, y, x)`` from its ``affine_lps``, else from its coordinates in mm.

    Raises
    ------
    DataError
        If it is no volume.
    UnitError
        If the voxel size in mm is unknown.
    """
    import numpy as np

    if tuple(getattr(volume, "dims", ())) != ("z", "y", "x"):
        found = f"{type(volume).__name__} with dims {tuple(getattr(volume, 'dims', ()))}"
        raise DataError(f"expected the {what} as a DataArray with dims ('z', 'y', 'x'), found {found}")
    if volume.size == 0:
        raise DataError(f"the {what} has no voxels: its shape is {tuple(volume.shape)}")
    shape = tuple(int(n) for n in volume.shape)
    lps = image_notes(volume).get("affine_lps")
    if lps is not None:
        affine = np.eye(4)
        affine[:3] = np.asarray(lps, float)[:3][:, [2, 1, 0, 3]]  # the notes' affine takes (i, j, k), ours (k, j, i)
        _check_coordinates(volume, affine, what)
        space = "lps"
    else:
        affine, space = _affine_of_coordinates(volume, what), "volume"
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    if not all(0 < one < math.inf for one in spacing):
        raise UnitError(f"the {what} has voxels of {spacing} mm; expected three lengths above 0")
    return VoxelGrid(shape, spacing, tuple(map(tuple, affine.tolist())), space)  # type: ignore[arg-type]


def _affine_of_coordinates(volume: xr.DataArray, what: str) -> np.ndarray[Any, Any]:
    import numpy as np

    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for row, axis in enumerate(("z", "y", "x")):
        step, first = _even_steps(volume, axis, what)
        affine[2 - row, row], affine[2 - row, 3] = step, first
    return affine


def _even_steps(volume: xr.DataArray, axis: str, what: str) -> tuple[float, float]:
    """Return step and first value of a coordinate in mm."""
    import numpy as np

    coordinate = volume.coords.get(axis)
    unit = None if coordinate is None else coordinate.attrs.get("units")
    if coordinate is None or unit != "mm":
        raise UnitError(
            f"the {what} does not say its voxel size: coordinate {axis!r} is in {unit or 'no unit'}; "
            'give z, y and x coordinates of voxel centres with attrs["units"] = "mm"'
        )
    centres = coordinate.values.astype(float)
    if len(centres) == 1:
        spacing = image_notes(volume).get("spacing_mm")
        known = None if spacing is None else spacing["zyx".index(axis)]
        return float(known or 2 * centres[0]), float(centres[0])
    step = float(centres[-1] - centres[0]) / (len(centres) - 1)
    if step == 0 or np.abs(np.diff(centres) / step - 1).max() > _TOLERANCE:
        raise AlignmentError(f"coordinate {axis!r} of the {what} is uneven; resample it to one distance first")
    return step, float(centres[0])


def _check_coordinates(volume: xr.DataArray, affine: np.ndarray[Any, Any], what: str) -> None:
    """Move the affine to where the coordinates begin: a crop changes coordinates but not attributes.

    Raises
    ------
    AlignmentError
        If the coordinates move by another step than the affine.
    """
    import numpy as np

    corner = np.zeros(3)
    for row, axis in enumerate(("z", "y", "x")):
        coordinate = volume.coords.get(axis)
        if coordinate is None or coordinate.attrs.get("units") != "mm":
            continue
        step = float(np.linalg.norm(affine[:3, row]))
        index = coordinate.values.astype(float) / step - 0.5
        if np.abs(index - index[0] - np.arange(len(index))).max() > _TOLERANCE:
            raise AlignmentError(
                f"coordinate {axis!r} of the {what} does not move by the {step:g} mm that its affine_lps says; "
                "write the volume anew after striding, flipping or resampling it"
            )
        corner[row] = index[0] if abs(index[0]) > _TOLERANCE else 0.0
    affine[:3, 3] += affine[:3, :3] @ corner


def resample_grid(grid: VoxelGrid, resample: Resample | None) -> VoxelGrid:
    """Return the grid that `resample` asks for: as many voxels as cover the volume, with the same centre.

    Examples
    --------
    >>> grid = VoxelGrid((60, 201, 204), (3.0, 0.977, 0.977), tuple(map(tuple, [[0.0] * 4] * 4)), "lps")
    >>> resample_grid(grid, Resample(2)).shape
    (90, 99, 100)
    """
    import numpy as np

    if resample is None:
        return grid
    wanted = [new or old for new, old in zip(resample.spacing_mm, grid.spacing_mm, strict=True)]  # type: ignore[arg-type]
    ratio = np.array(wanted) / grid.spacing_mm
    shape = [math.ceil(round(n / r, 6)) for n, r in zip(grid.shape, ratio, strict=True)]
    affine = grid.matrix
    first = (np.array(grid.shape) - 1) / 2 - ratio * (np.array(shape) - 1) / 2
    affine[:3, 3] += affine[:3, :3] @ first
    affine[:3, :3] *= ratio
    return VoxelGrid(tuple(shape), tuple(wanted), tuple(map(tuple, affine.tolist())), grid.space)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Pose:
    """How a grid lies to the one that covers the image: turned about the slice normal, then shifted, in its voxels."""

    turn_deg: float = 0.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)


def move_grid(grid: VoxelGrid, pose: Pose) -> VoxelGrid:
    """Return a grid of the same voxel size, turned about the centre of the volume and large enough to cover it.

    Examples
    --------
    >>> grid = VoxelGrid(
    ...     (4, 10, 20), (3.0, 1.0, 1.0), tuple(map(tuple, [[3.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])), ""
    ... )
    >>> move_grid(grid, Pose(turn_deg=90)).shape
    (4, 20, 10)
    """
    import numpy as np

    if pose == Pose():
        return grid
    cosine, sine = math.cos(math.radians(pose.turn_deg)), math.sin(math.radians(pose.turn_deg))
    edges = np.diag(grid.spacing_mm)
    turn = np.linalg.inv(edges) @ np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ edges
    margin = [math.ceil(abs(one)) * 2 for one in pose.shift]
    extent = np.abs(np.linalg.inv(turn)) @ grid.shape
    shape = [math.ceil(round(n, 6)) + more for n, more in zip(extent, margin, strict=True)]
    affine = grid.matrix
    first = (np.array(grid.shape) - 1) / 2 + turn @ (np.array(pose.shift) - (np.array(shape) - 1) / 2)
    affine[:3, 3] += affine[:3, :3] @ first
    affine[:3, :3] = affine[:3, :3] @ turn
    return VoxelGrid(tuple(shape), grid.spacing_mm, tuple(map(tuple, affine.tolist())), grid.space)


def index_map(target: VoxelGrid, source: VoxelGrid) -> np.ndarray[Any, Any]:
    """Return the 4 × 4 matrix from voxel indices of `target` to those of `source`, the identity when they are one grid.

    Raises
    ------
    AlignmentError
        If they are not in one space: only one of them says where in the patient it lies.
    """
    import numpy as np

    if target.space != source.space:
        if _same_raster(target, source):
            return np.eye(4)
        raise AlignmentError(
            f"the mask is {source.shape} voxels of {_mm(source)}, the image {target.shape} of {_mm(target)}, and only "
            "one of them says where in the patient it lies (affine_lps); give both, or resample the mask"
        )
    matrix = np.linalg.inv(source.matrix) @ target.matrix
    corners = np.array([(k, j, i, 1) for k, j, i in itertools.product(*((0, n - 1) for n in target.shape))])
    moved = np.abs((corners @ matrix.T - corners)[:, :3]).max()
    # Files store positions to 7 digits or fewer; what is one grid but for those must not be interpolated, nor may
    # interpolated masks fall to either side of a half by chance.
    return np.eye(4) if moved < _TOLERANCE and target.shape == source.shape else matrix


def _same_raster(one: VoxelGrid, other: VoxelGrid) -> bool:
    import numpy as np

    return one.shape == other.shape and np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-3)


def _mm(grid: VoxelGrid) -> str:
    return " x ".join(f"{one:g}" for one in grid.spacing_mm) + " mm"
