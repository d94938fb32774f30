"""Masks of Xenium: the labels of cells and nuclei that the pipeline drew, from the Zarr store in a zip beside them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError

if TYPE_CHECKING:
    import dask.array as da
    import numpy as np
    import pandas as pd

__all__ = ["MASKS", "STORE", "check_on_labels", "lazy_mask", "mask_cells", "mask_matrix"]

#: Name of the store in the bundle, and of its masks.
STORE = "cells.zarr.zip"
MASKS: dict[str, str] = {"nuclei": "masks/0", "cells": "masks/1"}
#: What damaged stores raise.
DAMAGE = (OSError, KeyError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile)
#: Half the edge, in pixels, of the window in which labels are compared with transcripts.
WINDOW = 1000
#: Share of the transcripts of cells that must lie on the label of their cell.
LEAST_ON_LABEL = 0.9


@dataclass(frozen=True)
class _Mask:
    """A mask that opens its store for each block."""

    file: str
    inside: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    changed_ns: int

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, where: Any) -> Any:
        return _read(Path(self.file), self.inside, where)


def _open(file: Path) -> Any:
    """Return the store, opened; a zip that is no whole one is told here, as the store cannot."""
    from zarr.storage import ZipStore

    if not zipfile.is_zipfile(file):
        raise zipfile.BadZipFile("it is no whole zip")
    return ZipStore(file, mode="r")


def _read(file: Path, inside: str, where: Any = ...) -> Any:
    import zarr

    try:
        with _open(file) as store:
            return zarr.open_array(store, path=inside, mode="r")[where]
    except DAMAGE as error:
        raise DataError(f"{inside!r} of {file.name} cannot be read ({error}); it is truncated or damaged") from error


def lazy_mask(file: Path, kind: str) -> da.Array:
    """Return the labels of ``"cells"`` or ``"nuclei"``, lazily; 0 is background.

    Raises
    ------
    DataError
        If the store is damaged or has no such mask.
    """
    import dask.array as da
    import zarr

    inside = MASKS[kind]
    try:
        with _open(file) as store:
            array = zarr.open_array(store, path=inside, mode="r")
            shape, dtype, chunks = tuple(array.shape), array.dtype, array.chunks
    except DAMAGE as error:
        raise DataError(f"{file.name} has no readable {inside!r} ({error}); it is truncated or damaged") from error
    if len(shape) != 2 or dtype.kind not in "iu":
        raise DataError(f"{inside!r} of {file.name} is {dtype} of {shape}; expected one plane of labels")
    source = _Mask(str(file), inside, shape, dtype, file.stat().st_mtime_ns)
    return da.from_array(source, chunks=chunks, asarray=True, fancy=False, inline_array=True)


def mask_matrix(file: Path) -> np.ndarray[Any, Any]:
    """Return the 3 × 3 matrix from pixels of the masks to micrometres.

    Raises
    ------
    DataError
        If the store states none that can be inverted.
    """
    import numpy as np

    stated = np.asarray(_read(file, "masks/homogeneous_transform"), float)
    if stated.shape != (4, 4) or abs(np.linalg.det(stated)) < 1e-12:
        raise DataError(f"{file.name} states the transform {stated.tolist()}; expected a 4 × 4 matrix to pixels")
    flat = stated[np.ix_([0, 1, 3], [0, 1, 3])]
    return np.linalg.inv(flat)


def mask_cells(file: Path) -> list[str]:
    """Return the name of the cell of each label, from label 1: a prefix of eight letters a to p, and a number.

    Before version 1.3 of the pipeline it is a number alone.

    Raises
    ------
    DataError
        If the store lists none.
    """
    import numpy as np

    ids = np.asarray(_read(file, "cell_id"))
    if ids.ndim == 1:
        return [str(int(one)) for one in ids]
    if ids.ndim != 2 or ids.shape[1] != 2:
        raise DataError(f"'cell_id' of {file.name} has shape {ids.shape}; expected a prefix and a suffix per cell")
    letters = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
    return [f"{int(prefix):08x}".translate(letters) + f"-{int(suffix)}" for prefix, suffix in ids]


def check_on_labels(points: pd.DataFrame, mask: da.Array, to_um: np.ndarray[Any, Any], cells: list[str]) -> float:
    """Return the share of transcripts (``x``, ``y`` in µm, ``cell``) on the label of their cell, in a window.

    Raises
    ------
    AlignmentError
        If fewer than 90 % are: the masks are of another run or segmentation.
    """
    import numpy as np
    import pandas as pd

    label = pd.Series(np.arange(1, len(cells) + 1), index=cells)
    points = points[points["cell"].isin(label.index)]
    if points.empty:
        return float("nan")
    column, row, _ = np.linalg.inv(to_um) @ np.stack([points["x"], points["y"], np.ones(len(points))])
    near = (abs(column - np.median(column)) < WINDOW) & (abs(row - np.median(row)) < WINDOW)
    column, row = np.floor(column).astype(int), np.floor(row).astype(int)
    near &= (row >= 0) & (row < mask.shape[0]) & (column >= 0) & (column < mask.shape[1])
    if not near.any():
        return float("nan")
    top, left = row[near].min(), column[near].min()
    window = np.asarray(mask[top : row[near].max() + 1, left : column[near].max() + 1])
    found = window[row[near] - top, column[near] - left]
    share = float((found == label.loc[points["cell"][near]].to_numpy()).mean())
    if share < LEAST_ON_LABEL:
        raise AlignmentError(
            f"{share:.1%} of {int(near.sum())} transcripts lie on the label of their cell in {STORE}; expected at "
            f"least {LEAST_ON_LABEL:.0%}: the masks are of another run or another segmentation; masks=False "
            "leaves them out"
        )
    return share
