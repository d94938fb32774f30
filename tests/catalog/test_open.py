"""A catalog gives what was asked for, or says what is wrong; it never gives another subject's data."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from integrate.catalog.check import check_catalog
from integrate.catalog.open import Catalog, open_catalog, shipped_catalogs
from integrate.errors import CatalogError, DataError, DatasetNotFoundError, ParameterError, SourceNotFoundError
from integrate.model.assemble import open_study

Writer = Callable[[str], Path]


def test_catalog_lists_its_datasets(catalog: Catalog) -> None:
    assert list(catalog) == ["fields", "clinical", "files"]
    assert catalog._ipython_key_completions_() == list(catalog)
    assert catalog.table()["items"].tolist() == [2, 1, 2]


def test_load_gives_the_named_item(catalog: Catalog, folder: Path) -> None:
    image = catalog.load("fields", field="f2_p2")
    assert image.attrs["integrate"]["ids"] == {"folder": "f2_p2"}
    np.testing.assert_array_equal(image.sel(c="CD3"), tifffile.imread(folder / "f2_p2" / "CD3.tif"))


def test_unknown_dataset_names_the_closest(catalog: Catalog) -> None:
    with pytest.raises(DatasetNotFoundError, match="closest: 'clinical'"):
        catalog["clincal"]


def test_no_item_is_the_default(catalog: Catalog) -> None:
    with pytest.raises(ParameterError, match="needs field="):
        catalog.load("fields")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"feld": "f1_p1"}, "no parameter 'feld'; closest: 'field'"),
        ({"field": "f1_p2"}, "no field 'f1_p2'; closest: 'f2_p2'"),
        ({"field": 1}, "ids are text"),
        ({"field": "f1_p1", "subject": "p2"}, "no parameter 'subject'"),
    ],
)
def test_wrong_parameter_is_refused(catalog: Catalog, given: dict[str, str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        catalog.load("fields", **given)


def test_wrong_catalog_parameter_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ParameterError, match="no parameter 'subject'"):
        catalog(subject="p1")


def test_asset_table_opens_one_row_by_key(catalog: Catalog, folder: Path) -> None:
    image = catalog.load("files", acquisition_id="02")
    np.testing.assert_array_equal(image.sel(c="DNA"), tifffile.imread(folder / "f2_p2" / "DNA.tif"))
    assert catalog["files"].items()["item"].tolist() == ["01", "02"]
    with pytest.raises(ParameterError, match="no acquisition_id '2'"):
        catalog.load("files", acquisition_id="2")


def test_asset_table_with_a_repeated_key_is_refused(catalog: Catalog, folder: Path) -> None:
    with (folder / "assets.csv").open("a") as table:
        table.write("01,IF,f1_p1,f1_p1,\n")
    with pytest.raises(CatalogError, match="acquisition_id repeats in the asset table: '01'"):
        catalog["files"].items()


def test_table_keeps_ids_as_text_and_missing_as_missing(catalog: Catalog) -> None:
    table = catalog.load("clinical")
    assert table["id"].tolist() == ["p1", "p2"]
    assert np.isnan(table["age"].iloc[1])
    assert table["sex"].dtype == "category"


def test_table_lists_every_fault_at_once(catalog: Catalog, folder: Path) -> None:
    (folder / "clinical.csv").write_text("id,age,sex\np1,-3,X\np2,old,M\n")
    with pytest.raises(DataError, match=r"(?s)4 faults.*'area'.*'old'.*below 0.*outside its levels"):
        catalog.load("clinical")


def test_missing_file_names_what_lies_beside(catalog: Catalog, folder: Path) -> None:
    (folder / "clinical.csv").rename(folder / "clinic.csv")
    with pytest.raises(SourceNotFoundError, match=r"closest: 'clinic\.csv'"):
        catalog.load("clinical")


def test_missing_channel_is_named(catalog: Catalog, folder: Path) -> None:
    (folder / "f1_p1" / "CD3.tif").unlink()
    with pytest.raises(SourceNotFoundError, match="1 of 2 channels are not in folder 'f1_p1': 'CD3'"):
        catalog.load("fields", field="f1_p1")


def test_changed_bytes_are_refused(write_catalog: Writer, text: str) -> None:
    line = 'url: "{CATALOG_DIR}/clinical.csv"'
    changed = open_catalog(write_catalog(text.replace(line, line + f'\n      verify: {{hash: "sha256:{"0" * 64}"}}')))
    with pytest.raises(DataError, match=r"sha256 of clinical\.csv"):
        changed.load("clinical")


def test_study_links_fields_to_people(catalog: Catalog) -> None:
    study = open_study(catalog)
    rows = study.sample_map[study.sample_map["assay"] == "fields"]
    assert dict(zip(rows["acquisition_id"], rows["subject_id"], strict=True)) == {"1": "p1", "2": "p2"}
    assert study.rows("files")["day"].tolist()[0] == 12
    assert study.audit.ok


def test_a_day_that_is_a_date_is_said_not_silently_missing(catalog: Catalog, folder: Path) -> None:
    table = folder / "assets.csv"
    table.write_text(table.read_text().replace("f1_p1,12", "f1_p1,2021-03-06"))
    study = open_study(catalog)
    assert study.rows("files")["day"].isna().all()
    found = [finding for finding in study.audit.findings if finding.check == "unreadable day"]
    assert [finding.ids for finding in found] == [("2021-03-06",)]


def test_check_reports_a_missing_folder_once(catalog: Catalog, folder: Path) -> None:
    assert check_catalog(catalog, deep=True).ok
    (folder / "f1_p1").rename(folder / "gone")
    errors = check_catalog(catalog).errors
    assert [(finding.source, len(finding.ids)) for finding in errors] == [("fields", 1), ("files", 1)]


def test_catalog_and_entry_pickle(catalog: Catalog) -> None:
    again = pickle.loads(pickle.dumps(catalog))
    assert again.load("fields", field="f1_p1").shape == (2, 16, 20)
    assert pickle.loads(pickle.dumps(catalog["fields"])).name == "fields"


def test_repr_html_escapes_what_a_catalog_says(write_catalog: Writer, text: str) -> None:
    hostile = open_catalog(write_catalog(text.replace("description: people", 'description: "<script>x</script>"')))
    assert "<script>" not in hostile._repr_html_()
    assert "<script>" not in hostile["clinical"]._repr_html_()


def test_data_root_is_needed_and_said(test_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTEGRATE_DATA", raising=False)
    with pytest.raises(ParameterError, match="give data_root="):
        open_catalog("dcis").load("clinical")
    root = test_data("dcis-mibi").parent
    assert len(open_catalog("dcis", data_root=str(root)).load("clinical")) == 27


def test_unknown_catalog_names_shipped_ones() -> None:
    assert {"demo", "dcis"} <= set(shipped_catalogs())
    with pytest.raises(SourceNotFoundError, match="closest: 'dcis'"):
        open_catalog("dcsi")


def test_plain_intake_reads_every_shipped_catalog() -> None:
    import intake

    for path in shipped_catalogs().values():
        assert sorted(intake.open_catalog(str(path))) == sorted(open_catalog(path))


def test_plain_intake_reads_the_same_data(test_data: Callable[[str], Path]) -> None:
    root = str(test_data("dcis-mibi").parent)
    plain = open_catalog("dcis", data_root=root).to_intake()
    assert plain["clinical"].read().equals(open_catalog("dcis", data_root=root).load("clinical"))
    assert plain(field="Point2313_pt1094_20702")["mibi"].read().shape == (41, 1024, 1024)
