"""The grid that an image and its regions share: where their pixels lie, in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, IdentityError
from integrate.model.image import image_ids, pixel_size_um

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Grid", "shared_grid", "shared_ids"]

#: Coordinates and pixel sizes are equal when they differ by less than this part of a pixel.
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Grid:
    """Shape, pixel edge and outer corner of a 2-D raster, all as ``(y, x)``.

    Pixel ``i`` covers ``origin + [i, i + 1) * size``, in micrometres (``unit == "um"``) or pixels (``"px"``).
    """

    shape: tuple[int, int]
    size: tuple[float, float]
    origin: tuple[float, float]
    unit: str

    @property
    def ucum(self) -> str:
        """The unit as a UCUM code."""
        return "um" if self.unit == "um" else "[pix]"


def shared_grid(image: xr.DataArray, regions: Any) -> Grid:
    """Return the grid of `image`, having checked that `regions` lie on it.

    Raises
    ------
    DataError
        If either is not the array it should be.
    AlignmentError
        If shape, pixel size, coordinates or SpatialData transformation differ, or the coordinates of one contradict its
        pixel size.
    """
    _check_arrays(image, regions)
    shape = (int(image.sizes["y"]), int(image.sizes["x"]))
    if tuple(regions.shape) != shape:
        raise AlignmentError(
            f"image is {shape[0]} x {shape[1]} pixels (y, x), regions are {tuple(regions.shape)}; "
            "measure needs both on one grid: crop or resample one of them"
        )
    size = _shared_pixel_size(image, regions)
    grid = Grid(shape, size or (1.0, 1.0), _origin(image, size), "px" if size is None else "um")
    if hasattr(regions, "coords"):
        _check_same_place(grid, _origin(regions, size), image, regions)
    return grid


def shared_ids(image: xr.DataArray, regions: Any) -> dict[str, str]:
    """Return the ids of image and regions together.

    Raises
    ------
    IdentityError
        If they disagree: labels of one acquisition must not measure another.
    """
    ids, others = image_ids(image), image_ids(regions)
    both = sorted(ids.keys() & others.keys())
    clashes = [f"{key} {ids[key]!r} and {others[key]!r}" for key in both if ids[key] != others[key]]
    if clashes:
        raise IdentityError(f"image and regions show different things: {', '.join(clashes)}; pair them again")
    return {**ids, **others}


def _check_arrays(image: Any, regions: Any) -> None:
    """Raise unless there is an image ``(c, y, x)`` with pixels, and an integer raster ``(y, x)`` of regions."""
    dims = tuple(getattr(image, "dims", ()))
    if not hasattr(image, "coords") or dims != ("c", "y", "x"):
        raise DataError(
            f"expected an image with dims ('c', 'y', 'x'), found {type(image).__name__} with dims {dims}; "
            "make one with integrate.model.image.make_image, and give one scale of a pyramid"
        )
    if image.size == 0:
        raise DataError(f"the image has no pixels: its shape is {tuple(image.shape)}")
    if image.dtype.kind not in "buif":
        raise DataError(f"pixels are {image.dtype}; expected bool, integers or floats")
    kind = getattr(getattr(regions, "dtype", None), "kind", None)
    if kind not in ("i", "u") or tuple(getattr(regions, "dims", ("y", "x"))) != ("y", "x"):
        hint = "; number the parts of a mask first, e.g. with skimage.measure.label" if kind == "b" else ""
        raise DataError(
            f"expected regions as an integer array with dims ('y', 'x'), found {type(regions).__name__} of "
            f"{getattr(regions, 'dtype', 'no dtype')} with dims {getattr(regions, 'dims', 'unnamed')}{hint}"
        )


def _shared_pixel_size(image: xr.DataArray, regions: Any) -> tuple[float, float] | None:
    mine, theirs = pixel_size_um(image), pixel_size_um(regions)
    if mine is not None and theirs is not None and not _close(mine, theirs, mine):
        raise AlignmentError(
            f"a pixel (y, x) is {mine} um in the image and {theirs} um in the regions; "
            "resample one of them, or correct its size"
        )
    return mine or theirs


def _origin(array: xr.DataArray, size: tuple[float, float] | None) -> tuple[float, float]:
    """Return the outer corner of the first pixel; coordinates are pixel centres."""
    import numpy as np

    steps = size if size is not None and pixel_size_um(array) is not None else (1.0, 1.0)
    scale = size or (1.0, 1.0)
    corner = []
    for axis, step, edge in zip(("y", "x"), steps, scale, strict=True):
        centres = array.coords[axis].values if axis in array.coords else None
        if centres is None or centres.size == 0:
            corner.append(0.0)
            continue
        if not np.allclose(np.diff(centres), step, rtol=0, atol=_TOLERANCE * step):
            found = f"{np.diff(centres).min():g} to {np.diff(centres).max():g}"
            raise AlignmentError(
                f"coordinate {axis!r} moves by {found} from pixel to pixel, its pixel size is {step:g}; "
                "after flipping, striding or resampling make the image anew with make_image"
            )
        corner.append(round(float(centres[0]) / step - 0.5, 6) * edge)  # a whole number but for rounding
    return corner[0], corner[1]


def _check_same_place(grid: Grid, origin: tuple[float, float], image: xr.DataArray, regions: xr.DataArray) -> None:
    if not _close(grid.origin, origin, grid.size):
        raise AlignmentError(
            f"the image starts at (y, x) = {grid.origin} {grid.unit}, the regions at {origin}; crop both alike"
        )
    if not _same_transform(image.attrs.get("transform"), regions.attrs.get("transform")):
        raise AlignmentError(
            "image and regions do not have the same transformation into a shared coordinate system; resample one"
        )


def _same_transform(mine: dict[str, Any] | None, theirs: dict[str, Any] | None) -> bool:
    """Return whether SpatialData places both alike; arrays without transformations are alike."""
    import numpy as np

    if not mine or not theirs:
        return True
    axes, shared = ("y", "x"), mine.keys() & theirs.keys()
    return bool(shared) and all(
        np.allclose(mine[space].to_affine_matrix(axes, axes), theirs[space].to_affine_matrix(axes, axes))
        for space in shared
    )


def _close(mine: tuple[float, float], theirs: tuple[float, float], size: tuple[float, float]) -> bool:
    return all(abs(a - b) <= _TOLERANCE * edge for a, b, edge in zip(mine, theirs, size, strict=True))
