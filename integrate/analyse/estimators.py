"""The scikit-learn estimators that prediction from a cohort needs: a penalised Cox model, and late fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from integrate.errors import DataError

__all__ = ["LateFusion", "PenalisedCox", "outcome_array"]

OUTCOME = np.dtype([("event", bool), ("time", float)])


def outcome_array(time: Any, event: Any) -> Any:
    """Return times and events as the structured array that `PenalisedCox` is fitted on."""
    given = np.empty(len(time), dtype=OUTCOME)
    given["event"], given["time"] = event, time
    return given


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


class LateFusion(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """One model per modality, whose predictions are averaged over the modalities a unit has.

    Parameters
    ----------
    model
        Estimator, cloned for each modality; fitted on the units that have it.
    blocks
        Columns of each modality.

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

    def __init__(self, model: Any, blocks: Mapping[str, Sequence[str]]) -> None:
        self.model = model
        self.blocks = blocks

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
        for name, columns in self.blocks.items():
            has = X[list(columns)].notna().any(axis=1).to_numpy()
            if len(np.unique(np.asarray(y)[has])) > 1:
                self.models_[name] = clone(self.model).fit(X.loc[has, list(columns)], np.asarray(y)[has])
        if not self.models_:
            raise DataError("no modality has units of two kinds to learn from")
        first = next(iter(self.models_.values()))
        self.classes_ = getattr(first, "classes_", None)
        return self

    def _mean(self, X: pd.DataFrame, method: str) -> Any:
        check_is_fitted(self, "models_")
        total: Any = 0.0
        count = np.zeros(len(X))
        for name, model in self.models_.items():
            has = X[list(self.blocks[name])].notna().any(axis=1).to_numpy()
            part = None
            if has.any():
                part = np.asarray(getattr(model, method)(X.loc[has, list(self.blocks[name])]), dtype=float)
                grown = np.zeros((len(X), *part.shape[1:]))
                grown[has] = part
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
        return self._mean(X, "predict_proba")

    def predict(self, X: pd.DataFrame) -> Any:
        """Return the mean prediction of models of a number or of survival.

        Parameters
        ----------
        X
            As for `fit`.
        """
        return self._mean(X, "predict")
