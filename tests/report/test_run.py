"""Runs: the same inputs give the same bytes, a failure names its cell, and a good report is never lost."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from integrate.errors import ParameterError, ReportError, SourceNotFoundError
from integrate.report.run import Report, run_report

PARAMETERS = '"""Parameters."""\nrows = 6\nseed = 7\nname = "demo"'
STUDY = (
    "# A tiny study\n\nThe same page twice?",
    PARAMETERS,
    "## Data",
    "import numpy as np\nimport pandas as pd\nimport xarray as xr\nimport matplotlib.pyplot as plt\n"
    "table = pd.DataFrame({'x': np.random.default_rng(seed).normal(size=rows), 'note': '<script>alert(1)</script>'})\n"
    "table",
    "xr.DataArray(np.arange(6.0).reshape(2, 3), dims=('y', 'x'), attrs={'units': 'um'})",
    "table.style.highlight_max(subset='x')",
    "## Checks",
    "import os, warnings\nprint(object(), {'b', 'a', 'c'}, os.getcwd())\nwarnings.warn('look out')\nprint('after')",
    "from pathlib import Path\nPath('kept.csv').write_text('a,b')\n"
    "from tqdm.auto import tqdm\nfor _ in tqdm(range(3)):\n    pass",
    "## Result",
    "fig, ax = plt.subplots()\nax.plot(table['x'])\nplt.show()",
    "from integrate.model.provenance import record\nfrom integrate.show.figures import plot_scatter\n"
    "record('load', catalog='demo', entry='clinical', location='clinical.csv', sha256='ab' * 32)\n"
    "record('load', entry='ct', parameters={'subject': 'P01'}, location='ct', sha256=None)\n"
    "plot_scatter(table['x'], table['x'] ** 3, y_label='cube')",
)  # fmt: skip


@pytest.fixture(scope="module")
def twins(tmp_path_factory: Any, write_notebook: Any, fixed_versions: Any) -> tuple[Report, Report]:
    """The same notebook with the same parameters, run into two folders."""
    folder = tmp_path_factory.mktemp("twins")
    notebook = write_notebook(folder / "tiny.ipynb", *STUDY)
    first = run_report(notebook, folder / "a", parameters={"rows": "5"}, progress=False)
    second = run_report(notebook, folder / "other" / "b", parameters={"rows": 5}, progress=False)
    return first, second


def test_two_runs_on_the_same_inputs_are_byte_identical(twins: tuple[Report, Report]) -> None:
    first, second = twins
    assert first.page.read_bytes() == second.page.read_bytes()
    assert first.notebook.read_bytes() == second.notebook.read_bytes()
    assert first.report_id == second.report_id
    manifests = [json.loads(report.manifest.read_text()) for report in twins]
    assert manifests[0]["reproducible"] == manifests[1]["reproducible"]


def test_the_page_holds_the_results(twins: tuple[Report, Report]) -> None:
    page = twins[0].page.read_text()
    assert page.count("<h1>") == 1
    assert "<h1>A tiny study</h1>" in page
    assert '<html lang="en">' in page
    assert "xr-wrap" in page
    assert "after" in page
    assert page.count('src="data:image/webp;base64,') == 2
    assert 'alt="Figure 1, in section “Result”"' in page
    assert 'alt="cube against x: Spearman ρ = 1.00, p = 0.017, n = 5"' in page
    assert "set for this run; the notebook says 6" in page


def test_the_page_asks_nothing_of_any_other_place_and_has_no_script(twins: tuple[Report, Report]) -> None:
    page = twins[0].page.read_text()
    assert "<script" not in page
    assert not re.search(r"""\b(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert not re.search(r"url\((?!data:)|@import", page)
    assert "default-src 'none'" in page


def test_the_executed_notebook_is_valid_has_the_injected_cell_and_no_widgets(twins: tuple[Report, Report]) -> None:
    notebook = nbformat.read(twins[0].notebook, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[2].metadata.tags == ["injected-parameters"]
    assert notebook.cells[2].source == "rows = 5"
    text = twins[0].notebook.read_text()
    assert "widget" not in text
    assert "it/s" not in text
    assert "/files" not in text  # the working folder of this run


def test_the_manifest_says_what_went_in(twins: tuple[Report, Report], fixed_versions: dict[str, str]) -> None:
    report = twins[0]
    manifest = json.loads(report.manifest.read_text())
    facts = manifest["reproducible"]
    source = (report.page.parents[1] / "tiny.ipynb").read_bytes()
    assert facts["notebook"] == {"name": "tiny.ipynb", "sha256": hashlib.sha256(source).hexdigest()}
    assert facts["parameters"] == {"rows": 5, "seed": 7, "name": "demo"}
    assert facts["seeds"] == {"seed": 7}
    assert facts["versions"] == fixed_versions
    assert [(load["entry"], load["sha256"], load["times"]) for load in facts["loads"]] == [
        ("clinical", "ab" * 32, 1),
        ("ct", None, 1),
    ]
    assert facts["outputs"]["report.html"] == hashlib.sha256(report.page.read_bytes()).hexdigest()
    assert [cell["heading"] for cell in manifest["run"]["cells"]][-1] == "Result"
    page = report.page.read_text()
    assert "ab" * 32 in page
    assert "not hashed" in page
    assert len(report.record.read_text().splitlines()) == 2


def test_warnings_are_counted_and_shown(twins: tuple[Report, Report]) -> None:
    assert twins[0].warnings == ("Checks: UserWarning: look out",)
    assert "1 warning, listed at the end" in twins[0].page.read_text()


def test_files_the_notebook_writes_are_kept_and_nothing_else_is_left(twins: tuple[Report, Report]) -> None:
    output = twins[0].page.parent
    assert (output / "files" / "kept.csv").read_text() == "a,b"
    assert sorted(path.name for path in output.iterdir()) == [
        "figures",
        "files",
        "manifest.json",
        "notebook.ipynb",
        "record.jsonl",
        "report.html",
        "ro-crate-metadata.json",
        "tables",
    ]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_in_chromium_alone_and_without_complaint(
    twins: tuple[Report, Report], browser: Any, scheme: str, tmp_path: Path
) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.context.set_offline(True)
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    address = twins[0].page.as_uri()
    page.goto(address)
    for width in (700, 1300):
        page.set_viewport_size({"width": width, "height": 900})
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow == 0
    page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
    page.pdf(path=tmp_path / f"{scheme}.pdf")
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert complaints == []
    assert page.title() == "A tiny study"
    assert page.evaluate("[...document.images].every(image => image.alt && image.naturalWidth > 0)")
    page.close()


def test_a_failing_cell_is_named_and_the_good_report_stays(
    tmp_path: Path, write_notebook: Any, fixed_versions: Any
) -> None:
    good = write_notebook(tmp_path / "good.ipynb", "# Good", "print('fine')")
    bad = write_notebook(
        tmp_path / "bad.ipynb", "# Bad", "print('first')", "## Ratio", "x = 0\n1 / x", "print('never')"
    )
    report = run_report(good, tmp_path / "out", progress=False)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    told = (
        r"code cell 2 under “Ratio”, which begins `x = 0` stopped with ZeroDivisionError: division by zero; see .*kept"
    )
    with pytest.raises(ReportError, match=told):
        run_report(bad, tmp_path / "out", progress=False)
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    failed = after.pop("failed.html").decode()
    assert after == before
    assert failed.index("This run stopped: ZeroDivisionError") < failed.index("first")
    assert failed.count('class="cell failed"') == failed.count('class="cell pending"') == 1

    run_report(good, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "failed.html").exists()
    assert report.page.read_bytes() == before["report.html"]


def test_a_cell_that_takes_too_long_is_named(tmp_path: Path, write_notebook: Any) -> None:
    notebook = write_notebook(tmp_path / "slow.ipynb", "# Slow", "import time\ntime.sleep(60)")
    with pytest.raises(ReportError, match="begins `import time` stopped with the cell took longer than 1 s"):
        run_report(notebook, tmp_path / "out", timeout=1, progress=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["failed.html"]


def test_a_kernel_that_dies_is_said_with_its_last_words(tmp_path: Path, write_notebook: Any) -> None:
    code = "import os, sys\nos.write(sys.__stderr__.fileno(), b'out of everything\\n')\nos._exit(1)"
    notebook = write_notebook(tmp_path / "dies.ipynb", "# Dies", code)
    with pytest.raises(ReportError, match=r"code cell 1 under “Dies”.*Kernel died.*out of everything"):
        run_report(notebook, tmp_path / "out", progress=False)


def test_a_path_that_is_missing_in_the_scratch_folder_is_explained(tmp_path: Path, write_notebook: Any) -> None:
    (tmp_path / "data.txt").write_text("42")
    notebook = write_notebook(tmp_path / "reads.ipynb", "# Reads", "print(open('data.txt').read())")
    with pytest.raises(ReportError, match=r"FileNotFoundError.*pass folder="):
        run_report(notebook, tmp_path / "out", progress=False)
    report = run_report(notebook, tmp_path / "out", progress=False, folder=tmp_path)
    assert "42" in report.page.read_text()


def test_progress_is_one_line_with_the_current_heading(
    tmp_path: Path, write_notebook: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run_report(write_notebook(tmp_path / "n.ipynb", "# Title", "1", "## Part", "2"), tmp_path / "out")
    told = capsys.readouterr().err
    assert "Part:" in told
    assert "report: 100%" in told
    assert told.count("\n") == 1


def test_wrong_inputs_are_refused_before_anything_is_made(tmp_path: Path, write_notebook: Any) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", PARAMETERS)
    with pytest.raises(SourceNotFoundError, match="no notebook at"):
        run_report(tmp_path / "absent.ipynb", tmp_path / "out")
    with pytest.raises(ParameterError, match=r"no parameter 'row' .*closest: 'rows'"):
        run_report(notebook, tmp_path / "out", parameters={"row": 1})
    (tmp_path / "text.ipynb").write_text("hello")
    with pytest.raises(ReportError, match="is not a notebook"):
        run_report(tmp_path / "text.ipynb", tmp_path / "out")
    (tmp_path / "old.ipynb").write_text(
        '{"nbformat": 3, "nbformat_minor": 0, "worksheets": [], "metadata": {}, "cells": []}'
    )
    with pytest.raises(ReportError, match="nbformat 3, expected 4"):
        run_report(tmp_path / "old.ipynb", tmp_path / "out")
    (tmp_path / "torn.ipynb").write_text('{"nbformat": 4, "cells": [{"cell_type": "code"}]}')
    with pytest.raises(ReportError, match="is a damaged notebook"):
        run_report(tmp_path / "torn.ipynb", tmp_path / "out")
    with pytest.raises(ReportError, match="has no cells"):
        run_report(write_notebook(tmp_path / "empty.ipynb"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_that_no_report_wrote_is_refused(tmp_path: Path, write_notebook: Any) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", "1")
    (tmp_path / "mine").mkdir()
    mine = write_notebook(tmp_path / "mine" / "notebook.ipynb", "2")
    before = mine.read_bytes()
    with pytest.raises(ReportError, match=r"holds 'notebook\.ipynb', which no report wrote"):
        run_report(notebook, tmp_path / "mine")
    with pytest.raises(ReportError, match="would overwrite its own notebook"):
        run_report(mine, tmp_path / "mine")
    with pytest.raises(ReportError, match="is a file; a report is a folder"):
        run_report(notebook, notebook)
    assert mine.read_bytes() == before


def _wait(condition: Any, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_kill_9_in_mid_run_leaves_the_previous_report_in_place(
    tmp_path: Path, write_notebook: Any, fixed_versions: Any
) -> None:
    good = write_notebook(tmp_path / "good.ipynb", "# Good", "print('fine')")
    slow = write_notebook(
        tmp_path / "slow.ipynb", '"""Parameters."""\nmarker = ""',
        "import os, time\nopen('big.bin', 'w').write('x')\nopen(marker, 'w').write(str(os.getpid()))\ntime.sleep(300)",
    )  # fmt: skip
    output, marker = tmp_path / "out", tmp_path / "marker"
    run_report(good, output, progress=False)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    code = (
        "import sys; from integrate.report.run import run_report; "
        "run_report(sys.argv[1], sys.argv[2], parameters={'marker': sys.argv[3]}, progress=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(slow), str(output), str(marker)])
    try:
        assert _wait(lambda: marker.exists() and marker.read_text(), 60)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    kernel = int(marker.read_text())
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.is_file()} == before
    assert _wait(lambda: not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == "zombie", 30)

    run_report(good, output, progress=False)  # and the next run clears what the killed one left
    assert {path.name for path in output.iterdir()} == set(before)
    assert (output / "report.html").read_bytes() == before["report.html"]
