"""Texture: how the brightness of neighbouring pixels goes together, within each region and channel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import ParameterError, closest
from integrate.features.family import Column, Measured, channel_columns
from integrate.features.whole import WholeFamily

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block

__all__ = ["Gradient", "LocalPatterns", "Spread", "Texture"]

#: Statistics of co-occurrence matrices in the order of the kernel, and their definitions.
STATISTICS: Final[dict[str, str]] = {
    "contrast": "IBSI:ACUI",
    "dissimilarity": "IBSI:8S9J",
    "homogeneity": "IBSI:WF0Z",
    "asm": "IBSI:8ZQL",
    "correlation": "IBSI:NI2N",
    "entropy": "IBSI:TU9B",
    "cluster_shade": "IBSI:7NFM",
    "cluster_prominence": "IBSI:AE86",
}


def _floats(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    return pixels.astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class Texture(WholeFamily):
    """Settings of Haralick's texture: columns ``{channel}_texture_{statistic}``.

    Parameters
    ----------
    levels
        Number of grey levels.
    limits
        Intensities of the lowest and the highest grey level; what lies beyond belongs to these. By default the extremes
        of each region: then texture does not depend on brightness and contrast of the region, and not on those of the
        image.
    distance
        Of neighbours, in pixels.
    statistics
        Any of ``"contrast"``, ``"dissimilarity"``, ``"homogeneity"`` (inverse difference moment), ``"asm"`` (angular
        second moment), ``"correlation"`` (NaN where a region is flat), ``"entropy"`` (bits), ``"cluster_shade"`` and
        ``"cluster_prominence"``.

    Notes
    -----
    Only pairs of which both pixels belong to the region count, both ways; statistics are averaged over 0, 45, 90 and
    135 degrees, as in `skimage.feature.graycoprops` with ``symmetric`` and ``normed``. NaN where a region has no pair.
    Each region is read in one piece: memory grows with the bounding box of the largest.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.array([[[0, 1], [1, 0]]]), channels=["DNA"], pixel_size_um=None)
    >>> tile = ig.measure(image, np.ones((2, 2), int), features=[Texture(levels=2, statistics=("contrast",))])
    >>> tile.to_df()["DNA_texture_contrast"].tolist()
    [0.5]
    """

    levels: int = 32
    limits: tuple[float, float] | None = None
    distance: int = 1
    statistics: tuple[str, ...] = tuple(STATISTICS)

    def __post_init__(self) -> None:
        """Refuse settings that give no texture."""
        object.__setattr__(self, "statistics", tuple(self.statistics))
        for name in self.statistics:
            if name not in STATISTICS:
                raise ParameterError(f"no texture statistic {name!r}; {closest(name, STATISTICS)}")
        if not 2 <= self.levels <= 1024 or self.distance < 1:
            raise ParameterError(f"found {self.levels} levels at distance {self.distance}; expected 2 to 1024, from 1")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise ParameterError(f"limits are {self.limits}; expected the lower intensity first")

    def from_whole_channel(self, block: Block, pixels: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return all statistics of one channel."""
        from integrate.features import texture_kernels as kernels

        limits = self.limits or (math.nan, math.nan)
        limits = (float(limits[0]), float(limits[1]))
        found = kernels.describe_texture(
            len(block.ids), _floats(pixels), limits, self.levels, self.distance, *block.runs
        )  # fmt: skip
        return {"texture": found}

    def columns(self, measured: Measured) -> list[Column]:
        """Return the statistics of the first channel, then of the next."""
        every = list(STATISTICS)
        chosen = [(f"texture_{name}", every.index(name), STATISTICS[name]) for name in self.statistics]
        return channel_columns(measured, "texture", len(every), chosen, unit="1")


@dataclass(frozen=True, slots=True)
class LocalPatterns(WholeFamily):
    """Settings of local binary patterns: columns ``{channel}_pattern_0`` to ``_9``, shares that sum to 1.

    Pattern ``k`` from 0 to 8 has ``k`` brighter neighbours of 8 side by side, pattern 9 is any other: the "uniform"
    patterns of `skimage.feature.local_binary_pattern` with radius 1. Neighbours may lie outside the region; pixels at
    the edge of the image are left out.

    Examples
    --------
    >>> LocalPatterns()
    LocalPatterns()
    """

    @property
    def margin(self) -> int:
        """One pixel around the regions is read."""
        return 1

    def from_whole_channel(self, block: Block, pixels: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return the shares of one channel."""
        from integrate.features import texture_kernels as kernels

        return {"patterns": kernels.count_patterns(len(block.ids), _floats(pixels), *block.runs)}

    def columns(self, measured: Measured) -> list[Column]:
        """Return the shares of the first channel, then of the next."""
        definition = "integrate.features.texture:uniform_pattern"
        return channel_columns(
            measured, "patterns", 10, [(f"pattern_{k}", k, definition) for k in range(10)], unit="1"
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gradient(WholeFamily):
    """Settings of gradients: columns ``{channel}_gradient_mean`` and ``_gradient_std``, intensity per pixel.

    Sobel's gradient as in `skimage.filters.sobel`. Neighbours may lie outside the region; pixels at the edge of the
    image are left out.

    Examples
    --------
    >>> Gradient()
    Gradient()
    """

    @property
    def margin(self) -> int:
        """One pixel around the regions is read."""
        return 1

    def from_whole_channel(self, block: Block, pixels: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return mean and standard deviation of one channel."""
        from integrate.features import texture_kernels as kernels

        return {"gradients": kernels.measure_gradients(len(block.ids), _floats(pixels), *block.runs)}

    def columns(self, measured: Measured) -> list[Column]:
        """Return both of the first channel, then of the next."""
        definition = "integrate.features.texture:sobel"
        chosen = [("gradient_mean", 0, definition), ("gradient_std", 1, definition)]
        return channel_columns(measured, "gradients", 2, chosen, unit="")


@dataclass(frozen=True, slots=True)
class Spread(WholeFamily):
    """Settings of how unevenly intensity is spread: columns ``{channel}_gini`` and ``{channel}_mad``.

    Gini's coefficient is 0 where all pixels are alike and near 1 where one holds all light; NaN with negative pixels.
    ``mad`` is the median absolute deviation from the median.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.array([[[0, 0, 0, 8]]]), channels=["DNA"], pixel_size_um=None)
    >>> ig.measure(image, np.ones((1, 4), int), features=[Spread()]).to_df()["DNA_gini"].tolist()
    [0.75]
    """

    def from_whole_channel(self, block: Block, pixels: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return both of one channel."""
        from integrate.features import kernels, texture_kernels

        values, begins = kernels.gather_pixels(len(block.ids), _floats(pixels), *block.runs)
        return {"spread": texture_kernels.measure_spread(values, begins)}

    def columns(self, measured: Measured) -> list[Column]:
        """Return both of the first channel, then of the next."""
        gini = channel_columns(
            measured, "spread", 2, [("gini", 0, "integrate.features.texture:gini")], unit="1"
        )  # fmt: skip
        mad = channel_columns(measured, "spread", 2, [("mad", 1, "IBSI:4RNL")], unit="")
        return [column for pair in zip(gini, mad, strict=True) for column in pair]
