"""Fixtures every room's tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep copies and hashes of a test run apart from those of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTEGRATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def test_data() -> Callable[[str], Path]:
    """Return a function that gives a folder of the real test data, or skips the test when it is absent."""
    root = Path(os.environ.get("INTEGRATE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))

    def folder(name: str) -> Path:
        path = root / name
        if not path.exists():
            pytest.skip(f"real data {name!r} is not at INTEGRATE_TEST_DATA={root}")
        return path

    return folder
