"""Reductions of instance tables larger than memory: one streaming pass over Parquet files, grouped by any level."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, ParameterError, SourceNotFoundError, UnitError, closest, some
from integrate.join.identify import Identified, Registry, describe_unmatched, identify_rows
from integrate.join.link import study_units
from integrate.join.reduce import Composition, Fraction, Mean, Median, Quantile, Reduction, parse_reduce
from integrate.join.rows import Rows
from integrate.keys import ATTRS, ID_COLUMNS, INSTANCE_ID, LEVELS
from integrate.model.feature import FEATURE_COLUMNS
from integrate.model.provenance import hash_file, hash_settings, record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = ["reduce_table"]

#: Rows in memory at a time; a million of 30 columns are 240 MB.
BATCH_ROWS = 1 << 20
#: Files together up to this size are hashed; larger ones are named by size and time of change.
HASH_UP_TO_BYTES = 256_000_000
MEMORY_LIMIT = "2GB"


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

    Means, fractions and compositions take one pass in the order of the files, so that the same files give the same
    bits. Quantiles are exact too; DuckDB computes them column by column.

    Parameters
    ----------
    study
        Knows the ids; the table needs only one id column, spelled as in any source of the study.
    path
        A Parquet file, a folder of them (``*.parquet``, in the order of their names), or a list of files.
    level
        What one row of the result is: ``"subject"``, ``"specimen"`` or ``"acquisition"``.
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
    if level not in ("subject", "specimen", "acquisition"):
        raise UnitError(f"no level {level!r}; {closest(level, ('subject', 'specimen', 'acquisition'))}")
    if unmatched not in ("raise", "drop"):
        raise ParameterError(f"unmatched={unmatched!r}; write 'raise' or 'drop'")
    (step,) = parse_reduce(reduce, unit=level, where="the table")
    source = _Source.open(path)
    groups = _identified(study, source, level)
    if groups.one.unmatched and unmatched == "raise":
        told = describe_unmatched(source.name, groups.one, groups.registry, unit=level, total=source.rows)
        raise AlignmentError(f'{told}; correct the ids, declare a rule, or pass unmatched="drop"')
    parts = [_part(one, source, groups, values) for one in step.reductions]
    _stream([part for part in parts if isinstance(part, _Sums)], source, groups, progress=progress)
    table = _result(source, groups, parts, level, suffixes=sum(one.columnwise for one in step.reductions) > 1)
    record("reduce_table", study=study.name, level=level, rows=source.rows, units=table.n_obs, source=source.hash)
    return table


@dataclass(frozen=True)
class _Source:
    """Parquet files of one table."""

    files: tuple[str, ...]
    schema: Any
    rows: int
    hash: str

    @classmethod
    def open(cls, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> _Source:
        import pyarrow as pa
        import pyarrow.parquet as pq

        given = [path] if isinstance(path, str | os.PathLike) else list(path)
        files = [file for one in given for file in _files(Path(one))]
        try:
            footers = [pq.ParquetFile(file) for file in files]
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"not a readable Parquet file: {error}") from error
        schema = footers[0].schema_arrow
        for file, footer in zip(files, footers, strict=True):
            if set(footer.schema_arrow.names) != set(schema.names):
                differ = set(footer.schema_arrow.names) ^ set(schema.names)
                raise DataError(f"{file.name} and {files[0].name} have different columns: {some(sorted(differ))}")
        rows = sum(footer.metadata.num_rows for footer in footers)
        return cls(tuple(map(str, files)), schema, rows, _fingerprint(files))

    @property
    def name(self) -> str:
        """What to call the table in messages."""
        return Path(self.files[0]).name if len(self.files) == 1 else f"{len(self.files)} Parquet files"

    @property
    def ids(self) -> list[str]:
        """The id columns of the table."""
        return [column for column in ID_COLUMNS if column in self.schema.names]

    def numeric(self) -> list[str]:
        """Return the columns that hold numbers and are not ids."""
        import pyarrow.types as kinds

        skipped = {*self.ids, INSTANCE_ID}
        return [
            f.name
            for f in self.schema
            if f.name not in skipped and (kinds.is_floating(f.type) or kinds.is_integer(f.type))
        ]

    def check(self, columns: Sequence[str]) -> None:
        """Raise unless all columns are there."""
        for column in columns:
            if column not in self.schema.names:
                raise ParameterError(f"{self.name} has no column {column!r}; {closest(column, self.schema.names)}")

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield record batches in the order of the files."""
        import pyarrow.parquet as pq

        text = [name for name in columns if str(self.schema.field(name).type) in ("string", "large_string")]
        for file in self.files:
            with pq.ParquetFile(file, read_dictionary=text) as opened:
                yield from opened.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(columns)))

    def query(self, sql: str, **tables: Any) -> pd.DataFrame:
        """Return the rows of a DuckDB query; ``{files}`` stands for the table."""
        import duckdb

        with duckdb.connect(config={"memory_limit": MEMORY_LIMIT}) as connection:
            connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = false")
            for name, table in tables.items():
                connection.register(name, table)
            return connection.execute(sql.replace("{files}", "read_parquet($files)"), {"files": list(self.files)}).df()


