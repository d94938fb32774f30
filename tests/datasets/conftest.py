"""A tiny simulated study, written once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from integrate.datasets.simulate import simulate_study


def write_tiny(folder: Path) -> Path:
    return simulate_study(folder, subjects=4, seed=7, section_um=200, quiet=True)


@pytest.fixture(scope="session")
def tiny() -> Callable[[Path], Path]:
    """Write four subjects with sections of 200 um; one has two blocks, one no CT, one no RNA."""
    return write_tiny


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study, written once."""
    return write_tiny(tmp_path_factory.mktemp("simulated") / "study")


@pytest.fixture(scope="session")
def truth(study: Path) -> dict[str, Any]:
    """What was planted."""
    planted: dict[str, Any] = json.loads((study / "truth.json").read_text(encoding="utf-8"))
    return planted


@pytest.fixture(scope="session")
def cells(study: Path) -> pd.DataFrame:
    """The planted cells."""
    return pd.read_parquet(study / "truth_cells.parquet")


@pytest.fixture(scope="session")
def assets(study: Path) -> pd.DataFrame:
    """The asset table, all text."""
    return pd.read_csv(study / "assets.csv", dtype=str, keep_default_na=False)
