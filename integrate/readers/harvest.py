"""One record per acquisition: what device made it, how, and when in the study, as the files themselves say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.catalog.made import days_since_first, made_by_dicom, made_by_ome, made_by_tiff
from integrate.errors import DataError, IntegrateError
from integrate.model.acquisition import Acquisition
from integrate.model.image import image_notes
from integrate.readers.base import Reader
from integrate.readers.dicom_files import read_header
from integrate.readers.tiff import open_tiff
from integrate.readers.vendor_headers import MODALITY, made_by_vendor

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Acquisition", "harvest", "harvest_reader"]


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
    table = pd.DataFrame(rows, columns=["dataset", "item", *Acquisition.__dataclass_fields__, "fault"])
    table.insert(2, "day", pd.Series(days_since_first(days), dtype="Int64"))
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
    kind, options = type(reader).__name__, reader.own_options()
    opened = reader._open(path, **options)
    told, made, patient = _of_header(kind, path, options)
    notes = image_notes(opened)
    known: dict[str, Any] = {
        "modality": notes.get("modality") or reader.metadata.get("modality") or MODALITY.get(kind),
        "software": notes.get("software") or None,
        "stain": reader.metadata.get("stain"),
        "magnification": notes.get("objective_power"),
        **_of_array(opened, notes),
    }
    ids = "/".join(f"{k}={v}" for k, v in sorted(reader.ids.items()) if "subject" in k or "patient" in k)
    said = {name: value for name, value in told.items() if value and name in Acquisition.__dataclass_fields__}
    return Acquisition(**{**known, **said}), made, ids or patient


def _of_array(opened: Any, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return axes, shape, steps and channels of an array, or of the finest level of a slide."""
    if "scale0" in getattr(opened, "children", {}):
        opened = _first_level(opened)
    if not hasattr(opened, "dims") or not hasattr(opened, "coords"):
        first: Any = next(iter(notes.values()), {})
        size = first.get("pixel_size_um") if isinstance(first, Mapping) else None
        software = first.get("software") if isinstance(first, Mapping) else None
        told = {"unit": "um", "spacing": dict(zip("yx", size, strict=True))} if size else {}
        image = next(iter(getattr(opened, "images", {}).values()), None)
        channels = () if image is None else tuple(str(one) for one in _first_level(image).coords["c"].values)
        return {**told, "channels": channels, **({"software": software} if software else {})}
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


def _first_level(image: Any) -> Any:
    return image["scale0"]["image"] if hasattr(image, "children") else image


def _of_header(kind: str, path: Path, options: Mapping[str, Any]) -> tuple[dict[str, Any], date | None, str]:
    """Return what the header of the format says of device and software, the day, and the patient."""
    if kind.startswith("Dicom") or kind == "RtDose":
        return _of_dicom(path)
    if kind in ("OmeTiff", "Tiff", "Slide", "WholeSlide"):
        return (*_of_tiff(path), "")
    return (*made_by_vendor(kind, path, options), "")


def _of_dicom(path: Path) -> tuple[dict[str, Any], date | None, str]:
    for file in sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]:
        try:
            header = read_header(file).header
        except DataError:
            continue
        told, made = made_by_dicom(header)
        return told, made, str(header.get("PatientID", ""))
    return {}, None, ""


def _of_tiff(path: Path) -> tuple[dict[str, Any], date | None]:
    with open_tiff(path) as tiff:
        xml = tiff.ome_metadata if tiff.is_ome else None
        page = tiff.pages[0]
        described = str(page.description or "")
        tags = {name: str(page.tags[name].value).strip() for name in ("Make", "Model", "Software") if name in page.tags}
    return made_by_ome(xml) if xml else made_by_tiff(described, tags)
