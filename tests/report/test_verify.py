"""Verification: one thing is changed at a time, and the report says which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.errors import SourceNotFoundError
from integrate.report import run
from integrate.report.difference import Tolerance
from integrate.report.run import Report, run_report
from integrate.report.verify import Verification, diff_reports, verify_report

CATALOG = """
version: 2
metadata: {name: tiny}
entries:
  clinical:
    reader: "integrate.readers.table:Table"
    kwargs: {url: "{CATALOG_DIR}/clinical.csv"}
  image:
    reader: "integrate.readers.ome_tiff:OmeTiff"
    kwargs: {url: "{CATALOG_DIR}/image.ome.tif"}
"""
CELLS = (
    "# Tiny",
    '"""Parameters."""\nscale = 2.0\nseed = 7',
    "import integrate as ig\nimport numpy as np\ncatalog = ig.open_catalog('CATALOG')",
    "## Clinical",
    "table = catalog.load('clinical').assign(scaled=lambda t: t['age'] * scale)\ntable",
    "## Image",
    "print('mean', float(catalog.load('image').mean()))",
    "## Noise",
    "print('noise', np.random.default_rng(seed).normal())",
    "## Figure",
    "import matplotlib.pyplot as plt\nplt.plot(table['age'])\nplt.show()",
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: Any, write_notebook: Any, fixed_versions: Any) -> tuple[Path, Report]:
    """A notebook on two real files, and its report."""
    folder = tmp_path_factory.mktemp("verify")
    (folder / "clinical.csv").write_text("subject_id,age\nP01,61\nP02,47\nP03,55\n")
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    tifffile.imwrite(folder / "image.ome.tif", pixels, metadata={"axes": "YX", "Channel": {"Name": ["DNA"]}})
    (folder / "tiny.yaml").write_text(CATALOG)
    notebook = write_notebook(folder / "tiny.ipynb", *(c.replace("CATALOG", str(folder / "tiny.yaml")) for c in CELLS))
    return folder, run_report(notebook, folder / "report", progress=False)


def _verify(study: tuple[Path, Report], **given: Any) -> Verification:
    return verify_report(study[0] / "report", progress=False, **given)


def _edited(notebook: Path, edits: dict[str, str]) -> Path:
    target, text = notebook.with_name("edited.ipynb"), notebook.read_text()
    for old, new in edits.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    target.write_text(text)
    return target


def _causes(found: Verification) -> list[tuple[str, str]]:
    return [(cause.kind, cause.name) for cause in found.causes]


def test_nothing_changed_is_the_same(study: tuple[Path, Report]) -> None:
    found = _verify(study)
    assert (found.same, found.causes, found.verdict) == (True, (), "the same")


def test_one_clinical_value_is_named_with_its_table_and_its_figure(study: tuple[Path, Report]) -> None:
    file = study[0] / "clinical.csv"
    before = file.read_text()
    file.write_text(before.replace("47", "48"))
    try:
        found = _verify(study)
    finally:
        file.write_text(before)
    assert _causes(found) == [("data", "tiny: clinical, file clinical.csv")]
    told = [str(one) for one in found.differences]
    assert any("column age: 1 of 3 values differ, as 47 → 48" in one for one in told)
    assert any("column scaled: 1 of 3 values differ, as 94.0 → 96.0" in one for one in told)
    assert any("of the figure's pixels differ" in one for one in told)
    assert not any("Image" in one or "Noise" in one for one in told)


def test_one_pixel_is_named_with_its_image(study: tuple[Path, Report]) -> None:
    file = study[0] / "image.ome.tif"
    before = file.read_bytes()
    pixels = tifffile.imread(file)
    pixels[3, 4] += 64
    tifffile.imwrite(file, pixels, metadata={"axes": "YX", "Channel": {"Name": ["DNA"]}})
    try:
        found = _verify(study)
    finally:
        file.write_bytes(before)
    assert _causes(found) == [("data", "tiny: image, file image.ome.tif")]
    assert [one.told for one in found.differences] == ["1 of 1 numbers differ, as 31.5 → 32.5"]


def test_a_parameter_and_a_seed_that_were_edited_are_named_as_such(study: tuple[Path, Report]) -> None:
    notebook = _edited(study[0] / "tiny.ipynb", {"scale = 2.0": "scale = 3.0", "seed = 7": "seed = 8"})
    found = _verify(study, notebook=notebook)
    assert [str(cause) for cause in found.causes] == ["parameter: scale: 2.0 → 3.0", "seed: seed: 7 → 8"]
    assert {one.kind for one in found.differences} == {"table", "number"}, str(found)


def test_a_parameter_given_now_is_named(study: tuple[Path, Report]) -> None:
    found = _verify(study, parameters={"seed": 9})
    assert _causes(found) == [("seed", "seed")]
    assert [one.where for one in found.differences] == ["cell 9 under “Noise”"]


def test_a_changed_line_of_code_is_shown_before_and_after(study: tuple[Path, Report]) -> None:
    notebook = _edited(study[0] / "tiny.ipynb", {".mean())": ".max())"})
    found = _verify(study, notebook=notebook)
    assert [cause.kind for cause in found.causes] == ["code"]
    assert "`print('mean', float(catalog.load('image').mean()))` → `" in found.causes[0].told
    assert [one.told for one in found.differences] == ["1 of 1 numbers differ, as 31.5 → 63.0"]


def test_a_version_is_named_also_when_it_changed_no_number(
    study: tuple[Path, Report], monkeypatch: pytest.MonkeyPatch, fixed_versions: dict[str, str]
) -> None:
    monkeypatch.setattr(run, "package_versions", lambda: {**fixed_versions, "numpy": "9.9"})
    found = _verify(study)
    assert found.verdict == "the same, although something changed: 'version: numpy: absent → 9.9'"


def test_chance_is_told_apart_from_a_change(tmp_path: Path, write_notebook: Any, fixed_versions: Any) -> None:
    notebook = write_notebook(tmp_path / "random.ipynb", "import os\nprint(os.urandom(2)[0] + 1000 * os.urandom(2)[0])")
    run_report(notebook, tmp_path / "report", progress=False)
    found = verify_report(tmp_path / "report", progress=False)
    assert found.random is True
    assert "the notebook is not deterministic" in found.verdict


def test_a_tolerance_is_what_still_counts_as_the_same(
    study: tuple[Path, Report], tmp_path: Path, fixed_versions: Any
) -> None:
    other = run_report(study[0] / "tiny.ipynb", tmp_path / "other", parameters={"scale": 2.02}, progress=False)
    strict = diff_reports(study[0] / "report", other.page.parent)
    assert any("scaled" in str(one) for one in strict.differences)
    assert diff_reports(study[0] / "report", other.page.parent, tolerance=Tolerance(relative=0.011)).same


def test_without_its_source_the_executed_notebook_is_run(study: tuple[Path, Report], tmp_path: Path) -> None:
    import shutil

    moved = tmp_path / "report"
    shutil.copytree(study[0] / "report", moved)
    manifest = json.loads((moved / "manifest.json").read_text())
    manifest["run"]["source"] = str(tmp_path / "gone.ipynb")
    (moved / "manifest.json").write_text(json.dumps(manifest))
    assert verify_report(moved, progress=False).verdict == "the same"


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no report in .*give the folder of a report"):
        verify_report(tmp_path)


def test_the_verdict_has_a_picture_of_its_own(study: tuple[Path, Report]) -> None:
    found = diff_reports(study[0] / "report", study[0] / "report")
    assert "the same" in found._repr_html_()


@pytest.mark.slow
@pytest.mark.network
def test_another_library_version_in_a_throw_away_environment_is_named(tmp_path: Path, write_notebook: Any) -> None:
    import packaging

    notebook = write_notebook(tmp_path / "v.ipynb", "import packaging\nprint('text', len(packaging.__version__))")
    run_report(notebook, tmp_path / "report", progress=False)
    older = "24.2" if packaging.__version__ != "24.2" else "25.0"
    command = [sys.executable, "-m", "uv", "pip", "install", "-q", "--target", str(tmp_path / "lib")]
    subprocess.run([*command, f"packaging=={older}"], check=True)
    path = os.pathsep.join([str(tmp_path / "lib"), os.environ.get("PYTHONPATH", "")])
    verify = [sys.executable, "-m", "integrate.cli", "report", "verify", str(tmp_path / "report")]
    done = subprocess.run(verify, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert f"version: packaging: {packaging.__version__} → {older}" in done.stdout
