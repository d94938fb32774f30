"""Stains: how much of each dye every pixel of a bright-field image holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import DataError, ParameterError, closest
from integrate.keys import ATTRS
from integrate.model.image import channel_names
from integrate.model.provenance import hash_settings

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["ABSORPTION", "optical_density", "separate_stains", "unmixing_matrix"]

#: What red, green and blue light each dye absorbs (Ruifrok and Johnston, Anal Quant Cytol Histol 2001).
ABSORPTION: Final[dict[str, tuple[float, float, float]]] = {
    "haematoxylin": (0.65, 0.70, 0.29),
    "eosin": (0.07, 0.99, 0.11),
    "dab": (0.27, 0.57, 0.78),
}

#: The darkest intensity there is, as a part of the brightest; its optical density is 1.
_DARKEST: Final = 1e-6


def separate_stains(
    image: xr.DataArray, *, stains: Sequence[str] = ("haematoxylin", "eosin", "dab"), white: float = 255.0
) -> xr.DataArray:
    """Return the amount of each stain in every pixel of a colour image.

    Parameters
    ----------
    image
        Colour image, dims ``(c, y, x)``, channels ``red``, ``green``, ``blue``, or the only three there are. Others,
        e.g. ``alpha``, are left out. May be Dask-backed, and then so is the result.
    stains
        Any of ``"haematoxylin"``, ``"eosin"`` and ``"dab"``.
    white
        Intensity of light that nothing absorbed; 255 for images of 8 bits.

    Returns
    -------
    DataArray float32, dims ``(c, y, x)``, one channel per stain in the order given, all else like `image`; ready for
    `measure`. 0 is no stain, never below.

    Raises
    ------
    DataError
        If the image has no red, green and blue.
    ParameterError
        If a stain is unknown or repeats, or `white` is not positive.

    Notes
    -----
    Colour deconvolution with the three dyes of Ruifrok and Johnston, as `skimage.color.rgb2hed`: the logarithm of the
    intensity, divided by that of 1e-6, times the inverse of the absorption matrix. The three are always unmixed
    together. The amounts are relative: scanners and laboratories differ, so compare slides only after looking at both.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> pixel = np.array([90, 60, 150], np.uint8).reshape(3, 1, 1)
    >>> image = make_image(pixel, channels=["red", "green", "blue"], pixel_size_um=(0.5, 0.5))
    >>> round(float(separate_stains(image, stains=["haematoxylin"]).values[0, 0, 0]), 3)
    0.112
    """
    import numpy as np

    chosen = [str(one) for one in stains]
    for one in chosen:
        if one not in ABSORPTION:
            raise ParameterError(f"no stain {one!r}; {closest(one, ABSORPTION)}")
    if len(set(chosen)) < len(chosen) or not chosen:
        raise ParameterError(f"stains are {chosen}; give each once")
    if not white > 0:
        raise ParameterError(f"white is {white}; expected the intensity of an empty place, e.g. 255")
    colours = _colours(image)
    unmixing = unmixing_matrix()[:, [list(ABSORPTION).index(one) for one in chosen]]
    data = colours.data
    if hasattr(data, "dask"):
        whole = data.rechunk({0: 3})
        chunks = ((len(chosen),), *whole.chunks[1:])
        data = whole.map_blocks(_unmix, unmixing, white, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 3, "f4"))
    else:
        data = _unmix(np.asarray(data), unmixing, white)
    separated = colours.isel(c=[0] * len(chosen)).copy(data=data).assign_coords(c=chosen)
    settings = {"stains": chosen, "white": white}
    separated.attrs[ATTRS] = {**image.attrs.get(ATTRS, {}), "stains": settings, "stains_hash": hash_settings(settings)}
    return separated


def optical_density(intensity: np.ndarray[Any, Any], white: float) -> np.ndarray[Any, Any]:
    """Return how much light was absorbed: 0 where `white` came through, 1 where a millionth of it did."""
    import numpy as np

    return np.asarray(np.log(np.maximum(intensity / white, _DARKEST)) / np.log(_DARKEST))


def unmixing_matrix() -> np.ndarray[Any, Any]:
    """Return the matrix from the densities of red, green and blue (rows) to amounts of the dyes in `ABSORPTION`."""
    import numpy as np

    return np.linalg.inv(np.array(list(ABSORPTION.values())))


def _colours(image: xr.DataArray) -> xr.DataArray:
    names, primary = channel_names(image), ["red", "green", "blue"]
    if set(primary) <= set(names):
        return image.isel(c=[names.index(one) for one in primary])
    if len(names) != 3:
        raise DataError(f"channels are {names}; expected red, green and blue: stains are separated in colour images")
    return image


def _unmix(colours: np.ndarray[Any, Any], unmixing: np.ndarray[Any, Any], white: float) -> np.ndarray[Any, Any]:
    import numpy as np

    if colours.dtype == np.uint8:
        density = optical_density(np.arange(256), white)[colours]
    else:
        density = optical_density(colours.astype(np.float64), white)
    amounts = np.empty((unmixing.shape[1], *colours.shape[1:]), np.float32)
    for k, column in enumerate(unmixing.T):  # not @: its rounding depends on the size of the block
        amounts[k] = np.maximum(density[0] * column[0] + density[1] * column[1] + density[2] * column[2], 0)
    return amounts
