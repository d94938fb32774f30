"""Writers of real file formats whose bytes depend on nothing but their arguments: no clock, no random identifier."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from integrate.datasets.scan import Grid

__all__ = [
    "plain_uuid",
    "uid",
    "write_dicom_series",
    "write_expression",
    "write_fluorescence",
    "write_outlines",
    "write_slide",
    "write_space_ranger",
]

TILE = (256, 256)
SOFTWARE = "integrate simulate_study"


def plain_uuid(*parts: object) -> str:
    """Return a UUID made from its arguments, in the form of a random one.

    Examples
    --------
    >>> plain_uuid("a", 1) == plain_uuid("a", 1) != plain_uuid("a", 2)
    True
    """
    import uuid

    digest = hashlib.sha256(repr(parts).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def uid(*parts: object) -> str:
    """Return a DICOM UID (root 2.25, a UUID as a decimal number) made from its arguments."""
    import uuid

    return f"2.25.{uuid.UUID(plain_uuid(*parts)).int}"


def write_fluorescence(
    path: Path, picture: NDArray[np.uint16], *, channels: Sequence[str], pixel_um: float, name: str
) -> None:
    """Write ``(c, y, x)`` as a tiled, deflated OME-TIFF that declares channel names and pixel size."""
    import tifffile

    metadata = {**_ome_pixels(pixel_um, name), "axes": "CYX", "Channel": {"Name": list(channels)}}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(
            picture, photometric="minisblack", tile=TILE, compression="zlib", metadata=metadata, software=SOFTWARE
        )


def write_slide(path: Path, picture: NDArray[np.uint8], *, pixel_um: float, name: str) -> None:
    """Write RGB ``(y, x, 3)`` as a tiled JPEG OME-TIFF with a pyramid in SubIFDs, halved until it fits one tile."""
    import cv2
    import numpy as np
    import tifffile

    levels = [picture]
    while max(levels[-1].shape[:2]) > TILE[0]:
        rows, columns = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
        levels.append(half.astype(np.uint8))
    options: dict[str, Any] = {
        "photometric": "rgb",
        "tile": TILE,
        "compression": "jpeg",
        "compressionargs": {"level": 75},
        "software": SOFTWARE,
    }
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(
            levels[0], subifds=len(levels) - 1, metadata={**_ome_pixels(pixel_um, name), "axes": "YXS"}, **options
        )
        for level in levels[1:]:
            writer.write(level, subfiletype=1, metadata=None, **options)


def _ome_pixels(pixel_um: float, name: str) -> dict[str, Any]:
    """Return what every OME-TIFF of the study declares."""
    size = {f"PhysicalSize{axis}": pixel_um for axis in "XY"}
    unit = {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    return {"Name": name, "UUID": f"urn:uuid:{plain_uuid(name)}", **size, **unit}


def write_dicom_series(
    folder: Path,
    volume: NDArray[np.int16],
    grid: Grid,
    *,
    patient_id: str,
    sex: str,
    age_years: float | None,
    date: datetime.date,
    key: Sequence[object],
    rng: np.random.Generator,
) -> None:
    """Write Hounsfield units as one CT series, a file per slice.

    The series has the traps of real ones: file names in no order, InstanceNumber counting backwards, SliceThickness
    that is not the spacing, pixels that are not square, and sometimes an oblique grid.

    Parameters
    ----------
    folder
        New folder of the series.
    volume, grid
        Values ``(slices, rows, columns)`` and their place in the patient.
    patient_id, sex, age_years
        As the hospital knows the patient.
    date
        Date of the study.
    key
        What the UIDs are made from.
    rng
        Shuffles the file names.
    """
    import numpy as np

    folder.mkdir(parents=True)
    for index, name in enumerate(rng.permutation(len(volume))):
        dataset = _dicom_header(patient_id, sex, age_years, date, key)
        _place_slice(dataset, grid, index, key)
        dataset.PixelData = (volume[index].astype(np.int32) + 1024).astype("<u2").tobytes()
        dataset.save_as(folder / f"IM{name:04d}.dcm", enforce_file_format=True)


def _dicom_header(
    patient_id: str, sex: str, age_years: float | None, date: datetime.date, key: Sequence[object]
) -> Any:
    """Return the attributes that all slices of a series share."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.ImplementationClassUID = UID(uid("integrate", "simulate_study"))
    dataset.file_meta.ImplementationVersionName = "INTEGRATE_SIM"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = f"{date:%Y%m%d}"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "101500"
    dataset.Modality, dataset.Manufacturer = "CT", "SIMULATED"
    dataset.StudyDescription, dataset.SeriesDescription = "CT chest", "Lung, right"
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = f"Simulated^{patient_id}", patient_id, sex
    dataset.PatientBirthDate, dataset.ReferringPhysicianName, dataset.AccessionNumber = "", "", ""
    if age_years is not None:
        dataset.PatientAge = f"{int(age_years):03d}Y"
    dataset.BodyPartExamined, dataset.PatientPosition, dataset.KVP = "CHEST", "HFS", 120
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid(*key, "study"), uid(*key, "series")
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = uid(*key, "frame"), ""
    dataset.StudyID, dataset.SeriesNumber, dataset.AcquisitionNumber = "1", 2, 1
    return dataset


