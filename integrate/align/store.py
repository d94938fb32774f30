"""A transform in other words: a Zarr group in the manner of OME-NGFF, or SpatialData's classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.align.space import Space
from integrate.align.transform import Affine, Chain, DisplacementField, Inverted, ThinPlate, Transform
from integrate.errors import AlignmentError, DataError, SourceNotFoundError
from integrate.model.provenance import hash_array, hash_settings

if TYPE_CHECKING:
    import zarr

__all__ = [
    "describe_in",
    "from_spatialdata",
    "hash_transform",
    "read_notes",
    "read_transform",
    "to_spatialdata",
    "write_transform",
]

#: UDUNITS names that OME-NGFF wants, by our unit.
_NGFF_UNITS = {"um": "micrometer", "mm": "millimeter", "px": None, "": None}


def to_spatialdata(transform: Transform) -> Any:
    """Return an affine transform as SpatialData's `Affine`; both speak of pixel corners, so the numbers are the same.

    Parameters
    ----------
    transform
        An affine transform.

    Returns
    -------
    ``spatialdata.transformations.Affine`` over the axes of the spaces.

    Raises
    ------
    AlignmentError
        If the transform bends: SpatialData and OME-NGFF 0.5 know only affine ones; keep it beside with
        `write_transform`.

    Examples
    --------
    >>> slide, section = ig.Space("slide", "um"), ig.Space("section", "um")
    >>> to_spatialdata(Affine.scale([1, 1], slide, section, offset=[5, 0])).matrix[0].tolist()
    [1.0, 0.0, 5.0]
    """
    from spatialdata.transformations import Affine as Placed

    if not isinstance(transform, Affine):
        raise AlignmentError(
            f"{type(transform).__name__} from {transform.source.name!r} to {transform.target.name!r} bends; "
            "SpatialData holds affine ones only: keep it with write_transform, apply it with move or resample"
        )
    return Placed(transform.array, input_axes=transform.source.axes, output_axes=transform.target.axes)


def from_spatialdata(transformation: Any, source: Space, target: Space) -> Affine:
    """Return any SpatialData transformation as an `Affine` between two spaces.

    Parameters
    ----------
    transformation
        A ``spatialdata.transformations`` object: identity, scale, translation, axes, affine or a sequence.
    source, target
        From where to where it leads.

    Returns
    -------
    The same map.

    Examples
    --------
    >>> from spatialdata.transformations import Scale
    >>> pixels, slide = ig.Space("slide_px", "px"), ig.Space("slide", "um")
    >>> from_spatialdata(Scale([0.5, 0.25], axes=("y", "x")), pixels, slide).map_points([[4, 4]]).tolist()
    [[1.0, 2.0]]
    """
    matrix = transformation.to_affine_matrix(source.axes, target.axes)
    return Affine(tuple(map(tuple, matrix.tolist())), source, target)


def hash_transform(transform: Transform) -> str:
    """Return 16 hex digits that change with any number, space or unit of a transform."""
    if isinstance(transform, Chain):
        return hash_settings([hash_transform(part) for part in transform.parts])
    if isinstance(transform, Inverted):
        return hash_settings({"inverse of": hash_transform(transform.of)})
    facts: dict[str, Any] = {"kind": type(transform).__name__, "ends": (transform.source, transform.target)}
    facts |= {k: hash_array(v) if hasattr(v, "shape") else v for k, v in vars(transform).items() if k[0] != "_"}
    facts.pop("array", None)
    return hash_settings(facts)


def write_transform(
    transform: Transform, path: str | os.PathLike[str], *, notes: Mapping[str, Any] | None = None
) -> Path:
    """Write a transform as a Zarr group, whole or not at all.

    Parameters
    ----------
    transform
        Any transform.
    path
        New folder, e.g. ``slide_to_section.zarr``; an existing one is replaced.
    notes
        Plain values to keep with it: where it comes from, its quality.

    Returns
    -------
    The path. The attributes follow OME-NGFF's coordinate transformations (RFC-5: ``affine``, ``sequence``,
    ``displacements`` with their field as an array, ``inverseOf``), with axes in the order of an array (y before x).
    Thin-plate splines are not in it: they are written as ``integrate:thin-plate-spline`` with their landmarks.

    Examples
    --------
    >>> here, there = ig.Space("slide", "um"), ig.Space("section", "um")
    >>> shift = Affine.scale([1, 1], here, there, offset=[5, 0])
    >>> read_transform(write_transform(shift, tmp_path / "shift.zarr")) == shift
    True
    """
    import shutil
    import tempfile

    import zarr

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        group = zarr.open_group(beside / "made", mode="w")
        group.attrs["ome"] = {"version": "0.6.dev3", **describe_in(group, transform, key="0")}
        group.attrs["integrate"] = dict(notes or {})
        if path.exists():
            path.rename(beside / "old")
        (beside / "made").rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return path


def read_transform(path: str | os.PathLike[str]) -> Transform:
    """Return a transform that `write_transform` wrote.

    Parameters
    ----------
    path
        Its folder.

    Returns
    -------
    The same transform, number for number.

    Raises
    ------
    SourceNotFoundError
        If there is nothing.
    DataError
        If the folder is no such group.

    Examples
    --------
    >>> read_transform(tmp_path / "nothing.zarr")
    Traceback (most recent call last):
    integrate.errors.SourceNotFoundError: no transform at ...
    """
    import zarr

    if not Path(path).is_dir():
        raise SourceNotFoundError(f"no transform at {Path(path).name!r}; write one with write_transform")
    try:
        group = zarr.open_group(path, mode="r")
        ome: Any = group.attrs["ome"]
        return _made(ome["coordinateTransformations"][0], group)
    except (KeyError, IndexError, TypeError, FileNotFoundError) as error:
        raise DataError(f"{Path(path).name!r} is no transform written by write_transform ({error!r})") from error


def read_notes(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the notes that `write_transform` kept with a transform."""
    import zarr

    notes: Any = zarr.open_group(path, mode="r").attrs["integrate"]
    return dict(notes)


