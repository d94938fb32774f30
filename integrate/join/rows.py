"""The rows of one assay before they are linked: values, features, ids and the columns beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, DatasetNotFoundError, closest, some
from integrate.keys import ATTRS, DAY, ID_COLUMNS, INSTANCE_ID, LEVELS, VISIT
from integrate.model.feature import FEATURE_COLUMNS
from integrate.model.image import image_ids, image_notes
from integrate.model.provenance import hash_array, hash_settings

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = ["Rows", "read_rows"]

#: Feature columns in which pieces of one assay must agree: a mean over two units would be a wrong number.
MEANING: tuple[str, ...] = ("unit", "level", "definition", "channel", "statistic")
#: Feature columns in which pieces may differ; a hash of all of them stands for the assay.
ORIGIN: tuple[str, ...] = tuple(column for column in FEATURE_COLUMNS if column not in MEANING)


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


def read_rows(study: Study, name: str, given: Any) -> Rows:
    """Return the rows of what was given for one assay.

    Parameters
    ----------
    study
        Opens datasets by name.
    name
        Name of the assay.
    given
        Dataset name, AnnData, DataFrame, or an iterable of AnnData.

    Raises
    ------
    AlignmentError
        If it is none of these, or pieces of one assay measure the same feature in different units.
    DatasetNotFoundError
        If no dataset has that name.
    """
    if isinstance(given, str):
        return _from_dataset(study, name, given)
    if hasattr(given, "obs") and hasattr(given, "var"):
        return _from_anndata(name, given)
    if hasattr(given, "columns") and hasattr(given, "iloc"):
        return _from_frame(name, given, codebook={})
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        pieces = list(given)
        if pieces and all(hasattr(piece, "obs") and hasattr(piece, "var") for piece in pieces):
            return _stack([_from_anndata(name, piece) for piece in pieces])
    raise AlignmentError(
        f"{name!r} is {type(given).__name__}; give the name of a dataset, an AnnData, a table, or several AnnData"
    )


def _from_dataset(study: Study, name: str, dataset: str) -> Rows:
    entry, known = study.dataset(dataset), study.rows(dataset)
    if dataset in study.tables:
        table = study.table(dataset)
        codebook = dict(table.attrs.get(ATTRS, {}).get("columns", {}))
        table = table.drop(columns=[c for c in table.attrs.get(ATTRS, {}).get("keys", {}) if c in table])
        rows = _from_frame(name, table, codebook=codebook, level=entry.level, source=dataset)
    else:
        rows = _from_items(study, name, dataset, known)
    said = {"level": entry.level, "unit": str(dict(entry.metadata.get("units") or {}).get("value", ""))}
    for column, value in said.items():  # what the catalog says holds where the features themselves say nothing
        rows.var[column] = rows.var[column].where(rows.var[column] != "", value)
    rows = replace(rows, level=rows.level or entry.level, source=dataset)
    if (known["item"].fillna("") != "").any():  # opened item by item: each carries its ids
        return rows
    if len(known) != len(rows.ids):
        raise DataError(f"{dataset!r} has {len(rows.ids)} rows but the study lists {len(known)}; open the study again")
    return replace(rows, ids=known[list(ID_COLUMNS)].reset_index(drop=True), canonical=True)


def _from_items(study: Study, name: str, dataset: str, known: pd.DataFrame) -> Rows:
    """Return the rows of a dataset that is not a table: one AnnData, or one per item."""
    if not len(known):
        raise AlignmentError(f"{dataset!r} lists no ids, so its rows belong to nobody; declare its keys in the catalog")
    pieces = []
    for opened in study.each(dataset):
        if not (hasattr(opened, "obs") and hasattr(opened, "var")):
            raise AlignmentError(
                f"{dataset!r} opens as {type(opened).__name__}, which has no rows to link; measure it first and pass "
                f"the result: link(study, {name}=measure(...), ...)"
            )
        pieces.append(_from_anndata(name, opened))
    return _stack(pieces)


def _from_anndata(name: str, table: Any) -> Rows:
    ids, columns = _split_ids(table.obs, fixed=image_ids(table))
    var = table.var.copy()
    if not var.index.is_unique:
        raise DataError(f"{name!r} has features of the same name: {some(var.index[var.index.duplicated()].unique())}")
    for column in FEATURE_COLUMNS:
        var[column] = var[column].astype(object).where(var[column].notna(), "") if column in var else ""
    values = table.X
    if values is None:
        raise DataError(f"{name!r} has no values (X is empty)")
    values = values if hasattr(values, "tocsr") else _float_array(values)
    without_rows = dict(image_notes(table).get("without_rows") or {})  # images in a stack that had no cell
    empty = tuple(without_rows.values()) if len(table.obs) or without_rows else (image_ids(table),)
    return Rows(
        name,
        values.tocsr() if hasattr(values, "tocsr") else values,
        var,
        ids,
        columns,
        [str(label) for label in table.obs_names],
        _level(var, ids),
        n=table.layers["n"] if "reduced" in image_notes(table) else None,
        empty=empty,
    )


def _from_frame(
    name: str, table: pd.DataFrame, *, codebook: Mapping[str, Any], level: str = "", source: str = "given"
) -> Rows:
    import pandas as pd

    if not table.columns.is_unique:
        raise DataError(f"{name!r} has columns of the same name: {some(table.columns[table.columns.duplicated()])}")
    number = {kind: pd.api.types.is_numeric_dtype(kind) for kind in set(table.dtypes)}
    fixed = {*ID_COLUMNS, INSTANCE_ID, VISIT, DAY}
    numeric = [number[kind] and column not in fixed for column, kind in table.dtypes.items()]
    values = _numbers(table, numeric)
    ids, beside = _split_ids(table.loc[:, [not one for one in numeric]], fixed={})
    features = table.columns[numeric]
    specs: list[Mapping[str, Any]] = [codebook.get(str(column), {}) for column in features] if codebook else []
    said = {
        "unit": [str(spec.get("unit", "")) for spec in specs] or "",
        "level": [str(spec.get("level", level)) for spec in specs] or level,
        "definition": f"column of {name if source == 'given' else source}",
        "input_hash": hash_array(values),
    }
    index = pd.Index(features.map(str), dtype=object, name=None)
    var = pd.DataFrame({column: said.get(column, "") for column in FEATURE_COLUMNS}, index=index, dtype=object)
    labels = [str(label) for label in table.index]
    return Rows(name, values, var, ids, beside, labels, level or _level(var, ids))


def _numbers(table: pd.DataFrame, numeric: Sequence[bool]) -> Any:
    """Return the numeric columns as float64; neighbouring ones of one dtype without a copy."""
    import numpy as np

    places = np.flatnonzero(numeric)
    together = len(places) and places[-1] - places[0] + 1 == len(places)
    chosen = table.iloc[:, places[0] : places[-1] + 1] if together else table.iloc[:, places]
    return _float_array(chosen.to_numpy(dtype=float, na_value=np.nan))


def _split_ids(table: pd.DataFrame, *, fixed: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the id columns and the rest; a named index is an id too, and `fixed` ids fill what rows do not say."""
    named = table.index.name in (*ID_COLUMNS, INSTANCE_ID) and table.index.name not in table
    found = table.reset_index(drop=not named)
    own = [column for column in ID_COLUMNS if column in found]
    ids = found[own].astype(object)
    for column in ID_COLUMNS:
        if column in fixed and column not in ids:
            ids[column] = fixed[column]
    return ids, found.drop(columns=[*own, INSTANCE_ID], errors="ignore")


