"""What an export says is true of every file, opens in the standards' own tools, and names no machine and no secret."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from integrate.catalog.export import export_catalog
from integrate.catalog.open import Catalog, open_catalog
from integrate.cli import app
from integrate.errors import CatalogError, ParameterError, SourceNotFoundError
from integrate.model.provenance import hash_file

Writer = Callable[[str], Path]

FAIR = """
  doi: "doi:10.5281/zenodo.123"
  source: https://example.org/study
  access: registered
  consent: DUO:0000042
  authors: [Ada Lovelace, Grace Hopper]
  terms: {organism: "NCBITaxon:9606"}
"""
REMOTE = """
  far:
    reader: Table
    kwargs: {url: "https://example.org/far.csv", verify: {hash: "sha256:%s", bytes: 7}}
    metadata: {description: far away, modality: clinical, level: subject, licence: MIT}
""" % ("ab" * 32)  # fmt: skip


@pytest.fixture
def fair(write_catalog: Writer, text: str) -> Catalog:
    return open_catalog(write_catalog(text.replace("  licence: CC0-1.0\n", f"  licence: CC0-1.0{FAIR}") + REMOTE))


def exported(catalog: Catalog, to: Any) -> Any:
    return json.loads(export_catalog(catalog, to=to, date="2026-01-02").path.read_text())


def test_a_package_states_every_file_truly(fair: Catalog, folder: Path) -> None:
    package = exported(fair, "frictionless")
    local = [one for one in package["resources"] if "://" not in one["path"]]
    assert sorted(one["path"] for one in local) == [
        "assets.csv",
        "clinical.csv",
        *(f"{field}/{channel}.tif" for field in ("f1_p1", "f2_p2") for channel in ("CD3", "DNA")),
    ]
    for one in local:
        path = folder / one["path"]
        assert (one["bytes"], one["hash"]) == (path.stat().st_size, f"sha256:{hash_file(path)}")
    far = next(one for one in package["resources"] if "://" in one["path"])
    assert (far["path"], far["bytes"], far["hash"]) == ("https://example.org/far.csv", 7, f"sha256:{'ab' * 32}")
    assert far["licenses"][0]["name"] == "MIT"
    assert next(one["datasets"] for one in local if one["path"] == "f1_p1/DNA.tif") == ["fields", "files"]
    assert len({one["name"] for one in package["resources"]}) == len(package["resources"])
    assert all(re.fullmatch(r"[a-z0-9._-]+", one["name"]) for one in package["resources"])


def test_a_package_carries_the_codebook_and_where_it_is_from(fair: Catalog) -> None:
    package = exported(fair, "frictionless")
    table = next(one for one in package["resources"] if one["path"] == "clinical.csv")
    assert table["schema"]["fields"] == [
        {"name": "id", "type": "string", "namespace": "subject_id"},
        {"name": "age", "type": "number", "unit": "a", "constraints": {"minimum": 0}},
        {"name": "sex", "type": "string", "constraints": {"enum": ["F", "M"]}},
        {"name": "area", "type": "string", "unit": "{counts}"},
    ]
    assert package["licenses"] == [{"name": "CC0-1.0", "path": "https://spdx.org/licenses/CC0-1.0", "title": "CC0-1.0"}]
    assert [one["path"] for one in package["sources"]] == [
        "https://doi.org/10.5281/zenodo.123",
        "https://example.org/study",
    ]
    assert (package["access"], package["consent"], package["terms"]) == (
        "registered",
        "DUO:0000042",
        {"organism": "NCBITaxon:9606"},
    )


def test_a_crate_is_whole_and_states_every_file_truly(fair: Catalog, folder: Path) -> None:
    from rocrate.rocrate import ROCrate

    graph = exported(fair, "ro-crate")["@graph"]
    entities = {one["@id"]: one for one in graph}
    assert len(entities) == len(graph)
    assert {ref for one in graph for ref in references(one)} <= set(entities) | {"https://w3id.org/ro/crate/1.1"}
    root = entities["./"]
    assert (root["name"], root["datePublished"], root["license"]["@id"]) == (
        "toy",
        "2026-01-02",
        "https://spdx.org/licenses/CC0-1.0",
    )
    for one in graph:
        if one["@type"] == "File" and "://" not in one["@id"]:
            path = folder / unquote(one["@id"])
            assert (one["contentSize"], one["sha256"]) == (str(path.stat().st_size), hash_file(path))
    assert entities["#clinical"]["variableMeasured"][0] == {"@id": "#clinical/age"}
    assert entities["#clinical/age"]["unitCode"] == "a"
    assert entities["#clinical/sex"]["valueReference"] == ["F", "M"]
    assert entities["https://identifiers.org/NCBITaxon:9606"]["termCode"] == "NCBITaxon:9606"
    assert "https://doi.org/10.5281/zenodo.123" in {one["@id"] for one in root["citation"]}
    assert [entities[one["@id"]]["name"] for one in root["author"]] == ["Ada Lovelace", "Grace Hopper"]
    assert ROCrate(str(folder)).root_dataset["name"] == "toy"  # the reference library reads it


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["@id"]] if set(value) == {"@id"} else []
        return here + [ref for item in value.values() for ref in references(item)]
    return [ref for item in value for ref in references(item)] if isinstance(value, list) else []


@pytest.mark.parametrize("to", ["ro-crate", "frictionless"])
def test_no_path_of_this_machine_and_no_secret_is_written(
    write_catalog: Writer, text: str, tmp_path: Path, to: Any
) -> None:
    signed = REMOTE.replace(
        "https://example.org/far.csv", "https://me:hunter2@example.org/far.csv?X-Amz-Signature=s3cr"
    )
    catalog = open_catalog(write_catalog(text + signed))
    written = export_catalog(catalog, to=to).path.read_text()
    for secret in (str(tmp_path), str(Path.home()), "hunter2", "s3cr"):
        assert secret not in written
    assert "https://example.org/far.csv" in written


@pytest.mark.parametrize("to", ["ro-crate", "frictionless"])
def test_the_same_catalog_is_exported_to_the_same_bytes(fair: Catalog, to: Any) -> None:
    first = export_catalog(fair, to=to, date="2026-01-02").path.read_bytes()
    again = export_catalog(fair, to=to, date="2026-01-02", overwrite=True).path.read_bytes()
    assert first == again


def test_what_cannot_be_exported_is_refused(fair: Catalog, folder: Path, tmp_path_factory: Any) -> None:
    with pytest.raises(ParameterError, match=r"no export to 'bagit'"):
        export_catalog(fair, to="bagit")  # type: ignore[arg-type]
    with pytest.raises(CatalogError, match="6 files lie outside of"):
        export_catalog(fair, to="ro-crate", folder=tmp_path_factory.mktemp("elsewhere"))
    export_catalog(fair, to="ro-crate")
    with pytest.raises(CatalogError, match="already; move it, or give overwrite"):
        export_catalog(fair, to="ro-crate")
    (folder / "clinical.csv").unlink()
    with pytest.raises(SourceNotFoundError, match="not exported, 1 datasets are not whole"):
        export_catalog(fair, to="frictionless")


def test_command_line_exports(catalog: Catalog, folder: Path) -> None:
    done = CliRunner().invoke(app, ["catalog", "export", str(catalog.path), "--to", "frictionless"])
    assert done.exit_code == 0, done.output
    assert "datapackage.json (3 datasets, 6 files)" in done.output


@pytest.mark.skipif(shutil.which("frictionless") is None, reason="needs the frictionless command")
def test_frictionless_itself_finds_nothing_wrong(catalog: Catalog, folder: Path) -> None:
    exported(catalog, "frictionless")
    run = ["frictionless", "validate", "datapackage.json", "--json"]
    told = json.loads(subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False).stdout)
    assert (told["valid"], told["stats"]["errors"]) == (True, 0)
    (folder / "clinical.csv").write_text("id,age,sex,area\np1,-1,X,3\n")
    told = json.loads(subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False).stdout)
    assert not told["valid"]
