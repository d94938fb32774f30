"""Aligned elements: those of one space taken into another, beside the originals in the same SpatialData object."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from integrate.align.declared import declared_target, declared_transform
from integrate.align.grid import read_grid
from integrate.align.move import move
from integrate.align.mutual import MutualInformation
from integrate.align.register import register
from integrate.align.resample import resample
from integrate.align.store import hash_transform
from integrate.align.transform import Transform
from integrate.errors import AlignmentError, ParameterError, closest
from integrate.keys import ATTRS, SPECIMEN_ID
from integrate.model.study import Study

if TYPE_CHECKING:
    import spatialdata as sd

__all__ = ["add_aligned", "add_declared", "register_datasets"]


def add_aligned(space: sd.SpatialData, transform: Transform) -> list[str]:
    """Add, for every element in the source space of a transform, its counterpart in the target space.

    Images and labels are resampled lazily onto the grid of the image of the target space, shapes and points are moved.
    Their names end in ``_in_<target>``; their notes hold the hash of the transform.

    Raises
    ------
    AlignmentError
        If no element lies in the source space, or no image in the target space to resample onto.
    """
    from spatialdata.transformations import get_transformation

    target = transform.target.name
    listed = [(k, name, e) for k, name, e in space.gen_elements() if k != "tables"]
    placed = {name: set(get_transformation(element, get_all=True)) for _, name, element in listed}
    here = [
        (k, name, e) for k, name, e in listed if transform.source.name in placed[name] and target not in placed[name]
    ]
    onto = next((space[name] for k, name, _ in listed if k == "images" and target in placed[name]), None)
    if not here or (onto is None and any(kind in ("images", "labels") for kind, _, _ in here)):
        raise AlignmentError(
            f"no element lies in {transform.source.name!r}, or no image in {target!r}; "
            f"there are {sorted(space.coordinate_systems)}"
        )
    made = []
    for kind, name, element in here:
        flat = kind in ("images", "labels")
        moved = resample(element, transform, like=onto, labels=kind == "labels") if flat else move(element, transform)
        made.append(f"{name}_in_{target}")
        space[made[-1]] = moved
        said = {**space.attrs.get(ATTRS, {}).get(name, {}), "aligned_by": hash_transform(transform), "from": name}
        space.attrs.setdefault(ATTRS, {})[made[-1]] = said
    return made


def register_datasets(
    space: sd.SpatialData,
    datasets: Mapping[str, str],
    pairs: Mapping[str, str],
    *,
    cache: str | os.PathLike[str] | None,
    method: MutualInformation | None = None,
) -> dict[str, Any]:
    """Register the images of one dataset to those of another, specimen by specimen, and add the aligned elements.

    Parameters
    ----------
    space
        The subject's elements, to which the aligned ones are added.
    datasets
        Element to dataset.
    pairs
        Dataset that moves to dataset that stays.
    cache, method
        As of `register`.

    Returns
    -------
    ``"<moving> -> <fixed>"`` to the quality of each registration; None for a specimen that has only one of the two.
    """
    found: dict[str, Any] = {}
    for moving, fixed in pairs.items():
        _images_of(space, datasets, fixed)
        for name in _images_of(space, datasets, moving):
            other = _partner(space, datasets, name, fixed)
            if other is None:
                found[f"{name} -> {fixed}"] = None
                continue
            _check_apart(space, name, other)
            result = register(space[name], space[other], method=method, cache=cache)
            add_aligned(space, result.transform)
            found[f"{name} -> {other}"] = result.quality.as_dict()
    return found


def _check_apart(space: sd.SpatialData, name: str, other: str) -> None:
    shared = read_grid(space[name]).space.name
    if shared == read_grid(space[other]).space.name:
        raise AlignmentError(
            f"{name!r} and {other!r} share the space {shared!r} and lie on each other already; leave them out of "
            "register=, or look with ig.register whether the pictures agree"
        )


def add_declared(space: sd.SpatialData, study: Study, datasets: Mapping[str, str]) -> dict[str, str | None]:
    """Add the elements of every dataset whose catalog entry declares a transform, in the space it leads to.

    Returns
    -------
    ``"<moving> -> <fixed>"`` to the hash of each transform; None for an image without a partner of the other dataset.

    Raises
    ------
    CatalogError, UnitError, SourceNotFoundError
        If a declaration is wrong, as of `declared_transform`.
    """
    found: dict[str, str | None] = {}
    for dataset in sorted(set(datasets.values())):
        target = declared_target(study, dataset)
        for name in sorted(one for one in space.images if datasets.get(one) == dataset) if target else ():
            other = _partner(space, datasets, name, str(target))
            found[f"{name} -> {other or target}"] = None
            if other is not None:
                ends = (read_grid(space[name]).space, read_grid(space[other]).space)
                way = declared_transform(study, dataset, space.attrs[ATTRS][name].get("ids", {}), *ends)
                add_aligned(space, way)
                found[f"{name} -> {other}"] = hash_transform(way)
    return found


def _partner(space: sd.SpatialData, datasets: Mapping[str, str], name: str, dataset: str) -> str | None:
    """Return the only image of a dataset on the same specimen; for a scan, of no specimen, the subject's only one."""
    notes = space.attrs[ATTRS]
    own = notes[name].get("ids", {}).get(SPECIMEN_ID)
    others = [one for one in sorted(space.images) if datasets.get(one) == dataset]
    mine = [one for one in others if notes[one].get("ids", {}).get(SPECIMEN_ID) == own]
    return mine[0] if len(mine) == 1 else None


def _images_of(space: sd.SpatialData, datasets: Mapping[str, str], dataset: str) -> Iterable[str]:
    known = sorted(set(datasets.values()))
    if dataset not in known:
        raise ParameterError(f"the subject has no images of dataset {dataset!r}; {closest(dataset, known)}")
    return sorted(name for name in space.images if datasets.get(name) == dataset)
