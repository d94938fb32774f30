"""Fixtures every room's tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
CHROMIUM = (
    *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    # WebGL2 without a graphics card, and only it: pages themselves drawn by SwiftShader too would cost 0.4 s a frame.
    *("--use-angle=swiftshader-webgl", "--enable-unsafe-swiftshader"),
)


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, or a skip that says what is absent; one for all rooms, because a thread can drive only one."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright (extra: test)")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine; nothing was looked at in a real browser")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
        yield opened
        opened.close()
