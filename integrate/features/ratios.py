"""Ratios: how bright one channel is beside another, in each region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from integrate.errors import ParameterError, closest
from integrate.features.family import Column, Measured
from integrate.features.intensity import Intensity
from integrate.features.partials import Reducer

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block
    from integrate.features.layer import Layer

__all__ = ["Ratios"]


@dataclass(frozen=True, slots=True)
class Ratios:
    """Settings of channel ratios: columns ``{channel}_over_{other}``, the mean of one over the mean of the other.

    Parameters
    ----------
    pairs
        Of channel names. NaN where the other channel has the mean 0 or no valid pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.array([[[3, 5]], [[1, 1]]]), channels=["CD8", "CD3"], pixel_size_um=None)
    >>> cells = ig.measure(image, np.array([[1, 1]]), features=[Ratios((("CD8", "CD3"),))])
    >>> cells.to_df()["CD8_over_CD3"].tolist()
    [4.0]
    """

    reads_pixels: ClassVar[bool] = True

    pairs: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        """Refuse what are no pairs."""
        object.__setattr__(self, "pairs", tuple((str(one), str(other)) for one, other in self.pairs))
        if not self.pairs or len(set(self.pairs)) < len(self.pairs):
            raise ParameterError(f"pairs are {self.pairs}; give each once, e.g. (('CD8', 'CD3'),)")

    @property
    def reducers(self) -> Mapping[str, Reducer]:
        """How two blocks' quantities become one, by name."""
        return Intensity().reducers

    def from_regions(self, block: Block) -> dict[str, np.ndarray[Any, Any]]:
        """Return nothing: ratios need pixels."""
        return {}

    def from_channel(self, layer: Layer) -> dict[str, np.ndarray[Any, Any]]:
        """Return the sums of one channel."""
        return layer.sums

    def columns(self, measured: Measured) -> list[Column]:
        """Return a column per pair."""
        import numpy as np

        means = {column.channel: column.values for column in Intensity(("mean",)).columns(measured)}
        for name in (name for pair in self.pairs for name in pair):
            if name not in means:
                raise ParameterError(f"no channel {name!r} for a ratio; {closest(name, means)}")
        return [
            Column(
                f"{one}_over_{other}",
                np.divide(means[one], means[other], out=np.full_like(means[one], np.nan), where=means[other] != 0),
                "1",
                "integrate.features.ratios:mean_over_mean",
                f"{one}/{other}",
                "ratio",
            )
            for one, other in self.pairs
        ]
