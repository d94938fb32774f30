"""A still picture of what a viewer would show, for pages that have no kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from integrate.show.cells import Colouring
from integrate.show.pyramid import Pyramid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["draw_still", "png_bytes"]

SIDE: Final = 640


def draw_still(
    image: Pyramid,
    channels: Sequence[Mapping[str, Any]],
    *,
    places: NDArray[np.float64],
    colouring: Colouring,
    embedding: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Return the visible channels mixed, every cell as a dot, and the embedding beside it, as RGB.

    Parameters
    ----------
    image
        The first image.
    channels
        Its channels as the viewer holds them; those that are on and whose limits are known are mixed.
    places, colouring, embedding
        Of the cells; empty when there are none.
    """
    import cv2
    import numpy as np

    shape = (max(1, round(SIDE * image.height / max(image.height, image.width))),) * 2
    shape = (shape[0], max(1, round(SIDE * image.width / max(image.height, image.width))))
    mixed = np.zeros((*shape, 3), dtype=np.float32)
    for one in channels:
        if one["image"] == 0 and one["on"] and one["low"] is not None:
            plane = image.overview(one["index"], side=SIDE).astype(np.float32)
            shown = np.clip((np.nan_to_num(plane) - one["low"]) / (one["high"] - one["low"]), 0, 1) ** one["gamma"]
            mixed += cv2.resize(shown, shape[::-1], interpolation=cv2.INTER_AREA)[..., None] * _rgb(one["colour"])
    picture = np.clip(mixed * 255, 0, 255).astype(np.uint8)
    _dots(picture, places * [shape[1] / image.width, shape[0] / image.height], colouring)
    if not len(embedding):
        return picture
    side = np.full((shape[0], shape[0], 3), 255, dtype=np.uint8)
    low, high = np.nanmin(embedding, axis=0), np.nanmax(embedding, axis=0)
    _dots(side, (embedding - low) / np.where(high > low, high - low, 1) * (shape[0] - 9) + 4, colouring)
    return np.concatenate([picture, side], axis=1)


def _dots(picture: NDArray[np.uint8], places: NDArray[np.float64], colouring: Colouring) -> None:
    import numpy as np

    if not len(places):
        return
    table = np.array([_rgb(one) for one in colouring.colours]) * 255
    span = 1.0 if colouring.kind == "category" else (colouring.high - colouring.low) / (len(table) - 1)
    start = 0.0 if colouring.kind == "category" else colouring.low
    known = np.isfinite(colouring.values)
    step = np.clip(np.nan_to_num((colouring.values - start) / span), 0, len(table) - 1).round().astype(int)
    colours = np.where(known[:, None], table[step], 158).astype(np.uint8)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)) if len(places) < 20000 else ((0, 0),):
        at = np.nan_to_num(places, nan=-9).astype(int) + np.array([dx, dy])
        inside = ((at >= 0) & (at < picture.shape[1::-1])).all(axis=1)
        picture[at[inside, 1], at[inside, 0]] = colours[inside]


def _rgb(colour: str) -> NDArray[np.float32]:
    import numpy as np

    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)], dtype=np.float32)


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """Return an RGB picture as PNG."""
    import cv2

    return bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
