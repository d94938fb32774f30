"""A declared transform: what a catalog entry says of the way from its images to those of another dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.align.landmarks import LandmarkPairs, fit_pairs
from integrate.align.space import Space
from integrate.align.store import read_transform
from integrate.align.transform import Affine, Transform, identity
from integrate.errors import CatalogError, DataError, SourceNotFoundError, UnitError
from integrate.model.study import Study

if TYPE_CHECKING:
    import numpy as np

__all__ = ["declared_target", "declared_transform"]

_WAYS = ("affine", "landmarks", "file")
_KINDS = ("rigid", "similarity", "affine", "spline")


def declared_target(study: Study, name: str) -> str | None:
    """Return to which dataset the transform of a dataset leads; None where it declares none.

    Raises
    ------
    CatalogError
        If the declaration is not ``{to: dataset, unit: …}`` with one of ``affine``, ``landmarks`` and ``file``.
    """
    said = study.dataset(name).metadata.get("transform")
    if said is None:
        return None
    ways = [way for way in _WAYS if way in said] if isinstance(said, Mapping) else []
    if not isinstance(said, Mapping) or len(ways) != 1 or not {"to", "unit"} <= set(said):
        raise CatalogError(
            f"{name}.transform is {said!r}; write {{to: dataset, unit: um}} and one of affine: [rows], "
            "landmarks: table.csv, file: transform.zarr"
        )
    spare = set(said) - {"to", "unit", ways[0], *(["kind"] if ways[0] == "landmarks" else [])}
    if spare:
        raise CatalogError(
            f"{name}.transform also says {sorted(spare)}, which nothing reads; expected to, unit, {ways[0]}"
        )
    study.dataset(str(said["to"]))
    return str(said["to"])


def declared_transform(study: Study, name: str, ids: Mapping[str, str], here: Space, there: Space) -> Transform:
    """Return the transform that a dataset declares, between the spaces of two images.

    Parameters
    ----------
    study, name
        The study, and the dataset whose entry says ``transform``.
    ids
        Ids of the image; they fill ``<acquisition_id>`` and so on in the name of a file.
    here, there
        Space of the image, and of the one of the other dataset.

    Raises
    ------
    CatalogError
        If the numbers or the file do not make a transform between the two.
    UnitError
        If the declared unit is not that of the images.
    SourceNotFoundError
        If the file is not there.
    """
    said = study.dataset(name).metadata["transform"]
    units = [str(one) for one in said["unit"]] if isinstance(said["unit"], list) else [str(said["unit"])] * 2
    if units != [here.unit, there.unit]:
        raise UnitError(
            f"{name}.transform says unit {said['unit']!r}; {here.name!r} is in {here.unit!r} and {there.name!r} in "
            f"{there.unit!r}. Write the numbers in these units (unit: [{here.unit}, {there.unit}])"
        )
    try:
        if "affine" in said:
            return Affine(_homogeneous(said["affine"], here), here, there)
        if "landmarks" in said:
            pairs = _read_pairs(_find(study, name, said["landmarks"], ids), here, str(said.get("kind", "affine")))
            return fit_pairs(pairs, here, there)
        return _between(read_transform(_find(study, name, said["file"], ids)), here, there)
    except SourceNotFoundError:
        raise
    except DataError as error:
        raise CatalogError(f"{name}.transform: {error}") from error


def _find(study: Study, name: str, file: Any, ids: Mapping[str, str]) -> Path:
    finder = getattr(study.dataset(name), "find_file", None)
    if finder is None:
        raise CatalogError(f"{name}.transform names a file; open the study from its catalog to read it")
    return Path(finder(str(file), ids))


def _homogeneous(rows: Any, here: Space) -> tuple[tuple[float, ...], ...]:
    """Return a matrix with its last row, which a catalog may leave out."""
    import numpy as np

    n = here.ndim
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"the affine {rows!r} is no matrix of numbers") from error
    if matrix.shape not in ((n, n + 1), (n + 1, n + 1)):
        raise DataError(
            f"the affine has shape {matrix.shape}; for axes {here.axes} expected {n} rows of {n + 1} numbers"
        )
    whole = matrix if len(matrix) == n + 1 else np.vstack([matrix, np.eye(n + 1)[-1]])
    return tuple(map(tuple, whole.tolist()))


def _read_pairs(path: Path, here: Space, kind: str) -> LandmarkPairs:
    import pandas as pd

    if not path.is_file():
        raise SourceNotFoundError(f"no table of landmarks {path.name!r}; the catalog names it")
    if kind not in _KINDS:
        raise DataError(f"kind is {kind!r}; expected one of {list(_KINDS)}")
    table = pd.read_csv(path)
    columns = {side: [f"{side}_{axis}" for axis in here.axes] for side in ("moving", "fixed")}
    absent = [one for side in columns.values() for one in side if one not in table]
    if absent:
        raise DataError(f"{path.name!r} has no column {absent}; it has {list(table)}")
    moving, fixed = (_numbers(table[side], path) for side in columns.values())
    return LandmarkPairs(moving, fixed, kind=kind)  # type: ignore[arg-type]


def _numbers(table: Any, path: Path) -> np.ndarray[Any, Any]:
    import numpy as np

    try:
        return np.asarray(table.to_numpy(), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path.name!r} holds what is no number ({error})") from error


def _between(kept: Transform, here: Space, there: Space) -> Transform:
    """Return a transform of a file under the names that the spaces have in the study."""
    told = [(kept.source.unit, kept.source.axes), (kept.target.unit, kept.target.axes)]
    if told != [(here.unit, here.axes), (there.unit, there.axes)]:
        raise DataError(
            f"the file leads from {kept.source} to {kept.target}; expected units and axes of {here}, {there}"
        )
    return identity(here, kept.source).then(kept).then(identity(kept.target, there))