@dataclass(frozen=True)
class _Groups:
    """Which combination of source ids belongs to which unit."""

    registry: Registry
    one: Identified
    sources: pd.DataFrame
    codes: Any
    units: tuple[str, ...]

    def of(self, batch: Any) -> Any:
        """Return the unit of each row of a batch, -1 where it has none."""
        import numpy as np

        known_codes, units = self._known
        code: Any = np.int64(0)
        for column, places in self._places.items():
            values = batch.column(column)
            encoded = values if hasattr(values, "indices") else values.dictionary_encode()
            known = np.array([*(places[str(v)] for v in encoded.dictionary.to_pylist()), places.get(None, 0)])
            indices = _indices(encoded, missing=len(known) - 1)
            if len(self._places) == 1:  # each spelling is a combination of its own
                return units[known][indices]
            code = code * len(places) + known[indices]
        return units[np.searchsorted(known_codes, code)]

    @cached_property
    def _places(self) -> dict[str, dict[Any, int]]:
        """For each id column the number of each spelling."""
        spelled = {str(column): dict.fromkeys(map(_text, self.sources[column])) for column in self.sources}
        return {column: {value: i for i, value in enumerate(different)} for column, different in spelled.items()}

    @cached_property
    def _known(self) -> tuple[Any, Any]:
        """Every combination as one number, in order, and its unit."""
        import numpy as np

        code = np.zeros(len(self.sources), dtype=np.int64)
        for column, places in self._places.items():
            code = code * len(places) + np.array([places[_text(v)] for v in self.sources[column]])
        order = np.argsort(code)
        return code[order], self.codes[order]


def _identified(study: Study, source: _Source, level: str) -> _Groups:
    """Return the unit of every combination of ids in the table."""
    import numpy as np
    import pandas as pd

    if not source.ids:
        raise AlignmentError(f"{source.name} has none of the id columns {some(ID_COLUMNS)}; add one before")
    listed = ", ".join(source.ids)
    found = source.query(f"SELECT {listed}, count(*) AS n FROM {{files}} GROUP BY ALL ORDER BY ALL")
    sources = found[source.ids].astype(object).where(found[source.ids].notna(), None)
    rows = Rows(
        source.name,
        np.empty((len(found), 0)),
        pd.DataFrame(index=pd.Index([], dtype=object)),
        sources.copy(),
        pd.DataFrame(index=sources.index),
        ["/".join(map(str, one)) for one in sources.itertuples(index=False)],
        "",
    )
    registry = Registry(study)
    units = study_units(study, level)
    one = identify_rows(rows, registry, units=units.index, unit=level)
    counts = found["n"].to_numpy()
    kept = np.asarray(one.rows.origin)
    one = replace(one, unmatched=_counted(one, sources, counts, kept))
    present = units.index[units.index.isin(one.rows.ids[LEVELS[level]])]
    codes = np.full(len(found), -1, dtype=np.int64)
    codes[kept] = present.get_indexer(pd.Index(one.rows.ids[LEVELS[level]], dtype=object))
    return _Groups(registry, one, sources, codes, tuple(map(str, present)))


def _counted(one: Identified, sources: pd.DataFrame, counts: Any, kept: Any) -> tuple[Any, ...]:
    """Return what belongs to nobody with the rows of the table, not the combinations of ids."""
    out = sources.drop(index=sources.index[kept])
    told = []
    for group in one.unmatched:
        mine = out.index[[any(str(v) == group.id for v in row) for row in out.itertuples(index=False)]]
        told.append(group._replace(rows=int(counts[mine].sum()) or group.rows))
    return tuple(told)


