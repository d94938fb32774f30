"""Prediction, honestly judged: subjects never on both sides of a split, everything fitted inside the folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.analyse.leakage import fitted_steps, harmonised_with
from integrate.analyse.results import result_table, title_of
from integrate.analyse.scores import Round, is_better, measure, ordered_pairs, score
from integrate.analyse.task import Task, check_folds, make_task, shuffled, split
from integrate.analyse.unit import check_choice, check_rows
from integrate.errors import ParameterError, some, warn
from integrate.model.outcome import TimeToEvent
from integrate.model.progress import follow

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["Prediction", "evaluate_prediction"]

FUSIONS: tuple[str, ...] = ("early", "late")
#: Shares of the events after which survival is judged, when no times are given.
DECILES = tuple(step / 10 for step in range(1, 10))


@dataclass(frozen=True, eq=False)
class Prediction:
    """How well an outcome is predicted, and every prediction that was made.

    Parameters
    ----------
    scores
        A result, one row per score. Limits are 95 % of a bootstrap of subjects; p is of the permuted outcomes, NaN when
        none was made; scores are of one prediction, so `q` repeats `p`.
    predictions
        One row per unit and repeat: ``unit, subject, repeat, fold, observed, predicted``; of survival also ``event``.
    kind
        What was predicted: ``"groups"`` (the chance of the second), ``"number"`` or ``"survival"`` (the log hazard).
    survival
        Rows as `predictions`, a column per time: the predicted chance of being free of the event; else ``None``.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame(
    ...     {"y": ["arm"], "effect_name": ["AUC"], "effect": [0.7], "ci_low": [0.6], "ci_high": [0.8]}
    ... )
    >>> Prediction(scores.assign(n_subjects=40), pd.DataFrame(), "groups")
    <Prediction of arm: AUC 0.70 (0.60 to 0.80); 40 subjects>
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame
    kind: str
    survival: pd.DataFrame | None = None

    def __repr__(self) -> str:
        told = ", ".join(
            f"{row.effect_name} {row.effect:.2f} ({row.ci_low:.2f} to {row.ci_high:.2f})"
            for row in self.scores.itertuples()
        )
        return f"<Prediction of {self.scores['y'].iloc[0]}: {told}; {self.scores['n_subjects'].iloc[0]} subjects>"


