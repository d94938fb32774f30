"""The shape of a catalog: where it must hold a mapping, a list, a text or a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from integrate.catalog.registry import ASSET_READER

__all__ = ["shape_faults"]

Shape = Callable[[Any, str], Iterator[str]]

WORDS: dict[str, str] = {"dict": "a mapping", "list": "a list", "str": "text", "NoneType": "nothing"}


def shape_faults(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield place, finding and expectation of everything that has another shape than its name asks for.

    Parameters
    ----------
    document
        The sections of a catalog, each a mapping. What the project does not know by name may have any shape.

    Examples
    --------
    >>> list(shape_faults({"metadata": {"channels": "DAPI"}, "user_parameters": {}, "entries": {}}))
    ['metadata.channels: expected a list, found text']
    """
    yield from _CATALOG(document["metadata"], "metadata")
    yield from _PARAMETERS(document["user_parameters"], "user_parameters")
    yield from _map(_text)(document.get("aliases"), "aliases")
    for name, entry in document["entries"].items():
        for field, shape in _ENTRY.items():
            yield from shape(entry.get(field), f"entries.{name}.{field}")
        if entry.get("reader") == ASSET_READER:
            yield from _needs(_ITEM, "reader", "url")(entry["kwargs"].get("item"), f"entries.{name}.kwargs.item")


def _any(value: Any, place: str) -> Iterator[str]:
    yield from ()


def _plain(value: Any, place: str) -> Iterator[str]:
    """Text, a number, true or false, a day, or nothing."""
    if isinstance(value, (Mapping, list)):
        yield _told(place, "a single value", value)


def _unknown(value: Any, place: str) -> Iterator[str]:
    yield f"{place}: no such field here"


def _text(value: Any, place: str) -> Iterator[str]:
    if value is not None and not isinstance(value, str):
        yield _told(place, "text", value)


def _number(value: Any, place: str) -> Iterator[str]:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        yield _told(place, "a number", value)


def _truth(value: Any, place: str) -> Iterator[str]:
    if value is not None and not isinstance(value, bool):
        yield _told(place, "true or false", value)


def _map(inner: Shape = _any, **known: Shape) -> Shape:
    """Return the shape of a mapping with text keys: some of a known shape, the others of `inner`."""

    def check(value: Any, place: str) -> Iterator[str]:
        if value is not None and not isinstance(value, Mapping):
            yield _told(place, "a mapping", value)
        for name, item in value.items() if isinstance(value, Mapping) else ():
            if not isinstance(name, str):
                yield f"{place}: the key {name!r} is not text; write '{name}'"
            yield from known.get(str(name), inner)(item, f"{place}.{name}")

    return check


def _codes(value: Any, place: str) -> Iterator[str]:
    """A mapping whose keys are codes, so that they may be numbers."""
    if value is not None and not isinstance(value, Mapping):
        yield _told(place, "a mapping", value)
    for name, item in value.items() if isinstance(value, Mapping) else ():
        yield from _plain(item, f"{place}.{name}")


def _list(inner: Shape) -> Shape:
    def check(value: Any, place: str) -> Iterator[str]:
        if value is not None and not isinstance(value, list):
            yield _told(place, "a list", value)
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from inner(item, f"{place}[{index}]")

    return check


def _one_or_list(inner: Shape) -> Shape:
    def check(value: Any, place: str) -> Iterator[str]:
        yield from (_list(inner) if isinstance(value, list) else inner)(value, place)

    return check


def _needs(shape: Shape, *fields: str) -> Shape:
    """Return the shape of a mapping that must have some fields."""

    def check(value: Any, place: str) -> Iterator[str]:
        yield from shape(value, place)
        absent = [field for field in fields if not (isinstance(value, Mapping) and value.get(field))]
        if absent and (value is None or isinstance(value, Mapping)):
            yield f"{place}: needs `{absent[0]}`"

    return check


def _both(*shapes: Shape) -> Shape:
    def check(value: Any, place: str) -> Iterator[str]:
        for shape in shapes:
            yield from shape(value, place)

    return check


def _columns(value: Any, place: str) -> Iterator[str]:
    """The codebook of a table, or the names of the columns to read."""
    yield from (_list(_plain) if isinstance(value, list) else _CODEBOOK)(value, place)


def _event(value: Any, place: str) -> Iterator[str]:
    """The name of the day 0, or also the column that has its date."""
    if isinstance(value, Mapping):
        yield from _needs(_map(_unknown, name=_plain, entry=_text, column=_text), "entry", "column")(value, place)
    else:
        yield from _plain(value, place)


def _storage(value: Any, place: str) -> Iterator[str]:
    if value != "{STORAGE_OPTIONS}":
        yield from _map()(value, place)


def _told(place: str, expected: str, found: Any) -> str:
    kind = type(found).__name__
    return f"{place}: expected {expected}, found {WORDS.get(kind, kind)}"


_WORDS = _one_or_list(_plain)
_CODEBOOK = _map(
    _map(
        **dict.fromkeys(("dtype", "level"), _text),
        **dict.fromkeys(("unit", "term", "description", "ordered"), _plain),
        **dict.fromkeys(("min", "max"), _number),
        **dict.fromkeys(("levels", "missing"), _list(_plain)),
        labels=_codes,
    )
)
_DESCRIBED: dict[str, Shape] = {
    **dict.fromkeys(("description", "modality", "level", "licence", "access", "name"), _plain),
    **dict.fromkeys(("device", "software", "batch", "stain", "body_part"), _plain),
    **dict.fromkeys(("consent", "doi", "source", "authors"), _WORDS),
    **dict.fromkeys(("terms", "units", "coordinate_system"), _map(_any)),
    "channels": _list(_needs(_map(), "name")),
    "pixel_size_um": _one_or_list(_number),
    "x-undecided": _list(_plain),
}
_LOCATED = _map(
    _any,
    url=_text,
    mirrors=_list(_text),
    storage_options=_storage,
    **dict.fromkeys(("ids", "keys", "roots", "parameters"), _map(_plain)),
    verify=_map(_unknown, hash=_text, bytes=_plain, manifest=_text),
    where=_map(_WORDS),
    key=_text,
    patient_namespace=_text,
    columns=_columns,
)


_ITEM = _both(_LOCATED, _map(_any, reader=_text, day=_plain))
_PARAMETERS = _map(
    _map(
        **dict.fromkeys(("cls", "dtype", "env", "pattern", "description"), _text),
        options=_list(_plain),
        default=_plain,
    )
)
_CHECKED = _needs(_map(entry=_text, column=_text, public=_truth), "entry", "column")
_STUDY = _map(
    _any,
    index_event=_event,
    spine=_map(_text),
    identifiers=_map(_map(pattern=_text, ids=_map(_text), public=_truth)),
    public_ids=_truth,
    crosscheck=_list(_both(_CHECKED, _map(**{"with": _CHECKED}, codes=_codes, tolerance=_number))),
    missing_by=_list(_CHECKED),
    **dict.fromkeys(("visits", "parents"), _list(_map(_plain))),
)
_CATALOG = _map(_any, **_DESCRIBED, study=_STUDY)
_ENTRY: dict[str, Shape] = {
    "user_parameters": _PARAMETERS,
    "kwargs": _needs(_LOCATED, "url"),
    "metadata": _map(_any, **_DESCRIBED),
    "output_instance": _text,
}
