"""The check of proportional hazards: whether an effect on the hazard stays the same over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.follow_up import follow_up
from integrate.analyse.grouping import strata_codes
from integrate.analyse.results import Z_95, result_table
from integrate.analyse.variables import choose_variables, model_terms
from integrate.errors import ParameterError, some

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["proportional_hazards"]


def proportional_hazards(
    cohort: Cohort, outcome: TimeToEvent, x: str | Sequence[str], *, unit: str, strata: str | Sequence[str] = ()
) -> pd.DataFrame:
    """Return, for each term of a Cox model, a test that its effect does not change with time.

    Parameters
    ----------
    cohort, outcome, x, unit, strata
        As for `cox`.

    Returns
    -------
    A result, one row per term and one, ``"all terms"``, for all together, with ``statistic, df, n_events``. The effect
    is how fast the log hazard ratio rises per unit of 1 - Kaplan–Meier, one step of Newton's. A small p speaks against
    the model: put the variable into `strata`, or look at shorter times. `q` repeats `p`, as in `cox`.

    Raises
    ------
    UnitError, DataError, ParameterError
        As `cox`.

    Notes
    -----
    The score test of Grambsch and Therneau against 1 - Kaplan–Meier, with its exact information: ``cox.zph`` of R's
    survival 3, each term by itself (``terms = FALSE``).

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, outcome = toy_survival()
    >>> proportional_hazards(cohort, outcome, "CD8", unit="subject")[["x", "statistic", "df", "p"]].round(3)
                 x  statistic  df      p
    0  protein/CD8      0.059   1  0.808
    1    all terms      0.059   1  0.808
    """
    import numpy as np
    import pandas as pd
    from scipy import stats

    from integrate.analyse.cox_kernels import FOUND, fit_cox

    given, layers = follow_up(cohort, outcome, unit=unit), strata_codes(cohort, strata)
    names, matrix = model_terms(choose_variables(cohort, x))
    used = np.flatnonzero(given.known & (layers >= 0) & ~np.isnan(matrix).any(axis=1))
    order = used[np.lexsort((-given.time[used], layers[used]))]
    centred = matrix[order] - matrix[order].mean(axis=0)
    spread = centred.std(axis=0)
    if not spread.all() or not given.event[used].any():
        raise ParameterError(f"no Cox model of {some(names)}: a term does not vary, or there is no event")
    rows = centred / spread, given.time[order], given.event[order], layers[order]
    k = len(names)
    beta, covariance = np.zeros(k), np.zeros((k, k))
    if fit_cox(*rows, beta, covariance) != FOUND:
        raise ParameterError(f"no Cox model of {some(names)}; `cox` says why")
    score, information = _score_of_change(*rows, beta)
    plain, across, change = information[:k, :k], information[:k, k:], information[k:, k:]
    left = change - across.T @ np.linalg.solve(plain, across)
    single = score**2 / np.diag(left)
    together = float(score @ np.linalg.solve(left, score))
    freedom = np.array([*[1] * k, k])
    statistic = np.array([*single, together])
    effect, error = score / np.diag(left) / spread, 1 / np.sqrt(np.diag(left)) / spread
    p = stats.chi2.sf(statistic, freedom)
    columns = {
        "x": [*names, "all terms"],
        "method": "proportional hazards (score test)",
        "effect": [*effect, np.nan],
        "ci_low": [*(effect - Z_95 * error), np.nan],
        "ci_high": [*(effect + Z_95 * error), np.nan],
        "effect_name": "change of log hazard ratio",
        "statistic": statistic,
        "df": freedom,
        "p": p,
        "q": p,
        "n_obs": len(used),
        "n_subjects": len(used),
        "n_events": int(given.event[used].sum()),
        "n_missing": len(layers) - len(used),
        "family": "one model",
        "reason": [*[""] * k, "all terms have no one effect"],
    }
    settings = {"unit": unit, "x": x, "strata": strata}
    return result_table("proportional_hazards", pd.DataFrame(columns), study=cohort.name, settings=settings)


def _score_of_change(x: Any, time: Any, event: Any, stratum: Any, beta: Any) -> tuple[Any, Any]:
    """Return the score of the terms times g(time), and the information of the terms and of these.

    g is 1 - Kaplan–Meier just before a time, less its mean over the events.
    """
    import numpy as np

    k = x.shape[1]
    times = np.unique(time[event])
    survival, before = 1.0, {}
    for now in times:
        before[now] = 1 - survival
        survival *= 1 - (event & (time == now)).sum() / (time >= now).sum()
    centre = np.mean([before[now] for now in time[event]])
    score, information = np.zeros(k), np.zeros((2 * k, 2 * k))
    risk = np.exp(x @ beta - (x @ beta).max())
    for layer in np.unique(stratum):
        for now in np.unique(time[event & (stratum == layer)]):
            g = before[now] - centre
            at_risk = (stratum == layer) & (time >= now)
            dying = at_risk & event & (time == now)
            deaths = int(dying.sum())
            for rank in range(deaths):
                weights = np.where(at_risk, risk, 0) - np.where(dying, risk * rank / deaths, 0)
                weights /= weights.sum()
                mean = weights @ x
                spread = (x * weights[:, None]).T @ x - np.outer(mean, mean)
                score += g * (x[dying].mean(axis=0) - mean)
                information += np.kron([[1, g], [g, g**2]], spread)
    return score, information
