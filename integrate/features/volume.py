"""Volume shape: where each region of a volume lies, how large it is, and of what form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from integrate.errors import ParameterError, closest
from integrate.features.family import Column, Measured
from integrate.features.partials import Reducer, add_exactly
from integrate.features.position import count_pixels, find_bounds, find_centroids, find_covariance
from integrate.features.whole import WholeFamily

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block
    from integrate.features.grid import Grid

__all__ = ["VolumeShape"]

#: Descriptors and the columns each gives, as (name, power of the length unit or a UCUM code).
DESCRIPTORS: Final[dict[str, tuple[tuple[str, int | str], ...]]] = {
    "volume": (("volume", 3),),
    "centroid": (("centroid_z", 1), ("centroid_y", 1), ("centroid_x", 1)),
    "bounding_box": tuple((f"bbox_{end}_{axis}", 1) for end in ("min", "max") for axis in "zyx"),
    "equivalent_diameter": (("equivalent_diameter", 1),),
    "axes": (("axis_major", 1), ("axis_middle", 1), ("axis_minor", 1)),
    "moments": tuple((f"moment_{pair}", 2) for pair in ("zz", "yy", "xx", "zy", "zx", "yx")),
    "elongation": (("elongation", "1"),),
    "flatness": (("flatness", "1"),),
    "orientation": tuple((f"orientation_{axis}", "1") for axis in "zyx"),
    "surface": (("surface", 2),),
    "sphericity": (("sphericity", "1"),),
    "euler_number": (("euler_number", "1"),),
    "solidity": (("solidity", "1"),),
    "convexity": (("convexity", "1"),),
    "feret": (("feret_max", 1),),
}

#: Descriptors of the convex hull, for which every region is looked at as a whole.
_OF_HULL: Final = frozenset({"solidity", "convexity", "feret"})


#: Descriptors that most people do not ask for.
_ON_REQUEST: Final = _OF_HULL | {"moments", "elongation", "flatness", "orientation"}

#: Definitions that others published.
_PUBLISHED: Final = {"elongation": "IBSI:Q3CK", "flatness": "IBSI:N17B"}


@dataclass(frozen=True, slots=True)
class VolumeShape(WholeFamily):
    """Settings of the shape of regions in volumes; columns end in their unit, e.g. ``volume_mm3``.

    Parameters
    ----------
    descriptors
        Any of ``"volume"``, ``"centroid"``, ``"bounding_box"``, ``"equivalent_diameter"`` (of the ball with that
        volume), ``"axes"`` (of the ellipsoid with the same second moments), ``"surface"``, ``"sphericity"`` and
        ``"euler_number"`` (parts minus tunnels plus cavities; voxels that touch at a corner are one part); and, not by
        default, ``"moments"`` (central second moments of voxel centres over their number), ``"elongation"`` and
        ``"flatness"`` (middle and minor axis over the major one, 0 to 1), ``"orientation"`` (the direction of the major
        axis, of length 1, its first part that is not 0 being positive; NaN where no axis is longer than the others),
        ``"solidity"`` (volume over that of the convex hull), ``"convexity"`` (surface of the hull over that of the
        region) and ``"feret"`` (largest width). Hulls go through corners of voxels; each takes about a millisecond.

    Notes
    -----
    Voxel ``i`` covers ``[i, i + 1)``. The surface is Crofton's estimate with 13 directions, each weighted by the part
    of the sphere nearest to it, so that it holds for voxels that are not cubes: 2 % off for a ball. Lengths of axes are
    those of `skimage.measure.regionprops`.

    Examples
    --------
    >>> VolumeShape(descriptors=("volume",))
    VolumeShape(descriptors=('volume',))
    """

    reads_pixels: ClassVar[bool] = False
    reads_whole: ClassVar[Literal["regions", "channels", "image"]] = "regions"

    descriptors: tuple[str, ...] = tuple(name for name in DESCRIPTORS if name not in _ON_REQUEST)

    def __post_init__(self) -> None:
        """Refuse unknown and repeated descriptors."""
        object.__setattr__(self, "descriptors", tuple(self.descriptors))
        for descriptor in self.descriptors:
            if descriptor not in DESCRIPTORS:
                raise ParameterError(f"no volume descriptor {descriptor!r}; {closest(descriptor, DESCRIPTORS)}")
        if len(set(self.descriptors)) < len(self.descriptors):
            raise ParameterError(f"descriptors {self.descriptors} repeat; give each once")

    @property
    def reducers(self) -> Mapping[str, Reducer]:
        """How two blocks' quantities become one, by name."""
        needed = {"surface", "sphericity", "euler_number", "convexity"}.intersection(self.descriptors)
        return {"touching": add_exactly} if needed else {}

    @property
    def needs_whole(self) -> bool:
        """Whether a descriptor is one of the convex hull."""
        return bool(_OF_HULL.intersection(self.descriptors))

    def from_regions(self, block: Block) -> dict[str, np.ndarray[Any, Any]]:
        """Return the neighbouring pairs of voxels that surface and Euler's number are made from."""
        from integrate.features import volume_kernels as kernels

        if not self.reducers:
            return {}
        if block.around is not None:
            found = kernels.count_touching(block.around, block.ids, kernels.EARLIER, _table(), *block.runs)
        else:  # outlines, which may overlap, and are here as wholes
            height = block.window.y1 - block.window.y0
            found = kernels.count_touching_alone(len(block.ids), height, kernels.EARLIER, _table(), *block.runs)
        return {"touching": found}

    def from_whole(self, block: Block, grid: Grid) -> dict[str, np.ndarray[Any, Any]]:
        """Return volume, surface and largest width of the convex hulls."""
        from integrate.features.volume_hull import describe_volume_hulls

        return {"hulls": describe_volume_hulls(block, grid.size)}

    def columns(self, measured: Measured) -> list[Column]:
        """Return the columns of every descriptor."""
        values, unit = _describe(measured), measured.grid
        return [
            Column(
                f"{name}{_suffix(unit.unit, power)}",
                values[name],
                power if isinstance(power, str) else f"{unit.ucum}{power if power > 1 else ''}",
                _PUBLISHED.get(name, f"integrate.features.volume:{name}"),
                statistic=name,
            )
            for descriptor in self.descriptors
            for name, power in DESCRIPTORS[descriptor]
        ]


