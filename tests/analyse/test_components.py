"""Components, clusters and relations of blocks are those of an obvious version, and noise has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist
from sklearn.cross_decomposition import CCA

from integrate.analyse.components import cluster_units, find_components
from integrate.analyse.cross_modal import cross_modal
from integrate.errors import DataError, ParameterError
from integrate.join.cohort import Cohort

MakeCohort = Callable[..., Cohort]


def blocks_of(make_cohort: MakeCohort, *, n: int = 60, shared: float = 1.0, seed: int = 0) -> Cohort:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(n, 2))
    rna = shared * factor @ rng.normal(size=(2, 30)) + rng.normal(size=(n, 30))
    ct = shared * factor @ rng.normal(size=(2, 6)) + rng.normal(size=(n, 6))
    return make_cohort(
        rna={f"g{i}": column for i, column in enumerate(rna.T)},
        ct={f"r{i}": 100 * column for i, column in enumerate(ct.T)},
    )


def standard(values: Any) -> Any:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def test_one_block_is_principal_component_analysis(make_cohort: MakeCohort) -> None:
    cohort = blocks_of(make_cohort)
    found = find_components(cohort, "rna", n_components=3)
    z = standard(cohort.assays["rna"].X)
    variances, axes = np.linalg.eigh(z.T @ z / len(z))
    np.testing.assert_allclose(found.explained["share"], variances[::-1][:3] / variances.sum())
    np.testing.assert_allclose(np.abs(found.scores), np.abs(z @ axes[:, ::-1][:, :3]), atol=1e-8)
    r = np.corrcoef(z[:, 4], found.scores["component 1"])[0, 1]
    assert found.loadings.loc["rna/g4", "component 1"] == pytest.approx(r)


def test_several_blocks_are_multiple_factor_analysis(make_cohort: MakeCohort) -> None:
    cohort = blocks_of(make_cohort)
    found = find_components(cohort, ["rna", "ct"])
    parts = [standard(cohort.assays[name].X) for name in ("rna", "ct")]
    weighted = np.hstack([z / np.sqrt(np.linalg.eigvalsh(z.T @ z)[-1]) for z in parts])
    variances, axes = np.linalg.eigh(weighted @ weighted.T)
    np.testing.assert_allclose(found.explained["share"], variances[::-1][:2] / variances.sum())
    np.testing.assert_allclose(
        np.abs(found.scores), np.abs(axes[:, ::-1][:, :2] * np.sqrt(variances[::-1][:2])), atol=1e-8
    )
    assert found.explained[["rna", "ct"]].sum(axis=1).tolist() == pytest.approx([1, 1])
    assert 0.3 < found.explained.loc["component 1", "ct"] < 0.7  # six features weigh as much as thirty
    assert cohort.assays["ct"].X.std() > 20 * cohort.assays["rna"].X.std()


def test_who_lacks_a_block_is_left_out_and_a_gap_is_filled_and_counted(make_cohort: MakeCohort) -> None:
    cohort = blocks_of(make_cohort)
    cohort.assays["rna"].X[3, 4] = np.nan
    cohort.assays["ct"].X[5] = np.nan
    found = find_components(cohort, ["rna", "ct"])
    assert (len(found.scores), found.n_filled) == (59, 1)
    assert cohort.obs.index[5] not in found.scores.index
    with pytest.raises(ParameterError, match="9 components cannot be had of 59 units and 6 features"):
        find_components(cohort, "ct", n_components=9)


def test_planted_groups_are_stable_and_noise_is_not(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(1)
    group = np.repeat([0, 1, 2], [40, 30, 20])
    centres = rng.normal(0, 3, (3, 10))
    cohort = make_cohort(
        rna=dict(zip("abcdefghij", (centres[group] + rng.normal(size=(90, 10))).T, strict=True)),
        noise=dict(zip("klmnopqrst", rng.normal(size=(90, 10)).T, strict=True)),
    )
    found = cluster_units(cohort, "rna", k=[2, 3, 4], resamples=8)
    assert found.stability.attrs["integrate"]["chosen"] == 3
    assert found.labels.value_counts().to_dict() == {1: 40, 2: 30, 3: 20}
    assert found.labels.tolist() == (group + 1).tolist()
    assert found.stability.set_index("k").loc[3, "stability"] > 0.95
    noise = cluster_units(cohort, "noise", k=3, resamples=10)
    assert noise.stability.loc[0, "stability"] < 0.7
    with pytest.raises(ParameterError, match="k=90 clusters of 90 units"):
        cluster_units(cohort, "rna", k=90)


def test_each_relation_is_its_formula(make_cohort: MakeCohort) -> None:
    cohort = blocks_of(make_cohort)
    x, y = (standard(cohort.assays[name].X) for name in ("rna", "ct"))
    cross = x.T @ y
    rv = np.trace(cross @ cross.T) / np.sqrt(np.trace(x.T @ x @ x.T @ x) * np.trace(y.T @ y @ y.T @ y))
    mantel = stats.spearmanr(pdist(x), pdist(y)).statistic
    pcs = [np.linalg.svd(z, full_matrices=False)[0][:, :3] for z in (x, y)]
    scores = CCA(1, scale=False, max_iter=5000, tol=1e-12).fit(*pcs).transform(*pcs)
    expected = {"rv": rv, "mantel": mantel, "cca": np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1]}
    for method, value in expected.items():
        found = cross_modal(cohort, "rna", "ct", unit="subject", method=method, n_components=3, permutations=99).iloc[0]
        assert found["effect"] == pytest.approx(value, abs=1e-6)
        assert found["p"] == 0.01
        assert found["expected"] < found["effect"]
    assert cross_modal(cohort, "rna", "ct", unit="subject", method="pls", permutations=99)["p"].item() == 0.01


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rv", "mantel", "pls", "cca"])
def test_where_nothing_is_shared_few_are_found(make_cohort: MakeCohort, method: str) -> None:
    p = [
        cross_modal(
            blocks_of(make_cohort, n=25, shared=0, seed=seed), "rna", "ct", unit="subject", method=method,
            permutations=39, seed=seed,
        )["p"].item()
        for seed in range(40)
    ]  # fmt: skip
    assert np.mean(np.array(p) <= 0.05) <= 0.15
    assert 0.35 < np.mean(p) < 0.65


def test_blocks_nobody_shares_are_refused(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(a={"x": [1, 2, np.nan, np.nan]}, b={"y": [np.nan, np.nan, 1, 2]})
    with pytest.raises(DataError, match="0 units have all of a, b; three are needed"):
        cross_modal(cohort, "a", "b", unit="subject")


@pytest.mark.slow
def test_scanpy_works_on_an_assay_unchanged(make_cohort: MakeCohort) -> None:
    sc = pytest.importorskip("scanpy")
    adata = blocks_of(make_cohort).assays["rna"].copy()
    sc.pp.scale(adata)
    sc.pp.pca(adata, n_comps=3)
    sc.pp.neighbors(adata, n_neighbors=8)
    assert adata.obsm["X_pca"].shape == (60, 3)
    ours = find_components(blocks_of(make_cohort), "rna", n_components=1).scores["component 1"]
    assert abs(np.corrcoef(adata.obsm["X_pca"][:, 0], ours)[0, 1]) == pytest.approx(1, abs=1e-3)
