"""In real JupyterLab: the viewer, its selection in the kernel, the catalog browser, and notebook 01."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .lab import Lab, jupyterlab

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.timeout(900)]

IMAGE = """
import numpy as np, integrate as ig
from integrate.model.image import make_image
rng = np.random.default_rng(0)
pixels = rng.integers(0, 999, (2, 1600, 1600)).astype("u2")
image = make_image(pixels, channels=["DNA", "CD8"], pixel_size_um=(0.5, 0.5))
places = rng.uniform(0, 1600, (5000, 2))
viewer = ig.view(image, cells=places, embedding=rng.normal(size=(5000, 2)))
viewer
"""
READY = "document.querySelector('.ig-viewer')?.viewer?.ready_ms"
#: JupyterLab makes the second thread for widgets while the kernel is idle; from then on it answers beside any cell.
BESIDE = "[...panel.sessionContext.session.kernel._comms.values()].every((comm) => comm.subshellId)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[tuple[str, Path]]:
    root = tmp_path_factory.mktemp("notebooks")
    with jupyterlab(root, tmp_path_factory.mktemp("jupyter")) as address:
        yield address, root


@pytest.fixture
def lab(server: tuple[str, Path], browser: Any) -> Iterator[Lab]:
    opened = Lab(browser, *server)
    yield opened
    opened.close()


def test_a_selection_and_a_picture_reach_the_kernel(lab: Lab, pictures: Path) -> None:
    lab.open("viewer.ipynb", IMAGE, "import time")
    cells = lab.run_all()
    assert [cell["error"] for cell in cells] == [None, None]
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(cells[0]["kinds"])
    page = lab.page
    page.wait_for_function(READY, timeout=60_000)
    page.wait_for_function(BESIDE, timeout=60_000)
    lab.run("viewer.send({'type': 'snapshot', 'ticket': 1})")
    assert lab.ask_until("viewer._pictures[1][:4]", "b'\\x89PNG'") == "b'\\x89PNG'"
    page.locator("canvas.ig-image").scroll_into_view_if_needed()
    page.click("[data-tool=box]")
    box = page.locator("canvas.ig-embedding").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 2, steps=5)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.ig-viewer').viewer.selection.total > 100")
    total = page.evaluate("document.querySelector('.ig-viewer').viewer.selection.total")
    assert lab.ask_until("int(viewer.selected.sum())", str(total)) == str(total)
    page.screenshot(path=str(pictures / "lab_viewer.png"))


@pytest.mark.slow
def test_notebook_01_runs_and_its_image_opens_in_a_viewer(lab: Lab, repository: Path, pictures: Path) -> None:
    shutil.copy(repository / "notebooks" / "01_first_study.ipynb", lab.root)
    lab.open("01_first_study.ipynb")
    page = lab.page
    page.evaluate(
        """() => { const { cells } = panel.content.model, last = cells.length;
        panel.model.sharedModel.insertCell(last, { cell_type: "code", metadata: {},
          source: "viewer = ig.view(image, cells=measured[-1], colour='CD8_mean'); viewer" }); }"""
    )
    cells = lab.run_all()
    assert [cell["error"] for cell in cells if cell["error"]] == []
    page.wait_for_function(READY, timeout=120_000)
    page.evaluate("document.querySelector('.ig-viewer').scrollIntoView()")
    page.click("[data-tool=box]")
    box = page.locator("canvas.ig-image").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=5)
    page.mouse.up()
    total = page.evaluate("document.querySelector('.ig-viewer').viewer.selection.total")
    assert total > 0
    assert lab.ask_until("int(viewer.selected.sum())", str(total)) == str(total)
    page.screenshot(path=str(pictures / "lab_notebook_01.png"))


def test_the_catalog_browser_types_code_into_the_notebook(lab: Lab, pictures: Path) -> None:
    lab.open(
        "browser.ipynb",
        "import integrate as ig\ncatalog = ig.datasets.toy_catalog()\nig.browse(catalog, beside=False)",
        "# here",
    )
    lab.run_all()
    page = lab.page
    page.click("[data-dataset=fields]", timeout=60_000)
    page.wait_for_function("document.querySelector('.ig-look img')?.naturalWidth === 64", timeout=60_000)
    page.click(".ig-insert")
    source = "panel.content.model.cells.get(1).sharedModel.getSource()"
    page.wait_for_function(f"{source}.includes('load_item')")
    assert page.evaluate(source) == '# here\nfields = catalog["fields"].load_item("field=f1_P01")'
    page.screenshot(path=str(pictures / "lab_browser.png"))
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")
    assert lab.ask_until("fields.attrs['integrate']['ids']['folder']", "'f1_P01'") == "'f1_P01'"
