"""What a file says of itself in its first bytes: enough to list it, without reading its pixels."""

from __future__ import annotations

import csv
import gzip
import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from integrate.catalog.made import made_by_ome, made_by_tiff

__all__ = ["dicom_header", "look_into"]

Facts = dict[str, Any]

#: DICOM elements a listing needs, by tag.
WANTED: dict[int, str] = {
    0x00080016: "sop_class",
    0x00080060: "modality",
    0x00100020: "patient_id",
    0x0020000D: "study_uid",
    0x0020000E: "series_uid",
    0x00200032: "position",
    0x00200037: "orientation",
}
LAST_WANTED = max(WANTED)
EXPLICIT_LITTLE, IMPLICIT_LITTLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
LONG_LENGTH: frozenset[bytes] = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")
)
ENOUGH = 16_384
_EXPLICIT, _IMPLICIT, _LENGTH = (struct.Struct(form).unpack_from for form in ("<HH2sH", "<HHI", "<I"))
SLIDES: tuple[str, ...] = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".bif")
TABLES: tuple[str, ...] = (".csv", ".tsv", ".parquet", ".pq")
STATISTICS: tuple[str, ...] = (".sav", ".dta", ".sas7bdat", ".xpt")
#: What the first line of an imaging mass cytometry's text export begins with.
IMC_TEXT = "Start_push\tEnd_push\tPushes_duration\tX\tY\tZ"
#: Metal isotopes as channel names of imaging mass cytometry write them.
_METAL = re.compile(r"(?<![A-Za-z])(La|Pr|Nd|Sm|Eu|Gd|Tb|Dy|Ho|Er|Tm|Yb|Lu|Ir|Pt|Bi|In|Y)\(?\d{2,3}\)?(?!\d)")


def look_into(path: Path) -> Facts | None:
    """Return what a file is and says, ``None`` when it is of no kind we know.

    Returns
    -------
    ``kind`` and, where the file says so, ``modality``, ``channels``, ``shape``, ``pixel_size_um`` and what a DICOM
    listing needs. A file that could not be read has ``fault``; what a person must decide is in ``undecided``.
    """
    name = path.name.lower()
    try:
        if path.stat().st_size == 0:
            return {"kind": "empty", "fault": "the file is empty"}
        for endings, look in _LOOKS:
            if name.endswith(endings):
                return look(path)
        if "." not in name or name.endswith((".dcm", ".dicom", ".ima")) or name.rpartition(".")[2].isdigit():
            header = dicom_header(path)
            return None if header is None else {"kind": "dicom", **header}
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        struct.error,
        zlib.error,
        IndexError,
        TypeError,
        csv.Error,
    ) as error:
        return {"kind": "unreadable", "fault": f"{type(error).__name__}: {error}"[:200]}
    return None


def dicom_header(path: Path) -> Facts | None:
    """Return ``sop_class, modality, patient_id, study_uid, series_uid, position, orientation`` of a DICOM file.

    All are texts, empty when the file does not say; ``None`` for another kind of file.

    Common encodings are read from the first bytes alone, a thing pydicom takes ten times as long for; the others by
    pydicom.
    """
    with path.open("rb") as stream:
        head = stream.read(ENOUGH)
        if head[128:132] != b"DICM":
            return None
        try:
            found = _parse(head, stream)
        except (_TooDeepError, struct.error, UnicodeDecodeError):
            found = None
    return _by_pydicom(path) if found is None else found


def _parse(head: bytes, stream: BinaryIO) -> Facts | None:
    """Return the wanted elements, ``None`` when this simple reading does not suffice."""
    syntax, at = "", 132
    while head[at : at + 2] == b"\x02\x00":
        tag, start, end = _element(head, at, is_explicit=True)
        if tag == 0x00020010:
            syntax = head[start:end].rstrip(b"\0 ").decode("ascii", "replace")
        at = end
    if syntax in (BIG_ENDIAN, DEFLATED, ""):
        return None
    is_explicit = syntax != IMPLICIT_LITTLE
    found = dict.fromkeys(WANTED.values(), "")
    enough = len(head) - 8
    while at <= enough:
        tag, start, end = _element(head, at, is_explicit)
        if tag > LAST_WANTED:
            return found
        if end > enough:  # a long sequence comes first: read on
            more = stream.read(max(ENOUGH, end - len(head) + ENOUGH))
            if not more:
                return None
            head += more
            enough = len(head) - 8
        if tag in WANTED:
            found[WANTED[tag]] = head[start:end].rstrip(b"\0 ").decode("ascii").strip()
            if tag == LAST_WANTED:
                return found
        at = end
    return None


