"""Loom files: cells × genes with their attributes and layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest, some, warn
from integrate.keys import ATTRS
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import anndata as ad

__all__ = ["Loom"]

#: Attributes that usually name cells and genes, in the order of preference.
CELLS, GENES = ("CellID", "obs_names", "cell_id", "barcode"), ("Gene", "var_names", "gene_name", "Accession")


class Loom(Reader):
    """Read a loom file (2 or 3).

    Parameters
    ----------
    cells, genes
        Attributes that name cells and genes; by default the usual ones.
    keys
        Which ids it holds: ``obs_names`` or an attribute of cells, to the namespace of those ids.

    Returns
    -------
    AnnData, cells × genes, sparse; every layer and attribute is kept (attributes of several columns in ``obsm`` and
    ``varm``).
    Repeated gene names get ``-1``, ``-2`` …, counted in a warning.

    Raises
    ------
    DataError
        If the file is no loom, is damaged, or a cell is named twice.
    ParameterError
        If there is no such attribute.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File(tmp_path / "a.loom", "w") as file:
    ...     file["matrix"] = [[1, 0], [2, 3], [0, 5]]  # genes by cells
    ...     file["row_attrs/Gene"], file["col_attrs/CellID"] = ["CD3E", "CD8A", "EGFR"], ["c1", "c2"]
    >>> Loom(url=tmp_path / "a.loom").read().to_df()["EGFR"].to_dict()
    {'c1': 0, 'c2': 5}
    """

    output_instance = "anndata:AnnData"

    def _open(
        self,
        path: Path,
        *,
        cells: str | None = None,
        genes: str | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> ad.AnnData:
        import anndata as ad
        import h5py
        from scipy.sparse import csr_matrix

        try:
            with h5py.File(path) as store:
                absent = [name for name in ("matrix", "row_attrs", "col_attrs") if name not in store]
                if absent:
                    raise DataError(f"{path.name} is HDF5 but no loom; it has no {some(absent)}, but {some(store)}")
                values = csr_matrix(store["matrix"][:].T)
                layers = {name: csr_matrix(held[:].T) for name, held in store.get("layers", {}).items()}
                rows, columns = _attributes(store["row_attrs"]), _attributes(store["col_attrs"])
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path.name} is not a readable loom file ({error}); it may be truncated") from error
        obs, obsm = _framed(columns, _named(columns, cells, CELLS, path), path)
        var, varm = _framed(rows, _named(rows, genes, GENES, path), path)
        repeated = obs.index[obs.index.duplicated()]
        if len(repeated):
            raise DataError(f"{len(repeated)} cells of {path.name} are named twice: {some(repeated)}")
        for name in keys or {}:
            if name != "obs_names" and name not in obs:
                raise DataError(f"{path.name} has no attribute {name!r} of cells; {closest(name, obs.columns)}")
        if not var.index.is_unique:
            from anndata.utils import make_index_unique

            count = int(var.index.duplicated().sum())
            warn(f"{count} of {len(var)} genes of {path.name} are named twice; -1, -2 … were added")
            var.index = make_index_unique(var.index)
        made = ad.AnnData(values, obs=obs, var=var, layers=layers, obsm=obsm, varm=varm)
        made.uns[ATTRS] = {"keys": dict(keys or {})}
        return made


def _attributes(group: Any) -> dict[str, Any]:
    import numpy as np

    found = {}
    for name, held in group.items():
        values = held[:]
        if values.dtype.kind in "SO":
            values = np.array([one.decode() if isinstance(one, bytes) else str(one) for one in values.ravel()], object)
        found[str(name)] = values
    return found


def _named(attributes: Mapping[str, Any], wanted: str | None, usual: tuple[str, ...], path: Path) -> str:
    if wanted is not None and wanted not in attributes:
        raise ParameterError(f"{path.name} has no attribute {wanted!r}; {closest(wanted, attributes)}")
    name = wanted or next((one for one in usual if one in attributes), None)
    if name is None:
        raise DataError(
            f"{path.name} names nothing by {some(usual)}; it has {some(attributes)}: say which attribute does"
        )
    return name


def _framed(attributes: Mapping[str, Any], name: str, path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the attributes of one column as a table indexed by their names, and the wider ones."""
    import pandas as pd

    wide = {one: values for one, values in attributes.items() if values.ndim == 2}
    table = pd.DataFrame({one: values for one, values in attributes.items() if values.ndim == 1 and one != name})
    table.index = pd.Index([str(one) for one in attributes[name]])
    return table, wide
