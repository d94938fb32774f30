"""What a run keeps beside its page: each table and each figure that a cell showed, as a file of its own."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.report.page import cell_headings
from integrate.report.veil import drawn_texts, kinds_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["KEPT", "install", "keep_outputs"]

#: The kind of output by which the kernel tells which file belongs to what it shows.
KEPT: Final = "application/vnd.integrate.kept+json"
#: A drawing with so many marks is no use as a vector picture; the PNG stays.
MAX_SVG_BYTES: Final = 8_000_000

_TABLES: Final = {("pandas.core.frame", "DataFrame"), ("pandas.io.formats.style", "Styler")}
_FIGURE: Final = ("matplotlib.figure", "Figure")
_NOT_IN_A_NAME = re.compile(r"[^\w]+", re.UNICODE)


def install(shell: Any, folder: Path) -> None:
    """Make a kernel write each table and figure it shows to `folder`, and say so in the output.

    Parameters
    ----------
    shell
        The kernel's IPython shell.
    folder
        Where files ``1.parquet``, ``2.csv``, ``3.svg`` … are written.
    """
    from IPython.core.formatters import BaseFormatter, catch_format_error
    from traitlets import ObjectName, Unicode

    drawer = _Drawer(folder)

    class Keeper(BaseFormatter):
        format_type = Unicode(KEPT)
        print_method = ObjectName("_repr_integrate_kept_")
        _return_type = dict

        # Not by registered types: matplotlib takes its figures out of every formatter when it starts.
        @catch_format_error
        def __call__(self, shown: Any) -> dict[str, Any] | None:
            return drawer.keep(shown)

    shell.display_formatter.formatters[KEPT] = Keeper(parent=shell.display_formatter)


class _Drawer:
    """Writes what is shown, numbered in the order it is shown."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0

    def keep(self, shown: Any) -> dict[str, Any] | None:
        """Write a table or a figure and return its kind and files; ``None`` for anything else."""
        kinds = kinds_of(shown)
        if kinds & _TABLES:
            return self._table(getattr(shown, "data", shown))
        return self._figure(shown) if _FIGURE in kinds else None

    def _next(self) -> str:
        self._number += 1
        return str(self._number)

    def _table(self, frame: Any) -> dict[str, Any]:
        name = self._next()
        frame.to_csv(self._folder / f"{name}.csv", index=_has_index(frame))
        files = [f"{name}.csv"]
        try:
            frame.to_parquet(self._folder / f"{name}.parquet")
            files.append(f"{name}.parquet")
        except (ValueError, TypeError, NotImplementedError):  # objects, or column names that are no text: CSV only
            (self._folder / f"{name}.parquet").unlink(missing_ok=True)
        return {"kind": "table", "files": files}

    def _figure(self, figure: Any) -> dict[str, Any]:
        path = self._folder / f"{self._next()}.svg"
        figure.savefig(path, format="svg", bbox_inches="tight")
        texts = drawn_texts(figure)
        if path.stat().st_size > MAX_SVG_BYTES:
            path.unlink()
            return {"kind": "figure", "files": [], "texts": texts}
        return {"kind": "figure", "files": [path.name], "texts": texts}


def _has_index(frame: Any) -> bool:
    import pandas as pd

    return not (isinstance(frame.index, pd.RangeIndex) and frame.index.name is None)


def keep_outputs(notebook: NotebookNode, *, shown: Path, place: Path) -> list[str]:
    """Move what the kernel wrote to ``tables/`` and ``figures/`` under names that say where it was shown.

    Parameters
    ----------
    notebook
        As executed; the marks of the kernel are taken out of its outputs.
    shown
        Folder the kernel wrote to.
    place
        Folder of the run.

    Returns
    -------
    Relative paths, in the order of the page: ``tables/01-associations.csv`` with the Parquet file of the same table,
    ``figures/02-survival.png`` with its SVG unless that was too large.
    """
    counts = {"table": 0, "figure": 0}
    kept: list[str] = []
    for heading, output in _outputs(notebook):
        mark = output.data.pop(KEPT, None) or {}
        output.get("metadata", {}).pop(KEPT, None)
        picture = output.data.get("image/png")
        kind = mark.get("kind") or ("figure" if picture else "")
        if kind not in counts:
            continue
        counts[kind] += 1
        stem = f"{kind}s/{counts[kind]:02d}-{_slug(heading)}"
        (place / f"{kind}s").mkdir(exist_ok=True)
        for name in mark.get("files", []):
            target = f"{stem}{Path(name).suffix}"
            (shown / Path(name).name).rename(place / target)
            kept.append(target)
        if picture:
            (place / f"{stem}.png").write_bytes(base64.b64decode(picture))
            kept.append(f"{stem}.png")
    return kept


def _outputs(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    for cell, heading in zip(notebook.cells, cell_headings(notebook), strict=True):
        for output in cell.get("outputs", []):
            if isinstance(output.get("data"), Mapping):
                yield heading, output


def _slug(heading: str) -> str:
    return _NOT_IN_A_NAME.sub("-", heading.lower()).strip("-")[:40] or "start"
