"""The quality of a registration: what was measured of it, and which of it is not good enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from integrate.align.transform import Transform
    from integrate.align.working import Picture

__all__ = [
    "Gates",
    "Quality",
    "agreement",
    "displacement",
    "folding",
    "inverse_error",
    "shared_information",
    "tile_offsets",
]

#: Tiles per edge of a working picture in which agreement is looked at; each may move by a fifth of its edge.
TILES = 8
#: Blocks of a volume: their edge, how far around each is looked and in which steps (voxels), and the share of those
#: offsets that must fit worse. A limb is alike for centimetres along its axis, so the best offset itself says little.
BLOCK, AROUND, STRIDE, WORSE = 20, 4, 2, 0.9
#: Volumes of different kinds fit best some millimetres from where they belong, by every measure of the pictures.
UNVERIFIED = (
    "Pictures of different kinds can fit best several millimetres off: declare how the volumes lie (one space, one "
    "frame of reference, a transform in the catalog, declared=…), give landmarks to check against "
    "(check=LandmarkPairs(…)), or accept it with Gates(unverified=True)"
)
#: A tile agrees when it fits best within this many working pixels of where it is.
NEAR = 1.8


@dataclass(frozen=True, slots=True)
class Gates:
    """What a registration must reach to be returned.

    Parameters
    ----------
    agreement
        Least share of tiles that fit best where they were laid, of a volume: better than at nine in ten offsets of up
        to four voxels. A wrong pair has a few per cent; wrong volumes can pass, and are then told by forth and back.
    overlap
        Least share of the smaller foreground that lies on the other picture's foreground.
    folding
        Largest share of places at which the transform folds.
    inverse
        Largest median distance, in working pixels, between where a place started and where registering forth and back
        brings it; of volumes that bend a third of it, as a bend fits also wrong pairs.
    scale
        Largest factor by which lengths may grow or shrink, between pictures in one unit.
    landmark
        Largest median error of the landmarks, each predicted from the others, in the unit of the fixed space; None asks
        for none, and of landmarks that only check for one working pixel.
    displacement
        Largest mean distance, in working pixels, from the placement that both images declare (one space, or one frame
        of reference of a scanner); None takes any, and looks for it everywhere.
    unverified
        Whether to take volumes of different kinds (CT, MR, PET) although nothing but the pictures says how they lie.

    Examples
    --------
    >>> Gates(overlap=0.5).overlap
    0.5
    """

    agreement: float = 0.4
    overlap: float = 0.3
    folding: float = 0.0
    inverse: float = 3.0
    scale: float = 2.0
    landmark: float | None = None
    displacement: float | None = 1.0
    unverified: bool = False


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of a registration; NaN where it was not looked at.

    Parameters
    ----------
    information_before, information_after
        Mutual information of the working pictures, nats: as declared, or else with their centres laid on each other,
        and registered.
    overlap, agreement, folding, scale
        As in `Gates`.
    tiles
        In how many tiles agreement was looked at.
    residual
        Median distance, in the fixed unit, by which tiles would still move.
    inverse
        Median distance between a place and where registering forth and back brings it, in the fixed unit.
    jacobian
        Smallest and largest local change of area or volume relative to the median.
    displacement, displacement_corners
        Distance from the declared placement in the fixed unit: the mean over the foreground, and the largest at the
        corners of the fixed picture. NaN where none is declared.
    landmark_fit, landmark_left_out
        Median distance of landmarks in the fixed unit: as fitted, and each predicted from the others.
    landmark_check
        Median distance, in the fixed unit, of landmarks that took no part in the registration.
    working_pixel
        Edge of a working pixel in the fixed unit.
    unit
        That unit.
    elastic
        Whether the transform bends.
    unverified
        Why pictures alone cannot vouch for the result, e.g. ``"kinds differ (PT, CT), nothing declared"``; empty where
        they can, or where something else does.
    """

    information_before: float = math.nan
    information_after: float = math.nan
    overlap: float = math.nan
    agreement: float = math.nan
    tiles: int = 0
    residual: float = math.nan
    folding: float = math.nan
    jacobian: tuple[float, float] = (math.nan, math.nan)
    inverse: float = math.nan
    scale: float = math.nan
    landmark_fit: float = math.nan
    landmark_left_out: float = math.nan
    landmark_check: float = math.nan
    displacement: float = math.nan
    displacement_corners: float = math.nan
    working_pixel: float = math.nan
    unit: str = ""
    elastic: bool = False
    unverified: str = ""

    def faults(self, gates: Gates) -> list[str]:
        """Return which gates are missed, in words; what was not looked at is not missed."""
        inverse = self.inverse / self.working_pixel
        tests = [
            (
                self.agreement < gates.agreement,
                f"{self.agreement:.0%} of {self.tiles} tiles agree, {gates.agreement:.0%} must",
            ),
            (self.overlap < gates.overlap, f"{self.overlap:.0%} overlap, {gates.overlap:.0%} must"),
            (
                self.information_after <= self.information_before and math.isnan(self.displacement),
                "the pictures share no more information than at the start",
            ),
            (self.folding > gates.folding, f"the transform folds at {self.folding:.1%} of places"),
            (inverse > gates.inverse, f"forth and back misses by {inverse:.1f} working pixels, {gates.inverse:g} may"),
            (
                self.scale > gates.scale or self.scale < 1 / gates.scale,
                f"lengths change by {self.scale:.2f}, at most {gates.scale:g} may",
            ),
            (bool(self.unverified) and not gates.unverified, f"not verified: {self.unverified}. {UNVERIFIED}"),
        ]
        if gates.displacement is not None:
            tests.append(
                (
                    self.displacement > gates.displacement * self.working_pixel,
                    f"the pictures fit best {self.displacement:.3g} {self.unit} from where the images are declared to "
                    f"lie ({self.displacement_corners:.3g} at the corners), "
                    f"{gates.displacement * self.working_pixel:.3g} may: the declared placement needs no registration; "
                    "Gates(displacement=…) allows more where something moved",
                )
            )
        asked = [math.inf, self.working_pixel] if gates.landmark is None else [gates.landmark] * 2
        limits = zip((self.landmark_left_out, self.landmark_check), asked, strict=True)
        tests += [
            (far > limit, f"landmarks are missed by {far:.3g} {self.unit}, {limit:.3g} may") for far, limit in limits
        ]
        return [text for missed, text in tests if missed]

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Quality:
        """Return what `as_dict` gave."""
        plain: dict[str, Any] = {key: math.nan if value is None else value for key, value in said.items()}
        plain["jacobian"] = tuple(math.nan if one is None else one for one in said["jacobian"])
        return cls(**plain)

    def as_dict(self) -> dict[str, Any]:
        """Return the measurements as plain values, None for what was not looked at."""
        plain = {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in asdict(self).items()}
        return {**plain, "jacobian": [None if math.isnan(one) else one for one in self.jacobian]}