def evaluate_prediction(
    cohort: Cohort,
    x: str | Sequence[str],
    y: str | TimeToEvent,
    *,
    unit: str,
    model: Any = None,
    fusion: str = "early",
    beside: str | Sequence[str] = (),
    search: Mapping[str, Sequence[Any]] | None = None,
    times: Sequence[float] | None = None,
    folds: int = 5,
    repeats: int = 1,
    bootstrap: int = 1000,
    permutations: int = 0,
    seed: int = 0,
) -> Prediction:
    """Return how well variables predict an outcome in subjects the model has not seen.

    Parameters
    ----------
    cohort
        What `link` returned.
    x
        Names, as for `associate`; a categorical variable becomes 0/1 columns.
    y
        A categorical variable of two groups, a number, or a typed outcome.
    unit
        What a row of the cohort is. Rows of one subject always stay together.
    model
        A scikit-learn estimator or pipeline, not fitted; a DataFrame goes in. ``None``: median imputation, standard
        scores, and logistic regression, ridge regression or `PenalisedCox`.
    fusion
        ``"early"``: all columns in one model. ``"late"``: a model per assay, averaged over those a unit has.
    beside
        Columns the model needs as they are, such as the batch of a `ComBat` in the pipeline; in a late fusion each
        model has them.
    search
        Parameters to choose among, by name as scikit-learn's ``GridSearchCV`` takes them; chosen inside each training
        part by an inner split of subjects (nested cross-validation).
    times
        When survival is judged by the Brier score, in the outcome's unit; ``None``: at the deciles of the event times.
    folds, repeats
        Number of parts, and of different splits into parts.
    bootstrap, permutations
        Resamples of subjects for the limits; outcomes shuffled among subjects, each with the whole procedure, for p.
    seed
        Of splits, bootstrap and permutations.

    Returns
    -------
    `Prediction`. AUC, c-index or concordance compare pairs of units of the same fold; ``Brier`` is of probabilities.
    Survival has the Brier score integrated over `times`, censored units counted by those who were not (Graf et al.
    1999), and the share by which it is below that of one Kaplan–Meier curve for everybody; a model needs the method
    ``predict_survival(X, times)`` for it, as `PenalisedCox` has. `calibrate` compares chances with what came.

    Raises
    ------
    UnitError
        If the rows are not what `unit` says.
    ParameterError
        If the model is fitted already, or an assay was harmonised keeping the outcome: both have seen the answers.
    DataError
        If the outcome has not two groups, or there are fewer subjects of a kind than folds.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> cohort = link(toy_study(), clinical="clinical", unit="subject")
    >>> evaluate_prediction(cohort, "age", "response", unit="subject")
    Traceback (most recent call last):
    integrate.errors.DataError: 1 subjects with 'no' cannot be in each of 5 folds; use fewer folds, or more subjects
    """
    check_choice("fusion", fusion, FUSIONS)
    check_rows(cohort, unit)
    extra = [beside] if isinstance(beside, str) else list(beside)
    task = make_task(cohort, x, y, extra)
    _check_clean(cohort, model, task.name)
    check_folds(task, folds)
    fitted = _model(task, model, fusion, extra)
    moments = _times(task, times)
    rounds = [_predicted(task, fitted, search, folds, seed + r, moments) for r in follow(range(repeats), "repeats")]
    scores = score(task, rounds, moments, bootstrap=bootstrap, seed=seed)
    if permutations:
        null = [
            measure(one, [_predicted(one, fitted, search, folds, seed, moments)], moments)
            for one in follow(shuffled(task, permutations, seed), "permutations", total=permutations)
        ]
        scores["p"] = [
            (1 + sum(is_better(name, one[name], effect) for one in null)) / (1 + permutations)
            for name, effect in zip(scores["effect_name"], scores["effect"], strict=True)
        ]
    settings: dict[str, Any] = {"unit": unit, "x": x, "y": task.name, "fusion": fusion, "beside": extra}
    settings |= {"search": search, "folds": folds, "repeats": repeats, "bootstrap": bootstrap}
    settings |= {"permutations": permutations, "seed": seed}
    settings["model"] = "default" if model is None else repr(model)
    scores = scores.assign(x=title_of(x), q=scores["p"], family="one prediction")
    scores["method"] = f"{'nested ' if search else ''}cross-validation by subject ({folds} folds)"
    result = result_table("evaluate_prediction", scores, study=cohort.name, settings=settings)
    return Prediction(result, *_told(task, rounds, moments))


def _check_clean(cohort: Cohort, model: Any, outcome: str) -> None:
    steps = fitted_steps(model)
    if steps:
        raise ParameterError(
            f"{some(steps)} is fitted already: it has seen the subjects it will be tested on. Give a new, unfitted one"
        )
    for assay, kept in harmonised_with(cohort).items():
        if outcome in kept:
            raise ParameterError(
                f"{assay!r} was harmonised keeping {outcome!r}: the answer is in the features. Put ComBat(batch=...) "
                "without it into the model, and name the batch in beside="
            )
        warn(f"{assay!r} was harmonised over all units before the split; ComBat inside the model is cleaner")


def _model(task: Task, model: Any, fusion: str, beside: Sequence[str]) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from integrate.analyse.estimators import LateFusion, PenalisedCox

    if model is None:
        last = {"groups": LogisticRegression(max_iter=5000), "number": Ridge(), "survival": PenalisedCox()}[task.kind]
        model = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), last)
    return model if fusion == "early" else LateFusion(model, task.blocks, beside)


