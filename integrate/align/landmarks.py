"""Landmarks: pairs of positions that show the same thing, and the transform they fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from integrate.align.space import Space
from integrate.align.transform import Affine, ThinPlate, Transform
from integrate.errors import DataError, ParameterError, RegistrationError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Landmarks", "fit_landmarks", "left_out_errors"]

#: Pairs each kind needs in two and in three dimensions.
_NEEDED = {"rigid": (2, 3), "similarity": (2, 3), "affine": (3, 4), "spline": (4, 5)}


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Pairs of positions for `register`.

    Parameters
    ----------
    moving, fixed
        Positions ``(n, 2)`` or ``(n, 3)``, x first, in the units of the two spaces; row by row the same thing.
    kind
        ``"rigid"``, ``"similarity"`` (one scale), ``"affine"``, or ``"spline"`` (thin plate; passes through each pair).
    smoothing
        For ``"spline"``: above 0 it bends less and misses the landmarks.
    mirrored
        Whether one picture shows the other side; otherwise landmarks that say so are refused.

    Examples
    --------
    >>> Landmarks([[0, 0], [10, 0], [0, 10]], [[5, 5], [15, 5], [5, 15]], kind="rigid").kind
    'rigid'
    """

    moving: Any
    fixed: Any
    kind: Literal["rigid", "similarity", "affine", "spline"] = "affine"
    smoothing: float = 0.0
    mirrored: bool = False

    def positions(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return both sides as arrays.

        Raises
        ------
        DataError
            If they do not pair, or are too few for the kind.
        ParameterError
            If the kind is unknown.
        """
        import numpy as np

        here, there = (np.asarray(side, dtype=np.float64) for side in (self.moving, self.fixed))
        if self.kind not in _NEEDED:
            raise ParameterError(f"kind={self.kind!r}; expected one of {list(_NEEDED)}")
        if here.shape != there.shape or here.ndim != 2 or here.shape[1] not in (2, 3):
            raise DataError(f"landmarks are {here.shape} and {there.shape}; expected two of (n, 2) or (n, 3)")
        if not (np.isfinite(here).all() and np.isfinite(there).all()):
            raise DataError("a landmark has no position on one side; leave it out on both")
        needed = _NEEDED[self.kind][here.shape[1] - 2]
        if len(here) < needed:
            raise DataError(f"{len(here)} pairs of landmarks; {self.kind!r} needs at least {needed}")
        return here, there


def fit_landmarks(landmarks: Landmarks, source: Space, target: Space) -> Transform:
    """Return the transform that carries the moving landmarks to the fixed ones, in the sense of least squares.

    Parameters
    ----------
    landmarks
        The pairs.
    source, target
        The spaces of the moving and of the fixed side.

    Returns
    -------
    An `Affine`, or a `ThinPlate` for ``kind="spline"``.

    Raises
    ------
    DataError
        If the landmarks do not fix a transform.
    RegistrationError
        If they say that one side is the mirror image of the other, and `mirrored` does not.

    Notes
    -----
    Rigid and similarity: Umeyama, IEEE PAMI 1991.

    Examples
    --------
    >>> pairs = Landmarks([[0, 0], [10, 0], [0, 10]], [[5, 5], [15, 5], [5, 15]], kind="rigid")
    >>> there = fit_landmarks(pairs, ig.Space("slide", "um"), ig.Space("section", "um"))
    >>> there.map_points([[1, 1]]).round(6).tolist()
    [[6.0, 6.0]]
    """
    here, there = landmarks.positions()
    flat = _affine(here, there)
    _check_side(flat, mirrored=landmarks.mirrored, few=len(here) == here.shape[1])
    if landmarks.kind == "spline":
        return ThinPlate(here, there, source, target, smoothing=landmarks.smoothing)
    if landmarks.kind != "affine":
        flat = _umeyama(here, there, scaled=landmarks.kind == "similarity", mirrored=landmarks.mirrored)
    return Affine(tuple(map(tuple, flat.tolist())), source, target)


def left_out_errors(landmarks: Landmarks, source: Space, target: Space) -> np.ndarray[Any, Any]:
    """Return how far each landmark is missed by the transform that the others fix; NaN where they are too few."""
    import numpy as np

    here, there = landmarks.positions()
    errors = np.full(len(here), np.nan)
    for i in range(len(here)):
        rest = np.arange(len(here)) != i
        part = Landmarks(here[rest], there[rest], landmarks.kind, landmarks.smoothing, landmarks.mirrored)
        try:
            found = fit_landmarks(part, source, target).map_points(here[i : i + 1])
        except (DataError, RegistrationError):
            continue
        errors[i] = np.linalg.norm(found - there[i])
    return errors


def _affine(here: np.ndarray[Any, Any], there: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the affine of least squares (of least change where the pairs leave it open), homogeneous."""
    import numpy as np

    n = here.shape[1]
    middle, aim = here.mean(axis=0), there.mean(axis=0)
    solved, _, rank, _ = np.linalg.lstsq(here - middle, there - aim, rcond=1e-9)
    if rank < min(n, len(here) - 1):
        raise DataError("the landmarks lie on one line (in 3-D: one plane) or repeat; add some that do not")
    matrix = np.eye(n + 1)
    matrix[:n, :n] = solved.T
    matrix[:n, n] = aim - solved.T @ middle
    return matrix


def _check_side(matrix: np.ndarray[Any, Any], *, mirrored: bool, few: bool) -> None:
    import numpy as np

    turned = float(np.linalg.det(matrix[:-1, :-1])) < 0
    if not few and turned != mirrored:
        raise RegistrationError(
            "the landmarks say that one picture mirrors the other; check their order, or pass mirrored=True"
            if turned
            else "mirrored=True, but the landmarks say that both pictures show the same side"
        )


def _umeyama(
    here: np.ndarray[Any, Any], there: np.ndarray[Any, Any], *, scaled: bool, mirrored: bool
) -> np.ndarray[Any, Any]:
    import numpy as np

    n = here.shape[1]
    middle, aim = here.mean(axis=0), there.mean(axis=0)
    left, size, right = np.linalg.svd((there - aim).T @ (here - middle) / len(here))
    sign = np.ones(n)
    if (np.linalg.det(left @ right) < 0) != mirrored:
        sign[-1] = -1
    turn = left @ np.diag(sign) @ right
    spread = ((here - middle) ** 2).sum() / len(here)
    scale = float((size * sign).sum() / spread) if scaled else 1.0
    matrix = np.eye(n + 1)
    matrix[:n, :n] = scale * turn
    matrix[:n, n] = aim - scale * turn @ middle
    return matrix
