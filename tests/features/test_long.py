"""Long and large: a measurement goes on after it was killed; an image larger than memory is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
