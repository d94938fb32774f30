"""The grid of an image: where its pixels lie, in which unit, and where regions lie on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, IdentityError, UnitError, some
from integrate.model.image import image_ids, image_notes, pixel_size_um

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = [
    "Grid",
    "check_image",
    "check_labels",
    "image_grid",
    "image_to_labels",
    "shapes_to_image",
    "shared_ids",
    "shared_space",
]

#: Coordinates and pixel sizes are equal when they differ by less than this part of a pixel.
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Grid:
    """Shape, pixel edge and outer corner of a raster, all as ``(y, x)``, of a volume as ``(z, y, x)``.

    Pixel ``i`` covers ``origin + [i, i + 1) * size``, in micrometres (``unit == "um"``), millimetres or pixels
    (``"px"``).
    """

    shape: tuple[int, ...]
    size: tuple[float, ...]
    origin: tuple[float, ...]
    unit: str

    @property
    def ucum(self) -> str:
        """The unit as a UCUM code."""
        return "[pix]" if self.unit == "px" else self.unit


def image_grid(image: xr.DataArray, regions: Any) -> Grid:
    """Return the grid of `image`; where it does not know its pixel size, regions on the same pixels may.

    Raises
    ------
    AlignmentError
        If the coordinates of the image contradict its pixel size.
    """
    size = pixel_size_um(image)
    if size is None and tuple(getattr(regions, "shape", ())) == tuple(image.shape[1:]):
        size = pixel_size_um(regions)
    shape = (int(image.sizes["y"]), int(image.sizes["x"]))
    return Grid(shape, size or (1.0, 1.0), _origin(image, size), "px" if size is None else "um")


def check_image(image: Any) -> None:
    """Raise unless there is an image ``(c, y, x)`` with pixels.

    Raises
    ------
    DataError
        If it is not the array it should be.
    """
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


def check_labels(regions: Any) -> None:
    """Raise unless regions are an integer raster ``(y, x)``.

    Raises
    ------
    DataError
        If they are not.
    """
    kind = getattr(getattr(regions, "dtype", None), "kind", None)
    if kind not in ("i", "u") or tuple(getattr(regions, "dims", ("y", "x"))) != ("y", "x"):
        hint = "; number the parts of a mask first, e.g. with skimage.measure.label" if kind == "b" else ""
        raise DataError(
            f"expected regions as an integer array with dims ('y', 'x') or as shapes, found {type(regions).__name__} "
            f"of {getattr(regions, 'dtype', 'no dtype')} with dims {getattr(regions, 'dims', 'unnamed')}{hint}"
        )


def image_to_labels(image: xr.DataArray, regions: Any, grid: Grid) -> np.ndarray[Any, Any] | None:
    """Return the affine (3 x 3) from ``x, y`` of the image to pixels of the labels, or None for one shared grid.

    Raises
    ------
    AlignmentError
        If grids differ and nothing says how: labels without coordinates, an unknown pixel size, or SpatialData elements
        without a shared coordinate system.
    """
    import numpy as np

    shape = tuple(regions.shape)
    if not hasattr(regions, "coords"):
        if shape != grid.shape:
            raise AlignmentError(
                f"image is {grid.shape[0]} x {grid.shape[1]} pixels (y, x), regions are {shape}; "
                "an array does not say where it lies: make_labels with a pixel size does, or crop both alike"
            )
        return None
    placed = shared_space(image.attrs.get("transform"), regions.attrs.get("transform"))
    mine, theirs = pixel_size_um(image), pixel_size_um(regions)
    if placed is not None:
        matrix = np.linalg.inv(_to_own(regions)) @ placed @ _to_own(image)
    elif (mine is None) == (theirs is None):
        own = Grid(shape, theirs or (1.0, 1.0), _origin(regions, theirs), "px" if theirs is None else "um")
        matrix = np.linalg.inv(_to_space(own)) @ _to_space(grid)
    else:  # only one knows its pixel size: alike only if nothing else differs
        known = Grid(shape, grid.size, _origin(regions, grid.size), grid.unit)
        matrix = np.linalg.inv(_to_space(known)) @ _to_space(grid)
    if shape == grid.shape and np.allclose(matrix, np.eye(3), rtol=0, atol=_TOLERANCE):
        return None
    if placed is None and (mine is None or theirs is None):
        raise AlignmentError(
            f"image is {grid.shape[0]} x {grid.shape[1]} pixels (y, x) from {grid.origin}, regions are {shape} "
            f"from {_origin(regions, theirs)}, and the pixel size of at least one is unknown; "
            "crop both alike, or give both a pixel size"
        )
    return matrix


def shapes_to_image(image: xr.DataArray, shapes: Any, grid: Grid, unit: str | None) -> np.ndarray[Any, Any]:
    """Return the affine (3 x 3) from ``x, y`` of shapes to pixels of the image.

    Parameters
    ----------
    unit
        ``"um"`` or ``"px"`` of the whole image; None for what the shapes say of themselves.

    Raises
    ------
    UnitError
        If nothing says in which unit the shapes are, or micrometres have no meaning for the image.
    AlignmentError
        If SpatialData elements have no shared coordinate system.
    """
    import numpy as np

    mine = image.attrs.get("transform")
    if unit is None and mine:
        placed = shared_space(shapes.attrs.get("transform"), mine)
        if placed is not None:
            return np.linalg.inv(_to_own(image)) @ placed
    unit = unit or image_notes(shapes).get("unit") or ("px" if grid.unit == "px" else None)
    if unit not in ("um", "px"):
        raise UnitError(
            f"the shapes do not say their unit (found {unit!r}) and the image has pixels of {grid.size} um (y, x); "
            "pass unit='um' or unit='px'"
        )
    if unit == "um" and grid.unit == "px":
        raise UnitError("the shapes are in micrometres and the pixel size of the image is unknown; give it one")
    step = (1.0, 1.0) if unit == grid.unit else grid.size
    return np.linalg.inv(_to_space(grid)) @ np.diag([step[1], step[0], 1.0])


def _to_own(element: xr.DataArray) -> np.ndarray[Any, Any]:
    """Return the affine from ``x, y`` of pixels to the coordinates of a SpatialData element, which count pixels."""
    return _to_space(Grid(tuple(element.shape[-2:]), (1.0, 1.0), _origin(element, None), "px"))


def _to_space(grid: Grid) -> np.ndarray[Any, Any]:
    """Return the affine from ``x, y`` of pixels to the unit of the grid."""
    import numpy as np

    height, width = grid.size
    y, x = grid.origin
    return np.array([[width, 0, x], [0, height, y], [0, 0, 1]], np.float64)


def shared_space(
    mine: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None, *, axes: tuple[str, ...] = ("x", "y")
) -> np.ndarray[Any, Any] | None:
    """Return the affine from one SpatialData element's own coordinates to those of another; None if either has none.

    Raises
    ------
    AlignmentError
        If they have no shared coordinate system, or are placed differently in two of them.
    """
    import numpy as np

    if not mine or not theirs:
        return None
    shared = sorted(mine.keys() & theirs.keys())
    if not shared:
        raise AlignmentError(
            f"image and regions have no shared coordinate system: one is placed in {some(mine)}, "
            f"the other in {some(theirs)}; register one to the other"
        )
    found = [
        np.linalg.inv(theirs[space].to_affine_matrix(axes, axes)) @ mine[space].to_affine_matrix(axes, axes)
        for space in shared
    ]
    if not all(np.allclose(one, found[0], rtol=1e-6, atol=_TOLERANCE) for one in found):
        raise AlignmentError(
            f"image and regions are placed differently in {some(shared)}; remove all coordinate systems but one"
        )
    return found[0]


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


def _origin(array: xr.DataArray, size: tuple[float, ...] | None) -> tuple[float, float]:
    """Return the outer corner of the first pixel; coordinates are pixel centres, in SpatialData counted in pixels."""
    import numpy as np

    known = size is not None and pixel_size_um(array) is not None and "transform" not in array.attrs
    steps = size if size is not None and known else (1.0, 1.0)
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
