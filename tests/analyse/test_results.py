"""Every answer is one tidy table that says what it rests on, and every table has a picture."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import integrate as ig
from integrate.analyse.results import COLUMNS, result_table
from integrate.errors import ParameterError
from integrate.join.cohort import Cohort
from integrate.model.outcome import TimeToEvent
from integrate.model.provenance import recorded

MakeCohort = Callable[..., Cohort]


class World:
    """One study in all the shapes that analyses ask for."""

    def __init__(self, make_cohort: MakeCohort) -> None:
        rng = np.random.default_rng(0)
        signal = rng.normal(size=60)
        blocks: dict[str, Any] = {
            name: {f"{name}{i}": signal + rng.normal(size=60) for i in range(3)} for name in ("rna", "mif")
        }
        blocks["mif"]["mif0"][:4] = np.nan
        waiting, last = rng.exponential(np.exp(-signal)), rng.uniform(0.5, 3, 60)
        cause = np.where(waiting <= last, rng.integers(1, 3, 60), 0)
        obs = {
            "time": np.minimum(waiting, last),
            "event": cause == 1,
            "other": cause == 2,
            "age": rng.normal(60, 9, 60),
        }
        arms = {
            "arm": np.where(signal > rng.normal(size=60), "b", "a"),
            "site": np.array(list("nse"))[np.arange(60) % 3],
        }
        self.cohort = make_cohort(obs=obs | arms, **blocks)
        ask: dict[str, Any] = {"time": "time", "unit": "a", "origin": "start"}
        self.outcome = TimeToEvent.from_columns(self.cohort.obs, event="event", **ask)
        self.competing = TimeToEvent.from_columns(self.cohort.obs, event="other", **ask)
        owner = np.repeat(np.arange(20), 3)
        fields = {f"f{i}": rng.normal(size=20)[owner] + rng.normal(size=60) for i in range(3)}
        of = [f"S{i:02d}" for i in owner]
        self.fields = make_cohort(unit="acquisition", of=of, obs={"depth": rng.normal(size=60)}, mif=fields)
        self.readings = pd.DataFrame({"lesion": np.tile(np.arange(20), 2), "reader": np.repeat(["r1", "r2"], 20)})
        self.readings["mm"] = 5 + rng.normal(size=20)[np.tile(np.arange(20), 2)] + 0.2 * rng.normal(size=40)
        self.prediction = ig.evaluate_prediction(self.cohort, "rna", "arm", unit="subject", bootstrap=20)


@pytest.fixture(scope="module")
def world(make_cohort: MakeCohort) -> World:
    return World(make_cohort)


U: dict[str, Any] = {"unit": "subject"}
ANSWERS: dict[str, Callable[[World], pd.DataFrame]] = {
    "associate": lambda w: ig.associate(w.cohort, "rna", ["mif", "arm", "site"], **U),
    "mixed_model": lambda w: ig.mixed_model(w.fields, "mif", "depth", unit="acquisition"),
    "variance_partition": lambda w: ig.variance_partition(w.fields, "mif", unit="acquisition"),
    "cross_modal": lambda w: ig.cross_modal(w.cohort, "rna", "mif", permutations=19, **U),
    "cox": lambda w: ig.cox(w.cohort, w.outcome, ["age", "arm"], **U),
    "cox_scan": lambda w: ig.cox_scan(w.cohort, w.outcome, "rna", adjust="age", **U),
    "logrank": lambda w: ig.logrank(w.cohort, w.outcome, ["arm", "site"], **U),
    "compare_incidence": lambda w: ig.compare_incidence(w.cohort, w.outcome, w.competing, ["arm", "site"], **U),
    "restricted_mean_survival": lambda w: ig.restricted_mean_survival(w.cohort, w.outcome, horizon=1, by="arm", **U),
    "proportional_hazards": lambda w: ig.proportional_hazards(w.cohort, w.outcome, ["age", "arm"], **U),
    "icc": lambda w: ig.icc(w.readings, of="lesion", by="reader"),
    "repeatability": lambda w: ig.repeatability(w.readings, of="lesion", by="reader"),
    "confounding": lambda w: ig.confounding(w.cohort, "site", ["age", "arm"], **U),
    "missing_balance": lambda w: ig.missing_balance(w.cohort, "mif0", ["age", "arm"], **U),
    "evaluate_prediction": lambda w: w.prediction.scores,
    "calibrate": lambda w: ig.calibrate(w.prediction, bins=3),
}
#: Tables that describe and test nothing: what they must say of their numbers.
DESCRIPTIONS: dict[str, tuple[Callable[[World], pd.DataFrame], set[str]]] = {
    "table_one": (lambda w: ig.table_one(w.cohort, by="arm", **U), {"n_missing", "smd", "p", "test"}),
    "distributions": (lambda w: ig.distributions(w.cohort, "mif", by="arm", **U), {"n_obs", "n_subjects", "n_missing"}),
    "missingness": (lambda w: ig.missingness(w.cohort, "mif"), {"n_obs", "n_missing", "share_missing", "reasons"}),
    "kaplan_meier": (lambda w: ig.kaplan_meier(w.cohort, w.outcome, by="arm", **U), {"n_at_risk", "ci_low", "ci_high"}),
    "cumulative_incidence": (
        lambda w: ig.cumulative_incidence(w.cohort, w.outcome, w.competing, by="arm", **U),
        {"n_at_risk", "ci_low", "ci_high"},
    ),
    "median_survival": (
        lambda w: ig.median_survival(ig.kaplan_meier(w.cohort, w.outcome, by="arm", **U)),
        {"n_obs", "n_events", "ci_low", "ci_high"},
    ),
    "cluster_units": (
        lambda w: ig.cluster_units(w.cohort, "rna", k=[2, 3], resamples=5).stability,
        {"ci_low", "ci_high", "silhouette"},
    ),
}
#: What gives no table, or a plain one: counts at times, findings, a cohort, scores of units, a table for another tool.
OTHERS = {
    "at_risk",
    "audit_leakage",
    "find_components",
    "harmonise",
    "transform_composition",
    "reduce_units",
    "to_mofa",
    "read_mofa",
}


def test_every_public_analysis_is_checked_here() -> None:
    stub = Path(ig.__file__).with_name("__init__.pyi").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom)]
    names = {a.name for node in imports if (node.module or "").startswith("analyse.") for a in node.names}
    functions = {name for name in names if name.islower()}
    assert functions == {*ANSWERS, *DESCRIPTIONS, *OTHERS}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_says_what_it_rests_on_and_has_a_picture(world: World, name: str) -> None:
    found = ANSWERS[name](world)
    assert set(COLUMNS) <= set(found.columns)
    assert "x" in found
    whole = found[["method", "effect_name", "n_obs", "n_subjects", "n_missing", "family", "reason"]]
    assert not whole.isna().any().any()
    assert (found["n_subjects"] <= found["n_obs"]).all()
    assert ((found["n_obs"] > 0) & (found["n_missing"] >= 0)).all()
    limits = found.dropna(subset=["effect", "ci_low", "ci_high"])
    assert ((limits["ci_low"] <= limits["effect"]) & (limits["effect"] <= limits["ci_high"])).all()
    assert (found["p"].dropna().between(0, 1) & (found["q"].dropna() >= found["p"].dropna() - 1e-12)).all()
    assert found["q"].notna().equals(found["p"].notna())
    assert found.loc[found["effect"].isna(), "reason"].ne("").all()
    settings = found.attrs["integrate"]
    assert recorded(settings["step"])
    figure = ig.plot_result(found)
    assert isinstance(figure, Figure)
    assert len(str(figure.get_label())) > 20


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_says_how_many_it_is_of_and_has_a_picture(world: World, name: str) -> None:
    make, columns = DESCRIPTIONS[name]
    table = make(world)
    assert columns <= set(table.columns)
    assert str(ig.plot_result(table, title="Mine").get_label()).startswith("Mine")


def test_effects_are_drawn_as_what_they_are(world: World) -> None:
    hazards = ig.plot_result(ANSWERS["cox"](world))
    assert hazards.axes[0].get_xscale() == "log"
    assert hazards.axes[0].get_xlabel() == "hazard ratio"
    tests = ANSWERS["logrank"](world)
    global_test = ig.plot_result(tests[tests["effect"].isna()])
    assert global_test.axes[0].get_xlabel() == "−log10 p"
    many = ig.plot_result(ig.associate(world.cohort, ["rna", "mif", "age"], ["rna", "mif"], **U, method="pearson"))
    assert str(many.get_label()).startswith("pearson: ")
    pairs = ig.plot_result(ig.associate(world.cohort, "rna0", "site", **U, method="mannwhitney"))
    assert "n = 20" in str(pairs.get_label()) or "= 20" in str(pairs.get_label())  # rows are told apart by their groups


def test_what_cannot_be_drawn_says_so(world: World) -> None:
    with pytest.raises(ParameterError, match="table_one has no differences to draw; give by="):
        ig.plot_result(ig.table_one(world.cohort, "age", **U).assign(smd=np.nan))
    with pytest.raises(ParameterError, match="nothing to draw in a table of 2 rows with columns a"):
        ig.plot_result(pd.DataFrame({"a": [1, 2]}))


def test_an_answer_that_leaves_something_out_is_no_result() -> None:
    with pytest.raises(KeyError, match="n_subjects"):
        result_table("x", pd.DataFrame({"x": ["a"], "method": "m", "effect": 1.0}), study="s", settings={})
