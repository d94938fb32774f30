"""A DICOM segmentation of a series: one bit per voxel and segment, on the planes of the images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, some
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["write_seg"]

SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
#: A plane of labels may lie this far from its image.
TOLERANCE_MM = 1e-2
#: What a segmentation takes over from the series, so that an archive files it with its images.
TAKEN = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID",
)  # fmt: skip


def write_seg(labels: xr.DataArray, path: Path, source: Path, names: Mapping[int, str] | None) -> None:
    """Write labels ``(z, y, x)`` as a binary SEG that refers to the images of a series.

    Raises
    ------
    DataError
        If the source is no series of single images, or labels are not numbered 1, 2 ….
    AlignmentError
        If a plane that holds a label has no image of its rows, columns, place and spacing in the source.
    """
    import numpy as np

    values = np.asarray(labels.data)
    found = [int(one) for one in np.unique(values) if one]
    if not found or found != list(range(1, len(found) + 1)):
        raise DataError(
            f"a SEG numbers its segments 1, 2 …; the labels are {some(found) or 'all background'}: renumber them"
        )
    images = _images(source)
    affine = np.asarray(image_notes(labels)["affine_lps"], float)
    planes = {k: _image_of(affine, k, values.shape[1:], images) for k in range(len(values)) if values[k].any()}
    frames = [(segment, k) for segment in found for k in planes if (values[k] == segment).any()]
    made = _described(next(iter(planes.values())), labels, names or {}, found)
    _add_frames(made, frames, planes, affine)
    bits = np.stack([values[k] == segment for segment, k in frames])
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    made.PixelData = packed + b"\0" * (len(packed) % 2)
    _add_identity(made, packed, [planes[k] for k in planes])
    made.save_as(path, enforce_file_format=True)


def _images(source: Path) -> list[Any]:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    found = []
    for file in sorted(source.iterdir()) if source.is_dir() else []:
        try:
            held = dcmread(file, stop_before_pixels=True)
        except (InvalidDicomError, OSError):
            continue
        if "ImagePositionPatient" in held and "ImageOrientationPatient" in held:
            found.append(held)
    if not found or len({one.SeriesInstanceUID for one in found}) != 1:
        raise DataError(
            f"folder {source.name!r} holds no single DICOM series of placed images; found {len(found)} images"
        )
    return found


def _image_of(affine: np.ndarray[Any, Any], plane: int, shape: tuple[int, ...], images: list[Any]) -> Any:
    """Return the image on which a plane of labels lies."""
    import numpy as np

    corner = (affine @ [0, 0, plane, 1])[:3]
    for image in images:
        rows, columns = (float(v) for v in image.PixelSpacing)
        turned = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        expected = np.column_stack([turned[0] * columns, turned[1] * rows])
        near = np.abs(np.array(image.ImagePositionPatient, float) - corner).max() <= TOLERANCE_MM
        if near and (image.Rows, image.Columns) == shape and np.allclose(affine[:3, :2], expected, atol=1e-3):
            return image
    raise AlignmentError(
        f"plane {plane} of the labels (corner {np.round(corner, 2).tolist()} mm) lies on none of {len(images)} images; "
        "resample the labels to the series first"
    )


def _item(**elements: Any) -> Any:
    from pydicom.dataset import Dataset

    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def _code(value: str, scheme: str, meaning: str) -> Any:
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _described(image: Any, labels: xr.DataArray, names: Mapping[int, str], found: list[int]) -> Any:
    """Return what a segmentation states before its frames."""
    from pydicom.dataset import Dataset

    made = Dataset()
    for keyword in TAKEN:
        if keyword in image:
            setattr(made, keyword, image[keyword].value)
        elif keyword != "FrameOfReferenceUID":
            setattr(made, keyword, "")
    made.SOPClassUID, made.Modality, made.SeriesNumber, made.InstanceNumber = SEG_CLASS, "SEG", 1, 1
    made.ImageType = ["DERIVED", "PRIMARY"]
    made.Manufacturer, made.ManufacturerModelName, made.DeviceSerialNumber = "integrate", "integrate", "0"
    made.SoftwareVersions = "integrate"
    made.ContentLabel, made.ContentDescription, made.ContentCreatorName = "SEGMENTATION", "", ""
    made.ContentDate, made.ContentTime = made.StudyDate, made.StudyTime
    made.SegmentationType, made.LossyImageCompression = "BINARY", "00"
    made.Rows, made.Columns = image.Rows, image.Columns
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 1, 1, 0
    kept = image_notes(labels).get("labels") or {}
    tissue = _code("85756007", "SCT", "Tissue")
    made.SegmentSequence = [
        _item(
            SegmentNumber=number,
            SegmentLabel=str(names.get(number, kept.get(str(number), f"segment {number}")))[:64],
            SegmentAlgorithmType="SEMIAUTOMATIC",
            SegmentAlgorithmName="integrate",
            SegmentedPropertyCategoryCodeSequence=[tissue],
            SegmentedPropertyTypeCodeSequence=[tissue],
        )
        for number in found
    ]
    return made


def _add_frames(made: Any, frames: list[tuple[int, int]], planes: Mapping[int, Any], affine: Any) -> None:
    """Add where every frame lies, which segment it shows and of which image it is."""
    import numpy as np

    image = next(iter(planes.values()))
    gap = float(np.linalg.norm(affine[:3, 2]))
    measures = _item(PixelSpacing=image.PixelSpacing, SliceThickness=f"{gap:.8g}", SpacingBetweenSlices=f"{gap:.8g}")
    turned = _item(ImageOrientationPatient=image.ImageOrientationPatient)
    made.SharedFunctionalGroupsSequence = [_item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[turned])]
    dimension = "1.2.826.0.1.3680043.10.1561.1"
    made.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=dimension)]
    made.DimensionIndexSequence = [
        _item(DimensionOrganizationUID=dimension, DimensionIndexPointer=0x0062000B, FunctionalGroupPointer=0x0062000A),
        _item(DimensionOrganizationUID=dimension, DimensionIndexPointer=0x00200032, FunctionalGroupPointer=0x00209113),
    ]
    order = {k: number for number, k in enumerate(planes, start=1)}
    purpose = _code("121322", "DCM", "Source image for image processing operation")
    derived = _code("113076", "DCM", "Segmentation")
    made.NumberOfFrames = len(frames)
    made.PerFrameFunctionalGroupsSequence = [
        _item(
            DerivationImageSequence=[
                _item(
                    DerivationCodeSequence=[derived],
                    SourceImageSequence=[
                        _item(
                            ReferencedSOPClassUID=planes[k].SOPClassUID,
                            ReferencedSOPInstanceUID=planes[k].SOPInstanceUID,
                            PurposeOfReferenceCodeSequence=[purpose],
                        )
                    ],
                )
            ],
            FrameContentSequence=[_item(DimensionIndexValues=[segment, order[k]])],
            PlanePositionSequence=[_item(ImagePositionPatient=planes[k].ImagePositionPatient)],
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=segment)],
        )
        for segment, k in frames
    ]


def _add_identity(made: Any, packed: bytes, images: list[Any]) -> None:
    """Add UIDs that follow from the content, so that the same labels of the same images are the same object."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    names = "".join(str(one.SegmentLabel) for one in made.SegmentSequence)
    seed = packed + names.encode() + str(images[0].SeriesInstanceUID).encode()
    uids = [f"2.25.{int(hashlib.sha256(seed + part).hexdigest()[:32], 16)}" for part in (b"instance", b"series")]
    made.SOPInstanceUID, made.SeriesInstanceUID = uids
    listed = [
        _item(ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID) for one in images
    ]
    made.ReferencedSeriesSequence = [
        _item(SeriesInstanceUID=images[0].SeriesInstanceUID, ReferencedInstanceSequence=listed)
    ]
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = SEG_CLASS, uids[0]
