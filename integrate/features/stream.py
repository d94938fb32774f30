"""The pass over an image and its regions, block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from integrate.features.blocks import (
    Block,
    Look,
    Window,
    blank_channels,
    cut_grid,
    group_runs,
    read_channels,
    windows_between,
)
from integrate.features.family import FeatureFamily, Measured
from integrate.features.fingerprint import Fingerprint, combine
from integrate.features.layer import make_layer
from integrate.features.partials import Partials
from integrate.features.quantiles import Quantiles
from integrate.features.resume import Resumable
from integrate.features.seams import Edges, Seams
from integrate.features.stored import find_stored, stamp_files
from integrate.features.stored_tiles import find_tiles
from integrate.features.whole import WholeFamily, measure_whole
from integrate.model.image import channel_names
from integrate.model.progress import follow
from integrate.model.provenance import hash_settings

if TYPE_CHECKING:
    import distributed
    import numpy as np
    import xarray as xr

    from integrate.features.grid import Grid

__all__ = ["RegionSource", "Runner", "stream_blocks"]

#: Yields the results of pieces of work in their order: in threads, or on a cluster.
Runner = Callable[[Any, Sequence[Any]], Iterator[Any]]


class RegionSource(Protocol):
    """Where regions come from: a raster of labels, or outlines."""

    @property
    def raster(self) -> Any:
        """Labels along whose chunks blocks may be cut, where the image has none."""

    def look(self, window: Window, fingerprint: Fingerprint) -> Look:
        """Return what lies in a window; a pure function of it."""

    def gather(self, ids: np.ndarray[Any, Any], window: Window) -> Block:
        """Return what lies of some regions in a window, region by region."""

    def every_id(self) -> np.ndarray[Any, Any] | None:
        """Return the ids of all regions, ascending, or None where each has at least one pixel."""

    def name(self, prints: int) -> str:
        """Return a text that changes with the regions, given the sum of the blocks' fingerprints."""


@dataclass(frozen=True, slots=True)
class _Measurement:
    """What one block knows, all that outlives it: of whole regions, and of pixels."""

    window: Window
    ids: np.ndarray[Any, Any]
    values: dict[str, np.ndarray[Any, Any]]
    pixel_ids: np.ndarray[Any, Any]
    pixel_values: dict[str, np.ndarray[Any, Any]]
    edges: Edges | None
    labels_print: int
    pixels_print: int


def stream_blocks(
    image: xr.DataArray,
    regions: RegionSource,
    grid: Grid,
    families: Sequence[FeatureFamily],
    *,
    threads: int | None,
    client: distributed.Client | None = None,
    progress: bool = False,
    resume: str | os.PathLike[str] | None = None,
) -> tuple[Measured, str, str]:
    """Return the merged quantities of all families, and fingerprints of the regions and of the pixels inside them.

    Blocks are independent of each other: `_measure_block` is a pure function of a window, so any executor may run it.
    """
    cuts = cut_grid(image.data, regions.raster)
    windows = windows_between(cuts)
    keys = Fingerprint(grid.shape)
    split = _split_ids(regions, windows, keys) if any(isinstance(family, Quantiles) for family in families) else None
    pixels_of = find_stored(image.data) or find_tiles(image.data) or image.data
    wholes_of = [family for family in families if isinstance(family, WholeFamily) and family.needs_whole]
    readers = tuple(one for one in families if one.reads_pixels and not isinstance(one, WholeFamily))
    work = partial(_measure_block, pixels_of, regions, tuple(families), readers, keys, split)
    reducers = {name: reducer for family in families for name, reducer in family.reducers.items()}
    wholes, pixels = Partials(reducers), Partials(reducers)
    seams = Seams(*cuts[-2:])
    prints = []
    run: Runner = partial(_run, threads) if client is None else partial(_run_on, client)
    kept = None
    if resume is not None:
        kept = run = Resumable(run, resume, _name_inputs(image.data, regions, grid, families, windows))
    blocks = run(work, windows)
    watch = "" if client is None else str(client.dashboard_link)
    shown = follow(blocks, "measure", total=len(windows), unit="block", show=progress or None, note=watch)
    for block in shown:
        if block.pixel_ids is block.ids:  # of labels; outlines are known as a whole where they start
            wholes.merge(block.ids, block.values | block.pixel_values)
        else:
            wholes.merge(block.ids, block.values)
            pixels.merge(block.pixel_ids, block.pixel_values)
        if block.edges is not None:
            seams.keep(block.window, block.edges)
        prints.append((block.labels_print, block.pixels_print))
    if "pairs" in reducers:  # volumes have no edges to join: their blocks look one voxel around themselves
        for ids, pairs in seams.pairs():
            wholes.merge(ids, {"pairs": pairs})
    found, values = wholes.by_id()
    every = regions.every_id()
    ids = found if every is None else every
    values = _rows_of(ids, found, values) | _rows_of(ids, *pixels.by_id())
    labels_print, pixels_print = (sum(part) for part in zip(*prints, strict=True))
    measured = Measured(grid, tuple(channel_names(image)), ids, values)
    if wholes_of:
        printer = keys if not readers and any(one.reads_whole != "regions" for one in wholes_of) else None
        whole, printed = measure_whole(pixels_of, regions, wholes_of, measured, windows, run, fingerprint=printer)
        measured = replace(measured, values=values | whole)
        pixels_print += printed
    if kept is not None:
        kept.finish()
    return measured, regions.name(labels_print), combine([pixels_print])


