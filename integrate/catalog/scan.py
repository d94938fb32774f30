"""The scan of a folder: what lies in it, listed as a catalog with an asset table, for a person to complete."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integrate.catalog.folders import look_into_folder
from integrate.catalog.headers import look_into
from integrate.catalog.made import days_since_first, read_dicom, slice_step
from integrate.catalog.registry import qualified_reader
from integrate.catalog.write import catalog_text, write_text_whole
from integrate.errors import CatalogError, SourceNotFoundError
from integrate.model.acquisition import MADE, SPACING
from integrate.model.progress import follow

__all__ = ["Scan", "scan_folder"]

COLUMNS: tuple[str, ...] = (
    *("item", "dataset", "modality", "reader", "path", "series_uid", "patient_id", "channels", "pixel_size_um"),
    *("shape", "day", *(name for name in MADE if name not in ("batch", "channels")), "files", "bytes", "undecided"),
)
NOTES = ".integrate-scan.jsonl"
#: What pydicom raises on a header that is cut off or breaks the rules.
DAMAGED = (OSError, EOFError, AttributeError, LookupError, TypeError, ValueError, NotImplementedError)
OWN: frozenset[str] = frozenset({"catalog.yaml", "assets.csv"})
#: Kind of file to the readers that may open it, best first; one that is not installed is passed over.
READERS: dict[str, tuple[str, ...]] = {
    "ome_tiff": ("OmeTiff",),
    "tiff": ("Tiff",),
    "labels": ("Labels",),
    "slide": ("Slide",),
    "openslide": ("OpenSlide",),
    "nifti": ("Volume",),
    "volume": ("Volume",),
    "imzml": ("ImzML",),
    "h5ad": ("H5AD",),
    "geojson": ("GeoJSON",),
    "table": ("Table",),
    "channels": ("ChannelFolder",),
    "visium": ("Visium",),
    "visium_hd": ("VisiumHD",),
    "xenium": ("Xenium",),
    "merscope": ("Merscope",),
    "cosmx": ("CosMx",),
    "isatab": ("IsaTab",),
    "steinbock": ("Steinbock",),
    "ome_zarr": ("OmeZarr",),
    "ome_zarr_plate": ("OmeZarrPlate",),
    "spatialdata": ("SpatialDataStore",),
    "anndata_zarr": ("AnnDataZarr",),
    "mudata_zarr": ("MuDataZarr",),
    "h5mu": ("H5MU",),
    "mcd": ("Imc",),
    "imc_text": ("Imc",),
    "czi": ("Czi",),
    "nd2": ("Nd2",),
    "lif": ("Lif",),
    "qptiff": ("QpTiff",),
    "stereoseq": ("StereoSeq",),
    "codex": ("Codex",),
    "slideseq": ("SlideSeq",),
    "spatial_transcriptomics": ("SpatialTranscriptomics",),
    "gct": ("Gct",),
    "spreadsheet": ("Table",),
    "statistics": ("Table",),
    "CT": ("DicomSeries",),
    "MR": ("DicomSeries",),
    "PT": ("DicomSeries",),
    "SEG": ("DicomSeg",),
    "SR": ("DicomReport",),
    "ANN": ("DicomAnnotations",),
    "RTSTRUCT": ("RtStruct",),
    "dicom": ("DicomImage",),
}


@dataclass
class Scan:
    """What a scan found.

    Parameters
    ----------
    folder
        The folder that was scanned.
    rows
        One row of the asset table per file, series or vendor folder.
    unknown
        Files of no kind we know, relative to the folder.
    faults
        Files that could not be read, with the reason.
    catalog, assets
        The files written.
    """

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    catalog: Path | None = None
    assets: Path | None = None

    @property
    def undecided(self) -> list[dict[str, Any]]:
        """Rows about which a person must decide something."""
        return [row for row in self.rows if row["undecided"]]

    def __repr__(self) -> str:
        unread = sum(not row["reader"] for row in self.rows)
        return (
            f"<Scan of {self.folder.name!r}: {len(self.rows)} items, {len(self.undecided)} to be decided by a person, "
            f"{unread} without a reader; {len(self.unknown)} files of no known kind, {len(self.faults)} unreadable>"
        )


def scan_folder(folder: str | os.PathLike[str], *, overwrite: bool = False, show_progress: bool = False) -> Scan:
    """Look into every file of a folder and write ``catalog.yaml`` and ``assets.csv`` into it.

    DICOM files become one item per series, a folder of single-channel TIFF files one image, vendor folders (Space
    Ranger, Xenium …) one item. Nothing is guessed silently: what the files do not say (IMC or fluorescence? which
    column is the subject?) is in the column ``undecided`` and in the entry's ``x-undecided``, which the catalog's
    check repeats until a person removes it. An interrupted scan goes on where it stopped.

    The columns ``device, software, stain, body_part, spacing_z, spacing_y, spacing_x, spacing_unit`` are what the
    headers say; a study has them in its table of acquisitions, with ``batch`` if a person adds that column. ``day``
    counts from the first dated series of each patient (dates are not kept); where that is the study's index event, or
    once it is corrected, ``day: "<day>"`` in the entry's item makes it the study's day.

    Parameters
    ----------
    folder
        What to scan; links that lead out of it are not followed.
    overwrite
        Replace a catalog that is there already, with the decisions in it.
    show_progress
        Show a progress bar on the error stream.

    Returns
    -------
    A `Scan`.

    Raises
    ------
    SourceNotFoundError
        If there is no such folder.
    CatalogError
        If a catalog is there already.

    Examples
    --------
    >>> _ = ig.datasets.toy_catalog(tmp_path / "study")
    >>> (tmp_path / "study" / "catalog.yaml").unlink()
    >>> scan_folder(tmp_path / "study")
    <Scan of 'study': 5 items, 5 to be decided by a person, 0 without a reader; 0 files of no known kind, 0 unreadable>
    """
    root = Path(folder).expanduser().resolve()
    if not root.is_dir():
        raise SourceNotFoundError(f"no folder at {str(root)!r} to scan")
    scan = Scan(root, catalog=root / "catalog.yaml", assets=root / "assets.csv")
    there = [path.name for path in (scan.catalog, scan.assets) if path is not None and path.exists()]
    if there and not overwrite:
        raise CatalogError(f"{' and '.join(there)} exist in {root.name!r}; move them, or scan with overwrite")
    files, folders = _walk(root)
    for path, told in folders:
        if "fault" in told:
            scan.faults[path.relative_to(root).as_posix()] = told["fault"]
        else:
            scan.rows.append(_row(root, path, told))
    facts = _look(root, files, show_progress=show_progress)
    _group(scan, facts)
    days = days_since_first([(row["patient_id"], row.pop("made", None)) for row in scan.rows])
    for row, day in zip(scan.rows, days, strict=True):
        row["day"] = "" if day is None or not row["patient_id"] else day
    scan.rows.sort(key=lambda row: (row["dataset"], row["item"]))
    _write(scan)
    (root / NOTES).unlink(missing_ok=True)
    return scan


def _walk(root: Path) -> tuple[list[Path], list[tuple[Path, dict[str, Any]]]]:
    """Return the files to look into, and the folders that are one thing as a whole."""
    files: list[Path] = []
    folders: list[tuple[Path, dict[str, Any]]] = []
    for here, inside, names in os.walk(root):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        path = Path(here)
        try:
            told = look_into_folder(path, names, inside)
        except (OSError, ValueError, TypeError, KeyError) as error:
            told = {"kind": "unreadable", "fault": f"{type(error).__name__}: {error}"[:200]}
        if told is not None:
            folders.append((path, told))
            inside[:] = []
            continue
        for name in sorted(names):
            hidden = name.startswith(".") or (path == root and name in OWN)
            leads_out = os.path.islink(os.path.join(here, name)) and not (path / name).resolve().is_relative_to(root)
            if not hidden and not leads_out:
                files.append(path / name)
    return files, folders


def _look(root: Path, files: list[Path], *, show_progress: bool) -> dict[Path, dict[str, Any] | None]:
    """Look into files; what an interrupted scan has seen already, and is unchanged, is taken from its notes."""
    seen = _seen(root / NOTES)
    found: dict[Path, dict[str, Any] | None] = {}
    with (root / NOTES).open("a", encoding="utf-8") as notes:
        for number, path in enumerate(follow(files, "scan", unit="file", show=show_progress or None)):
            name, stamp = path.relative_to(root).as_posix(), _stamp(path)
            if name in seen and seen[name][0] == stamp:
                found[path] = seen[name][1]
                continue
            found[path] = facts = look_into(path)
            notes.write(json.dumps([name, stamp, facts]) + "\n")
            if number % 500 == 0:
                notes.flush()
    return found


def _seen(notes: Path) -> dict[str, tuple[list[int], Any]]:
    seen: dict[str, tuple[list[int], Any]] = {}
    if notes.exists():
        for line in notes.read_text(encoding="utf-8").splitlines():
            try:
                name, stamp, facts = json.loads(line)
            except ValueError:  # the line at which the scan was interrupted
                continue
            seen[name] = (stamp, facts)
    return seen


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_mtime_ns, status.st_size]


def _group(scan: Scan, facts: dict[Path, dict[str, Any] | None]) -> None:
    """Turn files into items: series, folders of channels, single files."""
    series: dict[tuple[Path, str], list[Path]] = {}
    channels: dict[Path, list[Path]] = {}
    for path, told in facts.items():
        name = path.relative_to(scan.folder).as_posix()
        if told is None:
            scan.unknown.append(name)
        elif "fault" in told:
            scan.faults[name] = str(told["fault"])
        elif told["kind"] == "dicom":
            series.setdefault((path.parent, told["series_uid"]), []).append(path)
        elif told["kind"] == "tiff" and told.get("pages") == 1 and len(told["shape"]) == 2:
            channels.setdefault(path.parent, []).append(path)
        else:
            scan.rows.append(_row(scan.folder, path, told))
    for (parent, _), paths in series.items():
        scan.rows.append(_series_row(scan.folder, parent, paths, facts))
    for parent, paths in channels.items():
        first = facts[paths[0]] or {}
        if len(paths) > 1 and len({tuple((facts[path] or {})["shape"]) for path in paths}) == 1:
            told = {"kind": "channels", "shape": [len(paths), *first["shape"]], "channels": [p.stem for p in paths]}
            told["undecided"] = ["one image of many channels? its modality and pixel size: the files do not say"]
            scan.rows.append(_row(scan.folder, parent, told, paths))
        else:
            scan.rows += [_row(scan.folder, path, facts[path] or {}) for path in paths]


def _series_row(root: Path, parent: Path, paths: list[Path], facts: dict[Path, Any]) -> dict[str, Any]:
    told = dict(facts[paths[0]])
    patients = sorted({facts[path]["patient_id"] for path in paths})
    undecided = [f"one series of {len(patients)} patients: {', '.join(patients)}"] if len(patients) > 1 else []
    if not patients[0]:
        undecided.append("whose is it? the files have no PatientID")
    told["undecided"] = undecided
    try:
        made, day = read_dicom(paths[0])
        step = slice_step([(facts[path]["position"], facts[path]["orientation"]) for path in paths])
    except DAMAGED as error:
        made, day, step = {}, None, None
        undecided.append(f"how it was made: the header cannot be read whole ({type(error).__name__})")
    told = {**made, **told}
    if step is not None:
        told["spacing"] = {"z": step, **told.get("spacing", {})}
    kind = told["modality"] if told["modality"] in READERS else "dicom"
    row = _row(root, parent, {**told, "kind": kind}, paths)
    if READERS[kind] != ("DicomSeries",) and len(paths) == 1:
        row["path"] = paths[0].relative_to(root).as_posix()
    row["item"] = f"{row['path']}#{told['series_uid']}"
    return {**row, "made": day}


def _row(root: Path, path: Path, told: dict[str, Any], files: list[Path] | None = None) -> dict[str, Any]:
    kind, modality = told["kind"], told.get("modality", "")
    name = path.relative_to(root).as_posix()
    members = files if files is not None else [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    reader = next((one for one in READERS.get(kind, ()) if qualified_reader(one)), "")
    undecided = list(told.get("undecided") or [])
    if set(name) & set("{}<>"):
        reader, undecided = "", ["the name holds braces or angle brackets, which are templates in a catalog; rename it"]
    elif not reader:
        undecided.append(f"no reader for {kind} is installed")
    return {
        "item": name,
        "dataset": _dataset(kind, modality, name),
        "modality": modality,
        "reader": reader,
        "path": name,
        "series_uid": told.get("series_uid", ""),
        "patient_id": told.get("patient_id", ""),
        "channels": ";".join(told.get("channels") or []),
        "pixel_size_um": ";".join(map(str, told.get("pixel_size_um") or [])),
        "shape": "x".join(map(str, told.get("shape") or [])),
        **_made(told),
        "files": len(members),
        "bytes": sum(member.stat().st_size for member in members),
        "undecided": "; ".join(undecided),
        "options": told.get("options") or {},
    }


def _made(told: dict[str, Any]) -> dict[str, Any]:
    """Return what a file says of how it was made, in the columns that studies take over."""
    device = " ".join(str(told[part]) for part in ("manufacturer", "model") if told.get(part))
    steps = told.get("spacing") or {}
    return {
        "device": device,
        **{name: told.get(name) or "" for name in ("software", "stain", "body_part")},
        **{name: steps.get(name[-1], "") for name in SPACING},
        "spacing_unit": told.get("unit", "") if steps else "",
    }


def _dataset(kind: str, modality: str, name: str) -> str:
    """Return the name of the dataset an item belongs to; a table is a dataset of its own."""
    if READERS.get(kind) == ("Table",):
        return "".join(sign if sign.isalnum() else "_" for sign in name.rpartition(".")[0])
    told = modality or kind
    return "".join(sign if sign.isalnum() else "_" for sign in told).lower()


def _write(scan: Scan) -> None:
    catalog, assets = scan.catalog, scan.assets
    if catalog is None or assets is None:
        return
    unfinished = assets.with_name(f".{assets.name}.{os.getpid()}")
    with unfinished.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(scan.rows)
    unfinished.replace(assets)
    document = {
        "version": 2,
        "metadata": {
            "name": scan.folder.name,
            "description": "Listed by a scan; complete the descriptions and what is under x-undecided",
        },
        "entries": dict(_entries(scan)),
    }
    write_text_whole(catalog, catalog_text(document, where=catalog.name))


def _entries(scan: Scan) -> Iterator[tuple[str, dict[str, Any]]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in scan.rows:
        if row["reader"]:
            groups.setdefault((row["dataset"], row["reader"]), []).append(row)
    several = {name for name, _ in groups if sum(name == other for other, _ in groups) > 1}
    for (dataset, reader), rows in groups.items():
        name = f"{dataset}_{reader.lower()}" if dataset in several else dataset
        yield name, _entry(dataset, reader, rows)


def _entry(dataset: str, reader: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    undecided = sorted({row["undecided"] for row in rows} - {""})
    metadata: dict[str, Any] = {"modality": rows[0]["modality"], "x-undecided": undecided}
    channels = {row["channels"] for row in rows}
    if len(channels) == 1 and channels != {""}:
        metadata["channels"] = [{"name": name} for name in rows[0]["channels"].split(";")]
    metadata = {name: value for name, value in metadata.items() if value}
    if reader == "Table":
        return {
            "reader": reader,
            "kwargs": {"url": f"{{CATALOG_DIR}}/{rows[0]['path']}", **rows[0]["options"]},
            "metadata": metadata,
        }
    item: dict[str, Any] = {"reader": reader, "url": "<path>"}
    if rows[0]["series_uid"]:
        if reader == "DicomSeries":
            item["series_uid"] = "<series_uid>"
        if all(row["patient_id"] for row in rows):
            item["ids"] = {"dicom_patient": "<patient_id>"}
    where = {"dataset": dataset, "reader": reader}
    kwargs = {"url": "{CATALOG_DIR}/assets.csv", "where": where, "key": "item", "item": item}
    return {"reader": "AssetTable", "kwargs": kwargs, "metadata": metadata}
