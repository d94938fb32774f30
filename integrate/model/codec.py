"""Table columns as plain numbers and back, so that no container turns a missing text into an empty one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["decode_column", "decode_dataset", "encode_column"]

#: Stands for a missing nullable whole number; no study counts that low.
NO_INTEGER = -(2**63)


def encode_column(column: pd.Series[Any]) -> tuple[Any, dict[str, Any]]:
    """Return a column as a float, int or bool array, and the notes that bring it back.

    Parameters
    ----------
    column
        Numbers, true/false, text or categories, with or without missing values.

    Returns
    -------
    The array, and notes of plain JSON values: ``pandas_dtype``, and for text and categories ``categories`` (a JSON
    list; the array holds positions in it, -1 is missing) and ``ordered``.

    Raises
    ------
    DataError
        If the column holds dates (give integer days since the index event) or objects that are neither text, number
        nor true/false.

    Examples
    --------
    >>> import pandas as pd
    >>> encode_column(pd.Series(["b", None, "a"]))[0].tolist()
    [1, -1, 0]
    """
    import numpy as np
    import pandas as pd

    dtype: Any = column.dtype
    notes: dict[str, Any] = {"pandas_dtype": str(dtype)}
    if isinstance(dtype, pd.CategoricalDtype):
        values = column
    elif dtype.kind in "fiub" and isinstance(dtype, np.dtype):
        return column.to_numpy(), notes
    elif isinstance(dtype, pd.BooleanDtype):
        return column.astype("Int8").fillna(-1).to_numpy(dtype=np.int8), notes
    elif pd.api.types.is_integer_dtype(dtype):
        return column.astype("Int64").fillna(NO_INTEGER).to_numpy(dtype=np.int64), notes
    elif pd.api.types.is_float_dtype(dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan), notes
    elif isinstance(dtype, pd.StringDtype) or dtype.kind == "O":
        values = _as_categories(column)
    else:
        raise DataError(f"column {column.name!r} is {dtype}; containers hold no dates: give days since an event")
    categories = [_plain(value, column.name) for value in values.cat.categories]
    notes |= {"categories": json.dumps(categories), "ordered": int(bool(values.cat.ordered))}
    if isinstance(dtype, pd.CategoricalDtype):
        notes["categories_dtype"] = str(values.cat.categories.dtype)
    return values.cat.codes.to_numpy(dtype=np.int32), notes


def decode_column(values: Any, notes: Mapping[str, Any], *, index: Any) -> pd.Series[Any]:
    """Return the column that `encode_column` encoded; missing text is ``None``, as from Parquet."""
    import numpy as np
    import pandas as pd

    dtype: Any = str(notes["pandas_dtype"])
    values = np.asarray(values)
    if "categories" in notes:
        categories = pd.Index(json.loads(notes["categories"]), dtype=notes.get("categories_dtype", object))
        coded = pd.Categorical.from_codes(values, categories, ordered=bool(notes["ordered"]))
        column = pd.Series(coded, index=index)
        if dtype == "category":
            return column
        texts = column.astype(object)
        return texts.where(texts.notna(), None).astype(dtype)
    if dtype == "boolean":
        return pd.Series(np.where(values < 0, None, values > 0), index=index).astype("boolean")
    if dtype.startswith(("Int", "UInt")):
        column = pd.Series(values, index=index).astype("Int64")
        return column.mask(column == NO_INTEGER).astype(dtype)
    return pd.Series(values, index=index).astype(dtype)


def decode_dataset(dataset: xr.Dataset) -> pd.DataFrame:
    """Return the clinical variables of a `Cohort.to_xarray`, also one that was written and read again.

    Parameters
    ----------
    dataset
        What `Cohort.to_xarray` returned, or what xarray reads from its file.

    Returns
    -------
    One row per unit, with the names and dtypes of ``cohort.obs``.

    Examples
    --------
    >>> cohort = ig.link(ig.datasets.toy_study(), clinical="clinical", unit="subject")
    >>> decode_dataset(cohort.to_xarray()).equals(cohort.obs)
    True
    """
    import pandas as pd

    held = {str(v.attrs["column"]): v for v in dataset.data_vars.values() if "column" in v.attrs}
    dim = next((v.dims[0] for v in held.values()), next(iter(dataset.dims)))
    index = pd.Index(dataset[dim].values.astype(object), name=str(dim))
    order = json.loads(dataset.attrs.get("columns", "null")) or list(held)  # zarr lists variables by name
    columns = {name: decode_column(held[name].values, held[name].attrs, index=index) for name in order if name in held}
    return pd.DataFrame(columns, index=index)


def _as_categories(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return text as positions in the list of its different values; sorting mixed types is not attempted."""
    import pandas as pd

    different = list(dict.fromkeys(column.dropna()))
    texts = all(isinstance(value, str) for value in different)
    return column.astype(pd.CategoricalDtype(pd.Index(sorted(different) if texts else different, dtype=object)))


def _plain(value: Any, column: object) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    if not isinstance(plain, str | bool | int | float):
        raise DataError(f"column {column!r} holds {type(value).__name__}; expected text, numbers or true/false")
    return plain
