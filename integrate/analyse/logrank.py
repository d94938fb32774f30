"""The log-rank test: whether groups differ in survival."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.follow_up import follow_up
from integrate.analyse.score_test import ScoreTest, score_tests

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["logrank"]

TEST = ScoreTest("logrank", "logrank", "log hazard ratio (Peto)")


def logrank(
    cohort: Cohort,
    outcome: TimeToEvent,
    x: str | Sequence[str],
    *,
    unit: str,
    strata: str | Sequence[str] = (),
    fdr: str = "bh",
) -> pd.DataFrame:
    """Return the log-rank test of each categorical variable: whether its groups differ in survival.

    Parameters
    ----------
    cohort, outcome, unit
        As for `kaplan_meier`.
    x
        Categorical variables.
    strata
        Categorical variables within whose groups units are compared.
    fdr
        How p-values become q-values; the family is this call.

    Returns
    -------
    A result, one row per variable, with ``statistic`` (chi-squared)``, df, n_events`` and ``groups``: n, observed and
    expected events of each. The effect of two groups is Peto's log hazard ratio of the second; more have none.

    Raises
    ------
    UnitError, DataError, ParameterError
        As `kaplan_meier`.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, outcome = toy_survival()
    >>> logrank(cohort, outcome, "response", unit="subject")[["statistic", "df", "n_events"]].round(2)
       statistic  df  n_events
    0        2.0   1         2
    """
    given = follow_up(cohort, outcome, unit=unit)

    def score(rows: Any, codes: Any, k: int) -> tuple[Any, Any, Any]:
        return _score(given.time[rows], given.event[rows], codes, k)

    return score_tests(cohort, x, given.known, score, test=TEST, unit=unit, strata=strata, fdr=fdr)


def _score(time: Any, event: Any, codes: Any, k: int) -> tuple[Any, Any, Any]:
    """Return the excess of each group's events over its share of those at risk, the events, and its covariance."""
    import numpy as np

    observed, expected, variance = np.zeros(k), np.zeros(k), np.zeros((k, k))
    for now in np.unique(time[event]):
        risk = np.bincount(codes[time >= now], minlength=k).astype(float)
        died = np.bincount(codes[event & (time == now)], minlength=k).astype(float)
        n, d = risk.sum(), died.sum()
        observed += died
        expected += d * risk / n
        if n > 1:
            share = risk / n
            variance += d * (n - d) / (n - 1) * (np.diag(share) - np.outer(share, share))
    return observed - expected, observed, variance
