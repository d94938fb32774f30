"""Survival: how many units are free of the event after a time, and whether groups differ in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.analyse.unit import check_rows, check_unit
from integrate.analyse.variables import choose_variables
from integrate.errors import DataError, ParameterError, UnitError, some, warn
from integrate.keys import ATTRS, SUBJECT_ID
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = [
    "FollowUp",
    "at_risk",
    "cluster_codes",
    "follow_up",
    "group_codes",
    "kaplan_meier",
    "logrank",
    "median_survival",
    "strata_codes",
]

CURVE_COLUMNS: tuple[str, ...] = (
    *("group", "time", "n_at_risk", "n_events", "n_censored", "survival", "ci_low", "ci_high"),
)
LOGRANK_COLUMNS: tuple[str, ...] = (
    *("x", "method", "statistic", "df", "p", "n_obs", "n_events", "n_subjects", "n_missing", "groups", "reason"),
)
Z_95 = 1.959963984540054
#: With fewer clusters sandwich errors are too small: one in eight or ten null results is found at 5 %.
FEW_CLUSTERS = 40


@dataclass(frozen=True)
class FollowUp:
    """The outcome of every unit of a cohort, in its order.

    Parameters
    ----------
    time
        Floats, NaN where the outcome is not known.
    event
        Booleans, false where the outcome is not known.
    """

    time: Any
    event: Any

    @property
    def known(self) -> Any:
        """Whether each unit's outcome is known."""
        import numpy as np

        return ~np.isnan(self.time)


