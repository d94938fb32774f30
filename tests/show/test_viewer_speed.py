"""How long a person waits for the first paint of a large image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import integrate as ig

pytestmark = [pytest.mark.benchmark, pytest.mark.browser]


@pytest.fixture
def pyramid(tmp_path: Path) -> Path:
    """Forty channels of 16,384 squared as OME-Zarr; what the first view does not touch holds only the fill value."""
    group = zarr.open_group(tmp_path / "large.zarr", mode="w")
    rng = np.random.default_rng(0)
    sides = [16384 >> k for k in range(6)]
    for level, side in enumerate(sides):
        shape, chunks = (40, side, side), (1, 512, 512)
        array = group.create_array(str(level), shape=shape, chunks=chunks, dtype="u2", fill_value=7)
        if side <= 1024:
            array[:] = rng.integers(0, 4000, shape, dtype=np.uint16)
    datasets = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5 * 2**k, 0.5 * 2**k]}]}
        for k in range(6)
    ]
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space", "unit": "micrometer"} for a in "yx")]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return tmp_path / "large.zarr"


def test_forty_channels_of_16k_are_first_painted_within_two_seconds(pyramid: Path, show: Any) -> None:

    show(ig.view(np.zeros((1, 4, 4)))).settle()  # imports and the start of the browser are not counted
    started = time.perf_counter()
    viewer = ig.view(pyramid)
    viewer._repr_mimebundle_()
    made = time.perf_counter() - started
    started = time.perf_counter()
    shown = show(viewer)
    shown.until("app.ready_ms")
    painted = time.perf_counter() - started
    told = f"view() with its still picture {made:.2f} s, page and first paint {painted:.2f} s"
    print(f"{told}, of which in the browser {shown.js('app.ready_ms') / 1000:.2f} s")
    assert made + painted < 2
