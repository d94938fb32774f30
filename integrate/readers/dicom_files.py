"""DICOM files: their headers, and whether their pixels are all there."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integrate.errors import DataError
from integrate.model.spelling import note_header

__all__ = ["DAMAGE", "Slice", "read_header", "read_headers"]

#: Files that lie beside DICOM files and are none. Any other that is no DICOM is an error: it may be a cut-off slice.
BESIDE = (".csv", ".json", ".log", ".md", ".pdf", ".tsv", ".txt", ".xml", ".yaml", ".yml")
#: What pydicom and its decoders raise on damaged bytes.
DAMAGE = (
    *(EOFError, OSError, struct.error, zlib.error),
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
)


@dataclass(frozen=True, slots=True)
class Slice:
    """One file, or one frame or tile of it.

    Parameters
    ----------
    file
        Where the pixels are.
    header
        What is said of them, as a pydicom dataset.
    pixel_fault
        What is wrong with the pixels; ``""`` when nothing is.
    frame
        Number of the frame in the file, ``None`` when it is the only one.
    tile
        First row and column of a tile in its frame.
    """

    file: Path
    header: Any
    pixel_fault: str
    frame: int | None = None
    tile: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Name of the file, and which part of it."""
        part = "" if self.frame is None else f"[frame {self.frame}]"
        return f"{self.file.name}{part}" if self.tile is None else f"{self.file.name}[tile {self.tile}]"


def read_headers(folder: Path) -> tuple[list[Slice], list[str]]:
    """Return every DICOM file of the folder, and the names of the others."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    beside = [f for f in files if f.name.startswith(".") or f.name == "DICOMDIR" or f.suffix.lower() in BESIDE]
    slices = [read_header(file) for file in files if file not in set(beside)]
    if not slices:
        raise DataError(f"no DICOM file in folder {folder.name!r}; found {len(files)} other files")
    return slices, [file.name for file in beside]


def read_header(file: Path) -> Slice:
    """Return the header of a DICOM image, and what is wrong with its pixels.

    Raises
    ------
    DataError
        If the file is no DICOM, or truncated.
    """
    import pydicom

    with file.open("rb") as stream, warnings.catch_warnings():
        # about values that break a rule of the standard; those we use are checked here, and nobody can act on the rest
        warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
        try:
            header = pydicom.dcmread(stream, stop_before_pixels=True)
            if "SeriesInstanceUID" not in header:
                raise DataError(f"{file.name} has no SeriesInstanceUID; it is truncated or not an image")
            note_header(header)
            return Slice(file, header, _pixel_fault(stream, header, file.stat().st_size))
        except pydicom.errors.InvalidDicomError as error:
            raise DataError(f"{file.name} is not a DICOM file; it is empty, cut off, or another format") from error
        except DAMAGE as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{file.name} is not a readable DICOM file ({error}); it may be truncated") from error


def _pixel_fault(stream: Any, header: Any, size: int) -> str:
    """Return what is wrong with the pixel data that begins here, without reading it."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return ""  # inflating has checked it
    implicit, little = header.original_encoding
    order = "<" if little else ">"
    start = stream.read(8 if implicit else 12)
    if len(start) < (8 if implicit else 12):
        return "ends before its pixels"
    length = struct.unpack(f"{order}I", start[-4:])[0]
    if length == 0xFFFFFFFF:
        return "" if _fragments_end(stream, size) else "ends inside its pixels"
    needed = _pixel_bytes(header)
    if stream.tell() + length > size:
        return f"ends inside its pixels ({size - stream.tell():,} of {length:,} bytes)"
    return f"holds {length:,} bytes of pixels for an image of {needed:,}" if length < needed else ""


def _pixel_bytes(header: Any) -> int:
    """Return how many bytes uncompressed pixels of this header take, at the least."""
    values = int(header.get("Rows") or 0) * int(header.get("Columns") or 0) * int(header.get("NumberOfFrames") or 1)
    samples = int(header.get("SamplesPerPixel") or 1)
    if header.get("PhotometricInterpretation") == "YBR_FULL_422":
        samples = 2  # colour is kept for every other pixel
    return values * samples * int(header.get("BitsAllocated") or 0) // 8


def _fragments_end(stream: Any, size: int) -> bool:
    """Walk over the fragments of compressed pixels to their end mark, without reading them."""
    while stream.tell() < size:
        item = stream.read(8)
        if len(item) < 8:
            return False
        group, element, length = struct.unpack("<HHI", item)
        if (group, element) == (0xFFFE, 0xE0DD):
            return True
        stream.seek(length, 1)
    return False
