"""What the header of an image says of how it was made: device, software, steps and the day."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from integrate.model.spelling import note_header

__all__ = ["day_of", "days_since_first", "made_by_dicom", "made_by_ome", "made_by_tiff", "read_dicom", "slice_step"]

Facts = dict[str, Any]

#: Codes of "using substance" in the preparation of a specimen (SNOMED CT, SNOMED RT): what it was stained with.
USING_SUBSTANCE: frozenset[str] = frozenset({"424361007", "G-C350"})
#: Steps between slices that differ by more than this share of themselves are no step of the series.
UNEVEN = 0.01
NUMBER = r"\d+(?:\.\d+)?"


def read_dicom(path: Path) -> tuple[Facts, date | None]:
    """Return what the header of a DICOM file says of how it was made, and ``spacing`` within the plane, in ``unit``."""
    import pydicom

    with warnings.catch_warnings():
        # about values that break a rule of the standard, which nobody who lists a folder can act on
        warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
        header = pydicom.dcmread(path, stop_before_pixels=True)
        note_header(header)
        told, day = made_by_dicom(header)
        held = header
        for name in ("SharedFunctionalGroupsSequence", "PixelMeasuresSequence"):
            held = held[name][0] if name in held and len(held[name].value) else held
        steps = [float(step) for step in held.get("PixelSpacing") or ()]
    if len(steps) == 2:  # of rows, then of columns
        told |= {"spacing": {"y": steps[0], "x": steps[1]}, "unit": "mm"}
    return told, day


def slice_step(places: Sequence[tuple[str, str]]) -> float | None:
    """Return the step between slices from their positions, ``None`` when they say none or are not evenly spaced.

    Parameters
    ----------
    places
        ImagePositionPatient and ImageOrientationPatient of each slice, as the files write them.
    """
    import numpy as np

    if not all(position and orientation == places[0][1] for position, orientation in places):
        return None
    row, column = np.array(places[0][1].split("\\"), float).reshape(2, 3)
    positions = np.array([position.split("\\") for position, _ in places], float)
    steps = np.diff(np.unique((positions @ np.cross(row, column)).round(3)))
    if not len(steps) or np.ptp(steps) > UNEVEN * steps.mean():
        return None
    return float(round(steps.mean(), 6))


def made_by_dicom(header: Any) -> tuple[Facts, date | None]:
    """Return ``manufacturer, model, software, body_part, modality`` and the day of a DICOM header (pydicom)."""
    software = header.get("SoftwareVersions")
    told = {
        "modality": str(header.get("Modality") or ""),
        "manufacturer": str(header.get("Manufacturer") or "").strip(),
        "model": str(header.get("ManufacturerModelName") or "").strip(),
        "software": software if isinstance(software, str) else "; ".join(str(one) for one in software or ()),
        "body_part": str(header.get("BodyPartExamined") or ""),
        "stain": "; ".join(_stains(header)),
    }
    days = (header.get(name) for name in ("AcquisitionDate", "SeriesDate", "StudyDate"))
    return told, next((found for one in days if (found := day_of(str(one or ""), "%Y%m%d"))), None)


def _stains(header: Any) -> list[str]:
    """Return what a specimen was stained with, as DICOM codes its preparation."""
    steps = [
        step.get("SpecimenPreparationStepContentItemSequence") or ()
        for specimen in header.get("SpecimenDescriptionSequence") or ()
        for step in specimen.get("SpecimenPreparationSequence") or ()
    ]
    used = [item for step in steps for item in step if _codes(item, "ConceptNameCodeSequence") & USING_SUBSTANCE]
    meant = (code.get("CodeMeaning") for item in used for code in item.get("ConceptCodeSequence") or ())
    return list(dict.fromkeys(str(one) for one in meant if one))


def _codes(item: Any, name: str) -> set[str]:
    return {str(code.get("CodeValue", "")) for code in item.get(name) or ()}


def made_by_ome(xml: str) -> tuple[Facts, date | None]:
    """Return ``manufacturer, model, software, magnification`` and the day of an OME header; nothing of damaged XML."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return {}, None
    scope, lens = root.find(".//{*}Microscope"), root.find(".//{*}Objective")
    told: Facts = {"software": root.get("Creator")}
    if scope is not None:
        told |= {"manufacturer": scope.get("Manufacturer"), "model": scope.get("Model")}
    if lens is not None and re.fullmatch(NUMBER, power := str(lens.get("NominalMagnification", ""))):
        told["magnification"] = float(power)
    day = root.findtext(".//{*}AcquisitionDate") or ""
    return told, day_of(day[:10], "%Y-%m-%d")


def made_by_tiff(described: str, tags: Mapping[str, str]) -> tuple[Facts, date | None]:
    """Return ``manufacturer, model, software`` and the day of a TIFF page by its description and its text tags."""
    told: Facts = {
        "manufacturer": tags.get("Make"),
        "model": tags.get("Model"),
        "software": tags.get("Software"),
    }
    if not described.startswith("Aperio"):
        return told, None
    scanner = re.search(r"ScanScope ID\s*=\s*([^|]+)", described)
    told |= {"manufacturer": "Aperio", "software": described.splitlines()[0].strip(), "modality": "SM"}
    told |= {"model": f"ScanScope {scanner[1].strip()}"} if scanner else {}
    edge = re.search(rf"MPP\s*=\s*({NUMBER})", described)
    told |= {"pixel_size_um": [float(edge[1])] * 2} if edge and float(edge[1]) else {}
    day = re.search(r"Date\s*=\s*(\d\d/\d\d/\d\d(\d\d)?)", described)
    return told, day_of(day[1], "%m/%d/%y" if len(day[1]) == 8 else "%m/%d/%Y") if day else None


def day_of(text: str, pattern: str) -> date | None:
    """Return the day a text names, ``None`` when it names none."""
    try:
        return datetime.strptime(text.strip(), pattern).date()
    except ValueError:
        return None


def days_since_first(made: Sequence[tuple[str, date | None]]) -> list[int | None]:
    """Return whole days since the first dated one of the same person; dates themselves are not kept."""
    first: dict[str, date] = {}
    for who, day in made:
        if day is not None:
            first[who] = min(day, first.get(who, day))
    return [None if day is None else (day - first[who]).days for who, day in made]