class _Sums:
    """What one pass adds up for one reduction: weighted sums, weights and counts per unit and feature."""

    def __init__(
        self, reduction: Mean | Fraction | Composition, source: _Source, values: Sequence[str], n_units: int
    ) -> None:
        import numpy as np

        self.reduction = reduction
        self.source = source
        self.values = list(values)
        self.names = self._names()
        shape = (n_units, len(self.names))
        self.total, self.weight, self.n = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int64)

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it needs."""
        weights = [self.reduction.weights] if self.reduction.weights else []
        return [*(self.values if isinstance(self.reduction, Mean) else [self.reduction.of]), *weights]

    def _names(self) -> list[str]:
        self.source.check(self.columns)
        if isinstance(self.reduction, Mean):
            return self.values
        by = f" by {self.reduction.weights}" if self.reduction.weights else ""
        if isinstance(self.reduction, Fraction):
            return [self.reduction.label.removeprefix("fraction ")]
        of = _quoted(self.reduction.of)
        found = self.source.query(f"SELECT DISTINCT {of} AS category FROM {{files}} WHERE {of} IS NOT NULL ORDER BY 1")
        self.categories = found["category"].tolist()
        if self.reduction.of in self.source.numeric():
            raise ParameterError(f"{self.reduction.of!r} holds numbers; use 'mean' or Fraction(above=...)")
        return [f"{self.reduction.of}={category}{by}" for category in self.categories]

    def add(self, batch: Any, units: Any) -> None:
        """Add the rows of a batch whose unit is known."""
        import numpy as np

        keep = units >= 0
        mine = units if keep.all() else units[keep]
        size = len(self.total)
        weights = _column(batch, self.reduction.weights)[keep] if self.reduction.weights else None
        if weights is not None and not (np.isfinite(weights) & (weights >= 0)).all():
            raise ParameterError(
                f"some rows have no weight {self.reduction.weights!r} or a negative one; leave them out"
            )
        rows = np.bincount(mine, minlength=size)
        for i, value in enumerate(self._counted(batch)):
            value = value if keep.all() else value[keep]
            seen = ~np.isnan(value)
            whole = bool(seen.all())
            own, group = (value, mine) if whole else (value[seen], mine[seen])
            by = None if weights is None else weights if whole else weights[seen]
            counted = rows if whole else np.bincount(group, minlength=size)
            self.n[:, i] += counted
            self.total[:, i] += np.bincount(group, own if by is None else own * by, minlength=size)
            self.weight[:, i] += counted if by is None else np.bincount(group, by, minlength=size)

    def _counted(self, batch: Any) -> Iterator[Any]:
        """Yield the value of each feature in each row; NaN is missing."""
        import numpy as np

        if isinstance(self.reduction, Mean):
            yield from (_column(batch, name) for name in self.values)
        elif isinstance(self.reduction, Fraction):
            series = batch.column(self.reduction.of).to_pandas()
            yield (
                self.reduction._counted(series, self.source.name)
                if self.reduction.equals is None
                else _equal(batch.column(self.reduction.of), self.reduction.equals)
            )
        else:
            for category in self.categories:
                yield np.asarray(_equal(batch.column(self.reduction.of), category))

    def result(self) -> tuple[Any, Any]:
        """Return values and counts."""
        import numpy as np

        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where((self.weight > 0) & (self.n > 0), self.total / self.weight, np.nan), self.n


class _Quantiles:
    """Exact quantiles of each column, one column in memory at a time."""

    def __init__(self, reduction: Median | Quantile, source: _Source, values: Sequence[str], groups: _Groups) -> None:
        self.reduction, self.source, self.groups = reduction, source, groups
        self.names = list(values)

    def result(self) -> tuple[Any, Any]:
        """Return values and counts."""
        import numpy as np
        import pandas as pd

        q = self.reduction.q if isinstance(self.reduction, Quantile) else 0.5
        owners = self.groups.sources.assign(unit_=self.groups.codes).query("unit_ >= 0")
        owners = pd.DataFrame({c: owners[c].astype("string") if c != "unit_" else owners[c] for c in owners})
        on = " AND ".join(f"CAST(t.{c} AS VARCHAR) IS NOT DISTINCT FROM o.{c}" for c in self.groups.sources)
        values = np.full((len(self.groups.units), len(self.names)), np.nan)
        n = np.zeros(values.shape, dtype=np.int64)
        for i, name in enumerate(self.names):
            x = f"CAST(t.{_quoted(name)} AS DOUBLE)"
            found = self.source.query(
                f"SELECT o.unit_ AS u, quantile_cont({x}, {float(q)!r}) AS v, count(*) AS n FROM {{files}} t "
                f"JOIN owners o ON {on} WHERE {x} IS NOT NULL AND NOT isnan({x}) GROUP BY 1",
                owners=owners,
            )
            values[found["u"], i], n[found["u"], i] = found["v"], found["n"]
        return values, n


def _part(reduction: Reduction, source: _Source, groups: _Groups, values: Sequence[str] | None) -> _Sums | _Quantiles:
    numeric = source.numeric()
    chosen = numeric if values is None else list(values)
    source.check(chosen)
    wrong = [name for name in chosen if name not in numeric]
    if wrong:
        raise ParameterError(f"{some(wrong)} of {source.name} are not numbers; use Fraction or Composition")
    if isinstance(reduction, Median | Quantile):
        return _Quantiles(reduction, source, chosen, groups)
    if isinstance(reduction, Mean) and reduction.weights == "n":
        raise ParameterError("weights='n' belongs to a mean of values that were reduced before; name a column")
    return _Sums(reduction, source, chosen, len(groups.units))


def _stream(parts: Sequence[_Sums], source: _Source, groups: _Groups, *, progress: bool) -> None:
    from tqdm import tqdm

    if not parts:
        return
    needed = [*groups.sources, *(column for part in parts for column in part.columns)]
    with tqdm(total=source.rows, unit="rows", unit_scale=True, desc=source.name, disable=not progress) as bar:
        for batch in source.batches(needed):
            units = groups.of(batch)
            for part in parts:
                part.add(batch, units)
            bar.update(batch.num_rows)


def _result(source: _Source, groups: _Groups, parts: Sequence[Any], level: str, *, suffixes: bool) -> Any:
    import anndata as ad
    import numpy as np
    import pandas as pd

    found = [part.result() for part in parts]
    features = [_features(part, source, level, suffixes=suffixes) for part in parts]
    var = pd.concat(features)
    if not var.index.is_unique:
        raise ParameterError(f"two reductions make the same feature: {some(var.index[var.index.duplicated()])}")
    key = LEVELS[level]
    owner = groups.one.rows.ids.drop_duplicates(key).set_index(key).reindex(groups.units)
    coarser = [column for column in ID_COLUMNS[: ID_COLUMNS.index(key)] if column in owner]
    obs = owner[coarser].rename_axis(None)
    obs.insert(0, key, list(groups.units))
    notes: dict[str, Any] = {"reduced": level, "rows": source.rows}
    if groups.one.unmatched:
        notes["unmatched"] = {group.id: f"{group.rows} rows: {group.reason}" for group in groups.one.unmatched}
    return ad.AnnData(
        np.hstack([values for values, _ in found]),
        obs=obs,
        var=var,
        layers={"n": np.hstack([n for _, n in found])},
        uns={ATTRS: notes},
    )


def _features(part: Any, source: _Source, level: str, *, suffixes: bool) -> pd.DataFrame:
    import pandas as pd

    from integrate import __version__

    reduction = part.reduction
    columnwise = reduction.columnwise
    said: Mapping[str, str] = {
        "unit": "" if columnwise else "1",
        "level": level,
        "definition": "column of the table" if columnwise else f"integrate.join.{type(reduction).__name__}",
        "tool": f"integrate {__version__}",
        "settings_hash": hash_settings(reduction),
        "input_hash": source.hash,
    }
    names = [f"{name}:{reduction.label}" if suffixes and columnwise else name for name in part.names]
    var = pd.DataFrame({c: said.get(c, "") for c in FEATURE_COLUMNS}, index=pd.Index(names, dtype=object), dtype=object)
    var["reduction"] = f"{reduction.label} over rows"
    return var


def _files(path: Path) -> list[Path]:
    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise SourceNotFoundError(f"no Parquet file at {str(path)!r}")
    return found


def _fingerprint(files: Sequence[Path]) -> str:
    stats = [(file.name, file.stat()) for file in files]
    if sum(stat.st_size for _, stat in stats) <= HASH_UP_TO_BYTES:
        return hash_settings([hash_file(file) for file in files])
    return hash_settings([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])


def _column(batch: Any, name: str) -> Any:
    """Return a column as float64, NaN where it is missing."""
    import numpy as np
    import pyarrow as pa

    return batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64, copy=False)


def _equal(column: Any, value: object) -> Any:
    """Return 1.0 where a column has the value, 0.0 where it has another, NaN where it is missing."""
    import numpy as np

    encoded = column if hasattr(column, "indices") else column.dictionary_encode()
    known = np.array([*(float(str(one) == str(value)) for one in encoded.dictionary.to_pylist()), np.nan])
    return known[_indices(encoded, missing=len(known) - 1)]


def _indices(encoded: Any, *, missing: int) -> Any:
    """Return the positions in the dictionary of an encoded column."""
    indices = encoded.indices.cast("int64")
    return indices.fill_null(missing).to_numpy(zero_copy_only=False)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
