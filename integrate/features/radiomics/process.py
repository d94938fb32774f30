"""Image processing: from image and mask to a region that can be measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.discretise import MOST_LEVELS, discretise
from integrate.features.radiomics.filters import Filter, SimoncelliFilter
from integrate.features.radiomics.grid import Pose, VoxelGrid, index_map, move_grid, resample_grid
from integrate.features.radiomics.local_intensity import PEAK_RADIUS_MM
from integrate.features.radiomics.region import Region, bounding_box
from integrate.features.radiomics.response import respond, respond_everywhere
from integrate.features.radiomics.sample import Box, fill_unknown, sample_image, sample_mask
from integrate.features.radiomics.settings import Radiomics, Resegment

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Lesion", "Scene", "make_scene", "process_region", "process_response"]


@dataclass(frozen=True, slots=True)
class Scene:
    """An image and a mask in memory, and the ways from the grid of measurement to the voxels of both.

    `responses` are those of the whole image to filters that need it.
    """

    image: np.ndarray[Any, Any]
    mask: np.ndarray[Any, Any]
    grid: VoxelGrid
    to_image: np.ndarray[Any, Any]
    to_mask: np.ndarray[Any, Any]
    responses: Mapping[Filter, np.ndarray[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lesion:
    """What became of one label: its region, or why there is none, and how many voxels were lost on the way."""

    region: Region | None
    reason: str = ""
    n_voxels: int = 0
    n_measured: int = 0
    n_nan: int = 0
    corner: tuple[int, int, int] = (0, 0, 0)


def make_scene(
    image: np.ndarray[Any, Any],
    image_grid: VoxelGrid,
    mask: np.ndarray[Any, Any],
    mask_grid: VoxelGrid,
    settings: Radiomics,
    pose: Pose = Pose(),  # noqa: B008 - a frozen record
) -> Scene:
    """Return image and mask with the grid that `settings` ask for, turned and shifted by `pose`.

    Raises
    ------
    AlignmentError
        If nothing says how image and mask lie to each other.
    """
    grid = move_grid(resample_grid(image_grid, settings.resample), pose)
    to_image = index_map(grid, image_grid)
    scene = Scene(image, mask, grid, to_image, index_map(image_grid, mask_grid) @ to_image)
    whole = [one for one in settings.filters if isinstance(one, SimoncelliFilter)]
    if not whole:
        return scene
    everything = fill_unknown(_intensities(scene, ((0, 0, 0), grid.shape), settings))
    return replace(scene, responses={one: respond_everywhere(everything, one) for one in whole})


def process_region(
    scene: Scene, label: int, ends: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], settings: Radiomics
) -> Lesion:
    """Return one label's region after interpolation, rounding, re-segmentation and discretisation.

    Parameters
    ----------
    scene
        Image and mask.
    label
        Which value of the mask.
    ends
        First and last index of the label in the mask.
    settings
        What to do.
    """
    box, cut = _box(scene, ends)
    if box is None:
        return Lesion(None, "outside the image")
    resample = settings.resample
    inside = sample_mask(
        scene.mask,
        label,
        scene.to_mask,
        box,
        method=resample.mask_method if resample else "linear",
        threshold=resample.mask_threshold if resample else 0.5,
    )
    if not inside.any():
        return Lesion(None, "no voxel left after interpolation")
    box, inside = _tighten(box, inside)
    wide, corner = _widen(box, scene.grid, settings)
    surround = _intensities(scene, wide, settings)
    measured, n_nan = _select(surround[_slices(corner, box[1])], inside, settings.resegment)
    region = _with_levels(surround, corner, inside, measured, scene.grid.spacing_mm, settings)
    reason = "cut off at the edge of the image" if cut else ""
    return Lesion(region, reason, int(inside.sum()), int(measured.sum()), n_nan, box[0])


def process_response(scene: Scene, lesion: Lesion, filter_: Filter, settings: Radiomics) -> Region:
    """Return the response to a filter in the voxels of a lesion's region that are measured.

    Voxels without intensity are filtered as if they were like the nearest one that has some.
    """
    region = lesion.region
    if region is None:
        raise ValueError("a lesion without a region has no response")
    box = (lesion.corner, region.inside.shape)
    if filter_ in scene.responses:
        response = scene.responses[filter_][_slices(*box)]
    else:
        source = lambda wanted: fill_unknown(_intensities(scene, wanted, settings))  # noqa: E731
        response = respond(source, box, scene.grid.shape, region.spacing_mm, filter_)
    return _with_levels(response, (0, 0, 0), region.inside, region.measured, region.spacing_mm, settings.of_responses())


def _intensities(scene: Scene, box: Box, settings: Radiomics) -> np.ndarray[Any, Any]:
    """Return interpolated and rounded intensities of a box, float64."""
    import numpy as np

    resample = settings.resample
    values = sample_image(scene.image, scene.to_image, box, method=resample.method if resample else "nearest")
    if resample and resample.round_to:
        values = np.rint(values / resample.round_to) * resample.round_to
    return values


def _box(scene: Scene, ends: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]) -> tuple[Box | None, bool]:
    """Return the box of the grid that a label may fill, and whether the label reaches beyond the image."""
    import itertools

    import numpy as np

    outer = np.array(list(itertools.product(*zip(ends[0] - 0.5, ends[1] + 0.5, strict=True))))
    from_mask = np.linalg.inv(scene.to_mask)
    there = outer @ from_mask[:3, :3].T + from_mask[:3, 3]
    low, high, limit = there.min(axis=0), there.max(axis=0), np.array(scene.grid.shape)
    first = np.maximum(np.floor(low).astype(int) - 1, 0)
    last = np.minimum(np.ceil(high).astype(int) + 1, limit - 1)
    if (last < first).any() or (high < -0.5).any() or (low > limit - 0.5).any():
        return None, True
    cut = bool((low < -0.51).any() or (high > limit - 0.49).any())
    return (tuple(first.tolist()), tuple((last - first + 1).tolist())), cut


def _tighten(box: Box, inside: np.ndarray[Any, Any]) -> tuple[Box, np.ndarray[Any, Any]]:
    import numpy as np

    cut = bounding_box(inside)
    start = tuple(first + one.start for first, one in zip(box[0], cut, strict=True))
    tight = np.ascontiguousarray(inside[cut])
    return (start, tight.shape), tight


def _widen(box: Box, grid: VoxelGrid, settings: Radiomics) -> tuple[Box, tuple[int, int, int]]:
    """Return the box with room for the spheres of local peaks, and where in it the region's box begins."""
    if "local_intensity" not in settings.families:
        return box, (0, 0, 0)
    start, shape, corner = [], [], []
    for first, n, limit, step in zip(*box, grid.shape, grid.spacing_mm, strict=True):
        margin = math.floor(PEAK_RADIUS_MM / step) + 1
        low, high = max(first - margin, 0), min(first + n + margin, limit)
        start.append(low)
        shape.append(high - low)
        corner.append(first - low)
    return (tuple(start), tuple(shape)), tuple(corner)


