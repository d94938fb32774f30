"""The rigid way between two volumes: from many starts, coarse to fine, by normalised mutual information."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import RegistrationError

if TYPE_CHECKING:
    import numpy as np

    from integrate.align.working import Picture

__all__ = ["find_rigid", "refine_rigid", "smoothed"]

BINS = 24
#: Levels: smoothing in voxels, samples, first step in millimetres and in which part of one the search ends.
_COARSE, _MIDDLE, _FINE = (2.0, 4_000, 8.0, 0.02), (1.0, 12_000, 4.0, 0.01), (0.0, 30_000, 2.0, 0.01)
#: Share of the smaller volume that must meet the other.
_LEAST = 0.5


def find_rigid(
    fixed: Picture, moving: Picture, *, angles: Sequence[float], seed: int, tick: Callable[[], object]
) -> np.ndarray[Any, Any]:
    """Return the rigid matrix from the fixed to the moving space at which the volumes share most information.

    Parameters
    ----------
    fixed, moving
        Working pictures of three dimensions, in one unit.
    angles
        Starting angles about z, degrees.
    seed
        Seed of the samples.
    tick
        Called after each angle, after the best few, and twice while the best is refined.

    Raises
    ------
    RegistrationError
        If no start lets the volumes overlap.

    Notes
    -----
    Studholme, Hill and Hawkes, Pattern Recognition 1999; Powell's method, as Jenkinson and Smith (2001) use it.
    """
    import numpy as np

    search = _Search.between(fixed, moving, _COARSE, seed)
    found = []
    for angle in angles:
        for here, there in (
            (fixed.centre(), moving.centre()),
            (fixed.grid.corners().mean(axis=0), moving.grid.corners().mean(axis=0)),
        ):
            c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
            start = np.eye(4)
            start[:2, :2] = [[c, -s], [s, c]]
            start[:3, 3] = there - start[:3, :3] @ here
            found.append(search.best(start))
        tick()
    found.sort(key=lambda one: -one[0])
    if found[0][0] == 0:
        raise RegistrationError("no start lets the two volumes overlap; give landmarks, or check their spaces")
    search = _Search.between(fixed, moving, _MIDDLE, seed)
    best = max((search.best(start) for _, start in found[:2]), key=lambda one: one[0])
    tick()
    return refine_rigid(fixed, moving, best[1], seed=seed, tick=tick)


def refine_rigid(
    fixed: Picture, moving: Picture, start: np.ndarray[Any, Any], *, seed: int, tick: Callable[[], object]
) -> np.ndarray[Any, Any]:
    """Return the rigid matrix from the fixed to the moving space, from a start that is nearly right; ticks twice."""
    for level in (_MIDDLE, _FINE):
        start = _Search.between(fixed, moving, level, seed).best(start)[1]
        tick()
    return start


@dataclass(frozen=True, eq=False)
class _Search:
    """Samples of the fixed volume, the moving one, and how far and finely to look."""

    points: np.ndarray[Any, Any]
    codes: np.ndarray[Any, Any]
    there: np.ndarray[Any, Any]
    to_index: np.ndarray[Any, Any]
    centre: np.ndarray[Any, Any]
    radius: float
    least: float
    step: float
    tolerance: float

    @classmethod
    def between(cls, fixed: Picture, moving: Picture, level: tuple[float, int, float, float], seed: int) -> _Search:
        """Return the search at one level."""
        import numpy as np

        sigma, count, step, tolerance = level
        here = smoothed(fixed.values, sigma)
        index = np.argwhere(np.isfinite(here))
        if len(index) > count:
            index = index[np.random.default_rng(seed).choice(len(index), count, replace=False)]
        codes = np.minimum((here[tuple(index.T)] * BINS).astype(np.int64), BINS - 1)
        half = np.eye(4)
        half[:3, 3] = -0.5  # indices of centres
        outer = fixed.grid.corners()
        volumes = [float(np.isfinite(one.values).sum() * np.prod(one.grid.size)) for one in (moving, fixed)]
        return cls(
            points=fixed.grid.affine.map_points(index[:, ::-1] + 0.5),
            codes=codes,
            there=smoothed(moving.values, sigma),
            to_index=half @ moving.grid.affine.inverse().array,
            centre=outer.mean(axis=0),
            radius=float(np.linalg.norm(np.ptp(outer, axis=0))) / 4,
            least=_LEAST * min(1.0, volumes[0] / volumes[1]),
            step=step,
            tolerance=tolerance,
        )

    def best(self, start: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        """Return the shared information and matrix at the optimum that a start leads to."""
        import numpy as np
        from scipy.optimize import minimize

        from integrate.align.volume_kernels import normalised_information

        def unshared(change: np.ndarray[Any, Any]) -> float:
            matrix = self.to_index @ self._moved(start, change)
            return -normalised_information(self.points, self.codes, matrix[:3], self.there, BINS, self.least)

        options = {"direc": np.eye(6) * self.step, "xtol": self.tolerance, "ftol": 1e-4, "maxiter": 20}
        found = minimize(unshared, np.zeros(6), method="Powell", options=options)
        return -float(found.fun), self._moved(start, found.x)

    def _moved(self, start: np.ndarray[Any, Any], change: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return a start preceded by a shift and a turn about the centre; both as millimetres at the outline."""
        import numpy as np
        from scipy.spatial.transform import Rotation

        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_rotvec(change[3:] / self.radius).as_matrix()
        matrix[:3, 3] = self.centre - matrix[:3, :3] @ self.centre + change[:3]
        return np.asarray(start @ matrix)


def smoothed(values: np.ndarray[Any, Any], sigma: float) -> np.ndarray[Any, Any]:
    """Return a volume blurred by its known voxels alone."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    known = np.isfinite(values)
    if sigma == 0:
        return values
    weight = gaussian_filter(known.astype(np.float32), sigma)
    soft = gaussian_filter(np.where(known, values, 0).astype(np.float32), sigma) / np.maximum(weight, 1e-6)
    return np.where(known, soft, np.float32(np.nan))
