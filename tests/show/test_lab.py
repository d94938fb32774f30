"""In real JupyterLab: the viewer, its selection in the kernel, the catalog browser, and notebook 01."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from .lab import Lab, jupyterlab

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.timeout(900)]

IMAGE = """
import numpy as np, integrate as ig
from integrate.model.image import make_image
rng = np.random.default_rng(0)
pixels = rng.integers(0, 999, (2, 3000, 3000)).astype("u2")
image = make_image(pixels, channels=["DNA", "CD8"], pixel_size_um=(0.5, 0.5))
places = rng.uniform(0, 3000, (5000, 2))
viewer = ig.view(image, cells=places, embedding=rng.normal(size=(5000, 2)))
viewer
"""
BALL = """
import numpy as np, xarray as xr, integrate as ig
z, y, x = np.mgrid[-20:20, -30:30, -30:30]
ball = (400.0 * (4 * z**2 + y**2 + x**2 < 625)).astype("f4")
notes = {"affine_lps": np.diag([1.0, 1.0, 2.0, 1.0]).tolist()}
ig.open_niivue(xr.DataArray(ball, dims=("z", "y", "x"), attrs={"integrate": notes}))
"""
BUSY = """
import time
end = time.monotonic() + 600
while time.monotonic() < end and not viewer.selected.any():
    pass
