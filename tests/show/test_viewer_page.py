"""The viewer in a real browser: what is painted, what a person selects and draws, and a kernel that is busy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import shapely

import integrate as ig
from integrate.model.image import make_image

from .scenes import cells_of_discs, discs

pytestmark = pytest.mark.browser
Show = Callable[..., Any]


def _at(shown: Any, pixels: np.ndarray, x: float, y: float) -> list[int]:
    """Return the colour painted at a place of the image, in its pixels."""
    px, py = shown.js("([x, y]) => app.image.screen([x, y], app.image.ports()[0])", [x, y])
    return pixels[int(py), int(px)].tolist()


def test_channels_add_up_in_their_colours_between_their_limits(show: Show, pictures: Path) -> None:
    image, _ = discs()
    viewer = ig.view(image, channels={"DNA": "#0000ff", "CD8": "#ff8000"})
    viewer._channels = [
        {**one, "low": 0.0, "high": high, "min": 0.0, "max": 2000.0}
        for one, high in zip(viewer._channels, (2000.0, 1000.0), strict=True)
    ]
    shown = show(viewer)
    shown.settle()
    pixels = shown.pixels()
    np.testing.assert_allclose(_at(shown, pixels, 25.5, 25.5), [128, 64, 128], atol=1)  # both at half
    np.testing.assert_allclose(_at(shown, pixels, 75.5, 25.5), [0, 0, 128], atol=1)
    assert _at(shown, pixels, 50.5, 50.5) == [0, 0, 0]
    shown.page.locator('[data-channel="DNA"] input[type=checkbox]').uncheck()
    shown.page.locator('[data-channel="CD8"] [data-key=gamma]').fill("2")
    shown.settle()
    pixels = shown.pixels()
    np.testing.assert_allclose(_at(shown, pixels, 25.5, 25.5), [64, 32, 0], atol=1)  # half, squared
    assert _at(shown, pixels, 75.5, 25.5) == [0, 0, 0]
    assert [one["on"] for one in viewer._channels] == [False, True]
    assert viewer._channels[1]["gamma"] == pytest.approx(2, abs=0.01)
    assert shown.js("app.bar.text") == "50 µm"
    assert shown.js("app.bar.width * app.image.scale") == pytest.approx(100)
    shown.page.screenshot(path=str(pictures / "channels.png"))


def test_labels_are_outlined_and_there_is_no_scale_bar_without_a_pixel_size(show: Show) -> None:
    image, labels = discs(pixel_size_um=None)
    shown = show(ig.view(image * 0, labels=labels, pixel_size_um=None))
    shown.settle()
    pixels = shown.pixels().max(axis=2)
    assert shown.js("app.bar") is None
    assert _at(shown, shown.pixels(), 25.5, 25.5) == [0, 0, 0]
    bright = (pixels > 150).sum() * shown.js("app.image.scale")
    assert 48 * 2 * np.pi * 8 < bright < 48 * 2 * np.pi * 22  # one or two screen pixels around every disc
    shown.page.locator("[data-layer=labels]").uncheck()
    shown.settle()
    assert shown.pixels().max() == 0


def test_one_selection_in_image_embedding_histogram_and_python(show: Show, pictures: Path) -> None:
    image, _ = discs()
    cells = cells_of_discs()
    viewer = ig.view(image, cells=cells, embedding="X_umap", colour="number")
    shown = show(viewer)
    shown.settle()
    shown.page.click("[data-tool=box]")
    shown.drag("canvas.ig-embedding", [(0.6, 0.0), (1.0, 1.0)])
    shown.until("app.selection.total === 24")
    shown.arrived()
    assert set(cells[viewer.selected].obs["kind"]) == {"CD8"}
    shown.drag("canvas.ig-histogram", [(0.5, 0.5), (1.0, 0.5)], keys=("Alt",))  # takes the upper half away
    shown.until("app.selection.total === 12")
    shown.arrived()
    assert cells.X[viewer.selected].ravel().tolist() == list(range(0, 24, 2))
    top = shown.js("app.image.screen([200, 0], app.image.ports()[0])[1] / app.image.height")
    shown.drag("canvas.ig-image", [(0.0, top), (1.0, top), (1.0, 0.3), (0.0, 0.3)], keys=("Shift",))
    shown.arrived()
    assert (viewer.selected == _inside(shown, cells)).all()
    assert 0 < viewer.selected.sum() < 48
    mask = np.arange(48) < 5
    viewer.select(mask)
    shown.js("poll()")
    shown.until("app.selection.total === 5")
    assert shown.js("document.querySelector('.ig-count').textContent") == "5 of 48 cells selected"
    shown.page.screenshot(path=str(pictures / "selection.png"))
    shown.js("app.image.canvas.focus()")
    shown.page.keyboard.press("Escape")
    shown.until("app.selection.total === 0")
    shown.page.keyboard.press("v")  # by keys alone: everything in view
    shown.until("app.selection.total === 48")
    shown.arrived()
    assert viewer.selected.all()


def _inside(shown: Any, cells: Any) -> np.ndarray:
    ring = shapely.Polygon(shown.js("app.ring.ring"))
    x, y = (cells.obsm["spatial"] / 0.5).astype(np.float32).astype(float).T
    return shapely.contains_xy(ring, x, y)


def test_many_cells_are_written_where_and_as_few_are_drawn(show: Show) -> None:
    """Beyond 20,000 in view cells are pixels of our own; the card draws the same ones for comparison."""
    rng = np.random.default_rng(3)
    places, kinds = rng.uniform(0, 400, (40_000, 2)), pd.Categorical(rng.integers(0, 3, 40_000).astype(str))
    cells = anndata.AnnData(obs=pd.DataFrame({"group": kinds}, index=[f"c{i}" for i in range(40_000)]))
    cells.obsm["spatial"], cells.uns["integrate"] = places * 0.5, {"unit": "um"}
    viewer = ig.view(discs()[0] * 0, cells=cells, colour="group")
    viewer.select(places[:, 0] < 200)
    shown = show(viewer)
    shown.settle()
    written = shown.pixels().astype(int)
    shown.js(
        "() => { app.image.cloud.drawFew = function (view, dot) { "
        "this.app.painter.refill(this.order, Uint32Array.from({ length: this.count }, (_, i) => i), "
        "this.app.painter.gl.ELEMENT_ARRAY_BUFFER); this.app.painter.drawPoints(view, { ...this.app.cellLook(), "
        "places: this.buffer, order: this.order, count: this.count }, dot); return true; }; app.image.draw(); }"
    )
    shown.page.wait_for_timeout(1000)
    drawn = shown.pixels().astype(int)
    assert (written != drawn).any()
    left, right = (int(shown.js("(x) => app.image.screen([x, 0], app.image.ports()[0])[0]", x)) for x in (5, 195))
    far, end = (int(shown.js("(x) => app.image.screen([x, 0], app.image.ports()[0])[0]", x)) for x in (205, 395))
    for part in (slice(left, right), slice(far, end)):
        np.testing.assert_allclose(written[50:-50, part].mean((0, 1)), drawn[50:-50, part].mean((0, 1)), atol=25)
    assert written[50:-50, left:right].mean() > 1.5 * written[50:-50, far:end].mean()  # chosen ones stand out


def test_a_lasso_around_a_million_cells_is_what_shapely_says(show: Show) -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 400, (1_000_000, 2))
    viewer = ig.view(discs()[0], cells=places, embedding=rng.normal(size=(1_000_000, 2)), height=250)
    shown = show(viewer, width=700, height=500)
    shown.settle()
    turn = np.linspace(0, 2 * np.pi, 24)
    shown.page.click("[data-tool=lasso]")
    shown.drag("canvas.ig-image", [(0.5 + 0.3 * np.cos(3 * a) * np.cos(a), 0.5 + 0.3 * np.sin(a)) for a in turn])
    shown.until("app.selection.any")
    shown.arrived()
    ring = shapely.Polygon(shown.js("app.ring.ring"))
    x, y = places.astype(np.float32).astype(float).T
    expected = np.zeros(len(x), bool)
    for start in range(0, len(x), 250_000):
        part = slice(start, start + 250_000)
        expected[part] = _even_odd(np.array(ring.exterior.coords), x[part], y[part])
    assert (viewer.selected == expected).all()
    assert 1_000 < expected.sum() < 500_000
    print(f"lasso around {expected.sum():,} of a million cells: {shown.js('app.chose_ms'):.0f} ms")


def _even_odd(ring: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Count, for every point, how often a ray to the right crosses the ring."""
    inside = np.zeros(len(x), bool)
    for (xa, ya), (xb, yb) in itertools.pairwise(ring):
        crossed = (ya > y) != (yb > y)
        inside[crossed] ^= x[crossed] < (xb - xa) * (y[crossed] - ya) / (yb - ya) + xa
    return inside


