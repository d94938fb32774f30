"""Partial results of regions: what each block knows of them, merged by id as blocks arrive."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Partials", "Reducer", "add_exactly", "two_sum"]

#: Merges two partial results of the same regions, rows aligned.
Reducer = Callable[[Any, Any], Any]


class Partials:
    """One growing array per quantity, a row per region.

    Parameters
    ----------
    reducers
        For every quantity how two partial results become one.

    Examples
    --------
    >>> import numpy as np
    >>> partials = Partials({"n": add_exactly})
    >>> partials.merge(np.array([7, 9]), {"n": np.array([1, 2])})
    >>> partials.merge(np.array([3, 9]), {"n": np.array([4, 10])})
    >>> ids, values = partials.by_id()
    >>> ids.tolist(), values["n"].tolist()
    ([3, 7, 9], [4, 1, 12])
    """

    def __init__(self, reducers: Mapping[str, Reducer]) -> None:
        self.reducers = dict(reducers)
        self._row_of: dict[int, int] = {}
        self._values: dict[str, np.ndarray[Any, Any]] = {}

    def merge(self, ids: np.ndarray[Any, Any], values: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Merge what one block knows of `ids`, which are all different."""
        import numpy as np

        known = len(self._row_of)
        rows = np.fromiter(map(self._row_of.get, ids.tolist(), itertools.repeat(-1)), np.int64, count=len(ids))
        new = rows < 0
        old, rows = ~new, rows[~new]
        last = known + len(ids) - len(rows)
        self._row_of.update(zip(ids[new].tolist(), range(known, last), strict=True))
        for name, value in values.items():
            stored = self._with_room(name, value)
            stored[known:last] = value[new]
            stored[rows] = self.reducers[name](stored[rows], value[old])

    def by_id(self) -> tuple[np.ndarray[Any, Any], dict[str, np.ndarray[Any, Any]]]:
        """Return the ids, ascending, and every quantity in that order; they are given away, to be in memory once."""
        import numpy as np

        ids = np.fromiter(self._row_of, dtype=np.int64, count=len(self._row_of))
        order = np.argsort(ids)
        return ids[order], {name: self._values.pop(name)[order] for name in list(self._values)}

    def _with_room(self, name: str, like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        stored = self._values.get(name)
        needed = len(self._row_of)
        if stored is None or len(stored) < needed:
            larger = np.zeros((max(needed, 3 * needed // 2 if stored is not None else 0), *like.shape[1:]), like.dtype)
            if stored is not None:
                larger[: len(stored)] = stored
            stored = self._values[name] = larger
        return stored


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """Return ``a + b`` rounded, and what the rounding lost (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def add_exactly(mine: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the sum of integers, which may wrap around, or of floats held as ``(..., value and rest)``."""
    import numpy as np

    if mine.dtype.kind == "i":
        return mine + theirs
    total, rest = two_sum(mine[..., 0], theirs[..., 0])
    return np.stack([total, rest + mine[..., 1] + theirs[..., 1]], axis=-1)
