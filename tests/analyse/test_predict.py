"""Noise is not predicted, signal is, and what has seen the answers is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from integrate.analyse.batches import ComBat
from integrate.analyse.brier import brier_losses, integrate_over, marginal_survival
from integrate.analyse.calibrate import calibrate
from integrate.analyse.estimators import PenalisedCox, outcome_array
from integrate.analyse.harmonise import harmonise
from integrate.analyse.leakage import audit_leakage
from integrate.analyse.predict import Prediction, evaluate_prediction
from integrate.datasets.cohort import Effects, plan_cohort
from integrate.errors import DataError, IntegrateWarning, ParameterError, UnitError
from integrate.join.cohort import Cohort
from integrate.model.outcome import TimeToEvent

MakeCohort = Callable[..., Cohort]
BRIER: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "brier.json").read_text(encoding="utf-8"))


def noise(make_cohort: MakeCohort, *, n: int, features: int, seed: int, rows: int = 1) -> Cohort:
    """Return subjects with their own level in each feature and an outcome that has nothing to do with it."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n), rows)
    values = {f"f{i:03d}": rng.normal(size=n)[owner] + 0.3 * rng.normal(size=n * rows) for i in range(features)}
    arm = np.array(["no", "yes"])[rng.permutation(np.arange(n) % 2)][owner]
    more: dict[str, Any] = {} if rows == 1 else {"unit": "acquisition", "of": [f"S{i:03d}" for i in owner]}
    return make_cohort(obs={"arm": arm}, mif=values, **more)


@pytest.mark.slow
def test_nested_grouped_auc_of_pure_noise_is_one_half(make_cohort: MakeCohort) -> None:
    model = make_pipeline(SelectKBest(k=10), LogisticRegression(max_iter=2000))
    ask: dict[str, Any] = {"unit": "acquisition", "model": model, "bootstrap": 0}
    ask["search"] = {"selectkbest__k": [5, 20]}
    nested, leaky, mixed = [], [], []
    for seed in range(12):
        cohort = noise(make_cohort, n=60, features=200, seed=seed, rows=3)
        nested.append(evaluate_prediction(cohort, "mif", "arm", seed=seed, **ask).scores["effect"][0])
        x, y = cohort.assays["mif"].X, (cohort.obs["arm"] == "yes").to_numpy()
        chosen = SelectKBest(k=10).fit(x[::3], y[::3]).transform(x)  # what the API does not do
        predicted = cross_val_predict(LogisticRegression(), chosen, y, cv=5, method="predict_proba")[:, 1]
        leaky.append(roc_auc_score(y, predicted))
        forest = RandomForestClassifier(30, random_state=seed)
        order = np.random.default_rng(seed).permutation(len(y))
        apart = cross_val_predict(forest, x[order], y[order], cv=5, method="predict_proba")[:, 1]
        mixed.append(roc_auc_score(y[order], apart))
    told = {"nested, by subject": nested, "features chosen outside": leaky, "split by row": mixed}
    print("\nAUC of noise:", {name: round(float(np.mean(values)), 3) for name, values in told.items()})
    assert abs(np.mean(nested) - 0.5) < 0.05
    assert np.mean(leaky) > 0.75
    assert np.mean(mixed) > 0.75  # rows of one subject on both sides


def test_scores_are_those_of_scikit_learn(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4))
    arm = np.where(rng.random(120) < 1 / (1 + np.exp(-2 * x[:, 0])), "yes", "no")
    cohort = make_cohort(mif=dict(zip("abcd", x.T, strict=True)), obs={"arm": arm})
    found = evaluate_prediction(cohort, "mif", "arm", unit="subject", permutations=19, bootstrap=300)
    told = found.predictions
    each = told.groupby("fold").apply(
        lambda f: pd.Series(
            [roc_auc_score(f["observed"], f["predicted"]), f["observed"].sum() * (~f["observed"]).sum()]
        ),
        include_groups=False,
    )
    assert found.scores["effect"][0] == pytest.approx(np.average(each[0], weights=each[1].astype(float)))
    assert found.scores["effect"][1] == pytest.approx(brier_score_loss(told["observed"], told["predicted"]))
    assert found.scores["effect_name"].tolist() == ["AUC", "Brier"]
    assert (found.scores["ci_low"] < found.scores["effect"]).all()
    assert (found.scores["effect"] < found.scores["ci_high"]).all()
    assert found.scores["ci_low"][0] > 0.6
    assert found.scores["p"].tolist() == [0.05, 0.05]
    assert repr(found).startswith("<Prediction of arm: AUC 0.")


