"""The witness: real libraries open real files, and each file is in the record."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integrate.report.openers import OPENERS
from integrate.report.run import run_report
from integrate.report.verify import verify_report

#: One way to make a small file and one to read it, for each way into a library that opens files in C.
WAYS = {
    "h5py": ("h5py.File(path, 'w').close()", "h5py.File(path).close()"),
    "anndata": ("anndata.AnnData(numpy.ones((2, 2))).write_h5ad(path)", "anndata.read_h5ad(path)"),
    "pandas": ("pandas.DataFrame({'a': [1]}).to_parquet(path)", "pandas.read_parquet(path)"),
    "pyarrow.feather": ("pandas.DataFrame({'a': [1]}).to_feather(path)", "pandas.read_feather(path)"),
    "pyarrow.dataset": ("pandas.DataFrame({'a': [1]}).to_parquet(path)", "pyarrow.dataset.dataset(path).to_table()"),
    "duckdb": ("open(path, 'w').write('a\\n1\\n')", "duckdb.sql(f\"SELECT * FROM read_csv('{path}')\").fetchall()"),
    "duckdb.connection": (
        "open(path, 'w').write('a\\n1\\n')",
        "duckdb.connect().execute('SELECT * FROM read_csv(?)', [path]).fetchall()",
    ),
    "pyreadstat": ("pyreadstat.write_sav(pandas.DataFrame({'a': [1.0]}), path)", "pyreadstat.read_sav(path)"),
    "SimpleITK": (
        "SimpleITK.WriteImage(SimpleITK.Image(2, 2, SimpleITK.sitkUInt8), path)",
        "SimpleITK.ReadImage(path)",
    ),
    "cv2": ("cv2.imwrite(path, numpy.ones((2, 2), numpy.uint8))", "cv2.imread(path)"),
    "openslide": (
        "tifffile.imwrite(path, numpy.zeros((512, 512, 3), 'uint8'), tile=(256, 256))",
        "openslide.OpenSlide(path).close()",
    ),
    "geopandas": (
        "geopandas.GeoDataFrame({'a': [1]}, geometry=[shapely.Point(0, 0)], crs=4326).to_file(path)",
        "geopandas.read_file(path)",
    ),
    "sqlite3": (
        "sqlite3.connect(path).execute('CREATE TABLE a (b)')",
        "sqlite3.connect(path).execute('SELECT * FROM a')",
    ),
    "subprocess": ("open(path, 'w').write('a')", "subprocess.run(['cat', path], capture_output=True)"),
}  # fmt: skip
ENDINGS = {
    "pandas": "parquet", "SimpleITK": "nrrd", "cv2": "png", "geopandas": "gpkg", "pyreadstat": "sav",
    "anndata": "h5ad", "h5py": "h5",
}  # fmt: skip
PROGRAM = """
import sys
from pathlib import Path
from integrate.report.witness import watch
watch(Path(sys.argv[1]))
import pandas, numpy, subprocess, sqlite3
for name, path, read in {reads!r}:
    exec(f"import {{name}}") if name != "duckdb.connection" else None
    exec(read)
"""


@pytest.mark.slow
def test_every_way_to_open_a_file_in_c_is_seen(tmp_path: Path) -> None:
    import anndata, cv2, duckdb, geopandas, h5py, numpy, pandas, pyreadstat, shapely, SimpleITK, sqlite3, tifffile  # noqa: E401, F401, I001

    reads = []
    for number, (name, (write, read)) in enumerate(WAYS.items()):
        path = str(tmp_path / f"{number}.{ENDINGS.get(name, 'bin')}")
        exec(write, {**globals(), **locals()})
        reads.append((name, path, read))
    record = tmp_path / "record.jsonl"
    subprocess.run([sys.executable, "-c", PROGRAM.format(reads=reads), str(record)], check=True)
    seen = {json.loads(line)["path"] for line in record.read_text().splitlines()}
    assert {name for name, path, _ in reads if path not in seen} == set()


def test_every_opener_of_an_installed_library_exists() -> None:
    import importlib

    for name, openers in OPENERS.items():
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for opener in openers:
            holder: Any = module
            for part in opener.split("."):
                holder = getattr(holder, part, None)
            assert holder is not None, f"{name}.{opener}"


def test_an_hdf5_file_opened_past_the_catalogs_is_a_cause_and_ends_a_reuse(
    tmp_path: Path, write_notebook: Any, fixed_versions: Any
) -> None:
    import h5py

    file = tmp_path / "counts.h5"
    code = f"import h5py\nwith h5py.File({str(file)!r}) as file:\n    print('sum', file['x'][:].sum())"
    notebook = write_notebook(tmp_path / "n.ipynb", code)

    def write(*values: int) -> None:
        with h5py.File(file, "w") as stream:
            stream["x"] = values

    write(1, 2)
    run_report(notebook, tmp_path / "out", progress=False)
    assert run_report(notebook, tmp_path / "out", progress=False).reused
    write(1, 3)
    found = verify_report(tmp_path / "out", progress=False)
    assert [(cause.kind, cause.name) for cause in found.causes] == [("data", "file counts.h5")]
    assert [one.told for one in found.differences] == ["1 of 1 numbers differ, as 3 → 4"]
    assert run_report(notebook, tmp_path / "out", progress=False).reasons == ("counts.h5 has changed",)


def test_a_watched_function_pickles_by_its_name_and_a_class_stays_a_class() -> None:
    program = (
        "import pickle\nfrom integrate.report.openers import watch_openers\nwatch_openers(print)\n"
        "import pyarrow.parquet as pq\nassert pickle.loads(pickle.dumps(pq.read_table)) is pq.read_table\n"
        "assert isinstance(pq.ParquetFile, type)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("named", ["a.csv", "sub/*.csv", "sub", "SELECT split('a/b', '/') FROM 'sub/b.csv'"])
def test_files_are_found_in_what_a_function_is_given(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrate.report.openers import named_files

    (tmp_path / "sub").mkdir()
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "sub" / "b.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    expected = tmp_path / ("a.csv" if named == "a.csv" else "sub/b.csv")
    assert list(named_files([named, None, 3, [1.5]])) == [str(expected)]
    assert list(named_files([[named], "sub", "/"])) == [str(expected)]
    assert list(named_files(["SELECT '/', '*', '.'", "a.csv"])) == [str(tmp_path / "a.csv")]
