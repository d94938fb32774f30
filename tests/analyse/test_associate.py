"""`associate` asks at the level where the evidence is, and every row says what it rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from integrate.analyse.associate import associate
from integrate.analyse.fdr import adjust_p_values
from integrate.analyse.reduction import reduce_units
from integrate.analyse.results import COLUMNS
from integrate.catalog.open import open_catalog
from integrate.errors import DatasetNotFoundError, IntegrateWarning, ParameterError, UnitError
from integrate.join.cohort import Cohort
from integrate.join.link import link
from integrate.model.assemble import open_study
from integrate.model.image import image_ids, select_channel
from integrate.model.provenance import recorded

MakeCohort = Callable[..., Cohort]


@pytest.fixture
def cohort(make_cohort: MakeCohort) -> Cohort:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=24)
    protein = {"HER2": shared + 0.5 * rng.normal(size=24), "ER": rng.normal(size=24), "flat": np.ones(24)}
    rna = {"ERBB2": shared + 0.5 * rng.normal(size=24), "ESR1": rng.normal(size=24)}
    rna["ERBB2"][[3, 5]] = np.nan
    rna["ESR1"][3] = np.nan
    clinical = {
        "PAM50": pd.Categorical(
            ["Her2"] * 4 + ["LumA"] * 10 + ["Basal"] * 8 + [None] * 2, categories=["Basal", "Her2", "LumA", "LumB"]
        ),
        "responder": pd.array([True, False] * 11 + [None, True], dtype="boolean"),
        "age": rng.normal(60, 8, size=24),
        "sex": ["F", "M"] * 12,
    }
    return make_cohort(protein=protein, rna=rna, obs=clinical)


def test_every_feature_of_two_assays_is_paired_in_order(cohort: Cohort) -> None:
    result = associate(cohort, "protein", "rna", unit="subject")
    assert tuple(result.columns) == ("x", "y", *COLUMNS, "groups", "reason")
    assert list(zip(result["x"], result["y"], strict=True)) == [
        (f"protein/{x}", f"rna/{y}") for x in ("HER2", "ER", "flat") for y in ("ERBB2", "ESR1")
    ]
    first = result.iloc[0]
    expected = stats.spearmanr(cohort.values("HER2"), cohort.values("ERBB2"), nan_policy="omit")
    assert (first["effect"], first["p"]) == pytest.approx((expected.statistic, expected.pvalue))
    assert first[["method", "effect_name", "n_obs", "n_subjects", "n_missing"]].tolist() == [
        "spearman",
        "rho",
        22,
        22,
        2,
    ]
    assert first["ci_low"] < first["effect"] < first["ci_high"]


def test_a_constant_has_no_effect_and_a_reason(cohort: Cohort) -> None:
    flat = associate(cohort, "flat", "rna", unit="subject")
    assert flat["effect"].isna().all()
    assert flat["reason"].tolist() == ["constant", "constant"]


def test_q_values_belong_to_the_declared_family(cohort: Cohort) -> None:
    whole = associate(cohort, "protein", "rna", unit="subject")
    assert whole["family"].unique().tolist() == ["protein × rna"]
    np.testing.assert_allclose(whole["q"], adjust_p_values(whole["p"]))
    by_gene = associate(cohort, "protein", "rna", unit="subject", family="y", fdr="bonferroni")
    for gene, rows in by_gene.groupby("y"):
        assert (rows["family"] == gene).all()
        np.testing.assert_allclose(rows["q"], adjust_p_values(rows["p"], method="bonferroni"))
    named = associate(cohort, "HER2", "ERBB2", unit="subject", family="planned")
    assert named["family"].tolist() == ["planned"]
    assert named["q"].item() == named["p"].item()


def test_kinds_choose_their_method(cohort: Cohort) -> None:
    result = associate(cohort, ["HER2", "sex"], ["age", "PAM50", "responder"], unit="subject").set_index(["x", "y"])
    assert result["method"].to_dict() == {
        ("protein/HER2", "age"): "spearman",
        ("protein/HER2", "PAM50"): "kruskal",
        ("protein/HER2", "responder"): "mannwhitney (exact)",
        ("sex", "age"): "mannwhitney (exact)",
        ("sex", "PAM50"): "chi2",
        ("sex", "responder"): "fisher",
    }
    assert result.loc[("protein/HER2", "PAM50"), "groups"] == "Basal = 8, Her2 = 4, LumA = 10"
    assert result.loc[("protein/HER2", "PAM50"), "n_missing"] == 2
    assert result.loc[("sex", "PAM50"), "reason"] == "expected counts below 5: the p-value is approximate"


def test_groups_are_compared_in_the_order_given(cohort: Cohort) -> None:
    result = associate(cohort, "HER2", "PAM50", unit="subject", groups=["Her2", "LumA"], alternative="greater").iloc[0]
    values, groups = cohort.values("HER2"), cohort.values("PAM50")
    expected = stats.mannwhitneyu(values[groups == "Her2"], values[groups == "LumA"], alternative="greater")
    assert result["p"] == pytest.approx(expected.pvalue)
    assert result["method"] == "mannwhitney, greater (exact)"
    assert result["groups"] == "Her2 = 4, LumA = 10"
    assert result["effect"] == pytest.approx(2 * expected.statistic / 40 - 1)
    assert result[["n_obs", "n_missing"]].tolist() == [14, 2]


def test_all_pairs_of_groups_are_compared_on_request(cohort: Cohort) -> None:
    result = associate(cohort, "protein", "PAM50", unit="subject", method="mannwhitney")
    assert len(result) == 9
    assert result.loc[:2, "groups"].tolist() == ["Basal = 8, Her2 = 4", "Basal = 8, LumA = 10", "Her2 = 4, LumA = 10"]
    assert result["n_missing"].tolist() == [2] * 9


def test_a_pair_is_tested_once_and_nothing_with_itself(cohort: Cohort) -> None:
    result = associate(cohort, "protein", ["protein", "rna"], unit="subject")
    pairs = list(zip(result["x"], result["y"], strict=True))
    assert len(pairs) == 3 + 6
    assert ("protein/HER2", "protein/HER2") not in pairs
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    assert associate(cohort, "HER2", "HER2", unit="subject").empty


def test_adjusting_for_a_confounder_removes_what_it_made(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(1)
    age, site = rng.normal(60, 10, size=120), rng.integers(0, 3, size=120)
    made = age / 10 + site
    columns = {"x": made + 0.3 * rng.normal(size=120), "y": made + 0.3 * rng.normal(size=120)}
    cohort = make_cohort(a=columns, obs={"age": age, "site": pd.Categorical(np.array(list("nse"))[site])})
    plain = associate(cohort, "x", "y", unit="subject").iloc[0]
    adjusted = associate(cohort, "x", "y", unit="subject", adjust=["age", "site"]).iloc[0]
    assert plain["effect"] > 0.85
    assert abs(adjusted["effect"]) < 0.45
    assert adjusted["method"] == "partial spearman"
    assert adjusted["n_obs"] == 120


def test_fields_of_one_subject_are_not_subjects(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(unit="acquisition", of=["P1", "P1", "P2", "P3"], a={"x": [1, 2, 3, 4], "y": [2, 1, 4, 3]})
    message = (
        "the cohort has 4 acquisitions of 3 subjects; counting them all as subjects would make chance look like a "
        r"finding. Link with unit='subject' and reduce=\.\.\."
    )
    with pytest.raises(UnitError, match=message):
        associate(cohort, "x", "y", unit="subject")
    with pytest.raises(UnitError, match="4 acquisitions of 3 subjects are no independent evidence"):
        associate(cohort, "x", "y", unit="acquisition")


def test_rows_become_units_where_the_question_says_how(make_cohort: MakeCohort) -> None:
    of = ["P1", "P1", "P1", "P2", "P3", "P4"]
    assay = {"x": [1, 2, 9, 7, np.nan, 5], "y": [2, 1, 3, 3, 5, 4]}
    obs = {"arm": ["a", "a", "a", "b", "b", "a"], "stain": ["s", "t", "s", "t", "t", "t"], "day": [1.0, 2, 6, 0, 0, 3]}
    fields = make_cohort(unit="acquisition", of=of, a=assay, obs=obs)
    with pytest.warns(IntegrateWarning, match="differ between rows of one subject_id are left out: 'stain'"):
        people = reduce_units(fields)
    assert people.unit == "subject"
    assert people.obs.to_dict("list") == {"arm": ["a", "b", "b", "a"], "day": [3.0, 0.0, 0.0, 3.0]}
    assert people.values("a/x").tolist() == pytest.approx([4, 7, np.nan, 5], nan_ok=True)
    assert people.assays["a"].layers["n"].ravel().tolist() == [3, 3, 1, 1, 0, 1, 1, 1]
    table = replace(fields, obs=fields.obs.drop(columns="stain"))
    assert reduce_units(table, how="median").values("a/x").iloc[0] == 2
    found = associate(table, "a/x", ["a/y", "day", "arm"], unit="subject", reduce="mean").set_index("y")
    by_hand = associate(reduce_units(table), "a/x", ["a/y", "day", "arm"], unit="subject").set_index("y")
    pd.testing.assert_frame_equal(found, by_hand)
    assert found[["n_obs", "n_subjects", "n_missing"]].iloc[0].tolist() == [3, 3, 1]
    with pytest.raises(UnitError, match="subjects cannot be reduced to subjects"):
        reduce_units(people)


def test_one_field_per_subject_may_be_asked_by_subject(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(unit="acquisition", of=["P1", "P2", "P3"], a={"x": [1, 2, 3], "y": [2, 1, 4]})
    assert associate(cohort, "x", "y", unit="subject")["n_subjects"].item() == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"unit": "acquisition"}, UnitError, "rows are subjects, coarser than 'acquisition'"),
        ({"unit": "patient"}, UnitError, "no unit 'patient'"),
        ({"method": "kendall"}, ParameterError, "no method 'kendall'"),
        ({"method": "kruskal"}, ParameterError, "'kruskal' does not fit two numbers; use method='auto'"),
        ({"fdr": "storey"}, ParameterError, "no fdr 'storey'"),
        ({"alternative": "greater"}, ParameterError, "belongs to the comparison of a number between groups"),
        ({"groups": ["Her2"]}, ParameterError, "no variable is categorical"),
        ({"y": "PAM50", "groups": ["Her3"]}, ParameterError, "no unit has PAM50 = 'Her3'; closest: 'Her2'"),
        ({"y": "PAM50", "alternative": "greater"}, ParameterError, "has 3 groups, which have no direction"),
        ({"x": "sex", "y": "PAM50", "adjust": "age"}, ParameterError, "adjusted by method='logistic'"),
        ({"y": "ERBB3"}, DatasetNotFoundError, "closest: 'ERBB2'"),
        ({"y": []}, ParameterError, "no variable is named"),
    ],
)
def test_questions_without_meaning_are_refused(
    cohort: Cohort, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    asked = {"x": "HER2", "y": "rna", "unit": "subject", **arguments}
    with pytest.raises(error, match=message):
        associate(cohort, **asked)


def test_the_order_of_subjects_changes_nothing(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(0)
    x, y, order = rng.normal(size=(20, 3)), rng.normal(size=(20, 3)), rng.permutation(20)
    x[2, 0] = y[4, 1] = np.nan
    groups = np.array(list("ab") * 10)
    results = [
        associate(
            make_cohort(
                a={f"x{i}": x[rows, i] for i in range(3)},
                b={f"y{i}": y[rows, i] for i in range(3)},
                obs={"group": groups[rows]},
            ),
            "a",
            ["b", "group"],
            unit="subject",
        )
        for rows in (np.arange(20), order)
    ]
    pd.testing.assert_frame_equal(*results)


def test_the_question_is_recorded(cohort: Cohort) -> None:
    result = associate(cohort, "HER2", "rna", unit="subject", fdr="by")
    event = recorded("associate")[-1]
    assert (event["x"], event["y"], event["unit"], event["fdr"], event["tests"]) == ("HER2", "rna", "subject", "by", 2)
    assert result.attrs["integrate"]["fdr"] == "by"


def test_all_clinical_variables_may_be_asked_at_once(cohort: Cohort) -> None:
    result = associate(cohort, "HER2", "clinical", unit="subject")
    assert result["y"].tolist() == ["PAM50", "responder", "age", "sex"]


def test_a_group_nobody_was_measured_in_has_a_reason(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(a={"x": [1, 2, np.nan]}, obs={"group": ["u", "u", "v"], "none": [None] * 3})
    assert associate(cohort, "x", "group", unit="subject")["reason"].tolist() == ["a group has no observation"]
    assert associate(cohort, "x", "none", unit="subject")["reason"].tolist() == ["fewer than 2 groups are observed"]


def test_thousands_of_pairs_agree_with_a_loop(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 60)), rng.normal(size=(40, 50))
    x[:5] = np.nan
    cohort = make_cohort(a={f"x{i}": x[:, i] for i in range(60)}, b={f"y{i}": y[:, i] for i in range(50)})
    result = associate(cohort, "a", "b", unit="subject")
    assert len(result) == 3000
    for row in rng.integers(0, 3000, size=30):
        i, j = divmod(int(row), 50)
        expected = stats.spearmanr(x[5:, i], y[5:, j])
        assert result.loc[row, ["effect", "p"]].tolist() == pytest.approx([expected.statistic, expected.pvalue])


def test_categories_may_be_taken_together(cohort: Cohort) -> None:
    together = {"Her2": ["Her2"], "others": ["LumA", "Basal"]}
    result = associate(cohort, "HER2", "PAM50", unit="subject", groups=together).iloc[0]
    values, groups = cohort.values("HER2"), cohort.values("PAM50")
    expected = stats.mannwhitneyu(values[groups == "Her2"], values[groups.isin(["LumA", "Basal"])], method="exact")
    assert result["p"] == pytest.approx(expected.pvalue)
    assert result["groups"] == "Her2 = 4, others = 18"
    with pytest.raises(ParameterError, match="PAM50 = 'LumA' stands in two groups"):
        associate(cohort, "HER2", "PAM50", unit="subject", groups={"a": ["LumA"], "b": ["LumA", "Basal"]})


@pytest.mark.slow
def test_dcis_her2_protein_is_higher_in_the_rna_her2_subtype(test_data: Callable[[str], Path]) -> None:
    study = open_study(open_catalog("dcis", data_root=str(test_data("dcis-mibi").parent)))
    fields = [{**image_ids(f), "HER2_mean": float(select_channel(f, "HER2").mean())} for f in study.each("mibi")]
    cohort = link(study, unit="subject", pixels=pd.DataFrame(fields), clinical="clinical", reduce={"pixels": "mean"})
    ask = {"unit": "subject", "alternative": "greater"}
    each = associate(cohort, "HER2_mean", "PAM50", method="mannwhitney", groups=["Her2", "LumA", "Basal"], **ask)
    assert each["groups"].tolist() == ["Her2 = 2, LumA = 6", "Her2 = 2, Basal = 4", "LumA = 6, Basal = 4"]
    assert each.loc[:1, "effect"].tolist() == [1, 1]  # every Her2 subject above every other
    assert each.loc[:1, "p"].tolist() == pytest.approx([1 / 28, 1 / 15])
    both = associate(cohort, "HER2_mean", "PAM50", groups={"Her2": ["Her2"], "others": ["LumA", "Basal"]}, **ask)
    assert both[["groups", "n_missing"]].iloc[0].tolist() == ["Her2 = 2, others = 10", 6]
    assert both["p"].item() == pytest.approx(1 / 66)
