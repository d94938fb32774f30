"""The outline of the one object in a box that a person has drawn around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import DataError, ParameterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from shapely.geometry import Polygon

__all__ = ["FINDERS", "ActiveContour", "Flood", "Threshold", "outline_object"]

#: Smallest box, in pixels, in which something can be outlined.
MIN_SIDE: Final = 4


@dataclass(frozen=True, slots=True)
class Threshold:
    """The object is what is brighter (or darker) than Otsu's threshold of the box, whichever the middle is.

    Parameters
    ----------
    blur
        Standard deviation, in pixels, of the smoothing before.

    Examples
    --------
    >>> Threshold()
    Threshold(blur=1.0)
    """

    blur: float = 1.0


@dataclass(frozen=True, slots=True)
class Flood:
    """The object is what is connected to the middle of the box and about as bright.

    Parameters
    ----------
    tolerance
        How far intensities may lie from the middle's, as a fraction of the range in the box.
    blur
        Standard deviation, in pixels, of the smoothing before.

    Examples
    --------
    >>> Flood(tolerance=0.1)
    Flood(tolerance=0.1, blur=1.0)
    """

    tolerance: float = 0.35
    blur: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a tolerance that nothing or everything meets."""
        if not 0 < self.tolerance < 1:
            raise ParameterError(f"tolerance is {self.tolerance}; expected a fraction of the range between 0 and 1")


@dataclass(frozen=True, slots=True)
class ActiveContour:
    """The object is where a contour without edges (Chan and Vese) comes to rest, starting at the box.

    Parameters
    ----------
    iterations
        Steps of the contour.
    smoothing
        How much it is smoothed at every step.
    blur
        Standard deviation, in pixels, of the smoothing before.

    Examples
    --------
    >>> ActiveContour(iterations=20)
    ActiveContour(iterations=20, smoothing=1, blur=1.0)
    """

    iterations: int = 60
    smoothing: int = 1
    blur: float = 1.0


Finder = Threshold | Flood | ActiveContour
FINDERS: Final[dict[str, Callable[[], Finder]]] = {
    "threshold": Threshold, "flood": Flood, "contour": ActiveContour
}  # fmt: skip


def outline_object(box: NDArray[Any], *, finder: Finder | None = None) -> Polygon:
    """Return the outline of the object in a box.

    Parameters
    ----------
    box
        The pixels ``(y, x)`` a person drew a box around; missing ones are never part of the object.
    finder
        How the object is found; by default `Threshold`.

    Returns
    -------
    Polygon without holes, in pixels x, y of the box (pixel ``i`` covers ``[i, i + 1)``). Of several objects it is the
    one at the middle, or else the largest.

    Raises
    ------
    DataError
        If the box is too small, or nothing in it stands out.

    Examples
    --------
    >>> import numpy as np
    >>> box = np.pad(np.full((10, 12), 9.0), ((5, 5), (4, 4)))
    >>> outline_object(box, finder=Threshold(blur=0)).bounds
    (4.0, 5.0, 16.0, 15.0)
    """
    import numpy as np
    from scipy import ndimage

    finder = Threshold() if finder is None else finder
    plane = np.asarray(box, dtype=np.float64)
    if plane.ndim != 2 or min(plane.shape) < MIN_SIDE:
        raise DataError(f"a box of {plane.shape} pixels is too small to outline something in; draw a larger one")
    missing = ~np.isfinite(plane)
    if missing.all() or np.ptp(plane[~missing]) == 0:
        raise DataError("nothing stands out in the box: all its pixels are alike or missing")
    plane = np.where(missing, np.median(plane[~missing]), plane)
    smooth = ndimage.gaussian_filter(plane, finder.blur) if finder.blur else plane
    found = _found(smooth, finder) & ~missing
    if not found.any():
        raise DataError("nothing stands out in the box; draw it closer to the object or choose another finder")
    return _polygon(_one(found))


def _found(plane: NDArray[np.float64], finder: Finder) -> NDArray[np.bool_]:
    import numpy as np
    from skimage.filters import threshold_otsu
    from skimage.segmentation import flood, morphological_chan_vese

    middle = tuple(n // 2 for n in plane.shape)
    if isinstance(finder, Flood):
        return np.asarray(flood(plane, middle, tolerance=finder.tolerance * np.ptp(plane)))
    if isinstance(finder, Threshold):
        bright = plane > threshold_otsu(plane)
    else:
        start = np.zeros(plane.shape, dtype=np.int8)
        start[1:-1, 1:-1] = 1
        scaled = (plane - plane.min()) / np.ptp(plane)
        bright = (
            morphological_chan_vese(scaled, finder.iterations, init_level_set=start, smoothing=finder.smoothing) > 0
        )
    rim = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    return np.asarray(~bright if rim.mean() > 0.5 else bright)  # a box is drawn around: its rim is not the object


def _one(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the object at the middle, else the largest, without holes."""
    import numpy as np
    from scipy import ndimage

    names, _ = ndimage.label(found)
    at_middle = names[found.shape[0] // 2, found.shape[1] // 2]
    name = at_middle or np.bincount(names.ravel())[1:].argmax() + 1
    return np.asarray(ndimage.binary_fill_holes(names == name))


def _polygon(mask: NDArray[np.bool_]) -> Polygon:
    """Return the outline along the edges of pixels, its steps smoothed to less than a pixel."""
    import cv2
    import numpy as np
    import shapely

    # Twice as fine, so that the contour OpenCV draws through centres lies a quarter pixel inside the true edge.
    fine = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    rings, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    ring = max(rings, key=len)[:, 0]
    if len(ring) < 4:
        raise DataError("the object found is a single line of pixels; draw the box closer around it")
    grown = shapely.Polygon((ring + 0.5) / 2).buffer(0.25, join_style="mitre")
    outline = shapely.simplify(shapely.make_valid(grown), 0.5)
    parts = [part for part in shapely.get_parts(outline) if part.geom_type == "Polygon"]
    return shapely.Polygon(max(parts, key=lambda part: part.area).exterior)