def _times(task: Task, times: Sequence[float] | None) -> Any:
    """Return when survival is judged, while somebody is still followed after."""
    import numpy as np

    if task.kind != "survival":
        if times is not None:
            raise ParameterError(f"times= judge survival, and {task.name!r} is a {task.kind.rstrip('s')}")
        return np.zeros(0)
    last = float(task.outcome["time"].max())
    events = task.outcome["time"][task.outcome["event"]]
    chosen = np.unique(np.quantile(events, DECILES) if times is None else np.asarray(times, dtype=float))
    if times is None:
        return chosen[chosen < last]
    late = chosen[(chosen >= last) | (chosen < 0)]
    if len(late) or not len(chosen):
        told = ", ".join(f"{one:g}" for one in late) or "[]"
        raise ParameterError(f"nobody is followed beyond times={told}; the last is at {last:g}")
    return chosen


def _predicted(
    task: Task, model: Any, search: Mapping[str, Sequence[Any]] | None, folds: int, seed: int, times: Any
) -> Round:
    """Return the prediction of each unit by a model that has not seen its subject."""
    import numpy as np
    from sklearn.base import clone

    from integrate.analyse.estimators import predict_survival

    predicted, fold = np.full(len(task.owner), np.nan), np.zeros(len(task.owner), dtype=int)
    survival = np.full((len(task.owner), len(times)), np.nan) if len(times) else None
    for number, (train, test) in enumerate(split(task, folds, seed)):
        tool = clone(model) if search is None else _searched(task, model, search, train, seed)
        fitted = tool.fit(task.features.iloc[train], task.outcome[train])
        part = task.features.iloc[test]
        predicted[test] = fitted.predict_proba(part)[:, 1] if task.kind == "groups" else fitted.predict(part)
        if survival is not None:
            chances = predict_survival(fitted, part, times)
            survival = None if chances is None else _filled(survival, test, chances)
        fold[test] = number
    return Round(predicted, fold, survival)


def _filled(survival: Any, rows: Any, chances: Any) -> Any:
    survival[rows] = chances
    return survival


def _searched(task: Task, model: Any, search: Mapping[str, Sequence[Any]], train: Any, seed: int) -> Any:
    """Return a grid search whose inner splits keep subjects together."""
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV

    features, outcome, owner = task.features.iloc[train], task.outcome[train], task.owner[train]
    inner = Task(features, task.blocks, outcome, task.kind, task.name, owner, 0)
    parts = list(split(inner, 3, seed))
    scoring = {"groups": "roc_auc", "number": "neg_mean_squared_error", "survival": _c_index_of}[task.kind]
    return GridSearchCV(clone(model), dict(search), cv=parts, scoring=scoring)


def _c_index_of(model: Any, features: Any, outcome: Any) -> float:
    """Return the c-index of a fitted model, for scikit-learn."""
    import numpy as np

    together = np.zeros(len(outcome), dtype=int)
    concordant, comparable = ordered_pairs(outcome, "survival", model.predict(features), together)
    return float(concordant.sum() / max(comparable.sum(), 1))


def _told(task: Task, rounds: Sequence[Round], times: Any) -> tuple[pd.DataFrame, str, pd.DataFrame | None]:
    """Return every prediction, what was predicted, and the chances of being free of the event."""
    import pandas as pd

    many = {"event": task.outcome["event"]} if task.kind == "survival" else {}
    observed = task.outcome["time"] if task.kind == "survival" else task.outcome
    columns = {"unit": task.features.index, "subject": task.owner, "observed": observed, **many}
    parts = [
        pd.DataFrame({**columns, "repeat": number, "fold": one.fold, "predicted": one.predicted})
        for number, one in enumerate(rounds)
    ]
    order = ["unit", "subject", "repeat", "fold", "observed", *many, "predicted"]
    predictions = pd.concat(parts, ignore_index=True)[order]
    if rounds[0].survival is None:
        return predictions, task.kind, None
    survival = pd.concat([pd.DataFrame(one.survival, columns=list(times)) for one in rounds], ignore_index=True)
    return predictions, task.kind, survival