def _element(data: bytes, at: int, is_explicit: bool) -> tuple[int, int, int]:  # noqa: FBT001 (called 100,000 times)
    """Return the tag of an element, and where its value starts and ends."""
    if is_explicit:
        group, element, kind, length = _EXPLICIT(data, at)
        start = at + 8
        if kind in LONG_LENGTH:
            (length,) = _LENGTH(data, start)
            start += 4
    else:
        group, element, length = _IMPLICIT(data, at)
        start = at + 8
    if length == 0xFFFFFFFF:  # a sequence that ends where it says: go to its end mark at this depth
        raise _TooDeepError
    return (group << 16) | element, start, start + length


class _TooDeepError(Exception):
    """The header holds what the simple reading does not follow."""


def _by_pydicom(path: Path) -> Facts:
    import pydicom
    from pydicom.multival import MultiValue

    data = pydicom.dcmread(path, stop_before_pixels=True)
    values = {name: data[tag].value if tag in data else "" for tag, name in WANTED.items()}
    several = {name: "\\".join(map(str, value)) for name, value in values.items() if isinstance(value, MultiValue)}
    return {name: several.get(name, "" if value is None else str(value).strip()) for name, value in values.items()}


def _ome_tiff(path: Path) -> Facts:
    import xml.etree.ElementTree as ET  # an OME header holds no entities worth expanding; tifffile has read it

    import tifffile

    with tifffile.TiffFile(path) as file:
        series, text = file.series[0], file.ome_metadata
        levels = len(series.levels)
    if text is None or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return {"kind": "tiff", "undecided": ["the name says OME-TIFF, the file has no OME header"]}
    pixels = next((e for e in ET.fromstring(text).iter() if e.tag.endswith("}Pixels")), None)
    if pixels is None:
        return {"kind": "tiff", "undecided": ["the OME header has no Pixels"]}
    channels = [e for e in pixels if e.tag.endswith("}Channel")]
    names = [e.get("Name") or e.get("ID") or "" for e in channels]
    is_rgb = any(e.get("SamplesPerPixel") in ("3", "4") for e in channels)
    facts: Facts = {"kind": "ome_tiff", "shape": list(series.shape), "levels": levels}
    sizes = {axis.lower(): size for axis in "ZYX" if (size := _micrometres(pixels, axis)) is not None}
    if {"y", "x"} <= set(sizes):
        facts |= {"pixel_size_um": [sizes["y"], sizes["x"]], "spacing": sizes, "unit": "um"}
    facts |= _stated(made_by_ome(text)[0])
    if is_rgb:
        return {**facts, "modality": "SM"}
    metals = sum(bool(_METAL.search(name)) for name in names)
    likely = "IMC" if names and metals > len(names) / 2 else "IF"
    told = f"modality: IF, IMC or MIBI? {len(names)} channels, {metals} named after metals; likely {likely}"
    return {**facts, "channels": names, "undecided": [told]}


def _micrometres(pixels: Any, axis: str) -> float | None:
    size, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
    scale = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}.get(unit)
    return None if size is None or scale is None else float(size) * scale


def _tiff(path: Path) -> Facts:
    import tifffile

    with tifffile.TiffFile(path) as file:
        if file.is_ome:
            return _ome_tiff(path)
        if file.is_qpi:
            return {"kind": "qptiff", "shape": list(file.series[0].shape), "modality": "IF"}
        page: Any = file.pages[0]
        shape, pages = list(page.shape), len(file.pages)
        made = _of_page(page)
        if page.photometric == tifffile.PHOTOMETRIC.RGB:
            told = ["modality: a slide or a photograph?"]
            return {"kind": "tiff", "shape": shape, "modality": "", **made, "undecided": told}
        facts: Facts = {"kind": "tiff", "shape": shape, "pages": pages, "dtype": str(page.dtype), **made}
    if re.search(r"(mask|label|segment|outline)", path.name.lower()) and facts["dtype"].startswith(("int", "uint")):
        return {**facts, "kind": "labels", "undecided": ["labels or an image? the name says labels"]}
    return {**facts, "undecided": ["modality, and the pixel size: the file does not say"]}


def _slide(path: Path) -> Facts:
    """Return a slide as what its first page says, where it is a TIFF; others, and Hamamatsu's, are for OpenSlide."""
    import tifffile

    kind = "slide" if path.suffix.lower() == ".svs" else "openslide"
    facts: Facts = {"kind": kind, "modality": "SM"}
    try:
        with tifffile.TiffFile(path) as file:
            return {**facts, **_of_page(file.pages[0])}
    except tifffile.TiffFileError:
        return facts


def _of_page(page: Any) -> Facts:
    tags = {name: str(page.tags[name].value).strip() for name in ("Make", "Model", "Software") if name in page.tags}
    told = _stated(made_by_tiff(str(page.description or ""), tags)[0])
    told.pop("modality", None)
    edge = told.get("pixel_size_um")
    return {**told, "spacing": dict(zip("yx", edge, strict=True)), "unit": "um"} if edge else told


def _stated(told: Facts) -> Facts:
    """Return what a header does say."""
    return {name: value for name, value in told.items() if value}


