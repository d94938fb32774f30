"""Quantiles over the rows of a large table: the values of some columns and units are held at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any

from integrate.join.owners import Owners
from integrate.join.parquet import ParquetTable, column_numbers
from integrate.join.reduce import Median, Quantile

__all__ = ["HeldValues", "Quantiles"]

#: Bytes of values held at a time; what is more is read in several passes. The values of one unit are held in any case.
HELD_BYTES = 3 << 29


class Quantiles:
    """Exact quantiles of some columns, linear between neighbours.

    Parameters
    ----------
    reduction
        Which quantile.
    table
        The table.
    values
        Columns of numbers.
    owners
        Units, and how many rows each has.
    """

    def __init__(
        self, reduction: Median | Quantile, table: ParquetTable, values: Sequence[str], owners: Owners
    ) -> None:
        import numpy as np

        self.reduction, self.table, self.owners = reduction, table, owners
        self.names = list(values)
        self.q = reduction.q if isinstance(reduction, Quantile) else 0.5
        self.values = np.full((len(self.names), len(owners.units)), np.nan)
        self.n = np.zeros(self.values.shape, dtype=np.int64)

    def passes(self) -> Iterator[HeldValues]:
        """Yield what is held in each pass: as many whole columns as fit, else as many units of one column."""
        import numpy as np

        rows = np.cumsum([0, *self.owners.rows])
        fit = HELD_BYTES // 8
        together = max(1, fit // max(1, int(rows[-1])))
        blocks = np.unique(np.searchsorted(rows, np.arange(0, rows[-1], fit), side="left"))
        for start in range(0, len(self.names), together):
            for first, last in pairwise([*blocks, len(self.owners.units)]):
                yield HeldValues(self, range(start, min(start + together, len(self.names))), int(first), int(last))

    def result(self) -> tuple[Any, Any]:
        """Return values and counts, (units, features)."""
        return self.values.T, self.n.T


class HeldValues:
    """The values of some columns for the units from `first` to before `last`, unit behind unit."""

    def __init__(self, part: Quantiles, places: range, first: int, last: int) -> None:
        self.part, self.places, self.first, self.last = part, places, first, last
        self.columns = [part.names[i] for i in places]
        self._starts: Any = None

    def add(self, batch: Any, units: Any, threads: Executor) -> None:
        """Put the values of a batch to those of their units."""
        import numpy as np

        from integrate.join.sum_kernels import place_values

        if self._starts is None:
            self._starts = np.cumsum([0, *self.part.owners.rows[self.first : self.last]])
            self._ends = [self._starts[:-1].copy() for _ in self.places]
            self._held = [np.empty(self._starts[-1], self._dtype(name)) for name in self.columns]

        def place_one(i: int) -> None:
            values = column_numbers(batch.column(self.columns[i]))
            place_values(units, values, self.first, self._ends[i], self._held[i])

        list(threads.map(place_one, range(len(self.columns))))

    def finish(self, threads: Executor) -> None:
        """Take the quantile of every unit and let the values go."""
        if self._starts is None:
            return

        def quantiles_of(i: int) -> None:
            held, n = self._held[i], self._ends[i] - self._starts[:-1]
            for unit, (start, many) in enumerate(zip(self._starts, n, strict=False)):
                if many:
                    place = self.places[i], self.first + unit
                    self.part.values[place] = _quantile(held[start : start + many], self.part.q)
            self.part.n[self.places[i], self.first : self.last] = n

        list(threads.map(quantiles_of, range(len(self.columns))))
        self._held = []

    def _dtype(self, name: str) -> str:
        return "float32" if str(self.part.table.schema.field(name).type) == "float" else "float64"


def _quantile(values: Any, q: float) -> float:
    """Return the quantile of some values, linear between neighbours; their order is lost."""
    place = q * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    values.partition((low, high))
    below, above = float(values[low]), float(values[high])
    return below if place == low else below + (above - below) * (place - low)