def test_lost_tiles_are_asked_for_again_and_the_person_is_told(show: Show) -> None:
    viewer = ig.view(discs()[0])
    viewer._spec = {**viewer._spec, "patience_ms": 300}
    viewer._find_limits([0, 1])
    shown = show(viewer)
    shown.silent = True  # from now on whatever is asked is lost
    shown.js("app.tiles.known.clear(); app.image.draw()")
    shown.until("document.querySelector('.ig-note').textContent.includes('not answering')")
    shown.silent = False
    shown.settle()
    assert shown.js("document.querySelector('.ig-note').textContent") == ""
    asked = [one["content"] for one in shown.asked if one["method"] == "custom"]
    keys = [key for one in asked if one["type"] == "tiles" for key in one["keys"]]
    assert keys.count("0/0/0/0/0") >= 2
    assert shown.pixels().max() > 0


def test_a_tile_that_cannot_be_read_is_said_and_the_rest_is_shown(show: Show) -> None:
    viewer = ig.view(discs()[0])
    viewer._find_limits([0, 1])
    whole = viewer._images[0].tile

    def broken(level: int, channel: int, row: int, column: int) -> Any:
        if channel == 1:
            raise OSError("the disk is gone")
        return whole(level, channel, row, column)

    viewer._images[0].tile = broken
    shown = show(viewer)
    shown.settle()
    assert "the disk is gone" in shown.js("document.querySelector('.ig-note').textContent")
    assert max(_at(shown, shown.pixels(), 25.5, 25.5)) > 100


