"""Small DICOM datasets written for tests: one CT-like slice, a segmentation, a set of contours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

SERIES = "1.2.826.0.1.3680043.8.498.1"


def dataset(modality: str, sop_class: str, number: int = 1) -> Dataset:
    """Return what every object states."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.{number}"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = "1.2.3", SERIES, "1.2.4"
    made.Modality, made.PatientID = modality, "0007"
    return made


def add_pixels(made: Dataset, pixels: np.ndarray) -> None:
    """Add pixels ``(rows, columns)``, ``(frames, rows, columns)`` or bytes of one bit each."""
    bits = 1 if pixels.dtype == bool else 8 * pixels.dtype.itemsize
    made.Rows, made.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = bits
    made.HighBit, made.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    raw = np.packbits(pixels.ravel(), bitorder="little").tobytes() if bits == 1 else pixels.tobytes()
    made.add_new("PixelData", "OB" if bits <= 8 else "OW", raw + b"\0" * (len(raw) % 2))


def item(**elements: Any) -> Dataset:
    """Return a dataset of these elements."""
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def write_enhanced(file: Path, pixels: np.ndarray, positions: np.ndarray, **frame: list[Any]) -> Path:
    """Write an enhanced CT whose geometry and slopes stand in functional groups only."""
    made = dataset("CT", "1.2.840.10008.5.1.4.1.1.2.1")
    made.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    add_pixels(made, pixels)
    made.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=[0.8, 1.1], SliceThickness=5)],
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        )
    ]
    made.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[float(v) for v in position])],
            PixelValueTransformationSequence=[item(RescaleSlope=1 + k, RescaleIntercept=-10, RescaleType="HU")],
            FrameContentSequence=[item(**{key: values[k] for key, values in frame.items()})],
        )
        for k, position in enumerate(positions)
    ]
    made.save_as(file, enforce_file_format=True)
    return file


def write_segmentation(
    file: Path,
    masks: np.ndarray,
    positions: np.ndarray,
    numbers: list[int],
    *,
    kind: str = "BINARY",
    gap_mm: float = 3.0,
) -> Path:
    """Write a segmentation, a frame per mask."""
    made = dataset("SEG", "1.2.840.10008.5.1.4.1.1.66.4")
    made.ImageType, made.SegmentationType = ["DERIVED", "PRIMARY"], kind
    add_pixels(made, masks)
    if kind == "FRACTIONAL":
        made.MaximumFractionalValue = 200
    made.SegmentSequence = [
        item(
            SegmentNumber=n,
            SegmentLabel=f"part {n}",
            SegmentAlgorithmType="MANUAL",
            SegmentedPropertyTypeCodeSequence=[
                item(CodeValue="4147007", CodingSchemeDesignator="SCT", CodeMeaning="Mass")
            ],
        )
        for n in sorted(set(numbers))
    ]
    measures = item(PixelSpacing=[0.8, 1.1], SliceThickness=5, SpacingBetweenSlices=3.0)
    made.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[measures],
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        )
    ]
    made.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[float(v) for v in position])],
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=number)],
        )
        for position, number in zip(positions, numbers, strict=True)
    ]
    made.save_as(file, enforce_file_format=True)
    return file


def write_structures(file: Path, contours: dict[str, list[np.ndarray]], **changes: Any) -> Path:
    """Write an RTSTRUCT; a contour is an array of points in LPS mm."""
    made = dataset("RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3")
    made.StructureSetROISequence = [
        item(ROINumber=n, ROIName=name, ReferencedFrameOfReferenceUID="1.2.4")
        for n, name in enumerate(contours, start=1)
    ]
    made.ROIContourSequence = [
        item(
            ReferencedROINumber=n,
            ContourSequence=[
                item(
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(points),
                    ContourData=[f"{v:.4f}" for v in points.ravel()],
                )
                for points in drawn
            ],
        )
        for n, drawn in enumerate(contours.values(), start=1)
        if drawn
    ]
    made.RTROIObservationsSequence = [
        item(ObservationNumber=n, ReferencedROINumber=n, RTROIInterpretedType="GTV")
        for n in range(1, len(contours) + 1)
    ]
    for name, value in changes.items():
        setattr(made, name, value)
    made.save_as(file, enforce_file_format=True)
    return file
