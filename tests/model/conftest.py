"""Studies written as real catalogs and files in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from integrate.catalog.open import open_catalog
from integrate.model.assemble import open_study
from integrate.model.study import Study


def catalog_text(declared: Mapping[str, Any], entries: Mapping[str, Any]) -> str:
    metadata = {"name": "written", "description": "toy", "licence": "CC0-1.0", "study": dict(declared)}
    return yaml.safe_dump({"version": 2, "metadata": metadata, "entries": dict(entries)}, sort_keys=False)


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Study]:
    """A function that writes tables, AnnData and images, describes them in a catalog and opens the study.

    ``tables``: name -> (CSV text, keys, level, columns); ``matrices``: name -> (AnnData, keys, level);
    ``images``: name -> (ids template namespace, folder names).
    """

    def write(
        *,
        declared: Mapping[str, Any] | None = None,
        tables: Mapping[str, Any] | None = None,
        matrices: Mapping[str, Any] | None = None,
        images: Mapping[str, Any] | None = None,
    ) -> Study:
        entries: dict[str, Any] = {}
        for name, (text, keys, level, columns) in (tables or {}).items():
            (tmp_path / f"{name}.csv").write_text(text)
            kwargs = {"url": f"{{CATALOG_DIR}}/{name}.csv", "keys": keys, "columns": columns}
            entries[name] = {"reader": "Table", "kwargs": kwargs, "metadata": {"description": name, "level": level}}
        for name, (matrix, keys, level) in (matrices or {}).items():
            matrix.write_h5ad(tmp_path / f"{name}.h5ad")
            kwargs = {"url": f"{{CATALOG_DIR}}/{name}.h5ad", "keys": keys}
            entries[name] = {"reader": "H5AD", "kwargs": kwargs, "metadata": {"description": name, "level": level}}
        for name, (namespace, folders) in (images or {}).items():
            for folder in folders:
                (tmp_path / folder).mkdir()
                tifffile.imwrite(tmp_path / folder / "DNA.tif", np.ones((4, 5), dtype=np.uint8))
            parameter = {
                "cls": "intake.readers.user_parameters:OptionsUserParameter",
                "dtype": "str",
                "default": folders[0],
                "options": list(folders),
            }
            entries[name] = {
                "reader": "ChannelFolder",
                "user_parameters": {"field": parameter},
                "kwargs": {"url": "{CATALOG_DIR}/{field}", "ids": {namespace: "{field}"}},
                "metadata": {
                    "description": name,
                    "level": "acquisition",
                    "modality": "IF",
                    "units": {"length": "[pix]"},
                    "channels": [{"name": "DNA"}],
                },
            }
        (tmp_path / "written.yaml").write_text(catalog_text(declared or {}, entries))
        return open_study(open_catalog(tmp_path / "written.yaml"))

    return write


@pytest.fixture
def two_fields(write_study: Callable[..., Study]) -> Study:
    """Three people; two fields of P1 and one of P2 as images; one row per field in a table."""
    return write_study(
        declared={
            "spine": {"entry": "people"},
            "identifiers": {
                "folder": {"pattern": r"f(\d)_(P\d)", "ids": {"acquisition_id": r"\1", "subject_id": r"\2"}}
            },
        },
        tables={
            "people": (
                "id,age,stage\nP1,50,I\nP2,,II\nP3,61,\n",
                {"id": "subject_id"},
                "subject",
                {"age": {"unit": "a"}},
            ),
            "fields": (
                "field,cells,operator\n1,10,ann\n2,20,bob\n3,30,ann\n",
                {"field": "acquisition_id"},
                "acquisition",
                {"operator": {"level": "subject"}},
            ),
        },
        images={"mif": ("folder", ["f1_P1", "f2_P1", "f3_P2"])},
    )


@pytest.fixture
def small_matrix() -> Callable[..., ad.AnnData]:
    """A function that makes an AnnData of given obs."""

    def make(obs: Mapping[str, Any], index: Any = None) -> ad.AnnData:
        frame = pd.DataFrame(obs, index=index)
        frame.index = frame.index.astype(str)
        return ad.AnnData(np.ones((len(frame), 2)), obs=frame, var=pd.DataFrame(index=["g1", "g2"]))

    return make
