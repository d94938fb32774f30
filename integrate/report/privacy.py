"""The privacy of a report: what of it was masked before anything was written, told in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.model.mask import Mask
from integrate.report.inputs import Input
from integrate.report.keep import KEPT
from integrate.report.page import cell_headings
from integrate.report.veil import is_named, mask_frame

if TYPE_CHECKING:
    import pandas as pd
    from nbformat import NotebookNode

__all__ = ["Privacy", "mask_events", "mask_files", "mask_inputs", "mask_notebook"]

WITHHELD: Final = (
    "This figure was withheld: its text names somebody by a raw identifier and was drawn before that was known."
)
#: So many sections are named on the page; the manifest has all.
MOST: Final = 12
_MARKUP: Final = ("text/html", "image/svg+xml")
_PIXELS: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")
_PAGES: Final = (".html", ".htm", ".svg", ".xml")
_TEXTS: Final = (
    *(".csv", ".tsv", ".txt", ".md", ".rst", ".log", ".json", ".jsonl", ".geojson", ".ipynb", ".yaml", ".yml", ".toml"),
    *(".ini", ".py", ".r", ".tex", ".bib"),
)


@dataclass(frozen=True, slots=True)
class Privacy:
    """What a run knew of raw identifiers, and what was done with them.

    Parameters
    ----------
    known, hidden
        Raw spellings the run met, and how many of them are too short to be told from a number or a word in free text.
    places, cells
        How many places of the page's cells were masked, and in which cells, by section.
    paths
        Names and paths of files the run read that were masked.
    parameters
        Names of the parameters whose value was masked.
    source
        Whether one stood in the notebook itself, in code, prose or its own path.
    private_ids
        Whether the study's own ids are raw too, so that people are named by number.
    withheld, unseen_pictures, unseen_files
        Figures left out because their text names somebody; pictures that matplotlib did not draw and files of the
        notebook that are no text or table, into which nobody looked.
    """

    known: int = 0
    hidden: int = 0
    places: int = 0
    cells: tuple[str, ...] = ()
    paths: int = 0
    parameters: tuple[str, ...] = ()
    source: bool = False
    private_ids: bool = False
    withheld: int = 0
    unseen_pictures: int = 0
    unseen_files: int = 0

    def as_facts(self) -> dict[str, Any]:
        """Return it as the manifest holds it."""
        held = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {**held, "told": str(self)}

    def __str__(self) -> str:
        if not self.known:
            return "No raw identifier of a person was met."
        told = [f"{_count(self.known, 'raw identifier')} of people met; {_count(self.places, 'place')} masked"]
        if self.cells:
            told[0] += f", in {', '.join(self.cells[:MOST])}" + (" …" if len(self.cells) > MOST else "")
        if self.paths:
            told.append(f"{_count(self.paths, 'path')} of what was read masked")
        if self.private_ids:
            told.append("the study's own ids are raw too, so that people are named by number")
        if self.hidden:
            told.append(f"{self.hidden} are too short to be looked for in free text")
        if self.withheld:
            told.append(f"{_count(self.withheld, 'figure')} withheld")
        if self.unseen_pictures:
            told.append(f"{_count(self.unseen_pictures, 'picture')} not drawn by matplotlib not looked into")
        if self.unseen_files:
            told.append(f"{_count(self.unseen_files, 'file')} of the notebook not looked into")
        return "; ".join(told) + "."


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def mask_notebook(notebook: NotebookNode, mask: Mask, *, shown: Path) -> Privacy:
    """Mask an executed notebook in place: source, outputs and metadata of every cell.

    Parameters
    ----------
    notebook
        As executed, with the marks of the kernel in its outputs.
    mask
        Of the whole run.
    shown
        Folder in which the kernel kept tables and figures; a figure that is withheld is removed from it.
    """
    headings = cell_headings(notebook)
    touched: dict[str, list[int]] = {}
    places, withheld, unseen, source = 0, 0, 0, False
    for number, (cell, heading) in enumerate(zip(notebook.cells, headings, strict=True), 1):
        cell.source = mask.text(cell.source)
        cell.metadata.update(mask.value(dict(cell.metadata)))
        found = mask.count(cell.source)
        source |= found > 0 and "injected-parameters" not in cell.metadata.get("tags", [])
        for output in cell.get("outputs", []):
            mark = (output.get("data") or {}).get(KEPT) or {}
            if any(mask.text(text) != text for text in mark.get("texts", ())):
                _withhold(output, mark, shown)
                withheld += 1
            unseen += not mark and any(kind in _PIXELS for kind in output.get("data") or {})
            _mask_output(output, mask, numbers=mark.get("kind") != "table")
            found += max([mask.count(text) for text in _told(output)], default=0)
            found += sum(mask.count(text) for text in mark.get("texts", ()))
        if found:
            places += found
            touched[mask.text(heading)] = [*touched.get(mask.text(heading), ()), number]
    return Privacy(
        known=mask.known,
        hidden=mask.hidden,
        places=places,
        cells=tuple(_cells(heading, numbers) for heading, numbers in touched.items()),
        source=source,
        private_ids=mask.private_ids,
        withheld=withheld,
        unseen_pictures=unseen,
    )


def _cells(heading: str, numbers: Sequence[int]) -> str:
    told = f"cell{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
    return told + (f" under “{heading}”" if heading else "")


def _told(output: NotebookNode) -> list[str]:
    """Return every text of an output; those of one display say the same in several ways."""
    shown = [value for value in (output.get("data") or {}).values() if isinstance(value, str)]
    return [*shown, str(output.get("text", "")), "".join(output.get("traceback", ()))]


def _withhold(output: NotebookNode, mark: Mapping[str, Any], shown: Path) -> None:
    for name in mark.get("files", ()):
        (shown / Path(name).name).unlink(missing_ok=True)
    for kind in [kind for kind in output.data if kind.startswith("image/") or kind == KEPT]:
        del output.data[kind]
    output.data["text/plain"] = WITHHELD


def _mask_output(output: NotebookNode, mask: Mask, *, numbers: bool) -> None:
    for name in ("text", "ename", "evalue"):
        if name in output:
            output[name] = mask.text(output[name])
    if "traceback" in output:
        output.traceback = [mask.text(line) for line in output.traceback]
    data = output.get("data") or {}
    for kind, value in data.items():
        if kind in _MARKUP:
            data[kind] = mask.html(value, numbers=numbers)
        elif isinstance(value, str) and kind not in _PIXELS:
            data[kind] = mask.text(value, numbers=numbers)
        elif not isinstance(value, str) and kind != KEPT:
            data[kind] = mask.value(value)
    if "metadata" in output:
        output.metadata.update(mask.value(dict(output.metadata)))


def mask_events(events: Sequence[Mapping[str, Any]], inputs: Iterable[Input], mask: Mask) -> list[dict[str, Any]]:
    """Return the record of a run masked; a load that nobody hashed gets the hash of what it read first.

    Parameters
    ----------
    events
        As recorded.
    inputs
        What the run read; after masking, two paths may be told alike.
    mask
        Of the run.
    """
    hashes = {one.path: one.sha256 for one in inputs}
    masked = []
    for event in events:
        known = {"sha256": event.get("sha256") or hashes.get(str(event.get("path"))) or None}
        told = mask.value({**event, **known} if event.get("kind") == "load" else dict(event))
        if "parameters" in event:
            told["parameters"] = mask.value(event["parameters"], whole=True)
        masked.append({**told, "kind": event["kind"]})
    return masked


def mask_inputs(inputs: Iterable[Input], mask: Mask) -> list[Input]:
    """Return what a run read with masked paths."""
    return [replace(one, path=mask.text(one.path)) for one in inputs]


def mask_files(folder: Path, mask: Mask) -> int:
    """Mask every file of a folder, and its name; return how many are neither text nor a table, nor drawn here.

    Parameters
    ----------
    folder
        Of the run; it may be absent.
    mask
        Of the run.
    """
    unseen = 0
    for path in sorted(folder.rglob("*"), key=lambda one: len(one.parts), reverse=True):
        name = mask.text(path.name)
        if name != path.name:
            path = path.rename(_free(path.with_name(name)))
        if path.is_file():
            unseen += not _mask_file(path, mask)
    return unseen


def _free(path: Path) -> Path:
    """Return a name that no other file has; two people may be told alike."""
    others = (path.with_name(f"{path.stem} {number}{path.suffix}") for number in range(2, 1_000_000))
    return path if not path.exists() else next(other for other in others if not other.exists())


def _mask_file(path: Path, mask: Mask) -> bool:
    """Mask one file and return whether it could be looked into; a picture was looked into as it was drawn."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _mask_parquet(path, mask)
    if suffix in _PAGES or suffix in _TEXTS:
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            return False
        masked = mask.html(text) if suffix in _PAGES else _masked_text(text, suffix, mask)
        if masked != text:
            path.write_bytes(masked.encode("utf-8"))
        return True
    return False