def describe_in(group: zarr.Group, transform: Transform, *, key: str) -> dict[str, Any]:
    """Return a transform with its coordinate systems in OME-NGFF's words; its arrays go into the group under `key`."""
    spaces = {space.name: space for space in (transform.source, transform.target)}
    return {
        "coordinateSystems": [_system(space) for space in spaces.values()],
        "coordinateTransformations": [_described(transform, group, key)],
    }


def _system(space: Space) -> dict[str, Any]:
    unit = _NGFF_UNITS.get(space.unit, space.unit)
    extra = {} if unit is None else {"unit": unit}
    return {"name": space.name, "axes": [{"name": a, "type": "space", **extra} for a in space.axes[::-1]]}


def _ends(transform: Transform) -> dict[str, Any]:
    """Return the ends in NGFF's words, and our units, which it cannot all say."""
    return {
        "input": transform.source.name,
        "output": transform.target.name,
        "integrate": {"axes": list(transform.source.axes), "units": [transform.source.unit, transform.target.unit]},
    }


def _described(transform: Transform, group: zarr.Group, key: str) -> dict[str, Any]:
    """Return a transform in NGFF's words, its arrays written into the group."""
    ends = _ends(transform)
    if isinstance(transform, Affine):
        n = transform.source.ndim
        order = [*range(n - 1, -1, -1), n]
        return {"type": "affine", **ends, "affine": transform.array[order[:-1]][:, order].tolist()}
    if isinstance(transform, Chain):
        steps = [_described(part, group, f"{key}.{i}") for i, part in enumerate(transform.parts)]
        return {"type": "sequence", **ends, "transformations": steps}
    if isinstance(transform, Inverted):
        return {"type": "inverseOf", **ends, "transformation": _described(transform.of, group, key)}
    if isinstance(transform, DisplacementField):
        group.create_array(key, data=transform.vectors)
        field = {"origin": list(transform.origin), "spacing": list(transform.spacing)}
        return {"type": "displacements", **ends, "path": key, "interpolation": "linear", "field": field}
    if isinstance(transform, ThinPlate):
        group.create_array(f"{key}.landmarks", data=transform.landmarks)
        group.create_array(f"{key}.images", data=transform.images)
        return {"type": "integrate:thin-plate-spline", **ends, "path": key, "smoothing": transform.smoothing}
    raise DataError(f"no way to write a {type(transform).__name__}")


def _made(said: Mapping[str, Any], group: zarr.Group) -> Transform:
    """Return the transform that was described."""
    import numpy as np

    axes, units = tuple(said["integrate"]["axes"]), said["integrate"]["units"]
    source, target = Space(said["input"], units[0], axes), Space(said["output"], units[1], axes)
    if said["type"] == "affine":
        n = len(axes)
        order = [*range(n - 1, -1, -1), n]
        rows = np.vstack([np.array(said["affine"])[order[:-1]][:, order], np.eye(n + 1)[-1]])
        return Affine(tuple(map(tuple, rows.tolist())), source, target)
    if said["type"] == "sequence":
        return Chain(tuple(_made(step, group) for step in said["transformations"]))
    if said["type"] == "inverseOf":
        return Inverted(_made(said["transformation"], group))
    path = said["path"]
    if said["type"] == "displacements":
        field = said["field"]
        vectors = np.asarray(group[path][...])  # type: ignore[index]
        return DisplacementField(vectors, tuple(field["origin"]), tuple(field["spacing"]), source, target)
    if said["type"] == "integrate:thin-plate-spline":
        landmarks, images = (np.asarray(group[f"{path}.{what}"][...]) for what in ("landmarks", "images"))  # type: ignore[index]
        return ThinPlate(landmarks, images, source, target, smoothing=float(said["smoothing"]))
    raise DataError(f"unknown transform type {said['type']!r}")
