"""Bright field: the colours, stains and texture of each region of a stained slide, from one look at its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from integrate.errors import DataError, ParameterError, closest
from integrate.features.family import Column, Measured
from integrate.features.texture import STATISTICS as TEXTURES
from integrate.features.whole import WholeFamily
from integrate.prepare.stains import ABSORPTION, optical_density, unmixing_matrix

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block

__all__ = ["Brightfield"]

_COLOURS: Final = ("red", "green", "blue")
_MEAN, _STD = "IBSI:Q4LE", "sqrt(IBSI:ECT3)"


@dataclass(frozen=True, slots=True)
class Brightfield(WholeFamily):
    """Settings of what a region of a bright-field slide looks like, for tiles and cells alike.

    Columns ``red_mean``, ``red_std`` and so on for green and blue; ``haematoxylin_mean``, ``haematoxylin_std`` and so
    on for every stain; ``grey_texture_contrast`` and so on for every statistic of texture.

    Parameters
    ----------
    stains
        Any of ``"haematoxylin"``, ``"eosin"`` and ``"dab"``: amounts as of `separate_stains`.
    white
        Intensity of light that nothing absorbed.
    levels
        Number of grey levels, which part 0 to 255 evenly; 2 to 256.
    statistics
        Of grey, as of `Texture` at distance 1: only pairs within the region count, both ways, averaged over four
        directions. Grey is 0.299 red + 0.587 green + 0.114 blue, rounded (ITU-R BT.601, as OpenCV).

    Notes
    -----
    For images of 8 bits with red, green and blue. Where an image is one level of a slide as the reader gave it, its
    JPEG tiles are decoded in the threads that measure.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> pixels = np.full((3, 4, 4), 255, np.uint8)
    >>> pixels[:, :, :2] = np.array([90, 60, 150]).reshape(3, 1, 1)
    >>> slide = make_image(pixels, channels=["red", "green", "blue"], pixel_size_um=None)
    >>> tiles = ig.measure(slide, ig.make_tiles(slide, size=2), features=[Brightfield(statistics=("entropy",))])
    >>> tiles.to_df()["haematoxylin_mean"].round(3).tolist()
    [0.112, 0.0, 0.112, 0.0]
    """

    reads_whole: ClassVar[Literal["regions", "channels", "image"]] = "image"

    stains: tuple[str, ...] = tuple(ABSORPTION)
    white: float = 255.0
    levels: int = 32
    statistics: tuple[str, ...] = tuple(TEXTURES)

    def __post_init__(self) -> None:
        """Refuse settings that cannot be measured."""
        for name, known in (("stains", ABSORPTION), ("statistics", TEXTURES)):
            chosen = tuple(getattr(self, name))
            object.__setattr__(self, name, chosen)
            for one in chosen:
                if one not in known:
                    raise ParameterError(f"{name} has no {one!r}; {closest(one, known)}")
            if len(set(chosen)) < len(chosen):
                raise ParameterError(f"{name} {chosen} repeat; give each once")
        if not 2 <= self.levels <= 256 or not self.white > 0:
            raise ParameterError(f"found {self.levels} levels, white {self.white}; expected 2 to 256, above 0")

    def check_image(self, channels: Sequence[str], dtype: np.dtype[Any]) -> None:
        """Refuse what is no colour image of 8 bits.

        Raises
        ------
        DataError
            If the first three channels are not red, green and blue, or pixels have other than 8 bits.
        """
        if tuple(channels[:3]) != _COLOURS or dtype.name != "uint8":
            raise DataError(
                f"found {dtype.name} with channels {list(channels)}; Brightfield expects uint8 whose first channels "
                "are red, green and blue: a colour slide, not fluorescence"
            )

    def from_whole_image(self, block: Block, image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return colours, stains and texture."""
        import numpy as np

        from integrate.features import brightfield_kernels as kernels

        grey = np.arange(256) / 255
        level_of = np.minimum(grey * self.levels, self.levels - 1).astype(np.uint8)
        colours = np.ascontiguousarray(np.moveaxis(image[:3], 0, -1))  # no copy of what a slide's tiles gave
        moments, texture = kernels.describe_colours(
            len(block.ids), colours, optical_density(np.arange(256), self.white), unmixing_matrix(), level_of,
            self.levels, *block.runs,
        )  # fmt: skip
        return {"brightfield": moments, "grey_texture": texture}

    def columns(self, measured: Measured) -> list[Column]:
        """Return colours, then stains, then texture."""
        import numpy as np

        missing = np.full((len(measured.ids), 12), np.nan)
        moments = measured.values.get("brightfield", missing)
        texture = measured.values.get("grey_texture", missing)
        columns = []
        for number, name in enumerate((*_COLOURS, *ABSORPTION)):
            if name not in _COLOURS and name not in self.stains:
                continue
            for k, (statistic, definition) in enumerate((("mean", _MEAN), ("std", _STD))):
                values = moments[:, 2 * number + k]
                unit = "" if name in _COLOURS else "1"
                columns.append(Column(f"{name}_{statistic}", values, unit, definition, name, statistic))
        for name in self.statistics:
            values = texture[:, list(TEXTURES).index(name)]
            columns.append(Column(f"grey_texture_{name}", values, "1", TEXTURES[name], "grey", f"texture_{name}"))
        return columns
