"""Notebook 03, from scans to patients, on the simulated study and on real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import integrate as ig
from integrate.datasets.demo import notebook_path
from integrate.join.cohort import Cohort
from integrate.report.run import run_report

pytestmark = pytest.mark.timeout(1200)  # two dozen scans, most lesions measured nine times


def run(name: str, data_root: Path, folder: Path) -> Cohort:
    parameters = {"catalog_name": name, "data_root": str(data_root)}
    report = run_report(notebook_path("03_radiomics"), folder / name, parameters=parameters)
    assert report.warnings == ()
    text = report.page.read_text(encoding="utf-8")
    for part in (f"Study · {name}", f"Cohort · {name}", "intraclass correlation", "combat", "data:image/webp;base64,"):
        assert part in text, part
    return ig.read_cohort(report.page.parent / "files" / "cohort")


def test_the_notebook_has_no_outputs() -> None:
    import nbformat

    cells = [
        cell for cell in nbformat.read(notebook_path("03_radiomics"), as_version=4).cells if cell.cell_type == "code"
    ]
    assert 10 <= len(cells) <= 20
    assert not any(cell.outputs for cell in cells)


@pytest.mark.slow
def test_the_simulated_study_runs_through(tmp_path: Path) -> None:
    cohort = run("demo", ig.simulate_study(tmp_path / "study", quiet=True), tmp_path)
    lesions = cohort.assays["lesions"]
    assert lesions.n_obs == 19
    assert lesions.uns["integrate"]["harmonise"]["batch"] == "site"
    assert "morph_volume" in lesions.var_names


@pytest.mark.slow
def test_gliomas_join_mutation_and_survival(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    cohort = run("lgg", test_data("lgg-mri").parent, tmp_path)
    assert cohort.assays["lesions"].n_obs == 48
    assert not any(name.startswith(("morph", "loc")) for name in cohort.assays["lesions"].var_names)


@pytest.mark.slow
def test_sarcomas_are_harmonised_by_their_voxel_size(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    lesions = run("sts", test_data("sts-ibsi-validation").parent, tmp_path).assays["lesions"]
    assert lesions.n_obs == 24
    assert lesions.uns["integrate"]["harmonise"]["batches"] == {"3.9 mm": 4, "4.7 mm": 4, "5.5 mm": 16}
