"""Adjusted p-values equal those of statsmodels and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from integrate.analyse.fdr import adjust_p_values
from integrate.errors import ParameterError

P_VALUES = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=40)


@settings(deadline=None)
@given(P_VALUES)
def test_adjusted_values_equal_statsmodels_and_scipy(p: list[float]) -> None:
    for ours, theirs in (("bh", "fdr_bh"), ("by", "fdr_by"), ("bonferroni", "bonferroni")):
        np.testing.assert_allclose(adjust_p_values(p, method=ours), multipletests(p, method=theirs)[1], rtol=1e-12)
    for method in ("bh", "by"):
        np.testing.assert_allclose(adjust_p_values(p, method=method), stats.false_discovery_control(p, method=method))


def test_benjamini_and_hochberg_reject_the_four_of_their_paper() -> None:
    # Benjamini & Hochberg (1995), section 3.2: 15 p-values of a trial of thrombolysis; four are rejected at 5 %.
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1,
    ]
    assert (adjust_p_values(p) <= 0.05).sum() == 4
    assert (adjust_p_values(p, method="bonferroni") <= 0.05).sum() == 3


def test_missing_p_values_were_not_asked() -> None:
    with_gap = adjust_p_values([0.01, np.nan, 0.04])
    np.testing.assert_allclose(with_gap[[0, 2]], adjust_p_values([0.01, 0.04]))
    assert np.isnan(with_gap[1])
    assert adjust_p_values([]).tolist() == []


def test_values_that_are_no_p_values_are_refused() -> None:
    with pytest.raises(ParameterError, match="between 0 and 1"):
        adjust_p_values([0.1, 1.2])
    with pytest.raises(ParameterError, match="no adjustment 'bhh'; closest: 'bh'"):
        adjust_p_values([0.1], method="bhh")
