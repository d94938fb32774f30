"""What a run keeps: every table and figure as a file, what it opened, and a description an archive reads."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import pandas as pd
import pytest
from rocrate.rocrate import ROCrate

from integrate.errors import MissingDependencyError
from integrate.report import pdf
from integrate.report.cells import formula, lighten
from integrate.report.run import Report, run_report
from integrate.report.stamp import read_stamp

CELLS = (
    "# Kept\n\nEinstein wrote $E = mc^2$ for five dollars.\n\n$$\\frac{a}{b}$$",
    "import matplotlib.pyplot as plt\nimport numpy as np\nimport pandas as pd\n"
    "from IPython.display import Math, display",
    "## First & best",
    "pd.DataFrame({'x': [1.5, None], 'when': pd.Categorical(['a', 'b'])}, index=['r1', 'r2'])",
    "display(pd.DataFrame({'odd': [object, 1]}))\ndisplay(Math('x_1'))",
    "pd.DataFrame({'y': [1, 2]}).style.highlight_max()",
    "## Figures",
    "plt.plot([1, 2])\nplt.show()",
    "plt.imshow(np.random.default_rng(0).random((400, 400, 3)), interpolation='nearest')\nplt.show()",
    "print(len(open('NEAR').read()))\nimport NAME",
    "import socket\nsocket.create_connection(('127.0.0.1', PORT)).close()",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: Any, write_notebook: Any, fixed_versions: Any) -> Report:
    folder = tmp_path_factory.mktemp("kept")
    (folder / "near.txt").write_text("1234")
    (folder / "own_code.py").write_text("VALUE = 1\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=server.accept, daemon=True).start()
        given = {"NEAR": str(folder / "near.txt"), "NAME": "own_code", "PORT": str(server.getsockname()[1])}
        cells = []
        for cell in CELLS:
            for mark, value in given.items():
                cell = cell.replace(mark, value)
            cells.append(cell)
        notebook = write_notebook(folder / "kept.ipynb", *cells)
        return run_report(notebook, folder / "out", progress=False, folder=folder)


def test_every_table_is_kept_with_its_dtypes(kept: Report) -> None:
    tables = kept.page.parent / "tables"
    assert sorted(path.name for path in tables.iterdir()) == [
        "01-first-best.csv",
        "01-first-best.parquet",
        "02-first-best.csv",
        "03-first-best.csv",
        "03-first-best.parquet",
    ]
    first = pd.read_parquet(tables / "01-first-best.parquet")
    assert first.index.tolist() == ["r1", "r2"]
    assert first["when"].dtype == "category"
    assert np.isnan(first.loc["r2", "x"])


def test_every_figure_is_kept_as_png_and_svg(kept: Report) -> None:
    figures = kept.page.parent / "figures"
    names = sorted(path.name for path in figures.iterdir())
    assert names == ["01-figures.png", "01-figures.svg", "02-figures.png", "02-figures.svg"]
    assert "<svg" in (figures / "01-figures.svg").read_text()


def test_the_manifest_hashes_what_was_kept(kept: Report) -> None:
    facts = json.loads(kept.manifest.read_text())["reproducible"]
    for name, digest in facts["outputs"].items():
        assert hashlib.sha256((kept.page.parent / name).read_bytes()).hexdigest() == digest
    assert "tables/01-first-best.parquet" in facts["outputs"]


def test_what_the_notebook_opened_by_itself_is_in_the_manifest(kept: Report) -> None:
    facts = json.loads(kept.manifest.read_text())["reproducible"]
    assert [file["name"] for file in facts["files"]] == ["near.txt", "own_code.py"]
    assert facts["files"][0]["sha256"] == hashlib.sha256(b"1234").hexdigest()
    assert facts["hosts"] == [], "this machine itself is no other host"
    assert "Opened past the catalogs" in kept.page.read_text()


def test_a_large_figure_is_compressed_on_the_page_only_and_the_page_says_so(kept: Report) -> None:
    page = kept.page.read_text()
    assert "1 large figure is shown compressed" in page
    assert len(page) < 400_000 < (kept.page.parent / "figures" / "02-figures.png").stat().st_size * 1.34


def test_every_figure_and_table_says_itself_which_report_it_is_of(kept: Report) -> None:
    folder = kept.page.parent
    names = ("figures/01-figures.png", "figures/01-figures.svg", "tables/01-first-best.parquet")
    for name in names:
        stamp = read_stamp(folder / name)
        assert stamp is not None
        assert stamp["report_id"] == kept.report_id
        assert [source["file"] for source in stamp["sources"]] == ["near.txt", "own_code.py"]
    pixels = imagecodecs.imread(folder / names[0])
    assert pixels.shape[-1] == 4, "the stamped picture is still a picture"
    ElementTree.parse(folder / names[1])


def test_formulas_are_drawn_without_a_script(kept: Report) -> None:
    page = kept.page.read_text()
    assert page.count("<math") == 3
    assert "<mfrac>" in page
    assert "$E" not in page


def test_text_that_is_no_tex_stays_as_it_was() -> None:
    assert formula("x_1_2 < 3") == "<code>x_1_2 &lt; 3</code>"


def test_many_figures_weigh_little_together() -> None:
    import base64

    noise = np.random.default_rng(0).integers(0, 255, (600, 800, 3), dtype=np.uint8)
    noise = np.repeat(np.repeat(noise[::8, ::8], 8, axis=0), 8, axis=1) // 2 + noise // 16
    png = base64.b64encode(imagecodecs.png_encode(noise)).decode()
    kind, data, changed = lighten(png, figures=200)
    assert (kind, changed) == ("image/webp", True)
    assert len(data) * 200 < 30_000_000


def test_the_crate_is_read_by_rocrate_and_tells_what_was_run_on_what(kept: Report) -> None:
    crate = ROCrate(str(kept.page.parent))
    (action,) = [entity for entity in crate.contextual_entities if entity.type == "CreateAction"]
    assert action["instrument"]["name"] == "kept.ipynb"
    assert {entity["name"] for entity in action["object"]} == {"near.txt", "own_code.py"}
    assert "report.html" in {entity.id for entity in action["result"]}
    assert crate.mainEntity.id == "report.html"
    assert all((kept.page.parent / entity.id).exists() for entity in crate.data_entities)


def test_a_pdf_is_printed_where_chromium_is(tmp_path: Path, write_notebook: Any, fixed_versions: Any) -> None:
    if pdf.find_chromium() is None:
        pytest.skip("no chromium on this machine; no PDF was printed")
    notebook = write_notebook(tmp_path / "p.ipynb", "# Printed", "print('on paper')")
    report = run_report(notebook, tmp_path / "out", progress=False, pdf=True)
    assert (report.page.parent / "report.pdf").read_bytes().startswith(b"%PDF")
    assert report.reasons == ("there is no report yet",)


def test_a_pdf_without_chromium_is_refused_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="install Debian's package chromium, or leave the PDF out"):
        pdf.print_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