def _name_inputs(image: Any, regions: RegionSource, grid: Grid, families: Sequence[Any], windows: Any) -> list[str]:
    """Return what tells one measurement from another before it is made: not a pixel of a lazy image is read."""
    from dask.base import tokenize

    from integrate import __version__

    files = [*stamp_files(image), *stamp_files(getattr(regions, "labels", regions.raster))]
    return [__version__, *map(tokenize, (image, regions, files)), tokenize(grid, windows), hash_settings(families)]


def _split_ids(regions: RegionSource, windows: Sequence[Window], keys: Fingerprint) -> np.ndarray[Any, Any]:
    """Return the ids that several windows share; a pass over the regions alone."""
    import numpy as np

    ids = np.concatenate([regions.look(window, keys).block.ids for window in windows])
    found, times = np.unique(ids, return_counts=True)
    return found[times > 1]


def _rows_of(
    ids: np.ndarray[Any, Any], found: np.ndarray[Any, Any], values: dict[str, np.ndarray[Any, Any]]
) -> dict[str, np.ndarray[Any, Any]]:
    """Return values with a row per id, zeros for ids of which nothing was found: their number of pixels is 0."""
    import numpy as np

    if len(found) == len(ids):
        return values
    rows = np.searchsorted(ids, found)
    complete = {}
    for name, value in values.items():
        complete[name] = np.zeros((len(ids), *value.shape[1:]), value.dtype)
        complete[name][rows] = value
    return complete


def _run(threads: int | None, work: Any, windows: Sequence[Any]) -> Iterator[Any]:
    """Yield the blocks in the order of their windows."""
    workers = min(threads or os.cpu_count() or 1, len(windows))
    if workers <= 1:
        yield from map(work, windows)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="measure") as executor:
        yield from executor.map(work, windows)


def _run_on(client: distributed.Client, work: Any, windows: Sequence[Any]) -> Iterator[Any]:
    """Yield the blocks in the order of their windows, measured on a cluster; only a few wait to be merged."""
    from collections import deque

    shared = client.submit(lambda: work, pure=False)  # sent once, not with every window
    ahead = 4 * max(1, sum(client.nthreads().values()))
    waiting: deque[Any] = deque()
    for window in windows:
        waiting.append(client.submit(_call, shared, window, pure=False))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _call(work: Any, window: Any) -> Any:
    return work(window)


def _measure_block(
    image: Any,
    regions: RegionSource,
    families: tuple[FeatureFamily, ...],
    readers: tuple[FeatureFamily, ...],
    fingerprint: Fingerprint,
    split: np.ndarray[Any, Any] | None,
    window: Window,
) -> _Measurement:
    import numpy as np

    block, whole, edges, labels_print = regions.look(window, fingerprint)
    if split is not None:
        block = replace(block, split=np.isin(block.ids, split))
    values: dict[str, np.ndarray[Any, Any]] = {}
    for family in families:
        values |= family.from_regions(whole)
    block = group_runs(block)
    per_channel: list[dict[str, np.ndarray[Any, Any]]] = []
    pixels_print = 0
    channels = read_channels(image, window) if block.ids.size else blank_channels(image)
    for number, pixels in enumerate(channels if readers else ()):
        layer = make_layer(block, pixels, fingerprint, number)
        pixels_print += layer.print
        per_channel.append({k: v for family in readers for k, v in family.from_channel(layer).items()})
    stacked = {name: np.stack([channel[name] for channel in per_channel], axis=1) for name in (per_channel or [{}])[0]}
    return _Measurement(window, whole.ids, values, block.ids, stacked, edges, labels_print, pixels_print)
