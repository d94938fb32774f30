"""Cards of other libraries' objects: registered, not patched; escaped, small, readable in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import spatialdata as sd
from spatialdata.models import Image2DModel, ShapesModel

import integrate as ig

HOSTILE = '<script>alert(1)</script>" onload="x'


@pytest.fixture
def shell() -> Iterator[Any]:
    from IPython.core.interactiveshell import InteractiveShell

    made = InteractiveShell.instance()
    yield made
    made.run_line_magic("unload_ext", "integrate")
    InteractiveShell.clear_instance()


def shown(shell: Any, thing: Any) -> str | None:
    data, _ = shell.display_formatter.format(thing)
    return data.get("text/html")


def _subject() -> sd.SpatialData:
    import geopandas as gpd
    import shapely

    subject = ig.load_subject(ig.datasets.toy_study(), "P02")
    subject["pyramid"] = Image2DModel.parse(
        np.zeros((2, 64, 64), np.uint8), dims=("c", "y", "x"), c_coords=["a", "b"], scale_factors=[2]
    )
    subject["drawn"] = ShapesModel.parse(gpd.GeoDataFrame({"kind": ["x"]}, geometry=[shapely.box(0, 0, 1, 1)]))
    return subject


def _cells() -> anndata.AnnData:
    obs = pd.DataFrame(
        {HOSTILE: pd.Categorical([HOSTILE, None, "b"]), "age": [1.0, np.nan, 3.0]}, index=["1", "2", "3"]
    )
    cells = anndata.AnnData(np.ones((3, 2)), obs=obs, var=pd.DataFrame(index=["CD8", HOSTILE]))
    cells.obsm["X_umap"] = np.zeros((3, 2))
    cells.uns["integrate"] = {"ids": {"subject_id": "P01"}, "input_hash": "00"}
    return cells


def test_cards_come_with_the_extension_and_go_with_it(shell: Any) -> None:
    cells = _cells()
    assert shown(shell, cells) is None
    shell.run_line_magic("load_ext", "integrate")
    assert "3 observations × 2 variables" in str(shown(shell, cells))
    assert not hasattr(anndata.AnnData, "_repr_html_")
    shell.run_line_magic("unload_ext", "integrate")
    assert shown(shell, cells) is None


def test_a_spatialdata_shows_its_elements_with_pixel_size_and_spaces(shell: Any) -> None:
    shell.run_line_magic("load_ext", "integrate")
    html = str(shown(shell, _subject()))
    for expected in ("fields_f2", "0.5 µm", "DNA, CD8", "c 2 × y 64 × x 64", "2 scales", "1 rows", "in memory"):
        assert expected in html


def test_an_anndata_shows_missing_values_and_whose_it_is(shell: Any) -> None:
    shell.run_line_magic("load_ext", "integrate")
    html = str(shown(shell, _cells()))
    for expected in ("subject_id P01", "provenance known", "X_umap", "age"):
        assert expected in html
    assert HOSTILE not in html
    assert "<script" not in html


def test_intake_objects_show_without_being_opened(shell: Any) -> None:
    shell.run_line_magic("load_ext", "integrate")
    catalog = ig.datasets.toy_catalog().to_intake()
    assert "Fields of view, one TIFF per channel" in str(shown(shell, catalog))
    entry = str(shown(shell, next(iter(catalog.entries.values()))))
    assert "ChannelFolder" in entry
    assert "OptionsUserParameter" in entry
    assert "xarray:DataArray" in str(shown(shell, catalog["fields"]))


def test_every_card_is_small_however_much_there_is(shell: Any) -> None:
    shell.run_line_magic("load_ext", "integrate")
    wide = anndata.AnnData(
        np.zeros((500, 3000), np.float32),
        obs=pd.DataFrame({f"column {i}": np.arange(500) for i in range(200)}, index=[str(i) for i in range(500)]),
    )
    subject = _subject()
    for i in range(100):
        subject[f"again_{i}"] = subject["drawn"]
    for thing in (wide, subject):
        html = str(shown(shell, thing))
        assert len(html) < 50_000
        assert "more" in html


@pytest.mark.browser
def test_cards_fit_narrow_and_wide_pages_in_light_and_dark(browser: Any, shell: Any, pictures: Path) -> None:
    shell.run_line_magic("load_ext", "integrate")
    things = (_subject(), _cells(), ig.datasets.toy_catalog().to_intake(), ig.datasets.toy_catalog())
    html = "".join(str(shown(shell, thing)) for thing in things)
    for scheme, width in (("light", 1300), ("dark", 700)):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.set_content(
            f'<meta charset=utf-8><body style="background:{"#111" if scheme == "dark" else "#fff"}">{html}'
        )
        page.screenshot(path=str(pictures / f"cards_{scheme}.png"), full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ink, paper = page.evaluate(
            "(() => { const s = getComputedStyle(document.querySelector('.ig')); "
            "return [s.color, s.backgroundColor] })()"
        )
        light = [sum(int(part) for part in text[4:-1].split(",")) for text in (ink, paper)]
        assert (light[0] < light[1]) == (scheme == "light")
        assert abs(light[0] - light[1]) > 400
        assert asked == []
        page.close()
