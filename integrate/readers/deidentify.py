"""De-identified copies of DICOM files (basic profile of PS3.15) that keep the graph of UIDs and all intervals."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError
from integrate.model.spelling import note_header
from integrate.readers.dicom_files import DAMAGE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["deidentify_dicom", "identifying", "mask_uids", "masked_header", "may_show_text", "project_key"]

#: Where the key of a project is looked for when none is given.
KEY_VARIABLE = "INTEGRATE_DEIDENTIFY_KEY"
#: UIDs below this root name classes and rules of the standard, not people's data.
STANDARD_ROOT = "1.2.840.10008."
#: Text that says how an image was made, not of whom; every other text goes. Free text (descriptions, comments, labels
# of #: structures) may hold a name, so it goes too.
KEPT_TEXT: frozenset[str] = frozenset(
    [
        "AnatomicRegionDescription",
        "AxisUnits",
        "BodyPartExamined",
        "CodeMeaning",
        "CodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeVersion",
        "ColorSpace",
        "ContextGroupVersion",
        "ContrastBolusAgent",
        "ConvolutionKernel",
        "DecayCorrection",
        "DoseUnits",
        "FilterMaterial",
        "FilterType",
        "FocalSpots",
        "ImagedNucleus",
        "KVP",
        "LongCodeValue",
        "MagneticFieldStrength",
        "Manufacturer",
        "ManufacturerModelName",
        "MappingResource",
        "ObjectiveLensPower",
        "PulseSequenceName",
        "Radionuclide",
        "Radiopharmaceutical",
        "ReceiveCoilName",
        "RescaleType",
        "SequenceName",
        "SoftwareVersions",
        "TransmitCoilName",
        "UnitsOfMeasure",
        "VariableFlipAngleFlag",
    ]
)
#: Numbers and codes that tell who someone is, where, or which device.
REMOVED: frozenset[str] = frozenset(
    [
        "PatientSexNeutered",
        "RegionOfResidence",
        "CountryOfResidence",
        "SmokingStatus",
        "PregnancyStatus",
        "PatientBirthDate",
        "PatientBirthTime",
        "PatientBirthDateInAlternativeCalendar",
        "PatientDeathDateInAlternativeCalendar",
        "MilitaryRank",
        "TimezoneOffsetFromUTC",
        "EncryptedAttributesSequence",
        "ModifiedAttributesSequence",
        "OriginalAttributesSequence",
        "OtherPatientIDsSequence",
        "ReferringPhysicianIdentificationSequence",
        "DigitalSignaturesSequence",
        "MACParametersSequence",
        "IconImageSequence",
        "PersonIdentificationCodeSequence",
        "InstitutionCodeSequence",
        "RequestAttributesSequence",
        "SourcePatientGroupIdentificationSequence",
        "GroupOfPatientsIdentificationSequence",
        "PatientInsurancePlanCodeSequence",
        "ReferencedPatientPhotoSequence",
    ]
)
#: Elements that must stand, though empty: readers of the format expect them.
EMPTIED: frozenset[str] = frozenset(
    ["PatientName", "PatientBirthDate", "ReferringPhysicianName", "AccessionNumber", "StudyID", "ContentCreatorName"]
)
#: Names of outlines and segments: free text, but what the others are told apart by; each becomes a keyed one.
LABELS = frozenset(["ROIName", "SegmentLabel", "ROIObservationLabel", "StructureSetLabel", "ContentLabel"])
#: Kinds of values that hold no words: numbers, coded strings, pixels.
NUMERIC = frozenset(
    ["US", "UL", "SS", "SL", "FL", "FD", "SV", "UV", "AT", "IS", "DS", "OW", "OF", "OD", "OL", "OV", "CS", "AS"]
)
BYTES_KEPT = frozenset(
    [
        "PixelData",
        "FloatPixelData",
        "DoubleFloatPixelData",
        "ICCProfile",
        "LUTData",
        "RedPaletteColorLookupTableData",
        "GreenPaletteColorLookupTableData",
        "BluePaletteColorLookupTableData",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
        "PixelPaddingValue",
    ]
)
#: Modalities whose pixels often show the name of the patient.
SHOWS_TEXT: tuple[str, ...] = ("US", "IVUS", "XA", "RF", "SC", "OT", "ES", "XC", "DOC")


@dataclass
class _Masks:
    """The keyed replacements of one project: the same value always becomes the same."""

    key: bytes
    patient: str = ""
    shift: timedelta = field(default_factory=timedelta)

    def digest(self, kind: str, value: str) -> bytes:
        return hmac.new(self.key, f"{kind}\0{value}".encode(), hashlib.sha256).digest()

    def uid(self, value: str) -> str:
        if not value or value.startswith(STANDARD_ROOT):
            return value
        return f"2.25.{int.from_bytes(self.digest('uid', value)[:16], 'big')}"

    def of(self, patient: str) -> _Masks:
        """Return the masks of a patient: days are moved back by one to ten years, the same for all of a patient."""
        days = 365 + int.from_bytes(self.digest("shift", patient)[:4], "big") % 3286
        name = "SUBJ-" + self.digest("patient", patient).hex()[:12].upper()
        return _Masks(self.key, name, timedelta(days=-days))


def project_key(key: str | None = None) -> bytes:
    """Return the key of a project, given or from the environment.

    Raises
    ------
    ParameterError
        If there is none, or it is too short to be a secret.
    """
    value = key if key is not None else os.environ.get(KEY_VARIABLE, "")
    if len(value) < 12:
        raise ParameterError(
            f"de-identifying needs a secret key of at least 12 signs: set {KEY_VARIABLE}, the same for all of a "
            "project, and keep it away from the data"
        )
    return value.encode()


def mask_uids(notes: Mapping[str, Any], header: Any, *, key: str | None = None) -> dict[str, Any]:
    """Return the notes of an image with every UID replaced as in de-identified copies of the same project.

    Raises
    ------
    DataError
        If the pixels may show a name.
    ParameterError
        If the project has no key.
    """
    if reason := may_show_text(header):
        raise DataError(f"the pixels cannot be de-identified: {reason}; look at them, and read without deidentify")
    masks = _Masks(project_key(key))
    return {
        name: masks.uid(value) if name.endswith("_uid") and isinstance(value, str) else value
        for name, value in notes.items()
    }


def masked_header(header: Any, *, key: str | None = None) -> Any:
    """Return a header as it stands in de-identified copies of the same project; it is changed in place.

    Raises
    ------
    ParameterError
        If the project has no key.
    """
    _mask(header, _Masks(project_key(key)).of(str(header.get("PatientID", ""))))
    return header


def deidentify_dicom(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    key: str | None = None,
    pixels_checked: bool = False,
) -> pd.DataFrame:
    """Write de-identified copies of every DICOM file of a folder, and return what became of each.

    Parameters
    ----------
    source
        A folder, or a file.
    target
        New folder of the copies; their names and folders are made from the new UIDs.
    key
        Secret of the project; by default the environment's ``INTEGRATE_DEIDENTIFY_KEY``. The same key gives the same
        pseudonyms, UIDs and shifts, so that copies made later fit those made before.
    pixels_checked
        Whether a person has looked that no pixels show a name. Without it, files that say so
        (``BurnedInAnnotation`` YES), or of a kind that often does (ultrasound, angiography, secondary capture …) and
        do not deny it, are not copied.

    Returns
    -------
    DataFrame, a row per file: ``file``, ``copied`` (bool), ``reason`` why not, ``subject`` (pseudonym), ``removed``
    (how many elements went) and ``path`` of the copy.

    Raises
    ------
    ParameterError
        If the target exists, or there is no key.
    DataError
        If there is no DICOM file.

    Notes
    -----
    What may stay is listed, not what must go: numbers, codes, pixels, and texts that tell how an image was made, at
    every depth of nesting. Private elements, all other texts, overlays and curves go. UIDs are replaced by keyed ones
    everywhere, so references still resolve; dates move by the same number of days for all of a patient and times stay,
    so intervals, and with them SUV, stay right. Sex, age (90 at most), size and weight stay (PS3.15 options: retain
    patient characteristics, retain longitudinal temporal information with modified dates). Each copy says so.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> copies = ig.deidentify_dicom(
    ...     get_testdata_file("CT_small.dcm"), tmp_path / "safe", key="a secret of this project"
    ... )
    >>> bool(copies["copied"].all())
    True
    """
    import pandas as pd

    folder, place = Path(source), Path(target)
    masks = _Masks(project_key(key))
    if place.exists():
        raise ParameterError(f"{place.name!r} is there already; de-identified copies need a new folder")
    files = sorted(one for one in folder.rglob("*") if one.is_file()) if folder.is_dir() else [folder]
    rows = [_copy(one, folder, place, masks, pixels_checked=pixels_checked) for one in files]
    kept = [row for row in rows if row is not None]
    if not kept:
        raise DataError(f"no DICOM file in {folder.name!r}; found {len(files)} other files")
    return pd.DataFrame(kept)


def identifying(header: Any) -> list[str]:
    """Return the elements of a header that hold a value and would be removed or replaced, by path, without values."""
    found: list[str] = []
    _collect(header, "", found)
    return sorted(set(found))


def _collect(dataset: Any, path: str, found: list[str]) -> None:
    for element in dataset:
        name = f"{path}{element.keyword or ('private' if element.tag.is_private else str(element.tag))}"
        if element.VR == "SQ" and not element.tag.is_private and element.keyword not in REMOVED:
            for item in element.value:
                _collect(item, f"{name}.", found)
        elif element.VR in ("UI", "TM") or element.value in (None, "", b""):
            continue
        elif element.VR in ("DA", "DT") or not _stays(element):
            found.append(name)


def _copy(file: Path, folder: Path, place: Path, masks: _Masks, *, pixels_checked: bool) -> dict[str, Any] | None:
    import pydicom

    try:
        held = pydicom.dcmread(file)
        note_header(held)
    except (pydicom.errors.InvalidDicomError, *DAMAGE):
        return None
    told = {"file": str(file.relative_to(folder)) if folder.is_dir() else file.name}
    reason = "" if pixels_checked else may_show_text(held)
    own = masks.of(str(held.get("PatientID", "")))
    if held.get("SOPClassUID") == "1.2.840.10008.1.3.10":
        reason = "a DICOMDIR lists names and paths; make a new one"
    if reason:
        return {**told, "copied": False, "reason": reason, "subject": own.patient, "removed": 0, "path": ""}
    removed = _mask(held, own)
    _mark(held, own)
    path = place / own.patient / str(held.get("SeriesInstanceUID", "no-series")) / f"{held.SOPInstanceUID}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    held.save_as(path, enforce_file_format=True)
    return {**told, "copied": True, "reason": "", "subject": own.patient, "removed": removed, "path": str(path)}


def may_show_text(held: Any) -> str:
    """Return why the pixels of a file may show a name, ``""`` when nothing says so."""
    burned = str(held.get("BurnedInAnnotation", "")).upper()
    if burned == "YES":
        return "it says that a name is burned into its pixels"
    if burned != "NO" and str(held.get("Modality", "")) in SHOWS_TEXT:
        return f"pictures of modality {held.get('Modality')} often show a name, and it does not deny it"
    return ""


def _stays(element: Any) -> bool:
    """Return whether an element may stay as it is."""
    if element.tag.is_private or element.keyword in REMOVED or element.tag.group in range(0x5000, 0x6100):
        return False
    if element.VR in ("OB", "UN"):
        return element.keyword in BYTES_KEPT
    return element.VR in NUMERIC or element.VR == "TM" or element.keyword in KEPT_TEXT


def _mask(dataset: Any, masks: _Masks) -> int:
    """Mask a dataset in place, at every depth, and return how many elements were removed or emptied."""
    removed = 0
    for element in list(dataset):
        keyword = element.keyword
        if element.VR == "SQ" and not element.tag.is_private and keyword not in REMOVED:
            removed += sum(_mask(item, masks) for item in element.value)
        elif keyword in ("PatientID", "PatientName"):
            element.value = masks.patient
        elif keyword in LABELS and element.value:
            element.value = "LABEL_" + masks.digest("label", str(element.value)).hex()[:8].upper()
        elif keyword in EMPTIED:
            removed += bool(element.value)
            element.value = ""
        elif element.VR == "UI" and not element.tag.is_private:
            element.value = _each(element.value, masks.uid)
        elif element.VR in ("DA", "DT") and keyword not in REMOVED and not element.tag.is_private:
            element.value = _each(element.value, lambda value: _shifted(str(value), masks.shift))
        elif keyword == "PatientAge":
            element.value = _at_most_ninety(str(element.value or ""))
        elif not _stays(element):
            del dataset[element.tag]
            removed += 1
    return removed


def _each(value: Any, change: Any) -> Any:
    from pydicom.multival import MultiValue

    if value in (None, ""):
        return value
    return [change(str(one)) for one in value] if isinstance(value, (MultiValue, list)) else change(str(value))


def _shifted(value: str, shift: timedelta) -> str:
    """Return a date, or a date with time, moved by whole days; one that cannot be read is emptied."""
    try:
        day = datetime.strptime(value[:8], "%Y%m%d") + shift
    except ValueError:
        return ""
    return day.strftime("%Y%m%d") + value[8:]


def _at_most_ninety(age: str) -> str:
    return "090Y" if age.endswith("Y") and age[:-1].isdigit() and int(age[:-1]) >= 90 else age


def _mark(held: Any, masks: _Masks) -> None:
    """State in the copy what was done, as PS3.15 asks."""
    from pydicom.dataset import Dataset

    held.PatientID = held.PatientName = masks.patient
    held.PatientIdentityRemoved = "YES"
    held.LongitudinalTemporalInformationModified = "MODIFIED"
    held.DeidentificationMethod = "integrate: listed elements kept, PS3.15 basic profile"
    codes = []
    for value, meaning in (
        ("113100", "Basic Application Confidentiality Profile"),
        ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
        ("113108", "Retain Patient Characteristics Option"),
    ):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    held.DeidentificationMethodCodeSequence = codes
    held.preamble = b"\0" * 128
    meta = held.file_meta
    meta.MediaStorageSOPInstanceUID = held.SOPInstanceUID
    for element in list(meta):
        if element.keyword not in (
            "FileMetaInformationGroupLength",
            "FileMetaInformationVersion",
            "MediaStorageSOPClassUID",
            "MediaStorageSOPInstanceUID",
            "TransferSyntaxUID",
        ):
            del meta[element.tag]
