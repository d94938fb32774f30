"""The cells of many images as one table, with nothing renamed, dropped or silently mixed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, some
from integrate.keys import ATTRS
from integrate.model.image import image_ids, image_notes
from integrate.model.provenance import hash_settings
from integrate.model.trace import TRACE, note_trace, trace_of

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

__all__ = ["stack_cells"]

#: Differ between images that were measured alike; the stacked column gets a hash of all of them.
PER_IMAGE: tuple[str, ...] = ("input_hash",)


def stack_cells(tables: Iterable[ad.AnnData]) -> ad.AnnData:
    """Return the rows of several measured tables as one table.

    Parameters
    ----------
    tables
        Results of `measure`, one per image; an image without cells is fine.

    Returns
    -------
    AnnData with all rows in the given order. A column that one image does not have (another panel) is NaN there.
    ``var`` keeps unit, definition and settings; its ``input_hash`` stands for all inputs together. It stays a valid
    SpatialData table that annotates the regions of all images. Images without cells are kept in
    ``uns["integrate"]["without_rows"]``, so that a link can tell "nothing found" from "not measured".

    Raises
    ------
    AlignmentError
        If a column has another unit, definition or settings in one of the tables, or two tables have the same rows.

    Examples
    --------
    >>> study = ig.datasets.toy_study()
    >>> tables = []
    >>> for image in study.each("fields"):
    ...     nuclei = ig.segment_nuclei(image, channels="DNA")
    ...     tables.append(ig.measure(image, nuclei))
    >>> stack_cells(tables).obs["acquisition_id"].nunique()
    4
    """
    import anndata as ad

    given = list(tables)
    if not given:
        raise AlignmentError("no tables to stack; give the results of measure()")
    var = _shared_var(given)
    _check_rows(given)
    stacked = ad.concat(given, join="outer", merge=None, fill_value=float("nan"))[:, list(var.index)].copy()
    stacked.var = var
    without_rows = {str(number): image_ids(table) for number, table in enumerate(given) if table.n_obs == 0}
    stacked.uns[ATTRS] = {
        **image_notes(given[0]),
        "ids": {},
        "stacked": len(given),
        "without_rows": without_rows,
        TRACE: note_trace(trace_of(*given)),
    }
    regions = [region for table in given for region in _regions(table)]
    stacked.uns["spatialdata_attrs"] = {**given[0].uns.get("spatialdata_attrs", {}), "region": regions}
    return stacked


def _shared_var(tables: Sequence[ad.AnnData]) -> pd.DataFrame:
    import pandas as pd

    every = pd.concat([table.var.rename_axis("feature").reset_index() for table in tables])
    meaning = [column for column in every if column not in ("feature", *PER_IMAGE)]
    distinct = every.drop_duplicates(["feature", *meaning])
    unlike = distinct["feature"][distinct["feature"].duplicated()].unique()
    if len(unlike):
        raise AlignmentError(
            f"{len(unlike)} columns were not measured alike in all tables: {some(unlike)}; "
            "measure all images with the same settings and the same knowledge of the pixel size"
        )
    var = distinct.set_index("feature").rename_axis(None)
    for column in PER_IMAGE:
        if column in every:
            var[column] = every.groupby("feature", sort=False)[column].agg(_combined).reindex(var.index)
    return var[list(tables[0].var.columns)]


def _combined(hashes: pd.Series[Any]) -> str:
    distinct = sorted(set(hashes))
    return distinct[0] if len(distinct) == 1 else hash_settings(distinct)


def _check_rows(tables: Sequence[ad.AnnData]) -> None:
    import pandas as pd

    names = pd.Index([name for table in tables for name in table.obs_names])
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        raise AlignmentError(
            f"{len(repeated)} rows appear in more than one table: {some(repeated)}; the same image was given twice, "
            "or two images have the same region name"
        )


def _regions(table: ad.AnnData) -> list[str]:
    region = table.uns.get("spatialdata_attrs", {}).get("region", [])
    return [region] if isinstance(region, str) else list(region)
