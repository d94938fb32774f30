"""The pass over an image and its regions, block by block."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from integrate.features.blocks import (
    Window,
    blank_channels,
    cut_grid,
    find_block,
    read_channels,
    read_labels,
    windows_between,
)
from integrate.features.family import FeatureFamily, Measured
from integrate.features.fingerprint import Fingerprint, combine
from integrate.features.partials import Partials
from integrate.features.seams import Edges, Seams, find_edges
from integrate.model.image import channel_names

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from integrate.features.grid import Grid

__all__ = ["stream_blocks"]


@dataclass(frozen=True, slots=True)
class _Measurement:
    """What one block knows, all that outlives it."""

    window: Window
    ids: np.ndarray[Any, Any]
    values: dict[str, np.ndarray[Any, Any]]
    edges: Edges
    labels_print: int
    pixels_print: int


def stream_blocks(
    image: xr.DataArray, regions: Any, grid: Grid, families: Sequence[FeatureFamily], *, threads: int | None
) -> tuple[Measured, str, str]:
    """Return the merged quantities of all families, and fingerprints of the labels and of the pixels inside them.

    Blocks are independent of each other: `_measure_block` is a pure function of a window, so any executor may run it.
    """
    pixels, labels = image.data, getattr(regions, "data", regions) if hasattr(regions, "coords") else regions
    rows, columns = cut_grid(pixels, labels)
    work = partial(_measure_block, pixels, labels, tuple(families), Fingerprint(grid.shape))
    partials = Partials({name: reducer for family in families for name, reducer in family.reducers.items()})
    seams = Seams(rows, columns)
    prints = []
    for block in _run(work, windows_between(rows, columns), threads):
        partials.merge(block.ids, block.values)
        seams.keep(block.window, block.edges)
        prints.append((block.labels_print, block.pixels_print))
    if "pairs" in partials.reducers:
        for ids, pairs in seams.pairs():
            partials.merge(ids, {"pairs": pairs})
    found, values = partials.by_id()
    labels_print, pixels_print = (combine(part) for part in zip(*prints, strict=True))
    return Measured(grid, tuple(channel_names(image)), found, values), labels_print, pixels_print


def _run(work: Any, windows: Sequence[Window], threads: int | None) -> Iterator[_Measurement]:
    """Yield the blocks in the order of their windows."""
    workers = min(threads or os.cpu_count() or 1, len(windows))
    if workers == 1:
        yield from map(work, windows)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="measure") as executor:
        yield from executor.map(work, windows)


def _measure_block(
    image: Any, regions: Any, families: tuple[FeatureFamily, ...], fingerprint: Fingerprint, window: Window
) -> _Measurement:
    import numpy as np

    labels = read_labels(regions, window)
    block = find_block(labels, window)
    values: dict[str, np.ndarray[Any, Any]] = {}
    for family in families:
        values |= family.from_regions(block)
    labels_print = fingerprint.of(labels, block, layer=0)
    edges = find_edges(labels)
    del labels
    readers = [family for family in families if family.reads_pixels]
    per_channel: list[dict[str, np.ndarray[Any, Any]]] = []
    pixels_print = 0
    channels = read_channels(image, window) if block.ids.size else blank_channels(image)
    for number, pixels in enumerate(channels if readers else ()):
        pixels_print += fingerprint.of(pixels, block, layer=number)
        per_channel.append({k: v for family in readers for k, v in family.from_channel(block, pixels).items()})
    if per_channel:
        values |= {name: np.stack([channel[name] for channel in per_channel], axis=1) for name in per_channel[0]}
    return _Measurement(window, block.ids, values, edges, labels_print, pixels_print)
