"""A transform: how positions of one space become positions of another, exact about units, order and inverse."""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from integrate.align.space import Space, check_meets
from integrate.errors import AlignmentError, DataError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Affine",
    "Chain",
    "DisplacementField",
    "Inverted",
    "ThinPlate",
    "Transform",
    "identity",
    "jacobian",
    "spread_at",
]

#: Newton steps after which a position without an origin is given up, and what counts as arrived (in steps of size 1).
_TRIES = 60
_ARRIVED = 1e-10


class Transform:
    """What all transforms share: they lead from `source` to `target`, and take and return positions ``(n, axes)``."""

    source: Space
    target: Space

    def map_points(self, points: Any) -> np.ndarray[Any, Any]:
        """Return positions of the source in the target space, float64."""
        import numpy as np

        given = np.asarray(points, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != self.source.ndim:
            raise DataError(f"expected positions ({self.source.ndim} numbers each), found an array of {given.shape}")
        return self._map(given)

    def _map(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        raise NotImplementedError

    def inverse(self) -> Transform:
        """Return the transform from `target` back to `source`."""
        return Inverted(self)

    def then(self, following: Transform) -> Transform:
        """Return this transform followed by another, whose source must be this target.

        Raises
        ------
        AlignmentError
            If the other starts in another space.
        """
        check_meets(self.target, following.source, what="the end of the first transform")
        parts = [*_parts(self), *_parts(following)]
        merged: list[Transform] = []
        for part in parts:
            before = merged[-1] if merged else None
            if isinstance(part, Affine) and isinstance(before, Affine):
                merged[-1] = Affine(_rows(part.array @ before.array), before.source, part.target)
            else:
                merged.append(part)
        return merged[0] if len(merged) == 1 else Chain(tuple(merged))


def _parts(transform: Transform) -> tuple[Transform, ...]:
    return transform.parts if isinstance(transform, Chain) else (transform,)


def _rows(matrix: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(v) for v in row) for row in matrix)


@dataclass(frozen=True)
class Affine(Transform):
    """An affine map of positions, which speak of corners: pixel ``i`` covers ``[i, i + 1)``.

    Parameters
    ----------
    matrix
        Rows of the homogeneous matrix acting on ``(x, y, 1)`` or ``(x, y, z, 1)``.
    source, target
        From where to where.

    Raises
    ------
    DataError
        If the matrix has another shape, numbers that are not finite, or no inverse.

    Examples
    --------
    >>> pixels, slide = ig.Space("slide_px", "px"), ig.Space("slide", "um")
    >>> Affine.scale([0.5, 0.25], pixels, slide).map_points([[10, 10]]).tolist()
    [[5.0, 2.5]]
    """

    matrix: tuple[tuple[float, ...], ...]
    source: Space
    target: Space

    def __post_init__(self) -> None:
        import numpy as np

        given = np.asarray(self.matrix, dtype=np.float64)
        n = self.source.ndim + 1
        if given.shape != (n, n) or self.target.ndim != self.source.ndim or not np.isfinite(given).all():
            raise DataError(f"expected a finite {n} × {n} matrix for axes {self.source.axes}, found {given.tolist()}")
        if not np.allclose(given[-1], np.eye(n)[-1]) or np.linalg.matrix_rank(given[:-1, :-1]) < n - 1:
            raise DataError(f"the matrix {given.tolist()} is no affine map with an inverse")
        object.__setattr__(self, "matrix", _rows(given))

    @classmethod
    def scale(
        cls, factors: Listed[float], source: Space, target: Space, *, offset: Listed[float] | None = None
    ) -> Affine:
        """Return the map ``factor * position + offset`` per axis, in the order of the axes (x first)."""
        import numpy as np

        matrix = np.diag([*factors, 1.0])
        matrix[:-1, -1] = 0 if offset is None else offset
        return cls(_rows(matrix), source, target)

    @classmethod
    def from_centres(cls, matrix: Any, source: Space, target: Space) -> Affine:
        """Return the map of a matrix that speaks of pixel centres, index 0 the first one's, as DICOM does."""
        import numpy as np

        half = np.eye(len(matrix))
        half[:-1, -1] = -0.5
        return cls(_rows(np.asarray(matrix, dtype=np.float64) @ half), source, target)

    @cached_property
    def array(self) -> np.ndarray[Any, Any]:
        """The matrix as a numpy array."""
        import numpy as np

        made = np.array(self.matrix)
        made.flags.writeable = False
        return made

    @property
    def is_identity(self) -> bool:
        """Whether positions keep their numbers."""
        return all(v == float(i == j) for i, row in enumerate(self.matrix) for j, v in enumerate(row))

    def _map(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if self.is_identity:
            return points.copy()
        n = self.source.ndim
        return points @ self.array[:n, :n].T + self.array[:n, n]

    def inverse(self) -> Affine:
        """Return the inverse map."""
        import numpy as np

        return Affine(_rows(np.linalg.inv(self.array)), self.target, self.source)


def identity(source: Space, target: Space | None = None) -> Affine:
    """Return the declaration that two spaces are one.

    Parameters
    ----------
    source, target
        The spaces; a space and itself when only one is given.

    Returns
    -------
    An `Affine` that changes no number.

    Raises
    ------
    AlignmentError
        If the units differ: then numbers must change.

    Examples
    --------
    >>> identity(ig.Space("slide", "um"), ig.Space("section", "um")).is_identity
    True
    """
    end = source if target is None else target
    if source.unit != end.unit:
        raise AlignmentError(
            f"{source.name!r} is in {source.unit!r} and {end.name!r} in {end.unit!r}; use Affine.scale"
        )
    return Affine.scale([1.0] * source.ndim, source, end)


@dataclass(frozen=True)
class Chain(Transform):
    """Transforms one after the other; made by `Transform.then`.

    Parameters
    ----------
    parts
        The transforms, first to last.
    """

    parts: tuple[Transform, ...]

    @property
    def source(self) -> Space:  # type: ignore[override]
        """Where the first begins."""
        return self.parts[0].source

    @property
    def target(self) -> Space:  # type: ignore[override]
        """Where the last ends."""
        return self.parts[-1].target

    def _map(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        for part in self.parts:
            points = part._map(points)
        return points

    def inverse(self) -> Transform:
        """Return the inverses, last to first."""
        return Chain(tuple(part.inverse() for part in reversed(self.parts)))


@dataclass(frozen=True)
class Inverted(Transform):
    """The inverse of a transform that has no formula for it, found by Newton's method to 1e-9 of a unit.

    Parameters
    ----------
    of
        The transform whose inverse this is.
    """

    of: Transform

    @property
    def source(self) -> Space:  # type: ignore[override]
        """Where the inverted transform ends."""
        return self.of.target

    @property
    def target(self) -> Space:  # type: ignore[override]
        """Where the inverted transform begins."""
        return self.of.source

    def inverse(self) -> Transform:
        """Return the transform itself."""
        return self.of

    def _map(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        found = self.of.guess_inverse(points) if isinstance(self.of, ThinPlate) else points.copy()
        known = np.isfinite(points).all(axis=1)
        left = np.flatnonzero(known)
        scale = max(1.0, float(np.abs(points[known]).max(initial=0.0)))
        for _ in range(_TRIES):
            miss = points[left] - self.of._map(found[left])
            far = np.abs(miss).max(axis=1, initial=0.0) > _ARRIVED * scale
            left, miss = left[far], miss[far]
            if not len(left):
                return np.where(known[:, None], found, np.nan)
            found[left] += np.linalg.solve(self._slope(found[left]), miss[..., None])[..., 0]
        raise AlignmentError(
            f"{len(left)} of {len(points)} positions have no single origin, e.g. {points[left[0]].tolist()}: "
            "the transform folds there"
        )

    def _slope(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the Jacobian of the transform at positions, by central differences."""
        return jacobian(self.of, points, step=1e-4)


def jacobian(transform: Transform, points: np.ndarray[Any, Any], *, step: float) -> np.ndarray[Any, Any]:
    """Return the derivative ``(n, axes, axes)`` of a transform at positions, by central differences over `step`."""
    import numpy as np

    columns = []
    for axis in range(transform.source.ndim):
        move = np.zeros(transform.source.ndim)
        move[axis] = step
        columns.append((transform._map(points + move) - transform._map(points - move)) / (2 * step))
    return np.stack(columns, axis=-1)


@dataclass(frozen=True, eq=False)
class DisplacementField(Transform):
    """A smooth elastic map: position plus a displacement interpolated linearly between nodes of a regular grid.

    Parameters
    ----------
    vectors
        Displacements at the nodes, ``(y, x, 2)`` or ``(z, y, x, 3)``; components are in the order of the axes, x first.
    origin
        Position of the first node, x first.
    spacing
        Distance of nodes along each axis, x first.
    source, target
        From where to where; one unit.

    Raises
    ------
    DataError
        If shapes do not fit or displacements are not finite.

    Notes
    -----
    Beyond the outer nodes the displacement of the nearest node holds.

    Examples
    --------
    >>> import numpy as np
    >>> vectors = np.zeros((2, 2, 2))
    >>> vectors[:, 1, 0] = 4.0
    >>> field = DisplacementField(vectors, (0, 0), (10, 10), ig.Space("slide", "um"), ig.Space("section", "um"))
    >>> field.map_points([[5, 5]]).tolist()
    [[7.0, 5.0]]
    """

    vectors: np.ndarray[Any, Any]
    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    source: Space
    target: Space

    def __post_init__(self) -> None:
        import numpy as np

        n = self.source.ndim
        fits = self.vectors.ndim == n + 1 and self.vectors.shape[-1] == n == len(self.origin) == len(self.spacing)
        if not fits or not np.isfinite(self.vectors).all() or not all(one > 0 for one in self.spacing):
            raise DataError(
                f"displacements of shape {self.vectors.shape}, origin {self.origin} and spacing {self.spacing} do not "
                f"make a field over {self.source.axes}; expected finite ({', '.join(self.source.axes[::-1])}, {n})"
            )
        if self.source.unit != self.target.unit:
            raise DataError(f"a field leads from {self.source.unit!r} to {self.target.unit!r}; use one unit")

    def _map(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        n = self.source.ndim
        size = np.array(self.vectors.shape[:n][::-1])
        place = np.clip((points - self.origin) / self.spacing, 0, size - 1)
        first = np.minimum(np.floor(np.nan_to_num(place)).astype(np.int64), np.maximum(size - 2, 0))
        part = place - first
        moved = np.array(points, dtype=np.float64)
        for corner in np.ndindex(*(2,) * n):
            weight = np.prod(np.where(corner, part, 1 - part), axis=1)
            node = np.minimum(first + corner, size - 1)
            moved += weight[:, None] * self.vectors[tuple(node.T[::-1])]
        return moved


@dataclass(frozen=True, eq=False)
class ThinPlate(Transform):
    """The smoothest map through pairs of landmarks: a thin-plate spline.

    Parameters
    ----------
    landmarks, images
        Positions ``(n, axes)`` in the source, and where they lie in the target.
    source, target
        From where to where.
    smoothing
        0 passes through every landmark; larger values bend less and miss them by more.

    Raises
    ------
    DataError
        If there are too few landmarks, they repeat, or lie on one line (in 3-D: one plane).

    Notes
    -----
    Bookstein, IEEE PAMI 1989; kernel ``r² log r`` in two dimensions and ``-r`` in three. The affine part is free.

    Examples
    --------
    >>> import numpy as np
    >>> here = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    >>> plate = ThinPlate(here, here + [1, 2], ig.Space("slide", "um"), ig.Space("section", "um"))
    >>> plate.map_points([[5, 5]]).round(6).tolist()
    [[6.0, 7.0]]
    """

    landmarks: np.ndarray[Any, Any]
    images: np.ndarray[Any, Any]
    source: Space
    target: Space
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        import numpy as np

        n = self.source.ndim
        if self.landmarks.shape != self.images.shape or self.landmarks.shape[1:] != (n,):
            raise DataError(f"landmarks are {self.landmarks.shape} and {self.images.shape}; expected two (n, {n})")
        if not (np.isfinite(self.landmarks).all() and np.isfinite(self.images).all()):
            raise DataError("a landmark has no position; leave it out on both sides")
        if len(np.unique(self.landmarks, axis=0)) < len(self.landmarks):
            raise DataError("two landmarks have one position; give each position once")
        spread = np.linalg.matrix_rank(self.landmarks - self.landmarks.mean(axis=0), tol=1e-9 * self._scale)
        if len(self.landmarks) <= n or spread < n:
            raise DataError(
                f"{len(self.landmarks)} landmarks that span {spread} of {n} directions do not fix a map; give at "
                f"least {n + 1} that do not lie on one {'line' if n == 2 else 'plane'}"
            )

    @cached_property
    def _scale(self) -> float:
        import numpy as np

        return float(np.abs(self.landmarks).max(initial=0.0)) or 1.0

    def _kernel(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        squared = sum(np.subtract.outer(points[:, k], self.landmarks[:, k]) ** 2 for k in range(self.source.ndim))
        unit = np.asarray(squared) / self._scale**2
        if self.source.ndim == 3:
            return -np.sqrt(unit)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(unit == 0, 0.0, 0.5 * unit * np.log(unit))

    @cached_property
    def _weights(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        import numpy as np

        count, n = self.landmarks.shape
        system = np.zeros((count + n + 1, count + n + 1))
        system[:count, :count] = self._kernel(self.landmarks) + self.smoothing * np.eye(count)
        system[:count, count:] = np.c_[np.ones(count), self.landmarks / self._scale]
        system[count:, :count] = system[:count, count:].T
        right = np.zeros((count + n + 1, n))
        right[:count] = self.images
        solved = np.linalg.solve(system, right)
        return solved[:count], solved[count:]

    def _map(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        bend, flat = self._weights
        return np.asarray(flat[0] + points / self._scale @ flat[1:] + self._kernel(points) @ bend)

    def guess_inverse(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return where the affine part alone would have come from."""
        import numpy as np

        system = np.c_[np.ones(len(self.images)), self.images]
        fitted = np.linalg.lstsq(system, self.landmarks, rcond=None)[0]
        return np.asarray(np.c_[np.ones(len(points)), points] @ fitted)


def spread_at(transform: Transform, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return by how much lengths grow at each position: the root of the determinant (the cube root in 3-D)."""
    import numpy as np

    determinant = np.abs(np.linalg.det(jacobian(transform, points, step=1e-3)))
    return np.asarray(determinant ** (1 / transform.source.ndim))
