"""The bend between two volumes: a B-spline of few nodes, by mutual information, that resists bending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.align.rigid import smoothed
from integrate.align.space import Space
from integrate.align.transform import Affine, Chain, DisplacementField

if TYPE_CHECKING:
    import numpy as np

    from integrate.align.working import Picture

__all__ = ["bend_volume"]

BINS = 32
#: Samples of the metric: enough for a stable slope, whatever the size of the volume.
SAMPLES = 20_000
#: Blur in voxels, level by level, and steps of the optimiser at each.
LEVELS, STEPS, TOLERANCE = (2.0, 1.0, 0.5), 40, 1e-5
#: Nats that a bend of one costs: the second difference of the displacement from node to node, in distances of nodes.
STIFFNESS = 1.0


def bend_volume(fixed: Picture, moving: Picture, flat: Affine, *, nodes: int, seed: int) -> Chain:
    """Return a flat way from the fixed to the moving space, preceded by the bend within the fixed one that fits best.

    Parameters
    ----------
    fixed, moving
        Working pictures of three dimensions.
    flat
        The way to begin with.
    nodes
        Cells of the B-spline along the longest edge of the fixed picture.
    seed
        Seed of the samples.

    Notes
    -----
    Rueckert et al., IEEE TMI 1999: cubic free-form deformation with bending energy; slopes of Mattes' mutual
    information, optimised by L-BFGS.
    """
    import numpy as np
    from scipy.optimize import minimize

    size = np.array(fixed.values.shape)
    cells = np.maximum(1, np.round(nodes * size / size.max())).astype(int)
    controls = np.zeros((*(cells + 3), 3))
    for blur in LEVELS:
        search = _Search.between(fixed, moving, flat, cells, blur, seed)
        options = {"maxiter": STEPS, "ftol": TOLERANCE}
        found = minimize(search.cost, controls.ravel(), jac=True, method="L-BFGS-B", options=options)
        controls = found.x.reshape(controls.shape)
    return _way(fixed, flat, controls, cells)


def _way(fixed: Picture, flat: Affine, controls: np.ndarray[Any, Any], cells: np.ndarray[Any, Any]) -> Chain:
    """Return a spline as displacements on nodes that follow it closely, before the flat way."""
    import numpy as np

    from integrate.align.bend_kernels import spline_at

    count = 8 * cells + 1
    at = np.stack(np.meshgrid(*[np.linspace(0, n, k) for n, k in zip(cells, count, strict=True)], indexing="ij"), -1)
    vectors = spline_at(controls, at.reshape(-1, 3)).reshape(*count, 3) * fixed.grid.size[0]
    low, high = (getattr(fixed.grid.corners(), end)(axis=0) for end in ("min", "max"))
    spacing = (high - low) / (count[::-1] - 1)
    space = fixed.grid.space
    straight = Space(f"{space.name} straightened", space.unit, space.axes)
    field = DisplacementField(vectors, tuple(low.tolist()), tuple(spacing.tolist()), space, straight)
    return Chain((field, Affine(flat.matrix, straight, flat.target)))


@dataclass(frozen=True, eq=False)
class _Search:
    """Samples of the fixed volume, where they lie in the spline and, flat, in the moving volume."""

    codes: np.ndarray[Any, Any]
    places: np.ndarray[Any, Any]
    index: np.ndarray[Any, Any]
    to_index: np.ndarray[Any, Any]
    volume: np.ndarray[Any, Any]
    shape: tuple[int, ...]
    stretch: np.ndarray[Any, Any]

    @classmethod
    def between(
        cls, fixed: Picture, moving: Picture, flat: Affine, cells: np.ndarray[Any, Any], blur: float, seed: int
    ) -> _Search:
        """Return the search at one level."""
        import numpy as np
        from scipy.ndimage import distance_transform_edt

        here, there = smoothed(fixed.values, blur), smoothed(moving.values, blur)
        at = np.argwhere(fixed.foreground & np.isfinite(here))
        if len(at) > SAMPLES:
            at = at[np.sort(np.random.default_rng(seed).choice(len(at), SAMPLES, replace=False))]
        to_index = moving.grid.affine.inverse().array @ flat.array
        points = fixed.grid.affine.map_points(at[:, ::-1] + 0.5)
        index = (points @ to_index[:3, :3].T + to_index[:3, 3] - 0.5)[:, ::-1]
        met = ((index > -0.5) & (index < np.array(there.shape) - 0.5)).all(axis=1)
        near = np.round(index[met]).astype(int)
        met[met] = np.isfinite(there[tuple(near.T)])
        nearest = distance_transform_edt(~np.isfinite(there), return_distances=False, return_indices=True)
        shape = np.array(fixed.values.shape)
        return cls(
            codes=np.minimum((here[tuple(at[met].T)] * BINS).astype(np.int64), BINS - 1),
            places=(at[met] + 0.5) * cells / shape,
            index=index[met],
            to_index=to_index[:3, :3][::-1] * fixed.grid.size[0],
            volume=there[tuple(nearest)].astype(np.float64),
            shape=tuple((cells + 3).tolist()),
            stretch=cells / shape,
        )

    def cost(self, flat: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        """Return what a spline costs, in nats: its bend less the information shared; and the slope of that.

        Displacements are in working voxels.
        """
        from integrate.align.bend_kernels import draw_moved, information_slope, spline_at, spread_slope

        controls = flat.reshape(*self.shape, 3)
        index = self.index + spline_at(controls, self.places) @ self.to_index.T
        values, slopes = draw_moved(index, self.volume)
        shared, gains = information_slope(self.codes, values, BINS)
        bend, stiff = _bend(controls, self.stretch)
        slope = STIFFNESS * stiff - spread_slope(gains[:, None] * (slopes @ self.to_index), self.places, self.shape)
        return STIFFNESS * bend - shared, slope.ravel()


def _bend(controls: np.ndarray[Any, Any], stretch: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
    """Return the mean square of all second differences of the controls, in distances of nodes, and its slope."""
    import numpy as np

    total, slope = 0.0, np.zeros_like(controls)
    scale = float(stretch.mean())
    for a in range(3):
        for b in range(a, 3):
            second = np.diff(np.diff(controls, axis=a), axis=b) * scale
            if not second.size:
                continue
            weight = (1 if a == b else 2) / (second.size / 3)
            total += weight * float((second**2).sum())
            slope += _undiffed(_undiffed(2 * weight * scale * second, b), a)
    return total, slope


def _undiffed(values: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    """Return the transpose of a difference along an axis."""
    import numpy as np

    edge = [(0, 0)] * values.ndim
    edge[axis] = (1, 1)
    return -np.diff(np.pad(values, edge), axis=axis)
