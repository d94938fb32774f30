"""A bundle: datasets that are in memory already, described as a catalog describes its own, to be opened as a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from integrate.keys import ATTRS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Bundle", "HeldDataset"]


@dataclass(frozen=True)
class HeldDataset:
    """One table or matrix.

    Parameters
    ----------
    name
        Name in the bundle.
    content
        DataFrame or AnnData.
    level
        What a row is.
    keys
        Column (or ``"obs_names"``) to the id it holds.
    columns
        Codebook: column to ``{"unit": …, "level": …, …}``.
    modality
        Modality code.
    metadata
        What else is known.
    """

    name: str
    content: Any
    level: str
    keys: Mapping[str, str]
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    modality: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def items(self) -> pd.DataFrame:
        """Return the one item there is."""
        import pandas as pd

        return pd.DataFrame({"item": [""]})

    def load(self) -> Any:
        """Return a copy, with keys and codebook in its notes."""
        held = self.content.copy()
        place = held.uns if hasattr(held, "uns") else held.attrs
        place[ATTRS] = {**dict(place.get(ATTRS) or {}), "keys": dict(self.keys), "columns": dict(self.columns)}
        return held

    def load_item(self, item: str) -> Any:
        """Return what `load` returns; there is one item."""
        return self.load()


class Bundle(dict[str, HeldDataset]):
    """Datasets by name, with the ``study`` section a catalog would have.

    Parameters
    ----------
    name
        Name of the study.
    datasets
        What it holds.
    declared
        The ``study`` section.
    """

    def __init__(self, name: str, datasets: Iterable[HeldDataset], declared: Mapping[str, Any]) -> None:
        super().__init__({dataset.name: dataset for dataset in datasets})
        self.name = name
        self.metadata = {"study": dict(declared)}
