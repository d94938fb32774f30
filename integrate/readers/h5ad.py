"""AnnData files (``.h5ad``): one assay, observations × features."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest, some, warn
from integrate.keys import ATTRS
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import anndata as ad

__all__ = ["H5AD"]


class H5AD(Reader):
    """Read an AnnData file.

    Parameters
    ----------
    keys
        Which ids it holds: ``obs_names`` or a column of ``obs``, to the namespace of those ids. Noted in
        ``uns["integrate"]["keys"]``; the values are not changed.
    backed
        ``"r"`` leaves the matrix on disk and the file open until the object is closed; by default all is in memory.

    Returns
    -------
    AnnData as it was written.

    Raises
    ------
    DataError
        If the file is not an AnnData file, is truncated, lacks a column that ``keys`` names, or names an observation
        twice.
    ParameterError
        If ``backed`` is anything but ``"r"``.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd
    >>> cells = pd.DataFrame({"patient": ["007", "008"]}, index=["a", "b"])
    >>> ad.AnnData(np.eye(2), obs=cells).write_h5ad(tmp_path / "a.h5ad")
    >>> H5AD(url=tmp_path / "a.h5ad", keys={"patient": "hospital"}).read().uns["integrate"]["keys"]
    {'patient': 'hospital'}
    """

    output_instance = "anndata:AnnData"

    def _open(self, path: Path, *, keys: Mapping[str, str] | None = None, backed: str | None = None) -> ad.AnnData:
        if backed not in (None, "r"):
            raise ParameterError(f'backed={backed!r}; give "r" to leave the matrix on disk, or nothing')
        _check_layout(path)
        data = _read(path, backed)
        absent = [name for name in keys or {} if name != "obs_names" and name not in data.obs]
        if absent:
            raise DataError(f"{path.name} has no obs column {absent[0]!r}; {closest(absent[0], data.obs.columns)}")
        repeated = data.obs_names[data.obs_names.duplicated()].unique()
        if len(repeated):
            raise DataError(
                f"{len(repeated)} obs_names of {path.name} repeat: {some(repeated)}; no id may name two rows"
            )
        if not data.var_names.is_unique:
            count = int(data.var_names.duplicated().sum())
            warn(f"{count} of {data.n_vars} var_names of {path.name} repeat; var_names_make_unique() tells them apart")
        data.uns[ATTRS] = {**dict(data.uns.get(ATTRS) or {}), "keys": dict(keys or {})}
        return data


def _check_layout(path: Path) -> None:
    """Refuse what anndata would read as an empty object, or fail on with a library error."""
    import h5py

    try:
        with h5py.File(path) as store:
            kind, held = store.attrs.get("encoding-type", ""), list(store)
    except OSError as error:
        raise DataError(f"{path.name} is not a readable HDF5 file ({error}); it may be truncated") from error
    if kind not in ("", "anndata") or not {"obs", "var"} <= set(held):
        hint = "; it looks like a 10x matrix" if "matrix" in held else ""
        raise DataError(f"{path.name} is HDF5 but no AnnData, it holds {some(held) or 'nothing'}{hint}")


def _read(path: Path, backed: str | None) -> Any:
    import anndata as ad

    with warnings.catch_warnings():
        # `_open` says the same with names and counts
        warnings.filterwarnings("ignore", message=r"(Observation|Variable) names are not unique", category=UserWarning)
        try:
            return ad.read_h5ad(path, backed=backed)
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{path.name} is an AnnData file that cannot be read ({error})") from error
