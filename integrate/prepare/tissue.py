"""Tissue: where on a slide it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.model.image import image_ids, pixel_size_um

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np
    import xarray as xr

__all__ = ["find_tissue"]

#: Longest edge, in pixels, of the picture in which tissue is looked for, where the pixel size is unknown.
_EDGE = 2048


def find_tissue(
    image: xr.DataArray,
    *,
    resolution_um: float = 8.0,
    saturation: float | None = None,
    smallest_um2: float = 50_000.0,
) -> gpd.GeoDataFrame:
    """Return outlines of the tissue on a bright-field slide.

    Parameters
    ----------
    image
        Colour image, dims ``(c, y, x)``, first channels red, green and blue; a coarse level of the pyramid is fastest.
        It is read chunk by chunk and averaged down.
    resolution_um
        Pixel size at which tissue is looked for. Without a pixel size the image is reduced to 2048 pixels.
    saturation
        Above which a place is tissue, 0 to 1; by default Otsu's threshold, but at least 0.05, so that an empty slide
        has none.
    smallest_um2
        Area of the smallest piece and of the smallest hole that count; without a pixel size 1e-4 of the image.

    Returns
    -------
    GeoDataFrame of polygons in pixels of the whole image, index ``instance_id`` from 1, the largest piece first; column
    ``area_px2``. ``attrs["integrate"]`` has the ids of the image and the ``saturation`` used. Empty without tissue.

    Raises
    ------
    DataError
        If the image has fewer than three channels.
    ParameterError
        If the resolution is not positive.

    Notes
    -----
    Saturation (1 - least / greatest of red, green, blue) of the averaged picture, smoothed by a median of 5 pixels. Pen
    marks in colour count as tissue; grey dust does not.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> pixels = np.full((3, 400, 400), 240, np.uint8)
    >>> pixels[1, 100:300, 50:150] = 90
    >>> slide = make_image(pixels, channels=["red", "green", "blue"], pixel_size_um=(8.0, 8.0))
    >>> find_tissue(slide).geometry.area.round(-3).tolist()
    [20000.0]
    """
    import geopandas as gpd
    import numpy as np
    import shapely

    if image.sizes.get("c", 0) < 3:
        raise DataError(f"expected a colour image with dims ('c', 'y', 'x'), found {dict(image.sizes)}")
    if not resolution_um > 0:
        raise ParameterError(f"resolution_um is {resolution_um}; expected a positive length")
    size = pixel_size_um(image)
    step = [max(1, round(resolution_um / edge)) for edge in size] if size else [_reduction(image)] * 2
    small = _reduced(image, step)
    level, threshold = _saturation(small), saturation
    if threshold is None:
        from skimage.filters import threshold_otsu

        threshold = max(float(threshold_otsu(level)), 0.05) if np.ptp(level) else 0.05
    pixel = step[0] * step[1] * (size[0] * size[1] if size else 1.0)
    least = smallest_um2 / pixel if size else 1e-4 * level.size
    pieces = _outlined(_cleaned(level > threshold, least), step, _corner(image, size))
    pieces = pieces[np.argsort(-shapely.area(pieces), kind="stable")]
    found = gpd.GeoDataFrame(
        {"area_px2": shapely.area(pieces)}, geometry=pieces, index=np.arange(1, len(pieces) + 1)
    ).rename_axis(INSTANCE_ID)
    found.attrs[ATTRS] = {"unit": "px", "ids": image_ids(image), "saturation": float(threshold)}
    return found


def _reduction(image: xr.DataArray) -> int:
    return max(1, -(-max(image.sizes["y"], image.sizes["x"]) // _EDGE))


def _reduced(image: xr.DataArray, step: list[int]) -> np.ndarray[Any, Any]:
    """Return red, green and blue averaged over whole blocks of pixels; the rest at the far edges is cut off."""
    import dask.array as da
    import numpy as np

    colours = image.isel(c=slice(0, 3)).data
    height, width = ((n // s) * s for n, s in zip(colours.shape[1:], step, strict=True))
    colours = da.asarray(colours)[:, :height, :width]
    return np.asarray(da.coarsen(np.mean, colours, {1: step[0], 2: step[1]}).astype(np.float32).compute())


def _saturation(colours: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np
    from scipy.ndimage import median_filter

    most, least = colours.max(axis=0), colours.min(axis=0)
    saturation = np.divide(most - least, most, out=np.zeros_like(most), where=most > 0)
    return np.asarray(median_filter(saturation, 5))


def _cleaned(mask: np.ndarray[Any, Any], least: float) -> np.ndarray[Any, Any]:
    """Return a mask without pieces and holes smaller than a number of pixels."""
    import numpy as np
    from skimage.measure import label

    for value in (True, False):
        parts = label(mask == value, connectivity=1 if value else 2)
        area = np.bincount(parts.ravel())
        area[0] = np.iinfo(area.dtype).max
        mask = np.where(area[parts] < least, not value, mask)
    return mask


def _corner(image: xr.DataArray, size: tuple[float, float] | None) -> list[float]:
    """Return where a crop begins in the whole image, ``y, x`` in pixels; coordinates are centres of pixels."""
    edges = zip(("y", "x"), size or (1.0, 1.0), strict=True)
    return [round(float(image[axis][0]) / edge - 0.5, 6) if axis in image.coords else 0.0 for axis, edge in edges]


def _outlined(mask: np.ndarray[Any, Any], step: list[int], corner: list[float]) -> np.ndarray[Any, Any]:
    """Return the polygons that a mask covers exactly, in pixels of the whole image."""
    import numpy as np
    import shapely

    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, start = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    y, x = row * step[0] + corner[0], start * step[1] + corner[1]
    boxes = shapely.box(x, y, stop * step[1] + corner[1], y + step[0])
    return np.asarray(shapely.get_parts(shapely.union_all(boxes)))
