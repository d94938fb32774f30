"""Speed and memory of catalogs: YAML entries against plain Intake, and an asset table of a million rows."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integrate.catalog.open import open_catalog

pytestmark = pytest.mark.benchmark

HEAD = "version: 2\nmetadata: {name: big}\nuser_parameters: {}\ndata: {}\n"
ENTRY = """  e{0}:
    reader: "integrate.readers.table:Table"
    output_instance: "pandas:DataFrame"
    user_parameters: {{}}
    kwargs: {{url: "{{CATALOG_DIR}}/t{0}.csv"}}
    metadata: {{description: table {0}, modality: clinical, level: subject}}
"""
ROWS = 1_000_000
BIG = """version: 2
metadata: {name: big}
entries:
  files:
    reader: AssetTable
    kwargs:
      url: "{CATALOG_DIR}/assets.SUFFIX"
      key: acquisition_id
      item: {reader: OmeTiff, url: "<path>", ids: {subject_id: "<subject_id>"}}
    metadata: {description: files, level: acquisition}
"""
#: Run in a process of its own, so that memory is its own.
WORK = """
import re, sys, time
import duckdb, intake, pandas, pyarrow.csv, pyarrow.parquet
from integrate.catalog.open import open_catalog
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1e3  # not the parent's
libraries, start = peak(), time.perf_counter()
catalog = open_catalog(sys.argv[1])
count = catalog["files"].count()
opened = time.perf_counter()
one = catalog["files"].reader(acquisition_id="S0500000")
first = time.perf_counter()
for number in range(0, 1_000_000, 5_000):
    catalog["files"].reader(acquisition_id=f"S{number:07d}")
