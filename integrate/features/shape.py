"""Shape: where each region is, how large, and of what form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from integrate.errors import ParameterError, closest
from integrate.features.family import Column, Measured
from integrate.features.partials import Reducer, add_exactly
from integrate.features.position import count_pixels, find_bounds, find_centroids, find_moments
from integrate.features.whole import WholeFamily

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block
    from integrate.features.grid import Grid

__all__ = ["DESCRIPTORS", "Shape"]

#: Descriptors and the columns each gives, as (name, power of the length unit or a UCUM code).
DESCRIPTORS: Final[dict[str, tuple[tuple[str, int | str], ...]]] = {
    "area": (("area", 2),),
    "centroid": (("centroid_y", 1), ("centroid_x", 1)),
    "bounding_box": (("bbox_min_y", 1), ("bbox_min_x", 1), ("bbox_max_y", 1), ("bbox_max_x", 1)),
    "equivalent_diameter": (("equivalent_diameter", 1),),
    "moments": (("moment_yy", 2), ("moment_xx", 2), ("moment_xy", 2)),
    "axes": (("axis_major", 1), ("axis_minor", 1)),
    "eccentricity": (("eccentricity", "1"),),
    "orientation": (("orientation_rad", "rad"),),
    "perimeter": (("perimeter", 1),),
    "euler_number": (("euler_number", "1"),),
    "solidity": (("solidity", "1"),),
    "convexity": (("convexity", "1"),),
    "feret": (("feret_max", 1), ("feret_min", 1)),
}

#: Descriptors of the convex hull, for which every region is looked at as a whole.
_OF_HULL: Final = frozenset({"solidity", "convexity", "feret"})

#: Descriptors that most people do not ask for.
_ON_REQUEST: Final = _OF_HULL | {"euler_number", "moments"}

#: Descriptors made from neighbouring pairs of pixels.
_OF_PAIRS: Final = frozenset({"perimeter", "convexity", "euler_number"})


@dataclass(frozen=True, slots=True)
class Shape(WholeFamily):
    """Settings of the shape features; columns end in their unit, ``_um`` and ``_um2`` or ``_px`` and ``_px2``.

    Parameters
    ----------
    descriptors
        Any of ``"area"``, ``"centroid"``, ``"bounding_box"``, ``"equivalent_diameter"``, ``"axes"``,
        ``"eccentricity"``, ``"orientation"`` and ``"perimeter"``; and, not by default, ``"moments"`` (central second
        moments of pixel centres over their number), ``"euler_number"`` (parts minus holes, pixels that touch at a
        corner being one part), ``"solidity"`` (area over that of the convex hull), ``"convexity"`` (perimeter of the
        hull over that of the region) and ``"feret"`` (largest and smallest width).

    Notes
    -----
    All lengths and angles are physical, also where pixels are not square. Pixel ``i`` covers ``[i, i + 1)`` pixels, so
    a centroid lies 0.5 pixels beyond that of scikit-image, which counts from the centre of the first pixel. Axes,
    eccentricity and orientation are those of the ellipse with the same second moments of pixel centres, as in
    `skimage.measure.regionprops`: orientation is the angle from the y axis to the major axis, positive towards x. It is
    NaN where no axis is longer than the other. The perimeter is Crofton's estimate with four directions, weighted by
    the angles between them (Lehmann and Legland, Insight Journal 2012); with square pixels it is scikit-image's
    ``perimeter_crofton``. It is 0.3 % off for a smooth outline of square pixels, up to 4 % for pixels of 1:2 and 6 % of
    1:4, where four directions represent the others less well. Several parts with one id are one region.

    A pixel is a square, and a hull goes through its corners: a rectangle has solidity 1 and its diagonal as the largest
    width. scikit-image lets hulls go through the middles of the edges, so its widths are up to a pixel smaller.

    Examples
    --------
    >>> Shape(descriptors=("area",))
    Shape(descriptors=('area',))
    """

    reads_pixels: ClassVar[bool] = False
    reads_whole: ClassVar[Literal["regions", "channels", "image"]] = "regions"

    descriptors: tuple[str, ...] = tuple(name for name in DESCRIPTORS if name not in _ON_REQUEST)

    def __post_init__(self) -> None:
        """Refuse unknown and repeated descriptors."""
        object.__setattr__(self, "descriptors", tuple(self.descriptors))
        for descriptor in self.descriptors:
            if descriptor not in DESCRIPTORS:
                raise ParameterError(f"no shape descriptor {descriptor!r}; {closest(descriptor, DESCRIPTORS)}")
        if len(set(self.descriptors)) < len(self.descriptors):
            raise ParameterError(f"descriptors {self.descriptors} repeat; give each once")

    @property
    def reducers(self) -> Mapping[str, Reducer]:
        """How two blocks' quantities become one, by name."""
        return {"pairs": add_exactly} if _OF_PAIRS.intersection(self.descriptors) else {}

    @property
    def needs_whole(self) -> bool:
        """Whether a descriptor is one of the convex hull."""
        return bool(_OF_HULL.intersection(self.descriptors))

    def from_regions(self, block: Block) -> dict[str, np.ndarray[Any, Any]]:
        """Return the neighbouring pairs of pixels that the perimeter is made from."""
        from integrate.features import kernels

        if not self.reducers:
            return {}
        return {"pairs": kernels.count_pairs(len(block.ids), *block.runs, overlap=block.overlap)}

    def from_whole(self, block: Block, grid: Grid) -> dict[str, np.ndarray[Any, Any]]:
        """Return area, perimeter and widths of the convex hulls."""
        from integrate.features import hull_kernels

        return {"hulls": hull_kernels.describe_hulls(len(block.ids), (grid.size[0], grid.size[1]), *block.runs)}

    def columns(self, measured: Measured) -> list[Column]:
        """Return the columns of every descriptor."""
        values = _describe(measured)
        return [
            Column(
                name=f"{name}{_suffix(measured.grid.unit, power)}",
                values=values[name],
                unit=_ucum(measured.grid.ucum, power),
                definition=f"integrate.features.shape:{name}",
                statistic=name,
            )
            for descriptor in self.descriptors
            for name, power in DESCRIPTORS[descriptor]
        ]