picture = viewer.screenshot(timeout_s=60)
ended = True
"""
VIEWER = "document.querySelector('.ig-viewer').viewer"
READY = "document.querySelector('.ig-viewer')?.viewer?.ready_ms"


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


def test_selections_keys_and_pictures_reach_the_kernel(lab: Lab, pictures: Path) -> None:
    lab.open("viewer.ipynb", IMAGE, "import time")
    cells = lab.run_all()
    assert [cell["error"] for cell in cells] == [None, None]
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(cells[0]["kinds"])
    page = lab.page
    page.wait_for_function(READY, timeout=60_000)
    lab.run("start = time.monotonic(); picture = viewer.screenshot(timeout_s=60); took_s = time.monotonic() - start")
    assert lab.ask("(picture[:4], picture == viewer._pictures[1], took_s < 30)") == r"(b'\x89PNG', True, True)"
    page.locator("canvas.ig-image").scroll_into_view_if_needed()
    page.click("[data-tool=box]")
    lab.drag("canvas.ig-embedding", (0.01, 0.01), (0.5, 0.99))
    page.wait_for_function(f"{VIEWER}.selection.total > 100")
    total = page.evaluate(f"{VIEWER}.selection.total")
    assert lab.ask_until("int(viewer.selected.sum())", str(total)) == str(total)
    page.screenshot(path=str(pictures / "lab_viewer.png"))
    page.focus("canvas.ig-image")
    before = page.evaluate("panel.content.model.cells.length")
    page.keyboard.press("b")  # in JupyterLab: a new cell below
    page.keyboard.press("v")
    page.wait_for_function(f"{VIEWER}.selection.total === 5000")
    assert lab.ask_until("int(viewer.selected.sum())", "5000") == "5000"
    assert page.evaluate("panel.content.model.cells.length") == before


def test_tiles_selections_and_pictures_come_while_a_cell_runs(lab: Lab, pictures: Path) -> None:
    """Every cell is started at once, so the kernel is busy before the viewer asks for its first tile."""
    lab.open("busy.ipynb", IMAGE, BUSY)
    page = lab.page
    page.evaluate(
        """() => { window.running = window.jupyterapp.commands.execute("notebook:run-all-cells");
        window.running.then(() => { window.over = true; }); }"""
    )
    page.wait_for_function(READY, timeout=60_000)
    painted = f"{VIEWER}.tiles.missing === 0 && {VIEWER}.tiles.received > 0"
    page.wait_for_function(painted, timeout=60_000)
    first = page.evaluate(f"{VIEWER}.tiles.received")
    page.focus("canvas.ig-image")
    for _ in range(8):
        page.keyboard.press("+")
    page.wait_for_function(f"{VIEWER}.tiles.received > {first} && {painted}", timeout=60_000)
    assert not page.evaluate("window.over")
    page.screenshot(path=str(pictures / "lab_busy.png"))
    page.keyboard.press("v")  # the selection ends the loop
    page.evaluate("window.running")
    assert lab.ask("(ended, picture == viewer._pictures[1])") == "(True, True)"


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
    lab.drag("canvas.ig-image", (0.3, 0.3), (0.6, 0.6))
    total = page.evaluate(f"{VIEWER}.selection.total")
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


def test_a_catalog_browser_stands_beside_the_notebook_filters_and_types_into_it(lab: Lab, pictures: Path) -> None:
    pytest.importorskip("sidecar", reason="a panel beside the notebook needs sidecar (extra: panel)")
    lab.open("panel.ipynb", "import integrate as ig\ncatalog = ig.datasets.toy_catalog()\nig.browse(catalog)", "# here")
    assert [cell["error"] for cell in lab.run_all()] == [None, None]
    page = lab.page
    page.wait_for_selector("[data-dataset=fields]", timeout=60_000)
    notebook, panel = page.locator(".jp-NotebookPanel").bounding_box(), page.locator(".ig-browser").bounding_box()
    assert notebook["x"] + notebook["width"] <= panel["x"]
    names = "[...document.querySelectorAll('[data-dataset]')].map((one) => one.dataset.dataset).join()"
    page.fill(".ig-text", "per person")
    page.wait_for_function(f"{names} === 'clinical'")
    page.fill(".ig-text", "")
    page.select_option(".ig-modality", "IF")
    page.fill(".ig-subject", "P02")
    found = "document.querySelector('.ig-found').textContent"
    page.wait_for_function(f"{names} === 'fields' && {found}.includes('2 items')")
    page.click("[data-dataset=fields]")
    page.wait_for_function("document.querySelector('.ig-look img')?.naturalWidth === 64", timeout=60_000)
    assert "DNA, CD8" in page.inner_text(".ig-look")
    page.click(".ig-insert")
    source = "panel.content.model.cells.get(1).sharedModel.getSource()"
    page.wait_for_function(f"{source}.includes('load_item')")
    page.screenshot(path=str(pictures / "lab_panel.png"))
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")
    assert lab.ask_until("fields.attrs['integrate']['ids']['folder']", "'f2_P02'") == "'f2_P02'"


@pytest.mark.slow
def test_niivue_draws_a_volume_in_three_dimensions(lab: Lab, pictures: Path) -> None:
    pytest.importorskip("ipyniivue", reason="drawing volumes in 3-D needs ipyniivue (extra: view3d)")
    lab.open("niivue.ipynb", BALL)
    assert [cell["error"] for cell in lab.run_all()] == [None]
    canvas = lab.page.locator(".jp-OutputArea canvas").first
    canvas.wait_for(timeout=60_000)
    for _ in range(30):
        picture = cv2.imdecode(np.frombuffer(canvas.screenshot(path=str(pictures / "lab_niivue.png")), np.uint8), 0)
        shaded = ((picture > 100) & (picture < 240)).sum()  # the planes are black and white, with a red cross
        if shaded > 10_000:
            break
        lab.page.wait_for_timeout(1000)
    assert shaded > 10_000


def test_integrate_lab_opens_a_notebook_with_its_kernel_and_leaves_nothing_running(
    browser: Any, tmp_path: Path, pictures: Path
) -> None:
    folder = tmp_path / "notebooks"
    command = ("-m", "integrate.cli", "lab", str(folder))
    with jupyterlab(tmp_path, tmp_path / "jupyter", command=command) as address:
        lab = Lab(browser, address, folder)
        lab.start()
        current = "window.jupyterapp.shell.currentWidget"
        lab.page.wait_for_function(f"{current}?.context?.path === '01_first_study.ipynb'", timeout=60_000)
        lab.page.evaluate(f"async () => {{ window.panel = {current}; await panel.sessionContext.ready; }}")
        assert lab.ask("__import__('sys').executable") == repr(sys.executable)
        assert lab.ask("__import__('integrate').open_catalog.__module__") == "'integrate.catalog.open'"
        kernel = int(lab.ask("__import__('os').getpid()"))
        lab.page.screenshot(path=str(pictures / "lab_start.png"))
        lab.page.close()
    for _ in range(100):
        if not psutil.pid_exists(kernel):
            break
        time.sleep(0.1)
    assert not psutil.pid_exists(kernel)