item = (time.perf_counter() - first) / 200
searched = time.perf_counter()
hits = catalog.search("S0999999")
assert hits["files"].count() == 1, hits
word = time.perf_counter() - searched
searched = time.perf_counter()
hits = catalog.search(modality="SM", subject="P000123")
assert hits["files"].count() in (2, 3), hits
person = time.perf_counter() - searched
print(count, opened - start, item, libraries, peak(), word, person)
"""


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Both sides are one thread of Python, and the machine may be busy."""
    start = time.process_time()
    work()
    return time.process_time() - start


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_yaml_entries_open_faster_than_plain_intake(tmp_path: Path, count: int) -> None:
    import intake

    path = tmp_path / "big.yaml"
    aliases = "aliases: {" + ", ".join(f"e{number}: e{number}" for number in range(count)) + "}\n"
    path.write_text(HEAD + aliases + "entries:\n" + "".join(ENTRY.format(number) for number in range(count)))

    opened: dict[str, Any] = {}
    ours = cpu_seconds(lambda: opened.update(ours=open_catalog(path)))
    plain = cpu_seconds(lambda: opened.update(plain=intake.open_catalog(str(path))))
    word = f"table {count - 7}"  # stands in the metadata of one entry, where plain Intake does not look
    found: dict[str, Any] = {}
    ours_search = cpu_seconds(lambda: found.update(ours=list(opened["ours"].search(word))))
    plain_search = cpu_seconds(lambda: found.update(plain=list(opened["plain"].search(word))))
    print(
        f"\n{count:,} YAML entries, CPU: open ours {ours:.2f} s, plain Intake {plain:.2f} s ({plain / ours:.1f} times)"
    )
    hits = f"finds {len(found['ours'])}, plain {plain_search:.3f} s, finds {len(found['plain'])}"
    print(f"search of a word in the metadata: ours {ours_search:.3f} s, {hits}")
    assert found["ours"] == [f"e{count - 7}"]
    assert found["plain"] == []
    assert ours < plain
    assert ours_search < 2


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pyarrow as pa
    from pyarrow import csv, parquet

    folder = tmp_path_factory.mktemp("million")
    table = pa.table(
        {
            "acquisition_id": [f"S{number:07d}" for number in range(ROWS)],
            "subject_id": [f"P{number // 10:06d}" for number in range(ROWS)],
            "modality": [("CT", "MR", "SM", "PT")[number % 4] for number in range(ROWS)],
            "path": [f"data/P{number // 10:06d}/S{number:07d}.tif" for number in range(ROWS)],
            "sha256": [f"{number * 7919:064x}" for number in range(ROWS)],
        }
    )
    parquet.write_table(table, folder / "assets.parquet")
    csv.write_csv(table, folder / "assets.csv")
    for suffix in ("csv", "parquet"):
        (folder / f"{suffix}.yaml").write_text(BIG.replace("SUFFIX", suffix))
    return folder


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_million_rows_open_in_two_seconds(million: Path, suffix: str) -> None:
    command = [sys.executable, "-c", WORK, str(million / f"{suffix}.yaml")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    count, opened, item, libraries, peak, word, person = int(out[0]), *map(float, out[1:])
    print(
        f"\n{count:,} rows of {suffix}: open {opened:.2f} s, item {item * 1e3:.2f} ms, "
        f"search words {word:.2f} s, person {person:.2f} s, peak {peak:.0f} MB of which libraries {libraries:.0f} MB"
    )
    assert (count, max(opened, word, person) < 2, item < 0.005, peak < 500) == (ROWS, True, True, True)


REAL = """version: 2
metadata: {name: all}
entries:
  files:
    reader: AssetTable
    kwargs:
      url: "{CATALOG_DIR}/assets.parquet"
      key: item
      item: {reader: DicomSeries, url: "<path>", storage_options: {anon: true}, ids: {subject_id: "<subject_id>"}}
    metadata: {description: series, level: acquisition}
"""
REAL_WORK = """
import re, sys, time
import duckdb, intake, pandas, pyarrow.csv, pyarrow.parquet, pyarrow.compute as pc
from integrate.catalog.open import open_catalog
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1e3
uids = sys.argv[2].split()
libraries, start = peak(), time.perf_counter()
catalog = open_catalog(sys.argv[1])
count = catalog["files"].count()
opened = time.perf_counter()
catalog["files"].reader(item=uids[0])
first = time.perf_counter()
for uid in uids:
    catalog["files"].reader(item=uid)
item = (time.perf_counter() - first) / len(uids)
start_word = time.perf_counter()
words = catalog.search(uids[-1])["files"].count()
start_person = time.perf_counter()
person = catalog.search(modality="CT", subject="TCGA-17-Z015")["files"].count()
start_has = time.perf_counter()
both = catalog.search(has={"CT", "SM"})["files"]
done = time.perf_counter()
people = len(set(both.rows.column("subject_id").to_pylist()))
spent = start_person - start_word, start_has - start_person, done - start_has
print(count, opened - start, item, libraries, peak(), words, spent[0], person, spent[1], people, spent[2])
"""


def test_the_real_index_of_the_imaging_data_commons(tmp_path: Path) -> None:
    """All its series in one table; the package idc-index-data lies beside the environment."""
    import duckdb

    from integrate.catalog.idc import import_idc

    package = pytest.importorskip("idc_index_data", reason="needs idc-index-data beside the environment")
    index = Path(str(package.IDC_INDEX_PARQUET_FILEPATH))
    collections = [row[0] for row in duckdb.sql(f"SELECT DISTINCT collection_id FROM '{index}'").fetchall()]
    imported = seconds(lambda: import_idc(index, tmp_path / "idc", collections=collections))
    (tmp_path / "idc" / "all.yaml").write_text(REAL)
    assets = tmp_path / "idc" / "assets.parquet"
    uids = [row[0] for row in duckdb.sql(f"SELECT item FROM '{assets}' USING SAMPLE 200 ROWS").fetchall()]
    command = [sys.executable, "-c", REAL_WORK, str(tmp_path / "idc" / "all.yaml"), " ".join(uids)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    rows, words, person, people = (int(out[place]) for place in (0, 5, 7, 9))
    opened, item, libraries, peak, word_s, person_s, has_s = (float(out[place]) for place in (1, 2, 3, 4, 6, 8, 10))
    print(
        f"\n{rows:,} series of {len(collections)} collections, imported in {imported:.1f} s: open {opened:.2f} s, "
        f"item {item * 1e3:.2f} ms, search a UID {word_s:.2f} s, CT of one person {person_s:.2f} s ({person}), "
        f"people with CT and slides {has_s:.2f} s ({people:,}), peak {peak:.0f} MB, of which libraries {libraries:.0f}"
    )
    expected = duckdb.sql(
        f"SELECT count(*) FROM (SELECT subject_id FROM '{assets}' GROUP BY 1 "
        "HAVING bool_or(modality = 'CT') AND bool_or(modality = 'SM'))"
    ).fetchall()
    assert expected == [(people,)]
    assert (words, item < 0.005, opened < 2) == (1, True, True)


def test_files_are_hashed_as_fast_as_sha256sum(tmp_path: Path) -> None:
    from integrate.catalog.lock import hash_files

    paths = [tmp_path / f"{number}.bin" for number in range(64)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 4_000_000)
    hash_files(paths)  # into the page cache
    plain = min(seconds(lambda: subprocess.run(["sha256sum", *paths], check=True, stdout=-3)) for _ in range(3))
    ours = min(seconds(lambda: hash_files(paths)) for _ in range(3))
    print(f"\n256 MB in 64 files: ours {0.256 / ours:.2f} GB/s, sha256sum {0.256 / plain:.2f} GB/s")
    assert ours < plain / 0.8


def test_three_thousand_dicom_headers_a_second(tmp_path: Path) -> None:
    import pydicom
    from pydicom.data import get_testdata_file

    from integrate.catalog.headers import dicom_header
    from integrate.catalog.scan import scan_folder

    source = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    paths = [tmp_path / f"{number}.dcm" for number in range(3000)]
    for path in paths:
        path.write_bytes(source)
    start = time.process_time()
    headers = [dicom_header(path) for path in paths]
    ours = len(paths) / (time.process_time() - start)
    start = time.process_time()
    for path in paths[:500]:
        pydicom.dcmread(path, stop_before_pixels=True)
    plain = 500 / (time.process_time() - start)
    start = time.process_time()
    scan = scan_folder(tmp_path)
    whole = len(paths) / (time.process_time() - start)
    print(
        f"\nDICOM headers per second of one core: ours {ours:,.0f}, pydicom {plain:,.0f}; "
        f"a whole scan with its notes, grouping and catalog {whole:,.0f} files"
    )
    assert (len(headers), len(scan.rows), scan.rows[0]["files"]) == (3000, 1, 3000)
    assert min(ours, whole) > 3000
