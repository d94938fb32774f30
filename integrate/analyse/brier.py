"""The Brier score of survival: how far predicted chances lie from what came, where some are censored."""

from __future__ import annotations

from typing import Any

__all__ = ["brier_losses", "integrate_over", "marginal_survival"]


def brier_losses(time: Any, event: Any, survival: Any, times: Any) -> Any:
    """Return the squared error of each unit at each time, weighted so that its mean is the Brier score.

    Parameters
    ----------
    time, event
        Follow-up of each unit.
    survival
        (units, times) predicted chance of being free of the event after each time.
    times
        Rising; somebody is still followed at each.

    Notes
    -----
    Graf et al. (1999): who was censored before a time says nothing of it, and those who were not count for them, by the
    inverse of the chance of not being censored (Kaplan–Meier over all units; events come before censoring at the same
    time). These are the weights of R's ``survival::rttright``.
    """
    import numpy as np

    reached = np.minimum(time[:, None], times)
    happened = event[:, None] & (time[:, None] <= times)
    free = (time[:, None] > times) | (~event[:, None] & (time[:, None] == times))
    weights = np.where(happened | free, 1 / _not_censored(time, event, reached), 0.0)
    return weights * (free - survival) ** 2


def marginal_survival(time: Any, event: Any, times: Any) -> Any:
    """Return the Kaplan–Meier estimate at each time: what is predicted of everybody alike."""
    import numpy as np

    steps = np.unique(time[event])
    share = np.array([1 - (event & (time == now)).sum() / (time >= now).sum() for now in steps])
    return np.concatenate([[1.0], np.cumprod(share)])[np.searchsorted(steps, times, side="right")]


def integrate_over(values: Any, times: Any) -> Any:
    """Return the mean of values, (..., times), over the span of the times (trapezoids); of one time its own."""
    import numpy as np

    return np.trapezoid(values, times, axis=-1) / (times[-1] - times[0]) if len(times) > 1 else values[..., 0]


def _not_censored(time: Any, event: Any, at: Any) -> Any:
    """Return the chance of not being censored until just before each time."""
    import numpy as np

    steps = np.unique(time[~event])
    ended = np.array([(~event & (time == now)).sum() for now in steps])
    later = np.array([(time > now).sum() for now in steps])
    curve = np.concatenate([[1.0], np.cumprod(later / np.maximum(later + ended, 1))])
    return curve[np.searchsorted(steps, at, side="left")]