def shared_information(here: np.ndarray[Any, Any], there: np.ndarray[Any, Any], *, bins: int = 32) -> float:
    """Return the mutual information of two pictures in 0 … 1 where both have values, nats."""
    import numpy as np

    both = np.isfinite(here) & np.isfinite(there)
    if not both.any():
        return 0.0
    joint, _, _ = np.histogram2d(here[both], there[both], bins=bins, range=[[0, 1], [0, 1]])
    p = joint / joint.sum()
    expected = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    return float((p[p > 0] * np.log(p[p > 0] / expected[p > 0])).sum())


def agreement(fixed: Picture, moved: np.ndarray[Any, Any]) -> tuple[float, int, float]:
    """Return the share of tiles that fit best where they are, how many there are, and their median offset in pixels.

    Of volumes there is no median offset.
    """
    import numpy as np

    if fixed.values.ndim == 3:
        ranks = _block_ranks(fixed, moved)
        return (float(np.mean(ranks > WORSE)), len(ranks), math.nan) if len(ranks) else (math.nan, 0, math.nan)
    _, offsets = tile_offsets(fixed, moved)
    if not len(offsets):
        return math.nan, 0, math.nan
    far = np.linalg.norm(offsets, axis=1)
    return float(np.mean(far <= NEAR)), len(far), float(np.median(far))


