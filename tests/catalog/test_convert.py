"""An Intake 1 catalog becomes one of Intake 2 where that is safe; nothing in it ever runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from integrate.catalog.convert import convert_catalog
from integrate.catalog.open import open_catalog
from integrate.cli import app
from integrate.errors import CatalogError, IntegrateError, ParameterError, UnsafeCatalogError

GOOD = """
metadata: {version: 1, licence: CC0-1.0, parameters: {who: {allowed: [f1_p1, f2_p2], default: f2_p2}}}
plugins: {source: [{module: evil_local}]}
sources:
  people:
    description: People of the study
    driver: csv
    args:
      urlpath: "{{ CATALOG_DIR }}/clinical.csv"
      csv_kwargs: {sep: ",", dtype: {id: str}}
      storage_options: {anon: true, key: SECRET}
    metadata: {modality: clinical}
  field:
    driver: intake_xarray.image.ImageSource
    args: {urlpath: "{{CATALOG_DIR}}/{{ field }}/DNA.tif"}
    parameters: {field: {type: str, default: f1_p1, allowed: [f1_p1, f2_p2], description: which}}
  shared: {driver: xarray_image, args: {urlpath: "{{CATALOG_DIR}}/{{ who }}/CD3.tif"}}
  free: {driver: csv, args: {urlpath: "{{ n }}.csv"}, parameters: {n: {type: str, default: clinical}}}