def _masked_text(text: str, suffix: str, mask: Mask) -> str:
    if suffix in (".csv", ".tsv"):
        return _masked_cells(text, "," if suffix == ".csv" else "\t", mask)
    if suffix in (".json", ".geojson", ".ipynb"):
        try:
            held = json.loads(text)
        except ValueError:
            return mask.text(text)
        masked = mask.value(held)
        return text if masked == held else json.dumps(masked, indent=1, ensure_ascii=False) + "\n"
    return mask.text(text)


def _masked_cells(text: str, separator: str, mask: Mask) -> str:
    """Return a table as text, masked by its columns as a shown table is."""
    import pandas as pd

    if not mask.may_change(text):
        return text
    try:
        table = pd.read_csv(StringIO(text), sep=separator, dtype=str, keep_default_na=False, header=None)
    except (ValueError, pd.errors.ParserError):  # no table, or an empty one
        return mask.text(text)
    rows = table.iloc[1:].set_axis(table.iloc[0].tolist(), axis=1)
    before = mask.places
    masked = mask_frame(rows, mask)
    for position in range(rows.shape[1]):
        column: Any = rows.iloc[:, position]
        if _are_numbers(column) and not is_named(column.name, mask) and not mask.is_ids(column.unique()):
            masked.isetitem(position, column)
    return masked.to_csv(sep=separator, index=False, lineterminator="\n") if mask.places > before else text


def _are_numbers(column: pd.Series[Any]) -> bool:
    import pandas as pd

    filled = column[column != ""]
    return bool(len(filled)) and bool(pd.to_numeric(filled, errors="coerce").notna().all())


def _mask_parquet(path: Path, mask: Mask) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        frame = table.to_pandas()
    except (pa.ArrowException, OSError, ValueError, TypeError):
        return False
    before = mask.places
    masked = mask_frame(frame, mask)
    if mask.places > before:
        try:
            masked.to_parquet(path)
        except (pa.ArrowException, ValueError, TypeError):
            return False
    return True