def test_the_planted_hazard_is_predicted(make_cohort: MakeCohort) -> None:
    people = plan_cohort(150, seed=1, effects=Effects())
    obs = {"time": [float(p.os_days) for p in people], "event": [p.os_event for p in people]}
    rng = np.random.default_rng(0)
    immune = {"density": [p.immune_density for p in people], **{f"n{i}": rng.normal(size=150) for i in range(4)}}
    cohort = make_cohort(immune=immune, obs=obs)
    outcome = TimeToEvent.from_columns(cohort.obs, time="time", event="event", unit="d", origin="diagnosis")
    found = evaluate_prediction(cohort, "immune", outcome, unit="subject", bootstrap=200)
    assert found.scores["effect_name"].tolist() == [
        "c-index", "integrated Brier", "explained (1 - Brier / Kaplan-Meier)",
    ]  # fmt: skip
    assert found.scores["ci_low"][0] > 0.5
    assert 0 < found.scores["effect"][1] < 0.25
    assert found.scores["ci_low"][2] > 0  # better than one curve for everybody
    fold = found.predictions.query("fold == 0")
    events = cohort.obs["event"].loc[fold["unit"]]
    assert concordance_index(fold["observed"], -fold["predicted"], events) > 0.5


def test_a_number_is_predicted(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    cohort = make_cohort(mif=dict(zip("abc", x.T, strict=True)), obs={"age": 60 + 5 * x[:, 0] + rng.normal(size=100)})
    found = evaluate_prediction(cohort, "mif", "age", unit="subject", bootstrap=100).scores
    assert found["effect_name"].tolist() == ["concordance", "R²"]
    assert found["effect"][1] > 0.9


def test_missing_modalities_do_not_cost_subjects(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(2)
    signal = rng.normal(size=160)
    blocks = {}
    for name in ("rna", "ct"):
        values = signal[:, None] + rng.normal(size=(160, 3))
        values[rng.random(160) < 0.4] = np.nan
        blocks[name] = {f"{name}{i}": column for i, column in enumerate(values.T)}
    nobody = int(np.isnan([*blocks["rna"].values(), *blocks["ct"].values()]).all(axis=0).sum())
    cohort = make_cohort(obs={"arm": np.where(signal + rng.normal(size=160) > 0, "yes", "no")}, **blocks)
    ask: dict[str, Any] = {"unit": "subject", "bootstrap": 0}
    late = evaluate_prediction(cohort, ["rna", "ct"], "arm", fusion="late", **ask).scores.iloc[0]
    early = evaluate_prediction(cohort, ["rna", "ct"], "arm", **ask).scores.iloc[0]
    alone = evaluate_prediction(cohort, "rna", "arm", fusion="late", **ask).scores.iloc[0]
    assert (late["n_obs"], late["n_missing"]) == (160 - nobody, nobody)
    assert early["n_obs"] == 160
    assert alone["n_obs"] < 110
    assert min(late["effect"], early["effect"]) > 0.65
    pipeline = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), LogisticRegression())
    assert evaluate_prediction(cohort, ["rna", "ct"], "arm", model=pipeline, **ask).scores["effect"][0] > 0.6


def test_survival_is_judged_as_r_weighs_it(make_cohort: MakeCohort) -> None:
    table = {name: np.array(values, dtype=float) for name, values in BRIER["table"].items()}
    times, event = np.array(BRIER["times"], dtype=float), table["event"] > 0
    losses = brier_losses(table["time"], event, np.array(BRIER["survival"]), times)
    np.testing.assert_allclose(losses.sum(axis=0), BRIER["brier"], rtol=1e-9)
    alike = np.broadcast_to(marginal_survival(table["time"], event, times), losses.shape)
    reference = brier_losses(table["time"], event, alike, times)
    np.testing.assert_allclose(reference.sum(axis=0), BRIER["reference"], rtol=1e-9)
    x = np.column_stack([table["x"], table["z"]])
    model = PenalisedCox(penalty=0.0).fit(x, outcome_array(table["time"], event))
    np.testing.assert_allclose(model.predict_survival(x, times), BRIER["survival"], rtol=0, atol=2e-6)
    assert integrate_over(np.array([1.0, 3.0, 3.0]), np.array([0.0, 2.0, 4.0])) == pytest.approx(2.5)
    nobody_left = brier_losses(
        np.array([1.0, 2, 3]), np.array([True] * 3), np.array([[0.2], [0.7], [1.0]]), np.array([2.0])
    )
    np.testing.assert_allclose(nobody_left[:, 0], [0.04, 0.49, 0])  # without censoring it is the plain square
    cohort = make_cohort(mif={"x": table["x"], "z": table["z"]}, obs={"time": table["time"], "event": event})
    outcome = TimeToEvent.from_columns(cohort.obs, time="time", event="event", unit="mo", origin="start")
    ask: dict[str, Any] = {"unit": "subject", "bootstrap": 0}
    found = evaluate_prediction(cohort, "mif", outcome, times=times.tolist(), **ask)
    assert found.survival is not None
    assert list(found.survival.columns) == times.tolist()
    by_hand = brier_losses(table["time"], event, found.survival.to_numpy(), times)
    assert found.scores["effect"][1] == pytest.approx(integrate_over(by_hand, times).mean())
    explained = 1 - integrate_over(by_hand, times).mean() / integrate_over(reference, times).mean()
    assert found.scores["effect"][2] == pytest.approx(explained)
    with pytest.raises(ParameterError, match=r"nobody is followed beyond times=99"):
        evaluate_prediction(cohort, "mif", outcome, times=[5, 99], **ask)
    with pytest.raises(ParameterError, match="times= judge survival, and 'mif/x' is a number"):
        evaluate_prediction(cohort, "z", "x", times=[5], **ask)


