"""The planted CT: a lung with one ellipsoidal lesion of known volume, sampled on a scanner's grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Grid", "Lesion", "plan_scan", "render_scan"]

AIR, LUNG, MUSCLE, BONE, LESION = -1000.0, -830.0, 45.0, 600.0, 35.0


@dataclass(frozen=True)
class Grid:
    """Where the voxel centres are, in patient LPS millimetres.

    ``position = origin + column * spacing_mm[2] * x + row * spacing_mm[1] * y + slice * spacing_mm[0] * z``.

    Parameters
    ----------
    shape
        Slices, rows, columns.
    spacing_mm
        Between slices, rows and columns.
    origin_mm
        Centre of the first voxel.
    directions
        3 × 3, its rows the unit vectors x (along a row), y (down a column) and z (their cross product).
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: NDArray[np.float64]
    directions: NDArray[np.float64]

    def positions(self) -> NDArray[np.float64]:
        """Return the centres of all voxels, ``(slices, rows, columns, 3)``."""
        import numpy as np

        steps = np.moveaxis(np.indices(self.shape)[::-1], 0, -1) * self.spacing_mm[::-1]
        return np.asarray(self.origin_mm + steps @ self.directions)


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid with axes along x, y and z of the patient."""

    centre_mm: NDArray[np.float64]
    semi_axes_mm: NDArray[np.float64]

    def depth(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return roughly how many millimetres points lie inside the surface; negative outside."""
        import numpy as np

        ratio = np.linalg.norm((positions - self.centre_mm) / self.semi_axes_mm, axis=-1)
        return np.asarray((1 - ratio) * self.semi_axes_mm.mean())


def plan_scan(rng: np.random.Generator, *, volume_mm3: float) -> tuple[Grid, Lesion]:
    """Return a scanner's grid over the right lung and the lesion in it; one scan in three is a little oblique."""
    import numpy as np

    shape = (int(rng.integers(24, 31)), 88, 80)
    spacing = (float(rng.choice((3.0, 3.5))), float(rng.choice((1.6, 1.7))), float(rng.choice((1.8, 1.9))))
    tilt = np.deg2rad(rng.uniform(3, 8, 2) * rng.choice((-1, 1), 2)) if rng.random() < 1 / 3 else np.zeros(2)
    centre = np.array([-78.0, 4.0, -180.0]) + rng.uniform(-3, 3, 3)
    directions = np.round(_turn(*tilt), 6)
    size = np.array(spacing)[::-1] * (np.array(shape)[::-1] - 1)
    proportion = np.exp(rng.uniform(-0.15, 0.15, 3))
    semi_axes = proportion / np.prod(proportion) ** (1 / 3) * (volume_mm3 * 3 / (4 * np.pi)) ** (1 / 3)
    lesion = Lesion(np.round(centre + rng.uniform(-1, 1, 3) * (14, 26, 6), 3), np.round(semi_axes, 4))
    return Grid(shape, spacing, np.round(centre - size / 2 @ directions, 3), directions), lesion


def render_scan(grid: Grid, lesion: Lesion, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return Hounsfield units ``(slices, rows, columns)`` with partial volume at the lesion's edge, and noise."""
    import numpy as np

    positions = grid.positions()
    anatomy = _anatomy(positions, _branches(rng), lesion)
    values = anatomy + _occupancy(lesion, positions, grid) * (LESION - anatomy)
    noise = rng.normal(0, 12, grid.shape)
    return np.asarray(np.clip(np.rint(values + noise), -1024, 3071), dtype=np.int16)


def _turn(about_x: float, about_y: float) -> NDArray[np.float64]:
    """Return the row, column and slice directions of a grid turned about the patient's x, then y axis."""
    import numpy as np

    cos_x, sin_x, cos_y, sin_y = np.cos(about_x), np.sin(about_x), np.cos(about_y), np.sin(about_y)
    first = np.array([[1, 0, 0], [0, cos_x, -sin_x], [0, sin_x, cos_x]])
    second = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    return np.asarray((second @ first).T)


def _occupancy(lesion: Lesion, positions: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Return the share of every voxel that the lesion fills, from 4 × 4 × 4 points in each."""
    import numpy as np

    depth = lesion.depth(positions)
    share = (depth > 0).astype(float)
    edge = np.abs(depth) < 1.2 * float(np.linalg.norm(grid.spacing_mm))
    steps = (np.arange(4) - 1.5) / 4
    offsets = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3) * grid.spacing_mm[::-1]
    inside = [lesion.depth(positions[edge] + offset) > 0 for offset in offsets @ grid.directions]
    share[edge] = np.mean(inside, axis=0)
    return np.asarray(share)


def _branches(rng: np.random.Generator) -> list[tuple[NDArray[np.float64], NDArray[np.float64], float]]:
    """Return blood vessels that leave the hilum: start, unit direction, radius."""
    import numpy as np

    found = []
    for _ in range(14):
        direction = np.array([-1.0, rng.uniform(-1.2, 1.2), rng.uniform(-0.9, 0.9)])
        start = np.array([-24.0, 4.0, -180.0]) + rng.uniform(-8, 8, 3)
        found.append((start, direction / np.linalg.norm(direction), float(rng.uniform(1.6, 3.4))))
    return found


def _anatomy(
    positions: NDArray[np.float64],
    branches: list[tuple[NDArray[np.float64], NDArray[np.float64], float]],
    lesion: Lesion,
) -> NDArray[np.float64]:
    """Return Hounsfield units of chest wall, ribs, mediastinum and lung with its vessels, without the lesion."""
    import numpy as np

    x, y, z = np.moveaxis(positions, -1, 0)
    lung = np.hypot((x + 82) / 58, (y - 4) / 66)
    body = np.hypot(x / 168, y / 112)
    values = np.where(body < 1, MUSCLE - 140 * (body > 0.93), AIR)
    ribs = (np.abs(lung - 1.14) < 0.05) & (np.mod(z + 22 * np.arctan2(y, x + 82), 26) < 9)
    values = np.where(ribs & (x < -40), BONE, values)
    values = np.where(lung < 1, LUNG + 25 * np.sin(x / 9) * np.sin(y / 11) + 20 * y / 66, values)
    # Vessels stop short of the lesion, so that a threshold finds it alone.
    open_lung = (lung < 0.97) & (lesion.depth(positions) < -6)
    places = positions[open_lung]
    blood = np.zeros(len(places), bool)
    for start, direction, radius in branches:
        along = (places - start) @ direction
        away = np.linalg.norm(places - start - along[:, None] * direction, axis=-1)
        blood |= (along > 0) & (away < radius * np.clip(1 - along / 90, 0.15, 1))
    values[open_lung] = np.where(blood, 20.0, values[open_lung])
    return np.asarray(values)
