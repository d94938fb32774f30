"""Sums over the rows of a large table: the means, fractions and compositions of each unit, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from integrate.errors import ParameterError, closest
from integrate.join.parquet import ParquetTable, column_numbers, column_places
from integrate.join.reduce import Composition, Fraction, Mean

__all__ = ["Sums"]


class Sums:
    """Weighted sums, weights and counts per feature and unit.

    Every feature is added up by one thread in the order of the rows, so that neither threads nor batches nor files
    change a bit of the result.

    Parameters
    ----------
    reduction
        What is added up.
    table
        The table.
    values
        Columns of which a `Mean` is taken.
    n_units
        Number of units.

    Raises
    ------
    ParameterError
        If a column is not there, or the reduction has no meaning for it.
    """

    def __init__(
        self, reduction: Mean | Fraction | Composition, table: ParquetTable, values: Sequence[str], n_units: int
    ) -> None:
        import numpy as np

        if isinstance(reduction, Mean) and reduction.weights == "n":
            raise ParameterError("weights='n' belongs to a mean of values that were reduced before; name a column")
        self.reduction, self.table = reduction, table
        self.values = list(values) if isinstance(reduction, Mean) else [reduction.of]
        table.check(self.columns)
        self.kinds = self._kinds()
        self.names = self._names()
        several = len(self.values)  # a mean is counted per column, a composition once for all its kinds
        self.total = np.zeros((len(self.names), n_units))
        self.weight, self.n = np.zeros((several, n_units)), np.zeros((several, n_units), dtype=np.int64)

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it needs."""
        return [*self.values, *([self.reduction.weights] if self.reduction.weights else [])]

    def _kinds(self) -> list[Any]:
        """Return the different values of the column whose values are counted."""
        reduction, table = self.reduction, self.table
        if isinstance(reduction, Mean) or (isinstance(reduction, Fraction) and reduction.equals is None):
            return []
        if isinstance(reduction, Composition) and reduction.of in table.numeric:
            raise ParameterError(f"{reduction.of!r} holds numbers; use 'mean' or Fraction(above=...)")
        kinds = table.different(reduction.of)
        known = [str(kind) for kind in kinds]
        if isinstance(reduction, Fraction) and reduction.equals not in known:
            raise ParameterError(
                f"no row of {table.name} has {reduction.of} = {reduction.equals!r}; {closest(reduction.equals, known)}"
            )
        return kinds

    def _names(self) -> list[str]:
        if isinstance(self.reduction, Mean):
            return self.values
        if isinstance(self.reduction, Fraction):
            return [self.reduction.label.removeprefix("fraction ")]
        by = f" by {self.reduction.weights}" if self.reduction.weights else ""
        return [f"{self.reduction.of}={kind}{by}" for kind in self.kinds]

    def add(self, batch: Any, units: Any, threads: Executor) -> None:
        """Add the rows of a batch."""
        import numpy as np

        from integrate.join.sum_kernels import add_kinds, add_values

        weights = self._weights(batch, units) if self.reduction.weights else np.empty(0)
        if isinstance(self.reduction, Composition):
            places = {str(kind): i for i, kind in enumerate(self.kinds)}
            kinds = column_places(
                batch.column(self.reduction.of), lambda one: -1 if one is None else places.get(str(one))
            )
            add_kinds(units, kinds, weights, self.total, self.weight[0], self.n[0])
            return

        def add_one(i: int) -> None:
            values = self._counted(batch, self.values[i])
            add_values(units, values, weights, self.total[i], self.weight[i], self.n[i])

        list(threads.map(add_one, range(len(self.values))))

    def finish(self, threads: Executor) -> None:
        """Do what is to be done after the last batch: nothing."""

    def _weights(self, batch: Any, units: Any) -> Any:
        import numpy as np

        weights = column_numbers(batch.column(self.reduction.weights)).astype(np.float64, copy=False)
        if not (np.isfinite(weights) & (weights >= 0))[units >= 0].all():
            raise ParameterError(
                f"some rows have no weight {self.reduction.weights!r} or a negative one; leave them out"
            )
        return weights

    def _counted(self, batch: Any, name: str) -> Any:
        """Return the value of a feature in each row; NaN is missing."""
        import numpy as np

        column, reduction = batch.column(name), self.reduction
        if not isinstance(reduction, Fraction):
            return column_numbers(column)
        if reduction.equals is None:
            return reduction.counted(column.to_pandas(), self.table.name)
        places = column_places(column, lambda one: -1 if one is None else int(str(one) == reduction.equals))
        return np.where(places < 0, np.nan, places.astype(np.float64))

    def result(self) -> tuple[Any, Any]:
        """Return values and counts, (units, features); NaN where nothing was observed."""
        import numpy as np

        weight = self.weight if self.reduction.weights else self.n
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where((weight > 0) & (self.n > 0), self.total / weight, np.nan)
        return values.T, np.broadcast_to(self.n, values.shape).T
