"""Importing the package costs nothing: heavy libraries come with the functions that need them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("anndata", "cv2", "dask", "duckdb", "geopandas", "intake", "matplotlib", "mudata", "numba", "numpy", "pandas"),
    *("pyarrow", "pydantic", "pydicom", "scanpy", "scipy", "SimpleITK", "skimage", "sklearn", "spatialdata"),
    *("statsmodels", "tifffile", "xarray", "zarr"),
}

#: Modules that promise to bring nothing of HEAVY. A module that keeps the promise may be added.
LIGHT = ("integrate", "integrate.errors", "integrate.keys", "integrate.model.feature", "integrate.model.image")


def heavy_after(statement: str) -> set[str]:
    """Return which heavy libraries a fresh interpreter has loaded after a statement."""
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(json.loads(run.stdout))


@pytest.mark.parametrize("module", LIGHT)
def test_import_brings_no_heavy_library(module: str) -> None:
    assert heavy_after(f"import {module}") == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert heavy_after("import yaml, numpy") == {"numpy"}