def _suffix(unit: str, power: int | str) -> str:
    return "" if isinstance(power, str) else f"_{unit}{power if power > 1 else ''}"


@cache
def _table() -> np.ndarray[Any, Any]:
    from integrate.features.volume_kernels import new_cells

    return new_cells()


def _describe(measured: Measured) -> dict[str, np.ndarray[Any, Any]]:
    """Return every column by its name, without unit."""
    import numpy as np

    n = count_pixels(measured)
    volume = n * math.prod(measured.grid.size)
    described = {
        "volume": volume,
        **{f"centroid_{axis}": find_centroids(measured)[:, k] for k, axis in enumerate("zyx")},
        **{name: find_bounds(measured)[:, k] for k, (name, _) in enumerate(DESCRIPTORS["bounding_box"])},
        "equivalent_diameter": np.cbrt(6 * volume / math.pi),
        **_ellipsoid(find_covariance(measured)),
    }
    touching = measured.values.get("touching", np.zeros((len(n), 14), np.int64))
    described["surface"] = _crofton(n, touching[:, :13], measured.grid.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        described["sphericity"] = np.cbrt(36 * math.pi * volume**2) / described["surface"]
    described["euler_number"] = touching[:, 13].astype(np.float64)
    hull_volume, hull_surface, widest = measured.values.get("hulls", np.full((len(n), 3), np.nan)).T
    with np.errstate(invalid="ignore", divide="ignore"):
        described["solidity"] = volume / hull_volume
        described["convexity"] = hull_surface / described["surface"]
    described["feret_max"] = widest
    return {name: value if name == "volume" else np.where(n > 0, value, np.nan) for name, value in described.items()}


def _ellipsoid(covariance: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Return the second moments, and the axes of the ellipsoid that has them."""
    import numpy as np

    spread = np.linalg.eigvalsh(np.nan_to_num(covariance)).clip(0)
    minor, middle, major = np.sqrt(20 * spread).T  # a ball of radius r has the variance r^2 / 5 along every axis
    with np.errstate(invalid="ignore"):
        elongation, flatness = middle / major, minor / major
    return {
        "axis_major": major,
        "axis_middle": middle,
        "axis_minor": minor,
        "elongation": elongation,
        "flatness": flatness,
        **{f"moment_{'zyx'[a]}{'zyx'[b]}": covariance[:, a, b] for a in range(3) for b in range(a, 3)},
        **{f"orientation_{axis}": part for axis, part in zip("zyx", _directions(covariance).T, strict=True)},
    }


def _directions(covariance: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the directions ``z, y, x`` along which regions are longest, NaN where two axes are as long."""
    import numpy as np

    spread, axes = np.linalg.eigh(np.nan_to_num(covariance))
    longest = axes[:, :, 2]
    longest = np.where(np.abs(longest) < 1e-12, 0, longest)
    first = np.take_along_axis(longest, (longest != 0).argmax(axis=1)[:, None], axis=1)
    clear = (spread[:, 2] - spread[:, 1])[:, None] > 1e-12 * spread[:, 2:]
    return np.where(clear, longest * np.where(first < 0, -1, 1), np.nan)


def _crofton(n: np.ndarray[Any, Any], pairs: np.ndarray[Any, Any], size: tuple[float, ...]) -> np.ndarray[Any, Any]:
    """Return surfaces: four times the mean projection, from how often lines in 13 directions enter a region."""
    import numpy as np
    from scipy.spatial import SphericalVoronoi

    from integrate.features.volume_kernels import EARLIER

    steps = EARLIER * np.array(size)
    length = np.linalg.norm(steps, axis=1)
    directions = np.concatenate([steps, -steps]) / np.concatenate([length, length])[:, None]
    share = SphericalVoronoi(directions).calculate_areas()[:13] / (2 * math.pi)
    apart = math.prod(size) / length
    return 4 * ((n[:, None] - pairs) * (share * apart)).sum(axis=1)
