"""AnnData files: what was written, with the namespaces of its ids noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

from integrate.errors import DataError, IntegrateWarning, ParameterError
from integrate.readers.h5ad import H5AD
from integrate.testing import ReaderTests


def write(file: Path, *, obs_names: list[str] | None = None, var_names: list[str] | None = None) -> str:
    data = ad.AnnData(
        np.arange(6, dtype=np.float32).reshape(2, 3),
        obs=pd.DataFrame({"patient": ["007", "8"]}, index=["SIM.007.T1", "SIM.008.T1"]),
        var=pd.DataFrame({"unit": "1"}, index=["CD3E", "CD8A", "EGFR"]),
        layers={"counts": np.ones((2, 3), np.int32)},
        uns={"level": "specimen", "integrate": {"features": "kept"}},
    )
    data.write_h5ad(file)
    with h5py.File(file, "a") as store:  # anndata would warn before it writes repeated names
        for place, names in (("obs", obs_names), ("var", var_names)):
            if names:
                del store[f"{place}/_index"]
                store[f"{place}/_index"] = names
                store[f"{place}/_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    return str(file)


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> H5AD:
        return H5AD(url=write(folder / "a.h5ad"), keys={"obs_names": "sequencing", "patient": "hospital"})

    def check(self, opened: Any) -> None:
        assert opened.obs_names.tolist() == ["SIM.007.T1", "SIM.008.T1"]
        assert opened.obs["patient"].tolist() == ["007", "8"]
        np.testing.assert_array_equal(opened.X, [[0, 1, 2], [3, 4, 5]])
        assert opened.layers["counts"].sum() == 6
        assert opened.uns["integrate"]["keys"] == {"obs_names": "sequencing", "patient": "hospital"}
        assert opened.uns["integrate"]["features"] == "kept"


def test_what_was_read_can_be_written_and_read_again(tmp_path: Path) -> None:
    opened = H5AD(url=write(tmp_path / "a.h5ad"), keys={"obs_names": "sequencing"}, ids={"x": "1"}).read()
    opened.write_h5ad(tmp_path / "b.h5ad")
    again = H5AD(url=str(tmp_path / "b.h5ad")).read()
    assert again.uns["integrate"]["ids"] == {"x": "1"}
    assert again.uns["integrate"]["features"] == "kept"


def test_backed_leaves_the_matrix_on_disk(tmp_path: Path) -> None:
    opened = H5AD(url=write(tmp_path / "a.h5ad"), backed="r").read()
    assert opened.isbacked
    np.testing.assert_array_equal(opened[:, "CD8A"].X, [[1], [4]])
    opened.file.close()
    with pytest.raises(ParameterError, match=r'backed=\'r\+\'; give "r"'):
        H5AD(url=str(tmp_path / "a.h5ad"), backed="r+").read()


def test_a_key_column_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no obs column 'patients'; closest: 'patient'"):
        H5AD(url=write(tmp_path / "a.h5ad"), keys={"patients": "hospital"}).read()


def test_repeated_observations_are_refused_and_repeated_features_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 obs_names of a.h5ad repeat: 'S1'"):
        H5AD(url=write(tmp_path / "a.h5ad", obs_names=["S1", "S1"])).read()
    with pytest.warns(IntegrateWarning, match="1 of 3 var_names of b.h5ad repeat"):
        H5AD(url=write(tmp_path / "b.h5ad", var_names=["A", "B", "A"])).read()


def test_other_hdf5_is_told_apart(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5ad", "w") as store:
        store.create_group("matrix")
    with pytest.raises(DataError, match="HDF5 but no AnnData, it holds 'matrix'; it looks like a 10x matrix"):
        H5AD(url=str(tmp_path / "a.h5ad")).read()
    with h5py.File(tmp_path / "b.h5ad", "w") as store:
        store.attrs["encoding-type"] = "MuData"
        for name in ("mod", "obs", "var"):
            store.create_group(name)
    with pytest.raises(DataError, match="no AnnData, it holds 'mod', 'obs', 'var'"):
        H5AD(url=str(tmp_path / "b.h5ad")).read()


def test_a_file_cut_off_anywhere_is_one_clear_error(tmp_path: Path) -> None:
    content = Path(write(tmp_path / "a.h5ad")).read_bytes()
    for length in range(0, len(content), max(1, len(content) // 12)):
        (tmp_path / "a.h5ad").write_bytes(content[:length])
        with pytest.raises(DataError, match=r"a.h5ad is not a readable HDF5 file"):
            H5AD(url=str(tmp_path / "a.h5ad")).read()
