"""The scores of predictions: how often pairs are in the right order, and how far chances lie from what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.analyse.brier import brier_losses, integrate_over, marginal_survival
from integrate.analyse.task import Task

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Round", "is_better", "measure", "ordered_pairs", "score"]

#: What a pair of predictions is judged by, for each kind of outcome.
CONCORDANCE = {"groups": "AUC", "survival": "c-index", "number": "concordance"}

BRIER, INTEGRATED = "Brier", "integrated Brier"
#: Scores that are better when they are less.
LOSSES = (BRIER, INTEGRATED)


class Round(NamedTuple):
    """Predictions of every unit by models that had not seen its subject.

    Parameters
    ----------
    predicted
        Chance of the second group, number, or log hazard ratio; NaN where nothing could be predicted.
    fold
        Test part of each unit.
    survival
        (units, times) predicted chance of being free of the event, or ``None``.
    """

    predicted: Any
    fold: Any
    survival: Any


def ordered_pairs(outcome: Any, kind: str, predicted: Any, fold: Any) -> tuple[Any, Any]:
    """Return which pairs (i, j) of one fold are in the right order, a tie counting half, and which have an order.

    The order of i before j: i responds and j does not, i has the larger number, i has the event while j is without.
    """
    import numpy as np

    if kind == "survival":
        time, event = outcome["time"], outcome["event"]
        sooner = (time[:, None] < time) | ((time[:, None] == time) & ~event)
        ordered = event[:, None] & sooner
    else:
        values = np.asarray(outcome, dtype=float)
        ordered = values[:, None] > values
    known = ~np.isnan(predicted)
    ordered = ordered & (fold[:, None] == fold) & known[:, None] & known
    apart = predicted[:, None] - predicted
    return np.where(ordered, (apart > 0) + 0.5 * (apart == 0), 0.0), ordered.astype(float)


def measure(task: Task, rounds: Sequence[Round], times: Any) -> dict[str, float]:
    """Return each score."""
    import numpy as np

    ones = np.ones((1, len(task.owner)))
    return {name: float(values[0]) for name, values in _resampled(task, rounds, times, ones).items()}


def score(task: Task, rounds: Sequence[Round], times: Any, *, bootstrap: int, seed: int) -> pd.DataFrame:
    """Return one row per score, with the limits of a bootstrap of subjects."""
    import numpy as np
    import pandas as pd

    subjects = task.owner.max() + 1
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=bootstrap)[:, task.owner].astype(float)
    drawn = _resampled(task, rounds, times, weights) if bootstrap else {}
    known = ~np.isnan(rounds[0].predicted)
    rows = []
    for name, effect in measure(task, rounds, times).items():
        low, high = np.nanquantile(drawn[name], [0.025, 0.975]) if bootstrap else (np.nan, np.nan)
        rows.append({"y": task.name, "effect": effect, "effect_name": name, "ci_low": low, "ci_high": high})
    counts = {"n_obs": int(known.sum()), "n_subjects": len(np.unique(task.owner[known]))}
    return pd.DataFrame(rows).assign(p=np.nan, **counts, n_missing=task.n_missing + int((~known).sum()))


def is_better(name: str, one: float, other: float) -> bool:
    """Return whether a score is as good as another, or better."""
    return one <= other if name in LOSSES else one >= other


def _resampled(task: Task, rounds: Sequence[Round], times: Any, weights: Any) -> dict[str, Any]:
    """Return each score under each row of weights of the units."""
    import numpy as np

    above: Any = 0.0
    below: Any = 0.0
    for predicted, fold, _ in rounds:
        concordant, ordered = ordered_pairs(task.outcome, task.kind, predicted, fold)
        above = above + ((weights @ concordant) * weights).sum(axis=1)
        below = below + ((weights @ ordered) * weights).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {CONCORDANCE[task.kind]: above / below}
    if task.kind == "survival":
        return found | (_losses_in_time(task, rounds, times, weights) if rounds[0].survival is not None else {})
    return found | _losses(task, rounds, weights)


def _losses(task: Task, rounds: Sequence[Round], weights: Any) -> dict[str, Any]:
    """Return the Brier score of two groups, or the explained variance of a number."""
    import numpy as np

    values = np.asarray(task.outcome, dtype=float)
    losses = np.mean([(one.predicted - values) ** 2 for one in rounds], axis=0)
    known = ~np.isnan(losses)
    total = weights[:, known].sum(axis=1)
    loss = (weights[:, known] @ losses[known]) / total
    if task.kind == "groups":
        return {BRIER: loss}
    mean = (weights[:, known] @ values[known]) / total
    spread = (weights[:, known] @ values[known] ** 2) / total - mean**2
    return {"R²": 1 - loss / spread}


def _losses_in_time(task: Task, rounds: Sequence[Round], times: Any, weights: Any) -> dict[str, Any]:
    """Return the integrated Brier score of survival, and by what share it is below that of one curve for everybody."""
    import numpy as np

    known = ~np.isnan(np.stack([one.predicted for one in rounds])).any(axis=0)
    time, event = task.outcome["time"][known], task.outcome["event"][known]
    losses = np.mean([brier_losses(time, event, one.survival[known], times) for one in rounds], axis=0)
    alike = np.broadcast_to(marginal_survival(time, event, times), losses.shape)
    total = weights[:, known].sum(axis=1)
    ours, theirs = (
        (weights[:, known] @ integrate_over(one, times)) / total
        for one in (losses, brier_losses(time, event, alike, times))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return {INTEGRATED: ours, "explained (1 - Brier / Kaplan-Meier)": 1 - ours / theirs}
