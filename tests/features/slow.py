"""The slow, obvious measurement that the fast one must agree with: one region at a time, in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def slow_intensity(image: np.ndarray, labels: np.ndarray) -> dict[int, list[dict[str, float]]]:
    """Return per region id and channel every statistic, each rounded only once."""
    return {int(i): [_statistics(channel[labels == i]) for channel in image] for i in np.unique(labels) if i != 0}


def _statistics(pixels: np.ndarray) -> dict[str, float]:
    values = [Fraction(value) for value in pixels.tolist() if value == value]  # NaN is not equal to itself
    n = len(values)
    if n == 0:
        return {"n": 0.0, **dict.fromkeys(("sum", "mean", "std", "min", "max"), math.nan)}
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / n
    return {
        "n": float(n),
        "sum": float(sum(values)),
        "mean": float(mean),
        "std": math.sqrt(variance),
        "min": float(min(values)),
        "max": float(max(values)),
    }
