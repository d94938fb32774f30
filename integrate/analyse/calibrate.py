"""The calibration of a prediction: whether what was said to come came as often as it was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.analyse.results import Z_95, result_table
from integrate.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from integrate.analyse.predict import Prediction

__all__ = ["calibrate"]

#: Chances are kept this far from 0 and 1 before their logarithm is taken.
EDGE = 1e-6


def calibrate(prediction: Prediction, *, time: float | None = None, bins: int = 5) -> pd.DataFrame:
    """Return what came, beside what was predicted, in groups of units of like prediction, and over all.

    Parameters
    ----------
    prediction
        What `evaluate_prediction` returned, predictions of subjects the model had not seen. Repeats are averaged.
    time
        Of survival: the time, one of those judged; ``None`` takes the middle one.
    bins
        Groups, as many units in each; fewer where predictions are tied.

    Returns
    -------
    A result. One row per group from the lowest prediction, with ``predicted``, its mean; the effect is what came: the
    share with the event (of survival 1 - Kaplan–Meier at the time), or the mean number. Then ``"slope"``, which is 1
    when predictions are neither too extreme (below) nor too timid (above); `p` asks whether it is 1.

    Raises
    ------
    ParameterError
        If survival was not judged at the time, or the model gave no chances.

    Notes
    -----
    Limits are Wilson's for shares, of Student's t for means, and Greenwood's on the logarithm for survival. The slope
    is of a logistic model on the logit (Cox 1958), of least squares, or of a Cox model on log(-log(S)). Units count as
    independent: with several of one subject limits are too narrow.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.analyse.predict import Prediction
    >>> told = pd.DataFrame({"unit": list("abcdefgh"), "subject": range(8), "observed": [0, 0, 0, 1, 0, 1, 1, 1]})
    >>> told["predicted"] = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]
    >>> scores = pd.DataFrame({"y": ["arm"], "n_missing": [0]})
    >>> calibrate(Prediction(scores, told, "groups"), bins=2)[["x", "predicted", "effect"]].round(2)
                x  predicted  effect
    0  0.1 to 0.4       0.25    0.25
    1  0.6 to 0.9       0.75    0.75
    2       slope        NaN    1.87
    """
    import numpy as np
    import pandas as pd

    told = _by_unit(prediction, time)
    ranks = told["predicted"].rank(method="average")
    group = pd.qcut(ranks, bins, labels=False, duplicates="drop")
    rows = [
        {"x": f"{part['predicted'].min():.3g} to {part['predicted'].max():.3g}", "predicted": part["predicted"].mean()}
        | _observed(part, prediction.kind, told.attrs["time"])
        for _, part in told.groupby(group)
    ]
    rows.append({"x": "slope", "predicted": np.nan, "effect_name": "calibration slope"} | _slope(told, prediction.kind))
    table = pd.DataFrame(rows)
    words = {"groups": "logit", "number": "least squares", "survival": f"cloglog at {told.attrs['time']:g}"}
    table["method"] = f"calibration ({words[prediction.kind]})"
    table["y"], table["family"] = prediction.scores["y"].iloc[0], "calibration"
    table["q"], table["reason"] = table["p"], table["reason"].fillna("")
    table["n_missing"] = int(prediction.scores["n_missing"].iloc[0])
    return result_table("calibrate", table, study="", settings={"time": told.attrs["time"], "bins": bins})


def _by_unit(prediction: Prediction, time: float | None) -> pd.DataFrame:
    """Return what was observed and predicted of each unit; of survival the chance of the event by the time."""
    table = prediction.predictions.copy()
    chosen = float("nan")
    if prediction.kind == "survival":
        if prediction.survival is None:
            raise ParameterError("the model gave no chances of survival; give it predict_survival(X, times)")
        times = [float(one) for one in prediction.survival.columns]
        chosen = times[len(times) // 2] if time is None else time
        if chosen not in times:
            raise ParameterError(f"survival was judged at {times}, not at time={time}; give times= when predicting")
        table["predicted"] = 1 - prediction.survival[chosen].to_numpy()
    elif time is not None:
        raise ParameterError("time= is of survival; this prediction is of something else")
    told = table.groupby("unit", sort=False).mean(numeric_only=True).dropna(subset=["predicted"])
    told.attrs["time"] = chosen
    return told


def _observed(part: pd.DataFrame, kind: str, time: float) -> dict[str, Any]:
    """Return what came in one group of units, with limits."""
    import numpy as np
    from scipy import stats

    n = len(part)
    told = {"p": np.nan, "n_obs": n, "n_subjects": part["subject"].nunique(), "reason": ""}
    values = part["observed"].to_numpy(dtype=float)
    if kind == "survival":
        share, low, high = _event_share(values, part["event"].to_numpy() > 0, time)
        return told | {"effect": share, "ci_low": low, "ci_high": high, "effect_name": "share with the event"}
    mean = values.mean()
    if kind == "number":
        half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        return told | {"effect": mean, "ci_low": mean - half, "ci_high": mean + half, "effect_name": "mean"}
    centre, width = mean + Z_95**2 / (2 * n), Z_95 * np.sqrt(mean * (1 - mean) / n + Z_95**2 / (4 * n**2))
    low, high = (centre - width) / (1 + Z_95**2 / n), (centre + width) / (1 + Z_95**2 / n)
    return told | {"effect": mean, "ci_low": low, "ci_high": high, "effect_name": "share with the event"}


def _event_share(time: Any, event: Any, at: float) -> tuple[float, float, float]:
    """Return 1 - Kaplan–Meier at a time and its limits."""
    from integrate.analyse.survival import survival_curve

    curve = survival_curve(time, event)
    last = curve[curve["time"] <= at].iloc[-1]
    return 1 - last["survival"], 1 - last["ci_high"], 1 - last["ci_low"]


def _slope(told: pd.DataFrame, kind: str) -> dict[str, Any]:
    """Return the calibration slope, its limits, and p of whether it is 1."""
    import numpy as np
    from scipy import stats

    chance = told["predicted"].to_numpy().clip(EDGE, 1 - EDGE)
    reason = ""
    if kind == "number":
        x, y = told["predicted"].to_numpy(), told["observed"].to_numpy(dtype=float)
        fit = stats.linregress(x, y) if np.ptp(x) > 0 and len(x) > 2 else None
        effect, error = (fit.slope, fit.stderr) if fit else (np.nan, np.nan)
    elif kind == "groups":
        from integrate.analyse.odds import fit_odds

        logit, came = np.log(chance / (1 - chance))[:, None], told["observed"].to_numpy() > 0
        found = fit_odds(logit, came, np.empty((len(told), 0)))
        effect, error, reason = found.effect[0], found.error[0], str(found.reason[0])
    else:
        effect, error, reason = _hazard_slope(told, np.log(-np.log(1 - chance)))
    half = Z_95 * error
    p = 2 * stats.norm.sf(abs(effect - 1) / error)
    counts = {"n_obs": len(told), "n_subjects": told["subject"].nunique(), "reason": reason}
    return {"effect": effect, "ci_low": effect - half, "ci_high": effect + half, "p": p, **counts}


def _hazard_slope(told: pd.DataFrame, x: Any) -> tuple[float, float, str]:
    import numpy as np

    from integrate.analyse.cox_kernels import scan_cox

    order = np.argsort(-told["observed"].to_numpy(dtype=float), kind="stable")
    time, event = told["observed"].to_numpy(dtype=float)[order], told["event"].to_numpy()[order] > 0
    zeros = np.zeros(len(told), dtype=np.int64)
    if np.ptp(x) == 0:
        return np.nan, np.nan, "constant"
    found, ended = scan_cox(x[order][None], np.empty((len(told), 0)), time, event, zeros, zeros[:0])
    return float(found[0, 0]), float(found[0, 1]), "no finite estimate" if ended[0] else ""