def follow_up(cohort: Cohort, outcome: TimeToEvent, *, unit: str, clustered: bool = False) -> FollowUp:
    """Return the outcome of every unit of a cohort, after checking that no subject counts twice.

    Parameters
    ----------
    cohort
        What `link` returned.
    outcome
        Typed outcome; its index holds ids of the cohort's units.
    unit
        What one observation is.
    clustered
        Whether a subject may have several rows, because errors will be robust to it.

    Raises
    ------
    UnitError
        If a row is not one unit, or a subject has several rows: its one death would be counted again.
    DataError
        If the outcome names a unit the cohort does not have, or one twice, or nobody has the event.
    """
    import numpy as np

    subjects = cohort.obs.get(SUBJECT_ID)
    if clustered:
        check_rows(cohort, unit)
    elif subjects is not None and subjects.duplicated().any():
        raise UnitError(
            f"the cohort has {len(subjects)} {cohort.unit}s of {subjects.nunique()} subjects; each subject's one event "
            "would be counted again. Link with unit='subject' and reduce=..., or give cluster='subject_id' to cox"
        )
    else:
        check_unit(cohort, unit)
    index = outcome.time.index
    if index.has_duplicates:
        raise DataError(f"the outcome has several rows of {some(index[index.duplicated()].unique())}; give one each")
    strangers = index.difference(cohort.obs.index)
    if len(strangers):
        raise DataError(
            f"the outcome has {len(strangers)} ids that are no {cohort.unit} of the cohort: {some(strangers)}; make it "
            "from cohort.obs, or select its rows first"
        )
    if not outcome.n_events:
        raise DataError(f"no unit has the event: {outcome!r}; see event_means= of TimeToEvent.from_columns")
    time = outcome.time.reindex(cohort.obs.index).to_numpy(dtype=float, na_value=np.nan)
    event = outcome.event.reindex(cohort.obs.index).fillna(value=False).to_numpy(dtype=bool)
    return FollowUp(time, event & ~np.isnan(time))


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
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> from integrate.model.outcome import TimeToEvent
    >>> cohort = link(toy_study(), clinical="clinical", unit="subject")
    >>> table = cohort.obs.assign(months=[3.0, 9.0, 12.0], died=[True, True, False])
    >>> outcome = TimeToEvent.from_columns(table, time="months", event="died", unit="mo", origin="diagnosis")
    >>> kaplan_meier(cohort, outcome, unit="subject")[["time", "n_at_risk", "n_events", "survival"]].round(3)
       time  n_at_risk  n_events  survival
    0   0.0          3         0     1.000
    1   3.0          3         1     0.667
    2   9.0          2         1     0.333
    3  12.0          1         0     0.333
    """
    import numpy as np
    import pandas as pd

    given = follow_up(cohort, outcome, unit=unit)
    codes, names = (np.zeros(len(given.time), dtype=int), ["all"]) if by is None else group_codes(cohort, by)
    used = given.known & (codes >= 0)
    parts = [
        _curve(given.time[used & (codes == code)], given.event[used & (codes == code)]).assign(group=name)
        for code, name in enumerate(names)
        if (used & (codes == code)).any()
    ]
    if not parts:
        raise DataError(f"no unit has both an outcome and {by!r}")
    curves = pd.concat(parts, ignore_index=True)[list(CURVE_COLUMNS)]
    settings = {"unit": unit, "by": by, "time_unit": outcome.unit, "origin": outcome.origin}
    curves.attrs[ATTRS] = {**settings, "n_missing": int((~used).sum())}
    record("kaplan_meier", study=cohort.name, n_obs=int(used.sum()), **settings)
    return curves


def _curve(time: Any, event: Any) -> pd.DataFrame:
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
    >>> import pandas as pd
    >>> curve = {"group": "all", "time": [0.0, 3, 9], "n_at_risk": [3, 3, 2], "n_events": [0, 1, 1]}
    >>> limits = {"n_censored": [0, 0, 1], "survival": [1, 0.67, 0.33], "ci_low": [1, 0.3, 0.07], "ci_high": 1.0}
    >>> curves = pd.DataFrame(curve | limits)
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
    >>> import pandas as pd
    >>> curve = {"group": "all", "time": [0.0, 3, 9], "n_at_risk": [3, 3, 2], "n_events": [0, 1, 1]}
    >>> limits = {"n_censored": [0, 0, 1], "survival": [1, 0.67, 0.33], "ci_low": [1, 0.3, 0.07], "ci_high": 1.0}
    >>> curves = pd.DataFrame(curve | limits)
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


def logrank(
    cohort: Cohort, outcome: TimeToEvent, x: str | Sequence[str], *, unit: str, strata: str | Sequence[str] = ()
) -> pd.DataFrame:
    """Return the log-rank test of each categorical variable: whether its groups differ in survival.

    Parameters
    ----------
    cohort
        What `link` returned.
    outcome
        Typed outcome.
    x
        Categorical variables.
    unit
        What one observation is; a subject may have one row only.
    strata
        Categorical variables within whose groups units are compared.

    Returns
    -------
    One row per variable: ``x, method, statistic`` (chi-squared)``, df, p, n_obs, n_events, n_subjects, n_missing,
    groups, reason``; `groups` gives n, observed and expected events of each.

    Raises
    ------
    UnitError, DataError, ParameterError
        As `kaplan_meier`.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> from integrate.model.outcome import TimeToEvent
    >>> cohort = link(toy_study(), clinical="clinical", unit="subject")
    >>> table = cohort.obs.assign(months=[3.0, 9.0, 12.0], died=True)
    >>> outcome = TimeToEvent.from_columns(table, time="months", event="died", unit="mo", origin="diagnosis")
    >>> logrank(cohort, outcome, "response", unit="subject")[["statistic", "df", "n_events"]].round(2)
       statistic  df  n_events
    0        2.0   1         3
    """
    import numpy as np
    import pandas as pd

    given = follow_up(cohort, outcome, unit=unit)
    layers = strata_codes(cohort, strata)
    rows = []
    for name in [x] if isinstance(x, str) else x:
        codes, names = group_codes(cohort, name)
        used = given.known & (codes >= 0) & (layers >= 0)
        row = _logrank(given.time[used], given.event[used], codes[used], layers[used], names)
        total, events = int(used.sum()), int(given.event[used].sum())
        method = "stratified logrank" if len(np.unique(layers[used])) > 1 else "logrank"
        rows.append((name, method, *row[:3], total, events, total, len(used) - total, *row[3:]))
    record("logrank", study=cohort.name, x=x, unit=unit, strata=strata, tests=len(rows))
    return pd.DataFrame(rows, columns=list(LOGRANK_COLUMNS))


def _logrank(time: Any, event: Any, codes: Any, layers: Any, names: list[str]) -> tuple[float, int, float, str, str]:
    """Return ``statistic, df, p, groups, reason``."""
    import numpy as np
    from scipy import stats

    k = len(names)
    observed, expected, variance = np.zeros(k), np.zeros(k), np.zeros((k, k))
    for layer in np.unique(layers):
        inside = layers == layer
        for now in np.unique(time[inside & event]):
            risk = np.bincount(codes[inside & (time >= now)], minlength=k).astype(float)
            died = np.bincount(codes[inside & event & (time == now)], minlength=k).astype(float)
            n, d = risk.sum(), died.sum()
            observed += died
            expected += d * risk / n
            if n > 1:
                share = risk / n
                variance += d * (n - d) / (n - 1) * (np.diag(share) - np.outer(share, share))
    sizes = np.bincount(codes, minlength=k)
    parts = zip(names, sizes, observed, expected, strict=True)
    groups = ", ".join(f"{name} = {n} ({o:.0f} events, {e:.1f} expected)" for name, n, o, e in parts if n)
    compared = np.flatnonzero(np.diag(variance) > 0)
    if len(compared) < 2:
        return float("nan"), 0, float("nan"), groups, "fewer than two groups are followed until an event"
    kept = compared[:-1]  # the last group's excess is what the others lack
    excess = (observed - expected)[kept]
    statistic = float(excess @ np.linalg.solve(variance[np.ix_(kept, kept)], excess))
    return statistic, len(kept), float(stats.chi2.sf(statistic, len(kept))), groups, ""


def group_codes(cohort: Cohort, name: str) -> tuple[Any, list[str]]:
    """Return the position of each unit's group, -1 where missing, and the groups' names.

    Raises
    ------
    ParameterError
        If the variable is a number, or several variables.
    """
    import numpy as np

    variables = choose_variables(cohort, name)
    if variables.numeric or len(variables.categories) != 1:
        raise ParameterError(f"{name!r} is not one categorical variable; make groups of a number first (pandas.cut)")
    column = variables.categories[0].cat.remove_unused_categories()
    return column.cat.codes.to_numpy(dtype=np.int64), [str(category) for category in column.cat.categories]


def cluster_codes(cohort: Cohort, cluster: str | None) -> Any:
    """Return the cluster of each unit as integers, -1 where it is missing; none when there are no clusters."""
    import numpy as np
    import pandas as pd

    if cluster is None:
        return np.zeros(0, dtype=np.int64)
    own = cluster == cohort.obs.index.name
    codes, names = pd.factorize(cohort.obs.index if own else cohort.values(cluster))
    if len(names) < FEW_CLUSTERS:
        warn(f"robust errors of {len(names)} clusters are too small; they need about {FEW_CLUSTERS}")
    return codes.astype(np.int64)


def strata_codes(cohort: Cohort, names: str | Sequence[str]) -> Any:
    """Return the stratum of each unit as integers, -1 where one of the variables is missing."""
    import numpy as np

    together = np.zeros(len(cohort.obs), dtype=np.int64)
    for name in [names] if isinstance(names, str) else names:
        codes, groups = group_codes(cohort, name)
        together = np.where((together < 0) | (codes < 0), -1, together * len(groups) + codes)
    return together
