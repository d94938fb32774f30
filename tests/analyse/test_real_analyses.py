"""Real studies give what is known of them, and nothing where there is nothing, with the n that the evidence has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from integrate.analyse.associate import associate
from integrate.analyse.batches import ComBat
from integrate.analyse.cox import cox, cox_scan
from integrate.analyse.fdr import adjust_p_values
from integrate.analyse.logrank import logrank
from integrate.analyse.survival import kaplan_meier, median_survival
from integrate.catalog.open import open_catalog
from integrate.datasets.cohort import Effects, plan_cohort
from integrate.join.cohort import Cohort
from integrate.join.link import link
from integrate.join.reduce import Quantile
from integrate.model.assemble import open_study
from integrate.model.outcome import TimeToEvent

R: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "miniacc.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def mini_acc(test_data: Callable[[str], Path]) -> Cohort:
    study = open_study(open_catalog("miniacc", data_root=str(test_data("miniacc-multiomics").parent)))
    cohort = link(study, unit="subject", clinical="clinical", rna="RNASeq2GeneNorm", validate="1:1")
    days = cohort.obs["days_to_death"].fillna(cohort.obs["days_to_last_followup"])
    cohort.obs["days"] = days.astype(float)
    return cohort


def death(cohort: Cohort) -> TimeToEvent:
    return TimeToEvent.from_columns(cohort.obs, time="days", event="vital_status", unit="d", origin="diagnosis")


def logged(cohort: Cohort) -> pd.DataFrame:
    adata = cohort.assays["rna"]
    return pd.DataFrame(np.log2(adata.X + 1), index=adata.obs_names, columns=adata.var_names)


def test_survival_of_mini_acc_is_rs(mini_acc: Cohort) -> None:
    raw = cox_scan(mini_acc, death(mini_acc), [f"rna/{g}" for g in R["genes"]], unit="subject", transform=None)
    np.testing.assert_allclose(raw["effect"], R["raw"], rtol=0, atol=1e-6)
    adata = mini_acc.assays["rna"].copy()
    adata.X = logged(mini_acc).to_numpy()
    logs = Cohort(
        mini_acc.name, "subject", mini_acc.obs, {"rna": adata}, mini_acc.report, mini_acc.missing_reason[["rna"]]
    )
    ask: dict[str, Any] = {"unit": "subject", "transform": None, "adjust": "years_to_birth"}
    found = cox_scan(logs, death(logs), [f"rna/{g}" for g in R["genes"]], **ask)
    np.testing.assert_allclose(found["effect"], R["coef"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["p"], R["p"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["q"], R["BH"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(adjust_p_values(found["p"], method="by"), R["BY"], rtol=0, atol=1e-6)
    assert found["n_obs"].eq(79).all()
    sequenced = mini_acc.complete("rna")
    part = TimeToEvent(death(mini_acc).time[sequenced], death(mini_acc).event[sequenced], "d", "diagnosis")
    assert logrank(mini_acc, part, "gender", unit="subject")["statistic"].item() == pytest.approx(R["logrank"])
    curve = kaplan_meier(mini_acc, part, unit="subject")
    median = median_survival(curve)["median"].item()
    assert (np.isnan(median) and R["median"] is None) or median == R["median"]


def test_combat_of_mini_acc_is_svas(mini_acc: Cohort) -> None:
    table = logged(mini_acc)
    table["site"] = table.index.str[5:7]
    table["gender"] = mini_acc.obs["gender"].astype(str).reindex(table.index)
    table = table[table["site"].isin(R["combat"]["sites"])]
    varies = table.drop(columns="gender").groupby("site").std().gt(0).all()
    table = table[[*varies.index[varies], "site", "gender"]]
    found = ComBat(batch="site", covariates=["gender"]).fit_transform(table)
    assert len(found) == R["combat"]["n"]
    ours = found.loc[R["combat"]["subjects"], R["combat"]["genes"]].T
    np.testing.assert_allclose(ours, R["combat"]["values"], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_lgg_egfr_follows_idh_and_published_shape_follows_no_gene(test_data: Callable[[str], Path]) -> None:
    study = open_study(open_catalog("lgg", data_root=str(test_data("lgg-mri").parent)))
    masks = [(mask.attrs["integrate"]["ids"]["region_id"], float((mask > 0).sum())) for mask in study.each("masks")]
    tumour = pd.DataFrame(masks, columns=["region_id", "area_px"])
    cohort = link(
        study, unit="subject", molecular="molecular", published="published", tumour=tumour,
        reduce={"molecular": "mean", "tumour": Quantile(1)},
    )  # fmt: skip
    mutated = cohort.values("IDH1_mut")
    cohort.obs["IDH"] = pd.Categorical(mutated.map({0.0: "wild type", 1.0: "mutant"}), ["mutant", "wild type"])
    egfr = associate(cohort, "EGFR_rnaseq", "IDH", unit="subject").iloc[0]
    assert egfr["groups"] == "mutant = 333, wild type = 178"
    assert egfr["n_subjects"] == 511  # 920 slides of them count once each
    assert egfr["ci_high"] < -0.15
    assert egfr["p"] < 1e-6
    genes = [n for n in cohort.assays["molecular"].var_names if n.endswith(("_rnaseq", "_cnv", "_mut"))]
    assert len(genes) == 1590
    wide = associate(cohort, ["tumour", "published"], genes, unit="subject")
    assert len(wide) == 1590 * 30
    asked = wide.dropna(subset=["p"])
    assert asked["q"].tolist() == pytest.approx(adjust_p_values(asked["p"]))
    assert asked["n_subjects"].max() == 78
    area = wide[wide["x"] == "tumour/area_px"]
    assert area["n_obs"].max() == 48
    print("\nLGG:", len(asked), "pairs,", int((asked["q"] < 0.05).sum()), "with q < 0.05; EGFR by IDH", egfr["effect"])
    assert (asked["q"] < 0.05).mean() < 0.01  # a null, and shown as one


def test_dcis_has_too_few_patients_for_its_markers_and_says_so(test_data: Callable[[str], Path]) -> None:
    study = open_study(open_catalog("dcis", data_root=str(test_data("dcis-mibi").parent)))
    cohort = link(study, unit="subject", clinical="clinical")
    markers = [c for c in cohort.obs if c.startswith(("Emask_density", "Smask_density", "Status_tumor"))]
    markers = [c for c in markers if pd.api.types.is_numeric_dtype(cohort.obs[c])]
    subtype = associate(cohort, markers, "PAM50", unit="subject", groups=["LumA", "Basal"]).set_index("x")
    er = subtype.loc["Status_tumor_ER_freq"]
    assert er[["n_subjects", "groups"]].tolist() == [8, "LumA = 4, Basal = 4"]
    assert er["effect"] == 0.5  # more ER in luminal tumours; four against four cannot show it
    assert er["ci_low"] < 0 < er["ci_high"]
    outcome = associate(cohort, markers, "Status", unit="subject", groups=["progressor", "nonprogressor"])
    assert outcome["n_obs"].max() == 15
    assert "progressor = 4, nonprogressor = 11" in set(outcome["groups"])
    assert (outcome["p"] < 0.05).any()  # by itself a finding ...
    assert outcome["q"].min() > 0.5  # ... among 47 markers none
    assert subtype["q"].min() > 0.5
    assert (outcome["n_missing"] >= 4).all()


@pytest.mark.slow
def test_planted_effects_are_inside_their_limits_in_nine_of_ten_studies(make_cohort: Callable[..., Cohort]) -> None:
    effects = Effects()
    inside: dict[str, list[bool]] = {"hazard": [], "response": [], "site": []}
    for seed in range(60):  # of 400 studies of 60 subjects the hazard is inside in 93.5 %
        people = plan_cohort(60, seed=seed, effects=effects)
        stages = ("I", "II", "III", "IV")
        density = np.array([p.immune_density for p in people])
        obs: dict[str, Any] = {"time": [float(p.os_days) for p in people], "event": [p.os_event for p in people]}
        obs["stage"] = [float(stages.index(p.stage)) for p in people]
        place = np.array([p.site for p in people])
        obs["at"] = (place == sorted(set(place))[0]) * 1.0
        planted = 1.5
        gene = density + planted * obs["at"] + np.random.default_rng(seed).normal(size=60)
        cohort = make_cohort(immune={"density": density, "gene": gene}, obs=obs)
        outcome = TimeToEvent.from_columns(cohort.obs, time="time", event="event", unit="d", origin="diagnosis")
        found = cox(cohort, outcome, ["density", "stage"], unit="subject").iloc[0]
        inside["hazard"].append(found["ci_low"] < effects.log_hazard_ratio_per_immune < found["ci_high"])
        slope = associate(cohort, "at", "gene", unit="subject", method="ols", adjust="density").iloc[0]
        inside["site"].append(slope["ci_low"] < planted < slope["ci_high"])
        known = np.array([p.response is not None for p in people])
        responds = np.array([p.response == "responder" for p in people], dtype=float)
        low, high = sm.Logit(responds[known], sm.add_constant(density[known])).fit(disp=0).conf_int()[1]
        inside["response"].append(low < effects.response_log_odds_per_immune < high)
    shares = {name: float(np.mean(values)) for name, values in inside.items()}
    print("\ninside the limits:", shares)
    assert min(shares.values()) >= 0.9
