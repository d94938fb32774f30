"""Whole regions: each is looked at once and in one piece, by families whose numbers cannot be pieced together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from integrate.features.blocks import Block, Window, read_channels, read_image

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.family import Measured
    from integrate.features.fingerprint import Fingerprint
    from integrate.features.grid import Grid
    from integrate.features.layer import Layer
    from integrate.features.partials import Reducer
    from integrate.features.stream import RegionSource, Runner

__all__ = ["WholeFamily", "measure_whole", "only_regions"]


class WholeFamily:
    """A feature family that sees every region as a whole, with `margin` pixels of the image around all of them.

    Subclasses are frozen dataclasses and define what they need of `from_whole`, `from_whole_channel` and
    `from_whole_image`; each returns quantities with a row per region, which must depend on nothing but that region and
    the pixels up to `margin` around it. Then neither chunks nor threads show in the result.
    """

    __slots__ = ()

    reads_pixels: ClassVar[bool] = True
    #: What is read for the whole regions: nothing but regions, channel after channel, or all channels together.
    reads_whole: ClassVar[Literal["regions", "channels", "image"]] = "channels"

    @property
    def reducers(self) -> Mapping[str, Reducer]:
        """Nothing is pieced together."""
        return {}

    @property
    def needs_whole(self) -> bool:
        """Whether whole regions must be looked at with these settings."""
        return True

    @property
    def margin(self) -> int:
        """How many pixels around the regions are read."""
        return 0

    def from_regions(self, block: Block) -> dict[str, np.ndarray[Any, Any]]:
        """Return nothing: parts of regions are of no use."""
        return {}

    def from_channel(self, layer: Layer) -> dict[str, np.ndarray[Any, Any]]:
        """Return nothing: parts of regions are of no use."""
        return {}

    def check_image(self, channels: Sequence[str], dtype: np.dtype[Any]) -> None:
        """Raise if an image of such channels and pixels cannot be measured."""

    def from_whole(self, block: Block, grid: Grid) -> dict[str, np.ndarray[Any, Any]]:
        """Return quantities of whole regions that need no pixels."""
        return {}

    def from_whole_channel(self, block: Block, pixels: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return quantities of one channel."""
        return {}

    def from_whole_image(self, block: Block, image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return quantities of all channels, given as ``(c, y, x)``."""
        return {}


@dataclass(frozen=True, slots=True)
class _Task:
    """Regions that are read together, and a window that holds all of them."""

    ids: np.ndarray[Any, Any]
    window: Window


def only_regions(block: Block, ids: np.ndarray[Any, Any]) -> Block:
    """Return some regions of a block, run after run of one region before the next."""
    import numpy as np

    wanted = np.isin(block.ids, ids)
    number = np.cumsum(wanted, dtype=np.int32) - np.int32(1)
    kept = np.flatnonzero(wanted[block.region])
    order = kept[np.argsort(block.region[kept], kind="stable")]
    region = number[block.region[order]]
    return Block(
        block.window, block.ids[wanted], region, block.row[order], block.start[order], block.stop[order], True
    )  # fmt: skip


def measure_whole(
    image: Any,
    regions: RegionSource,
    families: Sequence[WholeFamily],
    measured: Measured,
    windows: Sequence[Window],
    run: Runner,
    *,
    fingerprint: Fingerprint | None,
) -> tuple[dict[str, np.ndarray[Any, Any]], int]:
    """Return the quantities of all families, a row per region of `measured`; NaN for regions without pixels.

    With a `fingerprint` also the print of all pixels inside regions: the one that a pass over blocks would give, since
    every region is read once as a whole.
    """
    import numpy as np

    margin = max(family.margin for family in families)
    tasks = list(_tasks(measured, windows, margin))
    work = partial(_measure_task, image, regions, tuple(families), measured.grid, fingerprint)
    values: dict[str, np.ndarray[Any, Any]] = {}
    prints = 0
    for ids, found, printed in run(work, tasks):
        prints += printed
        rows = np.searchsorted(measured.ids, ids)
        for name, part in found.items():
            if name not in values:
                values[name] = np.full((len(measured.ids), *part.shape[1:]), np.nan)
            values[name][rows] = part
    return values, prints


def _tasks(measured: Measured, windows: Sequence[Window], margin: int) -> Iterator[_Task]:
    """Yield which regions are read together: those that begin in one window; larger ones each for itself."""
    import numpy as np

    shape = measured.grid.shape
    low, high = np.split(measured.values["bounds"], 2, axis=1)
    high = 1 - high
    known = measured.values["positions"][:, 0] > 0
    for window in windows:
        first, last = np.array(window.bounds[3 - len(shape) :]).T
        here = known & ((low >= first) & (low < last)).all(axis=1)
        large = here & (high - low > last - first).any(axis=1)
        for rows in [np.flatnonzero(here & ~large), *np.flatnonzero(large)[:, None]]:
            if len(rows):
                start = np.maximum(low[rows].min(axis=0) - margin, 0)
                stop = np.minimum(high[rows].max(axis=0) + margin, shape)
                sides = list(zip(start.tolist(), stop.tolist(), strict=True))
                planes = sides[0] if len(sides) == 3 else (0, 1)
                yield _Task(measured.ids[rows], Window(*sides[-2], *sides[-1], *planes))


def _measure_task(
    image: Any,
    regions: RegionSource,
    families: tuple[WholeFamily, ...],
    grid: Grid,
    fingerprint: Fingerprint | None,
    task: _Task,
) -> tuple[np.ndarray[Any, Any], dict[str, np.ndarray[Any, Any]], int]:
    import numpy as np

    block = regions.gather(task.ids, task.window)
    found: dict[str, np.ndarray[Any, Any]] = {}
    for family in families:
        found |= family.from_whole(block, grid)
    readers = [family for family in families if family.reads_whole == "channels"]
    viewers = [family for family in families if family.reads_whole == "image"]
    whole = read_image(image, task.window) if viewers else None
    printed = 0 if fingerprint is None or whole is None else fingerprint.of_image(whole, block)
    channels: Iterable[Any] = ()
    if readers:
        channels = read_channels(image, task.window) if whole is None else map(np.ascontiguousarray, whole)
    per_channel: list[dict[str, np.ndarray[Any, Any]]] = []
    for number, pixels in enumerate(channels):
        if fingerprint is not None and whole is None:
            printed += fingerprint.of(pixels, block, layer=number)
        per_channel.append({k: v for one in readers for k, v in one.from_whole_channel(block, pixels).items()})
    for name in (per_channel or [{}])[0]:
        found[name] = np.stack([channel[name] for channel in per_channel], axis=1)
    for family in viewers:
        if whole is not None:
            found |= family.from_whole_image(block, whole)
    return block.ids, found, printed
