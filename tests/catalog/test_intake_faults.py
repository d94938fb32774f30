"""Each fault of Intake 2.0.9 that would give wrong data or leak: shown where it is Intake's, and absent from ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import intake
import pytest
import yaml
from typer.testing import CliRunner

from integrate.catalog.open import Catalog, open_catalog
from integrate.catalog.write import catalog_text, format_catalog
from integrate.cli import app
from integrate.errors import CatalogError, ParameterError, UnsafeCatalogError
from integrate.readers.table import Table

Writer = Callable[[str], Path]


@pytest.fixture
def plain(catalog: Catalog) -> intake.Catalog:
    """The toy catalog in full form, opened by plain Intake."""
    full = catalog.path.with_name("full.yaml")
    full.write_text(format_catalog(catalog.path))
    return intake.open_catalog(str(full))


def test_full_form_is_read_by_plain_intake_as_by_us(plain: intake.Catalog, catalog: Catalog) -> None:
    assert sorted(plain) == sorted(catalog)
    assert plain["clinical"].read().equals(catalog.load("clinical"))
    assert plain(field="f2_p2")["fields"].read().equals(catalog.load("fields", field="f2_p2"))


def test_wrong_parameter_never_gives_the_default_item(plain: intake.Catalog, catalog: Catalog) -> None:
    with pytest.raises(ParameterError, match="no option 'field'"):  # Intake alone would return f1_p1
        plain["fields"](field="f2_p2")
    with pytest.raises(ParameterError, match="no option 'feild'"):
        plain["fields"].read(feild="f2_p2")
    with pytest.raises(ParameterError, match="no parameter 'feild'"):
        catalog.load("fields", feild="f2_p2")


def test_metadata_is_searched_and_hits_are_read(catalog: Catalog) -> None:
    assert set(catalog.search(licence="CC0-1.0")) == {"fields", "clinical", "files"}
    assert len(catalog.search("people").load("clinical")) == 2


def test_short_form_lists_its_datasets(catalog: Catalog) -> None:
    assert "aliases" not in yaml.safe_load(catalog.path.read_text())
    assert list(catalog) == ["fields", "clinical", "files"]


def test_written_catalog_keeps_its_validation(catalog: Catalog) -> None:
    written = yaml.safe_load(format_catalog(catalog.path))
    assert written["entries"]["fields"]["user_parameters"]["field"] == {
        "cls": "intake.readers.user_parameters:OptionsUserParameter",
        "dtype": "str",
        "default": "f1_p1",
        "options": ["f1_p1", "f2_p2"],
    }
    again = catalog.path.with_name("again.yaml")
    again.write_text(format_catalog(catalog.path))
    assert format_catalog(again) == format_catalog(catalog.path)
    with pytest.raises(ParameterError, match="closest: 'f2_p2'"):
        open_catalog(again).load("fields", field="f1_p2")


@pytest.mark.parametrize(
    ("kwargs", "place"),
    [
        ({"url": "s3://b/a.csv", "storage_options": {"key": "AKIA", "secret": "hush"}}, "storage_options.key"),
        ({"url": "https://me:hush@host/a.csv"}, "kwargs.url"),
        ({"url": "https://host/a.csv?X-Amz-Signature=hush"}, "kwargs.url"),
        ({"url": "/srv/hush.csv"}, "kwargs.url"),
    ],
)
def test_secret_or_absolute_path_is_never_written(kwargs: dict[str, object], place: str) -> None:
    document = {"version": 2, "entries": {"x": {"reader": "Table", "kwargs": kwargs}}}
    with pytest.raises(UnsafeCatalogError, match=place) as caught:
        catalog_text(document, where="x.yaml")
    assert "hush" not in str(caught.value)


def test_where_a_catalog_was_opened_is_not_written() -> None:
    document = {
        "version": 2,
        "user_parameters": {"STORAGE_OPTIONS": {"secret": "hush"}, "CATALOG_DIR": "/me"},
        "entries": {},
    }
    assert yaml.safe_load(catalog_text(document, where="x.yaml"))["user_parameters"] == {}


@pytest.mark.parametrize("url", ["None/data.csv", "None", "{missing}/a.csv"])
def test_location_without_its_value_is_refused(url: str) -> None:
    with pytest.raises(CatalogError, match="template without value"):
        Table(url=url)


def test_unknown_attribute_is_no_pipeline(plain: intake.Catalog) -> None:
    reader = plain["clinical"]
    assert not hasattr(reader, "to_dask")
    with pytest.raises(AttributeError, match="Table has no attribute 'describ'"):
        reader.describ  # noqa: B018 (looking is the point)


def test_reader_called_again_keeps_its_metadata(plain: intake.Catalog) -> None:
    assert plain["clinical"](separator=",").metadata["description"] == "people"


def test_dataset_named_twice_is_refused(write_catalog: Writer, text: str) -> None:
    with pytest.raises(CatalogError, match="the key 'clinical' appears twice"):
        open_catalog(write_catalog(text + "  clinical: {reader: Table}\n"))


def test_argument_with_the_name_of_a_parameter_is_refused(write_catalog: Writer, text: str) -> None:
    clash = text.replace('kwargs: {url: "{CATALOG_DIR}/{field}"', 'kwargs: {field: x, url: "{CATALOG_DIR}/{field}"')
    with pytest.raises(UnsafeCatalogError, match="Intake would swallow it"):
        open_catalog(write_catalog(clash))


def test_command_line_formats_in_place(catalog: Catalog) -> None:
    shown = CliRunner().invoke(app, ["catalog", "fmt", str(catalog.path)])
    assert CliRunner().invoke(app, ["catalog", "fmt", "-w", str(catalog.path)]).exit_code == 0
    assert catalog.path.read_text() == shown.stdout
    assert CliRunner().invoke(app, ["catalog", "fmt", "no.yaml"]).exit_code == 1
