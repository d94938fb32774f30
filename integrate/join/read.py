"""What was given for an assay, read as rows: a dataset by name, AnnData, several of them, or a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, some
from integrate.join.pieces import stack_pieces
from integrate.join.rows import Rows
from integrate.keys import ATTRS, DAY, ID_COLUMNS, INSTANCE_ID, LEVELS, VISIT
from integrate.model.feature import FEATURE_COLUMNS
from integrate.model.image import image_ids, image_notes
from integrate.model.provenance import hash_array

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = ["read_rows"]


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
            return stack_pieces([_from_anndata(name, piece) for piece in pieces])
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
    return stack_pieces(pieces)


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
