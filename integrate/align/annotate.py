"""Tables that annotate elements: the rows of a subject's cells tied to the label image or outlines they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from integrate.errors import CatalogError, DataError, closest, some
from integrate.keys import ACQUISITION_ID, ID_COLUMNS, INSTANCE_ID, REGION_ID
from integrate.model.study import Study

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

__all__ = ["annotate_elements", "annotating"]


def annotating(study: Study, name: str) -> dict[str, str]:
    """Return what a table dataset annotates, ``{"dataset": …, "instance": column}``; nothing when it says nothing.

    Raises
    ------
    CatalogError
        If its ``annotates`` lacks one of the two, or names no dataset of the study.
    """
    said = study.dataset(name).metadata.get("annotates")
    if not isinstance(said, Mapping):  # outlines name the image they were drawn on
        return {}
    if set(said) != {"dataset", "instance"}:
        raise CatalogError(f"{name}.annotates is {said!r}; write {{dataset: name, instance: column}}")
    study.dataset(str(said["dataset"]))
    return {key: str(value) for key, value in said.items()}


def annotate_elements(
    study: Study, name: str, rows: pd.DataFrame, elements: Mapping[str, Mapping[str, str]]
) -> ad.AnnData:
    """Return the rows of a table dataset as a SpatialData table of the elements they describe.

    Parameters
    ----------
    study
        The study.
    name
        Dataset with a row per instance; its catalog entry says ``annotates: {dataset: …, instance: column}``.
    rows
        Its sample-map rows that are wanted.
    elements
        Placed elements of the annotated dataset: name to ids.

    Returns
    -------
    AnnData: numeric columns in ``X``, others in ``obs`` with ``region`` (element name) and ``instance_id``.

    Raises
    ------
    DataError
        If a row belongs to no placed element, or an instance id is no whole number or appears twice in an element.
    """
    import numpy as np
    from spatialdata.models import TableModel

    column = annotating(study, name)["instance"]
    every = study.sample_map.index[study.sample_map["assay"] == name]
    table = _as_anndata(study, name, column)[every.get_indexer(rows.index)].copy()
    by_id = {own[key]: one for key in (ACQUISITION_ID, REGION_ID) for one, own in elements.items() if key in own}
    region, image = (rows[key].map(by_id) for key in (REGION_ID, ACQUISITION_ID))
    region = region.where(region.notna(), image)
    lost = rows["obs_id"].to_numpy()[region.isna().to_numpy()]
    if len(lost):
        raise DataError(f"{len(lost)} rows of {name!r} describe no element that is there: {some(lost)}; give their ids")
    table.obs["region"] = region.astype("category").to_numpy()
    numbers = np.asarray(table.obs.pop(column), dtype=float)
    if (~(numbers % 1 == 0)).any():
        raise DataError(f"column {column!r} of {name!r} is not a whole number in every row; it names instances")
    table.obs[INSTANCE_ID] = numbers.astype(np.int64)
    twice = table.obs[table.obs.duplicated(["region", INSTANCE_ID])]
    if len(twice):
        told = [f"{one} of {region}" for region, one in twice[["region", INSTANCE_ID]].itertuples(index=False)]
        raise DataError(f"{len(twice)} instances of {name!r} have two rows: {some(told)}; keep one of each")
    regions = list(dict.fromkeys(region))
    return TableModel.parse(table, region=regions, region_key="region", instance_key=INSTANCE_ID)


def _as_anndata(study: Study, name: str, column: str) -> ad.AnnData:
    """Return all rows of a dataset; numeric columns of a table become features."""
    import anndata as ad
    import pandas as pd

    if name not in study.tables:
        opened = study.load(name)
        if column not in opened.obs:
            raise CatalogError(f"{name}.annotates: no column {column!r}; {closest(column, opened.obs.columns)}")
        return opened
    frame = study.tables[name].drop(columns=list(ID_COLUMNS), errors="ignore").reset_index(drop=True)
    if column not in frame:
        raise CatalogError(f"{name}.annotates: no column {column!r}; {closest(column, frame.columns)}")
    numeric = [c for c in frame if c != column and pd.api.types.is_numeric_dtype(frame[c])]
    obs = frame.drop(columns=numeric).set_axis(frame.index.astype(str))
    values = frame[numeric].to_numpy(dtype=float, na_value=float("nan"))
    return ad.AnnData(values, obs=obs, var=pd.DataFrame(index=pd.Index([str(c) for c in numeric], dtype=object)))
