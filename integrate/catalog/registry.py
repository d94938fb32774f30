"""Which classes a catalog may name: an exact list, never a prefix."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

__all__ = ["ASSET_READER", "PARAMETERS", "READERS", "known_readers", "qualified_reader", "short_name"]

#: The reader whose entries are tables with one item per row.
ASSET_READER = "integrate.readers.assets:AssetTable"
#: Our readers: the short name people write, and the class Intake imports.
READERS: dict[str, str] = {
    "AnnDataZarr": "integrate.readers.annotated_zarr:AnnDataZarr",
    "AperioXML": "integrate.readers.aperio:AperioXML",
    "AssetTable": "integrate.readers.assets:AssetTable",
    "BioFormats": "integrate.readers.bioformats:BioFormats",
    "CBioPortal": "integrate.readers.cbioportal:CBioPortal",
    "ChannelFolder": "integrate.readers.channel_folder:ChannelFolder",
    "Coco": "integrate.readers.annotations:Coco",
    "Codex": "integrate.readers.codex:Codex",
    "CosMx": "integrate.readers.cosmx:CosMx",
    "Czi": "integrate.readers.czi:Czi",
    "DicomAnnotations": "integrate.readers.dicom_annotations:DicomAnnotations",
    "DicomImage": "integrate.readers.dicom_image:DicomImage",
    "DicomReport": "integrate.readers.dicom_report:DicomReport",
    "DicomReportRegions": "integrate.readers.dicom_report:DicomReportRegions",
    "DicomSeg": "integrate.readers.dicom_seg:DicomSeg",
    "DicomSeries": "integrate.readers.dicom:DicomSeries",
    "DicomSlide": "integrate.readers.whole_slide:DicomSlide",
    "DicomWebSeries": "integrate.readers.dicomweb:DicomWebSeries",
    "Fhir": "integrate.readers.fhir:Fhir",
    "Gct": "integrate.readers.gct:Gct",
    "GeoJSON": "integrate.readers.geojson:GeoJSON",
    "H5AD": "integrate.readers.h5ad:H5AD",
    "H5MU": "integrate.readers.annotated_zarr:H5MU",
    "ImageJRoi": "integrate.readers.annotations:ImageJRoi",
    "Imc": "integrate.readers.imc:Imc",
    "ImzML": "integrate.readers.imzml:ImzML",
    "IsaTab": "integrate.readers.isatab:IsaTab",
    "Labels": "integrate.readers.labels:Labels",
    "Lif": "integrate.readers.lif:Lif",
    "Loom": "integrate.readers.loom:Loom",
    "Maf": "integrate.readers.variants:Maf",
    "Matrix": "integrate.readers.matrix:Matrix",
    "Merscope": "integrate.readers.merscope:Merscope",
    "MuDataZarr": "integrate.readers.annotated_zarr:MuDataZarr",
    "NapariShapes": "integrate.readers.annotations:NapariShapes",
    "Nd2": "integrate.readers.nd2:Nd2",
    "OmeTiff": "integrate.readers.ome_tiff:OmeTiff",
    "OmeZarr": "integrate.readers.ome_zarr:OmeZarr",
    "OmeZarrPlate": "integrate.readers.ome_zarr:OmeZarrPlate",
    "Omop": "integrate.readers.omop:Omop",
    "OpenSlide": "integrate.readers.open_slide:OpenSlide",
    "Plate": "integrate.readers.file_series:Plate",
    "PlateField": "integrate.readers.file_series:PlateField",
    "QpTiff": "integrate.readers.qptiff:QpTiff",
    "RedCap": "integrate.readers.redcap:RedCap",
    "RtDose": "integrate.readers.rtdose:RtDose",
    "RtStruct": "integrate.readers.rtstruct:RtStruct",
    "Slide": "integrate.readers.slide:Slide",
    "SlideSeq": "integrate.readers.slideseq:SlideSeq",
    "SpatialDataStore": "integrate.readers.spatialdata_store:SpatialDataStore",
    "SpatialTranscriptomics": "integrate.readers.spatial_transcriptomics:SpatialTranscriptomics",
    "SqlTable": "integrate.readers.sql:SqlTable",
    "Steinbock": "integrate.readers.steinbock:Steinbock",
    "StereoSeq": "integrate.readers.stereoseq:StereoSeq",
    "SubCatalog": "integrate.readers.subcatalog:SubCatalog",
    "Table": "integrate.readers.table:Table",
    "TenXH5": "integrate.readers.tenx:TenXH5",
    "TenXMatrix": "integrate.readers.tenx:TenXMatrix",
    "Tiff": "integrate.readers.plain_tiff:Tiff",
    "TimeLapse": "integrate.readers.file_series:TimeLapse",
    "Vcf": "integrate.readers.variants:Vcf",
    "Visium": "integrate.readers.visium:Visium",
    "VisiumHD": "integrate.readers.visium_hd:VisiumHD",
    "Volume": "integrate.readers.volume:Volume",
    "WholeSlide": "integrate.readers.whole_slide:WholeSlide",
    "Xenium": "integrate.readers.xenium:Xenium",
}

#: Parameter classes a catalog may declare.
PARAMETERS: tuple[str, ...] = (
    "integrate.catalog.parameters:DataRoot",
    "integrate.catalog.parameters:Pattern",
    "intake.readers.user_parameters:OptionsUserParameter",
)


@cache
def known_readers() -> dict[str, str]:
    """Return short name to qualified class for our readers and those of installed packages.

    Another package adds its readers through the entry-point group ``integrate.readers``; what a person installed is
    trusted, what a catalog names is not.
    """
    installed = {point.name: point.value for point in entry_points(group="integrate.readers")}
    return {**installed, **READERS}


def qualified_reader(name: str) -> str | None:
    """Return the qualified class of a reader named short or in full, or ``None`` when it is not registered.

    Examples
    --------
    >>> qualified_reader("Table")
    'integrate.readers.table:Table'
    >>> qualified_reader("os:system") is None
    True
    """
    readers = known_readers()
    return readers.get(name) or (name if name in readers.values() else None)


def short_name(qualified: str) -> str:
    """Return the short name of a registered reader, or the name unchanged when it has none.

    Examples
    --------
    >>> short_name("integrate.readers.table:Table")
    'Table'
    """
    return next((short for short, full in known_readers().items() if full == qualified), qualified)
