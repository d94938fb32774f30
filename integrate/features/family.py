"""A feature family: the contract between the streaming pass and what it measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block
    from integrate.features.grid import Grid
    from integrate.features.layer import Layer
    from integrate.features.partials import Reducer

__all__ = ["Column", "FeatureFamily", "Measured", "channel_columns"]


class Column(NamedTuple):
    """One measured column before it enters the table: values per region, and what they are."""

    name: str
    values: np.ndarray[Any, Any]
    unit: str
    definition: str
    channel: str = ""
    statistic: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the pass brought together: merged quantities of all regions, rows in the order of `ids`.

    `values` holds the quantities of every family by name, those per channel with channels along the second axis.
    """

    grid: Grid
    channels: tuple[str, ...]
    ids: np.ndarray[Any, Any]
    values: Mapping[str, np.ndarray[Any, Any]]


class FeatureFamily(Protocol):
    """Settings of one kind of feature, as a frozen dataclass, with pure functions from blocks to columns.

    A block's quantities are arrays with a row per region of the block; blocks are merged with `reducers`, in an order
    and a number that must not matter. All families share one namespace of quantities.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    #: Whether `from_channel` gives anything; if no family reads pixels, nothing but labels is read.
    reads_pixels: ClassVar[bool]

    @property
    def reducers(self) -> Mapping[str, Reducer]:
        """How two blocks' quantities become one, by name."""
        ...

    def from_regions(self, block: Block) -> dict[str, np.ndarray[Any, Any]]:
        """Return quantities that need no pixels."""
        ...

    def from_channel(self, layer: Layer) -> dict[str, np.ndarray[Any, Any]]:
        """Return quantities of one channel."""
        ...

    def columns(self, measured: Measured) -> list[Column]:
        """Return the finished columns."""
        ...


def channel_columns(
    measured: Measured, quantity: str, number: int, chosen: Sequence[tuple[str, int, str]], *, unit: str
) -> list[Column]:
    """Return columns of a quantity (regions, channels, `number` values): of the first channel, then of the next.

    `chosen` are the name, place and definition of each; without any region there is no quantity and no row.
    """
    import numpy as np

    values = measured.values.get(quantity, np.full((len(measured.ids), len(measured.channels), number), np.nan))
    return [
        Column(f"{channel}_{name}", values[:, c, k], unit, definition, channel, name)
        for c, channel in enumerate(measured.channels)
        for name, k, definition in chosen
    ]