def test_regions_are_drawn_named_edited_and_taken_back(show: Show, pictures: Path) -> None:
    image, _ = discs()
    viewer = ig.view(image, annotator="AB")
    shown = show(viewer)
    shown.settle()
    shown.page.click("[data-tool=draw]")
    corners = [(60, 60), (160, 60), (160, 140), (60, 140)]
    for x, y in corners:
        shown.page.mouse.click(*_on_page(shown, x, y))
    shown.js("app.image.canvas.focus()")
    shown.page.keyboard.press("Enter")
    shown.until("app.regions.list.length === 1")
    shown.arrived()
    drawn = viewer.regions.geometry[0]
    assert drawn.symmetric_difference(shapely.Polygon(corners)).area < 0.03 * drawn.area
    shown.page.locator("[data-region] [data-key=name]").fill("nest")
    shown.page.locator("[data-region] [data-key=classification]").fill("Tumor")
    shown.page.keyboard.press("Tab")
    shown.until("S._regions[0].classification === 'Tumor'")
    shown.arrived()
    row = viewer.regions.iloc[0]
    assert (row["name"], row["classification"], row["annotator"]) == ("nest", "Tumor", "AB")
    shown.page.click("[data-tool=edit]")
    shown.page.mouse.move(*_on_page(shown, 60, 60))
    shown.page.mouse.down()
    shown.page.mouse.move(*_on_page(shown, 20, 20), steps=5)
    shown.page.mouse.up()
    shown.until("S._regions[0].rings[0].some(([x]) => x < 30)")
    shown.arrived()
    assert viewer.regions.geometry[0].area > drawn.area
    shown.page.screenshot(path=str(pictures / "regions.png"))
    shown.page.get_by_text("Undo").click()
    shown.until("!S._regions[0].rings[0].some(([x]) => x < 30)")
    shown.arrived()
    assert viewer.regions.geometry[0].equals(drawn)
    shown.page.get_by_text("Remove").click()
    shown.until("S._regions.length === 0")
    shown.arrived()
    assert len(viewer.regions) == 0


