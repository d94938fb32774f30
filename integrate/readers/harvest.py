"""One record per acquisition: what device made it, how, and when in the study, as the files themselves say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from integrate.errors import DataError, IntegrateError
from integrate.model.image import image_notes
from integrate.readers.base import Reader
from integrate.readers.dicom_files import read_header
from integrate.readers.tiff import open_tiff

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Acquisition", "harvest", "harvest_reader"]


@dataclass(frozen=True)
class Acquisition:
    """What the files of one acquisition say of how it was made; ``None`` and empty: they do not say.

    Parameters
    ----------
    modality
        DICOM code where there is one (``"CT"``, ``"SM"``), else that of the catalog.
    manufacturer, model, software
        Of the device, and of what wrote the file.
    axes, shape
        Of the array, coarser levels not counted.
    spacing
        Step along ``z``, ``y``, ``x``, as far as they are known, in `unit`.
    unit
        ``"mm"``, ``"um"`` or ``"px"``.
    channels
        Names, in order.
    stain
        Of a slide, as the catalog says.
    body_part
        As DICOM names it.
    magnification
        Of the objective.
    """

    modality: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    software: str | None = None
    axes: str = ""
    shape: tuple[int, ...] = ()
    spacing: dict[str, float] = field(default_factory=dict)
    unit: str | None = None
    channels: tuple[str, ...] = ()
    stain: str | None = None
    body_part: str | None = None
    magnification: float | None = None


def harvest(catalog: Any, *, datasets: Iterable[str] | None = None) -> pd.DataFrame:
    """Collect one record per acquisition of a catalog, from DICOM, OME, slide and vendor headers.

    Parameters
    ----------
    catalog
        What `open_catalog` returns.
    datasets
        Names of the datasets to look into; by default all whose items are arrays, slides or SpatialData.

    Returns
    -------
    DataFrame, a row per item: ``dataset``, ``item``, the fields of `Acquisition` and ``day``: whole days since the
    first dated acquisition of the same person (by the catalog's ids, else the DICOM patient), missing where the file
    has no date. Dates themselves are not kept. ``fault`` says what kind of error kept an item from being read.

    Examples
    --------
    >>> records = ig.harvest(ig.datasets.toy_catalog())
    >>> records.loc[0, ["dataset", "axes", "unit"]].tolist()
    ['fields', 'cyx', 'um']
    """
    import pandas as pd

    rows, days = [], []
    for name in datasets if datasets is not None else list(catalog):
        entry = catalog[name]
        for item in (str(one) for one in entry.items()["item"]):
            fault, record, made, who = "", Acquisition(), None, ""
            try:
                reader = entry.item_reader(item)
                if not _is_acquisition(reader):
                    break
                record, made, who = _looked_at(reader)
            except IntegrateError as error:
                fault = type(error).__name__
            rows.append({"dataset": name, "item": item, **asdict(record), "fault": fault})
            days.append((who or f"{name}/{item}", made))
    first: dict[str, date] = {}
    for who, made in days:
        if made is not None:
            first[who] = min(made, first.get(who, made))
    table = pd.DataFrame(rows, columns=["dataset", "item", *Acquisition.__dataclass_fields__, "fault"])
    since = [None if made is None else (made - first[who]).days for who, made in days]
    table.insert(2, "day", pd.Series(since, dtype="Int64"))
    return table


def harvest_reader(reader: Reader) -> Acquisition:
    """Return the record of one acquisition.

    Raises
    ------
    DataError
        If it cannot be opened.
    """
    return _looked_at(reader)[0]


def _is_acquisition(reader: Reader) -> bool:
    kinds = ("xarray:DataArray", "xarray:DataTree", "spatialdata:SpatialData")
    return str(reader.output_instance) in kinds


def _looked_at(reader: Reader) -> tuple[Acquisition, date | None, str]:
    """Return the record, the day it was made, and of whom it is."""
    path = reader.local_path()
    opened = reader._open(path, **{k: v for k, v in reader.kwargs.items() if k in reader.option_names()})
    told, made, patient = _of_header(type(reader).__name__, path)
    notes = image_notes(opened)
    known: dict[str, Any] = {
        "modality": notes.get("modality") or reader.metadata.get("modality"),
        "software": notes.get("software") or None,
        "stain": reader.metadata.get("stain"),
        "magnification": notes.get("objective_power"),
        **_of_array(opened, notes),
    }
    ids = "/".join(f"{k}={v}" for k, v in sorted(reader.ids.items()) if "subject" in k or "patient" in k)
    return Acquisition(**{**known, **{k: v for k, v in told.items() if v}}), made, ids or patient


def _of_array(opened: Any, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return axes, shape, steps and channels of an array, or of the finest level of a slide."""
    if hasattr(opened, "children") and "scale0" in getattr(opened, "children", {}):
        opened = opened["scale0"]["image"]
    if not hasattr(opened, "dims") or not hasattr(opened, "coords"):
        first: Any = next(iter(notes.values()), {})
        size = first.get("pixel_size_um") if isinstance(first, Mapping) else None
        software = first.get("software") if isinstance(first, Mapping) else None
        told = {"unit": "um", "spacing": dict(zip("yx", size, strict=True))} if size else {}
        return {**told, **({"software": software} if software else {})}
    spacing, unit = {}, None
    for axis in "zyx":
        if axis in opened.coords and opened.coords[axis].size > 1:
            unit = opened.coords[axis].attrs.get("units")
            spacing[axis] = float(opened.coords[axis].values[1] - opened.coords[axis].values[0])
    channels = tuple(str(name) for name in opened.coords["c"].values) if "c" in opened.coords else ()
    return {
        "axes": "".join(str(axis) for axis in opened.dims),
        "shape": tuple(int(n) for n in opened.shape),
        "spacing": spacing if unit != "px" else {},
        "unit": unit,
        "channels": channels,
    }


def _of_header(kind: str, path: Path) -> tuple[dict[str, Any], date | None, str]:
    """Return what the header of the format says of device and software, the day, and the patient."""
    if kind.startswith("Dicom"):
        return _of_dicom(path)
    if kind in ("OmeTiff", "Tiff", "Slide", "WholeSlide"):
        return (*_of_tiff(path), "")
    if kind == "Czi":
        return (*_of_czi(path), "")
    return {}, None, ""


def _of_dicom(path: Path) -> tuple[dict[str, Any], date | None, str]:
    for file in sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]:
        try:
            header = read_header(file).header
        except DataError:
            continue
        software = header.get("SoftwareVersions")
        told = {
            "modality": str(header.get("Modality", "")),
            "manufacturer": str(header.get("Manufacturer", "")).strip(),
            "model": str(header.get("ManufacturerModelName", "")).strip(),
            "software": software if isinstance(software, str) else "; ".join(str(one) for one in software or ()),
            "body_part": str(header.get("BodyPartExamined", "")),
        }
        days = (header.get(name) for name in ("AcquisitionDate", "SeriesDate", "StudyDate"))
        made = next((found for one in days if (found := _day(str(one or ""), "%Y%m%d"))), None)
        return told, made, str(header.get("PatientID", ""))
    return {}, None, ""


