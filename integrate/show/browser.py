"""The catalog browser: a panel in which datasets are found, looked at, and taken into the notebook as code."""

from __future__ import annotations

from importlib import util
from typing import TYPE_CHECKING, Any, Final

import anywidget
import traitlets

from integrate.errors import IntegrateError, MissingDependencyError
from integrate.model.html import card, escape
from integrate.show.beside import answer_beside_cells
from integrate.show.bundle import script, stylesheet
from integrate.show.preview import describe, thumbnail
from integrate.show.still import png_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integrate.catalog.entry import Entry
    from integrate.catalog.open import Catalog

__all__ = ["CatalogBrowser", "browse"]

MAX_ITEMS: Final = 300


class CatalogBrowser(anywidget.AnyWidget):
    """A panel made by `browse`.

    Parameters
    ----------
    catalog
        The catalog.
    variable
        What it is called in the notebook.
    beside
        Whether it stands beside the notebook.
    """

    _esm = script(["make", "browser"])
    _css = stylesheet("browser")

    variable = traitlets.Unicode("catalog").tag(sync=True)
    _modalities: traitlets.List[Any] = traitlets.List().tag(sync=True)
    _found = traitlets.Dict().tag(sync=True)
    _items = traitlets.Dict().tag(sync=True)

    def __init__(self, catalog: Catalog, *, variable: str, beside: bool) -> None:
        self._catalog, self._beside = catalog, beside
        self._hits: Mapping[str, Entry] = catalog
        super().__init__(
            variable=variable,
            _modalities=sorted({entry.modality for entry in catalog.values()} - {""}),
            _found=_listed(catalog, f"{len(catalog)} datasets"),
            _items={"dataset": "", "items": [], "more": 0},
        )
        self.on_msg(self._answer)
        answer_beside_cells(self)

    def __repr__(self) -> str:
        where = ", beside the notebook" if self._beside else ""
        return f"<CatalogBrowser of {self._catalog.name!r}: {len(self._catalog)} datasets{where}>"

    def _repr_mimebundle_(self, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if self._beside:
            return {"text/plain": repr(self)}, {}
        shown = super()._repr_mimebundle_(**settings)
        data, notes = shown if isinstance(shown, tuple) else (shown or {}, {})
        return {**data, "text/html": self._catalog._repr_html_(), "text/plain": repr(self)}, notes

    def _answer(self, _: Any, message: dict[str, Any], __: Any) -> None:
        kind = message.get("type")
        if kind == "search":
            self._search(message)
        elif kind == "items":
            self._list_items(str(message["dataset"]))
        elif kind == "preview":
            self._preview(str(message["dataset"]), str(message["item"]))

    def _search(self, message: dict[str, Any]) -> None:
        asked = {key: str(message[key]).strip() or None for key in ("text", "modality", "subject")}
        try:
            hits = self._catalog.search(**asked)
        except IntegrateError as error:
            self._found = {**self._found, "note": str(error)}
            return
        missed = f"; {len(hits.unreachable)} could not be asked" if hits.unreachable else ""
        self._hits = hits
        self._found = _listed(hits, f"{len(hits)} of {len(self._catalog)} datasets{missed}")

    def _list_items(self, dataset: str) -> None:
        try:
            names = [str(item) for item in self._hits[dataset].items()["item"]]
        except (IntegrateError, OSError) as error:
            self._found = {**self._found, "note": str(error)}
            return
        self._items = {"dataset": dataset, "items": names[:MAX_ITEMS], "more": max(0, len(names) - MAX_ITEMS)}

    def _preview(self, dataset: str, item: str) -> None:
        title = f"{dataset} · {item}" if item else dataset
        told = {"type": "preview", "dataset": dataset, "item": item, "alt": f"Preview of {title}"}
        try:
            opened = self._hits[dataset].load_item(item)
            picture, what = thumbnail(opened)
            html = describe(opened, title=title)
        except (IntegrateError, OSError) as error:
            self.send({**told, "html": card(title, escape(error))})
            return
        buffers = [] if picture is None else [png_bytes(picture)]
        self.send({**told, "alt": f"{title}: {what}", "html": html}, buffers)


def _listed(entries: Mapping[str, Entry], note: str) -> dict[str, Any]:
    datasets = [
        {"name": name, "modality": one.modality, "description": one.description, "items": _count(one)}
        for name, one in ((name, entries[name]) for name in entries)
    ]
    return {"datasets": datasets, "note": note}


def _count(entry: Entry) -> int | str:
    try:
        return entry.count()
    except (IntegrateError, OSError):
        return "?"


def browse(catalog: Catalog, *, variable: str = "catalog", beside: bool | None = None) -> CatalogBrowser:
    """Return a panel to find datasets by words, modality and subject, look at one, and insert the code that loads it.

    Parameters
    ----------
    catalog
        What `open_catalog` returned.
    variable
        What the catalog is called in the notebook, for the inserted code.
    beside
        Whether the panel stands beside the notebook; by default where the package sidecar is there.

    Returns
    -------
    CatalogBrowser. Only the item one looks at is opened.

    Raises
    ------
    MissingDependencyError
        If it should stand beside the notebook and sidecar is absent.

    Examples
    --------
    >>> browse(ig.datasets.toy_catalog(), beside=False)
    <CatalogBrowser of 'toy': 2 datasets>
    """
    present = util.find_spec("sidecar") is not None
    if beside and not present:
        raise MissingDependencyError('a panel beside the notebook needs sidecar: pip install "integrate[panel]"')
    beside = present if beside is None else beside
    browser = CatalogBrowser(catalog, variable=variable, beside=False)
    if beside:
        from IPython.display import display
        from sidecar import Sidecar

        with Sidecar(title=f"Catalog {catalog.name}", anchor="split-right"):
            display(browser)  # type: ignore[no-untyped-call]
        browser._beside = True  # what the cell itself shows from now on
    return browser
