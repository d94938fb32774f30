"""The same numbers from worker processes of a real cluster as from threads here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import shapely

from integrate.errors import ParameterError
from integrate.features.measure import measure
from integrate.features.shape import Shape
from integrate.model.image import make_image


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_cluster_gives_the_same_bits_as_threads(client: Any, tmp_path: Path, dtype: str) -> None:
    from .test_measure import toy_cells

    pixels = np.random.default_rng(0).integers(0, 65_536, (2, 1200, 1100)).astype(dtype)
    da.from_array(pixels, chunks=(1, 600, 600)).to_zarr(str(tmp_path / "image.zarr"))
    image = make_image(da.from_zarr(str(tmp_path / "image.zarr")), channels=["a", "b"], pixel_size_um=None)
    outlines = [shapely.Point(300 * k, 300 * k).buffer(290) for k in range(1, 4)]
    for regions in (toy_cells((1200, 1100)), outlines):
        features = ["intensity", Shape(("area", "perimeter", "solidity")), "texture", "gradient"]
        here = measure(image, regions, features=features, threads=2)
        there = measure(image, regions, features=features, client=client)
        np.testing.assert_array_equal(there.X, here.X)
        np.testing.assert_array_equal(there.obsm["spatial"], here.obsm["spatial"])
        pd.testing.assert_frame_equal(there.obs, here.obs)
        pd.testing.assert_frame_equal(there.var, here.var)


def test_threads_and_a_client_exclude_each_other(client: Any) -> None:
    image = make_image(np.ones((1, 4, 4)), channels=["a"], pixel_size_um=None)
    with pytest.raises(ParameterError, match="both threads and client"):
        measure(image, np.ones((4, 4), int), threads=2, client=client)


def test_a_bar_counts_blocks(capfd: pytest.CaptureFixture[str]) -> None:
    image = make_image(np.ones((1, 600, 600)), channels=["a"], pixel_size_um=None)
    measure(image, np.ones((600, 600), int), progress=True)
    assert "measure: 100%" in capfd.readouterr().err
