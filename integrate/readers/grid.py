"""The grid of a volume: where its voxels lie in the patient, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.keys import ATTRS

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Grid", "make_volume"]

#: Axes of a volume may depart from right angles by this much (cosine); headers keep few digits.
SQUARE = 1e-3


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the voxels of a regular stack of slices lie in the patient.

    Parameters
    ----------
    origin_lps_mm
        Centre of the first voxel.
    direction
        Rows of a 3 × 3 matrix whose columns are the unit vectors of increasing i (x), j (y) and k (z).
    spacing_mm
        Distance of voxel centres along ``(z, y, x)``; z is ``None`` for a single slice, whose thickness no position
        tells.
    residual_mm
        The largest distance of a slice from its place in this grid.
    """

    origin_lps_mm: tuple[float, ...]
    direction: tuple[tuple[float, ...], ...]
    spacing_mm: tuple[float | None, float, float]
    residual_mm: float

    def affine_lps(self) -> list[list[float]]:
        """Return the 4 × 4 matrix from voxel index ``(i, j, k, 1)`` to LPS mm; the step of a lone slice is 1 mm."""
        steps = [1.0 if step is None else step for step in reversed(self.spacing_mm)]
        rows = [
            [*(cosine * step for cosine, step in zip(row, steps, strict=True)), origin]
            for row, origin in zip(self.direction, self.origin_lps_mm, strict=True)
        ]
        return [*rows, [0.0, 0.0, 0.0, 1.0]]

    def notes(self) -> dict[str, Any]:
        """Return the grid in plain values, for ``attrs``."""
        return {
            "orientation": "LPS",
            "affine_lps": self.affine_lps(),
            "origin_lps_mm": list(self.origin_lps_mm),
            "direction": [list(row) for row in self.direction],
            "spacing_mm": list(self.spacing_mm),
            "position_residual_mm": self.residual_mm,
        }

    @classmethod
    def from_affine(cls, affine_lps: np.ndarray[Any, Any], *, where: str) -> Grid:
        """Return the grid of a 4 × 4 matrix from voxel index ``(i, j, k, 1)`` to LPS mm.

        Raises
        ------
        DataError
            If the axes are not perpendicular, or a step is zero: no rectangular volume has such a matrix.
        """
        import numpy as np

        steps = np.linalg.norm(affine_lps[:3, :3], axis=0)
        if not np.isfinite(affine_lps).all() or not (steps > 0).all():
            raise DataError(f"{where} states voxel steps of {steps.tolist()} mm; expected positive numbers")
        direction = affine_lps[:3, :3] / steps
        skew = float(np.abs(direction.T @ direction - np.eye(3)).max())
        if skew > SQUARE:
            raise DataError(
                f"the axes of {where} are not perpendicular (cosine {skew:.3f}); resample it to a straight grid first"
            )
        return cls(
            origin_lps_mm=tuple(float(v) for v in affine_lps[:3, 3]),
            direction=tuple(tuple(float(v) for v in row) for row in direction),
            spacing_mm=(float(steps[2]), float(steps[1]), float(steps[0])),
            residual_mm=0.0,
        )


def make_volume(
    pixels: Any, grid: Grid, *, name: str, notes: dict[str, Any], time_s: Any | None = None
) -> xr.DataArray:
    """Return a volume ``(z, y, x)``, or ``(t, z, y, x)``, with coordinates in mm from its outer corner.

    Parameters
    ----------
    pixels
        Array, numpy or Dask; it is not computed.
    grid
        Where the voxels lie.
    name
        Name of the array.
    notes
        What to keep in ``attrs["integrate"]``.
    time_s
        Seconds of each time point; ``None`` numbers them.

    Returns
    -------
    DataArray. Coordinates are voxel centres, ``(k + 0.5) * spacing``; of a lone slice of unknown thickness in ``px``.
    """
    import numpy as np
    import xarray as xr

    dims = ("t", "z", "y", "x")[-pixels.ndim :]
    coords: dict[str, Any] = {
        axis: (axis, (np.arange(n) + 0.5) * (step or 1.0), {"units": "px" if step is None else "mm"})
        for axis, n, step in zip("zyx", pixels.shape[-3:], grid.spacing_mm, strict=True)
    }
    if "t" in dims:
        unit = "1" if time_s is None else "s"
        coords["t"] = ("t", np.arange(pixels.shape[0]) if time_s is None else np.asarray(time_s), {"units": unit})
    return xr.DataArray(pixels, dims=dims, coords=coords, name=name, attrs={ATTRS: notes})
