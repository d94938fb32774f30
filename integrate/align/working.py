"""The working picture: one image reduced to a single grey channel at the resolution at which it is registered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.align.grid import Grid, raster_on, read_grid, with_channels
from integrate.align.resample import resample
from integrate.align.transform import Transform
from integrate.errors import AlignmentError, DataError, DatasetNotFoundError, RegistrationError, closest

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Picture", "draw_picture", "pull_picture", "working_sizes"]

#: Longest edge of a working picture.
LONGEST = {2: 400, 3: 80}
NUCLEAR = ("dapi", "dna", "dna1", "dna2", "hoechst", "hh3", "histone", "dsdna", "hematoxylin", "haematoxylin")
COLOURS = ({"red", "green", "blue"}, {"r", "g", "b"})


@dataclass(frozen=True, eq=False)
class Picture:
    """Grey values in 0 … 1 (NaN where there is nothing), the foreground, and the grid, straight in its space."""

    values: np.ndarray[Any, Any]
    foreground: np.ndarray[Any, Any]
    grid: Grid

    def centre(self) -> np.ndarray[Any, Any]:
        """Return the centre of the foreground in the space, x first."""
        import numpy as np

        index = np.argwhere(self.foreground).mean(axis=0)[::-1] + 0.5
        return self.grid.affine.map_points(index[None])[0]


def working_sizes(moving: Any, fixed: Any, *, working_pixel: float | None) -> tuple[float, float]:
    """Return the pixel at which each image is registered, in the unit of its own space.

    The longest edge has at most 400 pixels (80 voxels), and pixels are never finer than the image's own. In one unit
    both have the same pixel.
    """
    grids = [read_grid(moving), read_grid(fixed)]
    if working_pixel is not None:
        return working_pixel, working_pixel
    sizes = []
    for grid in grids:
        extent = float((grid.corners().max(axis=0) - grid.corners().min(axis=0)).max())
        sizes.append(max(extent / LONGEST[len(grid.shape)], min(grid.size)))
    if grids[0].space.unit == grids[1].space.unit:
        sizes = [max(sizes)] * 2
    return sizes[0], sizes[1]


def draw_picture(image: Any, *, size: float, channel: str | None) -> Picture:
    """Return the working picture of an image.

    Parameters
    ----------
    image
        Image or volume.
    size
        Edge of a working pixel.
    channel
        Which channel; None takes the nuclear one where a name says so, optical density of colour pictures, and
        otherwise the mean of all channels, each brought to 0 … 1. The values of a volume become their ranks: what a CT
        or a PET tells apart lies in a small part of its range.

    Raises
    ------
    DatasetNotFoundError
        If there is no such channel.
    DataError
        If the picture is blank.
    """
    import numpy as np

    chosen = _select(with_channels(image), channel)
    reduced = resample(chosen.astype(np.float32), pixel_size=size, labels=False)
    values = np.asarray(reduced.values, dtype=np.float32)
    flat = values[None] if "c" not in reduced.dims else values
    names = {str(one).lower() for one in reduced.coords["c"].values} if "c" in reduced.coords else set()
    grey = _optical_density(flat) if names in COLOURS else _mean(flat)
    grid = read_grid(reduced)
    if not np.isfinite(grey).any() or np.nanmax(grey) - np.nanmin(grey) < 1e-6:
        raise DataError(f"the picture in {grid.space.name!r} is blank; nothing can be laid on it")
    return Picture(grey if grey.ndim == 2 else _ranked(grey), _foreground(grey), grid)


def pull_picture(moving: Picture, fixed: Picture, way: Transform) -> np.ndarray[Any, Any]:
    """Return the moving picture on the pixels of the fixed one, NaN beyond it; `way` leads from fixed to moving.

    Raises
    ------
    RegistrationError
        If the pictures do not overlap.
    """
    import numpy as np
    import xarray as xr

    dims = ("y", "x") if fixed.values.ndim == 2 else ("z", "y", "x")
    picture = raster_on(moving.values, moving.grid, xr.DataArray(moving.values, dims=dims))
    try:
        return np.asarray(resample(picture, way.inverse(), like=fixed.grid, labels=False).values)
    except AlignmentError as error:
        raise RegistrationError(f"the pictures do not overlap after registration ({error})") from error


def _select(image: Any, channel: str | None) -> Any:
    if "c" not in image.dims:
        return image
    names = [str(one) for one in image.coords["c"].values]
    if channel is not None:
        if channel not in names:
            raise DatasetNotFoundError(f"no channel named {channel!r}; {closest(channel, names)}")
        return image.isel(c=[names.index(channel)])
    nuclear = [i for i, name in enumerate(names) if name.lower() in NUCLEAR]
    return image.isel(c=nuclear[:1]) if nuclear else image


def _optical_density(colours: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    white = max(1.0, float(np.nanmax(colours)))
    return _scaled(-np.log((colours + 1) / (white + 1)).mean(axis=0))


def _mean(channels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.asarray(np.mean([_scaled(one) for one in channels], axis=0), dtype=np.float32)


def _scaled(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return values between their 1st and 99th percentile as 0 … 1."""
    import numpy as np

    if not np.isfinite(values).any():
        return values
    low, high = np.nanpercentile(values, [1, 99])
    if high <= low:
        low, high = np.nanmin(values), np.nanmax(values)
    return np.asarray(np.clip((values - low) / max(float(high - low), 1e-12), 0, 1), dtype=np.float32)


def _ranked(grey: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return for every value the share of values that are no larger, ties in the middle."""
    import numpy as np
    from scipy.stats import rankdata

    known = np.isfinite(grey)
    ranks = np.full(grey.shape, np.nan, dtype=np.float32)
    ranks[known] = rankdata(grey[known]) / known.sum()
    return ranks


def _foreground(grey: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return where tissue is: above Otsu's threshold after blurring, grown a little; everywhere if unclear."""
    import numpy as np
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    valid = np.isfinite(grey)
    edge = max(grey.shape)
    soft = ndimage.gaussian_filter(np.where(valid, grey, 0.0), 0.015 * edge)
    mask = (soft > threshold_otsu(soft[valid])) & valid
    mask = ndimage.binary_dilation(mask, iterations=max(1, round(0.03 * edge))) & valid
    return mask if 0.1 < mask.sum() / valid.sum() < 0.9 else valid
