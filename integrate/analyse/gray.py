"""Gray's test: whether groups differ in the incidence of an event that others may forestall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.incidence import competing_follow_up
from integrate.analyse.score_test import ScoreTest, score_tests

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["compare_incidence"]

TEST = ScoreTest("compare_incidence", "Gray", "log subdistribution hazard ratio (score)")


def compare_incidence(
    cohort: Cohort,
    outcome: TimeToEvent,
    competing: TimeToEvent,
    x: str | Sequence[str],
    *,
    unit: str,
    strata: str | Sequence[str] = (),
    fdr: str = "bh",
) -> pd.DataFrame:
    """Return Gray's test of each categorical variable: whether its groups differ in cumulative incidence.

    Parameters
    ----------
    cohort, outcome, competing, unit
        As for `cumulative_incidence`.
    x
        Categorical variables.
    strata, fdr
        As for `logrank`.

    Returns
    -------
    A result, one row per variable, with ``statistic`` (chi-squared)``, df, n_events`` and ``groups``: n, observed and
    expected events of each. The effect of two groups is the score of the second over its variance: near no effect the
    log ratio of the hazards of the incidence (subdistribution); more groups have none.

    Raises
    ------
    UnitError, DataError, ParameterError
        As `cumulative_incidence`.

    Notes
    -----
    Gray (1988) with rho = 0: the statistic of R's ``cmprsk::cuminc``. The log-rank test of `outcome` asks another
    question, of the hazard among those in whom no event has happened.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> from integrate.model.outcome import TimeToEvent
    >>> cohort, _ = toy_survival()
    >>> table = cohort.obs.assign(months=[3.0, 9.0, 12.0], relapse=[1, 1, 0], death=[0, 0, 1])
    >>> ask = {"time": "months", "unit": "mo", "origin": "surgery"}
    >>> relapse, death = (TimeToEvent.from_columns(table, event=e, **ask) for e in ("relapse", "death"))
    >>> compare_incidence(cohort, relapse, death, "response", unit="subject")[["x", "statistic", "df"]].round(2)
              x  statistic  df
    0  response        2.0   1
    """
    import numpy as np

    given, other = competing_follow_up(cohort, outcome, competing, unit=unit)
    cause = np.where(given.event, 1, np.where(other.event, 2, 0))

    def score(rows: Any, codes: Any, k: int) -> tuple[Any, Any, Any]:
        return _score(given.time[rows], cause[rows], codes, k)

    return score_tests(cohort, x, given.known, score, test=TEST, unit=unit, strata=strata, fdr=fdr)


def _score(time: Any, cause: Any, codes: Any, k: int) -> tuple[Any, Any, Any]:
    """Return the excess of each group's events over its share, the events, and the covariance of the excess.

    Expected are shares of the events by R = Y (1 - F) / S: those at risk, and those who would be if the other event had
    not come. What varies is each group's counts of both events, which move F and S of all later times.
    """
    import numpy as np

    steps = np.unique(time[cause > 0])
    if not len(steps):
        return np.zeros(k), np.zeros(k), np.zeros((k, k))
    member = np.eye(k)[codes]
    at_risk = np.stack([member[time >= now].sum(axis=0) for now in steps])
    mine, others = (np.stack([member[(time == now) & (cause == c)].sum(axis=0) for now in steps]) for c in (1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = np.cumprod(np.where(at_risk > 0, 1 - (mine + others) / at_risk, 1), axis=0)
        before = np.vstack([np.ones(k), survival[:-1]])
        rise = np.where(at_risk > 0, before * mine / at_risk, 0)
        incidence = np.vstack([np.zeros(k), np.cumsum(rise, axis=0)[:-1]])
        weight = np.where(at_risk > 0, at_risk / before, 0)
        all_mine, total = mine.sum(axis=1), weight.sum(axis=1)
        pooled = np.cumsum(all_mine / total)
        pooled_before = np.concatenate([[0.0], pooled[:-1]])
        expected = weight * (1 - incidence)
        expected *= (all_mine / expected.sum(axis=1))[:, None]
        # how the score of group i moves with an event in group g, now and through all later times
        now = np.einsum("tg,ig->tig", weight, np.eye(k)) - np.einsum("ti,tg->tig", weight, weight / total[:, None])
        later = now * (all_mine / (total * (1 - pooled_before)))[:, None, None]
        after = later.sum(axis=0) - np.cumsum(later, axis=0)
        left = (1 - pooled)[:, None] / survival
        lost = np.where(survival > 0, 1 - left, 1.0)
        ties = np.where(all_mine[:, None] > 1, 1 - (all_mine[:, None] - 1) / (total[:, None] * before - 1), 1)
        of_mine = np.where(at_risk > 0, ties * before * all_mine[:, None] / (total[:, None] * at_risk), 0)
        ties = np.where(others > 1, 1 - (others - 1) / (at_risk - 1), 1)
        of_others = np.where((survival > 0) & (others > 0), ties * before**2 * others / at_risk**2, 0)
    by_mine = now + lost[:, None, :] * after
    by_others = np.where(survival > 0, left, 0)[:, None, :] * after
    variance = np.einsum("tig,tjg,tg->ij", by_mine, by_mine, of_mine)
    variance += np.einsum("tig,tjg,tg->ij", by_others, by_others, of_others)
    return (mine - expected).sum(axis=0), mine.sum(axis=0), variance
