"""A layer: the pixels of one channel in one block, with the sums that fall out while it is fingerprinted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block
    from integrate.features.fingerprint import Fingerprint

__all__ = ["Layer", "make_layer"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One channel of a block. `pixels` are valid until the next channel is read: keep copies, never a view.

    `sums` holds ``n_valid`` (of floats), ``sum``, ``squares``, ``min`` and ``max`` of every region.
    """

    block: Block
    pixels: np.ndarray[Any, Any]
    sums: dict[str, np.ndarray[Any, Any]]
    print: int


def make_layer(block: Block, pixels: np.ndarray[Any, Any], fingerprint: Fingerprint, number: int) -> Layer:
    """Return channel `number` of a block; small unsigned integers are summed and fingerprinted in one loop."""
    import numpy as np

    from integrate.features import kernels, lane_kernels

    regions = len(block.ids)
    numbers = pixels.view(np.uint8) if pixels.dtype.kind == "b" else pixels
    small = numbers.dtype.kind in "iu" and numbers.dtype.itemsize <= 2
    if small and numbers.dtype.kind == "u" and numbers.size >= lane_kernels.LANES:
        keys = fingerprint.keys(block.window)
        total, low, high, bits = lane_kernels.sum_and_print(regions, numbers, keys, *block.runs)
        sums = {"sum": total[:, 0], "squares": total[:, 1], "min": low, "max": high}
        return Layer(block, pixels, sums, fingerprint.weigh(int(bits), layer=number))
    printed = fingerprint.of(numbers, block, layer=number)
    if small:
        total, low, high = kernels.sum_integers(regions, numbers, *block.runs)
        return Layer(block, pixels, {"sum": total[:, 0], "squares": total[:, 1], "min": low, "max": high}, printed)
    floats = numbers if numbers.dtype.kind == "f" else numbers.astype(np.float64)
    counts, total, low, high = kernels.sum_floats(regions, floats, *block.runs)
    sums = {"n_valid": counts, "sum": total[:, :2], "squares": total[:, 2:], "min": low, "max": high}
    return Layer(block, pixels, sums, printed)
