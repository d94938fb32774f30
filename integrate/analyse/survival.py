"""The survival curve: how many units are free of the event after a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.follow_up import follow_up, followed_groups
from integrate.analyse.results import Z_95
from integrate.errors import DataError
from integrate.keys import ATTRS
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["at_risk", "kaplan_meier", "median_survival", "survival_curve"]

CURVE_COLUMNS: tuple[str, ...] = (
    *("group", "time", "n_at_risk", "n_events", "n_censored", "survival", "ci_low", "ci_high"),
)


def kaplan_meier(cohort: Cohort, outcome: TimeToEvent, *, unit: str, by: str | None = None) -> pd.DataFrame:
    """Return the Kaplan–Meier curve of all units, or of each group.

    Parameters
    ----------
    cohort
        What `link` returned.
    outcome
        Typed outcome, e.g. ``TimeToEvent.from_columns(cohort.obs, ...)``.
    unit
        What one observation is; a subject may have one row only.
    by
        A categorical variable. Units without it, or without an outcome, are left out and counted in
        ``attrs["integrate"]["n_missing"]``.

    Returns
    -------
    One row per group and time at which somebody had the event or was last seen, after one at time 0; columns ``group,
    time, n_at_risk`` (just before `time`)``, n_events, n_censored, survival, ci_low, ci_high``. Time is in the
    outcome's unit. The at-risk table of a figure is `at_risk`, medians are `median_survival`.

    Raises
    ------
    UnitError
        If the cohort has more rows than units or subjects.
    DataError
        If the outcome does not belong to the cohort.
    ParameterError
        If `by` is a number.

    Notes
    -----
    Limits are 95 %, of Greenwood's variance on the logarithm of survival: those R's ``survfit`` gives.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, outcome = toy_survival()
    >>> kaplan_meier(cohort, outcome, unit="subject")[["time", "n_at_risk", "n_events", "survival"]].round(3)
       time  n_at_risk  n_events  survival
    0   0.0          3         0     1.000
    1   3.0          3         1     0.667
    2   9.0          2         1     0.333
    3  12.0          1         0     0.333
    """
    import pandas as pd

    given = follow_up(cohort, outcome, unit=unit)
    members, n_missing = followed_groups(cohort, given, by)
    parts = [survival_curve(given.time[rows], given.event[rows]).assign(group=name) for name, rows in members]
    if not parts:
        raise DataError(f"no unit has both an outcome and {by!r}")
    curves = pd.concat(parts, ignore_index=True)[list(CURVE_COLUMNS)]
    settings = {"unit": unit, "by": by, "time_unit": outcome.unit, "origin": outcome.origin}
    curves.attrs[ATTRS] = {**settings, "n_missing": n_missing}
    record("kaplan_meier", study=cohort.name, n_obs=len(given.time) - n_missing, **settings)
    return curves


def survival_curve(time: Any, event: Any) -> pd.DataFrame:
    """Return the Kaplan–Meier curve of some units, a row per time after one at 0; see `kaplan_meier`."""
    import numpy as np
    import pandas as pd

    times = np.unique(np.append(time, 0.0))
    place = np.searchsorted(times, time)
    events = np.bincount(place, weights=event, minlength=len(times)).astype(np.int64)
    ended = np.bincount(place, minlength=len(times))
    risk = len(time) - np.concatenate([[0], np.cumsum(ended)[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = np.cumprod(1 - events / risk)
        error = np.sqrt(np.cumsum(np.where(events > 0, events / (risk * (risk - events)), 0.0)))
        low, high = survival * np.exp(-Z_95 * error), np.minimum(survival * np.exp(Z_95 * error), 1)
    gone = survival == 0  # the logarithm has no limits there
    columns: dict[str, Any] = {"time": times, "n_at_risk": risk, "n_events": events, "n_censored": ended - events}
    columns |= {"survival": survival, "ci_low": np.where(gone, np.nan, low), "ci_high": np.where(gone, np.nan, high)}
    return pd.DataFrame(columns)


def at_risk(curves: pd.DataFrame, times: Sequence[float]) -> pd.DataFrame:
    """Return how many units of each group are still followed just before each time.

    Parameters
    ----------
    curves
        What `kaplan_meier` returned.
    times
        In the outcome's unit.

    Returns
    -------
    Integers; one row per group, one column per time.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, outcome = toy_survival()
    >>> curves = kaplan_meier(cohort, outcome, unit="subject")
    >>> at_risk(curves, [0, 5]).loc["all"].tolist()
    [3, 2]
    """
    import numpy as np
    import pandas as pd

    rows = {}
    for group, curve in curves.groupby("group", sort=False):
        ended = (curve["n_events"] + curve["n_censored"]).to_numpy()
        before = np.searchsorted(curve["time"].to_numpy(), np.asarray(times, dtype=float), side="left")
        rows[group] = ended.sum() - np.concatenate([[0], np.cumsum(ended)])[before]
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(times)).rename_axis("group")


def median_survival(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the time by which half of each group had the event.

    Parameters
    ----------
    curves
        What `kaplan_meier` returned.

    Returns
    -------
    One row per group: ``group, n_obs, n_events, median, ci_low, ci_high``; NaN where the curve, or its limit, does not
    come down to one half. Where it stays at one half for a while, the middle of that while.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, outcome = toy_survival()
    >>> curves = kaplan_meier(cohort, outcome, unit="subject")
    >>> print(median_survival(curves).to_string(index=False))
    group  n_obs  n_events  median  ci_low  ci_high
      all      3         2     9.0     3.0      NaN
    """
    import pandas as pd

    rows = []
    for group, curve in curves.groupby("group", sort=False):
        crossed = {name: _crosses_half(curve, name) for name in ("survival", "ci_low", "ci_high")}
        n_obs = int(curve["n_at_risk"].iloc[0])
        row = (group, n_obs, int(curve["n_events"].sum()), crossed["survival"], crossed["ci_low"], crossed["ci_high"])
        rows.append(row)
    return pd.DataFrame(rows, columns=["group", "n_obs", "n_events", "median", "ci_low", "ci_high"])


def _crosses_half(curve: pd.DataFrame, column: str) -> float:
    import numpy as np

    values = curve[column].fillna(0 if column == "ci_low" else np.inf).to_numpy()
    times = curve["time"].to_numpy()
    below = np.flatnonzero(values < 0.5 + 1e-9)
    if not len(below):
        return float("nan")
    first = below[0]
    later = np.flatnonzero(values < 0.5 - 1e-9)
    level = abs(values[first] - 0.5) <= 1e-9
    return float((times[first] + times[later[0]]) / 2) if level and len(later) else float(times[first])
