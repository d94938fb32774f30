"""The task of a prediction: which features, which outcome, and whose rows must stay together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from integrate.analyse.variables import choose_variables, model_terms
from integrate.errors import DataError, ParameterError, some
from integrate.keys import SUBJECT_ID
from integrate.model.outcome import TimeToEvent

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["Task", "check_folds", "make_task", "shuffled", "split"]


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


def make_task(cohort: Cohort, x: str | Sequence[str], y: str | TimeToEvent, beside: list[str]) -> Task:
    """Return features and outcome of the units whose outcome is known."""
    import numpy as np
    import pandas as pd

    variables = choose_variables(cohort, x)
    terms, matrix = model_terms(variables)
    features = pd.DataFrame(matrix, index=cohort.obs.index, columns=terms)
    for name in beside:
        features[name] = cohort.values(name).to_numpy()
    blocks: dict[str, list[str]] = {}
    for term in terms:
        blocks.setdefault(term.partition("/")[0] if "/" in term else "clinical", []).append(term)
    if isinstance(y, TimeToEvent):
        outcome, known, kind, name = *_survival(cohort, y), "survival", "outcome"
    else:
        outcome, known, kind, name = _variable(cohort, y, variables.names)
    owner = pd.factorize(cohort.obs.get(SUBJECT_ID, cohort.obs.index.to_series())[known])[0]
    return Task(features[known], blocks, outcome, kind, name, owner, int(np.sum(~known)))


def _survival(cohort: Cohort, y: TimeToEvent) -> tuple[Any, Any]:
    """Return the outcome of those who have one, and who does."""
    from integrate.analyse.estimators import outcome_array

    time = y.time.reindex(cohort.obs.index)
    known = time.notna().to_numpy()
    event = y.event.reindex(cohort.obs.index).fillna(value=False).to_numpy(dtype=bool)
    return outcome_array(time.to_numpy(dtype=float)[known], event[known]), known


def _variable(cohort: Cohort, y: str, features: Sequence[str]) -> tuple[Any, Any, str, str]:
    """Return outcome, who has one, its kind and its name."""
    import numpy as np

    chosen = choose_variables(cohort, y)
    name = chosen.names[0]
    if len(chosen.names) != 1 or name in features:
        raise ParameterError(f"y is one variable that is not in x; found {some(chosen.names)}")
    if chosen.numeric:
        known = ~np.isnan(chosen.values[:, 0])
        return chosen.values[known, 0], known, "number", name
    column = chosen.categories[0]
    groups = column.cat.remove_unused_categories().cat.categories
    if len(groups) != 2:
        raise DataError(f"{name!r} has {len(groups)} groups; two can be predicted: take others together first")
    known = column.notna().to_numpy()
    return (column == groups[1]).to_numpy(dtype=bool, na_value=False)[known], known, "groups", name


def check_folds(task: Task, folds: int) -> None:
    """Raise unless each kind of outcome is in enough subjects for every fold."""
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


def split(task: Task, folds: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """Yield training and test rows; a subject is in one test part, and kinds of outcome are spread evenly."""
    import numpy as np
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    if task.kind == "number":
        yield from GroupKFold(folds, shuffle=True, random_state=seed).split(task.features, groups=task.owner)
        return
    kinds = task.outcome["event"] if task.kind == "survival" else task.outcome
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    yield from splitter.split(task.features, np.asarray(kinds, dtype=int), task.owner)


def shuffled(task: Task, permutations: int, seed: int) -> Iterator[Task]:
    """Yield the task with outcomes shuffled among subjects; rows of a subject keep one outcome when they have one."""
    import numpy as np

    rng = np.random.default_rng((seed, 1))
    first = np.unique(task.owner, return_index=True)[1]
    constant = bool((task.outcome == task.outcome[first][task.owner]).all())
    for _ in range(permutations):
        if constant:
            yield replace(task, outcome=rng.permutation(task.outcome[first])[task.owner])
        else:
            yield replace(task, outcome=rng.permutation(task.outcome))
