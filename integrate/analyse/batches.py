"""The transformer that takes the difference between batches out of a table, fitted on some rows, applied to others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from integrate.analyse.batch_model import fit_batch_model, remove_batches
from integrate.errors import DataError, DatasetNotFoundError, ParameterError, closest, some, warn

__all__ = ["BatchScaler", "ComBat"]


class _Batched(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both transformers share: a table whose columns are features, one batch and covariates."""

    batch: str
    covariates: Sequence[str]

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:
        """Estimate the effects of the batches; rows whose batch or covariates are missing are left out.

        Parameters
        ----------
        X
            Numeric features, the batch and the covariates as columns.
        y
            Not used.

        Raises
        ------
        DatasetNotFoundError
            If the batch or a covariate is no column.
        DataError
            If a feature is no number, or has fewer than two values in a batch.
        ParameterError
            If there are fewer than two batches, one has a single row, or batches and covariates are confounded.
        """
        self.feature_names_in_ = self._features(X)
        self.batches_ = sorted(X[self.batch].dropna().unique())
        self.levels_ = {name: _levels(X[name]) for name in self.covariates}
        codes, design = self._codes(X), self._design(X)
        used = (codes >= 0) & ~np.isnan(design).any(axis=1)
        _check_design(codes[used], design[used], [str(b) for b in self.batches_], self._terms(), self.batch)
        values = self._values(X)[used]
        _check_features(values, codes[used], self.feature_names_in_, [str(b) for b in self.batches_])
        self.left_ = _flat_somewhere(values, codes[used])
        if self.left_.any():
            warn(
                f"{self.left_.sum()} features do not vary within a batch and are left as they are: "
                f"{some(self.feature_names_in_[self.left_])}"
            )
        self._fit_values(values[:, ~self.left_], codes[used], design[used])
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the features without the effects that `fit` found.

        Parameters
        ----------
        X
            The columns `fit` saw, of the same or of other rows of the same batches.

        Returns
        -------
        One column per feature. Missing stays missing; rows whose batch or covariates are missing are all missing.

        Raises
        ------
        DataError
            If a batch or a category of a covariate was not there when fitted.
        """
        check_is_fitted(self, "batches_")
        missing = [name for name in self.feature_names_in_ if name not in X]
        if missing:
            raise DatasetNotFoundError(f"columns that were fitted are absent: {some(missing)}")
        codes, design, values = self._codes(X), self._design(X), self._values(X)
        used = (codes >= 0) & ~np.isnan(design).any(axis=1)
        if not used.all():
            warn(f"{(~used).sum()} of {len(used)} rows lack {self.batch!r} or a covariate; their features are missing")
        changed = np.full(values.shape, np.nan)
        changed[np.ix_(used, self.left_)] = values[np.ix_(used, self.left_)]
        rows = np.ix_(used, ~self.left_)
        changed[rows] = self._changed(values[rows], codes[used], design[used])
        return pd.DataFrame(changed, index=X.index, columns=self.feature_names_in_)

    def get_feature_names_out(self, input_features: object = None) -> Any:
        """Return the names of the features, without batch and covariates.

        Parameters
        ----------
        input_features
            Not used; scikit-learn gives it.
        """
        return self.feature_names_in_

    def _fit_values(self, values: Any, codes: Any, design: Any) -> None:
        raise NotImplementedError

    def _changed(self, values: Any, codes: Any, design: Any) -> Any:
        raise NotImplementedError

    def _features(self, X: pd.DataFrame) -> Any:
        if not isinstance(X, pd.DataFrame):
            raise DataError(f"expected a DataFrame with a column {self.batch!r}, found {type(X).__name__}; make this "
                            "the first step of a pipeline")  # fmt: skip
        beside = [self.batch, *self.covariates]
        for name in beside:
            if name not in X:
                raise DatasetNotFoundError(f"no column {name!r}; {closest(name, X.columns)}")
        names = [name for name in X.columns if name not in beside]
        texts = [name for name in names if not pd.api.types.is_numeric_dtype(X[name])]
        if texts:
            raise DataError(f"features are numbers, and these are not: {some(texts)}; leave them out")
        return np.array(names, dtype=object)

    def _values(self, X: pd.DataFrame) -> Any:
        return X[list(self.feature_names_in_)].to_numpy(dtype=float, na_value=np.nan)

    def _codes(self, X: pd.DataFrame) -> Any:
        given = X[self.batch]
        codes = pd.Index(self.batches_).get_indexer(given)
        strange = given[(codes < 0) & given.notna().to_numpy()].unique()
        if len(strange):
            raise DataError(f"{self.batch} {some(strange)} was not there when fitted; known: {some(self.batches_)}")
        return codes

    def _design(self, X: pd.DataFrame) -> Any:
        """Return covariates as numbers, a category as 0/1 columns but its first; NaN where missing."""
        blocks = [np.empty((len(X), 0))]
        for name, levels in self.levels_.items():
            if levels is None:
                blocks.append(X[name].to_numpy(dtype=float, na_value=np.nan)[:, None])
                continue
            place = pd.Index(levels).get_indexer(X[name])
            strange = X[name][(place < 0) & X[name].notna().to_numpy()].unique()
            if len(strange):
                raise DataError(f"{name} {some(strange)} was not there when fitted; known: {some(levels)}")
            dummies = np.eye(len(levels))[place][:, 1:]
            dummies[place < 0] = np.nan
            blocks.append(dummies)
        return np.column_stack(blocks)

    def _terms(self) -> list[str]:
        terms = []
        for name, levels in self.levels_.items():
            terms += [name] if levels is None else [f"{name}[{level}]" for level in levels[1:]]
        return terms


class ComBat(_Batched):
    """ComBat: batches lose their own mean and variance of each feature, estimated together over all features.

    Parameters
    ----------
    batch
        Column that holds the batch: site, scanner, run.
    covariates
        Columns whose linear effect on the features is kept. Never the outcome that will be predicted: that leaks.
    mean_only
        Batches differ in their mean only.

    Notes
    -----
    The numbers are those of R's ``sva::ComBat`` with parametric priors, also with missing values. It refuses what
    sva does not: a batch with one row. Features that do not vary within a batch stay as they are, with a warning; they
    are true in ``left_``. As a scikit-learn transformer it is fitted inside the folds of a cross-validation.

    Examples
    --------
    >>> table = pd.DataFrame({"site": list("AAABBB"), "x": [1.0, 2, 3, 11, 12, 13], "y": [5.0, 3, 4, 5, 4, 3]})
    >>> ComBat(batch="site").fit_transform(table).groupby(table["site"])["x"].mean().round(1).to_dict()
    {'A': 6.9, 'B': 7.1}
    """

    def __init__(self, *, batch: str, covariates: Sequence[str] = (), mean_only: bool = False) -> None:
        self.batch = batch
        self.covariates = covariates
        self.mean_only = mean_only

    def _fit_values(self, values: Any, codes: Any, design: Any) -> None:
        if values.shape[1] < 2:
            raise ParameterError(
                f"ComBat learns from many features, and {values.shape[1]} can be used; BatchScaler takes one"
            )
        self.model_ = fit_batch_model(values, codes, design, mean_only=self.mean_only)

    def _changed(self, values: Any, codes: Any, design: Any) -> Any:
        return remove_batches(values, codes, design, self.model_)


class BatchScaler(_Batched):
    """Each batch by itself gets mean 0 and standard deviation 1 of each feature.

    Parameters
    ----------
    batch
        Column that holds the batch: site, scanner, run.
    robust
        Median 0 and 1.4826 × median absolute deviation 1 instead.

    Notes
    -----
    What differs between batches because their subjects differ is lost as well; see `confounding` first.

    Examples
    --------
    >>> table = pd.DataFrame({"site": list("AAABBB"), "x": [1.0, 2, 3, 10, 20, 30]})
    >>> BatchScaler(batch="site").fit_transform(table)["x"].tolist()
    [-1.0, 0.0, 1.0, -1.0, 0.0, 1.0]
    """

    covariates: Sequence[str] = ()

    def __init__(self, *, batch: str, robust: bool = False) -> None:
        self.batch = batch
        self.robust = robust

    def _fit_values(self, values: Any, codes: Any, design: Any) -> None:
        parts = [values[codes == each] for each in range(codes.max() + 1)]
        if self.robust:
            self.centre_ = np.stack([np.nanmedian(part, axis=0) for part in parts])
            self.spread_ = np.stack([1.4826 * np.nanmedian(np.abs(part - c), axis=0)
                                     for part, c in zip(parts, self.centre_, strict=True)])  # fmt: skip
        else:
            self.centre_ = np.stack([np.nanmean(part, axis=0) for part in parts])
            self.spread_ = np.stack([np.nanstd(part, axis=0, ddof=1) for part in parts])
        flat = (self.spread_ == 0).any(axis=0)
        if flat.any():
            names = self.feature_names_in_[~self.left_][flat]
            raise DataError(f"more than half of a batch has one value of {some(names)}; use robust=False")

    def _changed(self, values: Any, codes: Any, design: Any) -> Any:
        return (values - self.centre_[codes]) / self.spread_[codes]


def _levels(column: pd.Series[Any]) -> list[Any] | None:
    """Return the categories of a covariate, or ``None`` for numbers."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return None
    return sorted(column.dropna().unique())