def _describe(measured: Measured) -> dict[str, np.ndarray[Any, Any]]:
    """Return every column by its name, without unit."""
    import numpy as np

    height, width = measured.grid.size
    area = count_pixels(measured) * (height * width)
    centroid = find_centroids(measured)
    bounds = find_bounds(measured)
    moments = find_moments(measured) * (height * height, width * width, height * width)
    major, minor, orientation = _ellipse(moments)
    described = {
        "area": area,
        "centroid_y": centroid[:, 0],
        "centroid_x": centroid[:, 1],
        **{f"bbox_{end}": bounds[:, k] for k, end in enumerate(("min_y", "min_x", "max_y", "max_x"))},
        "equivalent_diameter": np.sqrt(4 * area / math.pi),
        **{f"moment_{axes}": moments[:, k] for k, axes in enumerate(("yy", "xx", "xy"))},
        "axis_major": major,
        "axis_minor": minor,
        "eccentricity": np.sqrt(1 - np.divide(minor, major, out=np.ones_like(major), where=major > 0) ** 2),
        "orientation_rad": orientation,
    }
    if "pairs" in measured.values:
        pairs = measured.values["pairs"]
        described["perimeter"] = _crofton(count_pixels(measured), pairs[:, :4], height, width)
        described["euler_number"] = (count_pixels(measured) - pairs[:, :4].sum(axis=1) + pairs[:, 4]).astype(np.float64)
    hulls = measured.values.get("hulls", np.full((len(area), 4), np.nan))
    described |= {"feret_max": hulls[:, 2], "feret_min": hulls[:, 3], "solidity": area / hulls[:, 0]}
    if "perimeter" in described:
        described["convexity"] = hulls[:, 1] / described["perimeter"]
    return {name: value if name == "area" else np.where(area > 0, value, np.nan) for name, value in described.items()}


def _ellipse(moments: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
    """Return major and minor axis and orientation of the ellipse with the moments ``yy, xx, xy``."""
    import numpy as np

    yy, xx, xy = moments.T
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    round_enough = spread <= 1e-12 * middle
    orientation = np.where(round_enough, np.nan, np.arctan2(2 * xy, yy - xx) / 2)
    spread = np.where(round_enough, 0, spread)
    return 4 * np.sqrt(middle + spread), 4 * np.sqrt(np.maximum(middle - spread, 0)), orientation


def _crofton(n: np.ndarray[Any, Any], pairs: np.ndarray[Any, Any], height: float, width: float) -> np.ndarray[Any, Any]:
    """Return perimeters from how often lines in four directions cross the outline.

    Every pixel has two neighbours along a direction, and all of them that are not the region's are crossings. Each
    direction stands for the angles nearest to it, and its lines lie a pixel's area over the step along them apart.
    """
    import numpy as np

    crossings = 2 * (n[:, None] - pairs)
    diagonal = math.hypot(height, width)
    angle = math.atan2(height, width)
    share = np.array([angle, math.pi / 2 - angle, math.pi / 4, math.pi / 4]) / math.pi
    apart = height * width / np.array([width, height, diagonal, diagonal])
    return math.pi / 2 * (crossings * (share * apart)).sum(axis=1)  # not @: its rounding depends on the number of rows


def _suffix(unit: str, power: int | str) -> str:
    return {1: f"_{unit}", 2: f"_{unit}2"}.get(power, "") if isinstance(power, int) else ""


def _ucum(unit: str, power: int | str) -> str:
    return power if isinstance(power, str) else {1: unit, 2: f"{unit}2"}[power]