def tile_offsets(fixed: Picture, moved: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the centres of tiles of the fixed picture, and by how much each would move to fit best; pixels, x first.

    Only tiles count that both pictures fill, that are at least half foreground and that are not flat.
    """
    import numpy as np

    from integrate.align.agreement_kernels import best_offset

    n = fixed.values.ndim
    lead = (1,) * (3 - n)
    shape = (*lead, *fixed.values.shape)
    edge = max(12, max(shape) // TILES)
    size = np.array([min(edge, k) for k in shape])
    reach = np.array([0 if k == 1 else max(3, edge // 5) for k in shape])
    here, there = (_padded(_codes(one).reshape(shape), reach, -1) for one in (fixed.values, moved))
    ground = _padded(fixed.foreground.reshape(shape), reach, 0)
    centres, offsets = [], []
    starts = [range(0, k - int(s) + 1, max(1, int(s) * 3 // 4)) for k, s in zip(shape, size, strict=True)]
    for start in np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 3):
        box = tuple(slice(a + r, a + r + k) for a, r, k in zip(start, reach, size, strict=True))
        filled = ((here[box] >= 0) & (there[box] >= 0)).mean() > 0.8
        if filled and ground[box].mean() > 0.5 and len(np.unique(here[box])) > 2 and len(np.unique(there[box])) > 2:
            offsets.append(best_offset(here, there, start + reach, size, reach)[::-1][:n])
            centres.append((start + size / 2)[::-1][:n])
    return np.array(centres).reshape(-1, n), np.array(offsets, dtype=float).reshape(-1, n)


def _block_ranks(fixed: Picture, moved: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return for blocks of a volume that both fill at which share of the offsets around they fit worse."""
    import numpy as np

    from integrate.align.agreement_kernels import fit_rank

    size = np.minimum(BLOCK, fixed.values.shape)
    reach = np.array([AROUND] * 3)
    here, there = (_padded(_codes(one), reach, -1) for one in (fixed.values, moved))
    starts = [range(0, n - int(k) + 1, max(1, int(k) // 2)) for n, k in zip(fixed.values.shape, size, strict=True)]
    ranks = []
    for start in np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 3):
        inner = tuple(slice(a, a + k) for a, k in zip(start, size, strict=True))
        filled = (np.isfinite(fixed.values[inner]) & np.isfinite(moved[inner])).mean() > 0.6
        if filled and fixed.foreground[inner].mean() > 0.3:
            ranks.append(fit_rank(here, there, start + reach, size, AROUND, STRIDE))
    return np.array(ranks)


def _codes(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return grey values as 0 … 7 by the picture's quantiles, -1 where there is nothing."""
    import numpy as np

    from integrate.align.agreement_kernels import BINS

    known = np.isfinite(values)
    codes = np.full(values.shape, -1, np.int8)
    if known.any():
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1]))
        codes[known] = np.digitize(values[known], edges)
    return codes


def _padded(codes: np.ndarray[Any, Any], reach: np.ndarray[Any, Any], value: int) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.pad(codes, [(int(r), int(r)) for r in reach], constant_values=value)


def folding(way: Transform, fixed: Picture) -> tuple[float, tuple[float, float]]:
    """Return the share of places at which a transform folds, and the extremes of its local change of volume."""
    import numpy as np

    from integrate.align.transform import jacobian

    local = np.linalg.det(jacobian(way, _lattice(fixed, 48), step=fixed.grid.size[0] / 2))
    middle = float(np.median(local))
    return float((local * np.sign(middle) <= 0).mean()), (float(local.min() / middle), float(local.max() / middle))


def displacement(way: Transform, declared: Transform, fixed: Picture) -> tuple[float, float]:
    """Return how far a way lays the moving image from where a declared one does, in the fixed space.

    The mean over the foreground, and the largest distance at the corners of the picture.
    """
    import numpy as np

    forth = way.inverse()
    far = [
        np.linalg.norm(forth.map_points(declared.map_points(places)) - places, axis=1)
        for places in (_lattice(fixed, 24), fixed.grid.corners())
    ]
    return float(far[0].mean()), float(far[1].max())


def inverse_error(way: Transform, back: Transform, fixed: Picture) -> float:
    """Return the median distance between places of the foreground and where going forth and back brings them."""
    import numpy as np

    places = _lattice(fixed, 24)
    return float(np.median(np.linalg.norm(back.map_points(way.map_points(places)) - places, axis=1)))


def _lattice(fixed: Picture, count: int) -> np.ndarray[Any, Any]:
    """Return places of the foreground on a lattice, in the fixed space."""
    import numpy as np

    axes = [
        np.unique(np.linspace(0, n - 1, count if fixed.values.ndim == 2 else 14).round()) for n in fixed.values.shape
    ]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)).astype(int)
    index = index[fixed.foreground[tuple(index.T)]]
    return fixed.grid.affine.map_points(index[:, ::-1] + 0.5)
