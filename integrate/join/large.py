"""Reductions of instance tables larger than memory: streaming passes over Parquet files, grouped by any level."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError, UnitError, closest, some
from integrate.join.held import HeldValues, Quantiles
from integrate.join.owners import Owners, find_owners
from integrate.join.parquet import ParquetTable
from integrate.join.reduce import Median, Quantile, Reduction, parse_reduce
from integrate.join.sums import Sums
from integrate.join.units import UNITS
from integrate.keys import ATTRS, ID_COLUMNS, LEVELS
from integrate.model.feature import FEATURE_COLUMNS
from integrate.model.provenance import hash_settings, record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = ["reduce_table"]


def reduce_table(
    study: Study,
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    level: str,
    reduce: Any,
    values: Sequence[str] | None = None,
    unmatched: str = "raise",
    progress: bool = True,
) -> Any:
    """Return one row per unit of a Parquet table of cells, spots or regions that need not fit into memory.

    Means, fractions and compositions take one pass. Quantiles are exact and take as many as it needs to hold 1.5 GB of
    values at a time. One thread computes a feature, in the order of the rows: the same rows give the same bits on any
    number of processors and however they are split into files.

    Parameters
    ----------
    study
        Knows the ids; the table needs only one id column, spelled as in any source of the study.
    path
        A Parquet file, a folder of them (``*.parquet``, in the order of their names), or a list of files.
    level
        What one row of the result is: ``"subject"``, ``"specimen"``, ``"acquisition"`` or ``"region"``.
    reduce
        As in `link`: ``"mean"``, ``"median"``, `Mean`, `Quantile`, `Fraction`, `Composition`, or a list of them.
    values
        Numeric columns to reduce; by default all but ids. `Fraction` and `Composition` name their own.
    unmatched
        ``"raise"``, or ``"drop"`` to leave rows out that belong to no unit and list them in
        ``uns["integrate"]["unmatched"]``.
    progress
        Show a progress bar.

    Returns
    -------
    AnnData as `link` takes it: units that have a row × features, ``X`` float64 (NaN where nothing was observed),
    ``layers["n"]`` the rows behind each value, ``obs`` with the parents' ids, ``var`` with the description of each
    feature.

    Raises
    ------
    SourceNotFoundError, DataError
        If there is no Parquet file, or the files hold different columns.
    AlignmentError
        If the table has no id column, or rows belong to no unit.
    ParameterError
        If a column is not there or is not a number, or a weight is missing or negative.

    Examples
    --------
    >>> import pandas as pd, tempfile
    >>> study = ig.datasets.toy_study()
    >>> file = tempfile.mkdtemp() + "/cells.parquet"
    >>> pd.DataFrame({"acquisition_id": ["f1", "f2", "f3"], "CD8": [40.0, 80.0, 120.0]}).to_parquet(file)
    >>> cells = reduce_table(study, file, level="subject", reduce="mean", progress=False)
    >>> ig.link(study, cells=cells, unit="subject").values("CD8").tolist()
    [40.0, 100.0, nan]
    """
    if level not in UNITS:
        raise UnitError(f"no level {level!r}; {closest(level, UNITS)}")
    if unmatched not in ("raise", "drop"):
        raise ParameterError(f"unmatched={unmatched!r}; write 'raise' or 'drop'")
    (step,) = parse_reduce(reduce, unit=level, where="the table")
    table = ParquetTable.open(path)
    owners = find_owners(study, table, level, unmatched=unmatched)
    parts = [_part(one, table, owners, values) for one in step.reductions]
    _stream(parts, table, owners, progress=progress)
    reduced = _result(table, owners, parts, level)
    record("reduce_table", study=study.name, level=level, rows=table.rows, units=reduced.n_obs, source=table.hash)
    return reduced


def _part(reduction: Reduction, table: ParquetTable, owners: Owners, values: Sequence[str] | None) -> Sums | Quantiles:
    """Return what computes one reduction."""
    chosen = table.numeric if values is None else list(values)
    table.check(chosen)
    wrong = [name for name in chosen if name not in table.numeric]
    if wrong:
        raise ParameterError(f"{some(wrong)} of {table.name} are not numbers; use Fraction or Composition")
    if isinstance(reduction, Median | Quantile):
        return Quantiles(reduction, table, chosen, owners)
    return Sums(reduction, table, chosen, len(owners.units))


def _stream(parts: Sequence[Sums | Quantiles], table: ParquetTable, owners: Owners, *, progress: bool) -> None:
    """Read the table once for all sums, and for each quantile as often as its values need."""
    from tqdm import tqdm

    sums = [part for part in parts if isinstance(part, Sums)]
    passes: list[Sequence[Sums | HeldValues]] = [sums] if sums else []
    passes += [[held] for part in parts if isinstance(part, Quantiles) for held in part.passes()]
    rows = table.rows * len(passes)
    with (
        tqdm(total=rows, unit="rows", unit_scale=True, desc=table.name, disable=not progress) as bar,
        ThreadPoolExecutor() as threads,
    ):
        for together in passes:
            needed = [*owners.columns, *(column for one in together for column in one.columns)]
            for batch in table.batches(needed):
                units = owners.of(batch)
                for one in together:
                    one.add(batch, units, threads)
                bar.update(batch.num_rows)
            for one in together:
                one.finish(threads)


def _result(table: ParquetTable, owners: Owners, parts: Sequence[Sums | Quantiles], level: str) -> Any:
    import anndata as ad
    import numpy as np
    import pandas as pd

    found = [part.result() for part in parts]
    suffixes = sum(part.reduction.columnwise for part in parts) > 1
    var = pd.concat([_features(part, table, level, suffixes=suffixes) for part in parts])
    if not var.index.is_unique:
        raise ParameterError(f"two reductions make the same feature: {some(var.index[var.index.duplicated()])}")
    notes: dict[str, Any] = {"reduced": level, "rows": table.rows}
    if owners.one.unmatched:
        notes["unmatched"] = {group.id: f"{group.rows} rows: {group.reason}" for group in owners.one.unmatched}
    return ad.AnnData(
        np.hstack([values for values, _ in found]),
        obs=_described_units(owners, level),
        var=var,
        layers={"n": np.hstack([n for _, n in found])},
        uns={ATTRS: notes},
    )


def _described_units(owners: Owners, level: str) -> pd.DataFrame:
    """Return the units' ids with their parents'."""
    key = LEVELS[level]
    ids = owners.one.rows.ids
    own = ids.drop_duplicates(key).set_index(key).reindex(owners.units)
    obs = own[[column for column in ID_COLUMNS[: ID_COLUMNS.index(key)] if column in own]].rename_axis(None)
    obs.insert(0, key, list(owners.units))
    return obs


def _features(part: Sums | Quantiles, table: ParquetTable, level: str, *, suffixes: bool) -> pd.DataFrame:
    import pandas as pd

    from integrate import __version__

    reduction = part.reduction
    columnwise = reduction.columnwise
    said = {
        "unit": "" if columnwise else "1",
        "level": level,
        "definition": "column of the table" if columnwise else f"integrate.join.{type(reduction).__name__}",
        "tool": f"integrate {__version__}",
        "settings_hash": hash_settings(reduction),
        "input_hash": table.hash,
        "reduction": f"{reduction.label} over rows",
    }
    names = [f"{name}:{reduction.label}" if suffixes and columnwise else name for name in part.names]
    columns = {column: said.get(column, "") for column in (*FEATURE_COLUMNS, "reduction")}
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object), dtype=object)
