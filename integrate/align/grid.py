"""The grid of a raster: its shape, and the affine from its pixels to the space it lies in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.align.space import Space
from integrate.align.transform import Affine
from integrate.errors import AlignmentError, DataError, ParameterError, closest
from integrate.keys import ACQUISITION_ID, ATTRS, REGION_ID
from integrate.model.image import image_notes, pixel_size_um

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Grid", "element_space", "raster_on", "read_grid", "set_space", "with_channels"]

#: Coordinates may depart from an even step by this part of a pixel.
_EVEN = 1e-3


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a raster lie.

    Parameters
    ----------
    shape
        Pixels along ``(y, x)`` or ``(z, y, x)``.
    affine
        From pixels (pixel ``i`` covers ``[i, i + 1)``; order ``x, y[, z]``) to the space.
    """

    shape: tuple[int, ...]
    affine: Affine

    @property
    def space(self) -> Space:
        """The space in which the raster lies."""
        return self.affine.target

    @property
    def size(self) -> tuple[float, ...]:
        """Edge of a pixel along ``(y, x)`` or ``(z, y, x)``, in the unit of the space."""
        import numpy as np

        n = len(self.shape)
        return tuple(np.linalg.norm(self.affine.array[:n, :n], axis=0)[::-1].tolist())

    @property
    def is_straight(self) -> bool:
        """Whether rows and columns run along the axes of the space, upwards."""
        import numpy as np

        n = len(self.shape)
        linear = self.affine.array[:n, :n]
        return bool(np.array_equal(linear, np.diag(np.diag(linear))) and (np.diag(linear) > 0).all())

    def corners(self) -> np.ndarray[Any, Any]:
        """Return the outer corners of the raster in its space, ``(4 or 8, axes)``."""
        import itertools

        import numpy as np

        ends = itertools.product(*((0.0, float(n)) for n in self.shape[::-1]))
        return self.affine.map_points(np.array(list(ends)))

    def part(self, start: tuple[int, ...], shape: tuple[int, ...]) -> Grid:
        """Return the grid of the pixels from `start` on."""
        return self.rescaled([1.0] * len(shape), shape, offset=start)

    def rescaled(
        self, factors: list[float] | tuple[float, ...], shape: tuple[int, ...], *, offset: tuple[float, ...] = ()
    ) -> Grid:
        """Return the grid whose pixels are `factors` of ours wide along ``(y, x)`` or ``(z, y, x)``."""
        import numpy as np

        step = np.diag([*factors[::-1], 1.0])
        step[:-1, -1] = (offset or (0.0,) * len(shape))[::-1]
        rows = (self.affine.array @ step).tolist()
        return Grid(shape, Affine(tuple(map(tuple, rows)), self.affine.source, self.space))


def read_grid(image: Any, *, space: str | None = None) -> Grid:
    """Return the grid of an image, label image, volume or SpatialData element.

    Parameters
    ----------
    image
        DataArray with dims ``(c, y, x)``, ``(y, x)``, ``(z, y, x)`` or ``(c, z, y, x)``, ours or of SpatialData.
    space
        Name of the coordinate system, where a SpatialData element lies in several.

    Raises
    ------
    DataError
        If it is no raster.
    AlignmentError
        If its coordinates contradict its pixel size, or SpatialData does not place it.
    ParameterError
        If `space` is needed, or unknown.
    """
    dims = tuple(str(dim) for dim in getattr(image, "dims", ()) if str(dim) not in ("c", "t", "mz"))
    if dims not in (("y", "x"), ("z", "y", "x")) or not hasattr(image, "coords"):
        raise DataError(
            f"expected an image, labels or a volume with dims (c, y, x), (y, x) or (z, y, x), found "
            f"{type(image).__name__} with dims {tuple(getattr(image, 'dims', ()))}; of a pyramid give one level"
        )
    shape = tuple(int(image.sizes[dim]) for dim in dims)
    axes = dims[::-1]
    placed = image.attrs.get("transform")
    own = _own_matrix(image, dims, in_pixels=bool(placed))
    if placed:
        name = _chosen(placed, space)
        matrix = placed[name].to_affine_matrix(axes, axes) @ own
        here = element_space(name, image_notes(image), axes)
    else:
        matrix, here = own, _own_space(image, axes)
        if space is not None and space != here.name:
            raise ParameterError(f"the image lies in space {here.name!r}, not in {space!r}")
    pixels = Space(f"{here.name} pixels", "px", axes)
    return Grid(shape, Affine(tuple(map(tuple, matrix.tolist())), pixels, here))


