"""Columns of AnnData and MuData in a form that every file format gives back as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.keys import ATTRS
from integrate.model.codec import decode_column, encode_column

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["decode_columns", "decode_frame", "encode_columns", "encode_frame"]

#: Under ``uns["integrate"]``: what `decode_columns` needs, as JSON.
NOTES = "encoded"
#: The tables of a container, and its tables by name.
TABLES: tuple[str, ...] = ("obs", "var")
NAMED_TABLES: tuple[str, ...] = ("obsm", "varm")


def encode_columns(data: Any) -> Any:
    """Return a copy of a container that h5ad, zarr and SpatialData write without changing a cell or a name.

    Text becomes categories (files would write missing text as empty), other dtypes that a format does not
    hold become numbers, and names that a format refuses (``"OS months"``, ``"a/b"``) become safe ones. The values stay
    readable for any program; `decode_columns` brings names, dtypes and index names back.

    Parameters
    ----------
    data
        AnnData (also a SpatialData table) or MuData, with tables in ``obs``, ``var``, ``obsm`` and ``varm``.

    Returns
    -------
    A copy of the same kind; the columns that tie a SpatialData table to its element are untouched.

    Raises
    ------
    DataError
        If a column holds dates (give days since the index event) or objects other than text, numbers and true/false.

    Examples
    --------
    >>> cohort = ig.link(ig.datasets.toy_study(), clinical="clinical", unit="subject")
    >>> cohort.obs["OS months"] = [3.5, 12.0, None]
    >>> encoded = encode_columns(cohort.to_anndata())
    >>> encoded.obs.columns.tolist()
    ['age', 'response', 'OS_months']
    >>> decode_columns(encoded).obs.columns.tolist()
    ['age', 'response', 'OS months']
    """
    copy = _copied(data, encode_columns)
    notes: dict[str, Any] = {}
    kept = _spatial_keys(data)
    for table in TABLES:
        frame, notes[table] = encode_frame(getattr(data, table), kept=kept if table == "obs" else ())
        setattr(copy, table, frame)
    for table in NAMED_TABLES:
        for name, held in getattr(data, table).items():
            if hasattr(held, "columns"):
                getattr(copy, table)[name], notes[f"{table}/{name}"] = encode_frame(held)
    copy.uns[ATTRS] = {**dict(copy.uns.get(ATTRS) or {}), NOTES: json.dumps(notes)}
    return copy


def decode_columns(data: Any) -> Any:
    """Return what `encode_columns` was given, after any round trip through files.

    Parameters
    ----------
    data
        AnnData or MuData that `encode_columns` made, or one read from a file it was written to.

    Returns
    -------
    A copy with the original names, dtypes and index names; missing text is ``None``.

    Raises
    ------
    DataError
        If `encode_columns` did not make it.

    Examples
    --------
    >>> cohort = ig.link(ig.datasets.toy_study(), clinical="clinical", unit="subject")
    >>> decode_columns(encode_columns(cohort.to_anndata())).obs.equals(cohort.obs)
    True
    """
    held = dict(data.uns.get(ATTRS) or {})
    if NOTES not in held:
        raise DataError("this container was not made by encode_columns: uns['integrate']['encoded'] is not there")
    copy = _copied(data, decode_columns)
    notes = json.loads(str(held.pop(NOTES)))
    for table in TABLES:
        setattr(copy, table, decode_frame(getattr(data, table), notes.pop(table)))
    for place, columns in notes.items():
        table, _, name = place.partition("/")
        getattr(copy, table)[name] = decode_frame(getattr(data, table)[name], columns)
    copy.uns[ATTRS] = held
    return copy


def encode_frame(frame: pd.DataFrame, *, kept: tuple[str, ...] = ()) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a table of plain, safely named columns, and the notes (plain JSON values) that bring it back.

    `kept` columns stay as they are.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    for name in frame:
        safe = str(name) if name in kept else _safe_name(str(name), columns)
        columns[safe], notes[safe] = (frame[name], {}) if name in kept else _encoded(frame[name])
        notes[safe]["name"] = name if isinstance(name, str | int) else str(name)
    table = pd.DataFrame(columns, index=frame.index.rename(None))
    return table, {"columns": notes, "index": frame.index.name}


def decode_frame(frame: pd.DataFrame, notes: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table that `encode_frame` was given; columns that came later stay as they are."""
    import pandas as pd

    index = pd.Index(frame.index.astype(object), name=notes["index"])
    restored: dict[Any, Any] = {}
    for safe in [*notes["columns"], *(c for c in frame if c not in notes["columns"])]:
        if safe in frame:
            own = notes["columns"].get(safe, {"name": safe})
            restored[own["name"]] = _decoded(frame[safe], own, index)
    return pd.DataFrame(restored, index=index)


def _encoded(column: pd.Series[Any]) -> tuple[Any, dict[str, Any]]:
    import numpy as np
    import pandas as pd

    codes, notes = encode_column(column)
    if "categories" in notes:
        categories = json.loads(notes["categories"])
        if all(isinstance(one, str) for one in categories):
            index = pd.Index(categories, dtype=object)
            codes = pd.Categorical.from_codes(codes, index, ordered=bool(notes["ordered"]))
        return pd.Series(codes, index=column.index), notes
    if isinstance(column.dtype, np.dtype) or notes["pandas_dtype"] == "Float64":
        return pd.Series(codes, index=column.index), notes
    return column, notes  # nullable whole numbers and true/false: every container keeps them


def _decoded(column: pd.Series[Any], notes: Mapping[str, Any], index: Any) -> Any:
    """Return a column as it was; without notes (a SpatialData key, a later column) as it is."""
    import numpy as np
    import pandas as pd

    if "pandas_dtype" not in notes:
        return column.set_axis(index)
    if "categories" not in notes:
        return column.astype(notes["pandas_dtype"]).set_axis(index)
    codes = column.to_numpy()
    if isinstance(column.dtype, pd.CategoricalDtype):  # a file may reorder categories or leave out unused ones
        position = {text: i for i, text in enumerate(json.loads(notes["categories"]))}
        strangers = set(column.dropna()) - set(position)
        if strangers:
            return column.set_axis(index)  # changed since: it is what it is now
        codes = np.array([position.get(text, -1) for text in column.astype(object)])
    return decode_column(codes, notes, index=index)


def _copied(data: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy; of a MuData with every modality changed."""
    if not hasattr(data, "mod"):
        return data.copy()
    import mudata as md

    with md.set_options(pull_on_update=False):  # else columns of the modalities appear in the joined tables
        copy = md.MuData({name: change(modality) for name, modality in data.mod.items()})
        copy = copy[data.obs_names.tolist()].copy()
        copy.obs, copy.var = data.obs, data.var
    for place in ("uns", *NAMED_TABLES):
        for name, held in getattr(data, place).items():
            if name not in data.mod:  # where MuData notes which rows a modality has
                getattr(copy, place)[name] = held
    return copy


def _spatial_keys(data: Any) -> tuple[str, ...]:
    notes = data.uns.get("spatialdata_attrs") or {}
    return tuple(str(notes[key]) for key in ("region_key", "instance_key") if notes.get(key))


def _safe_name(name: str, taken: Mapping[str, Any]) -> str:
    """Return a name of letters, digits, _ . - that no other column has in any letter case."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip("_.-") or "column"
    used = {other.casefold() for other in taken}
    tried, number = safe, 2
    while tried.casefold() in used:
        tried, number = f"{safe}_{number}", number + 1
    return tried
