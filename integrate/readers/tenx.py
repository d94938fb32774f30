"""Feature-barcode matrices of 10x Genomics (Cell Ranger, Space Ranger), in HDF5 or as a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.visium import read_h5, read_mtx

if TYPE_CHECKING:
    import anndata as ad

__all__ = ["TenXH5", "TenXMatrix"]


class TenXH5(Reader):
    """Read a 10x feature-barcode matrix in HDF5 (``*_feature_bc_matrix.h5``).

    Parameters
    ----------
    keys
        Which ids it holds: ``obs_names`` to their namespace.

    Returns
    -------
    AnnData, barcodes × features, counts as stored, every feature type kept. ``var_names`` are symbols, made unique by
    ``-1``, ``-2`` …; ``var`` has ``symbol``, ``feature_id`` and ``feature_type``.

    Raises
    ------
    DataError
        If the file is damaged, sizes disagree, or a barcode repeats.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File(tmp_path / "a.h5", "w") as store:  # features by barcodes, by columns
    ...     store["matrix/data"], store["matrix/indices"], store["matrix/indptr"] = [7, 2], [1, 0], [0, 1, 2]
    ...     store["matrix/shape"], store["matrix/barcodes"] = [2, 2], ["AAC-1", "AAG-1"]
    ...     store["matrix/features/id"], store["matrix/features/name"] = ["ENSG1", "ENSG2"], ["CD3E", "EGFR"]
    ...     store["matrix/features/feature_type"] = ["Gene Expression"] * 2
    >>> TenXH5(url=tmp_path / "a.h5").read().to_df()["EGFR"].to_dict()
    {'AAC-1': 7, 'AAG-1': 0}
    """

    output_instance = "anndata:AnnData"

    def _open(self, path: Path, *, keys: Mapping[str, str] | None = None) -> ad.AnnData:
        return _counts(read_h5(path), keys, path)


class TenXMatrix(Reader):
    r"""Read a 10x feature-barcode matrix folder (``matrix.mtx.gz``, ``barcodes.tsv.gz``, ``features.tsv.gz``).

    Parameters
    ----------
    keys
        Which ids it holds: ``obs_names`` to their namespace.

    Returns
    -------
    AnnData, as that of `TenXH5`.

    Raises
    ------
    SourceNotFoundError
        If one of the three files is absent.
    DataError
        If a file is damaged, sizes disagree, or a barcode repeats.

    Examples
    --------
    >>> import gzip
    >>> counts = "%%MatrixMarket matrix coordinate integer general\n2 1 1\n2 1 7\n"
    >>> texts = {"matrix.mtx": counts, "barcodes.tsv": "AAC-1\n"}
    >>> texts["features.tsv"] = "ENSG1\tCD3E\tGene Expression\nENSG2\tEGFR\tGene Expression\n"
    >>> for name, text in texts.items():
    ...     _ = (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    >>> TenXMatrix(url=tmp_path).read().to_df().loc["AAC-1", "EGFR"].item()
    7
    """

    output_instance = "anndata:AnnData"
    is_folder = True

    def _open(self, path: Path, *, keys: Mapping[str, str] | None = None) -> ad.AnnData:
        return _counts(read_mtx(path), keys, path)


def _counts(read: tuple[Any, list[str], Any, str], keys: Mapping[str, str] | None, path: Path) -> ad.AnnData:
    import anndata as ad
    import pandas as pd
    from anndata.utils import make_index_unique

    matrix, barcodes, features, software = read
    if matrix.shape != (len(barcodes), len(features)):
        found = f"{len(barcodes)} barcodes and {len(features)} features"
        raise DataError(f"the matrix of {path.name} has shape {matrix.shape} for {found}; files of two runs are mixed")
    repeated = pd.Index(barcodes)[pd.Index(barcodes).duplicated()]
    if len(repeated):
        raise DataError(f"{len(repeated)} barcodes of {path.name} repeat: {some(repeated)}; every row needs its own")
    features.index = make_index_unique(pd.Index(features["symbol"].astype(str).to_numpy()))
    data = ad.AnnData(matrix, obs=pd.DataFrame(index=barcodes), var=features)
    renamed = int((data.var_names != data.var["symbol"]).sum())
    data.uns[ATTRS] = {"keys": dict(keys or {}), "software": software, "renamed_features": renamed}
    return data
