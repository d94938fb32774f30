"""Intensity: how bright each region is in each channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from integrate.errors import ParameterError, closest
from integrate.features.family import Column, Measured
from integrate.features.partials import Reducer, add_exactly, two_sum
from integrate.features.position import count_pixels

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block
    from integrate.features.layer import Layer

__all__ = ["STATISTICS", "Intensity", "count_valid"]

#: Statistics and their definitions; IBSI's variance is that of the population, and so is our standard deviation.
STATISTICS: Final[dict[str, str]] = {
    "n": "integrate.features.intensity:n",
    "sum": "integrate.features.intensity:sum",
    "mean": "IBSI:Q4LE",
    "std": "sqrt(IBSI:ECT3)",
    "min": "IBSI:1GSF",
    "max": "IBSI:84IY",
}

#: Regions that are finished together: what lies between sums and statistics then stays in the cache.
_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class Intensity:
    """Settings of the intensity features: a column ``{channel}_{statistic}`` for every channel.

    Parameters
    ----------
    statistics
        Any of ``"mean"``, ``"std"`` (of the population), ``"min"``, ``"max"``, ``"sum"`` and ``"n"``, the number of
        pixels that are not NaN. All but ``n`` are NaN where that number is 0.

    Examples
    --------
    >>> Intensity(statistics=("mean", "sum"))
    Intensity(statistics=('mean', 'sum'))
    """

    reads_pixels: ClassVar[bool] = True

    statistics: tuple[str, ...] = ("mean", "std", "min", "max")

    def __post_init__(self) -> None:
        """Refuse unknown and repeated statistics."""
        object.__setattr__(self, "statistics", tuple(self.statistics))
        for statistic in self.statistics:
            if statistic not in STATISTICS:
                raise ParameterError(f"no intensity statistic {statistic!r}; {closest(statistic, STATISTICS)}")
        if len(set(self.statistics)) < len(self.statistics):
            raise ParameterError(f"statistics {self.statistics} repeat; give each once")

    @property
    def reducers(self) -> Mapping[str, Reducer]:
        """How two blocks' quantities become one, by name."""
        import numpy as np

        return {
            "n_valid": add_exactly,
            "sum": add_exactly,
            "squares": add_exactly,
            "min": np.minimum,
            "max": np.maximum,
        }

    def from_regions(self, block: Block) -> dict[str, np.ndarray[Any, Any]]:
        """Return nothing: intensity needs pixels."""
        return {}

    def from_channel(self, layer: Layer) -> dict[str, np.ndarray[Any, Any]]:
        """Return the sums, sums of squares and extremes of one channel."""
        return layer.sums

    def columns(self, measured: Measured) -> list[Column]:
        """Return every statistic of the first channel, then of the next."""
        import numpy as np

        sums = measured.values.get("sum", np.empty((0, 0)))
        finish = _finish_integers if sums.dtype.kind == "i" else _finish_floats
        values = finish(measured, self.statistics)
        return [
            Column(
                name=f"{channel}_{statistic}",
                values=values[:, number, k],
                unit="1" if statistic == "n" else "",
                definition=STATISTICS[statistic],
                channel=channel,
                statistic=statistic,
            )
            for number, channel in enumerate(measured.channels)
            for k, statistic in enumerate(self.statistics)
        ]


def count_valid(measured: Measured) -> np.ndarray[Any, Any]:
    """Return per region and channel the number of pixels that are not NaN."""
    import numpy as np

    pixels = count_pixels(measured)[:, None]
    return measured.values.get("n_valid", np.broadcast_to(pixels, (len(pixels), len(measured.channels))))


def _finish_integers(measured: Measured, statistics: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return statistics as floats ``(regions, channels, statistics)``; integers have no NaN to leave out."""
    import numpy as np

    from integrate.features import kernels

    chosen = np.array([list(STATISTICS).index(name) for name in statistics])
    sums = (measured.values[name] for name in ("sum", "squares", "min", "max"))
    return np.asarray(kernels.finish_integers(chosen, count_pixels(measured), *sums))


def _finish_floats(measured: Measured, statistics: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return statistics ``(regions, channels, statistics)``, NaN left out."""
    import numpy as np

    values = np.empty((len(measured.ids), len(measured.channels), len(statistics)))
    for first in range(0, len(values), _ROWS):
        rows = slice(first, first + _ROWS)
        found = _describe_floats(measured, rows)
        for k, name in enumerate(statistics):
            values[rows, :, k] = found[name]
    return values


def _describe_floats(measured: Measured, rows: slice) -> dict[str, np.ndarray[Any, Any]]:
    """Return every statistic of some regions, regions by channels."""
    import numpy as np

    n = count_valid(measured)[rows]
    total, squares, lowest, highest = (measured.values[name][rows] for name in ("sum", "squares", "min", "max"))
    known = n > 0
    count = np.where(known, n, 1)
    low, high = lowest.astype(np.float64), highest.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite pixels have an infinite sum and no deviation
        variance = np.maximum(_float_deviations(count, total, squares) / count, 0)
    statistics = {
        "sum": _rounded(total),
        "mean": _rounded(total) / count,
        "std": np.sqrt(np.where((low == high) & np.isfinite(low), 0, variance)),
        "min": low,
        "max": high,
    }
    return {"n": n.astype(np.float64), **{name: np.where(known, v, np.nan) for name, v in statistics.items()}}


def _rounded(total: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a sum as float64; an infinite one has no rest."""
    import numpy as np

    return np.where(np.isfinite(total[..., 0]), total[..., 0] + total[..., 1], total[..., 0])


def _float_deviations(
    n: np.ndarray[Any, Any], total: np.ndarray[Any, Any], squares: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return ``squares - total^2 / n`` in doubled precision."""
    square, square_rest = _product(total[..., 0], total[..., 0])
    square_rest = square_rest + 2 * total[..., 0] * total[..., 1]
    quotient = square / n
    back, back_rest = _product(quotient, n.astype(quotient.dtype))
    quotient_rest = ((square - back) - back_rest + square_rest) / n
    difference, difference_rest = two_sum(squares[..., 0], -quotient)
    return difference + (difference_rest + squares[..., 1] - quotient_rest)


def _product(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return ``a * b`` rounded, and what the rounding lost (Dekker)."""
    from integrate.features.kernels import SPLIT

    def halves(value: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        upper = SPLIT * value - (SPLIT * value - value)
        return upper, value - upper

    product = a * b
    (a_upper, a_lower), (b_upper, b_lower) = halves(a), halves(b)
    return product, ((a_upper * b_upper - product) + a_upper * b_lower + a_lower * b_upper) + a_lower * b_lower
