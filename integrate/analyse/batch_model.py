"""The location and scale model of ComBat: what each batch adds to and multiplies each feature by, shrunk."""

from __future__ import annotations

from typing import Any, NamedTuple

from integrate.errors import DataError

__all__ = ["BatchModel", "fit_batch_model", "remove_batches"]

#: The iteration ends when no estimate changes by more than this share of itself, where sva's ends.
CONVERGED = 1e-4
MAX_STEPS = 10_000


class BatchModel(NamedTuple):
    """What was estimated; the last axis of every array is the features.

    Parameters
    ----------
    grand_mean, spread
        Mean over batches weighted by their size, and standard deviation within batches.
    slopes
        (covariates, features) effects that are kept.
    shift, scale
        (batches, features) additive and multiplicative effects of each batch, in standard deviations and variances.
    """

    grand_mean: Any
    spread: Any
    slopes: Any
    shift: Any
    scale: Any


def fit_batch_model(values: Any, batch: Any, covariates: Any, *, mean_only: bool) -> BatchModel:
    """Return the effects of batches on features.

    Parameters
    ----------
    values
        (units, features) floats, NaN where missing; every feature varies in every batch.
    batch
        Batch of each unit as integers, each number from 0 to the largest.
    covariates
        (units, covariates) floats without missing values, not implied by the batches.
    mean_only
        Whether batches only add, and do not multiply.

    Notes
    -----
    Johnson, Li and Rabinovic (2007) with parametric priors, in the steps of sva 3.46: variances divide by the number of
    units when nothing is missing, else by one less; the shrinking of each batch stops at a change below 1e-4.
    """
    import numpy as np

    sizes = np.bincount(batch)
    member = np.eye(len(sizes))[batch]
    design = np.column_stack([member, covariates])
    coefficients = _least_squares(values, design)
    complete = not np.isnan(values).any()
    freedom = (~np.isnan(values)).sum(axis=0) - (0 if complete else 1)
    spread = np.sqrt(np.nansum((values - design @ coefficients) ** 2, axis=0) / freedom)
    grand_mean = sizes / len(batch) @ coefficients[: len(sizes)]
    slopes = coefficients[len(sizes) :]
    standard = (values - grand_mean - covariates @ slopes) / spread
    shift, scale = (np.empty((len(sizes), values.shape[1])) for _ in range(2))
    for each in range(len(sizes)):
        shift[each], scale[each] = _shrunk(standard[batch == each], mean_only=mean_only)
    return BatchModel(grand_mean, spread, slopes, shift, scale)


def remove_batches(values: Any, batch: Any, covariates: Any, model: BatchModel) -> Any:
    """Return values as if all came from an average batch; missing stays missing."""
    import numpy as np

    kept = model.grand_mean + covariates @ model.slopes
    standard = (values - kept) / model.spread
    return (standard - model.shift[batch]) / np.sqrt(model.scale[batch]) * model.spread + kept


def _least_squares(values: Any, design: Any) -> Any:
    """Return coefficients of each feature on the units in which it is known."""
    import numpy as np

    known = ~np.isnan(values)
    coefficients = np.empty((design.shape[1], values.shape[1]))
    patterns, place = np.unique(known, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        columns = place.ravel() == number
        coefficients[:, columns] = np.linalg.lstsq(design[pattern], values[np.ix_(pattern, columns)], rcond=None)[0]
    return coefficients


def _shrunk(standard: Any, *, mean_only: bool) -> tuple[Any, Any]:
    """Return the shift and the scale of one batch, drawn towards what its other features show (empirical Bayes)."""
    import numpy as np

    shift = np.nanmean(standard, axis=0)
    centre, between = shift.mean(), shift.var(ddof=1)
    if mean_only:
        return (between * shift + centre) / (between + 1), np.ones_like(shift)
    scale = np.nanvar(standard, axis=0, ddof=1)
    mean, variance = scale.mean(), scale.var(ddof=1)
    n = (~np.isnan(standard)).sum(axis=0)
    old_shift, old_scale = shift, scale
    for _ in range(MAX_STEPS):
        new_shift = (between * n * shift + old_scale * centre) / (between * n + old_scale)
        squares = np.nansum((standard - new_shift) ** 2, axis=0)
        new_scale = _expected_scale(squares, n, mean, variance)
        change = max(_change(new_shift, old_shift), _change(new_scale, old_scale))
        old_shift, old_scale = new_shift, new_scale
        if change <= CONVERGED:
            return old_shift, old_scale
    raise DataError(f"ComBat did not settle in {MAX_STEPS} steps; use mean_only=True or BatchScaler")


def _expected_scale(squares: Any, n: Any, mean: float, variance: float) -> Any:
    """Return the mean of the inverse-gamma posterior whose prior has that mean and variance."""
    if variance == 0:  # every feature has one scale: nothing to draw apart
        return 0 * squares + mean
    shape, rate = (2 * variance + mean**2) / variance, (mean * variance + mean**3) / variance
    return (squares / 2 + rate) / (n / 2 + shape - 1)


def _change(new: Any, old: Any) -> float:
    """Return the largest change as a share of the old value; with its sign, as in sva, so that both end together."""
    import numpy as np

    moved = new != old
    with np.errstate(divide="ignore"):
        return float((np.abs(new - old)[moved] / old[moved]).max(initial=-np.inf))
