"""Prediction, honestly judged: subjects never on both sides of a split, everything fitted inside the folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.analyse.leakage import fitted_steps, harmonised_with
from integrate.analyse.unit import check_choice, check_rows
from integrate.analyse.variables import choose_variables, model_terms
from integrate.errors import DataError, ParameterError, some, warn
from integrate.keys import ATTRS, SUBJECT_ID
from integrate.model.outcome import TimeToEvent
from integrate.model.progress import follow
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["Prediction", "evaluate_prediction"]

FUSIONS: tuple[str, ...] = ("early", "late")
#: What a pair of predictions is judged by, for each kind of outcome.
CONCORDANCE = {"groups": "AUC", "survival": "c-index", "number": "concordance"}


@dataclass(frozen=True, eq=False)
class Prediction:
    """How well an outcome is predicted, and every prediction that was made.

    Parameters
    ----------
    scores
        One row per measure; columns ``x, y, method, effect, effect_name, ci_low, ci_high, p, n_obs, n_subjects,
        n_missing``. Limits are 95 % of a bootstrap of subjects; p is of the permuted outcomes, NaN when none was made.
    predictions
        One row per unit and repeat: ``unit, subject, repeat, fold, observed, predicted``.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame(
    ...     {"y": ["arm"], "effect_name": ["AUC"], "effect": [0.7], "ci_low": [0.6], "ci_high": [0.8]}
    ... )
    >>> Prediction(scores.assign(n_subjects=40), pd.DataFrame())
    <Prediction of arm: AUC 0.70 (0.60 to 0.80); 40 subjects>
    """

    scores: pd.DataFrame
    predictions: pd.DataFrame

    def __repr__(self) -> str:
        told = ", ".join(
            f"{row.effect_name} {row.effect:.2f} ({row.ci_low:.2f} to {row.ci_high:.2f})"
            for row in self.scores.itertuples()
        )
        return f"<Prediction of {self.scores['y'].iloc[0]}: {told}; {self.scores['n_subjects'].iloc[0]} subjects>"


@dataclass(frozen=True)
class Task:
    """What is predicted from what: features, outcome (as an estimator takes it) and owner of each unit."""

    features: pd.DataFrame
    blocks: dict[str, list[str]]
    outcome: Any
    kind: str
    name: str
    owner: Any
    n_missing: int


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
        Columns the model needs as they are, such as the batch of a `ComBat` in the pipeline.
    search
        Parameters to choose among, by name as scikit-learn's ``GridSearchCV`` takes them; chosen inside each training
        part by an inner split of subjects (nested cross-validation).
    folds, repeats
        Number of parts, and of different splits into parts.
    bootstrap, permutations
        Resamples of subjects for the limits; outcomes shuffled among subjects, each with the whole procedure, for p.
    seed
        Of splits, bootstrap and permutations.

    Returns
    -------
    `Prediction`. AUC, c-index or concordance compare pairs of units of the same fold; ``Brier`` is of probabilities.

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
    task = _task(cohort, x, y, [beside] if isinstance(beside, str) else list(beside))
    _check_clean(cohort, model, task.name)
    _check_folds(task, folds)
    fitted = _model(task, model, fusion)
    rounds = [_predicted(task, fitted, search, folds, seed + r) for r in follow(range(repeats), "repeats")]
    scores = _scores(task, rounds, bootstrap, seed)
    if permutations:
        null = [
            _measure(shuffled, [_predicted(shuffled, fitted, search, folds, seed)])
            for shuffled in follow(_shuffled(task, permutations, seed), "permutations", total=permutations)
        ]
        better = {"Brier": -1}
        scores["p"] = [
            (1 + sum(better.get(name, 1) * (one[name] - effect) >= 0 for one in null)) / (1 + permutations)
            for name, effect in zip(scores["effect_name"], scores["effect"], strict=True)
        ]
    settings = {"unit": unit, "x": x, "y": task.name, "fusion": fusion, "search": search, "folds": folds}
    settings |= {"repeats": repeats, "bootstrap": bootstrap, "permutations": permutations, "seed": seed}
    settings["model"] = "default" if model is None else repr(model)
    record("evaluate_prediction", study=cohort.name, **settings)
    scores["x"] = x if isinstance(x, str) else some(x)
    scores["method"] = f"{'nested ' if search else ''}cross-validation by subject ({folds} folds)"
    order = ["x", "y", "method", "effect", "effect_name", "ci_low", "ci_high", "p", "n_obs", "n_subjects", "n_missing"]
    scores = scores[order]
    scores.attrs[ATTRS] = settings
    return Prediction(scores, _told(task, rounds))


def _task(cohort: Cohort, x: str | Sequence[str], y: str | TimeToEvent, beside: list[str]) -> Task:
    """Return features and outcome of the units whose outcome is known."""
    import numpy as np
    import pandas as pd

    from integrate.analyse.estimators import outcome_array

    variables = choose_variables(cohort, x)
    terms, matrix = model_terms(variables)
    features = pd.DataFrame(matrix, index=cohort.obs.index, columns=terms)
    for name in beside:
        features[name] = cohort.values(name).to_numpy()
    blocks: dict[str, list[str]] = {}
    for term in terms:
        blocks.setdefault(term.partition("/")[0] if "/" in term else "clinical", []).append(term)
    if isinstance(y, TimeToEvent):
        time = y.time.reindex(cohort.obs.index)
        known = time.notna().to_numpy()
        event = y.event.reindex(cohort.obs.index).fillna(value=False).to_numpy(dtype=bool)
        outcome, kind, name = outcome_array(time.to_numpy(dtype=float)[known], event[known]), "survival", "outcome"
    else:
        chosen = choose_variables(cohort, y)
        name = chosen.names[0]
        if len(chosen.names) != 1 or name in variables.names:
            raise ParameterError(f"y is one variable that is not in x; found {some(chosen.names)}")
        if chosen.numeric:
            known = ~np.isnan(chosen.values[:, 0])
            outcome, kind = chosen.values[known, 0], "number"
        else:
            column = chosen.categories[0]
            groups = column.cat.remove_unused_categories().cat.categories
            if len(groups) != 2:
                raise DataError(f"{name!r} has {len(groups)} groups; two can be predicted: take others together first")
            known = column.notna().to_numpy()
            outcome, kind = (column == groups[1]).to_numpy(dtype=bool, na_value=False)[known], "groups"
    owner = pd.factorize(cohort.obs.get(SUBJECT_ID, cohort.obs.index.to_series())[known])[0]
    return Task(features[known], blocks, outcome, kind, name, owner, int((~known).sum()))


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


def _check_folds(task: Task, folds: int) -> None:
    import numpy as np

    if task.kind == "number":
        kinds: Any = np.zeros(len(task.owner), dtype=int)
    else:
        kinds = (task.outcome["event"] if task.kind == "survival" else task.outcome).astype(int)
    words = {"number": ["a value"], "groups": ["'no'", "'yes'"], "survival": ["no event", "an event"]}[task.kind]
    for kind in np.unique(kinds):
        n = len(np.unique(task.owner[kinds == kind]))
        if n < folds:
            raise DataError(
                f"{n} subjects with {words[kind]} cannot be in each of {folds} folds; use fewer folds, or more subjects"
            )
    if task.kind != "number" and len(np.unique(kinds)) < 2:
        raise DataError(f"all units have {words[int(kinds[0])]}; there is nothing to predict")


def _model(task: Task, model: Any, fusion: str) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from integrate.analyse.estimators import LateFusion, PenalisedCox

    if model is None:
        last = {"groups": LogisticRegression(max_iter=5000), "number": Ridge(), "survival": PenalisedCox()}[task.kind]
        model = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), last)
    return model if fusion == "early" else LateFusion(model, task.blocks)


def _splits(task: Task, folds: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """Yield training and test rows; a subject is in one test part, and kinds of outcome are spread evenly."""
    import numpy as np
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    if task.kind == "number":
        yield from GroupKFold(folds, shuffle=True, random_state=seed).split(task.features, groups=task.owner)
        return
    kinds = task.outcome["event"] if task.kind == "survival" else task.outcome
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    yield from splitter.split(task.features, np.asarray(kinds, dtype=int), task.owner)


def _predicted(task: Task, model: Any, search: Mapping[str, Sequence[Any]] | None, folds: int, seed: int) -> Any:
    """Return the prediction of each unit by a model that has not seen its subject, and its fold."""
    import numpy as np
    from sklearn.base import clone

    predicted, fold = np.full(len(task.owner), np.nan), np.zeros(len(task.owner), dtype=int)
    for number, (train, test) in enumerate(_splits(task, folds, seed)):
        tool = clone(model) if search is None else _searched(task, model, search, train, seed)
        fitted = tool.fit(task.features.iloc[train], task.outcome[train])
        part = task.features.iloc[test]
        predicted[test] = fitted.predict_proba(part)[:, 1] if task.kind == "groups" else fitted.predict(part)
        fold[test] = number
    return predicted, fold


def _searched(task: Task, model: Any, search: Mapping[str, Sequence[Any]], train: Any, seed: int) -> Any:
    """Return a grid search whose inner splits keep subjects together."""
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV

    features, outcome, owner = task.features.iloc[train], task.outcome[train], task.owner[train]
    inner = Task(features, task.blocks, outcome, task.kind, task.name, owner, 0)
    parts = list(_splits(inner, 3, seed))
    scoring = {"groups": "roc_auc", "number": "neg_mean_squared_error", "survival": _c_index_of}[task.kind]
    return GridSearchCV(clone(model), dict(search), cv=parts, scoring=scoring)


def _c_index_of(model: Any, features: Any, outcome: Any) -> float:
    """Return the c-index of a fitted model, for scikit-learn."""
    import numpy as np

    concordant, comparable = _pairs(outcome, "survival", model.predict(features), np.zeros(len(outcome), dtype=int))
    return float(concordant.sum() / max(comparable.sum(), 1))


def _pairs(outcome: Any, kind: str, predicted: Any, fold: Any) -> tuple[Any, Any]:
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


def _measure(task: Task, rounds: Sequence[Any]) -> dict[str, float]:
    import numpy as np

    return {name: float(values[0]) for name, values in _resampled(task, rounds, np.ones((1, len(task.owner)))).items()}


def _resampled(task: Task, rounds: Sequence[Any], weights: Any) -> dict[str, Any]:
    """Return each measure under each row of weights of the units."""
    import numpy as np

    above: Any = 0.0
    below: Any = 0.0
    losses = np.zeros(len(task.owner))
    for predicted, fold in rounds:
        concordant, ordered = _pairs(task.outcome, task.kind, predicted, fold)
        above = above + ((weights @ concordant) * weights).sum(axis=1)
        below = below + ((weights @ ordered) * weights).sum(axis=1)
        if task.kind != "survival":
            losses = losses + (predicted - np.asarray(task.outcome, dtype=float)) ** 2 / len(rounds)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {CONCORDANCE[task.kind]: above / below}
    known = ~np.isnan(losses)
    if task.kind != "survival":
        loss = (weights[:, known] @ losses[known]) / weights[:, known].sum(axis=1)
        found["Brier" if task.kind == "groups" else "R²"] = loss
    if task.kind == "number":
        values = np.asarray(task.outcome, dtype=float)[known]
        mean = (weights[:, known] @ values) / weights[:, known].sum(axis=1)
        spread = (weights[:, known] @ values**2) / weights[:, known].sum(axis=1) - mean**2
        found["R²"] = 1 - found["R²"] / spread
    return found


def _scores(task: Task, rounds: Sequence[Any], bootstrap: int, seed: int) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    subjects = task.owner.max() + 1
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=bootstrap)[:, task.owner].astype(float)
    drawn = _resampled(task, rounds, weights) if bootstrap else {}
    known = ~np.isnan(rounds[0][0])
    rows = []
    for name, effect in _measure(task, rounds).items():
        low, high = np.nanquantile(drawn[name], [0.025, 0.975]) if bootstrap else (np.nan, np.nan)
        rows.append({"y": task.name, "effect": effect, "effect_name": name, "ci_low": low, "ci_high": high})
    counts = {"n_obs": int(known.sum()), "n_subjects": len(np.unique(task.owner[known]))}
    return pd.DataFrame(rows).assign(p=np.nan, **counts, n_missing=task.n_missing + int((~known).sum()))


def _shuffled(task: Task, permutations: int, seed: int) -> Iterator[Task]:
    """Yield the task with outcomes shuffled among subjects; rows of a subject keep one outcome when they have one."""
    from dataclasses import replace

    import numpy as np

    rng = np.random.default_rng((seed, 1))
    first = np.unique(task.owner, return_index=True)[1]
    constant = bool((task.outcome == task.outcome[first][task.owner]).all())
    for _ in range(permutations):
        if constant:
            yield replace(task, outcome=rng.permutation(task.outcome[first])[task.owner])
        else:
            yield replace(task, outcome=rng.permutation(task.outcome))


def _told(task: Task, rounds: Sequence[Any]) -> pd.DataFrame:
    import pandas as pd

    observed = task.outcome["time"] if task.kind == "survival" else task.outcome
    parts = [
        pd.DataFrame(
            {
                "unit": task.features.index,
                "subject": task.owner,
                "repeat": number,
                "fold": fold,
                "observed": observed,
                "predicted": predicted,
            }
        )
        for number, (predicted, fold) in enumerate(rounds)
    ]
    return pd.concat(parts, ignore_index=True)