def _check_design(codes: Any, design: Any, batches: list[str], terms: list[str], batch: str) -> None:
    sizes = np.bincount(codes, minlength=len(batches))
    if len(batches) < 2:
        raise ParameterError(f"{batch!r} has {len(batches)} batch; there is nothing to harmonise")
    alone = [name for name, size in zip(batches, sizes, strict=True) if size < 2]
    if alone:
        raise ParameterError(
            f"{batch} {some(alone)} has fewer than two rows (with all covariates): its variance cannot be known; leave "
            "it out, or join it with a batch of the same device"
        )
    member = np.eye(len(batches))[codes]
    standard = design - design.mean(axis=0) if len(design) else design
    scale = np.abs(standard).max(axis=0, initial=0)
    flat = [term for term, s in zip(terms, scale, strict=True) if s == 0]
    if flat:
        raise ParameterError(f"covariates that do not vary: {some(flat)}; leave them out")
    for upto, term in enumerate(terms, start=1):
        if np.linalg.matrix_rank(np.column_stack([member, standard[:, :upto] / scale[:upto]])) < len(batches) + upto:
            raise ParameterError(
                f"{term!r} follows from {batch!r}{' and the covariates before it' if upto > 1 else ''}: what the batch "
                "does cannot be told from what it does. Leave it out; `confounding` shows how they go together"
            )


def _check_features(values: Any, codes: Any, names: Any, batches: list[str]) -> None:
    for each, name in enumerate(batches):
        few = (~np.isnan(values[codes == each])).sum(axis=0) < 2
        if few.any():
            raise DataError(
                f"{few.sum()} features have fewer than two values in batch {name!r}: {some(names[few])}; leave these "
                "features or that batch out"
            )


def _flat_somewhere(values: Any, codes: Any) -> Any:
    """Return which features have a batch without variance."""
    return np.any([np.nanmax(p, axis=0) == np.nanmin(p, axis=0)
                   for p in (values[codes == each] for each in range(codes.max() + 1))], axis=0)  # fmt: skip
