"""The planted subjects: effects that can be found again, draws that do not disturb each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu, spearmanr

from integrate.datasets.cohort import Effects, plan_cohort

EFFECTS = Effects()


def table(subjects: int, seed: int) -> pd.DataFrame:
    plan = plan_cohort(subjects, seed=seed, effects=EFFECTS)
    columns = ("immune_density", "stage", "site", "response", "os_days", "os_event", "lesion_volume_mm3")
    frame = pd.DataFrame([{column: getattr(subject, column) for column in columns} for subject in plan])
    return frame.assign(stage_number=frame["stage"].map({"I": 0, "II": 1, "III": 2, "IV": 3}))


def cox(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Coefficient, confidence limits and p of each variable."""
    from lifelines import CoxPHFitter

    columns = ["immune_density", "stage_number", "os_days", "os_event"]
    fitted: dict[str, dict[str, float]] = CoxPHFitter().fit(frame[columns], "os_days", "os_event").summary.T.to_dict()
    return fitted


def responders_differ(frame: pd.DataFrame) -> float:
    groups = [frame.loc[frame["response"] == name, "immune_density"] for name in ("responder", "non_responder")]
    return float(mannwhitneyu(*groups).pvalue)


def test_the_default_seed_shows_both_effects() -> None:
    frame = table(24, 20260101)
    assert responders_differ(frame) < 0.02
    assert cox(frame)["immune_density"]["p"] < 0.02
    assert 10 <= frame["os_event"].sum() <= 20


def test_most_seeds_show_the_effect_on_response() -> None:
    assert np.mean([responders_differ(table(24, seed)) < 0.05 for seed in range(40)]) >= 0.9


def test_a_large_cohort_gives_the_planted_parameters_back() -> None:
    frame = table(3000, 1)
    summary = cox(frame)
    for column, planted in (
        ("immune_density", EFFECTS.log_hazard_ratio_per_immune),
        ("stage_number", EFFECTS.log_hazard_ratio_per_stage),
    ):
        assert summary[column]["coef lower 95%"] < planted < summary[column]["coef upper 95%"]
    import statsmodels.api as sm

    known = frame.dropna(subset=["response"])
    fitted = sm.Logit((known["response"] == "responder").astype(int), sm.add_constant(known["immune_density"])).fit(
        disp=0
    )
    low, high = fitted.conf_int().loc["immune_density"]
    assert low < EFFECTS.response_log_odds_per_immune < high


def test_lesion_volume_follows_stage_weakly() -> None:
    frame = table(2000, 2)
    assert 0.25 < spearmanr(frame["stage_number"], frame["lesion_volume_mm3"]).statistic < 0.6


def test_sites_are_balanced_and_unrelated_to_immune_density() -> None:
    frame = table(3000, 3)
    assert frame["site"].value_counts().tolist() == [1000, 1000, 1000]
    assert frame.groupby("site")["immune_density"].mean().abs().max() < 0.1


def test_a_larger_study_begins_with_the_smaller_one() -> None:
    small, large = table(6, 5), table(24, 5)
    columns = ["immune_density", "stage", "site", "os_days", "lesion_volume_mm3"]
    pd.testing.assert_frame_equal(small[columns], large[columns].head(6))


def test_ids_keep_their_spelling_beyond_999() -> None:
    subject = plan_cohort(1000, seed=1, effects=EFFECTS)[-1]
    assert (subject.subject_id, subject.hospital_id, subject.rna_id) == ("SIM-1000", "01000", "SIM.1000.T1")
    assert subject.pathology_id(2) == "sim1000_s2"