def _nifti(path: Path) -> Facts:
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
        head = stream.read(348)
    order = "<" if struct.unpack_from("<i", head)[0] in (348, 540) else ">"
    if struct.unpack_from(f"{order}i", head)[0] == 540:
        return {"kind": "nifti", "undecided": ["modality: CT, MR or a label map?"]}
    count, *sizes = struct.unpack_from(f"{order}8h", head, 40)
    spacing = struct.unpack_from(f"{order}8f", head, 76)[1 : count + 1]
    return {
        "kind": "nifti",
        "shape": sizes[:count],
        "spacing": dict(zip("xyz", (round(step, 6) for step in spacing), strict=False)),
        "unit": "mm",
        "undecided": ["modality: CT, MR or a label map? NIfTI does not say"],
    }


def _h5ad(path: Path) -> Facts:
    import h5py

    with h5py.File(path, "r") as file:
        matrix = file["X"]
        shape = list(matrix.attrs.get("shape", getattr(matrix, "shape", ())))
        columns = [name for name in file["obs"] if not name.startswith("_")]
    undecided = ["keys: which obs column, or obs_names, holds which ids?"]
    return {"kind": "h5ad", "shape": [int(n) for n in shape], "columns": columns, "undecided": undecided}


def _geojson(path: Path) -> Facts | None:
    if path.stat().st_size < 20_000_000:
        content = json.loads(path.read_text(encoding="utf-8"))
        shapes = content.get("features", []) if isinstance(content, dict) else content
        return {"kind": "geojson", "shape": [len(shapes)], "modality": "annotation"}
    return {"kind": "geojson", "modality": "annotation"}


def _table(path: Path) -> Facts:
    undecided = ["keys: which column holds which ids?"]
    if path.suffix in (".parquet", ".pq"):
        import pyarrow.parquet as pq

        return {"kind": "table", "columns": pq.read_schema(path).names, "undecided": undecided}
    with path.open(encoding="utf-8-sig") as stream:
        header = stream.readline(100_000).rstrip("\r\n")
    return {"kind": "table", "columns": header.split("\t" if path.suffix == ".tsv" else ","), "undecided": undecided}


def _text(path: Path) -> Facts | None:
    """Return a text file as what its first lines show: a delimited table, an export of a cytometer, or nothing."""
    with path.open(encoding="utf-8-sig") as stream:
        lines = [line.rstrip("\r\n") for line in (stream.readline(200_000) for _ in range(20)) if line.strip()]
    if not lines:
        return None
    if lines[0].startswith(IMC_TEXT):
        channels = [re.sub(r".*\((.+)\)$", r"\1", name) for name in lines[0].split("\t")[6:]]
        return {"kind": "imc_text", "modality": "IMC", "channels": channels}
    for separator in ("\t", ",", ";", "|"):
        widths = {len(row) for row in csv.reader(lines, delimiter=separator)}
        if len(lines) > 1 and len(widths) == 1 and widths != {1}:
            columns = next(csv.reader(lines, delimiter=separator))
            options = {} if separator == "\t" else {"separator": separator}
            told = ["keys: which column holds which ids?"]
            return {"kind": "table", "columns": columns, "options": options, "undecided": told}
    return None


def _named(kind: str, **facts: Any) -> Callable[[Path], Facts]:
    return lambda _path: {"kind": kind, **facts}


_LOOKS: tuple[tuple[tuple[str, ...], Callable[[Path], Facts | None]], ...] = (
    ((".ome.tif", ".ome.tiff"), _ome_tiff),
    (SLIDES, _slide),
    ((".tif", ".tiff"), _tiff),
    ((".nii", ".nii.gz"), _nifti),
    ((".nrrd", ".mha", ".mhd"), _named("volume", undecided=["modality: CT, MR or a label map?"])),
    ((".imzml",), _named("imzml", modality="MSI")),
    ((".h5ad",), _h5ad),
    ((".geojson",), _geojson),
    (TABLES, _table),
    (
        (".xlsx", ".xlsm"),
        _named("spreadsheet", undecided=["which sheet, which ids? a spreadsheet may change ids and dates"]),
    ),
    (STATISTICS, _named("statistics", undecided=["keys: which column holds which ids?"])),
    ((".gct",), _named("gct", undecided=["keys: which ids name the samples?"])),
    ((".h5mu",), _named("h5mu", undecided=["keys: which obs column, or obs_names, holds which ids?"])),
    (
        (".mcd",),
        _named("mcd", modality="IMC", undecided=["acquisition: name one for each image, as an MCD holds several"]),
    ),
    ((".qptiff",), _tiff),
    (
        (".nd2",),
        _named("nd2", undecided=["modality: fluorescence or brightfield? and the position, if it has several"]),
    ),
    ((".lif",), _named("lif", undecided=["modality, and the image: name one for each, as a LIF holds several"])),
    ((".czi",), _named("czi", undecided=["modality: a slide or fluorescence?"])),
    ((".txt",), _text),
)
