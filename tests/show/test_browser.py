"""The catalog browser on a page: filtering, a preview, and code that runs as it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import integrate as ig
from integrate.errors import MissingDependencyError


@pytest.mark.browser
def test_datasets_are_found_looked_at_and_taken_as_code(show: Callable[..., Any], pictures: Path) -> None:
    catalog = ig.datasets.toy_catalog()
    shown = show(ig.browse(catalog, beside=False), width=700)
    names = "[...document.querySelectorAll('[data-dataset]')].map((one) => one.dataset.dataset).join()"
    assert shown.js(names) == "fields,clinical"
    shown.page.fill(".ig-text", "per person")
    shown.until(f"{names} === 'clinical'")
    shown.page.fill(".ig-text", "")
    shown.page.select_option(".ig-modality", "IF")
    shown.page.fill(".ig-subject", "P02")
    shown.until(f"{names} === 'fields' && document.querySelector('[data-dataset]').textContent.includes('2 items')")
    shown.page.click("[data-dataset=fields]")
    shown.until("document.querySelector('.ig-look img')?.naturalWidth === 64")
    assert shown.js("[...document.querySelector('.ig-items').options].map((o) => o.value)") == [
        "field=f2_P02", "field=f3_P02"
    ]  # fmt: skip
    shown.page.select_option(".ig-items", "field=f3_P02")
    shown.until(
        "document.querySelector('.ig-look img') && document.querySelector('.ig-look').textContent.includes('f3_P02')"
    )
    assert "DNA, CD8" in shown.js("document.querySelector('.ig-look').textContent")
    code = shown.js("document.querySelector('.ig-code').textContent")
    held: dict[str, Any] = {"catalog": catalog}
    exec(code, held)
    assert held["fields"].attrs["integrate"]["ids"]["folder"] == "f3_P02"
    shown.page.screenshot(path=str(pictures / "browser.png"))
    shown.page.click(".ig-insert")
    shown.until("document.querySelector('.ig-status').textContent.includes('clipboard')")  # here is no notebook


@pytest.mark.browser
def test_a_table_is_previewed_and_what_cannot_be_opened_is_said(show: Callable[..., Any], tmp_path: Path) -> None:
    catalog = ig.datasets.toy_catalog(tmp_path / "toy") if (tmp_path / "toy").mkdir() is None else None
    assert catalog is not None
    shown = show(ig.browse(catalog, beside=False))
    shown.page.click("[data-dataset=clinical]")
    shown.until("document.querySelector('.ig-look').textContent.includes('age')")
    assert shown.js("document.querySelector('.ig-code').textContent") == 'clinical = catalog["clinical"].load()'
    (tmp_path / "toy" / "f1_P01" / "DNA.tif").write_text("<img src=x onerror=alert(1)>")
    shown.page.click("[data-dataset=fields]")
    shown.until("document.querySelector('.ig-look').textContent.includes('f1_P01')")
    assert shown.js("document.querySelectorAll('.ig-look img').length") == 0


def test_a_panel_beside_the_notebook_needs_sidecar(monkeypatch: pytest.MonkeyPatch) -> None:
    from integrate.show import browser

    monkeypatch.setattr(browser.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"integrate\[panel\]"):
        ig.browse(ig.datasets.toy_catalog(), beside=True)
    data, _ = ig.browse(ig.datasets.toy_catalog())._repr_mimebundle_()
    assert "Fields of view" in data["text/html"]  # what a page without a kernel shows
