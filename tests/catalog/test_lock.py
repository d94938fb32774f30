"""A lock knows every byte: what it wrote sha256sum confirms, and what changed since does not load."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import intake
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from integrate.catalog.check import check_catalog
from integrate.catalog.lock import Manifest, lock_catalog, open_manifest
from integrate.catalog.open import Catalog, open_catalog
from integrate.catalog.write import format_catalog
from integrate.cli import app
from integrate.errors import CatalogError, DataError, SourceNotFoundError, UnsafeCatalogError
from integrate.model.provenance import hash_file

Writer = Callable[[str], Path]


def test_sha256sum_confirms_the_lock(catalog: Catalog, folder: Path) -> None:
    written = lock_catalog(catalog)
    assert written == {"CATALOG_DIR": folder / "catalog.sha256"}
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "catalog.sha256"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert checked.stdout.count(": OK") == 6  # 2 × 2 channels, 2 tables


@pytest.mark.parametrize("change", ["bytes", "one more", "one less"])
def test_changed_item_does_not_load(catalog: Catalog, folder: Path, change: str) -> None:
    lock_catalog(catalog)
    assert catalog.load("fields", field="f1_p1").shape == (2, 16, 20)
    if change == "bytes":
        content = bytearray((folder / "f1_p1" / "CD3.tif").read_bytes())
        content[-1] ^= 1
        (folder / "f1_p1" / "CD3.tif").write_bytes(content)
    elif change == "one more":
        (folder / "f1_p1" / "CD4.tif").write_bytes(b"x")
    else:
        (folder / "f1_p1" / "CD3.tif").unlink()
    with pytest.raises(DataError, match="sha256 of f1_p1"):
        catalog.load("fields", field="f1_p1")
    assert catalog.load("fields", field="f2_p2").shape == (2, 16, 20)
    changed = [f for f in check_catalog(catalog, hashes=True).errors if f.check == "changed"]
    assert [(f.source, f.ids) for f in changed] == [("fields", ("field=f1_p1",)), ("files", ("01",))]


def test_changed_asset_table_is_refused(catalog: Catalog, folder: Path) -> None:
    lock_catalog(catalog)
    with (folder / "assets.csv").open("a") as table:
        table.write("04,IF,f1_p1,f1_p1,\n")
    with pytest.raises(DataError, match=r"sha256 of assets\.csv"):
        catalog.load("files", acquisition_id="01")


def test_nothing_is_locked_when_something_is_missing(catalog: Catalog, folder: Path) -> None:
    (folder / "clinical.csv").unlink()
    with pytest.raises(SourceNotFoundError, match="nothing is locked, 1 datasets are not whole"):
        lock_catalog(catalog)
    assert not (folder / "catalog.sha256").exists()


def test_data_root_has_a_manifest_of_its_own(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    here = tmp_path_factory.mktemp("catalogs") / "study.yaml"
    here.write_text(
        'version: 2\nuser_parameters:\n  root: {cls: "integrate.catalog.parameters:DataRoot"}\n'
        'entries:\n  people: {reader: Table, kwargs: {url: "{root}/clinical.csv"}}\n'
    )
    catalog = open_catalog(here, root=str(folder))
    assert list(lock_catalog(catalog).values()) == [here.parent / "study.root.sha256"]
    assert catalog.table()["integrity"].tolist() == ["lock"]
    (folder / "clinical.csv").write_text("id,age\np1,1\n")
    with pytest.raises(DataError, match=r"sha256 of clinical\.csv"):
        catalog.load("people")


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00/"), min_size=1, max_size=12).filter(
            lambda name: name not in (".", "..") and len(name.encode()) < 200
        ),
        st.binary(max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_any_file_name_survives_a_manifest(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    folder = tmp_path_factory.mktemp("names")
    for name, content in files.items():
        (folder / "d" / name).parent.mkdir(exist_ok=True)
        (folder / "d" / name).write_bytes(content)
    Manifest({f"d/{name}": hash_file(folder / "d" / name) for name in files}).write(folder / "m.sha256")
    again = open_manifest(folder / "m.sha256")
    assert again is not None
    assert again.expected("d") == hash_file(folder / "d")
    subprocess.run(["sha256sum", "-c", "--strict", "--status", "m.sha256"], cwd=folder, check=True)


def test_manifest_that_is_none_is_refused(catalog: Catalog, folder: Path) -> None:
    lock_catalog(catalog)
    with (folder / "catalog.sha256").open("a") as lines:
        lines.write("abc  clinical.csv\n")
    with pytest.raises(CatalogError, match=r"line 7 of catalog\.sha256"):
        catalog.load("clinical")


def test_a_manifest_that_an_entry_names_is_heeded(write_catalog: Writer, folder: Path) -> None:
    """As ``sha256sum`` writes it, for a file and for a folder; plain Intake heeds it too."""
    files = ["clinical.csv", *(f"f1_p1/{name}.tif" for name in ("CD3", "DNA"))]
    listed = subprocess.run(["sha256sum", *files], cwd=folder, capture_output=True, text=True, check=True).stdout
    (folder / "MANIFEST").write_text(listed)

    def entry(name: str, reader: str, url: str, manifest: str) -> str:
        verify = f"verify: {{manifest: '{{CATALOG_DIR}}/{manifest}'}}"
        return f"  {name}: {{reader: {reader}, kwargs: {{url: '{{CATALOG_DIR}}/{url}', {verify}}}}}\n"

    text = "version: 2\nentries:\n" + entry("people", "Table", "clinical.csv", "MANIFEST")
    text += entry("image", "ChannelFolder", "f1_p1", "MANIFEST") + entry("other", "Table", "assets.csv", "MANIFEST")
    text += entry("gone", "Table", "clinical.csv", "NONE")
    catalog = open_catalog(write_catalog(text))
    assert catalog["people"].integrity == "sha256"
    assert catalog.load("people").shape == (2, 4)
    assert catalog.load("image").sizes["c"] == 2
    with pytest.raises(CatalogError, match=r"MANIFEST does not name .*assets.csv"):
        catalog.load("other")
    with pytest.raises(SourceNotFoundError, match=r"no manifest at .*NONE"):
        catalog.load("gone")
    with pytest.raises(UnsafeCatalogError, match=r"'\.\.' is not allowed"):
        open_catalog(write_catalog(text + entry("out", "Table", "clinical.csv", "../MANIFEST")))
    (folder / "clinical.csv").write_text("id,age\np1,61\n")
    (folder / "f1_p1" / "more.tif").write_bytes((folder / "f1_p1" / "DNA.tif").read_bytes())
    for name in ("people", "image"):
        with pytest.raises(DataError, match=r"sha256 of .* the catalog says"):
            catalog.load(name)
    (folder / "full.yaml").write_text(format_catalog(write_catalog(text)))
    with pytest.raises(DataError, match=r"sha256 of clinical.csv is .* the catalog says"):
        intake.open_catalog(str(folder / "full.yaml"))["people"].read()
    found = check_catalog(catalog, hashes=True).findings
    assert {one.source for one in found if one.check == "changed"} == {"people", "image", "other", "gone"}


def test_people_outside_the_spine_are_found(write_catalog: Writer, text: str, folder: Path) -> None:
    spined = text.replace("  study:\n", "  study:\n    spine: {entry: clinical, key: id}\n")
    assert check_catalog(open_catalog(write_catalog(spined)), deep=True).ok
    (folder / "clinical.csv").write_text("id,age,sex,area\np1,61,F,3\n")
    errors = check_catalog(open_catalog(write_catalog(spined)), deep=True).errors
    assert [(f.check, f.source, f.ids) for f in errors] == [
        ("unknown subject", "fields", ("p2",)),
        ("unknown subject", "files", ("p2",)),
    ]


def test_declared_pixel_size_must_be_the_files(write_catalog: Writer, text: str) -> None:
    sized = text.replace('ids: {folder: "{field}"}}', 'ids: {folder: "{field}"}, pixel_size_um: [0.5, 0.5]}')
    declared = sized.replace("description: fields, modality", "description: fields, pixel_size_um: 0.25, modality")
    with pytest.raises(DataError, match=r"states pixels of \[0\.5, 0\.5\] µm \(y, x\), the catalog says 0\.25"):
        open_catalog(write_catalog(declared)).load("fields", field="f1_p1")


def test_words_of_the_wrong_form_are_found(write_catalog: Writer, text: str) -> None:
    wrong = text.replace("licence: CC0-1.0", "licence: CC zero").replace("modality: clinical", "terms: {assay: lung}")
    found = [f.message for f in check_catalog(open_catalog(write_catalog(wrong))).findings]
    assert any("licence: 'CC zero' is not an SPDX" in message for message in found)
    assert any("terms.assay: 'lung' is not a CURIE" in message for message in found)


def test_command_line_locks_checks_and_tells_in_json(catalog: Catalog, folder: Path) -> None:
    run, path = CliRunner().invoke, str(catalog.path)
    assert run(app, ["catalog", "lock", path]).exit_code == 0
    assert run(app, ["catalog", "check", path, "--hashes"]).exit_code == 0
    (folder / "clinical.csv").write_text("id,age,sex,area\np1,1,F,1\n")
    checked = run(app, ["catalog", "check", path, "--hashes", "--json"])
    assert checked.exit_code == 1
    findings = [one for one in json.loads(checked.stdout) if one["severity"] == "error"]
    assert [(one["check"], one["source"]) for one in findings] == [("changed", "clinical")]
