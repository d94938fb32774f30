"""The main job, end to end: from catalog names to a report page, on the simulated study and on a real one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import integrate as ig
from integrate.datasets.demo import notebook_path, run_demo
from integrate.errors import DataError, IdentityError, SourceNotFoundError
from integrate.model.study import Study
from integrate.report.run import Report, run_report

pytestmark = pytest.mark.timeout(1200)  # the first test makes the whole study and its report

TestData = Callable[[str], Path]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("demo")
    return run_demo(folder / "report", folder=folder / "study")


def test_demo_recovers_what_was_planted(demo: tuple[Report, pd.DataFrame]) -> None:
    assert set(demo[1]["recovered"]) == {"yes"}, demo[1].to_string()
    assert len(demo[1]) == 10


def test_demo_page_has_no_warning_and_every_part(demo: tuple[Report, pd.DataFrame]) -> None:
    assert demo[0].warnings == ()
    assert_page_is_whole(demo[0].page, name="demo")


def test_readme_code_prints_what_the_readme_shows(
    demo: tuple[Report, pd.DataFrame], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", (repository / "README.md").read_text("utf-8"), re.DOTALL)[
        :2
    ]
    standing = tmp_path / ".cache" / "integrate" / "demo"  # where simulate_study() writes, already there
    standing.parent.mkdir(parents=True)
    standing.symlink_to(demo[0].parameters["data_root"])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("INTEGRATE_DEMO", demo[0].parameters["data_root"])
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == printed


#: Every notebook, with what its page must show; 01 is run by `make demo`.
NOTEBOOKS = {
    "02_catalog_and_study": ("Search", "Dataset · clinical", "Audit · demo", "SpatialData object"),
    "04_cells_and_survival": ("cells in 27 sections", "Alignment · demo", "cells/CD8_positive", "log-rank"),
    "05_spots_and_cells": ("Registration", "CD8A × CD8_mean", "cells lie in a spot", "206 genes, 22 spots"),
    "06_one_patient": ("Among the others", "CD8_mean", "sim001_s1"),
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_notebook_runs_on_the_simulated_study_without_a_warning(
    name: str, demo: tuple[Report, pd.DataFrame], tmp_path: Path
) -> None:
    root = demo[0].parameters["data_root"]
    report = run_report(notebook_path(name), tmp_path / name, parameters={"data_root": root}, progress=False)
    page = report.page.read_text(encoding="utf-8")
    assert report.warnings == ()
    assert [part for part in NOTEBOOKS[name] if part not in page] == []
    assert "data:image/webp;base64," in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["01_first_study", "03_radiomics", *NOTEBOOKS])
def test_two_executions_of_a_notebook_are_byte_identical(
    name: str, demo: tuple[Report, pd.DataFrame], tmp_path: Path
) -> None:
    given = {"data_root": demo[0].parameters["data_root"]}
    one, two = (run_report(notebook_path(name), tmp_path / n, parameters=given, progress=False) for n in ("a", "b/c"))
    assert one.page.read_bytes() == two.page.read_bytes()
    assert one.notebook.read_bytes() == two.notebook.read_bytes()
    assert one.warnings == ()
    assert one.seconds < 120


#: Notebook and public catalog, the folder its data lie in, and what the page must show.
REAL = {
    ("02_catalog_and_study", "dcis"): ("dcis-mibi", ("Audit · dcis", "Study · dcis", "SpatialData object")),
    ("02_catalog_and_study", "lgg"): ("lgg-mri", ("Audit · lgg", "Study · lgg", "SpatialData object")),
    ("02_catalog_and_study", "miniacc"): ("miniacc-multiomics", ("Audit · miniacc", "Study · miniacc")),
    ("04_cells_and_survival", "dcis"): ("dcis-mibi", ("cells in 27 sections", "17 units, 8 events", "log-rank")),
    ("05_spots_and_cells", "mouse_visium"): ("visium-cytassist-mouse", ("1088 genes, 2,898 spots", "stays open")),
    ("06_one_patient", "dcis"): ("dcis-mibi", ("Among the others", "HER2_mean", "Provenance · AnnData")),
    ("06_one_patient", "lgg"): ("lgg-mri", ("Among the others", "TCGA-", "image(s): ")),
    ("06_one_patient", "miniacc"): ("miniacc-multiomics", ("Among the others", "0 image(s)")),
    ("06_one_patient", "mouse_visium"): ("visium-cytassist-mouse", ("Among the others", "1 image(s)")),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "catalog"), REAL)
def test_a_notebook_runs_on_a_real_set_without_a_warning(
    name: str, catalog: str, test_data: TestData, tmp_path: Path
) -> None:
    folder, parts = REAL[name, catalog]
    parameters = {"catalog_name": catalog, "data_root": str(test_data(folder).parent)}
    report = run_report(notebook_path(name), tmp_path / name, parameters=parameters, progress=False)
    page = report.page.read_text(encoding="utf-8")
    assert report.warnings == ()
    assert [part for part in parts if part not in page] == []


@pytest.mark.slow
def test_genes_with_a_pattern_are_those_that_space_ranger_published(test_data: TestData, tmp_path: Path) -> None:
    folder = test_data("visium-cytassist-mouse")
    parameters = {"catalog_name": "mouse_visium", "data_root": str(folder.parent)}
    report = run_report(notebook_path("05_spots_and_cells"), tmp_path / "r", parameters=parameters, progress=False)
    ours = pd.read_csv(next((report.page.parent / "tables").glob("*genes-with-a-pattern.csv")), index_col="gene")
    published = pd.read_csv(folder / "spatial" / "spatial_enrichment.csv")
    common = published[published["Barcodes Detected per Feature"] >= 290].set_index("Feature Name")["I"]
    assert (common.rank(pct=True)[ours.index] > 0.97).all()


@pytest.mark.parametrize("name", ["01_first_study", "03_radiomics", *NOTEBOOKS])
def test_a_notebook_has_no_outputs_and_few_cells(name: str) -> None:
    import nbformat

    cells = nbformat.read(notebook_path(name), as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert 12 <= len(code) <= 20
    assert not any(cell.outputs for cell in code)


def assert_page_is_whole(page: Path, *, name: str) -> None:
    text = page.read_text(encoding="utf-8")
    for part in (f"Catalog · {name}", f"Study · {name}", f"Audit · {name}", f"Cohort · {name}", f"Alignment · {name}"):
        assert part in text, part
    assert text.count("data:image/webp;base64,") >= 5
    assert "sha256" in text
    assert "spatialdata" in text


# --- the breast DCIS study (MIBI), Risom et al. 2022 ---


@pytest.fixture(scope="module")
def dcis_root(test_data: TestData) -> Path:
    return test_data("dcis-mibi").parent


@pytest.fixture(scope="module")
def dcis(dcis_root: Path) -> Study:
    return ig.open_study(ig.open_catalog("dcis", data_root=str(dcis_root)))


@pytest.fixture(scope="module")
def dcis_report(dcis_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    parameters = {"catalog_name": "dcis", "data_root": str(dcis_root)}
    return run_report(notebook_path("01_first_study"), tmp_path_factory.mktemp("dcis") / "r", parameters=parameters)


def test_dcis_fields_load_by_name_and_know_their_patient(dcis: Study) -> None:
    published = dcis.table("clinical").set_index("PointNumber")["Patient_ID"]
    images = list(dcis.each("mibi"))
    assert len(images) == 27
    assert {image.sizes["c"] for image in images} == {41}
    ids = [image.attrs["integrate"]["ids"] for image in images]
    assert {one["acquisition_id"]: one["subject_id"] for one in ids} == published.to_dict()


def test_dcis_audit_lists_what_a_person_must_know(dcis: Study) -> None:
    findings = {(f.check, f.source): f for f in dcis.audit.findings if "Tissue_Type = I" not in f.message}
    assert dcis.audit.ok
    assert findings["several per subject", "mibi"].ids == ("1027", "1107", "1153", "1162")
    assert {"Age", "PAM50", "Treatment"} <= set(findings["missing for a group", "clinical"].ids)
    assert findings["cross-check", "clinical"].ids == ("2004", "2006")  # one hospital number, two patients
    assert ("pixel size unknown", "mibi") in findings


def test_dcis_page_is_whole(dcis_report: Report) -> None:
    assert dcis_report.warnings == ()
    assert_page_is_whole(dcis_report.page, name="dcis")
    assert "size unknown" in dcis_report.page.read_text(encoding="utf-8")


def test_dcis_never_invents_micrometres(dcis_report: Report) -> None:
    cells = ig.read_cohort(dcis_report.page.parent / "files" / "cohort").assays["cells"]
    assert "um" not in {unit.rstrip("23") for unit in cells.var["unit"]}
    assert not [name for name in cells.var_names if name.endswith(("_um", "_um2"))]
    assert "area_px2" in cells.var_names


def test_dcis_her2_protein_is_highest_in_the_her2_subtype(dcis_report: Report) -> None:
    cohort = ig.read_cohort(dcis_report.page.parent / "files" / "cohort")
    for other, n in (("LumA", 6), ("Basal", 4)):
        tested = ig.associate(cohort, "HER2_mean", "PAM50", unit="subject", groups=["Her2", other]).iloc[0]
        assert tested["effect"] == 1.0  # every patient of the subtype lies above every other
        assert tested["groups"] == f"Her2 = 2, {other} = {n}"
    # with two patients no two-sided exact test against six can be below 1/14: said, not hidden
    assert tested["p"] > 0.05


# --- bad input: one clear error or audit row, never a traceback into a library ---


@pytest.fixture
def broken(dcis_root: Path, tmp_path: Path) -> Path:
    """A copy of the table and of one field, to be broken."""
    source, target = dcis_root / "dcis-mibi", tmp_path / "dcis-mibi"
    shutil.copytree(source / "images" / "Point2206_pt1116_31620", target / "images" / "Point2206_pt1116_31620")
    shutil.copy(source / "clinical_and_published_features.csv", target)
    return target


def load_field(root: Path) -> object:
    return ig.open_catalog("dcis", data_root=str(root.parent)).load("mibi", field="Point2206_pt1116_31620")


def rewrite(table: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Study:
    path = table / "clinical_and_published_features.csv"
    change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)
    return ig.open_study(ig.open_catalog("dcis", data_root=str(table.parent)))


def test_missing_channel_file_is_named(broken: Path) -> None:
    (broken / "images" / "Point2206_pt1116_31620" / "CD45.tif").unlink()
    with pytest.raises(
        SourceNotFoundError, match="1 of 41 channels are not in folder 'Point2206_pt1116_31620': 'CD45'"
    ):
        load_field(broken)


def test_truncated_tiff_is_named(broken: Path) -> None:
    path = broken / "images" / "Point2206_pt1116_31620" / "CD45.tif"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"CD45\.tif"):
        load_field(broken)


def test_row_with_an_unknown_id_is_an_audit_error(broken: Path) -> None:
    study = rewrite(broken, lambda t: t.assign(Patient_ID=t["Patient_ID"].replace("1116", "9999")))
    wrong = [f for f in study.audit.errors if f.check == "contradictory ids"]
    assert len(wrong) == 2  # the field and its tissue sample both say so
    assert any("2206: 1116 / 9999" in finding.message for finding in wrong)


def test_duplicated_id_is_an_audit_error_and_stops_a_link(broken: Path) -> None:
    study = rewrite(broken, lambda t: pd.concat([t, t.head(1)]))
    assert [(f.check, f.ids) for f in study.audit.errors] == [("duplicated id", ("2206",))]
    with pytest.raises(IdentityError, match="2206"):
        ig.link(study, unit="acquisition", clinical="clinical")


def test_non_catalog_yaml_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "notes.yaml").write_text("shopping: [milk, bread]\n")
    with pytest.raises(ig.errors.CatalogError, match="is not an Intake 2 catalog"):
        ig.open_catalog(tmp_path / "notes.yaml")
