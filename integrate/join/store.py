"""The cohort on disk: a folder of Parquet tables and h5ad matrices that keeps every dtype."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from integrate.errors import DataError
from integrate.join.alignment import AlignmentReport
from integrate.join.cohort import Cohort
from integrate.model.folder import read_document, read_frame, write_document, write_folder, write_frame

__all__ = ["read_cohort", "write_cohort"]

FORMAT = 1
DOCUMENT = "cohort.json"


def write_cohort(cohort: Cohort, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a cohort as a folder; it appears whole or not at all.

    Parameters
    ----------
    cohort
        What `link` returned.
    path
        Folder to make: ``cohort.json``, ``obs.parquet``, ``missing_reason.parquet``, and per assay ``<name>.h5ad``
        (values and counts), ``<name>.obs.parquet`` and ``<name>.var.parquet``.
    overwrite
        Replace a cohort that is there; anything else is never replaced.

    Raises
    ------
    FileExistsError
        If something is there already.
    DataError
        If a column holds what no file can, for example Python objects.
    """
    write_folder(path, partial(_write_parts, cohort), document=DOCUMENT, what="cohort", overwrite=overwrite)


def read_cohort(path: str | os.PathLike[str]) -> Cohort:
    """Return a cohort that `Cohort.write` wrote.

    Parameters
    ----------
    path
        The folder.

    Returns
    -------
    An equal `Cohort`: the same values, dtypes, features and report.

    Raises
    ------
    SourceNotFoundError
        If there is no such folder.
    DataError
        If it is not a cohort, or of another format.

    Examples
    --------
    >>> import tempfile
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> folder = tempfile.mkdtemp() + "/cohort"
    >>> link(toy_study(), clinical="clinical", unit="subject").write(folder)
    >>> read_cohort(folder).obs["response"].tolist()
    ['no', 'yes', 'yes']
    """
    source = Path(path)
    document = read_document(source, DOCUMENT, what="cohort", format_=FORMAT)
    return Cohort(
        name=document["name"],
        unit=document["unit"],
        obs=read_frame(source / "obs.parquet"),
        assays={name: _read_assay(source, name) for name in document["assays"]},
        report=AlignmentReport.from_dict(document["report"]),
        missing_reason=read_frame(source / "missing_reason.parquet"),
    )


def _write_parts(cohort: Cohort, folder: Path) -> None:
    document = {
        "format": FORMAT,
        "name": cohort.name,
        "unit": cohort.unit,
        "assays": list(cohort.assays),
        "report": cohort.report.to_dict(),
    }
    write_document(document, folder / DOCUMENT)
    write_frame(cohort.obs, folder / "obs.parquet")
    write_frame(cohort.missing_reason, folder / "missing_reason.parquet")
    for name, adata in cohort.assays.items():
        write_frame(adata.obs, folder / f"{name}.obs.parquet")
        write_frame(adata.var, folder / f"{name}.var.parquet")
        _values_only(adata).write_h5ad(folder / f"{name}.h5ad", compression="gzip")


def _values_only(adata: Any) -> Any:
    """Return values and counts with bare names; h5ad would turn text columns into categories, Parquet keeps them."""
    import anndata as ad
    import pandas as pd

    obs, var = (pd.DataFrame(index=pd.Index(names, name=None)) for names in (adata.obs_names, adata.var_names))
    return ad.AnnData(adata.X, obs=obs, var=var, layers=dict(adata.layers), uns=dict(adata.uns))


def _read_assay(folder: Path, name: str) -> Any:
    import anndata as ad

    try:
        adata = ad.read_h5ad(folder / f"{name}.h5ad")
    except OSError as error:
        raise DataError(f"{folder / name}.h5ad cannot be read: {error}") from error
    adata.obs = read_frame(folder / f"{name}.obs.parquet")
    adata.var = read_frame(folder / f"{name}.var.parquet")
    return adata
