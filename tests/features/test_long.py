"""Long and large: a measurement goes on after it was killed; an image larger than memory is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import dask.array as da
import numpy as np
import pytest
import shapely
import zarr

from integrate.features.measure import measure
from integrate.model.image import make_image

KILLED = """
import json, os, signal, sys
import dask.array as da, numpy as np
from integrate.features.measure import measure
from integrate.model.image import make_image

folder, last = sys.argv[1], int(sys.argv[2])

def slow(block, block_info=None):
    if block_info:
        with open(folder + "/seen.txt", "a") as file:
            file.write("x")
        if os.path.getsize(folder + "/seen.txt") > int(os.environ.get("LAST", "1000")):
            os.kill(os.getpid(), signal.SIGKILL)
    return block

noise = np.random.default_rng(0).integers(0, 9999, (1, 3200, 1600), dtype=np.uint16)
pixels = da.from_array(noise, chunks=(1, 800, 800))
labels = (np.arange(3200)[:, None] // 50 * 40 + np.arange(1600) // 40 + 1).astype(np.int32)
os.environ["LAST"] = str(last)
image = make_image(pixels.map_blocks(slow, dtype="u2"), channels=["a"], pixel_size_um=None)
table = measure(image, labels, features=["intensity", "quantiles", "texture"], threads=1, resume=folder)
print(json.dumps([table.X.tobytes().hex(), table.var.to_json(), sorted(os.listdir(folder))]))
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.slow
def test_a_killed_measurement_goes_on_where_it_was_and_gives_the_same_bits(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    straight = run(KILLED, whole, 1000)
    assert straight.returncode == 0, straight.stderr
    assert run(KILLED, broken, 5).returncode == -9
    seen = (broken / "seen.txt").stat().st_size
    assert any(path.suffix == ".pickle" for path in broken.rglob("*"))
    resumed = run(KILLED, broken, 1000)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout) == json.loads(straight.stdout)  # and nothing is left but seen.txt
    again = (broken / "seen.txt").stat().st_size - seen
    assert again <= (whole / "seen.txt").stat().st_size - seen + 2  # what was finished is not done again


REGIONS = """
import json, os, signal, sys
import dask.array as da, numpy as np, shapely, zarr
from integrate.features.measure import measure
from integrate.model.image import make_image

folder, regions, last = sys.argv[1], sys.argv[2], int(sys.argv[3])

def slow(block, block_info=None):
    if block_info:
        with open(folder + "/seen.txt", "a") as file:
            file.write("x")
        if os.path.getsize(folder + "/seen.txt") > int(os.environ["LAST"]):
            os.kill(os.getpid(), signal.SIGKILL)
    return block

noise = np.random.default_rng(0).integers(0, 9999, (1, 2400, 600), dtype=np.uint16)
image = da.from_array(noise, chunks=(1, 600, 600)).map_blocks(slow, dtype="u2")
os.environ["LAST"] = str(last)
drawn = [shapely.box(10, 10, 500, 2300), shapely.Point(300, 1200).buffer(280)]
found = drawn if regions == "drawn" else da.from_zarr(regions)
table = measure(
    make_image(image, channels=["a"], pixel_size_um=None), found, features=["intensity"], threads=1, resume=folder
)
print(json.dumps([table.X.tobytes().hex(), table.var.to_json(), table.obs.to_json()]))
"""


def told(table: ad.AnnData) -> list[str]:
    return [table.X.tobytes().hex(), table.var.to_json(), table.obs.to_json()]


def write_labels(path: Path, edge: int) -> Path:
    y, x = np.mgrid[:2400, :600] // edge
    stored = zarr.open_array(path, mode="w", shape=y.shape, chunks=(600, 600), dtype="i4")
    stored[...] = y * (600 // edge) + x + 1
    return path


@pytest.mark.slow
def test_a_killed_measurement_never_mixes_in_other_regions(tmp_path: Path) -> None:
    cells, coarse = write_labels(tmp_path / "cells", 40), write_labels(tmp_path / "coarse", 60)
    noise = np.random.default_rng(0).integers(0, 9999, (1, 2400, 600), dtype=np.uint16)
    image = make_image(noise, channels=["a"], pixel_size_um=None)
    drawn = [shapely.box(10, 10, 500, 2300), shapely.Point(300, 1200).buffer(280)]
    sets = {"cells": da.from_zarr(cells), "drawn": drawn, "coarse": da.from_zarr(coarse)}
    expected = {name: told(measure(image, regions, features=["intensity"])) for name, regions in sets.items()}
    shared = tmp_path / "shared"
    shared.mkdir()
    assert run(REGIONS, shared, cells, 3).returncode == -9
    kept = sorted(shared.rglob("*.pickle"))
    assert 1 <= len(kept) < 4  # blocks of the killed run
    other = run(REGIONS, shared, "drawn", 1000)  # other regions, the same folder
    assert json.loads(other.stdout) == expected["drawn"], other.stderr
    assert sorted(shared.rglob("*.pickle")) == kept
    seen = (shared / "seen.txt").stat().st_size
    again = run(REGIONS, shared, cells, 1000)  # the first regions go on where they were
    assert json.loads(again.stdout) == expected["cells"], again.stderr
    # Dask calls the function once more, to see what it gives.
    assert (shared / "seen.txt").stat().st_size - seen == 4 - len(kept) + 1
    assert not list(shared.rglob("*.pickle"))
    (shared / "seen.txt").unlink()
    assert run(REGIONS, shared, cells, 3).returncode == -9
    write_labels(cells, 60)  # segmented anew, under the same name
    anew = json.loads(run(REGIONS, shared, cells, 1000).stdout)
    assert anew == expected["coarse"]


LARGE = """
import json, resource, sys
import numpy as np, zarr, dask.array as da
from integrate.features.measure import measure
from integrate.model.image import make_image

limit = 4 * 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
folder, edge, channels = sys.argv[1], 32768, 24
shape, chunks = (channels, edge, edge), (1, 1024, 1024)
image = zarr.create_array(folder + "/image", shape=shape, chunks=chunks, dtype="u2", fill_value=3)
labels = zarr.create_array(folder + "/labels", shape=shape[1:], chunks=chunks[1:], dtype="u4")
y, x = np.mgrid[:2048, :2048]
cells = ((y // 32) * 64 + x // 32 + 1) * ((y % 32 < 20) & (x % 32 < 20))
for k, corner in enumerate((0, 9216, 17000, 30720)):  # one of them across many chunks
    labels[corner : corner + 2048, corner : corner + 2048] = np.where(cells, cells + 5000 * k, 0)
    image[k, corner : corner + 2048, corner : corner + 2048] = np.where(cells, cells % 60000, 0)
named = make_image(da.from_zarr(image), channels=[f"c{k}" for k in range(channels)], pixel_size_um=(0.5, 0.5))
table = measure(named, da.from_zarr(labels), threads=2)
found = table.to_df()
ids = table.obs["instance_id"].to_numpy()
first = found["c0_mean"].to_numpy()[:4096]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
right = bool((first == ids[:4096] % 60000).all() and (found["c23_mean"] == 3).all())
print(json.dumps([len(ids), right, image.nbytes, peak]))
"""


@pytest.mark.slow
def test_an_image_of_51_gb_is_measured_within_4_gb(tmp_path: Path) -> None:
    done = run(LARGE, tmp_path)
    assert done.returncode == 0, done.stderr
    cells, right, size, peak = json.loads(done.stdout)
    assert (cells, right) == (4 * 4096, True)
    assert size > 51e9
    assert peak < 4
    print(f"resident memory at most {peak:.2f} GB for {size / 1e9:.0f} GB of pixels")
