"""Small studies made of tables in memory, through the same door as real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from integrate.keys import ATTRS
from integrate.model.assemble import open_study
from integrate.model.study import Study


@dataclass
class ToyEntry:
    """What `open_study` asks of a catalog entry."""

    name: str
    content: Any
    level: str
    keys: dict[str, str] = field(default_factory=dict)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    items_table: pd.DataFrame | None = None
    modality: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    def items(self) -> pd.DataFrame:
        return pd.DataFrame({"item": [""]}) if self.items_table is None else self.items_table

    def load(self) -> Any:
        table = self.content.copy()
        if isinstance(table, pd.DataFrame):
            table.attrs[ATTRS] = {"columns": self.columns, "keys": self.keys}
        return table

    def load_item(self, item: str) -> Any:
        return self.content[item].copy() if self.items_table is not None else self.load()


class ToyCatalog(dict[str, ToyEntry]):
    """Entries by name, with the catalog's metadata."""

    name = "toy"

    def __init__(self, entries: Mapping[str, ToyEntry], declared: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self.metadata = {"study": dict(declared)}


def build_study(
    *,
    spine: str | None = None,
    identifiers: Mapping[str, Any] | None = None,
    items: Mapping[str, tuple[str, Mapping[str, Any]]] | None = None,
    levels: Mapping[str, str] | None = None,
    keys: Mapping[str, Mapping[str, str]] | None = None,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
    **tables: Any,
) -> Study:
    """Return a study of tables and AnnData.

    `items`: name -> (id column, id -> object), for datasets that open item by item. `levels`, `keys`, `columns`: per
    table, where they are not ``"subject"``, the id columns found, and nothing.
    """
    entries = {}
    for name, table in tables.items():
        frame = table.obs if isinstance(table, ad.AnnData) else table
        found = {column: column for column in frame if column.endswith("_id") and column != "instance_id"}
        own = dict((keys or {}).get(name, found))
        entries[name] = ToyEntry(
            name, table, (levels or {}).get(name, "subject"), own, dict((columns or {}).get(name, {}))
        )
    for name, (column, opened) in (items or {}).items():
        listed = pd.DataFrame({"item": list(opened), f"id:{column}": list(opened)}, dtype=object)
        entries[name] = ToyEntry(name, dict(opened), (levels or {}).get(name, "acquisition"), items_table=listed)
    declared: dict[str, Any] = {"identifiers": dict(identifiers or {})}
    if spine is not None:
        declared["spine"] = {"entry": spine}
    return open_study(ToyCatalog(entries, declared))


def build_cells(
    ids: Mapping[str, Any], values: Mapping[str, Any], *, unit: str = "{counts}", **columns: Any
) -> ad.AnnData:
    """Return cells as `measure` gives them: ids and columns in obs, described features in var."""
    obs = pd.DataFrame({**ids, **columns}, index=range(len(next(iter(values.values())))))
    obs.insert(0, "instance_id", np.arange(1, len(obs) + 1))
    obs.index = pd.Index([f"cell {i}" for i in obs["instance_id"]])
    var = pd.DataFrame(
        {"unit": unit, "level": "instance", "definition": "measure", "tool": "integrate 0.1", "settings_hash": "ab12"},
        index=pd.Index(list(values), dtype=object),
    )
    return ad.AnnData(np.column_stack([np.asarray(v, dtype=float) for v in values.values()]), obs=obs, var=var)


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """A function that makes a study of tables in memory."""
    return build_study


@pytest.fixture
def make_cells() -> Callable[..., ad.AnnData]:
    """A function that makes a table of cells."""
    return build_cells


@pytest.fixture
def three() -> Study:
    """Three subjects: P1 with two acquisitions of two specimens, P2 with one, P3 with none."""
    clinical = pd.DataFrame(
        {
            "subject_id": ["P1", "P2", "P3"],
            "age": [50.0, 61.0, np.nan],
            "stage": pd.Categorical(["I", "III", None], categories=["I", "II", "III"], ordered=True),
            "nodes": pd.array([0, None, 3], dtype="Int64"),
            "smoker": pd.array([True, False, None], dtype="boolean"),
            "site": ["north", None, "south"],
        }
    )
    fields = pd.DataFrame(
        {
            "acquisition_id": ["A1", "A2", "A3"],
            "specimen_id": ["S1", "S2", "S3"],
            "subject_id": ["P1", "P1", "P2"],
            "stroma": [1.0, 3.0, 5.0],
            "pam50": pd.Categorical(["Her2", "Her2", "LumA"]),
            "grade": ["2", "3", "1"],
        }
    )
    return build_study(
        spine="clinical",
        clinical=clinical,
        fields=fields,
        levels={"fields": "acquisition"},
        columns={"fields": {"pam50": {"level": "specimen"}, "stroma": {"unit": "1"}}},
    )
