"""Exclusions: everyone who leaves is counted once, with a reason, and can be read again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from integrate.errors import ParameterError
from integrate.join.link import link
from integrate.join.store import read_cohort
from integrate.model.study import Study


def test_exclusions_are_counted_in_order_and_once(three: Study, tmp_path: Path) -> None:
    cohort = link(three, unit="subject", clinical="clinical", fields="fields", reduce={"fields": "mean"})
    log = pd.DataFrame({"subject_id": ["P3", "P1", "P1"], "reason": ["no consent", "no consent", "too young"]})
    left = cohort.exclude(log)
    assert left.obs.index.tolist() == ["P2"]
    assert left.values("stroma").tolist() == [5.0]
    assert left.missing_reason.index.tolist() == ["P2"]
    assert left.report.consort().to_numpy().tolist() == [
        ["assessed", 3, 0, ""],
        ["no consent", 1, 2, "P1 P3"],
        ["too young", 1, 0, ""],
        ["analysed", 1, 0, ""],
    ]
    assert "2 subjects excluded, no consent: 'P1', 'P3'" in repr(left.report)
    assert "no consent" in left.report._repr_html_()
    assert len(cohort.obs) == 3  # the cohort itself is unchanged
    left.write(tmp_path / "saved")
    assert read_cohort(tmp_path / "saved").report == left.report
    assert left.obs.attrs == cohort.obs.attrs


def test_a_subject_takes_its_specimens_along_and_a_second_log_goes_on(three: Study) -> None:
    cohort = link(three, unit="specimen", clinical="clinical")
    left = cohort.exclude(pd.DataFrame({"subject_id": ["P1"], "reason": ["withdrawn"]}))
    assert left.obs.index.tolist() == ["S3"]
    last = left.exclude(pd.DataFrame({"specimen_id": ["S3"], "reason": ["blurred"]}))
    assert last.report.consort()["n"].tolist() == [3, 1, 0, 0]
    assert len(last.obs) == 0


def test_a_log_without_reason_or_of_strangers_is_refused(three: Study) -> None:
    cohort = link(three, unit="subject", clinical="clinical")
    with pytest.raises(ParameterError, match="has a column 'reason' and one of 'subject_id'; found 'subject_id'"):
        cohort.exclude(pd.DataFrame({"subject_id": ["P1"]}))
    with pytest.raises(ParameterError, match="1 rows of the exclusion log have no reason"):
        cohort.exclude(pd.DataFrame({"subject_id": ["P1", "P2"], "reason": ["x", " "]}))
    with pytest.raises(ParameterError, match="1 subject_id of the exclusion log are not in the cohort: 'P9'"):
        cohort.exclude(pd.DataFrame({"subject_id": ["P9"], "reason": ["x"]}))