def test_a_useless_model_explains_nothing_of_survival(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(5)
    obs = {"time": rng.exponential(10, 80), "event": rng.random(80) < 0.7}
    cohort = make_cohort(mif={f"f{i}": rng.normal(size=80) for i in range(5)}, obs=obs)
    outcome = TimeToEvent.from_columns(cohort.obs, time="time", event="event", unit="mo", origin="start")
    found = evaluate_prediction(cohort, "mif", outcome, unit="subject", permutations=19, bootstrap=0, folds=3).scores
    assert found["effect"][2] < 0.03
    assert (found["p"] > 0.05).all()
    assert found["p"][2] == found["p"][1]  # a smaller loss explains more: both say the same
    assert found["q"].equals(found["p"])


def test_honest_chances_are_calibrated_and_bold_ones_are_not(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(6)
    signal = rng.normal(size=600)
    obs: dict[str, Any] = {"arm": np.where(rng.random(600) < 1 / (1 + np.exp(-1.5 * signal)), "yes", "no")}
    waiting, last = rng.exponential(10 * np.exp(-signal)), rng.uniform(5, 40, 600)
    obs |= {"time": np.minimum(waiting, last), "event": waiting <= last, "score": 3 * signal + rng.normal(size=600)}
    cohort = make_cohort(mif={"signal": signal}, obs=obs)
    outcome = TimeToEvent.from_columns(cohort.obs, time="time", event="event", unit="mo", origin="start")
    plain = make_pipeline(StandardScaler(), PenalisedCox(penalty=0.0))
    for y, model in (("arm", None), ("score", None), (outcome, plain)):
        told = evaluate_prediction(cohort, "mif", y, unit="subject", bootstrap=0, model=model)
        found = calibrate(told, bins=4)
        slope, groups = found.iloc[-1], found.iloc[:-1]
        assert slope["ci_low"] < 1 < slope["ci_high"]
        assert slope["p"] > 0.05
        assert len(groups) == 4
        assert groups["effect"].is_monotonic_increasing
        assert ((groups["ci_low"] < groups["predicted"]) & (groups["predicted"] < groups["ci_high"])).sum() >= 3
        assert groups["n_obs"].sum() == 600
    bold = evaluate_prediction(cohort, "mif", "arm", unit="subject", bootstrap=0)
    logit = np.log(bold.predictions["predicted"] / (1 - bold.predictions["predicted"]))
    table = bold.predictions.assign(predicted=1 / (1 + np.exp(-2 * logit)))
    honest, doubled = (calibrate(Prediction(bold.scores, one, "groups")).iloc[-1] for one in (bold.predictions, table))
    assert doubled["effect"] == pytest.approx(honest["effect"] / 2, abs=1e-3)
    assert doubled["ci_high"] < 1
    shrunk = evaluate_prediction(cohort, "mif", outcome, unit="subject", bootstrap=0)
    assert calibrate(shrunk).iloc[-1]["ci_low"] > 1  # the penalty made it timid
    with pytest.raises(ParameterError, match=r"survival was judged at \[.*\], not at time=0.5"):
        calibrate(shrunk, time=0.5)


def test_late_fusion_harmonises_each_modality_in_the_folds(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(8)
    signal, site = rng.normal(size=120), np.arange(120) % 2
    blocks = {}
    for name in ("rna", "ct"):
        values = signal[:, None] + rng.normal(size=(120, 6)) + 6 * site[:, None]
        values[rng.random(120) < 0.2] = np.nan
        blocks[name] = {f"{name}{i}": column for i, column in enumerate(values.T)}
    waiting, last = rng.exponential(10 * np.exp(-signal)), rng.uniform(5, 40, 120)
    obs: dict[str, Any] = {"arm": np.where(signal + rng.normal(size=120) > 0, "yes", "no"), "site": site.astype(str)}
    cohort = make_cohort(obs=obs | {"time": np.minimum(waiting, last), "event": waiting <= last}, **blocks)
    outcome = TimeToEvent.from_columns(cohort.obs, time="time", event="event", unit="mo", origin="start")
    ask: dict[str, Any] = {"unit": "subject", "bootstrap": 0, "fusion": "late", "beside": "site"}
    for y, last_step in (("arm", LogisticRegression()), (outcome, PenalisedCox())):
        model = make_pipeline(ComBat(batch="site"), StandardScaler(), last_step)
        found = evaluate_prediction(cohort, ["rna", "ct"], y, model=model, **ask)
        assert found.scores["effect"][0] > 0.65
        assert found.scores["n_obs"][0] > 110
    assert found.survival is not None
    assert found.survival.notna().all(axis=1).sum() == found.scores["n_obs"][0]


def test_combat_with_the_outcome_is_refused_and_without_it_works_in_the_folds(make_cohort: MakeCohort) -> None:
    cohort = noise(make_cohort, n=80, features=40, seed=1)
    cohort.obs["site"] = np.array(["a", "b"])[np.arange(80) // 40]
    ask: dict[str, Any] = {"unit": "subject", "bootstrap": 0}
    spoilt = harmonise(cohort, "mif", batch="site", keep="arm")
    with pytest.raises(ParameterError, match=r"'mif' was harmonised keeping 'arm': the answer is in the features"):
        evaluate_prediction(spoilt, "mif", "arm", **ask)
    with pytest.warns(IntegrateWarning, match="'mif' was harmonised over all units before the split"):
        evaluate_prediction(harmonise(cohort, "mif", batch="site"), "mif", "arm", **ask)
    model = make_pipeline(ComBat(batch="site"), LogisticRegression(max_iter=2000))
    found = evaluate_prediction(cohort, "mif", "arm", model=model, beside="site", **ask)
    assert 0.3 < found.scores["effect"][0] < 0.7
    fitted = make_pipeline(StandardScaler().fit(cohort.assays["mif"].X), LogisticRegression())
    with pytest.raises(ParameterError, match="'StandardScaler' is fitted already"):
        evaluate_prediction(cohort, "mif", "arm", model=fitted, **ask)
    cohort.obs["three"] = np.array(list("abc"))[np.arange(80) % 3]
    with pytest.raises(DataError, match="'three' has 3 groups; two can be predicted"):
        evaluate_prediction(cohort, "mif", "three", **ask)
    with pytest.raises(ParameterError, match="y is one variable that is not in x"):
        evaluate_prediction(cohort, ["mif", "arm"], "arm", **ask)
    with pytest.raises(UnitError, match="rows are subjects, not acquisitions"):
        evaluate_prediction(cohort, "mif", "arm", unit="acquisition")


def test_the_audit_finds_what_was_planted(make_cohort: MakeCohort) -> None:
    cohort = noise(make_cohort, n=20, features=8, seed=3, rows=2)
    names = cohort.obs.index
    split = pd.Series(np.where(np.arange(40) < 20, "train", "test"), index=names)
    rng = np.random.default_rng(0)
    images = {name: rng.gamma(2, 40, (64, 64)) for name in names}
    assert audit_leakage(cohort, split, x="mif", images=images, model=LogisticRegression()).empty
    cohort.assays["mif"].X[25] = cohort.assays["mif"].X[3] * 1.0001
    brighter = np.repeat(np.repeat(images[names[5]], 2, axis=0), 2, axis=1) * 1.7 + 10
    images[names[30]] = brighter + rng.normal(0, 2, brighter.shape)
    split.iloc[1] = "test"
    fitted = LogisticRegression().fit(cohort.assays["mif"].X, cohort.obs["arm"])
    found = audit_leakage(cohort, split, x="mif", images=images, model=fitted).set_index("kind")["ids"]
    assert found.to_dict() == {
        "subject in several parts": "S000",
        "fitted before the split": "",
        "nearly the same row in several parts": f"{names[3]} = {names[25]}",
        "nearly the same picture in several parts": f"{names[5]} = {names[30]}",
    }
    with pytest.raises(DataError, match="the split names no unit of the cohort"):
        audit_leakage(cohort, split.reset_index(drop=True))
