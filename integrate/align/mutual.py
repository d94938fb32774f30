"""Registration by what pictures show: coarse to fine, from many starts, by mutual information."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integrate.align.bend import bend_volume
from integrate.align.flat import as_affine, find_start, refine_flat, tile_share
from integrate.align.quality import agreement, shared_information
from integrate.align.rigid import find_rigid, refine_rigid
from integrate.align.spline import bend_section
from integrate.align.transform import Affine, Transform
from integrate.align.working import pull_picture
from integrate.errors import ParameterError, UnitError

if TYPE_CHECKING:
    from integrate.align.working import Picture

__all__ = ["MutualInformation", "count_ticks", "find_way", "refine_way", "settle_way"]

#: Share of the blocks by which their agreement may fall when a volume bends (one or two, as chance has it), and by
#: which it must tell more: to blur noise between voxels tells some per cent more without any bend.
SLACK, WORTH = 0.05, 0.06


@dataclass(frozen=True, slots=True)
class MutualInformation:
    """How `register` finds a transform from the pictures themselves.

    Parameters
    ----------
    moving_channel, fixed_channel
        Which channel to look at; by default the nuclear stain where a name says so, the optical density of colour
        pictures, else the mean of all.
    elastic
        Whether the transform may bend (a B-spline); by default in two dimensions, and of volumes, where lengths rarely
        change, only when asked for. It bends only where no fewer of the tiles then agree.
    nodes
        Cells of the B-spline along the longest edge, after refinement.
    angles
        Starting angles in degrees; by default all around in two dimensions, and within ±15° about z in three.
    mirrored
        Whether also mirror images are tried (a section laid upside down); of volumes never.
    working_pixel
        Edge of a working pixel in the unit of the spaces; by default such that the longest edge has 400 (in 3-D: 80).
    check_inverse
        Whether to register the other way too, and report how far forth and back misses.
    seed
        Seed of the metric's samples.

    Examples
    --------
    >>> MutualInformation(elastic=False).nodes
    4
    """

    moving_channel: str | None = None
    fixed_channel: str | None = None
    elastic: bool | None = None
    nodes: int = 4
    angles: tuple[float, ...] | None = None
    mirrored: bool = False
    working_pixel: float | None = None
    check_inverse: bool = True
    seed: int = 0


def count_ticks(method: MutualInformation, ndim: int, *, search: bool) -> int:
    """Return how often `find_way` (a search) or `settle_way` ticks, with `refine_way` back where that is wanted."""
    refined = 3 if ndim == 3 and method.elastic else 2
    return (len(_starts(method, ndim)) + 1 if search else 0) + refined * (2 if method.check_inverse else 1)


def find_way(fixed: Picture, moving: Picture, method: MutualInformation, *, tick: Callable[[], object]) -> Transform:
    """Return the transform from the fixed to the moving space that lays the pictures on each other best.

    Ticks after each start, after the best few, and as `refine_way`.

    Raises
    ------
    RegistrationError
        If no start leads anywhere.
    """
    if fixed.values.ndim == 3:
        _check_volumes(fixed, moving, method)
        angles = [angle for angle, _ in _starts(method, 3)]
        found = find_rigid(fixed, moving, angles=angles, seed=method.seed, tick=tick)
        return _bent_volume(fixed, moving, as_affine(found, fixed, moving), method, tick)
    start = find_start(fixed, moving, _starts(method, 2), seed=method.seed, tick=tick)
    return refine_way(fixed, moving, as_affine(start, fixed, moving), method, levels=(4, 2, 1), tick=tick)


def refine_way(
    fixed: Picture,
    moving: Picture,
    start: Affine,
    method: MutualInformation,
    *,
    levels: tuple[int, ...] = (1,),
    tick: Callable[[], object],
) -> Transform:
    """Return the transform from the fixed to the moving space, from a known start; ticks twice, and when bent."""
    if fixed.values.ndim == 3:
        return _bent_volume(fixed, moving, _rigid(fixed, moving, start, method, tick), method, tick)
    flat = refine_flat(fixed, moving, start.array, levels=levels, seed=method.seed)
    tick()
    bent = _bent(fixed, moving, flat, method)
    tick()
    return bent


def settle_way(
    fixed: Picture, moving: Picture, declared: Affine, method: MutualInformation, *, tick: Callable[[], object]
) -> Transform:
    """Return a declared way from the fixed to the moving space, or what it refines to.

    It moves only where more of the tiles then agree and the pictures share no less information; a volume bends from
    there on.

    Raises
    ------
    RegistrationError
        If the pictures do not overlap as declared.
    """
    if fixed.values.ndim == 3:
        _check_volumes(fixed, moving, method)
        rigid = _rigid(fixed, moving, declared, method, tick)
        flat = rigid if _settles(fixed, moving, declared, rigid) else declared
        return _bent_volume(fixed, moving, flat, method, tick)
    bent = refine_way(fixed, moving, declared, method, tick=tick)
    return bent if _settles(fixed, moving, declared, bent) else declared


def _settles(fixed: Picture, moving: Picture, before: Transform, after: Transform) -> bool:
    more, told = _gains(fixed, moving, before, after)
    return more > 0 and told >= 0


def _gains(fixed: Picture, moving: Picture, before: Transform, after: Transform) -> tuple[float, float]:
    """Return by which share of all tiles more agree after a step, and by which share of before it tells more."""
    pictures = [pull_picture(moving, fixed, way) for way in (before, after)]
    shared = [shared_information(fixed.values, one) for one in pictures]
    share = [agreement(fixed, one)[0] for one in pictures]
    return share[1] - share[0], (shared[1] - shared[0]) / max(shared[0], 1e-9)


def _check_volumes(fixed: Picture, moving: Picture, method: MutualInformation) -> None:
    if method.mirrored:
        raise ParameterError("no volume is the mirror image of a patient; leave mirrored out")
    if method.elastic and not method.check_inverse:
        raise ParameterError("only the way back tells a bent volume from a wrong pair; leave check_inverse on")
    units = [one.grid.space.unit for one in (moving, fixed)]
    if units[0] != units[1]:
        raise UnitError(f"the volumes are in {units[0]!r} and {units[1]!r}; a rigid transform needs one unit")


def _starts(method: MutualInformation, ndim: int) -> list[tuple[float, bool]]:
    """Return the angles at which a search starts, and whether from the mirror image."""
    around = method.angles or (tuple(range(0, 360, 30)) if ndim == 2 else (-15.0, 0.0, 15.0))
    return list(itertools.product(around, (False, True) if method.mirrored else (False,)))


def _bent(fixed: Picture, moving: Picture, flat: Affine, method: MutualInformation) -> Transform:
    """Return an affine way, bent where that is wanted and makes more of the tiles agree."""
    if method.elastic is False:
        return flat
    share = tile_share(fixed, moving, flat)[0]
    for rate in (5.0, 1.0):  # a long first step finds more and may also leave the picture
        bent = bend_section(fixed, moving, flat, nodes=method.nodes, rate=rate, seed=method.seed)
        if bent is not None and tile_share(fixed, moving, bent)[0] >= share:
            return bent
    return flat


def _rigid(
    fixed: Picture, moving: Picture, start: Affine, method: MutualInformation, tick: Callable[[], object]
) -> Affine:
    return as_affine(refine_rigid(fixed, moving, start.array, seed=method.seed, tick=tick), fixed, moving)


def _bent_volume(
    fixed: Picture, moving: Picture, flat: Affine, method: MutualInformation, tick: Callable[[], object]
) -> Transform:
    """Return a rigid way, bent where that is wanted, tells more and makes no fewer of the blocks agree; ticks if so."""
    if not method.elastic:
        return flat
    bent = bend_volume(fixed, moving, flat, nodes=method.nodes, seed=method.seed)
    tick()
    more, told = _gains(fixed, moving, flat, bent)
    return bent if more >= -SLACK and told >= WORTH else flat