def _place_slice(dataset: Any, grid: Grid, index: int, key: Sequence[object]) -> None:
    """Add one slice's identity, geometry and pixel description."""
    between, down, along = grid.spacing_mm
    dataset.SOPInstanceUID = uid(*key, "slice", index)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.InstanceNumber = grid.shape[0] - index
    position = grid.origin_mm + index * between * grid.directions[2]
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
    dataset.ImageOrientationPatient = [f"{value:.6f}" for value in grid.directions[:2].ravel()]
    dataset.PixelSpacing = [down, along]
    dataset.SliceThickness = 5.0  # thicker than the spacing: slices overlap, as reconstructions often do
    dataset.Rows, dataset.Columns = grid.shape[1:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = -300, 1400


def write_space_ranger(
    outs: Path,
    counts: NDArray[np.int32],
    positions: pd.DataFrame,
    slide: NDArray[np.uint8],
    *,
    genes: Sequence[str],
    spot_px: float,
    library: str,
) -> None:
    """Write the ``outs`` folder of Space Ranger 2.

    Parameters
    ----------
    outs
        New folder.
    counts
        ``(spots in tissue, genes)``, in the order of the barcodes of `positions` that are in tissue.
    positions
        ``tissue_positions.csv``: barcode, in_tissue, array_row, array_col, pxl_row_in_fullres, pxl_col_in_fullres.
    slide
        The full-resolution RGB picture; only its reductions are written.
    genes
        Symbols; they also stand as feature ids, because the simulated panel has no Ensembl ids.
    spot_px
        Spot diameter in full-resolution pixels.
    library
        Library id.
    """
    import cv2

    spatial = outs / "spatial"
    spatial.mkdir(parents=True)
    positions.to_csv(spatial / "tissue_positions.csv", index=False)
    factors = {"hires": 0.25, "lowres": 0.1}
    for size, factor in factors.items():
        columns, rows = (max(1, round(edge * factor)) for edge in slide.shape[1::-1])
        small = cv2.resize(slide, (columns, rows), interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".png", small[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
        (spatial / f"tissue_{size}_image.png").write_bytes(encoded.tobytes())
    scales = {f"tissue_{size}_scalef": factor for size, factor in factors.items()}
    scales |= {"spot_diameter_fullres": spot_px, "fiducial_diameter_fullres": round(spot_px * 90 / 55, 4)}
    (spatial / "scalefactors_json.json").write_text(json.dumps(scales), encoding="utf-8")
    barcodes = positions.loc[positions["in_tissue"] == 1, "barcode"].tolist()
    _write_matrix(outs / "filtered_feature_bc_matrix.h5", counts, barcodes, genes, library)


def _write_matrix(
    path: Path, counts: NDArray[np.int32], barcodes: Sequence[str], genes: Sequence[str], library: str
) -> None:
    """Write Cell Ranger's feature-barcode matrix: compressed columns, one per barcode."""
    import h5py
    import numpy as np
    from scipy import sparse

    matrix = sparse.csr_matrix(counts)  # the rows of counts are the columns of the file
    with h5py.File(path, "w") as file:
        file.attrs["chemistry_description"] = "Visium V1 Slide"
        file.attrs["filetype"] = "matrix"
        file.attrs["library_ids"] = np.array([library.encode()])
        file.attrs["original_gem_groups"] = np.array([1])
        file.attrs["software_version"] = "spaceranger-2.1.1"
        file.attrs["version"] = 2
        group = file.create_group("matrix")
        group["barcodes"] = np.array([barcode.encode() for barcode in barcodes], dtype="S18")
        for name, values in {"data": matrix.data.astype(np.int32), "indices": matrix.indices.astype(np.int64)}.items():
            group.create_dataset(name, data=values, compression="gzip", shuffle=True)
        group["indptr"] = matrix.indptr.astype(np.int64)
        group["shape"] = np.array([len(genes), len(barcodes)], np.int32)
        features = group.create_group("features")
        features["_all_tag_keys"] = np.array([b"genome"])
        features["id"] = features["name"] = np.array([gene.encode() for gene in genes])
        features["feature_type"] = np.array([b"Gene Expression"] * len(genes))
        features["genome"] = np.array([b"GRCh38"] * len(genes))


def write_outlines(path: Path, regions: Mapping[str, Any], *, label: str, key: Sequence[object]) -> None:
    """Write each annotator's polygons as QuPath exports them: pixels of level 0, one feature per polygon."""
    from shapely.geometry import mapping

    features = [
        {
            "type": "Feature",
            "id": plain_uuid(*key, annotator, index),
            "geometry": mapping(part),
            "properties": {
                "objectType": "annotation",
                "name": f"{label} {index + 1}",
                "classification": {"name": label, "color": [200, 0, 0]},
                "isLocked": False,
                "annotator": annotator,
            },
        }
        for annotator, region in regions.items()
        for index, part in enumerate(region.geoms)
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def write_expression(
    path: Path, counts: NDArray[np.int32], *, samples: pd.DataFrame, genes: Sequence[str], level: str
) -> None:
    """Write bulk RNA as h5ad: ``X`` is log2(cpm + 1), ``layers["counts"]`` the reads it comes from.

    Parameters
    ----------
    path
        New file.
    counts
        Reads ``(samples, genes)``.
    samples
        One row per sample, index the sequencing centre's names, with a column ``library_size``.
    genes
        Symbols.
    level
        What one sample is.
    """
    import anndata
    import numpy as np
    import pandas as pd

    unit = "{log2(cpm+1)}"
    per_million = counts * (1e6 / samples["library_size"].to_numpy()[:, None])
    variables = pd.DataFrame(
        {"unit": unit, "level": level, "definition": "log2(1e6*reads/library_size+1)"}, index=list(genes)
    )
    data = anndata.AnnData(
        np.log2(per_million + 1).astype(np.float32),
        obs=samples,
        var=variables,
        layers={"counts": counts},
        uns={"unit": unit, "layers": {"counts": "{reads}"}, "level": level},
    )
    data.write_h5ad(path, compression="gzip")
