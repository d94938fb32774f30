"""The grid of a volume: where its voxels lie, and that its regions lie on the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, UnitError
from integrate.features.grid import Grid, shared_space
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["as_channels", "check_volume_labels", "is_volume", "shapes_to_volume", "volume_grid"]

#: Coordinates are alike when they differ by less than this part of a voxel.
_TOLERANCE = 1e-3


def is_volume(image: Any) -> bool:
    """Return whether an image has planes."""
    return "z" in getattr(image, "dims", ())


def as_channels(volume: xr.DataArray) -> xr.DataArray:
    """Return a volume with dims ``(c, z, y, x)``; one without channels has one named ``"intensity"``.

    Raises
    ------
    DataError
        If it has other dims, no voxel, or no numbers.
    """
    if tuple(volume.dims) == ("z", "y", "x"):
        volume = volume.expand_dims(c=["intensity"])
    if tuple(volume.dims) != ("c", "z", "y", "x") or "c" not in volume.coords:
        raise DataError(f"expected a volume with dims ('c', 'z', 'y', 'x') or ('z', 'y', 'x'), found {volume.dims}")
    if volume.size == 0 or volume.dtype.kind not in "buif":
        raise DataError(f"expected voxels of bool, integers or floats, found {volume.dtype} of shape {volume.shape}")
    return volume


def volume_grid(volume: xr.DataArray) -> Grid:
    """Return the grid that coordinates describe: centres of voxels, with their unit; without any, voxels are counted.

    Raises
    ------
    AlignmentError
        If the coordinates are not evenly spaced.
    UnitError
        If they are in different units along different axes.
    """
    import numpy as np

    notes = image_notes(volume)
    if "transform" in volume.attrs and notes.get("spacing_mm"):  # an element of SpatialData: coordinates count voxels
        spacing = tuple(float(step) for step in notes["spacing_mm"])
        first = [float(volume.coords[axis][0]) - 0.5 if axis in volume.coords else 0.0 for axis in "zyx"]
        origin = tuple(start * step for start, step in zip(first, spacing, strict=True))
        return Grid(tuple(volume.sizes[axis] for axis in "zyx"), spacing, origin, "mm")
    sizes, origins, units = [], [], set()
    for k, axis in enumerate("zyx"):
        centres = volume.coords[axis].values if axis in volume.coords else np.arange(volume.sizes[axis]) + 0.5
        units.add(str(volume.coords[axis].attrs.get("units", "px")) if axis in volume.coords else "px")
        if len(centres) > 1:
            steps = np.diff(centres)
            step = float(centres[-1] - centres[0]) / (len(centres) - 1)
            if not step > 0 or not np.allclose(steps, step, rtol=0, atol=_TOLERANCE * abs(step)):
                raise AlignmentError(
                    f"coordinate {axis!r} moves by {steps.min():g} to {steps.max():g} from voxel to voxel; "
                    "expected even and ascending steps: a series with gaps must be resampled first"
                )
        else:
            step = float((notes.get("spacing_mm") or [2 * float(centres[0])] * 3)[k])
        sizes.append(step)
        origins.append(round(float(centres[0]) / step - 0.5, 6) * step)
    if len(units) > 1:
        raise UnitError(f"the axes of the volume are in different units: {sorted(units)}; give all the same")
    unit = units.pop()
    if unit not in ("mm", "um", "px"):
        raise UnitError(f"the coordinates of the volume are in {unit!r}; expected 'mm', 'um' or 'px'")
    return Grid(tuple(volume.sizes[axis] for axis in "zyx"), tuple(sizes), tuple(origins), unit)


def check_volume_labels(labels: Any, grid: Grid) -> None:
    """Raise unless labels are integers on the grid of the volume.

    Raises
    ------
    DataError
        If they are no integers ``(z, y, x)``.
    AlignmentError
        If they lie elsewhere.
    """
    kind = getattr(getattr(labels, "dtype", None), "kind", None)
    dims = tuple(getattr(labels, "dims", ("z", "y", "x")))
    if kind not in ("i", "u") or dims != ("z", "y", "x"):
        raise DataError(f"expected labels of a volume as integers with dims ('z', 'y', 'x'), found {kind} with {dims}")
    same = tuple(labels.shape) == grid.shape
    if same and hasattr(labels, "coords") and any(axis in labels.coords for axis in "zyx"):
        other = volume_grid(labels)
        same = other.unit != grid.unit or all(
            abs(mine - theirs) <= _TOLERANCE * step
            for pair in ((grid.size, other.size), (grid.origin, other.origin))
            for mine, theirs, step in zip(*pair, grid.size, strict=True)
        )
    if not same:
        raise AlignmentError(
            f"the volume is {grid.shape} voxels (z, y, x) of {grid.size} from {grid.origin}, its labels are "
            f"{tuple(labels.shape)} and lie elsewhere; resample them to the volume first"
        )


def shapes_to_volume(volume: xr.DataArray, shapes: Any, grid: Grid, unit: str | None) -> np.ndarray[Any, Any]:
    """Return the affine (4 x 4) from ``x, y, z`` of shapes to voxels of the volume, whose first covers ``[0, 1)``.

    Elements of SpatialData go through a shared coordinate system, shapes that say they are in the patient (LPS) through
    the volume's ``affine_lps``; others lie on its coordinates.

    Raises
    ------
    UnitError
        If nothing says in which unit the shapes are, or a length has no meaning for the volume.
    AlignmentError
        If shapes are in the patient and the volume does not say how it lies there, or has another frame of reference;
        or elements of SpatialData have no shared coordinate system.
    """
    import numpy as np

    notes, mine = image_notes(shapes), volume.attrs.get("transform")
    sizes, origin = np.array(grid.size[::-1]), np.array(grid.origin[::-1])
    shift = 0.5 - origin / sizes  # the patient's affine counts from the centre of the first voxel of the whole volume
    placed = shared_space(shapes.attrs.get("transform"), mine, axes=("x", "y", "z")) if unit is None else None
    if placed is not None:
        return _moved(placed, shift - 0.5)
    if unit is None and notes.get("orientation") == "LPS":
        return _moved(np.linalg.inv(_patient_affine(volume, shapes)), shift)
    unit = unit or notes.get("unit") or ("px" if grid.unit == "px" else None)
    if unit not in ("mm", "um", "px"):
        raise UnitError(
            f"the shapes do not say their unit (found {unit!r}) and the volume has voxels of {grid.size} {grid.unit} "
            "(z, y, x); pass unit='mm', unit='um' or unit='px'"
        )
    if unit != "px" and grid.unit == "px":
        raise UnitError(f"the shapes are in {unit} and the size of the voxels is unknown; give the volume one")
    step = {("um", "mm"): 1e-3, ("mm", "um"): 1e3}.get((unit, grid.unit), 1.0) / sizes
    scale = np.ones(3) if unit == "px" else step
    return _moved(np.diag([*scale, 1.0]), shift - 0.5)


def _moved(matrix: np.ndarray[Any, Any], shift: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    moved = matrix.copy()
    moved[:3, 3] += shift
    return moved


def _patient_affine(volume: xr.DataArray, shapes: Any) -> np.ndarray[Any, Any]:
    """Return the affine from the index of voxels along x, y and z to the patient."""
    import numpy as np

    mine, theirs = image_notes(volume), image_notes(shapes)
    if "affine_lps" not in mine:
        raise AlignmentError(
            "the shapes are in the patient (LPS) and the volume has no affine_lps; give unit= or the file"
        )
    key = "frame_of_reference_uid"
    stated = {one for one in (shapes[key] if key in shapes else [theirs.get(key)]) if one}
    if mine.get(key) and stated - {mine[key]}:
        raise AlignmentError("the shapes and the volume have different frames of reference; register them first")
    if not mine.get(key) and len(stated) > 1:
        raise AlignmentError(
            f"the shapes lie in {len(stated)} frames of reference and the volume states none, so that no more than one "
            "can be right; give those of its own"
        )
    return np.array(mine["affine_lps"], np.float64)
