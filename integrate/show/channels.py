"""The channels of a viewer: which are on, in which colour, and between which intensities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import DatasetNotFoundError, closest
from integrate.show.palette import CHANNEL_COLOURS
from integrate.show.pyramid import Pyramid

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["contrast", "list_channels"]

#: Channels that are on at first.
MAX_ON: Final = 4
LIMITS: Final = ("low", "high", "min", "max")
BYTE_RANGE: Final = {"low": 0.0, "high": 255.0, "min": 0.0, "max": 255.0}


def list_channels(images: Sequence[Pyramid], chosen: Mapping[str, str] | Sequence[str] | None) -> list[dict[str, Any]]:
    """Return every channel of every image as the browser takes it; limits are found when a channel is first shown.

    Raises
    ------
    DatasetNotFoundError
        If a chosen channel is in no image; the closest names are given.
    """
    chosen = [chosen] if isinstance(chosen, str) else chosen
    for name in chosen or ():
        if not any(name in image.channels for image in images):
            raise DatasetNotFoundError(f"no channel named {name!r}; {closest(name, images[0].channels)}")
    first_on = MAX_ON if len(images) == 1 else 1
    listed: list[dict[str, Any]] = []
    for number, image in enumerate(images):
        natural = [name.lower() for name in image.channels] in (["r", "g", "b"], ["red", "green", "blue"])
        alone = len(images) == 1 and len(image.channels) == 1
        on = 0
        for index, name in enumerate(image.channels):
            shown = name in chosen if chosen else natural or index < first_on
            colour = "#ffffff" if alone else CHANNEL_COLOURS[(on + number) % len(CHANNEL_COLOURS)]
            if natural:
                colour = ("#ff0000", "#00ff00", "#0000ff")[index]
            if isinstance(chosen, Mapping):
                colour = str(chosen.get(name, colour))
            on += shown
            limits = BYTE_RANGE if natural else dict.fromkeys(LIMITS)
            said = {"image": number, "index": index, "name": name, "colour": colour.lower(), "gamma": 1.0, "on": shown}
            listed.append({**said, **limits})
    return listed


def contrast(plane: NDArray[Any]) -> tuple[float, float, float, float]:
    """Return the intensities that become black and full, and the smallest and largest, of the pixels that are known."""
    import numpy as np

    known = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane.ravel()
    if not known.size:
        return 0.0, 1.0, 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, (1.0, 99.8)))
    least, most = float(known.min()), float(known.max())
    if high <= low:  # so sparse that the percentile misses the signal
        high = most
    high = high if high > low else low + 1.0
    return low, high, min(least, low), most if most > least and math.isfinite(most) else high
