"""The scikit-learn estimators that prediction from a cohort needs: a penalised Cox model, and late fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from integrate.errors import DataError

__all__ = ["LateFusion", "PenalisedCox", "outcome_array", "predict_survival"]

OUTCOME = np.dtype([("event", bool), ("time", float)])


def outcome_array(time: Any, event: Any) -> Any:
    """Return times and events as the structured array that `PenalisedCox` is fitted on."""
    given = np.empty(len(time), dtype=OUTCOME)
    given["event"], given["time"] = event, time
    return given


def predict_survival(model: Any, X: pd.DataFrame, times: Any) -> Any:
    """Return the chance of being free of the event after each time, (units, times); ``None`` if the model has none.

    Parameters
    ----------
    model
        A fitted estimator, grid search or pipeline whose last step has ``predict_survival``.
    X
        As for its ``predict``.
    times
        Rising, in the unit of the outcome it was fitted on.
    """
    if hasattr(model, "best_estimator_"):
        return predict_survival(model.best_estimator_, X, times)
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    if not hasattr(last, "predict_survival"):
        return None
    return last.predict_survival(model[:-1].transform(X) if hasattr(model, "steps") and len(model) > 1 else X, times)


class PenalisedCox(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A Cox model with a ridge penalty, for scikit-learn pipelines; it predicts the log hazard ratio.

    Parameters
    ----------
    penalty
        Strength of the ridge; the larger, the closer all effects to zero. Standardise features before.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(100, 2))
    >>> y = outcome_array(rng.exponential(np.exp(-x[:, 0])), np.ones(100))
    >>> PenalisedCox(penalty=0.1).fit(x, y).coef_.round(1).tolist()
    [1.1, -0.2]
    """

    def __init__(self, *, penalty: float = 0.1) -> None:
        self.penalty = penalty

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on features and the array of `outcome_array`.

        Parameters
        ----------
        X
            (units, features) numbers without missing values.
        y
            Structured array with ``event`` and ``time``.
        """
        from lifelines import CoxPHFitter

        values = np.asarray(X, dtype=float)
        keep = np.ptp(values, axis=0) > 0
        table = pd.DataFrame(values[:, keep], columns=[f"x{i}" for i in np.flatnonzero(keep)])
        table["time"], table["event"] = y["time"], y["event"]
        fitted = CoxPHFitter(penalizer=self.penalty).fit(table, "time", "event")
        self.coef_ = np.zeros(values.shape[1])
        self.coef_[keep] = fitted.params_.to_numpy()
        risk = np.exp(values @ self.coef_)
        self.times_ = np.unique(y["time"][y["event"]])
        at_risk = np.array([risk[y["time"] >= now].sum() for now in self.times_])
        died = np.array([(y["event"] & (y["time"] == now)).sum() for now in self.times_])
        self.hazard_ = np.cumsum(died / at_risk)
        return self

    def predict(self, X: Any) -> Any:
        """Return the log hazard ratio of each unit; larger is an earlier event.

        Parameters
        ----------
        X
            As for `fit`.
        """
        check_is_fitted(self, "coef_")
        return np.asarray(X, dtype=float) @ self.coef_

    def predict_survival(self, X: Any, times: Any) -> Any:
        """Return the chance of being free of the event after each time, (units, times), by Breslow's baseline.

        Parameters
        ----------
        X
            As for `fit`.
        times
            Rising, in the unit of the outcome.
        """
        hazard = np.concatenate([[0.0], self.hazard_])[np.searchsorted(self.times_, times, side="right")]
        return np.exp(-np.exp(self.predict(X))[:, None] * hazard)


class LateFusion(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """One model per modality, whose predictions are averaged over the modalities a unit has.

    Parameters
    ----------
    model
        Estimator, cloned for each modality; fitted on the units that have it.
    blocks
        Columns of each modality.
    beside
        Columns that every model has beside those of its modality, such as the batch of a `ComBat`.

    Notes
    -----
    A unit lacks a modality when all its columns are missing; one that lacks all gets a missing prediction.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> table = pd.DataFrame({"rna": [1.0, 2, 8, np.nan, 9], "ct": [2.0, np.nan, 7, 1, 9]})
    >>> fused = LateFusion(LogisticRegression(), {"rna": ["rna"], "ct": ["ct"]}).fit(table, [0, 0, 1, 0, 1])
    >>> fused.predict_proba(table)[:, 1].round(1).tolist()
    [0.1, 0.1, 0.9, 0.0, 1.0]
    """

    def __init__(self, model: Any, blocks: Mapping[str, Sequence[str]], beside: Sequence[str] = ()) -> None:
        self.model = model
        self.blocks = blocks
        self.beside = beside

    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        """Fit each modality's model.

        Parameters
        ----------
        X
            Table with the columns of all blocks.
        y
            What is predicted.

        Raises
        ------
        DataError
            If no unit has any modality.
        """
        self.models_ = {}
        given = np.asarray(y)
        for name in self.blocks:
            has, part = self._part(X, name)
            if len(np.unique(given[has])) > 1:
                self.models_[name] = clone(self.model).fit(part, given[has])
        if not self.models_:
            raise DataError("no modality has units of two kinds to learn from")
        first = next(iter(self.models_.values()))
        self.classes_ = getattr(first, "classes_", None)
        return self

    def _part(self, X: pd.DataFrame, name: str) -> tuple[Any, pd.DataFrame]:
        """Return which units have a modality, and their columns for its model."""
        columns = list(self.blocks[name])
        has = X[columns].notna().any(axis=1).to_numpy()
        return has, X.loc[has, [*columns, *self.beside]]

    def _mean(self, X: pd.DataFrame, predict: Callable[[Any, pd.DataFrame], Any]) -> Any:
        check_is_fitted(self, "models_")
        total: Any = 0.0
        count = np.zeros(len(X))
        for name, model in self.models_.items():
            has, part = self._part(X, name)
            if has.any():
                made = predict(model, part)
                if made is None:
                    return None
                predicted = np.asarray(made, dtype=float)
                grown = np.zeros((len(X), *predicted.shape[1:]))
                grown[has] = predicted
                total = total + grown
            count += has
        shape = (-1, *[1] * (np.ndim(total) - 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            return total / np.where(count > 0, count, np.nan).reshape(shape)

    def predict_proba(self, X: pd.DataFrame) -> Any:
        """Return the mean probability of each class.

        Parameters
        ----------
        X
            As for `fit`.
        """
        return self._mean(X, lambda model, part: model.predict_proba(part))

    def predict(self, X: pd.DataFrame) -> Any:
        """Return the mean prediction of models of a number or of survival.

        Parameters
        ----------
        X
            As for `fit`.
        """
        return self._mean(X, lambda model, part: model.predict(part))

    def predict_survival(self, X: pd.DataFrame, times: Any) -> Any:
        """Return the mean chance of being free of the event after each time, (units, times).

        Parameters
        ----------
        X
            As for `fit`.
        times
            Rising, in the unit of the outcome.
        """
        return self._mean(X, lambda model, part: predict_survival(model, part, times))