def _slices(corner: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(first, first + n) for first, n in zip(corner, shape, strict=True))


def _select(
    image: np.ndarray[Any, Any], inside: np.ndarray[Any, Any], resegment: Resegment | None
) -> tuple[np.ndarray[Any, Any], int]:
    """Return the intensity mask, and how many voxels of the region have no intensity."""
    import numpy as np

    known = inside & np.isfinite(image)
    n_nan = int(inside.sum() - known.sum())
    if resegment is None:
        return known, n_nan
    if resegment.interval is not None:
        low, high = resegment.interval
        known &= (image >= low) & (image <= high)
    if resegment.outliers_sigma is not None and known.any():
        values = image[known]
        reach = resegment.outliers_sigma * values.std()
        known &= np.abs(image - values.mean()) <= reach
    return known, n_nan


def _with_levels(
    surround: np.ndarray[Any, Any],
    corner: tuple[int, int, int],
    inside: np.ndarray[Any, Any],
    measured: np.ndarray[Any, Any],
    spacing: tuple[float, float, float],
    settings: Radiomics,
) -> Region:
    import numpy as np

    levels = np.zeros(tuple(n + 2 for n in inside.shape), np.int32)
    number = 0
    if measured.any():
        values = surround[_slices(corner, inside.shape)][measured]
        found, number = discretise(values, settings.bins, settings.resegment)
        if number <= MOST_LEVELS:
            levels[1:-1, 1:-1, 1:-1][measured] = found
    return Region(surround, corner, inside, measured, spacing, levels, number)