def _on_page(shown: Any, x: float, y: float) -> tuple[float, float]:
    place = shown.js(
        """([x, y]) => { const b = app.image.canvas.getBoundingClientRect();
        const p = app.image.screen([x, y], app.image.ports()[0]);
        return [b.left + p[0] * b.width / app.image.width, b.top + p[1] * b.height / app.image.height]; }""",
        [x, y],
    )
    return place[0], place[1]


def test_a_box_around_an_object_becomes_its_outline(show: Show) -> None:
    viewer = ig.view(discs()[0], channels="DNA")
    shown = show(viewer)
    shown.settle()
    shown.page.click("[data-tool=refine]")
    shown.page.mouse.move(*_on_page(shown, 55, 55))
    shown.page.mouse.down()
    shown.page.mouse.move(*_on_page(shown, 96, 97), steps=4)
    shown.page.mouse.up()
    shown.until("S._regions.length === 1")
    shown.arrived()
    disc = shapely.Point(75.5, 75.5).buffer(10)
    found = viewer.regions.geometry[0]
    assert found.intersection(disc).area / found.union(disc).area > 0.9
    shown.page.mouse.move(*_on_page(shown, 98, 98))
    shown.page.mouse.down()
    shown.page.mouse.move(*_on_page(shown, 103, 103), steps=4)
    shown.page.mouse.up()
    shown.until("document.querySelector('.ig-note').textContent.includes('nothing stands out')")


