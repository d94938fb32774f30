"""The rows of one assay before they are linked: values, features, ids and the columns beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from integrate.errors import DatasetNotFoundError, closest
from integrate.keys import LEVELS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Rows"]


@dataclass(frozen=True)
class Rows:
    """The rows of one assay.

    Parameters
    ----------
    name
        Name of the assay.
    values
        (rows, features) float64 array, or a SciPy sparse matrix.
    var
        One row per feature, with the columns of `integrate.model.feature`.
    ids
        One row per row, any of the id columns; as found, or ours after `identify`.
    columns
        What stands beside the features: text, categories, areas.
    labels
        What each row is called in its source, for messages.
    level
        What one row is; ``""`` when nobody said.
    source
        Name of the dataset, or ``"given"`` for an object handed to `link`.
    canonical
        Whether `ids` are already ours.
    origin
        Position of each row in its source.
    n
        (rows, features) count of source rows behind each value; ``None`` when a row is a source row.
    counts
        Further (rows, features) counts by name, e.g. ``"n_acquisition"`` after a climb in two steps.
    empty
        Ids of pieces that were measured and have no row.
    notes
        What a reader of the report should know.
    """

    name: str
    values: Any
    var: pd.DataFrame
    ids: pd.DataFrame
    columns: pd.DataFrame
    labels: Sequence[str]
    level: str
    source: str = "given"
    canonical: bool = False
    origin: Any = None
    n: Any = None
    counts: Mapping[str, Any] = field(default_factory=dict)
    empty: tuple[Mapping[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> pd.Series[Any]:
        """Return a feature or a column beside the features.

        Raises
        ------
        DatasetNotFoundError
            If the assay has neither; the closest names are given.
        """
        import numpy as np
        import pandas as pd

        if name in self.columns:
            return self.columns[name].reset_index(drop=True)
        if name in self.var.index:
            values = self.values[:, self.var.index.get_loc(name)]
            dense = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
            return pd.Series(dense.ravel(), name=name)
        known = [*self.columns.columns, *self.var.index]
        raise DatasetNotFoundError(f"{self.name!r} has no column or feature {name!r}; {closest(name, known)}")

    def take(self, keep: Any) -> Rows:
        """Return the rows at the given positions."""
        return replace(
            self,
            values=self.values[keep],
            ids=self.ids.iloc[keep].reset_index(drop=True),
            columns=self.columns.iloc[keep].reset_index(drop=True),
            labels=[self.labels[i] for i in keep],
            origin=keep if self.origin is None else self.origin[keep],
            n=None if self.n is None else self.n[keep],
            counts={layer: count[keep] for layer, count in self.counts.items()},
        )

    def feature(self, name: str) -> Rows:
        """Return the rows with one feature and nothing beside it."""
        import pandas as pd

        place = self.var.index.tolist().index(name)
        columns = pd.DataFrame(index=self.ids.index)
        return replace(self, values=self.values[:, [place]], var=self.var.iloc[[place]], columns=columns)

    def reduced(
        self, *, values: Any, n: Any, counts: Mapping[str, Any], var: pd.DataFrame, ids: pd.DataFrame, level: str
    ) -> Rows:
        """Return rows of a coarser level; columns beside the features stay behind."""
        import pandas as pd

        labels = ids[LEVELS[level]].astype(str).tolist()
        columns = pd.DataFrame(index=ids.index)
        return replace(
            self, values=values, n=n, counts=counts, var=var, ids=ids, level=level, labels=labels, columns=columns
        )