def _level(var: pd.DataFrame, ids: pd.DataFrame) -> str:
    """Return what one row is: as the features say, else as the finest id says."""
    said = [level for level in var["level"].unique() if level]
    if len(said) == 1:
        return str(said[0])
    finest = [level for level, column in LEVELS.items() if column in ids and ids[column].notna().any()]
    return finest[-1] if finest else ""


def _float_array(values: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(values, dtype=np.float64)


def _stack(pieces: list[Rows]) -> Rows:
    """Return the rows of all pieces under each other; a feature that a piece lacks is missing there."""
    import numpy as np
    import pandas as pd

    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    var = _shared_features(pieces)
    notes = []
    lacking = {f: sum(f not in piece.var.index for piece in pieces) for f in var.index}
    if any(lacking.values()):
        told = [f"{f} ({n} of {len(pieces)})" for f, n in lacking.items() if n]
        notes.append(f"features that some pieces do not have are missing there: {some(told)}")
    values = _stacked_values(pieces, var.index)
    ids = pd.concat([piece.ids for piece in pieces], ignore_index=True)
    columns = pd.concat([piece.columns for piece in pieces], ignore_index=True)
    for column in columns:  # concat turns categories that differ between pieces into text
        if all(isinstance(p.columns[column].dtype, pd.CategoricalDtype) for p in pieces if column in p.columns):
            columns[column] = columns[column].astype("category")
    labels = [label for piece in pieces for label in piece.labels]
    empty = tuple(ids for piece in pieces for ids in piece.empty)
    return Rows(
        first.name,
        values if len(labels) else np.empty((0, len(var))),
        var,
        ids,
        columns,
        labels,
        first.level,
        empty=empty,
        notes=tuple(notes),
    )


def _stacked_values(pieces: Sequence[Rows], features: pd.Index[Any]) -> Any:
    import numpy as np
    from scipy import sparse

    same = all(piece.var.index.equals(features) for piece in pieces)
    if same and all(hasattr(piece.values, "tocsr") for piece in pieces):
        return sparse.vstack([piece.values for piece in pieces], format="csr")
    blocks = []
    for piece in pieces:
        block = np.full((len(piece.labels), len(features)), np.nan)
        dense = piece.values.toarray() if hasattr(piece.values, "toarray") else piece.values
        block[:, features.get_indexer(piece.var.index)] = dense
        blocks.append(block)
    return np.vstack(blocks)


def _shared_features(pieces: Sequence[Rows]) -> pd.DataFrame:
    """Return one row per feature of any piece.

    Raises
    ------
    AlignmentError
        If two pieces mean different things by one feature name.
    """
    import pandas as pd

    every = pd.concat([piece.var for piece in pieces])
    every.index.name = None
    grouped = every.groupby(level=0, sort=False)
    clashes = [
        f"{feature}: {column} {' / '.join(map(repr, every.loc[feature, column].unique()))}"
        for column in MEANING
        for feature in grouped[column].nunique().loc[lambda n: n > 1].index
    ]
    if clashes:
        raise AlignmentError(
            f"the pieces of {pieces[0].name!r} do not measure the same thing: {some(clashes)}; link them as two "
            "assays, or measure them alike"
        )
    shared = every[~every.index.duplicated()].copy()
    for column in ORIGIN:
        several = grouped[column].nunique() > 1
        joined = grouped[column].agg(_all_tools if column == "tool" else _hash_of_all)
        shared[column] = shared[column].where(~several.reindex(shared.index), joined.reindex(shared.index))
    return shared


def _all_tools(tools: Iterable[str]) -> str:
    return " / ".join(sorted(set(tools)))


def _hash_of_all(hashes: Iterable[str]) -> str:
    return hash_settings(sorted(set(hashes)))
