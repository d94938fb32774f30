"""Reliability is Shrout and Fleiss's, psych's and Bland and Altman's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from integrate.analyse.reliability import FORMS, icc, repeatability
from integrate.errors import DataError, DatasetNotFoundError, ParameterError

PSYCH = json.loads((Path(__file__).parent / "fixtures" / "icc.json").read_text(encoding="utf-8"))


def ratings(values: Any, **more: Any) -> pd.DataFrame:
    """Return (targets, raters) values as one row per rating."""
    values = np.asarray(values, dtype=float)
    target, rater = np.indices(values.shape)
    return pd.DataFrame({"target": target.ravel(), "rater": rater.ravel(), "score": values.ravel(), **more})


@pytest.mark.parametrize("name", ["shrout_fleiss", "good", "poor"])
def test_every_form_is_psychs(name: str) -> None:
    found = icc(ratings(PSYCH[name]["values"]), of="target", by="rater", form=FORMS)
    assert found["method"].tolist() == [f"ICC({t[3]},{'k' if t.endswith('k') else 1})" for t in PSYCH[name]["type"]]
    for column, theirs in {"effect": "icc", "ci_low": "low", "ci_high": "high", "p": "p"}.items():
        np.testing.assert_allclose(found[column], PSYCH[name][theirs], rtol=0, atol=1e-9)


def test_shrout_and_fleiss_published_their_six() -> None:
    found = icc(ratings(PSYCH["shrout_fleiss"]["values"]), of="target", by="rater", form=FORMS)
    assert found["effect"].round(2).tolist() == [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]
    assert found[["n_obs", "n_targets", "n_raters", "n_missing"]].iloc[0].tolist() == [24, 6, 4, 0]


def test_targets_without_every_rating_are_left_out_per_feature_and_counted() -> None:
    table = ratings(PSYCH["good"]["values"])
    table["gappy"] = table["score"].where((table["target"] != 4) | (table["rater"] != 1))
    table["subject_id"] = table["target"] // 2
    table["flat"], table["empty"] = 1.0, np.nan
    found = icc(table, of="target", by="rater").set_index("x")
    expected = icc(ratings(np.delete(PSYCH["good"]["values"], 4, axis=0)), of="target", by="rater").iloc[0]
    assert found.loc["gappy", "effect"] == pytest.approx(expected["effect"])
    assert found["n_missing"].to_dict() == {"score": 0, "gappy": 1, "flat": 0, "empty": 20}
    assert found["n_subjects"].to_dict() == {"score": 10, "gappy": 10, "flat": 10, "empty": 0}
    assert found.loc[["flat", "empty"], "reason"].tolist() == ["constant", "fewer than 2 complete targets"]
    assert found.loc[["flat", "empty"], "effect"].isna().all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_units_and_order_do_not_change_agreement(seed: int, shift: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    table = ratings(rng.normal(size=(8, 1)) + rng.normal(size=(8, 3)))
    other = table.assign(score=table["score"] * scale + shift).sample(frac=1, random_state=seed)
    one, two = (icc(t, of="target", by="rater", form=FORMS)[["effect", "ci_low", "p"]] for t in (table, other))
    np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)


def test_the_planted_share_of_variance_is_inside_the_limits() -> None:
    rng = np.random.default_rng(4)
    inside = []
    for _ in range(200):
        table = ratings(rng.normal(0, 2, (30, 1)) + rng.normal(0, 1, (30, 2)))
        found = icc(table, of="target", by="rater", form="ICC(1,1)").iloc[0]
        inside.append(found["ci_low"] < 0.8 < found["ci_high"])
    assert 0.9 < np.mean(inside) < 0.99


def test_two_measurements_lie_apart_as_bland_and_altman_say() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(50, 10, 40)
    second = first + 2 + rng.normal(0, 3, 40)
    found = repeatability(ratings(np.column_stack([first, second])), of="target", by="rater").iloc[0]
    apart = second - first
    assert found["bias"] == pytest.approx(apart.mean())
    assert found["p"] == pytest.approx(stats.ttest_rel(second, first).pvalue)
    assert found["effect"] == pytest.approx(np.sqrt((apart**2).mean() / 2))
    assert found["repeatability_coefficient"] == pytest.approx(1.96 * np.sqrt((apart**2).mean()), rel=1e-4)
    limits = apart.mean() + 1.959964 * apart.std(ddof=1) * np.array([-1, 1])
    assert [found["limit_low"], found["limit_high"]] == pytest.approx(limits)
    assert found["ci_low"] < found["effect"] < found["ci_high"]
    three = repeatability(ratings(rng.normal(size=(5, 3))), of="target", by="rater").iloc[0]
    assert np.isnan(three["bias"])
    assert three["effect"] > 0


def test_what_is_no_repeated_measurement_is_refused() -> None:
    table = ratings([[1, 2], [3, 4]])
    with pytest.raises(DataError, match="1 rows measure the same target by the same rater again"):
        icc(pd.concat([table, table.iloc[:1]]), of="target", by="rater")
    with pytest.raises(DataError, match="'rater' has 1 value"):
        icc(table[table["rater"] == 0], of="target", by="rater")
    with pytest.raises(DatasetNotFoundError, match="no column 'reader'"):
        icc(table, of="target", by="reader")
    with pytest.raises(ParameterError, match=r"no form 'ICC\(2\)'"):
        icc(table, of="target", by="rater", form="ICC(2)")
    with pytest.raises(DataError, match="reliability is of numbers; found 'word'"):
        icc(table.assign(word="a"), of="target", by="rater", features="word")


def test_eight_of_nine_teams_agree_and_the_one_that_does_not_is_seen(test_data: Callable[[str], Path]) -> None:
    table = pd.read_csv(test_data("sts-ibsi-validation") / "published_feature_values_9_teams.csv.gz")
    pet = table[(table["modality"] == "PET") & table["tag"].isin(["stat_mean", "stat_kurt"])]
    teams = [c for c in table if c not in ("id", "modality", "tag", "oncoray")]
    agree = {}
    for team in teams:
        long = pet.melt(["id", "tag"], ["oncoray", team], "team").pivot(
            index=["id", "team"], columns="tag", values="value"
        )
        agree[team] = icc(long.reset_index(), of="id", by="team").set_index("x")["effect"]
    found = pd.DataFrame(agree)
    others = found.drop(columns="brest_macha")  # whose mean is not in SUV
    assert found.loc["stat_mean", "brest_macha"] < 0.1
    assert (others.loc["stat_mean"] > 0.99).all()
    assert found.loc["stat_kurt"].idxmin() == "brest_macha"
    assert (others.loc["stat_kurt"] > 0.98).all()
