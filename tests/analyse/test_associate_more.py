"""Slopes are least squares', strata take out what differs between them, and permutations know what goes together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from integrate.analyse.associate import associate
from integrate.errors import ParameterError
from integrate.join.cohort import Cohort

MakeCohort = Callable[..., Cohort]


@pytest.fixture
def sites(make_cohort: MakeCohort) -> Cohort:
    rng = np.random.default_rng(0)
    site = np.array(list("abc"))[np.arange(90) % 3]
    level = np.array([0.0, 4, -6])[np.arange(90) % 3]
    cells = {f"c{i}": rng.normal(size=90) + level for i in range(6)}
    rna = {f"g{i}": rng.normal(size=90) + level for i in range(8)}
    rna["g0"] = cells["c0"] + rng.normal(0, 0.5, 90)
    cells["c1"][4] = np.nan
    return make_cohort(cells=cells, rna=rna, obs={"site": site, "age": rng.normal(60, 9, 90)})


def test_ols_is_statsmodels(sites: Cohort) -> None:
    found = associate(sites, "cells", "rna", unit="subject", method="ols", adjust=["age", "site"]).set_index(["x", "y"])
    table = sites.to_pandas(layout="wide").rename(columns=lambda name: name.replace("/", "_"))
    for x, y in (("c0", "g0"), ("c1", "g3"), ("c5", "g7")):
        theirs = smf.ols(f"rna_{y} ~ cells_{x} + age + site", table).fit()
        row, name = found.loc[(f"cells/{x}", f"rna/{y}")], f"cells_{x}"
        expected = [theirs.params[name], *theirs.conf_int().loc[name], theirs.pvalues[name]]
        assert row[["effect", "ci_low", "ci_high", "p"]].tolist() == pytest.approx(expected, rel=1e-6)
        assert row["n_obs"] == theirs.nobs


def test_strata_take_out_what_differs_between_sites(sites: Cohort) -> None:
    raw = associate(sites, "cells", "rna", unit="subject")
    within = associate(sites, "cells", "rna", unit="subject", strata="site")
    others = within["x"].isin(["cells/c2", "cells/c3", "cells/c4", "cells/c5"])
    assert (raw.loc[others, "q"] < 0.05).all()  # sites, not biology
    assert (within.loc[others, "p"] < 0.05).mean() < 0.2
    assert (within["q"] < 0.05).sum() >= 1
    assert within.loc[0, ["x", "y", "method"]].tolist() == ["cells/c0", "rna/g0", "stratified spearman"]
    assert within.loc[0, "q"] < 1e-6
    ranks = sites.to_pandas(layout="wide").groupby("site")[["cells/c0", "rna/g0"]].rank() / 31
    centred = ranks - ranks.groupby(sites.obs["site"]).transform("mean")
    assert within.loc[0, "effect"] == pytest.approx(np.corrcoef(centred.T)[0, 1])
    itself = associate(sites, "age", "site", unit="subject", strata="site").iloc[0]
    assert np.isnan(itself["effect"])
    assert itself["reason"] == "constant, or not compared within any stratum"


def test_permutation_q_counts_what_chance_gives(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(40, 1))
    genes = 2 * shared + rng.normal(size=(40, 25))  # they go together, as genes do
    arm = rng.normal(size=40)
    genes[:, :3] += 2 * arm[:, None]
    cohort = make_cohort(rna={f"g{i:02d}": column for i, column in enumerate(genes.T)}, obs={"score": arm})
    ask: dict[str, Any] = {"unit": "subject", "fdr": "permutation", "permutations": 100}
    found = associate(cohort, "score", "rna", **ask)
    assert found["q"].between(0, 1).all()
    assert (found.sort_values("p")["q"].diff().dropna() >= -1e-12).all()
    again = associate(cohort, "score", "rna", **ask)
    pd.testing.assert_series_equal(found["q"], again["q"])
    orders = np.random.default_rng(0)
    null = np.array([
        stats.spearmanr(arm, genes[orders.permutation(40)])[1][0, 1:] for _ in range(100)
    ])  # fmt: skip
    least = found["p"].idxmin()
    expected = (null <= found.loc[least, "p"] * (1 + 1e-9)).sum() / 100 / 1
    rest = [(null <= p * (1 + 1e-9)).sum() / 100 / (found["p"] <= p).sum() for p in found["p"]]
    assert found.loc[least, "q"] == pytest.approx(min(expected, *rest))
    with pytest.raises(ParameterError, match="cannot be shuffled where covariates are adjusted for"):
        associate(cohort, "score", "rna", adjust="rna/g00", **ask)


@pytest.mark.slow
def test_permutation_finds_nothing_where_nothing_is(make_cohort: MakeCohort) -> None:
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        genes = rng.normal(size=(30, 1)) + 0.5 * rng.normal(size=(30, 40))
        cohort = make_cohort(
            rna={f"g{i:02d}": column for i, column in enumerate(genes.T)},
            obs={"arm": np.array(["a", "b"])[rng.permutation(30) % 2]},
        )
        result = associate(cohort, "arm", "rna", unit="subject", fdr="permutation", permutations=60, seed=seed)
        found.append((result["q"] < 0.05).any())
    assert np.mean(found) <= 0.15
