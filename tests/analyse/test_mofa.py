"""A cohort goes to MOFA with its gaps, and its factors come back to the right people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from integrate.analyse.components import Components
from integrate.analyse.mofa import read_mofa, to_mofa
from integrate.errors import AlignmentError, DataError, ParameterError
from integrate.join.cohort import Cohort

MakeCohort = Callable[..., Cohort]


@pytest.fixture
def cohort(make_cohort: MakeCohort) -> Cohort:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=80)
    blocks: dict[str, Any] = {}
    for name, many in (("rna", 20), ("ct", 8)):
        values = np.outer(signal, rng.choice([-1, 1], many)) + 0.5 * rng.normal(size=(80, many))
        values[rng.random(80) < 0.25] = np.nan
        blocks[name] = {f"{name}{i:02d}": column for i, column in enumerate(values.T)}
    return make_cohort(obs={"signal": signal, "site": np.array(list("ab"))[np.arange(80) % 2]}, **blocks)


def test_every_known_value_is_in_the_long_table_once(cohort: Cohort) -> None:
    table = to_mofa(cohort, ["rna", ["ct00", "ct01"]], group="site")
    assert table.columns.tolist() == ["sample", "group", "feature", "view", "value"]
    assert not table.duplicated(["sample", "feature"]).any()
    wide = table.pivot(index="sample", columns="feature", values="value").reindex(cohort.obs.index)
    for name in ("rna/rna03", "ct/ct01"):
        pd.testing.assert_series_equal(wide[name], cohort.values(name), check_names=False)
    assert table["value"].notna().all()
    assert set(table["view"]) == {"rna", "ct00, ct01"}
    groups = table.drop_duplicates("sample").set_index("sample")["group"]
    assert groups.equals(cohort.obs.loc[groups.index, "site"].rename("group").astype(object))


def test_what_mofa_cannot_take_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="'rna/rna01' would be in two views"):
        to_mofa(cohort, ["rna", "rna01"])
    with pytest.raises(ParameterError, match="MOFA factorises numbers"):
        to_mofa(cohort, ["site"])
    cohort.obs["none"] = np.nan
    with pytest.raises(DataError, match="no unit has a value of 'none'"):
        to_mofa(cohort, ["rna", "none"])
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="is no fitted MOFA model: it has no 'expectations/Z'"):
        read_mofa(tmp_path / "other.hdf5", cohort)


@pytest.mark.parametrize("group", [None, "site"])
def test_the_planted_factor_comes_back(
    cohort: Cohort, make_cohort: MakeCohort, tmp_path: Path, group: str | None
) -> None:
    entry = pytest.importorskip("mofapy2.run.entry_point", reason="needs mofapy2 (the extra mofa)")
    model = entry.entry_point()
    model.set_data_options(scale_views=True)
    model.set_data_df(to_mofa(cohort, ["rna", "ct"], group=group))
    model.set_model_options(factors=3)
    model.set_train_options(iter=100, seed=1, quiet=True)
    model.build()
    model.run()
    path = tmp_path / "model.hdf5"
    model.save(str(path), save_data=False)
    found = read_mofa(path, cohort)
    assert isinstance(found, Components)
    has = cohort.assays["rna"].obs_names.union(cohort.assays["ct"].obs_names)
    assert set(found.scores.index) == set(has)
    assert found.scores.index.equals(cohort.obs.index[cohort.obs.index.isin(has)])
    first = found.scores["factor 1"]
    r = np.corrcoef(first, cohort.obs.loc[first.index, "signal"])[0, 1]
    assert abs(r) > 0.9
    assert set(found.loadings.index) == {f"rna/rna{i:02d}" for i in range(20)} | {f"ct/ct{i:02d}" for i in range(8)}
    assert found.explained.loc["factor 1", ["rna", "ct"]].between(0.5, 1).all()
    other = make_cohort(obs={"x": [1.0, 2.0]})
    with pytest.raises(AlignmentError, match="units that are not in the cohort"):
        read_mofa(path, other)
