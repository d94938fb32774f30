"""Run-length masks of COCO: what they enclose, as exact outlines of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["runs_of", "shape_of_runs"]


def runs_of(counts: str | Sequence[int]) -> list[int]:
    """Return lengths of runs, of background first; a text is decoded as pycocotools writes it.

    Examples
    --------
    >>> runs_of("52203")
    [5, 2, 2, 2, 5]
    """
    if not isinstance(counts, str):
        return [int(n) for n in counts]
    runs: list[int] = []
    value, shift = 0, 0
    for sign in counts:
        part = ord(sign) - 48
        if not 0 <= part < 64:
            raise ValueError(f"{sign!r} is no sign of a compressed mask")
        value |= (part & 0x1F) << shift
        shift += 5
        if part & 0x20:
            continue
        if part & 0x10:  # the last five bits are of a negative number
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("it ends within a number")
    return runs


def shape_of_runs(mask: Mapping[str, Any], where: str) -> Any:
    """Return the pixels of a mask as a polygon, or several, with their holes; empty when none is set.

    Parameters
    ----------
    mask
        ``size`` (rows, columns) and ``counts``, column by column.
    where
        What it is, for the message.

    Raises
    ------
    DataError
        If it is malformed, or its runs are not as long as its size.
    """
    import numpy as np
    import shapely

    try:
        height, width = (int(n) for n in mask["size"])
        runs = np.array(runs_of(mask["counts"]), int)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where} has a malformed run-length mask ({error})") from error
    if (runs < 0).any() or runs.sum() != height * width:
        raise DataError(f"the runs of {where} make {int(runs.sum())} pixels; expected {height} x {width}")
    ends = np.cumsum(runs)
    boxes = _boxes(ends[:-1:2], ends[1::2], height) if len(runs) > 1 else np.empty((0, 4))
    return shapely.simplify(shapely.union_all(shapely.box(*boxes.T)), 0)


def _boxes(starts: np.ndarray[Any, Any], stops: np.ndarray[Any, Any], height: int) -> np.ndarray[Any, Any]:
    """Return ``x1, y1, x2, y2`` of each column's part of each run of set pixels."""
    import numpy as np

    boxes = [
        (column, max(start - column * height, 0), column + 1, min(stop - column * height, height))
        for start, stop in zip(starts.tolist(), stops[: len(starts)].tolist(), strict=True)
        if stop > start
        for column in range(start // height, (stop - 1) // height + 1)
    ]
    return np.array(boxes, float).reshape(-1, 4)
