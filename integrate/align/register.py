"""A registration: the transform that lays one image on another, with the evidence that it does."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate import __version__
from integrate.align.grid import read_grid
from integrate.align.landmarks import LandmarkPairs, fit_pairs, left_out_errors
from integrate.align.mutual import MutualInformation, count_ticks, find_way, refine_way, settle_way
from integrate.align.quality import Gates, Quality, agreement, displacement, folding, inverse_error, shared_information
from integrate.align.space import Space, check_meets
from integrate.align.store import hash_transform, read_notes, read_transform, write_transform
from integrate.align.transform import Affine, Chain, Transform, identity
from integrate.align.working import Picture, draw_picture, pull_picture, working_sizes
from integrate.errors import AlignmentError, RegistrationError, warn
from integrate.model.html import Html, card, rows
from integrate.model.image import image_notes
from integrate.model.progress import follow
from integrate.model.provenance import hash_array, hash_settings, record

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Registration", "register", "register_stack"]

#: Bytes of the picture in a card.
MAX_PICTURE: Final = 30_000
#: By how much nearer a bent volume must come back: bends fit wrong pairs too, and right ones come back within a half.
BENT: Final = 3
#: What catalogs call the modalities of DICOM.
SYNONYMS: Final = {"PET": "PT", "MRI": "MR"}


@dataclass(frozen=True, eq=False)
class Registration:
    """A transform from the moving to the fixed space, and what was measured of it.

    Parameters
    ----------
    transform
        From the space of the moving image to that of the fixed one.
    quality
        The measurements, all of which passed the gates.
    picture
        Checkerboard of the two working pictures, grey values 0 … 255 ``(y, x)``: lines run on from field to field.
    settings_hash
        Hash of method and gates.

    Examples
    --------
    >>> import numpy as np
    >>> image = next(iter(ig.datasets.toy_study().each("fields")))
    >>> corners = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 30.0]])
    >>> pairs = ig.LandmarkPairs(corners, corners)
    >>> ig.register(image, ig.set_space(image, name="section"), method=pairs)
    <Registration 'fields_f1' -> 'section': agreement 100%, overlap 100%>
    """

    transform: Transform
    quality: Quality
    picture: np.ndarray[Any, Any]
    settings_hash: str

    def __repr__(self) -> str:
        """Return the two spaces and the main numbers."""
        found = self.quality
        ends = f"{self.transform.source.name!r} -> {self.transform.target.name!r}"
        return f"<Registration {ends}: agreement {found.agreement:.0%}, overlap {found.overlap:.0%}>"

    def _repr_html_(self) -> str:
        found = self.quality
        unit = found.unit
        body = [
            ("tiles that agree", f"{found.agreement:.0%} of {found.tiles}"),
            ("residual", f"{found.residual:.3g} {unit}"),
            ("shared information", f"{found.information_before:.3f} → {found.information_after:.3f}"),
            ("overlap", f"{found.overlap:.0%}"),
            ("forth and back", f"{found.inverse:.3g} {unit}"),
            ("folding", f"{found.folding:.1%}; local change {found.jacobian[0]:.2f}–{found.jacobian[1]:.2f}"),
            ("scale", f"{found.scale:.3f}, {'elastic' if found.elastic else 'affine'}"),
            ("from the declared place", f"{found.displacement:.3g}, corners {found.displacement_corners:.3g} {unit}"),
            ("landmarks", f"fit {found.landmark_fit:.3g}, left out {found.landmark_left_out:.3g} {unit}"),
            ("landmarks that only check", f"{found.landmark_check:.3g} {unit}"),
            ("working pixel", f"{found.working_pixel:.3g} {unit}"),
        ]
        if found.unverified:
            body.insert(0, ("not verified", found.unverified))
        shown = [row for row in body if "nan" not in row[1]]
        data = base64.b64encode(_png(self.picture)).decode()
        image = Html(
            f'<img alt="checkerboard of both pictures" style="max-width:100%" src="data:image/png;base64,{data}">'
        )
        ends = f"{self.transform.source.name} → {self.transform.target.name}"
        return card("Registration", rows(["measured", "value"], shown), image, subtitle=ends)


def register(
    moving: Any,
    fixed: Any,
    *,
    method: MutualInformation | LandmarkPairs | None = None,
    gates: Gates | None = None,
    declared: Affine | None = None,
    check: LandmarkPairs | None = None,
    moving_space: str | None = None,
    fixed_space: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Registration:
    """Return the transform that lays one image on another, or refuse.

    Parameters
    ----------
    moving, fixed
        Images or volumes, also of different modalities; ours or SpatialData elements, each in a named space.
    method
        `MutualInformation` (the default) looks at the pictures; `LandmarkPairs` uses pairs of positions.
    gates
        What the result must reach; see `Gates`.
    declared
        How the images are known to lie, from the moving to the fixed space. By default they are taken to lie on each
        other when they share a space, or, of volumes, a frame of reference of DICOM; else nothing is known.
    check
        Landmarks, e.g. fiducials, that take no part but are measured afterwards; see `Gates.landmark`.
    moving_space, fixed_space
        The coordinate system of an element that lies in several.
    cache
        Folder in which results are kept under a hash of both working pictures, method, gates and version; an equal
        question is then answered from there. None keeps nothing.

    Returns
    -------
    A `Registration`; its ``transform`` leads from the moving to the fixed space, for `move`, `resample` and `link`.

    Raises
    ------
    RegistrationError
        If no transform passes the gates: pictures of two things, too little overlap, or a bad optimum; or if volumes
        of different kinds (`modality` of their notes; an unknown one counts as different) have neither a declared
        placement nor landmarks. Its ``quality`` holds what was measured.
    AlignmentError
        If an image does not say in which space it lies, or `declared` leads from or to another one.

    Notes
    -----
    Working pictures of at most 400 pixels per edge; similarities from 12 angles, the best refined to an affine and a
    B-spline by Mattes mutual information (SimpleITK). Volumes of at most 80 voxels per edge keep lengths and angles:
    rigid, from three angles and two aims, by normalised mutual information of ranks; with
    ``MutualInformation(elastic=True)`` a B-spline that resists bending follows. What is reported is measured anew,
    apart from what was optimised: in tiles all over the picture, is where it lies also where it fits best?

    A declared placement is evidence that pictures rarely better: the search starts there, moves from it only where more
    tiles then agree, reports the displacement, and is refused beyond ``Gates.displacement``.

    Examples
    --------
    >>> import numpy as np
    >>> image = next(iter(ig.datasets.toy_study().each("fields")))
    >>> section = ig.set_space(image, name="next section")
    >>> corners = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 30.0]])
    >>> found = register(image, section, method=ig.LandmarkPairs(corners, corners, kind="rigid"))
    >>> round(found.quality.landmark_fit, 6), found.quality.elastic
    (0.0, False)
    """
    how = MutualInformation() if method is None else method
    needed = Gates() if gates is None else gates
    ends = [read_grid(moving, space=moving_space).space, read_grid(fixed, space=fixed_space).space]
    known = _declared(moving, fixed, ends, declared)
    channels = (how.moving_channel, how.fixed_channel) if isinstance(how, MutualInformation) else (None, None)
    wanted = how.working_pixel if isinstance(how, MutualInformation) else None
    sizes = working_sizes(moving, fixed, working_pixel=wanted)
    there = draw_picture(moving, size=sizes[0], channel=channels[0])
    here = draw_picture(fixed, size=sizes[1], channel=channels[1])
    settings = hash_settings({"method": how, "gates": needed, "check": check})
    asked = {"moving": _named(there), "fixed": _named(here), "settings": settings, "version": __version__}
    asked["declared"] = hash_transform(known) if known else ""
    kept = None if cache is None else Path(cache) / f"{hash_settings(asked)}.zarr"
    if kept is not None and kept.is_dir():
        forth, quality = read_transform(kept), Quality.from_dict(read_notes(kept)["quality"])
        moved = pull_picture(there, here, forth.inverse())
    else:
        way, moved, quality = _found(here, there, how, None if known is None else known.inverse(), needed)
        forth = way.inverse()
        quality = replace(quality, landmark_check=float("nan") if check is None else _missed(check, forth))
    vouched = isinstance(how, LandmarkPairs) or check is not None or (known and needed.displacement is not None)
    quality = replace(quality, unverified="" if vouched else _doubt(moving, fixed, ends))
    _check(quality, needed, ends)
    if kept is not None and not kept.is_dir():
        write_transform(forth, kept, notes={"quality": quality.as_dict(), "inputs": asked})
    if quality.unverified:
        warn(f"{ends[0].name!r} on {ends[1].name!r} is not verified: {quality.unverified}; look at the checkerboard")
    record("register", transform=hash_transform(forth), settings=settings, quality=quality.as_dict())
    return Registration(forth, quality, _checkerboard(here.values, moved), settings)


def _declared(moving: Any, fixed: Any, ends: Sequence[Space], given: Affine | None) -> Affine | None:
    """Return how two images are declared to lie, from the moving to the fixed space; None where nobody says it."""
    for end, what in zip(ends, ("moving", "fixed"), strict=True):
        if not end.name:
            raise AlignmentError(
                f"the {what} image does not say in which space it lies; name it with set_space(…, name=…)"
            )
    if given is not None:
        check_meets(ends[0], given.source, what="the moving image")
        check_meets(ends[1], given.target, what="the fixed image")
        return given
    if ends[0].name == ends[1].name:
        check_meets(*ends, what="the moving image")
        return identity(*ends)
    if any(
        one.attrs.get("transform") or (end.ndim, end.unit) != (3, "mm")
        for one, end in zip((moving, fixed), ends, strict=True)
    ):
        return None  # elements may be placed anywhere, and slides are not placed by their frame
    frames = [image_notes(one).get("frame_of_reference_uid") for one in (moving, fixed)]
    return identity(*ends) if frames[0] and frames[0] == frames[1] else None


def _doubt(moving: Any, fixed: Any, ends: Sequence[Space]) -> str:
    """Return why the pictures of two volumes cannot vouch for how they lie; empty where they can."""
    if ends[1].ndim == 2:
        return ""
    said = [str(image_notes(one).get("modality") or "").upper() for one in (moving, fixed)]
    kinds = [SYNONYMS.get(one, one) for one in said]
    if kinds[0] and kinds[0] == kinds[1]:
        return ""
    what = "kinds differ" if all(kinds) else "kinds are not both known"
    return f"{what} ({', '.join(one or 'no modality' for one in kinds)}), nothing declared"


def _missed(check: LandmarkPairs, forth: Transform) -> float:
    """Return the median distance by which a transform misses landmarks."""
    import numpy as np

    here, there = check.positions()
    return float(np.median(np.linalg.norm(forth.map_points(here) - there, axis=1)))


def _named(picture: Picture) -> str:
    return hash_settings([hash_array(picture.values), picture.grid.space, picture.grid.affine.matrix])


def _found(
    here: Picture, there: Picture, how: MutualInformation | LandmarkPairs, declared: Affine | None, gates: Gates
) -> tuple[Transform, np.ndarray[Any, Any], Quality]:
    """Return the way from the fixed to the moving space, the moved picture, and what was measured; with a bar."""
    if isinstance(how, LandmarkPairs):
        way = fit_pairs(how, there.grid.space, here.grid.space).inverse()
        moved = pull_picture(there, here, way)
        return way, moved, _measured(here, there, moved, way, how, declared)
    near = declared if gates.displacement is not None else None
    total = count_ticks(how, here.values.ndim, search=near is None)
    with closing(iter(follow(range(total), "registering"))) as bar:  # type: ignore[type-var]

        def tick() -> None:
            next(bar, None)

        tick()
        way = find_way(here, there, how, tick=tick) if near is None else settle_way(here, there, near, how, tick=tick)
        moved = pull_picture(there, here, way)
        quality = _measured(here, there, moved, way, how, declared)
        if how.check_inverse:
            back = refine_way(there, here, _flat(way).inverse(), how, tick=tick)
            quality = replace(quality, inverse=inverse_error(way, back, here))
    return way, moved, quality


def _check(quality: Quality, gates: Gates, ends: Sequence[Space]) -> None:
    if quality.elastic and ends[1].ndim == 3:
        gates = replace(gates, inverse=gates.inverse / BENT)
    faults = quality.faults(gates)
    if faults:
        hint = ". Do both show the same tissue? Try landmarks, other channels or MutualInformation(mirrored=True)"
        only_moved = not quality.faults(replace(gates, displacement=None, unverified=True))
        error = RegistrationError(
            f"{ends[0].name!r} could not be laid on {ends[1].name!r}: {'; '.join(faults)}{'' if only_moved else hint}"
        )
        error.quality = quality
        raise error


def register_stack(
    sections: Sequence[Any], *, method: MutualInformation | None = None, gates: Gates | None = None, reference: int = 0
) -> list[Transform]:
    """Return the transform of every section of a stack into the space of one of them.

    Parameters
    ----------
    sections
        Images in their order in the block, each in a space of its own.
    method, gates
        As of `register`; each section is registered to its neighbour on the side of the reference.
    reference
        Which section does not move.

    Returns
    -------
    One transform per section; the reference's is the identity.

    Raises
    ------
    RegistrationError
        If two neighbours cannot be laid on each other; the message names them.

    Examples
    --------
    >>> image = next(iter(ig.datasets.toy_study().each("fields")))
    >>> [one.is_identity for one in register_stack([image])]
    [True]
    """
    found: dict[int, Transform] = {reference: identity(read_grid(sections[reference]).space)}
    outwards = [*range(reference + 1, len(sections)), *range(reference - 1, -1, -1)]
    for number in follow(outwards, "registering", unit="section"):
        inner = number - 1 if number > reference else number + 1
        step = register(sections[number], sections[inner], method=method, gates=gates).transform
        found[number] = step.then(found[inner])
    return [found[number] for number in range(len(sections))]


def _measured(
    fixed: Picture,
    moving: Picture,
    moved: np.ndarray[Any, Any],
    way: Transform,
    how: MutualInformation | LandmarkPairs,
    declared: Affine | None,
) -> Quality:
    import numpy as np

    pixel = fixed.grid.size[0]
    share, tiles, residual = agreement(fixed, moved)
    folds, change = folding(way, fixed)
    ground = np.nan_to_num(pull_picture(replace(moving, values=moving.foreground.astype(np.float32)), fixed, way)) > 0.5
    smaller = min(fixed.foreground.sum(), ground.sum()) or 1
    start = _centred(fixed, moving) if declared is None else declared
    far = (float("nan"),) * 2 if declared is None else displacement(way, declared, fixed)
    found = Quality(
        information_before=shared_information(fixed.values, pull_picture(moving, fixed, start)),
        information_after=shared_information(fixed.values, moved),
        overlap=float((ground & fixed.foreground).sum() / smaller),
        agreement=share if tiles or isinstance(how, LandmarkPairs) else 0.0,
        tiles=tiles,
        residual=residual * pixel,
        folding=folds,
        jacobian=change,
        displacement=far[0],
        displacement_corners=far[1],
        scale=_scale(way) if fixed.grid.space.unit == moving.grid.space.unit else float("nan"),
        working_pixel=pixel,
        unit=fixed.grid.space.unit,
        elastic=not isinstance(way, Affine),
    )
    if isinstance(how, LandmarkPairs):
        fit, left_out = _landmark_errors(how, way)
        return replace(found, landmark_fit=fit, landmark_left_out=left_out, information_before=float("nan"))
    return found


def _landmark_errors(how: LandmarkPairs, way: Transform) -> tuple[float, float]:
    import numpy as np

    left_out = left_out_errors(how, way.target, way.source)
    known = np.isfinite(left_out).any()
    return _missed(how, way.inverse()), float(np.nanmedian(left_out)) if known else float("nan")


def _flat(way: Transform) -> Affine:
    """Return the affine part of a way, between its outer spaces."""
    parts = way.parts if isinstance(way, Chain) else (way,)
    flat = next((one for one in parts if isinstance(one, Affine)), identity(way.source))
    return Affine(flat.matrix, way.source, way.target)


def _scale(way: Transform) -> float:
    """Return by how much lengths grow from the moving to the fixed image, as the affine part says."""
    import numpy as np

    if not isinstance(way, Affine | Chain):
        return float("nan")
    flat = _flat(way).array
    n = way.source.ndim
    return float(abs(np.linalg.det(flat[:n, :n])) ** (-1 / n))


def _centred(fixed: Picture, moving: Picture) -> Affine:
    """Return the way that only lays the middle of the tissue on the middle of the tissue."""
    import numpy as np

    n = fixed.values.ndim
    grown = 1.0 if fixed.grid.space.unit == moving.grid.space.unit else moving.grid.size[0] / fixed.grid.size[0]
    matrix = np.diag([grown] * n + [1.0])
    matrix[:n, n] = moving.centre() - grown * fixed.centre()
    return Affine(tuple(map(tuple, matrix.tolist())), fixed.grid.space, moving.grid.space)


def _checkerboard(fixed: np.ndarray[Any, Any], moved: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return fields of the two pictures in turn (of a volume its middle slice), grey 0 … 255."""
    import numpy as np

    if fixed.ndim == 3:
        fixed, moved = fixed[len(fixed) // 2], moved[len(moved) // 2]
    field = max(8, max(fixed.shape) // 10)
    y, x = np.indices(fixed.shape) // field
    return np.rint(255 * np.nan_to_num(np.where((y + x) % 2, moved, fixed))).clip(0, 255).astype(np.uint8)


def _png(picture: np.ndarray[Any, Any]) -> bytes:
    """Return a picture as PNG, made smaller until a card that holds it stays below 50 kB."""
    import cv2

    while True:
        written = bytes(cv2.imencode(".png", picture)[1].tobytes())
        if len(written) <= MAX_PICTURE:
            return written
        picture = cv2.resize(picture, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
