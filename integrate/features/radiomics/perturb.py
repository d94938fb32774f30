"""Perturbation of a lesion: small changes of image and outline that a robust feature should not notice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError
from integrate.features.radiomics.filters import check_positive
from integrate.features.radiomics.grid import Pose, VoxelGrid
from integrate.keys import ACQUISITION_ID, REGION_ID

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["Inputs", "Perturbation", "estimate_noise"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Image and labels in memory with their grids, where each label is, which are wanted, and what is known."""

    image: Array
    image_grid: VoxelGrid
    drawn: Array
    mask_grid: VoxelGrid
    boxes: tuple[Array, Array]
    labels: list[int]
    names: Mapping[int, str]
    ids: dict[str, str]
    notes: Mapping[str, Any]
    input_hash: str

    @property
    def region(self) -> str:
        """What rows belong to when nothing else is said."""
        return self.ids.get(REGION_ID) or self.ids.get(ACQUISITION_ID) or "lesions"


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What is changed before a lesion is measured again.

    Parameters
    ----------
    turn_deg
        Turn the grid of measurement about the slice normal.
    shift
        Shift the grid by this part of a voxel along each axis, as another position of the patient would.
    noise
        Add normal noise of this many times the noise that the image already has.
    grow
        Change the volume of outlines by this share, e.g. ``0.1`` or ``-0.1``, evenly along the border.
    contour_mm
        Move outlines to and fro by so many millimetres (standard deviation), as another reader would.
    contour_scale_mm
        Over which length the outline moves together.
    seed
        Of noise and outlines.

    Examples
    --------
    >>> Perturbation(turn_deg=5, noise=1).name
    'turn5_noise1'
    """

    turn_deg: float = 0.0
    shift: float = 0.0
    noise: float = 0.0
    grow: float = 0.0
    contour_mm: float = 0.0
    contour_scale_mm: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse changes that leave nothing."""
        if min(self.noise, self.contour_mm) < 0 or not -1 < self.grow < math.inf:
            raise ParameterError(f"{self}: expected noise and contour_mm of 0 or more, and grow above -1")
        check_positive("contour_scale_mm", self.contour_scale_mm)

    @classmethod
    def every(
        cls,
        *,
        turn_deg: Sequence[float] = (0,),
        shift: Sequence[float] = (0,),
        noise: Sequence[float] = (0,),
        grow: Sequence[float] = (0,),
        contour_mm: Sequence[float] = (0,),
        seed: int = 0,
    ) -> list[Perturbation]:
        """Return every combination of the changes, each with a seed of its own.

        Examples
        --------
        >>> [one.name for one in Perturbation.every(turn_deg=[-5, 5], grow=[0, 0.1])]
        ['turn-5', 'turn-5_grow0.1', 'turn5', 'turn5_grow0.1']
        """
        crossed = itertools.product(turn_deg, shift, noise, grow, contour_mm)
        return [cls(*one, seed=seed + number) for number, one in enumerate(crossed)]

    @property
    def name(self) -> str:
        """What changes, ``"none"`` for nothing."""
        parts = {
            "turn": self.turn_deg,
            "shift": self.shift,
            "noise": self.noise,
            "grow": self.grow,
            "contour": self.contour_mm,
        }
        return "_".join(f"{word}{value:g}" for word, value in parts.items() if value) or "none"

    @property
    def pose(self) -> Pose:
        """How the grid of measurement moves."""
        return Pose(self.turn_deg, (self.shift,) * 3)

    def change(self, inputs: Inputs) -> Inputs:
        """Return image and outlines after what changes their voxels."""
        import numpy as np

        from integrate.features.radiomics.label_kernels import find_boxes

        rng = np.random.default_rng(self.seed)
        if self.noise:
            deviation = self.noise * estimate_noise(inputs.image)
            inputs = replace(inputs, image=inputs.image + rng.normal(0, deviation, inputs.image.shape))
        if self.grow or self.contour_mm:
            drawn = self._move_outlines(inputs, rng)
            inputs = replace(inputs, drawn=drawn, boxes=find_boxes(drawn))
        return inputs

    def _move_outlines(self, inputs: Inputs, rng: np.random.Generator) -> Array:
        drawn = inputs.drawn.copy()
        for label, ends in zip(*inputs.boxes, strict=True):
            if int(label) in inputs.labels:
                reach = self._reach(ends, inputs.mask_grid.spacing_mm)
                box = tuple(
                    slice(max(0, first - r), last + r + 1)
                    for first, last, r in zip(ends[:3], ends[3:], reach, strict=True)
                )
                before = inputs.drawn[box]
                after = self._move_outline(before == label, inputs.mask_grid.spacing_mm, rng)
                part = drawn[box]
                part[before == label] = 0
                part[after & (before == 0) & (part == 0)] = label
                part[after & (before == label)] = label
        return drawn

    def _reach(self, ends: Array, spacing: tuple[float, float, float]) -> list[int]:
        """Return how many voxels around a label's box the outline may come to."""
        size = max((last - first + 1) * step for first, last, step in zip(ends[:3], ends[3:], spacing, strict=True))
        far = 4 * self.contour_mm + max(0.0, self.grow) * size
        return [math.ceil(far / step) + 1 for step in spacing]

    def _move_outline(self, inside: Array, spacing: tuple[float, float, float], rng: np.random.Generator) -> Array:
        """Return the voxels nearest to the inside, by their distance from the outline and its smooth random move."""
        import numpy as np

        distance = _distance(inside, spacing)
        if self.contour_mm:
            distance = distance - self.contour_mm * _smooth_noise(inside.shape, spacing, self.contour_scale_mm, rng)
        if not self.grow:
            return distance < 0
        moved = np.zeros(inside.shape, bool)
        moved.ravel()[np.argsort(distance, axis=None, kind="stable")[: round(inside.sum() * (1 + self.grow))]] = True
        return moved


