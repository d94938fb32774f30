"""A fingerprint of the pixels that were measured: taken in the same pass, and the same for any chunking."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block, Window

__all__ = ["Fingerprint", "combine"]

_MODULUS = 1 << 64


class Fingerprint:
    """Keys for the pixels of a grid; the sum of pixel times key tells two inputs apart (multilinear hashing).

    A cryptographic hash would cost more than the measurement, need a second pass or depend on the chunks. This one
    detects change, not forgery: one changed pixel always changes it, since the keys are odd, and two inputs that differ
    in more share it with a chance of about one in 2^32.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        import numpy as np

        self._rows = _keys(math.prod(shape[:-1]), seed=1).reshape(-1, shape[-2])  # by plane and row
        self._columns = _keys(shape[-1], seed=2).astype(np.uint32)  # 32-bit products are fast

    def of(self, pixels: np.ndarray[Any, Any], block: Block, *, layer: int) -> int:
        """Return the contribution of a block's pixels; add those of all blocks and layers with `combine`."""
        from integrate.features import kernels

        bits = pixels.view(f"u{pixels.dtype.itemsize}")
        printed = kernels.fingerprint(bits, block.row, block.start, block.stop, *self.keys(block.window))
        return self.weigh(int(printed), layer=layer)

    def of_image(self, image: np.ndarray[Any, Any], block: Block) -> int:
        """Return the contribution of all channels ``(c, y, x)``; of colours side by side in memory, from one loop."""
        import numpy as np

        from integrate.features import kernels

        colours = np.moveaxis(image, 0, -1)
        if image.dtype == np.uint8 and image.shape[0] == 3 and colours.flags.c_contiguous:
            keys = self.keys(block.window)
            return int(kernels.fingerprint_colours(colours, block.row, block.start, block.stop, *keys))
        return sum(self.of(np.ascontiguousarray(pixels), block, layer=number) for number, pixels in enumerate(image))

    def keys(self, window: Window) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the keys of the rows and of the columns of a window."""
        rows = self._rows[window.z0 : window.z1, window.y0 : window.y1].ravel()
        return rows, self._columns[window.x0 : window.x1]

    def weigh(self, printed: int, *, layer: int) -> int:
        """Return the contribution of a layer, given the sum of its pixels times their keys."""
        return printed * (2 * layer + 1)


def combine(parts: Iterable[int]) -> str:
    """Return the contributions of all blocks and layers as 16 hex digits, whatever their order."""
    return f"{sum(parts) % _MODULUS:016x}"


def _keys(count: int, *, seed: int) -> np.ndarray[Any, Any]:
    """Return pseudo-random odd 64-bit numbers that no release of any library changes (SplitMix64)."""
    import numpy as np

    z = (np.arange(1, count + 1, dtype=np.uint64) + (np.uint64(seed) << np.uint64(40))) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31)) | np.uint64(1)
