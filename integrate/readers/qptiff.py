"""QPTIFF: the scan of a PhenoCycler, PhenoImager or Vectra with its biomarkers as channels, in micrometres."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from integrate.errors import DataError
from integrate.model.image import make_image
from integrate.readers.base import Reader
from integrate.readers.planes import named_channels
from integrate.readers.tiff import lazy_level, open_tiff, series_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["QpTiff", "describe_page"]

#: Micrometres in a unit of resolution of a TIFF; without a unit nothing is known.
RESOLUTION_UM = {2: 25_400.0, 3: 10_000.0}


class QpTiff(Reader):
    """Read one level of a QPTIFF (PerkinElmer, Akoya) as a lazy image.

    Parameters
    ----------
    level
        Level of the pyramid, 0 being the scan.

    Returns
    -------
    DataArray ``(c, y, x)``, Dask-backed. Channels are named by their biomarker, else by the name of their filter band,
    as the description of each page says; those of a brightfield scan are ``red``, ``green``, ``blue``. The size of a
    pixel is that of the scan times the true ratio of shapes; where the file has no resolution with a unit, coordinates
    are pixels. ``attrs["integrate"]`` has the ``software`` and, as the scanner states them, ``exposures_us``.

    Raises
    ------
    DataError
        If the file is truncated, no QPTIFF, has no such level, or its channels are not those the catalog names.

    Notes
    -----
    After *PerkinElmer QPTIFF: image description* (one XML per page, ``<PerkinElmer-QPI-ImageDescription>``, as of
    version 2 of the description). Thumbnail, overview and label are not opened, as they may show who somebody is.

    Examples
    --------
    >>> from integrate.readers.qptiff import QpTiff
    >>> QpTiff(url="scan.qptiff", level=2).option_names()
    ('level',)
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, level: int = 0) -> xr.DataArray:
        with open_tiff(path) as tiff:
            if not tiff.is_qpi:
                raise DataError(f"{path.name} is no QPTIFF: its pages have no PerkinElmer-QPI description")
            stage, full = series_of(tiff, path, level=level), series_of(tiff, path)
            told = [describe_page(page, path) for page in full.pages]
            size, axes = _pixel_size_um(full.keyframe), str(stage.axes)
            shapes = [list(one.shape) for one in full.levels]
        pixels = lazy_level(path, level=level)
        if axes.endswith("YXS"):
            pixels, channels = _colour(pixels, path), ["red", "green", "blue"]
        else:
            pixels = pixels.reshape((-1, *pixels.shape[-2:]))
            channels = named_channels([_name(one) for one in told], pixels.shape[0], where=path.name)
        self._check_channels(channels)
        rows, columns = axes.index("Y"), axes.index("X")
        if size is not None:
            read, whole = stage.shape, full.shape
            size = (size[0] * whole[rows] / read[rows], size[1] * whole[columns] / read[columns])
        return make_image(
            pixels,
            channels=channels,
            pixel_size_um=size,
            levels=shapes,
            level=level,
            software=told[0].findtext("AcquisitionSoftware") or "",
            exposures_us=[_number(one.findtext("ExposureTime")) for one in told],
        )


def describe_page(page: Any, path: Path) -> ElementTree.Element:
    """Return the description of a page.

    Raises
    ------
    DataError
        If it is no XML, or declares entities.
    """
    text = str(page.description).lstrip("\ufeff")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"the description of a page of {path.name} declares entities; no scanner writes such")
    try:
        return ElementTree.fromstring(text.encode("utf-16") if "utf-16" in text[:60].lower() else text.encode())
    except ElementTree.ParseError as error:
        raise DataError(f"the description of a page of {path.name} is no XML ({error}); the file is damaged") from error


def _name(told: ElementTree.Element) -> str | None:
    for tag in ("Biomarker", "Name"):
        if name := (told.findtext(tag) or "").strip():
            return name
    return None


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _pixel_size_um(page: Any) -> tuple[float, float] | None:
    """Return the edge of a pixel by the resolution of the scan; scanners write it in pixels per centimetre."""
    unit = page.tags["ResolutionUnit"].value if "ResolutionUnit" in page.tags else 1
    sizes = []
    for tag in ("YResolution", "XResolution"):
        value = page.tags[tag].value if tag in page.tags else (0, 1)
        per_unit = value[0] / value[1] if value[1] else 0.0
        if int(unit) not in RESOLUTION_UM or not 0 < per_unit < math.inf:
            return None
        sizes.append(RESOLUTION_UM[int(unit)] / per_unit)
    return sizes[0], sizes[1]


def _colour(pixels: Any, path: Path) -> Any:
    if math.prod(pixels.shape[:-3]) != 1 or pixels.shape[-1] != 3:
        raise DataError(f"{path.name} has planes of shape {pixels.shape}; expected grey ones, or one of three colours")
    return pixels.reshape(pixels.shape[-3:]).transpose(2, 0, 1)
