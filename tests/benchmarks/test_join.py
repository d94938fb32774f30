"""Speed and memory of `link` and `reduce_table` beside pandas, MuData, DuckDB and Polars; prints, asserts no time.

The numbers are in ``docs/benchmarks_join.md``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from integrate.datasets.toy import toy_study
from integrate.join.link import link
from integrate.model.study import SAMPLE_MAP_COLUMNS, Study

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

SUBJECTS, ASSAYS, FEATURES = 1000, 5, 2000
CELLS = int(float(os.environ.get("INTEGRATE_BENCH_CELLS", "5e6")))
MARKERS = [f"m{i}" for i in range(6)]


def fastest(work: Callable[[], Any], *, times: int = 3) -> tuple[float, Any]:
    seconds, found = [], None
    for _ in range(times):
        start = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


def study_of(subjects: list[str]) -> Study:
    """Return a study of people and their acquisitions, one each."""
    frame = pd.DataFrame(
        {"assay": "people", "obs_id": subjects, "subject_id": subjects, "acquisition_id": [f"A{s}" for s in subjects]}
    )
    sample_map = frame.reindex(columns=list(SAMPLE_MAP_COLUMNS)).astype(object)
    sample_map["day"] = pd.array([None] * len(subjects), dtype="Int64")
    toy = toy_study()
    index = pd.Index(subjects, name="subject_id", dtype=object)
    return Study("bench", pd.DataFrame(index=index), sample_map, toy.identifiers.iloc[:0], {}, {})


def test_linking_five_assays_of_a_thousand_people() -> None:
    rng = np.random.default_rng(0)
    subjects = [f"{i:04}" for i in range(SUBJECTS)]
    tables = {
        f"a{k}": pd.DataFrame(rng.normal(size=(900, FEATURES)), columns=[f"a{k}_f{j}" for j in range(FEATURES)]).assign(
            subject_id=rng.permutation(subjects)[:900]
        )
        for k in range(ASSAYS)
    }
    study = study_of(subjects)
    people = pd.DataFrame({"subject_id": subjects})

    def ours() -> Any:
        return link(study, unit="subject", validate="1:1", **tables)

    def merged() -> Any:
        wide = people
        for table in tables.values():
            wide = wide.merge(table, on="subject_id", how="left", validate="1:1")
        return wide

    def mudata() -> Any:
        with md.set_options(pull_on_update=False):
            return md.MuData(
                {n: ad.AnnData(t.drop(columns="subject_id").set_index(t["subject_id"])) for n, t in tables.items()}
            )

    own, cohort = fastest(ours)
    wide, table = fastest(cohort.to_pandas)
    other, expected = fastest(merged)
    third, _ = fastest(mudata)
    np.testing.assert_array_equal(table.to_numpy(), expected.drop(columns="subject_id").to_numpy())
    print(f"\nlink {own:.2f} s, + wide table {wide:.2f} s; pandas merge {other:.2f} s; MuData {third:.2f} s")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of 1,000 acquisitions in row groups of a million."""
    file = tmp_path_factory.mktemp("cells") / "cells.parquet"
    rng = np.random.default_rng(0)
    names = pa.array([f"A{i:04}" for i in range(SUBJECTS)])
    kinds = pa.array(["B", "T", "myeloid", "tumour"])
    writer = None
    for start in range(0, CELLS, 1_000_000):
        n = min(1_000_000, CELLS - start)
        columns = {
            "acquisition_id": pa.DictionaryArray.from_arrays(
                np.sort(rng.integers(0, SUBJECTS, n)).astype("int32"), names
            ),
            "kind": pa.DictionaryArray.from_arrays(rng.integers(0, 4, n).astype("int8"), kinds),
            **{m: rng.gamma(2, size=n).astype("float32") for m in MARKERS},
        }
        batch = pa.table(columns)
        writer = writer or pq.ParquetWriter(file, batch.schema)
        writer.write_table(batch)
    assert writer is not None
    writer.close()
    return file


OURS = "found = ig.reduce_table(study, file, level='subject', progress=False, reduce="
PANDAS = "found = pd.read_parquet(file).groupby('acquisition_id', observed=True)[M]"
DUCKDB = """
columns = ", ".join(f"NAME({m})" for m in M)
sql = f"SELECT {columns} FROM '{file}' GROUP BY acquisition_id ORDER BY acquisition_id"
found = duckdb.sql(sql).df().to_numpy()
"""
POLARS = """
import polars as pl
rows = pl.scan_parquet(file).group_by(pl.col("acquisition_id").cast(pl.String)).agg(pl.col(M).NAME())
found = rows.sort("acquisition_id").collect(engine="streaming").select(M).to_numpy()
"""
SCRIPTS = {
    "reduce_table, mean": f"{OURS}'mean').X",
    "reduce_table, mean + composition": f"{OURS}['mean', ig.Composition('kind')]).X",
    "reduce_table, median": f"{OURS}'median').X",
    "pandas, mean": f"{PANDAS}.mean().to_numpy(float)",
    "pandas, median": f"{PANDAS}.median().to_numpy(float)",
    "DuckDB, mean": DUCKDB.replace("NAME", "avg"),
    "DuckDB, median": DUCKDB.replace("NAME", "median"),
    "Polars, mean": POLARS.replace("NAME", "mean"),
    "Polars, median": POLARS.replace("NAME", "median"),
}
FRAME = """
import pathlib, sys, time
sys.path.insert(0, {here!r})
import duckdb, numpy as np, pandas as pd, integrate as ig
from test_join import MARKERS as M, SUBJECTS, study_of
file = {file!r}
study = study_of([f"{{i:04}}" for i in range(SUBJECTS)])
study.audit, duckdb.sql("SELECT 1").df()
ig.reduce_table(study, {small!r}, level="subject", progress=False, reduce=["mean", "median", ig.Composition("kind")])
def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
before = peak()
start, spent = time.perf_counter(), time.process_time()
{script}
seconds, spent = time.perf_counter() - start, time.process_time() - spent
print(seconds, spent, (peak() - before) / 2**20, float(found[:, :6].sum()))
"""


def test_reducing_cells_larger_than_memory(cells: Path) -> None:
    """Each in a process of its own, so that the peak memory is its own; kernels and libraries are loaded before."""
    small = cells.with_name("small.parquet")
    pq.write_table(pq.ParquetFile(cells).read_row_group(0).slice(0, 1000), small)
    print(
        f"\n{CELLS:,} cells × {len(MARKERS)} markers, {cells.stat().st_size / 2**30:.1f} GB of Parquet, 1,000 subjects"
    )
    sums: dict[str, list[float]] = {"mean": [], "median": []}
    for name, script in SCRIPTS.items():
        if name.startswith("Polars") and find_spec("polars") is None:
            continue
        code = FRAME.format(here=str(Path(__file__).parent), file=str(cells), small=str(small), script=script)
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        seconds, spent, gigabytes, total = map(float, done.stdout.split()[-4:])  # DuckDB may draw a bar before
        sums["median" if "median" in name else "mean"].append(total)
        print(f"{name:34} {seconds:7.1f} s  {spent:7.1f} s of CPU  {gigabytes:5.2f} GB above the imports")
        assert "reduce_table" not in name or gigabytes < 4
    for found in sums.values():
        np.testing.assert_allclose(found, found[0], rtol=1e-4)  # pandas and DuckDB average float32 less exactly
