"""The cohort in the field's containers: AnnData, xarray, wide and long tables."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from integrate.keys import ATTRS, LEVELS
from integrate.model.codec import encode_column

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from integrate.join.cohort import Cohort

__all__ = ["to_anndata", "to_long", "to_mudata", "to_wide", "to_xarray"]


def to_anndata(cohort: Cohort) -> Any:
    """Return one AnnData of all units × all features; see `Cohort.to_anndata`."""
    import anndata as ad
    import numpy as np

    blocks = [_all_units(cohort, name) for name in cohort.assays]
    size = (len(cohort.obs), 0)
    table = ad.AnnData(
        np.hstack([values for values, _ in blocks]) if blocks else np.empty(size),
        obs=cohort.obs.copy(),
        var=cohort.features.copy(),
        layers={"n": np.hstack([n for _, n in blocks]) if blocks else np.empty(size, dtype=np.int64)},
    )
    table.obsm["missing_reason"] = cohort.missing_reason.copy()
    table.uns[ATTRS] = {"cohort": cohort.name, "unit": cohort.unit}
    return table


def to_mudata(cohort: Cohort) -> Any:
    """Return a MuData with one modality per assay and one, without features, of all units; see `Cohort.to_mudata`."""
    import anndata as ad
    import mudata as md
    import numpy as np

    everyone = ad.AnnData(np.empty((len(cohort.obs), 0)), obs=cohort.obs[[]].copy())
    with md.set_options(pull_on_update=False):
        joined = md.MuData({"clinical": everyone, **{name: adata.copy() for name, adata in cohort.assays.items()}})
        joined = joined[cohort.obs.index.tolist()].copy()
    joined.obs = cohort.obs.copy()
    joined.obsm["missing_reason"] = cohort.missing_reason.copy()
    joined.uns[ATTRS] = {"cohort": cohort.name, "unit": cohort.unit}
    return joined


def to_wide(cohort: Cohort) -> pd.DataFrame:
    """Return one row per unit, clinical variables first; see `Cohort.to_pandas`."""
    import pandas as pd

    values = [_all_units(cohort, name)[0] for name in cohort.assays]
    features = [table.index for _, table in cohort.features.groupby("assay", sort=False)]
    pairs = zip(values, features, strict=True)
    parts = [pd.DataFrame(block, index=cohort.obs.index, columns=list(names)) for block, names in pairs]
    return pd.concat([cohort.obs, *parts], axis=1)


def to_long(cohort: Cohort) -> pd.DataFrame:
    """Return one row per unit and feature, observed or not; see `Cohort.to_pandas`."""
    import numpy as np
    import pandas as pd

    key = LEVELS[cohort.unit]
    parts = []
    for name, adata in cohort.assays.items():
        values, n = _all_units(cohort, name)
        many = adata.n_vars
        parts.append(
            pd.DataFrame(
                {
                    key: np.repeat(cohort.obs.index.to_numpy(), many),
                    "assay": name,
                    "feature": np.tile(adata.var_names.to_numpy(), len(cohort.obs)),
                    "value": values.ravel(),
                    "n": n.ravel(),
                    "unit": np.tile(adata.var["unit"].to_numpy(), len(cohort.obs)),
                    "missing_reason": np.repeat(cohort.missing_reason[name].to_numpy(), many),
                }
            )
        )
    columns = [key, "assay", "feature", "value", "n", "unit", "missing_reason"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def to_xarray(cohort: Cohort) -> xr.Dataset:
    """Return a Dataset with one variable per assay and clinical variable; see `Cohort.to_xarray`."""
    import xarray as xr

    dim = LEVELS[cohort.unit]
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {dim: (dim, _texts(cohort.obs.index))}
    assays = set(cohort.assays)
    for name, adata in cohort.assays.items():
        values, n = _all_units(cohort, name)
        features = _free(f"{name}_feature", assays)
        variables[name] = ((dim, features), values)
        variables[_free(f"{name}_n", assays)] = ((dim, features), n)
        coords[features] = (features, _texts(adata.var_names))
        for column in adata.var:
            data, notes = _described(adata.var[column])
            coords[_free(f"{name}_{column}", {*variables, *coords, *assays})] = (features, data, notes)
    codes, flags = _reason_codes(cohort)
    if cohort.assays:
        variables["missing_reason"] = ((dim, "assay"), codes, flags)
        coords["assay"] = ("assay", _texts(cohort.missing_reason.columns))
    codebook = cohort.obs.attrs.get(ATTRS, {}).get("columns", {})
    for column in cohort.obs:
        data, notes = encode_column(cohort.obs[column])
        unit = {"units": str(codebook[column]["unit"])} if codebook.get(column, {}).get("unit") else {}
        name = _free(re.sub(r"[^\w .+-]", "_", str(column)) or "column", {*variables, *coords})
        variables[name] = (dim, data, {**notes, **unit, "column": str(column)})
    order = json.dumps([str(column) for column in cohort.obs])
    return xr.Dataset(variables, coords=coords, attrs={"cohort": cohort.name, "unit": cohort.unit, "columns": order})


def _all_units(cohort: Cohort, assay: str) -> tuple[Any, Any]:
    """Return values and counts of an assay for every unit; NaN and 0 where it has none."""
    import numpy as np

    adata = cohort.assays[assay]
    places = cohort.obs.index.get_indexer(adata.obs_names)
    values = np.full((len(cohort.obs), adata.n_vars), np.nan)
    n = np.zeros(values.shape, dtype=np.int64)
    values[places] = adata.X
    n[places] = adata.layers["n"]
    return values, n


def _described(column: pd.Series[Any]) -> tuple[Any, dict[str, Any]]:
    """Return a feature column as readable text where nothing is missing, else encoded."""
    if all(isinstance(value, str) for value in column):
        return _texts(column), {}
    return encode_column(column)


def _reason_codes(cohort: Cohort) -> tuple[Any, dict[str, Any]]:
    import numpy as np

    from integrate.join.cohort import MISSING_REASONS

    reasons = cohort.missing_reason.to_numpy()
    codes = np.array([MISSING_REASONS.index(reason) for reason in reasons.ravel()], dtype=np.int8)
    words = ["observed", *(reason.replace(" ", "_") for reason in MISSING_REASONS[1:])]
    flags = {"flag_values": list(range(len(words))), "flag_meanings": " ".join(words)}
    return codes.reshape(reasons.shape), flags


def _texts(values: Any) -> Any:
    """Return text that zarr writes as variable-length UTF-8; fixed-width unicode has no zarr v3 specification."""
    import numpy as np

    return np.array([str(value) for value in values], dtype=object)


def _free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet."""
    while name in taken:
        name += "_"
    return name
