"""One region ready to be measured: its voxels after image processing, and its grey levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Region", "bounding_box"]


@dataclass(frozen=True)
class Region:
    """A lesion cut out of its image, on the grid it is measured on.

    Parameters
    ----------
    surround
        Intensities ``(z, y, x)``, float64, of the region and of enough around it for local peaks; NaN where unknown.
    corner
        Where in `surround` the region's box begins; `inside` and `measured` have the shape of that box.
    inside
        The morphological mask.
    measured
        The intensity mask: voxels of `inside` that have an intensity and were not left out by re-segmentation.
    spacing_mm
        Voxel edges ``(z, y, x)``.
    levels
        Grey levels from 1, padded by one voxel on each side, 0 outside `measured`; all 0 when there are too many.
    number
        How many grey levels there are; 0 where no voxel is measured.
    """

    surround: np.ndarray[Any, Any]
    corner: tuple[int, int, int]
    inside: np.ndarray[Any, Any]
    measured: np.ndarray[Any, Any]
    spacing_mm: tuple[float, float, float]
    levels: np.ndarray[Any, Any]
    number: int

    @cached_property
    def image(self) -> np.ndarray[Any, Any]:
        """Intensities in the region's box."""
        box = tuple(slice(first, first + n) for first, n in zip(self.corner, self.inside.shape, strict=True))
        return self.surround[box]

    @cached_property
    def values(self) -> np.ndarray[Any, Any]:
        """Intensities of the measured voxels."""
        return self.image[self.measured]

    @cached_property
    def ordered(self) -> np.ndarray[Any, Any]:
        """Intensities of the measured voxels in ascending order."""
        import numpy as np

        return np.sort(self.values)

    @cached_property
    def level_counts(self) -> np.ndarray[Any, Any]:
        """How many measured voxels have each grey level from 1."""
        import numpy as np

        return np.bincount(self.levels[1:-1, 1:-1, 1:-1][self.measured], minlength=self.number + 1)[1:]

    @cached_property
    def slices(self) -> tuple[int, ...]:
        """Padded indices of the slices that hold measured voxels."""
        import numpy as np

        return tuple((np.flatnonzero(self.measured.any(axis=(1, 2))) + 1).tolist())


def bounding_box(mask: np.ndarray[Any, Any]) -> tuple[slice, ...]:
    """Return the smallest box that holds all voxels of a mask with any."""
    import numpy as np

    ends = []
    flat = np.any(mask, axis=0)
    for found in (np.any(mask, axis=(1, 2)), np.any(flat, axis=1), np.any(flat, axis=0)):
        index = np.flatnonzero(found)
        ends.append(slice(int(index[0]), int(index[-1]) + 1))
    return tuple(ends)