def _distance(inside: Array, spacing: tuple[float, float, float]) -> Array:
    """Return how far voxel centres are outside of an outline (below 0 inside), which runs between voxels."""
    import numpy as np
    from scipy import ndimage

    padded = np.pad(inside, 1)
    outward, inward = (ndimage.distance_transform_edt(one, sampling=spacing) for one in (~padded, padded))
    signed = np.where(padded, min(spacing) / 2 - inward, outward - min(spacing) / 2)
    return np.asarray(signed[1:-1, 1:-1, 1:-1])


def _smooth_noise(
    shape: tuple[int, ...], spacing: tuple[float, float, float], scale_mm: float, rng: np.random.Generator
) -> Array:
    """Return normal noise of deviation 1 that changes over `scale_mm`."""
    import numpy as np
    from scipy import ndimage

    width = [scale_mm / step for step in spacing]
    margin = [math.ceil(3 * one) for one in width]
    wide = rng.normal(size=[n + 2 * m for n, m in zip(shape, margin, strict=True)])
    smooth = ndimage.gaussian_filter(wide, width, mode="wrap")
    return np.asarray(smooth[tuple(slice(m, -m) for m in margin)] / smooth.std())


def estimate_noise(image: Array) -> float:
    """Return the standard deviation of the noise of an image (Immerkær 1996), robust against edges.

    Notes
    -----
    What is left of each slice after second differences along both axes is noise but for edges; the median of its
    absolute values, over 0.6745 and 6, is the deviation of normal noise.

    Examples
    --------
    >>> import numpy as np
    >>> round(estimate_noise(np.random.default_rng(0).normal(100, 7, (8, 64, 64))))
    7
    """
    import numpy as np
    from scipy import ndimage

    left = np.asarray(image, np.float64)
    for axis in (1, 2):
        left = ndimage.convolve1d(left, [1.0, -2.0, 1.0], axis=axis, mode="mirror")
    size = np.abs(left[np.isfinite(left)])
    return float(np.median(size) / 0.6744897501960817 / 6) if size.size else 0.0
