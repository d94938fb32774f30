"""Opening touches little; a result names the true hash; a change in between is never missed."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
import textwrap
import time
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import integrate as ig
from integrate.catalog.check import check_catalog
from integrate.catalog.identity import SMALL_BYTES, identify
from integrate.catalog.lock import lock_catalog
from integrate.catalog.open import Catalog, open_catalog
from integrate.errors import DataError, IntegrateWarning
from integrate.model.provenance import hash_file, record, recorded, settle_loads

TEXT = """
version: 2
metadata: {name: large, description: One picture of 8 MB, licence: CC0-1.0}
entries:
  picture:
    reader: Tiff
    kwargs: {url: "{CATALOG_DIR}/picture.tif", axes: CYX, ids: {subject_id: p1}}
    metadata: {description: noise, modality: IF, level: acquisition}
"""

ASK = """
import sys, pathlib
from integrate.catalog.identity import identify
print(identify(pathlib.Path(sys.argv[1])).known_hash())
"""


@pytest.fixture
def large(tmp_path: Path) -> Catalog:
    settle_loads()
    picture = np.random.default_rng(0).integers(0, 255, (8, 1000, 1000)).astype("uint8")
    tifffile.imwrite(tmp_path / "picture.tif", picture, photometric="minisblack")
    age(tmp_path / "picture.tif", seconds=3600)
    (tmp_path / "catalog.yaml").write_text(TEXT)
    return open_catalog(tmp_path / "catalog.yaml")


def age(path: Path, *, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def bytes_read() -> int:
    told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(told["rchar"])


def forget_everything() -> None:
    for one in gc.get_objects():
        if isinstance(one, _lru_cache_wrapper) and (one.__module__ or "").startswith("integrate.readers"):
            one.cache_clear()


def change_a_byte(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last[0] ^ 1]))


def test_opening_reads_little_and_the_result_names_the_true_hash(large: Catalog, tmp_path: Path) -> None:
    large.load("picture")
    settle_loads()
    change_a_byte(tmp_path / "picture.tif")  # not hashed yet in this form
    before = bytes_read()
    image = large.load("picture")
    assert bytes_read() - before < SMALL_BYTES
    origin = image.attrs["integrate"]["origin"]
    assert (origin["sha256"], origin["bytes"]) == (None, (tmp_path / "picture.tif").stat().st_size)
    record("measure", region="r")
    digest = hashlib.sha256((tmp_path / "picture.tif").read_bytes()).hexdigest()
    assert origin["sha256"] == digest
    assert recorded("load")[-1]["sha256"] == digest


def test_measurements_name_the_file_they_were_made_from(large: Catalog, tmp_path: Path) -> None:
    image = large.load("picture")
    labels = image[0].copy(data=np.ones(image.shape[1:], np.int32)).drop_vars("c", errors="ignore")
    table = ig.measure(image, labels)
    assert table.uns["integrate"]["sha256"] == hash_file(tmp_path / "picture.tif")


def test_a_hash_is_kept_until_the_file_changes(large: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "picture.tif"
    assert identify(path).known_hash() is None
    digest = identify(path).true_hash()
    before = bytes_read()
    assert identify(path).known_hash() == digest
    assert identify(path).true_hash() == digest
    assert bytes_read() - before < SMALL_BYTES
    assert large.load("picture").attrs["integrate"]["origin"]["sha256"] == digest
    told = subprocess.run([sys.executable, "-c", ASK, str(path)], check=True, capture_output=True, text=True).stdout
    assert told.strip() == digest  # another session of the same person need not read it again
    change_a_byte(path)
    assert identify(path).known_hash() is None


def test_a_file_written_a_moment_ago_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "new.bin"
    path.write_bytes(b"a" * (SMALL_BYTES + 1))
    state = path.stat()
    first = identify(path).true_hash()
    path.write_bytes(b"b" * (SMALL_BYTES + 1))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # within the clock's step, as it were
    assert identify(path).true_hash() == hash_file(path) != first


def test_a_folder_is_known_by_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    (folder / "deep").mkdir(parents=True)
    for name in ("a", "b.x", "deep/c", "a-b", "deep.x"):
        (folder / name).write_bytes(name.encode() * 300_000)
        age(folder / name, seconds=100)
    source = identify(folder)
    assert source.true_hash() == hash_file(folder) == source.fresh_hash() == source.known_hash()
    (folder / "deep" / "d").write_bytes(b"")
    assert not source.is_current()
    with pytest.raises(DataError, match="series has changed, or is gone, since it was opened"):
        source.true_hash()


@pytest.mark.parametrize("promise", ["lock", "verify"])
def test_a_broken_promise_stops_the_result(large: Catalog, tmp_path: Path, promise: str) -> None:
    if promise == "lock":
        lock_catalog(large)
    else:
        digest = hash_file(tmp_path / "picture.tif")
        large.path.write_text(TEXT.replace("ids: {", f'verify: {{hash: "sha256:{digest}"}}, ids: {{'))
        large = open_catalog(large.path)
    change_a_byte(tmp_path / "picture.tif")
    large.load("picture")  # the size is right: opening alone does not read eight megabytes
    with pytest.raises(DataError, match=r"sha256 of picture\.tif is \w+…, the catalog says"):
        record("measure", region="r")
    assert [f.check for f in check_catalog(large, hashes=True).errors] == ["changed"]
    age(tmp_path / "picture.tif", seconds=50)
    identify(tmp_path / "picture.tif").true_hash()
    with pytest.raises(DataError, match=r"sha256 of picture\.tif"):  # known by now: refused at once
        large.load("picture")


def test_a_file_changed_between_opening_and_result_stops_the_result(large: Catalog, tmp_path: Path) -> None:
    large.load("picture")
    change_a_byte(tmp_path / "picture.tif")
    with pytest.raises(DataError, match="has changed, or is gone, since it was opened; open it again"):
        record("link", study="s")
    record("link", study="s")  # said once; the rest of the session goes on


def test_a_file_gone_before_the_result_is_said(large: Catalog, tmp_path: Path) -> None:
    image = large.load("picture")
    (tmp_path / "picture.tif").unlink()
    with pytest.warns(IntegrateWarning, match=r"picture\.tif is gone since it was opened"):
        settle_loads()
    assert image.attrs["integrate"]["origin"]["sha256"] is None


def test_a_report_names_every_load_by_its_hash(large: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATE_RECORD", str(tmp_path / "record.jsonl"))
    large.load("picture")
    (event,) = map(json.loads, (tmp_path / "record.jsonl").read_text().splitlines())
    assert event["sha256"] == hash_file(tmp_path / "picture.tif")


def test_a_home_that_cannot_be_written_only_costs_time(
    large: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INTEGRATE_CACHE", str(tmp_path / "file" / "cache"))
    image = large.load("picture")
    settle_loads()
    assert image.attrs["integrate"]["origin"]["sha256"] == hash_file(tmp_path / "picture.tif")
    monkeypatch.setenv("INTEGRATE_CACHE", str(tmp_path))
    (tmp_path / ".hashes.sqlite").write_bytes(b"not a database" * 100)
    assert identify(tmp_path / "picture.tif").known_hash() is None


def _cost_of_opening(entry: Any, item: str) -> tuple[float, float]:
    """Return megabytes read and processor seconds, when nothing is known of the files."""
    forget_everything()
    before, start = bytes_read(), time.process_time()
    entry.load_item(item)
    spent = time.process_time() - start
    return (bytes_read() - before) / 1e6, spent


@pytest.mark.filterwarnings("ignore:.*outlines crossed themselves:integrate.errors.IntegrateWarning")
def test_opening_an_example_touches_less_than_five_megabytes_and_takes_less_than_a_second(
    test_data: Any, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = test_data("dicom-small").parent
    examples = open_catalog(repository / "catalogs" / "examples.yaml", data_root=str(root))
    told = {}
    for name, entry in examples.items():
        item = str(entry.items()["item"].iloc[0])
        entry.load_item(item)  # imports what it needs
        costs = [_cost_of_opening(entry, item) for _ in range(2)]
        # the quicker of two: a collection of garbage, or a thread of an earlier test, may fall into one
        told[name] = (max(mb for mb, _ in costs), min(s for _, s in costs))
    with capsys.disabled():
        print(textwrap.fill(", ".join(f"{n} {mb:.2f} MB {s:.2f} s" for n, (mb, s) in told.items()), 120))
    assert {name: cost for name, cost in told.items() if max(cost[0] / 5, cost[1]) >= 1} == {}