def test_two_images_are_shown_over_beside_and_in_turn(show: Show, pictures: Path) -> None:
    first = make_image(np.full((1, 200, 200), 100, np.uint8), channels=["a"], pixel_size_um=None)
    second = make_image(np.full((1, 100, 100), 100, np.uint8), channels=["b"], pixel_size_um=None)
    colours = {"a": "#ff0000", "b": "#00ff00"}
    viewer = ig.view(first, compare=second, compare_affine=[[2, 0, 0], [0, 2, 0]], channels=colours)
    viewer._channels = [{**one, "low": 0.0, "high": 100.0, "min": 0.0, "max": 200.0} for one in viewer._channels]
    shown = show(viewer, reduced_motion="reduce")
    shown.settle()
    assert _at(shown, shown.pixels(), 100, 100) == [255, 255, 0]

    def in_mode(mode: str) -> np.ndarray:
        viewer.mode = mode
        shown.settle()
        shown.page.wait_for_timeout(60)
        return np.asarray(shown.pixels())

    assert _at(shown, in_mode("blink"), 100, 100) == [255, 0, 0]
    shown.page.get_by_text("Flip").click()
    shown.settle()
    assert _at(shown, shown.pixels(), 100, 100) == [0, 255, 0]
    checked = in_mode("checker")
    shown.page.screenshot(path=str(pictures / "checker.png"))
    red, green = ((checked == colour).all(axis=2).sum() for colour in ([255, 0, 0], [0, 255, 0]))
    assert red + green > 0.9 * (200 / shown.js("app.image.scale")) ** 2
    assert 0.7 < red / green < 1.4
    beside = in_mode("side")
    half = beside.shape[1] // 2
    assert beside[beside.shape[0] // 2, half // 2].tolist() == [255, 0, 0]
    assert beside[beside.shape[0] // 2, half + half // 2].tolist() == [0, 255, 0]
    shown.page.select_option("select[title='How two images are compared']", "overlay")
    shown.until("S.mode === 'overlay'")
    assert viewer.mode == "overlay"


def test_everything_is_reached_by_keys_and_has_a_name(show: Show) -> None:
    shown = show(ig.view(discs()[0], cells=cells_of_discs(), embedding="X_umap", colour="number", annotator="AB"))
    shown.settle()
    reached = []
    for _ in range(60):
        shown.page.keyboard.press("Tab")
        reached.append(shown.js("document.activeElement.dataset.tool ?? document.activeElement.className"))
    for wanted in ("pan", "lasso", "refine", "ig-canvas ig-image", "ig-canvas ig-embedding", "ig-canvas ig-histogram"):
        assert wanted in reached
    nameless = shown.js(
        """[...document.querySelectorAll("button, select, input, canvas")].filter((one) => !(
        one.getAttribute("aria-label") || one.title || one.labels?.length || one.textContent.trim()
        )).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    taken = (
        "[...document.querySelectorAll('button, select, input, canvas')].map((one) => one.dataset.lmSuppressShortcuts)"
    )
    assert set(shown.js(taken)) == {"true"}  # JupyterLab asks the focused element itself
    shown.js("app.image.canvas.focus()")
    before = shown.js("app.image.scale")
    shown.page.keyboard.press("+")
    assert shown.js("app.image.scale") < before
    shown.js("app.histogram.canvas.focus()")
    shown.page.keyboard.press("ArrowRight")
    shown.page.keyboard.press("Enter")
    shown.until("app.selection.total === 2")  # the lowest bar holds 0 and 1


def test_the_browser_gives_its_picture_and_a_program_moves_the_view(show: Show) -> None:
    import cv2

    viewer = ig.view(discs()[0])
    shown = show(viewer)
    shown.settle()
    viewer.look_at(75.5, 75.5, width=40)
    shown.js("poll()")
    shown.until("S._window.length === 4 && S._window[2] < 41")
    shown.page.wait_for_timeout(100)
    top, bottom, left, right = viewer.shown
    assert (left, right) == pytest.approx((55.5, 95.5))
    assert (top + bottom) / 2 == pytest.approx(75.5)
    shown.settle()
    viewer.send({"type": "snapshot", "ticket": 1})  # what `screenshot` sends; here nothing waits for the answer
    shown.js("poll()")
    shown.page.wait_for_timeout(100)
    shown.arrived()
    picture = cv2.imdecode(np.frombuffer(viewer._pictures[1], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(picture, shown.pixels())


def test_only_tiles_in_view_and_channels_that_are_on_are_read(show: Show) -> None:
    """Forty channels of 16,384 squared, of which the first view needs four coarse tiles."""
    import dask.array as da

    read: list[Any] = []

    def block(block_info: Any = None) -> np.ndarray:
        read.append(block_info[None]["array-location"])
        return np.full(block_info[None]["chunk-shape"], 7, np.uint16)

    sides, empty = (16384, 8192, 4096, 2048, 1024, 512), np.empty((0, 0, 0), np.uint16)
    levels = [
        da.map_blocks(block, chunks=((1,) * 40, *((512,) * (n // 512),) * 2), dtype=np.uint16, meta=empty)
        for n in sides
    ]
    shown = show(ig.view(levels), device_scale_factor=2)
    shown.settle()
    assert len(read) <= 4 * (1 + 4)  # the whole in one tile, and 2 x 2 tiles of 1,024
    assert {location[0][0] for location in read} == {0, 1, 2, 3}
    asked = [one["content"].get("keys", []) for one in shown.asked if one["method"] == "custom"]
    keys = dict.fromkeys(key for one in asked for key in one)  # a slow machine asks again
    first = [tuple(map(int, key.split("/")[1:3])) for key in keys]
    assert first == [(5, 0), (5, 1), (5, 2), (5, 3), *[(4, 0), (4, 1), (4, 2), (4, 3)] * 4]  # level, channel
    shown.widget.look_at(8192, 8192, width=600)
    shown.js("poll()")
    shown.settle()
    assert len(read) <= 4 * (1 + 4 + 9 + 4)


def test_viewers_that_leave_the_page_give_their_graphics_context_back(show: Show) -> None:
    shown = show(ig.view(discs()[0]))
    shown.settle()
    assert shown.js(
        """async () => { const { default: widget } = await import("/widget.js"); let last;
        const quiet = { get: (n) => S[n], set() {}, save_changes() {}, send() {}, on() {}, off() {} };
        for (let i = 0; i < 24; i++) { const el = document.createElement("div"); document.body.append(el);
          const leave = widget.render({ model: quiet, el });
          last = el.firstElementChild.viewer; await new Promise(requestAnimationFrame); leave(); el.remove(); }
        return !!last && !app.painter.gl.isContextLost(); }"""
    )
