"""The Cox model: by what factor a variable raises or lowers the hazard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.analyse.fdr import METHODS as ADJUSTMENTS
from integrate.analyse.fdr import adjust_p_values
from integrate.analyse.follow_up import follow_up
from integrate.analyse.grouping import cluster_codes, strata_codes
from integrate.analyse.results import Z_95, result_table, title_of
from integrate.analyse.unit import check_choice
from integrate.analyse.variables import choose_variables, model_terms, normal_scores, numbers_only, numeric_matrix
from integrate.errors import ParameterError, some
from integrate.keys import SUBJECT_ID

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["cox", "cox_scan"]

#: What the effect is per: one of the variable's own units, or one standard deviation of its normal scores.
TRANSFORMS: dict[str | None, str] = {None: "log hazard ratio", "rank": "log hazard ratio per SD of ranks"}
ROBUST = "cox (Efron, robust)"


def cox(
    cohort: Cohort,
    outcome: TimeToEvent,
    x: str | Sequence[str],
    *,
    unit: str,
    strata: str | Sequence[str] = (),
    cluster: str | None = None,
) -> pd.DataFrame:
    """Return one Cox model with all variables of x together, one row per term.

    Parameters
    ----------
    cohort, outcome
        As for `kaplan_meier`.
    x
        Variables, numbers as they are. A categorical one becomes a term per category, compared with its first.
    unit
        What one observation is; a subject may have one row only, unless `cluster` says so.
    strata
        Categorical variables; each group has a baseline hazard of its own.
    cluster
        Variable whose equals go together, e.g. ``"subject_id"`` for several rows of a subject, or the centre: standard
        errors are then robust (Lin and Wei 1989), which needs about 40 clusters.

    Returns
    -------
    A result, one row per term, with ``hr, hr_low, hr_high, n_events``; the effect is the log hazard ratio. Units
    lacking any variable are left out and counted. The terms are parts of one model, so `q` repeats `p`.

    Raises
    ------
    UnitError
        If the cohort has more rows than units or subjects.
    DataError
        If the outcome does not belong to the cohort.
    ParameterError
        If a variable is constant, or terms are sums of others, or one alone tells who had the event: there is no model.

    Notes
    -----
    Ties after Efron (1977); Newton's method with step halving; Wald limits and p-values, as R's ``coxph``.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, outcome = toy_survival()
    >>> cox(cohort, outcome, "CD8", unit="subject")[["x", "hr", "n_obs", "n_events"]].round(2)
                 x    hr  n_obs  n_events
    0  protein/CD8  0.98      3         2
    """
    import numpy as np

    from integrate.analyse.cox_kernels import FOUND, fit_cox, robust_covariance, score_residuals

    given = follow_up(cohort, outcome, unit=unit, clustered=cluster is not None)
    layers, together = strata_codes(cohort, strata), cluster_codes(cohort, cluster)
    variables = choose_variables(cohort, x)
    names, matrix = model_terms(variables)
    used = given.known & (layers >= 0) & ~np.isnan(matrix).any(axis=1)
    if cluster is not None:
        used &= together >= 0
    if not given.event[used].any():
        raise ParameterError(f"no event among the {used.sum()} units that have an outcome and all of {some(names)}")
    order = np.flatnonzero(used)[_risk_order(given.time[used], layers[used])]
    centred = matrix[order] - matrix[order].mean(axis=0)
    spread = centred.std(axis=0)
    flat = [name for name, one in zip(names, spread, strict=True) if one == 0]
    if flat:
        raise ParameterError(f"constant among the {used.sum()} complete units: {some(flat)}; leave out")
    beta, covariance = np.zeros(len(names)), np.zeros((len(names), len(names)))
    rows = centred / spread, given.time[order], given.event[order], layers[order]
    ended = fit_cox(*rows, beta, covariance)
    if ended != FOUND:
        raise ParameterError(f"no Cox model of {some(names)}: {_reasons()[ended]}")
    if cluster is not None:
        residuals = np.zeros_like(centred)
        score_residuals(*rows, beta, residuals)
        covariance = robust_covariance(residuals, together[order], covariance)
    effect, error = beta / spread, np.sqrt(np.diag(covariance)) / spread
    n_obs, n_events = int(used.sum()), int(given.event[used].sum())
    result = _table(names, effect, error, n_obs=n_obs, n_events=n_events, n_units=len(used), transform=None)
    if cluster is not None:
        result["method"], result["n_subjects"] = ROBUST, _n_subjects(cohort, order)
    result["q"], result["family"] = result["p"], "one model"
    settings = {"unit": unit, "x": x, "strata": strata, "cluster": cluster}
    return result_table("cox", result, study=cohort.name, settings=settings)


def cox_scan(
    cohort: Cohort,
    outcome: TimeToEvent,
    x: str | Sequence[str],
    *,
    unit: str,
    adjust: str | Sequence[str] = (),
    strata: str | Sequence[str] = (),
    cluster: str | None = None,
    transform: str | None = "rank",
    fdr: str = "bh",
    family: str | None = None,
) -> pd.DataFrame:
    """Return a Cox model for each of many features, one row per feature.

    Parameters
    ----------
    cohort, outcome, unit, strata, cluster
        As for `cox`.
    x
        Numeric variables: an assay (all its features), features or clinical variables.
    adjust
        Variables that stand beside the feature in every model.
    transform
        ``"rank"``: the feature becomes normal scores of its ranks, so that a few extreme values do not make the result;
        the effect is per standard deviation. ``None``: as it is, the effect is per unit of the feature.
    fdr, family
        How p-values become q-values, and the family's name; ``None`` names it after x. The family is this call.

    Returns
    -------
    As `cox`, one row per feature. Units lacking the outcome, a covariate or the feature are left out, per feature, and
    counted in `n_missing`. Where the effect is NaN, `reason` says why.

    Raises
    ------
    UnitError, DataError
        As `cox`.
    ParameterError
        If a variable of x is categorical, or a choice is not known.

    Examples
    --------
    >>> from integrate.datasets.toy import toy_survival
    >>> cohort, outcome = toy_survival()
    >>> cox_scan(cohort, outcome, "protein", unit="subject")[["x", "hr", "n_events", "reason"]].round(2)
                 x    hr  n_events reason
    0  protein/CD8  0.46         2
    """
    import numpy as np

    from integrate.analyse.cox_kernels import scan_cox

    check_choice("fdr", fdr, ADJUSTMENTS)
    if transform not in TRANSFORMS:
        raise ParameterError(f"no transform {transform!r}; use 'rank' or None")
    given = follow_up(cohort, outcome, unit=unit, clustered=cluster is not None)
    layers, together = strata_codes(cohort, strata), cluster_codes(cohort, cluster)
    variables = numbers_only(choose_variables(cohort, x), "a scan takes numbers; for these use cox or logrank")
    covariates = numeric_matrix(cohort, adjust) if adjust else np.empty((len(layers), 0))
    complete = given.known & (layers >= 0) & ~np.isnan(covariates).any(axis=1)
    used = np.flatnonzero(complete & (together >= 0) if cluster is not None else complete)
    rows = used[_risk_order(given.time[used], layers[used])]
    features = normal_scores(variables.values[rows]) if transform == "rank" else variables.values[rows]
    known = ~np.isnan(features)
    n_events = (known & given.event[rows][:, None]).sum(axis=0)
    reason = _told_beforehand(features, n_events)
    asked = np.flatnonzero(reason == "")
    effect, error = np.full((2, len(reason)), np.nan)
    block = np.ascontiguousarray(features[:, asked].T)
    clusters = together[rows] if cluster is not None else together
    found, ended = scan_cox(block, covariates[rows], given.time[rows], given.event[rows], layers[rows], clusters)
    effect[asked], error[asked] = found.T
    reason[asked] = [_reasons()[code] for code in ended]
    result = _table(
        variables.names, effect, error, n_obs=known.sum(axis=0), n_events=n_events, n_units=len(layers),
        transform=transform,
    )  # fmt: skip
    if cluster is not None:
        result["method"] = ROBUST
        result["n_subjects"] = [_n_subjects(cohort, rows[column]) for column in known.T]
    result["reason"], result["q"] = reason, adjust_p_values(result["p"].to_numpy(dtype=float), method=fdr)
    result["family"] = family or title_of(x)
    settings = {"unit": unit, "x": x, "adjust": adjust, "strata": strata, "cluster": cluster, "transform": transform}
    settings["fdr"] = fdr
    return result_table("cox_scan", result, study=cohort.name, settings=settings)


def _n_subjects(cohort: Cohort, rows: Any) -> int:
    """Return the number of different subjects among rows."""
    subjects = cohort.obs.get(SUBJECT_ID, cohort.obs.index.to_series())
    return int(subjects.iloc[rows].nunique())


def _reasons() -> dict[int, str]:
    from integrate.analyse.cox_kernels import COLLINEAR, FOUND, UNBOUNDED

    return {
        FOUND: "",
        COLLINEAR: "it follows from the other terms, or does not vary among those at risk",
        UNBOUNDED: "no finite estimate: a term alone tells who had the event",
    }


def _risk_order(time: Any, layers: Any) -> Any:
    """Return the order by stratum, then from the longest time to the shortest."""
    import numpy as np

    return np.lexsort((-time, layers))


def _told_beforehand(features: Any, n_events: Any) -> Any:
    """Return why a feature has no model, or ``""``."""
    import numpy as np

    known = ~np.isnan(features)
    low, high = np.where(known, features, np.inf), np.where(known, features, -np.inf)
    constant = low.min(axis=0, initial=np.inf) >= high.max(axis=0, initial=-np.inf)
    return np.select([n_events == 0, constant], ["no event among complete units", "constant"], "").astype(object)


def _table(
    names: list[str], effect: Any, error: Any, *, n_obs: Any, n_events: Any, n_units: int, transform: str | None
) -> pd.DataFrame:
    import numpy as np
    import pandas as pd
    from scipy import stats

    low, high = effect - Z_95 * error, effect + Z_95 * error
    with np.errstate(over="ignore"):
        ratios = {"hr": np.exp(effect), "hr_low": np.exp(low), "hr_high": np.exp(high)}
    columns = {"x": names, "method": "cox (Efron)", "effect": effect, "effect_name": TRANSFORMS[transform]}
    columns |= {"ci_low": low, "ci_high": high, **ratios, "p": 2 * stats.norm.sf(np.abs(effect / error))}
    columns |= {"n_obs": n_obs, "n_events": n_events, "n_subjects": n_obs, "n_missing": n_units - n_obs, "reason": ""}
    return pd.DataFrame(columns)
