"""A notebook shows what a catalog holds, says nothing it does not know, and completes names."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import integrate as ig
from integrate.catalog.lock import lock_catalog
from integrate.catalog.open import Catalog, open_catalog

Writer = Callable[[str], Path]


def test_a_catalog_shows_one_line_per_dataset(catalog: Catalog) -> None:
    page = catalog._repr_html_()
    for word in ("Catalog · toy", "fields", "clinical", "acquisition", "CC0-1.0", '<span class="b plain">unlocked'):
        assert word in page
    lock_catalog(catalog)
    assert '<span class="b ok">locked' in open_catalog(catalog.path)._repr_html_()


def test_a_dataset_shows_what_it_is_and_how_to_open_it(catalog: Catalog) -> None:
    page = catalog["fields"]._repr_html_()
    for word in (">IF<", ">CC0-1.0<", ">unlocked<", "catalog.load(&#x27;fields&#x27;, field=…)", "DNA, CD3"):
        assert word in page
    book = catalog["clinical"]._repr_html_()
    assert "Codebook" in book
    assert "F, M" in book
    assert catalog["files"].usage == "catalog.load('files', acquisition_id=…)"


def test_what_is_not_known_is_said(write_catalog: Writer) -> None:
    entry = '{reader: Table, kwargs: {url: "{CATALOG_DIR}/x.csv"}, metadata: {x-undecided: [whose?]}}'
    page = open_catalog(write_catalog(f"version: 2\nentries: {{x: {entry}}}\n"))["x"]._repr_html_()
    for word in ("modality not stated", "licence not stated", "1 to be decided", "whose?"):
        assert word in page


def test_no_text_of_a_catalog_becomes_markup(write_catalog: Writer, text: str) -> None:
    evil = text.replace("description: fields", "description: '<img src=x onerror=alert(1)>', x: '<script>'")
    catalog = open_catalog(write_catalog(evil))
    for page in (catalog._repr_html_(), catalog["fields"]._repr_html_(), catalog.search("fields")._repr_html_()):
        assert "<img" not in page
        assert "<script" not in page


def test_ipython_completes_the_names_of_datasets(catalog: Catalog) -> None:
    shells = pytest.importorskip("IPython.core.interactiveshell")
    shell = shells.InteractiveShell()
    shell.user_ns |= {"catalog": catalog, "hits": catalog.search(modality="IF")}
    for start, wanted in (
        ("catalog['f", ["fields", "files"]),
        ("hits['fi", ["fields", "files"]),
        ("catalog['c", ["clinical"]),
    ):
        found = [name.partition("[")[2].strip("'\"]") for name in complete(shell, start)]
        assert sorted(found) == wanted


def complete(shell: Any, text: str) -> list[str]:
    """Return what IPython offers for a text, without its notice about a newer interface."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return [str(name) for name in shell.complete(text)[1]]


def test_shipped_catalogs_are_shown_without_their_data() -> None:
    for name in ig.shipped_catalogs():
        catalog = ig.open_catalog(name)
        assert f"Catalog · {catalog.name}" in catalog._repr_html_()
        for entry in catalog.values():
            assert f"Dataset · {entry.name}" in entry._repr_html_()
