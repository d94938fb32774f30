"""A comparison of two reports: each output of each cell, each table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import ReportError
from integrate.report.difference import (
    Difference,
    Tolerance,
    compare_pictures,
    compare_tables,
    compare_texts,
    plain_text,
)
from integrate.report.folder import NOTEBOOK
from integrate.report.page import cell_headings

if TYPE_CHECKING:
    import pandas as pd
    from nbformat import NotebookNode

__all__ = ["changed_cells", "find_differences", "read_executed"]

#: Kinds of output in the order of what tells most.
_TEXTS: Final = ("text/html", "text/markdown", "text/latex", "application/json", "text/plain")
_PICTURES: Final = ("image/png", "image/jpeg")


def find_differences(before: Path, after: Path, *, tolerance: Tolerance) -> list[Difference]:
    """Return what differs between two report folders: each output of each cell, then each table to its last digit.

    Parameters
    ----------
    before, after
        Folders of finished reports.
    tolerance
        What still counts as the same.

    Raises
    ------
    ReportError
        If a notebook cannot be read.
    """
    one, other = read_executed(before), read_executed(after)
    found = list(_outputs(one, other, tolerance))
    return [*found, *_tables(before, after, tolerance)]


def read_executed(folder: Path) -> NotebookNode:
    """Return the executed notebook of a report."""
    import nbformat

    try:
        notebook: NotebookNode = nbformat.read(folder / NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ReportError(f"the executed notebook in {str(folder)!r} cannot be read: {error}") from error
    return notebook


def changed_cells(before: NotebookNode, after: NotebookNode) -> list[tuple[str, str]]:
    """Return place and change of each code cell whose text differs; cells are matched by their id.

    The cells that hold parameters are left out: their values are compared as such.
    """
    one, other = _code(before), _code(after)
    changes = []
    for key in dict.fromkeys([*one, *other]):
        place = (one.get(key) or other[key])[0]
        if key not in other:
            changes.append((place, f"removed: {_first(one[key][1])}"))
        elif key not in one:
            changes.append((place, f"new: {_first(other[key][1])}"))
        elif one[key][1] != other[key][1]:
            old, new = _first_change(one[key][1], other[key][1])
            changes.append((place, f"`{old}` → `{new}`"))
    return changes


def _code(notebook: NotebookNode) -> dict[str, tuple[str, str]]:
    headings = cell_headings(notebook)
    parameters = {"parameters", "injected-parameters"}
    return {
        cell.id: (_place(number, heading), cell.source)
        for number, (cell, heading) in enumerate(zip(notebook.cells, headings, strict=True), 1)
        if cell.cell_type == "code" and not parameters & set(cell.metadata.get("tags", []))
    }


def _place(number: int, heading: str) -> str:
    return f"cell {number}" + (f" under “{heading}”" if heading else "")


def _first(source: str) -> str:
    return f"`{next((line.strip() for line in source.splitlines() if line.strip()), '')}`"


def _first_change(one: str, other: str) -> tuple[str, str]:
    pairs = zip_longest(one.splitlines(), other.splitlines(), fillvalue="")
    return next(((a.strip(), b.strip()) for a, b in pairs if a != b), ("", ""))


def _outputs(one: NotebookNode, other: NotebookNode, tolerance: Tolerance) -> Iterator[Difference]:
    theirs = {cell.id: cell for cell in other.cells}
    headings = cell_headings(one)
    for number, (cell, heading) in enumerate(zip(one.cells, headings, strict=True), 1):
        twin = theirs.pop(cell.id, None)
        place = _place(number, heading)
        if twin is None:
            if cell.get("outputs"):
                yield Difference(place, "cell", "only in the first")
            continue
        if cell.cell_type == "markdown" and cell.source != twin.source:
            yield from compare_texts(place, cell.source, twin.source, tolerance)
        for a, b in zip_longest(cell.get("outputs", []), twin.get("outputs", [])):
            yield from _output(place, a, b, tolerance)
    for cell in theirs.values():
        if cell.get("outputs"):
            yield Difference(_place(other.cells.index(cell) + 1, ""), "cell", "only in the second")


def _output(place: str, one: Any, other: Any, tolerance: Tolerance) -> Iterator[Difference]:
    if one is None or other is None:
        which = "second" if one is None else "first"
        yield Difference(place, "output", f"an output is only in the {which}")
        return
    a, b = _shown(one), _shown(other)
    picture = next((kind for kind in _PICTURES if kind in a and kind in b), None)
    if picture:
        yield from compare_pictures(place, a[picture], b[picture], tolerance)
        return
    kind = next((kind for kind in _TEXTS if kind in a and kind in b), None)
    if kind is None:
        if a != b:
            yield Difference(place, "output", f"{', '.join(a) or 'nothing'} became {', '.join(b) or 'nothing'}")
        return
    yield from compare_texts(place, plain_text(kind, a[kind]), plain_text(kind, b[kind]), tolerance)


def _shown(output: Any) -> dict[str, Any]:
    if output.output_type == "stream":
        return {"text/plain": output.text}
    if output.output_type == "error":
        return {"text/plain": f"{output.ename}: {output.evalue}"}
    return dict(output.data)


def _tables(before: Path, after: Path, tolerance: Tolerance) -> Iterator[Difference]:
    ours, theirs = (_kept_tables(folder) for folder in (before, after))
    for name in sorted({*ours, *theirs}):
        where = f"tables/{name}"
        if name not in ours or name not in theirs:
            yield Difference(where, "table", f"only in the {'first' if name in ours else 'second'}")
        else:
            yield from compare_tables(where, _read_table(ours[name]), _read_table(theirs[name]), tolerance)


def _kept_tables(folder: Path) -> Mapping[str, Path]:
    """Return the file of each table; the Parquet one where both are, because CSV has no dtypes."""
    paths = sorted((folder / "tables").glob("*.csv")) + sorted((folder / "tables").glob("*.parquet"))
    return {path.stem: path for path in paths}


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read: {error}") from error
