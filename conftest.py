"""Names the examples in docstrings may use without importing them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _example_names(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        import integrate as ig

        doctest_namespace["ig"] = ig
        doctest_namespace["tmp_path"] = request.getfixturevalue("tmp_path")
        doctest_namespace["Path"] = Path