def with_channels(image: Any) -> Any:
    """Return a mass-spectrometry image ``(mz, y, x)`` with its m/z as names of channels; others as they are."""
    if "mz" not in getattr(image, "dims", ()):
        return image
    return image.rename(mz="c").assign_coords(c=[str(one) for one in image["mz"].values])


def set_space(image: xr.DataArray, *, name: str) -> xr.DataArray:
    """Return an image or volume declared to lie in a space; two with one space are taken to lie on each other.

    Parameters
    ----------
    image
        Image, labels or volume of ours; its numbers do not change.
    name
        Name of the space.

    Returns
    -------
    The image with the space in its notes.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.zeros((1, 4, 4)), channels=["DNA"], pixel_size_um=(0.5, 0.5))
    >>> read_grid(set_space(image, name="slide 3")).space
    Space(name='slide 3', unit='um', axes=('x', 'y'))
    """
    said = image.copy(deep=False)
    said.attrs = {**image.attrs, ATTRS: {**image_notes(image), "space": name}}
    return said


def raster_on(data: Any, grid: Grid, like: xr.DataArray, **notes: Any) -> xr.DataArray:
    """Return pixels on a grid as what `like` is: an image or volume of ours, or a SpatialData element.

    Parameters
    ----------
    data
        Pixels, dims as those of `like`.
    grid
        Where they lie.
    like
        Where ids, channels and kind come from.
    notes
        What to add to its notes.
    """
    import numpy as np
    import xarray as xr

    axes, kept = grid.space.axes, {**image_notes(like), "space": grid.space.name, **notes}
    attrs: dict[str, Any] = {ATTRS: kept}
    n = len(axes)
    straight = np.diag(np.diag(grid.affine.array)[:n]) if grid.is_straight else None
    if n == 2:
        kept["pixel_size_um"] = list(grid.size) if grid.space.unit == "um" else None
    if like.attrs.get("transform") or (n == 2 and straight is None):
        from spatialdata.transformations import Affine as Placed

        attrs["transform"] = {grid.space.name: Placed(grid.affine.array, input_axes=axes, output_axes=axes)}
        coords: dict[str, Any] = {
            axis: (axis, np.arange(n) + 0.5) for axis, n in zip(axes[::-1], grid.shape, strict=True)
        }
    else:
        units = {"units": grid.space.unit or "px"}
        offset = grid.affine.array[:n, n] if n == 2 else np.zeros(n)
        coords = {
            axis: (axis, first + (np.arange(count) + 0.5) * step, units)
            for axis, first, count, step in zip(axes[::-1], offset[::-1], grid.shape, grid.size, strict=True)
        }
    if n == 3:
        kept |= _volume_notes(grid)
    channels = {"c": like.coords["c"].values} if "c" in like.dims and "c" in like.coords else {}
    return xr.DataArray(data, dims=like.dims, coords={**channels, **coords}, attrs=attrs, name=like.name)


def _volume_notes(grid: Grid) -> dict[str, Any]:
    """Return what readers note of a volume's place; their affine speaks of voxel centres."""
    import numpy as np

    half = np.eye(4)
    half[:3, 3] = 0.5
    centres = grid.affine.array @ half
    steps = np.linalg.norm(centres[:3, :3], axis=0)
    return {
        "affine_lps": centres.tolist(),
        "origin_lps_mm": centres[:3, 3].tolist(),
        "direction": (centres[:3, :3] / steps).tolist(),
        "spacing_mm": steps[::-1].tolist(),
    }