def _of_tiff(path: Path) -> tuple[dict[str, Any], date | None]:
    with open_tiff(path) as tiff:
        xml = tiff.ome_metadata if tiff.is_ome else None
        page = tiff.pages[0]
        described = str(page.description or "")
        tags = {name: str(page.tags[name].value).strip() for name in ("Make", "Model", "Software") if name in page.tags}
    if xml:
        return _of_ome(xml)
    told: dict[str, Any] = {
        "manufacturer": tags.get("Make"),
        "model": tags.get("Model"),
        "software": tags.get("Software"),
    }
    if described.startswith("Aperio"):
        scanner = re.search(r"ScanScope ID\s*=\s*([^|]+)", described)
        told |= {"manufacturer": "Aperio", "software": described.splitlines()[0].strip()}
        told |= {"model": f"ScanScope {scanner[1].strip()}"} if scanner else {}
        told["modality"] = "SM"
        day = re.search(r"Date\s*=\s*(\d\d/\d\d/\d\d(\d\d)?)", described)
        return told, _day(day[1], "%m/%d/%y" if len(day[1]) == 8 else "%m/%d/%Y") if day else None
    return told, None


def _of_ome(xml: str) -> tuple[dict[str, Any], date | None]:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return {}, None
    scope, lens = root.find(".//{*}Microscope"), root.find(".//{*}Objective")
    told: dict[str, Any] = {"software": root.get("Creator")}
    if scope is not None:
        told |= {"manufacturer": scope.get("Manufacturer"), "model": scope.get("Model")}
    if lens is not None and lens.get("NominalMagnification"):
        told["magnification"] = float(str(lens.get("NominalMagnification")))
    day = root.findtext(".//{*}AcquisitionDate") or ""
    return told, _day(day[:10], "%Y-%m-%d")


def _of_czi(path: Path) -> tuple[dict[str, Any], date | None]:
    from integrate.readers.czi import read_metadata

    told = read_metadata(path)
    found = dict(_leaves(told))
    names = (found.get("Application.Name"), found.get("Application.Version"))
    software = " ".join(str(one) for one in names if one)
    return {"manufacturer": "Zeiss", "software": software}, _day(
        str(found.get("Image.AcquisitionDateAndTime", ""))[:10], "%Y-%m-%d"
    )


def _leaves(tree: Any, parent: str = "") -> Iterator[tuple[str, Any]]:
    for name, held in tree.items() if isinstance(tree, Mapping) else ():
        if isinstance(held, Mapping):
            yield from _leaves(held, str(name))
        else:
            yield f"{parent}.{name}", held


def _day(text: str, pattern: str) -> date | None:
    try:
        return datetime.strptime(text.strip(), pattern).date()
    except ValueError:
        return None
