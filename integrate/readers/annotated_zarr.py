"""AnnData and MuData in Zarr stores, and MuData in HDF5."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, closest, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.zarr_array import check_chunks, open_group

if TYPE_CHECKING:
    import anndata as ad
    import mudata as md

__all__ = ["H5MU", "AnnDataZarr", "MuDataZarr"]


class AnnDataZarr(Reader):
    """Read an AnnData kept as a Zarr store.

    Parameters
    ----------
    keys
        Which ids it holds: ``obs_names`` or a column of ``obs``, to the namespace of those ids.

    Returns
    -------
    AnnData as it was written.

    Raises
    ------
    DataError
        If the store is no AnnData, is damaged, lacks a column that ``keys`` names, or names an observation twice.

    Examples
    --------
    >>> import anndata as ad, numpy as np
    >>> ad.AnnData(np.eye(2, dtype="float32")).write_zarr(tmp_path / "a.zarr")
    >>> AnnDataZarr(url=tmp_path / "a.zarr").read().shape
    (2, 2)
    """

    output_instance = "anndata:AnnData"
    is_folder = True

    def _open(self, path: Path, *, keys: Mapping[str, str] | None = None) -> ad.AnnData:
        import anndata

        _check_kind(path, "anndata")
        data = _read(anndata.read_zarr, path)
        _check_names(path, data, keys or {})
        data.uns[ATTRS] = {**dict(data.uns.get(ATTRS) or {}), "keys": dict(keys or {})}
        return data


class H5MU(Reader):
    """Read a MuData file (``.h5mu``): several assays of the same observations.

    Parameters
    ----------
    keys
        Which ids it holds: ``obs_names`` or a column of ``obs``, to the namespace of those ids.

    Returns
    -------
    MuData as it was written, its modalities in memory.

    Raises
    ------
    DataError
        If the file is no MuData, is damaged, or lacks a column that ``keys`` names.

    Examples
    --------
    >>> import anndata as ad, mudata as md, numpy as np, pandas as pd
    >>> people = pd.DataFrame(index=["P1", "P2"])
    >>> parts = {
    ...     name: ad.AnnData(np.ones((2, 1)), obs=people, var=pd.DataFrame(index=[name])) for name in ("rna", "protein")
    ... }
    >>> md.MuData(parts).write_h5mu(tmp_path / "a.h5mu")
    >>> sorted(H5MU(url=tmp_path / "a.h5mu").read().mod)
    ['protein', 'rna']
    """

    output_instance = "mudata:MuData"

    def _open(self, path: Path, *, keys: Mapping[str, str] | None = None) -> md.MuData:
        import h5py
        import mudata

        try:
            with h5py.File(path) as store:
                held = list(store)
        except OSError as error:
            raise DataError(f"{path.name} is not a readable HDF5 file ({error}); it may be truncated") from error
        if "mod" not in held:
            raise DataError(f"{path.name} is HDF5 but no MuData; it holds {some(held) or 'nothing'}")
        return _noted(path, _read(mudata.read_h5mu, path), keys or {})


class MuDataZarr(Reader):
    """Read a MuData kept as a Zarr store.

    Parameters
    ----------
    keys
        Which ids it holds: ``obs_names`` or a column of ``obs``, to the namespace of those ids.

    Returns
    -------
    MuData as it was written, its modalities in memory.

    Raises
    ------
    DataError
        If the store is no MuData, is damaged, or lacks a column that ``keys`` names.

    Examples
    --------
    >>> import anndata as ad, mudata as md, numpy as np, pandas as pd
    >>> people = pd.DataFrame(index=["P1", "P2"])
    >>> rna = ad.AnnData(np.ones((2, 1)), obs=people, var=pd.DataFrame(index=["EGFR"]))
    >>> md.MuData({"rna": rna}).write_zarr(tmp_path / "a.zarr")
    >>> MuDataZarr(url=tmp_path / "a.zarr").read().mod["rna"].shape
    (2, 1)
    """

    output_instance = "mudata:MuData"
    is_folder = True

    def _open(self, path: Path, *, keys: Mapping[str, str] | None = None) -> md.MuData:
        import mudata

        _check_kind(path, "mudata")
        return _noted(path, _read(mudata.read_zarr, path), keys or {})


def _check_kind(path: Path, kind: str) -> None:
    found = str(open_group(path).attrs.get("encoding-type", "")).lower()
    if found != kind:
        raise DataError(f"{path.name} is a Zarr store of kind {found or 'unknown'!r}; expected {kind}")
    check_chunks(path)


def _read(read: Callable[[Path], Any], path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # of zarr and anndata about each other, and of names
        warnings.filterwarnings("ignore", category=FutureWarning)
        try:
            return read(path)
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{path.name} cannot be read ({str(error)[:300]}); it may be truncated") from error


def _check_names(path: Path, data: Any, keys: Mapping[str, str]) -> None:
    absent = [name for name in keys if name != "obs_names" and name not in data.obs]
    if absent:
        raise DataError(f"{path.name} has no obs column {absent[0]!r}; {closest(absent[0], data.obs.columns)}")
    repeated = data.obs_names[data.obs_names.duplicated()].unique()
    if len(repeated):
        raise DataError(f"{len(repeated)} obs_names of {path.name} repeat: {some(repeated)}; no id may name two rows")


def _noted(path: Path, data: Any, keys: Mapping[str, str]) -> Any:
    _check_names(path, data, keys)
    data.uns[ATTRS] = {**dict(data.uns.get(ATTRS) or {}), "keys": dict(keys)}
    return data
