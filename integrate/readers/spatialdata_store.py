"""SpatialData stores: what spatialdata wrote, opened by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.zarr_array import check_chunks, group_attributes, lazy_zarr, open_group

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
        If the folder is no SpatialData store, or an element is damaged; when computed, if a chunk is cut off.
    ParameterError
        If there is no such kind or element.

    Examples
    --------
    >>> import numpy as np, spatialdata as sd
    >>> labels = sd.models.Labels2DModel.parse(np.eye(8, dtype="int32"), dims=("y", "x"))
    >>> sd.SpatialData.init_from_elements({"cells": labels}).write(tmp_path / "a.zarr")
    >>> int(SpatialDataStore(url=tmp_path / "a.zarr", kinds=["labels"]).read()["cells"].sum())
    8
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
        wanted = [kind for kind in held if kinds is None or kind in kinds]
        for kind in wanted:
            if kind in ("shapes", "tables"):  # read now; what stays on disk is checked when it is read
                check_chunks(path, inside=kind)
        data = _read(path, wanted)
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
            data = sd.read_zarr(path, selection=tuple(kinds))
            for kind, held in (("images", data.images), ("labels", data.labels)):
                for name in list(held):
                    held[name] = _guarded(held[name], path, f"{kind}/{name}")
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, IndexError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path.name} is a SpatialData store that cannot be read ({error})") from error
    return data


def _guarded(element: Any, store: Path, inside: str) -> Any:
    """Return an image or labels whose chunks are checked when they are read."""
    import xarray as xr

    levels = group_attributes(open_group(store, inside))["multiscales"][0]["datasets"]
    pixels = [lazy_zarr(store, f"{inside}/{level['path']}") for level in levels]
    if isinstance(element, xr.DataArray):
        return element.copy(data=pixels[0])
    scales = {name: node.to_dataset() for name, node in element.children.items()}
    for scale, array in zip(scales, pixels, strict=True):
        scales[scale]["image"] = scales[scale]["image"].copy(data=array)
    return xr.DataTree.from_dict(scales)
