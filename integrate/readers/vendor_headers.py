"""What the descriptions of vendors say of how an acquisition was made: device, software, objective and the day."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from integrate.catalog.made import day_of, made_by_ome
from integrate.errors import DataError

__all__ = ["MODALITY", "made_by_vendor"]

Facts = dict[str, Any]

#: The modality of a format that has only one.
MODALITY: dict[str, str] = {
    **{"Visium": "visium", "VisiumHD": "visiumhd", "Xenium": "xenium", "Merscope": "merscope", "CosMx": "cosmx"},
    **{"Imc": "IMC", "Steinbock": "IMC", "StereoSeq": "stereoseq", "Codex": "CODEX", "SlideSeq": "slideseq"},
    "SpatialTranscriptomics": "ST",
}
#: The vendor of a format that only one writes.
MAKER: dict[str, str] = {
    **{"Visium": "10x Genomics", "VisiumHD": "10x Genomics", "Xenium": "10x Genomics", "Merscope": "Vizgen"},
    **{"CosMx": "NanoString", "StereoSeq": "STOmics", "Codex": "Akoya", "QpTiff": "Akoya"},
    **{"Czi": "Zeiss", "Lif": "Leica", "Nd2": "Nikon", "Imc": "Standard BioTools"},
}
#: Day 0 of Python's calendar in Julian days, that count from noon.
JULIAN = 1_721_424.5


def made_by_vendor(kind: str, path: Path, options: Mapping[str, Any]) -> tuple[Facts, date | None]:
    """Return ``manufacturer, model, software, magnification`` and the day, as far as a format says them.

    Parameters
    ----------
    kind
        Name of the reader.
    path
        What it reads.
    options
        How: which image, position or acquisition.
    """
    look = _LOOKS.get(kind)
    told, made = look(path, options) if look is not None else ({}, None)
    return {"manufacturer": MAKER.get(kind), **{name: value for name, value in told.items() if value}}, made


def _iso(text: Any) -> date | None:
    return day_of(str(text or "")[:10], "%Y-%m-%d")


def _power(text: Any) -> float | None:
    """Return the magnification that the name of an objective begins with or holds, as ``20x/0.75``."""
    found = re.search(r"(\d+(?:\.\d+)?)\s*[xX×]", str(text or ""))
    return float(found[1]) if found else None


def _json(path: Path, name: str) -> dict[str, Any]:
    for file in sorted(path.rglob("*"), key=lambda one: len(one.parts)):
        if file.name.lower() == name and file.is_file():
            try:
                told = json.loads(file.read_bytes())
            except ValueError as error:
                raise DataError(f"{file.name} of {path.name} is no readable description ({error})") from error
            return told if isinstance(told, dict) else {}
    return {}


def _xenium(path: Path, options: Mapping[str, Any]) -> tuple[Facts, date | None]:
    told = _json(path, "experiment.xenium")
    number = told.get("instrument_sn")
    software = {"software": told.get("analysis_sw_version"), "model": f"Xenium {number}" if number else "Xenium"}
    return software, _iso(told.get("run_start_time"))


def _codex(path: Path, options: Mapping[str, Any]) -> tuple[Facts, date | None]:
    told = _json(path, "experiment.json")
    power, version = told.get("magnification"), told.get("version")
    facts: Facts = {"model": told.get("microscope"), "software": f"CODEX {version}" if version else None}
    facts["magnification"] = float(power) if isinstance(power, (int, float)) and power > 0 else None
    return facts, _iso(told.get("runDate") or told.get("date"))


def _qptiff(path: Path, options: Mapping[str, Any]) -> tuple[Facts, date | None]:
    from integrate.readers.qptiff import describe_page
    from integrate.readers.tiff import open_tiff

    with open_tiff(path) as tiff:
        page = tiff.pages[0]
        told = describe_page(page, path)
        stamp = page.tags["DateTime"].value if "DateTime" in page.tags else ""
    facts = {"software": told.findtext("AcquisitionSoftware"), "model": told.findtext("InstrumentType")}
    return {**facts, "magnification": _power(told.findtext("Objective"))}, day_of(str(stamp)[:10], "%Y:%m:%d")


def _lif(path: Path, options: Mapping[str, Any]) -> tuple[Facts, date | None]:
    from integrate.readers.lif import describe_image

    element, first = describe_image(path, options.get("image"))
    settings = {name: value for one in element.iter() for name, value in one.attrib.items() if value}
    facts: Facts = {"model": settings.get("SystemTypeName"), "software": settings.get("Software")}
    power = _power(settings.get("ObjectiveName"))
    return {**facts, "magnification": power}, _iso(first)


def _nd2(path: Path, options: Mapping[str, Any]) -> tuple[Facts, date | None]:
    from integrate.readers.nd2 import describe_file

    told = describe_file(path)
    day = told["julian_day"]
    made = date.fromordinal(int(day - JULIAN)) if day and day > JULIAN + 1 else None
    return {"magnification": told["magnification"] or _power(told["objective"])}, made


def _czi(path: Path, options: Mapping[str, Any]) -> tuple[Facts, date | None]:
    from integrate.readers.czi import read_metadata

    found = dict(_leaves(read_metadata(path)))
    names = (found.get("Application.Name"), found.get("Application.Version"))
    software = " ".join(str(one) for one in names if one)
    return {"software": software}, _iso(found.get("Image.AcquisitionDateAndTime"))


def _leaves(tree: Any, parent: str = "") -> Iterator[tuple[str, Any]]:
    for name, held in tree.items() if isinstance(tree, Mapping) else ():
        if isinstance(held, Mapping):
            yield from _leaves(held, str(name))
        else:
            yield f"{parent}.{name}", held


def _imc(path: Path, options: Mapping[str, Any]) -> tuple[Facts, date | None]:
    if path.suffix.lower() == ".txt":
        return {}, None
    from integrate.readers.imc import describe_acquisition

    told = describe_acquisition(path, options.get("acquisition"))
    software = told.get("SwVersion")
    return {"software": f"CyTOF {software}" if software else None}, _iso(told.get("StartTimeStamp"))


def _bioformats(path: Path, options: Mapping[str, Any]) -> tuple[Facts, date | None]:
    from integrate.readers.bioformats import describe_file

    return made_by_ome(describe_file(path))


_LOOKS: dict[str, Callable[[Path, Mapping[str, Any]], tuple[Facts, date | None]]] = {
    **{"Xenium": _xenium, "Codex": _codex, "QpTiff": _qptiff, "Lif": _lif, "Nd2": _nd2, "Czi": _czi, "Imc": _imc},
    "BioFormats": _bioformats,
}
