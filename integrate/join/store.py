"""The cohort on disk: a folder of Parquet tables and h5ad matrices that keeps every dtype."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, SourceNotFoundError
from integrate.join.alignment import AlignmentReport
from integrate.join.codec import decode_column, encode_column
from integrate.join.cohort import Cohort

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_cohort", "write_cohort"]

FORMAT = 1
DOCUMENT = "cohort.json"
#: Key in a table's attributes for the notes on columns stored as codes.
CODES = "integrate_codes"


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
    target = Path(path)
    if target.exists() and not (overwrite and (target / DOCUMENT).is_file()):
        hint = "choose another name" if overwrite else "choose another name, or replace a cohort with overwrite=True"
        raise FileExistsError(f"{target} is there already; {hint}")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, former = (target.with_name(f".{target.name}-{secrets.token_hex(4)}") for _ in range(2))
    draft.mkdir()
    try:
        _write_parts(cohort, draft)
        if target.exists():
            target.rename(former)
        draft.rename(target)
    except (ValueError, TypeError) as error:  # pyarrow's and h5py's words for a column they cannot hold
        raise DataError(f"the cohort cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


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
    if not source.is_dir():
        raise SourceNotFoundError(f"no cohort folder at {source}")
    document = _read_document(source)
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
    (folder / DOCUMENT).write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
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


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet with every dtype; categories that are not text, which Parquet forgets, as codes."""
    import pandas as pd

    coded = {
        str(name): encode_column(frame[name])
        for name, dtype in frame.dtypes.items()
        if isinstance(dtype, pd.CategoricalDtype) and not all(isinstance(one, str) for one in dtype.categories)
    }
    stored = frame.assign(**{name: codes for name, (codes, _) in coded.items()})
    stored.attrs = {**frame.attrs, **({CODES: {name: notes for name, (_, notes) in coded.items()}} if coded else {})}
    stored.to_parquet(path)


def read_frame(path: Path) -> pd.DataFrame:
    """Return a table that `write_frame` wrote.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for name, notes in frame.attrs.pop(CODES, {}).items():
        frame[name] = decode_column(frame[name], notes, index=frame.index)
    return frame


def _read_document(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is not a cohort: {DOCUMENT} cannot be read ({error})") from error
    if document.get("format") != FORMAT:
        raise DataError(f"{folder} has cohort format {document.get('format')!r}, this version reads {FORMAT}")
    return dict(document)
