"""The restricted mean: how long units stay free of the event, on average, up to a horizon."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from integrate.analyse.fdr import METHODS as ADJUSTMENTS
from integrate.analyse.fdr import adjust_p_values
from integrate.analyse.follow_up import follow_up, followed_groups
from integrate.analyse.results import Z_95, result_table
from integrate.analyse.unit import check_choice
from integrate.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["restricted_mean_survival"]


def restricted_mean_survival(
    cohort: Cohort, outcome: TimeToEvent, *, unit: str, horizon: float, by: str | None = None, fdr: str = "bh"
) -> pd.DataFrame:
    """Return the mean time free of the event up to a horizon, per group, and its differences between groups.

    Parameters
    ----------
    cohort, outcome, unit, by
        As for `kaplan_meier`.
    horizon
        Time up to which it is averaged, in the outcome's unit; chosen before looking at the data.
    fdr
        How p-values become q-values; the family is the differences.

    Returns
    -------
    A result, one row per group, then one per two groups (``"b - a"``), with ``se, n_events``. The effect is a time, or
    a difference of times; only a difference is tested.

    Raises
    ------
    UnitError, DataError
        As `kaplan_meier`.
    ParameterError
        If nobody of a group is followed to the horizon, or `by` is a number.

    Notes
    -----
    The area under the Kaplan–Meier curve; standard errors as those ``print(survfit, rmean = horizon)`` of R gives.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, outcome = toy_survival()
    >>> restricted_mean_survival(cohort, outcome, unit="subject", horizon=10)[["x", "effect", "se"]].round(3)
         x  effect     se
    0  all   7.333  1.785
    """
    import numpy as np
    import pandas as pd
    from scipy import stats

    check_choice("fdr", fdr, ADJUSTMENTS)
    given = follow_up(cohort, outcome, unit=unit)
    members, n_missing = followed_groups(cohort, given, by)
    rows = []
    for name, places in members:
        time, event = given.time[places], given.event[places]
        last = time.max(initial=0)
        if not horizon > 0 or last < horizon:
            raise ParameterError(f"nobody of {name!r} is followed to horizon={horizon:g}; the last is at {last:g}")
        rows.append((name, *_area(time, event, horizon), np.nan, len(time), int(event.sum())))
    for first, second in combinations(list(rows), 2):
        difference, error = second[1] - first[1], float(np.hypot(first[2], second[2]))
        p = 2 * stats.norm.sf(abs(difference) / error) if error > 0 else np.nan
        rows.append((f"{second[0]} - {first[0]}", difference, error, p, first[4] + second[4], first[5] + second[5]))
    table = pd.DataFrame(rows, columns=["x", "effect", "se", "p", "n_obs", "n_events"])
    table["ci_low"], table["ci_high"] = (table["effect"] + side * Z_95 * table["se"] for side in (-1, 1))
    table["q"] = adjust_p_values(table["p"].to_numpy(dtype=float), method=fdr)
    table["n_subjects"], table["n_missing"] = table["n_obs"], n_missing
    table["effect_name"] = f"{outcome.unit} free of the event in {horizon:g}"
    table = table.assign(method="restricted mean survival", family="all" if by is None else by)
    settings = {"unit": unit, "horizon": horizon, "by": by, "fdr": fdr}
    return result_table("restricted_mean_survival", table, study=cohort.name, settings=settings)


def _area(time: Any, event: Any, horizon: float) -> tuple[float, float]:
    """Return the area under the Kaplan–Meier curve to the horizon, and its standard error."""
    import numpy as np

    steps = np.unique(time[event & (time <= horizon)])
    n = np.array([(time >= now).sum() for now in steps])
    deaths = np.array([(event & (time == now)).sum() for now in steps])
    survival = np.concatenate([[1.0], np.cumprod(1 - deaths / n)])
    widths = np.diff(np.concatenate([[0.0], steps, [horizon]]))
    after = np.cumsum((survival * widths)[::-1])[::-1][1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(n > deaths, after**2 * deaths / (n * (n - deaths)), 0)
    return float((survival * widths).sum()), float(np.sqrt(terms.sum()))
