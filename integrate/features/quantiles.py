"""Quantiles: medians and other ranks of each region's pixels, exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from integrate.errors import ParameterError
from integrate.features.family import Column, Measured
from integrate.features.partials import Reducer
from integrate.features.position import count_pixels

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block
    from integrate.features.layer import Layer

__all__ = ["Quantiles"]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Settings of the quantiles of intensity: a column ``{channel}_{name}`` for every channel and probability.

    Parameters
    ----------
    probabilities
        From 0 to 1. The column of 0.5 ends in ``median``, others in ``q05``, ``q95``, ``q99.5`` …

    Notes
    -----
    Linear between the two nearest ranks, as in `numpy.quantile`; pixels that are NaN are left out. Exact for any
    chunking: regions that lie in one block are finished there; of those that several blocks share, the pixels are kept
    until all are read. Memory therefore grows with the pixels of regions that cross blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.array([[[1.0, 2, 3, 10]]]), channels=["CD8"], pixel_size_um=None)
    >>> ig.measure(image, np.array([[5, 5, 5, 5]]), features=[Quantiles((0.5,))]).to_df()["CD8_median"].tolist()
    [2.5]
    """

    reads_pixels: ClassVar[bool] = True

    probabilities: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)

    def __post_init__(self) -> None:
        """Refuse probabilities that are none, or repeat."""
        object.__setattr__(self, "probabilities", tuple(float(one) for one in self.probabilities))
        wrong = [one for one in self.probabilities if not 0 <= one <= 1]
        if wrong or not self.probabilities:
            raise ParameterError(f"probabilities are {self.probabilities}; expected numbers from 0 to 1, e.g. (0.5,)")
        if len(set(self.probabilities)) < len(self.probabilities):
            raise ParameterError(f"probabilities {self.probabilities} repeat; give each once")

    @property
    def reducers(self) -> Mapping[str, Reducer]:
        """How two blocks' quantities become one, by name."""
        import numpy as np

        return {"quantiles": np.fmax, "loose_pixels": _join}

    def from_regions(self, block: Block) -> dict[str, np.ndarray[Any, Any]]:
        """Return nothing: quantiles need pixels."""
        return {}

    def from_channel(self, layer: Layer) -> dict[str, np.ndarray[Any, Any]]:
        """Return the quantiles of regions that lie in this block alone, and the pixels of the others."""
        import numpy as np

        from integrate.features import kernels

        block, pixels = layer.block, layer.pixels
        regions = len(block.ids)
        numbers = pixels.view(np.uint8) if pixels.dtype.kind == "b" else pixels
        values, begins = kernels.gather_pixels(regions, numbers, *block.runs)
        if values.dtype.kind == "f" and np.isnan(values).any():
            values, begins = _without_nan(values, begins)
        loose = np.empty(regions, object)
        split = np.ones(regions, bool) if block.split is None else block.split
        for r in np.flatnonzero(split):
            loose[r] = values[begins[r] : begins[r + 1]].copy()
        found = kernels.find_quantiles(values, begins, np.array(self.probabilities))
        found[split] = np.nan
        return {"quantiles": found, "loose_pixels": loose}

    def columns(self, measured: Measured) -> list[Column]:
        """Return every quantile of the first channel, then of the next."""
        import numpy as np

        from integrate.features import kernels

        found = np.where(count_pixels(measured)[:, None, None] > 0, measured.values["quantiles"], np.nan)
        loose = measured.values["loose_pixels"]
        for r, c in np.argwhere(loose.astype(bool) if loose.size == 0 else _are_arrays(loose)):
            pixels = loose[r, c].copy()
            found[r, c] = kernels.find_quantiles(pixels, np.array([0, len(pixels)]), np.array(self.probabilities))[0]
        return [
            Column(
                name=f"{channel}_{_name(probability)}",
                values=found[:, number, k],
                unit="",
                definition="integrate.features.quantiles:quantile",
                channel=channel,
                statistic=_name(probability),
            )
            for number, channel in enumerate(measured.channels)
            for k, probability in enumerate(self.probabilities)
        ]


def _name(probability: float) -> str:
    percent = 100 * probability
    return "median" if probability == 0.5 else f"q{percent:02.0f}" if percent == round(percent) else f"q{percent:.12g}"


def _are_arrays(loose: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.array([isinstance(one, np.ndarray) for one in loose.ravel()], bool).reshape(loose.shape)


def _join(mine: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the pixels of both blocks, per region and channel."""
    import numpy as np

    joined = np.empty(mine.shape, object)
    for place in np.ndindex(*mine.shape):
        parts = [one for one in (mine[place], theirs[place]) if isinstance(one, np.ndarray)]
        joined[place] = np.concatenate(parts) if parts else None
    return joined


def _without_nan(
    values: np.ndarray[Any, Any], begins: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    import numpy as np

    known = ~np.isnan(values)
    return values[known], np.concatenate([[0], np.cumsum(known)])[begins]