"""

LEFT = {
    "{urlpath: \"{{ shell('touch PWNED') }}\"}": "does more than name a parameter",
    '{urlpath: "{{ cycler.__init__.__globals__.os }}/x.csv"}': "does more than name a parameter",
    '{urlpath: "{% for x in y %}{% endfor %}x.csv"}': "does more than name a parameter",
    '{urlpath: "{{ CATALOG_DIR | upper }}/x.csv"}': "does more than name a parameter",
    '{urlpath: "{{ env(HOME) }}/x.csv"}': "does more than name a parameter",
    '{urlpath: "{{ CATALOG_DIR }}/{year}.csv"}': "does more than name a parameter",
    '{urlpath: "{{ other }}/x.csv"}': "names 'other', which is no parameter",
    '{urlpath: "{{ CATALOG_DIR }}/*.csv"}': "is a pattern of files",
    "{urlpath: [a.csv, b.csv]}": "several locations",
    "{}": "no location",
    "{urlpath: /etc/passwd.csv}": "a path of one machine",
    '{urlpath: "{{ CATALOG_DIR }}/../x.csv"}': "'..' is not allowed",
    "{urlpath: 'http://host/x.csv'}": "protocol 'http' is not allowed",
    "{urlpath: 'simplecache::reference://x.csv'}": "is not allowed",
    '{urlpath: "{{ CATALOG_DIR }}/x.zarr"}': "no reader of ours",
    '{urlpath: "x.csv", storage_options: 5}': "is no mapping",
}


def test_what_is_safe_opens_as_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = folder / "old.yaml", folder / "new.yaml"
    old.write_text(GOOD)
    told = convert_catalog(old)
    assert told.converted == ["people", "field", "shared", "free"]
    assert list(told.left) == ["section plugins"]
    new.write_text(told.text)
    catalog = open_catalog(new)
    assert catalog.metadata == {"name": "old", "licence": "CC0-1.0"}
    assert catalog["people"].modality == "clinical"
    assert catalog.load("people").shape == (2, 4)
    assert catalog.load("field", field="f2_p2").shape[-2:] == (16, 20)
    assert catalog(who="f1_p1").load("shared").shape[-2:] == (16, 20)
    assert catalog.load("free", n="clinical").shape == (2, 4)
    with pytest.raises(ParameterError, match="does not match"):
        catalog.load("free", n="../clinical")
    assert catalog.to_intake()["people"].read().shape == (2, 4)
    assert "SECRET" not in told.text


def test_everything_decided_or_left_out_is_said(folder: Path) -> None:
    (folder / "old.yaml").write_text(GOOD)
    notes = convert_catalog(folder / "old.yaml").notes
    assert "arguments left out: 'storage_options.key', 'csv_kwargs.dtype'" in notes["people"]
    assert any("became Tiff" in note for note in notes["field"])
    assert any("had no list of values" in note for note in notes["free"])
    assert any("is now taken from the catalog's folder" in note for note in notes["free"])


@pytest.mark.parametrize(("arguments", "reason"), LEFT.items())
def test_what_cannot_be_said_safely_is_left_out(tmp_path: Path, arguments: str, reason: str) -> None:
    (tmp_path / "old.yaml").write_text(f"sources: {{x: {{driver: csv, args: {arguments}}}}}")
    os.chdir(tmp_path)
    told = convert_catalog(tmp_path / "old.yaml")
    assert reason in told.left["x"]
    assert not told.converted
    assert os.listdir(tmp_path) == ["old.yaml"]


def test_a_default_that_asks_the_environment_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(
        'sources: {x: {driver: csv, args: {urlpath: "{{ k }}.csv"}, parameters: {k: {default: "{{ env(HOME) }}"}}}}'
    )
    assert "asks the environment" in convert_catalog(tmp_path / "old.yaml").left["x"]


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("version: 2\nentries: {}\n", CatalogError, "no Intake 1 catalog"),
        ("sources: {}\nsources: {}\n", CatalogError, "twice"),
        ("sources: !!python/object/apply:os.system [x]\n", CatalogError, "not a YAML file"),
        ("sources: " + "[" * 500 + "]" * 500, UnsafeCatalogError, "levels"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, error: type[Exception], reason: str) -> None:
    (tmp_path / "old.yaml").write_text(text)
    with pytest.raises(error, match=reason):
        convert_catalog(tmp_path / "old.yaml")


def test_the_refusal_names_the_converter(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(GOOD)
    with pytest.raises(CatalogError, match=r"`integrate catalog convert old\.yaml`"):
        open_catalog(tmp_path / "old.yaml")


def test_command_line_converts_once(folder: Path) -> None:
    (folder / "old.yaml").write_text(GOOD)
    first = CliRunner().invoke(app, ["catalog", "convert", str(folder / "old.yaml")])
    assert (first.exit_code, "left out: section plugins" in first.output) == (1, True)
    assert len(open_catalog(folder / "old.v2.yaml")) == 4
    assert CliRunner().invoke(app, ["catalog", "convert", str(folder / "old.yaml")]).exit_code == 1


WORDS = st.sampled_from(
    [
        *(
            "csv",
            "x.csv",
            "{{ CATALOG_DIR }}/a.csv",
            "{{ p }}",
            "{{ p }}.tif",
            "allowed",
            "type",
            "default",
            "int",
            "str",
        ),
        *(
            "p",
            "args",
            "urlpath",
            "driver",
            "parameters",
            "metadata",
            "csv_kwargs",
            "sep",
            "storage_options",
            "anon",
            "",
        ),
    ]
)
ANYTHING: Any = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
SOURCE = st.fixed_dictionaries(
    {},
    optional={
        "driver": ANYTHING,
        "args": st.dictionaries(WORDS, ANYTHING, max_size=4) | ANYTHING,
        "parameters": st.dictionaries(WORDS, ANYTHING, max_size=3) | ANYTHING,
        "metadata": ANYTHING,
        "description": ANYTHING,
    },
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(WORDS, SOURCE | ANYTHING, max_size=3), ANYTHING)
def test_any_catalog_is_converted_to_a_safe_one_or_refused(tmp_path: Path, sources: Any, metadata: Any) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(yaml.safe_dump({"sources": sources, "metadata": metadata}))
    try:
        told = convert_catalog(old)
    except IntegrateError:
        return
    new.write_text(told.text)
    assert sorted(open_catalog(new)) == sorted(told.converted)
    assert len(told.converted) + sum(str(name) in told.left for name in sources) == len(sources)