def _chosen(placed: Mapping[str, Any], space: str | None) -> str:
    names = list(placed)
    if space is None and len(names) == 1:
        return str(names[0])
    if space is None:
        raise ParameterError(f"the element lies in {len(names)} coordinate systems: {names}; pass space=")
    if space not in names:
        raise ParameterError(f"the element is not placed in {space!r}; {closest(space, names)}")
    return space


def element_space(name: str, notes: Mapping[str, Any], axes: tuple[str, ...]) -> Space:
    """Return the space of a coordinate system; SpatialData gives it no unit, our notes and names do."""
    if name.endswith("_px"):
        return Space(name, "px", axes)
    known = {2: "um" if notes.get("pixel_size_um") is not None or notes.get("unit") == "um" else "", 3: "mm"}
    volume = len(axes) == 3 and (name.endswith("_mm") or notes.get("affine_lps") is not None)
    return Space(name, known[3] if volume else known[2], axes)


def _own_space(image: xr.DataArray, axes: tuple[str, ...]) -> Space:
    notes = image_notes(image)
    ids = dict(notes.get("ids") or {})
    own = ids.get(REGION_ID, ids.get(ACQUISITION_ID, ""))
    entry = dict(notes.get("origin") or {}).get("entry")
    named = f"{entry}_{own}" if entry and own else str(own)
    if len(axes) == 3:
        frame = str(notes.get("frame_of_reference_uid") or "")
        unit = "px" if any(image.coords[a].attrs.get("units") == "px" for a in axes if a in image.coords) else "mm"
        return Space(str(notes.get("space") or frame or (named and f"{named}_lps_mm")), unit, axes)
    if pixel_size_um(image) is None:
        return Space(str(notes.get("space") or (named and f"{named}_px")), "px", axes)
    return Space(str(notes.get("space") or named), "um", axes)


def _own_matrix(image: xr.DataArray, dims: tuple[str, ...], *, in_pixels: bool) -> np.ndarray[Any, Any]:
    """Return the affine from pixels to what the coordinates say, or to patient millimetres for a volume that knows."""
    import numpy as np

    n = len(dims)
    steps = np.ones(n)
    size = pixel_size_um(image)
    notes = image_notes(image)
    if not in_pixels and n == 2 and size is not None:
        steps = np.array(size)
    if not in_pixels and n == 3:
        known = notes.get("spacing_mm") or [None] * 3
        steps = np.array([1.0 if one is None else float(one) for one in known])
    corner = np.array([_corner(image, dim, step) for dim, step in zip(dims, steps, strict=True)])
    if in_pixels or n == 2 or "affine_lps" not in notes:
        matrix = np.diag([*steps[::-1], 1.0])
        matrix[:n, n] = corner[::-1]
        return matrix
    first = np.eye(4)
    first[:3, 3] = (corner / steps)[::-1] - 0.5  # the notes speak of centres; a crop changes only coordinates
    return np.asarray(notes["affine_lps"], dtype=float) @ first


def _corner(image: xr.DataArray, dim: str, step: float) -> float:
    """Return the outer corner of the first pixel along an axis, from its coordinate of pixel centres."""
    import numpy as np

    if dim not in image.coords or image.sizes[dim] == 0:
        return 0.0
    centres = image.coords[dim].values.astype(float)
    if image.attrs.get("transform") and len(centres) > 1 and abs(centres[1] - centres[0] - step) > _EVEN:
        return 0.0  # a level of a pyramid has the coordinates of the first level, and a transformation of its own
    if not np.allclose(np.diff(centres), step, rtol=0, atol=_EVEN * step):
        raise AlignmentError(
            f"coordinate {dim!r} moves by {np.diff(centres).min():g} to {np.diff(centres).max():g} per pixel, "
            f"its pixel size is {step:g}; after flipping, striding or resampling by hand make the image anew"
        )
    first = float(centres[0]) / step - 0.5
    whole = round(first)
    return (whole if abs(first - whole) < 1e-6 else first) * step  # centres carry rounding errors, whole pixels none
