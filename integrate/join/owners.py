"""The owners of a large table's rows: which unit each combination of ids in it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, some
from integrate.join.identify import Identified, Registry, describe_unmatched, identify_rows
from integrate.join.parquet import ParquetTable, column_places
from integrate.join.rows import Rows
from integrate.join.units import study_units
from integrate.keys import ID_COLUMNS, LEVELS

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = ["Owners", "find_owners"]


@dataclass(frozen=True)
class Owners:
    """Which unit each row of a table belongs to.

    Parameters
    ----------
    one
        What became of the combinations of ids, each as one row.
    sources
        The combinations as spelled in the table, a column per id.
    codes
        Position in `units` of each combination, -1 where it belongs to none.
    units
        The units that have rows, in the order of the study.
    rows
        Rows of the table for each of them.
    """

    one: Identified
    sources: pd.DataFrame
    codes: Any
    units: tuple[str, ...]
    rows: Any

    @property
    def columns(self) -> list[str]:
        """The id columns that tell."""
        return [str(column) for column in self.sources]

    def of(self, batch: Any) -> Any:
        """Return the unit of each row of a batch, -1 where it has none."""
        import numpy as np

        combined, units = self._combined
        code: Any = np.zeros(batch.num_rows, dtype=np.int64)
        for column, places in self._places.items():
            code = code * len(places) + column_places(batch.column(column), partial(_place_of, places))
        return units[np.searchsorted(combined, code)]

    @cached_property
    def _places(self) -> dict[str, dict[str | None, int]]:
        """For each id column the number of each spelling."""
        spelled = {column: dict.fromkeys(map(_text, self.sources[column])) for column in self.columns}
        return {column: {value: i for i, value in enumerate(different)} for column, different in spelled.items()}

    @cached_property
    def _combined(self) -> tuple[Any, Any]:
        """Every combination as one number, in order, and its unit."""
        import numpy as np

        code = np.zeros(len(self.sources), dtype=np.int64)
        for column, places in self._places.items():
            code = code * len(places) + np.array([places[_text(v)] for v in self.sources[column]])
        order = np.argsort(code)
        return code[order], self.codes[order]


def find_owners(study: Study, table: ParquetTable, level: str, *, unmatched: str) -> Owners:
    """Return the owners of a table's rows.

    Raises
    ------
    AlignmentError
        If the table has no id column, or rows belong to no unit and `unmatched` is ``"raise"``.
    IdentityError
        If ids contradict each other or the study.
    """
    import numpy as np
    import pandas as pd

    if not table.ids:
        raise AlignmentError(f"{table.name} has none of the id columns {some(ID_COLUMNS)}; add one before")
    combined = pd.DataFrame(table.combinations(), columns=[*table.ids, "rows"], dtype=object)
    sources = combined[table.ids]
    registry = Registry(study)
    known = study_units(study, level).index
    one = identify_rows(_as_rows(table.name, sources), registry, units=known, unit=level)
    counts, kept = combined["rows"].to_numpy(dtype=np.int64), np.asarray(one.rows.origin)
    one = replace(one, unmatched=_counted(one, sources, counts, kept))
    if one.unmatched and unmatched == "raise":
        told = describe_unmatched(table.name, one, registry, unit=level, total=table.rows)
        raise AlignmentError(f'{told}; correct the ids, declare a rule, or pass unmatched="drop"')
    owner = pd.Index(one.rows.ids[LEVELS[level]], dtype=object)
    units = known[known.isin(owner)]
    codes = np.full(len(sources), -1, dtype=np.int64)
    codes[kept] = units.get_indexer(owner)
    rows = np.bincount(codes[kept], counts[kept], minlength=len(units)).astype(np.int64)
    return Owners(one, sources, codes, tuple(map(str, units)), rows)


def _as_rows(name: str, sources: pd.DataFrame) -> Rows:
    """Return combinations of ids as rows without values."""
    import numpy as np
    import pandas as pd

    labels = ["/".join(map(str, one)) for one in sources.itertuples(index=False)]
    no_values, nothing = np.empty((len(sources), 0)), pd.DataFrame(index=sources.index)
    return Rows(name, no_values, pd.DataFrame(index=pd.Index([], dtype=object)), sources.copy(), nothing, labels, "")


def _counted(one: Identified, sources: pd.DataFrame, counts: Any, kept: Any) -> tuple[Any, ...]:
    """Return what belongs to nobody with the rows of the table, not the combinations of ids."""
    out = sources.drop(index=sources.index[kept])
    told = []
    for group in one.unmatched:
        mine = out.index[[any(str(v) == group.id for v in row) for row in out.itertuples(index=False)]]
        told.append(group._replace(rows=int(counts[mine].sum()) or group.rows))
    return tuple(told)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _place_of(places: Mapping[str | None, int], value: object) -> int | None:
    return places.get(_text(value))
