"""SpatialData stores: what spatialdata wrote, opened by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.zarr_array import group_attributes, open_group

if TYPE_CHECKING:
    import spatialdata as sd

__all__ = ["SpatialDataStore"]

KINDS: tuple[str, ...] = ("images", "labels", "points", "shapes", "tables")


class SpatialDataStore(Reader):
    """Read a SpatialData Zarr store; images, labels and points stay on disk.

    Parameters
    ----------
    kinds
        Which of ``images``, ``labels``, ``points``, ``shapes`` and ``tables`` to open; all by default. Shapes and
        tables are read into memory, so leave them out where they are large and not needed.
    elements
        Names of the elements to keep; all by default.

    Returns
    -------
    SpatialData as it was written, with what its ``attrs["integrate"]`` held.

    Raises
    ------
    DataError
        If the folder is no SpatialData store, or an element is damaged.
    ParameterError
        If there is no such kind or element.
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(
        self, path: Path, *, kinds: Sequence[str] | None = None, elements: Sequence[str] | None = None
    ) -> sd.SpatialData:
        wrong = [kind for kind in kinds or () if kind not in KINDS]
        if wrong:
            raise ParameterError(f"a SpatialData store has no {wrong[0]!r}; {closest(wrong[0], KINDS)}")
        said = group_attributes(open_group(path))
        held = [kind for kind in KINDS if (path / kind).is_dir()]
        if "spatialdata_attrs" not in said and not held:
            raise DataError(f"{path.name} is a Zarr store but no SpatialData; it has none of {list(KINDS)}")
        data = _read(path, [kind for kind in held if kinds is None or kind in kinds])
        if elements is not None:
            names = [name for _, name, _ in data.gen_elements()]
            absent = [name for name in elements if name not in names]
            if absent:
                raise ParameterError(f"{path.name} has no element {absent[0]!r}; {closest(absent[0], names)}")
            data = data.subset(list(elements))
        data.attrs[ATTRS] = dict(data.attrs.get(ATTRS) or {})
        return data


def _read(path: Path, kinds: Sequence[str]) -> Any:
    import spatialdata as sd

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # of zarr and anndata about each other's versions
        warnings.filterwarnings("ignore", category=FutureWarning)
        try:
            return sd.read_zarr(path, selection=tuple(kinds))
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, IndexError) as error:
            raise DataError(f"{path.name} is a SpatialData store that cannot be read ({error})") from error
