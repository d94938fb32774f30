"""Whole slides in TIFF (Aperio SVS and other tiled pyramids): a level at a time, micrometres only where stated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest
from integrate.model.image import make_image
from integrate.readers.base import Reader
from integrate.readers.tiff import check_pixel_size, lazy_level, open_tiff

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Slide"]

#: Edges of a pixel that a microscope can have; 72 dots per inch, which programs write for "unknown", is 353.
CREDIBLE_UM = (0.05, 20.0)
#: Micrometres per unit of TIFF's ResolutionUnit; 1 means "no unit".
UNIT_UM = {2: 25_400.0, 3: 10_000.0}
ICC_PROFILE = 34675


class Slide(Reader):
    r"""Read one level of a whole slide as a lazy image.

    Parameters
    ----------
    level
        Pyramid level; 0 is the finest.
    associated
        Name of a picture kept beside the slide (``"thumbnail"``, ``"label"``, ``"macro"``) to read instead. A label
        may show the name of the patient.
    pixel_size_um
        ``(y, x)`` edge of a pixel of level 0, where the file does not state it.

    Returns
    -------
    DataArray ``(c, y, x)``, Dask-backed, channels ``red``, ``green``, ``blue``. Coordinates are micrometres where the
    scanner stated its pixel size, else pixels of this level: a print resolution of 72 dots per inch is no size.
    ``attrs["integrate"]`` has ``levels`` (shapes), ``downsamples`` (true ratios of shapes, ``[y, x]`` per level),
    ``pixel_size_from`` (``"scanner"``, ``"resolution"``, ``"catalog"`` or ``None``), ``objective_power``,
    ``associated`` (names), ``has_label`` and ``icc_profile`` (whether a colour profile is kept; it is not applied).

    Raises
    ------
    DataError
        If the file is truncated, not a TIFF, or its first image is no colour image.
    ParameterError
        If there is no such level or picture.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> told = "Aperio Image\r\n64x64|AppMag = 20|MPP = 0.5"
    >>> tifffile.imwrite(tmp_path / "a.svs", np.zeros((64, 64, 3), "uint8"), description=told, metadata=None)
    >>> slide = Slide(url=tmp_path / "a.svs").read()
    >>> slide.shape, slide["x"].attrs["units"], slide.attrs["integrate"]["objective_power"]
    ((3, 64, 64), 'um', 20.0)
    """

    output_instance = "xarray:DataArray"

    def _open(
        self,
        path: Path,
        *,
        level: int = 0,
        associated: str | None = None,
        pixel_size_um: Sequence[float] | None = None,
    ) -> xr.DataArray:
        given = check_pixel_size(pixel_size_um)
        with open_tiff(path) as tiff:
            names = [str(one.name).lower() or f"image {i}" for i, one in enumerate(tiff.series)]
            series = _chosen(names, associated, path)
            main, page = tiff.series[0], tiff.pages[0]
            shapes = [[int(n) for n in _yx(one)] for one in tiff.series[series].levels]
            axes = str(tiff.series[series].axes)
            described = str(page.description or "")
            size, source = (given, "catalog") if given else _pixel_size(page, described)
            icc = ICC_PROFILE in page.tags
            main_shape = _yx(main)
        if axes not in ("YXS", "SYX", "YX"):
            raise DataError(f"{path.name} holds {axes}; expected a colour or grey image, name another reader")
        if not 0 <= level < len(shapes):
            raise ParameterError(f"{path.name} has {len(shapes)} levels, from 0; there is no level {level}")
        data = lazy_level(path, series=series, level=level)
        data = data[None] if axes == "YX" else data.transpose([axes.index(axis) for axis in "SYX"])
        colours = {1: ["grey"], 3: ["red", "green", "blue"], 4: ["red", "green", "blue", "alpha"]}
        ratios = [[main_shape[0] / shape[0], main_shape[1] / shape[1]] for shape in shapes]
        placed = size if series == 0 else None
        return make_image(
            data,
            channels=colours.get(data.shape[0], [f"channel_{i}" for i in range(data.shape[0])]),
            pixel_size_um=None if placed is None else (placed[0] * ratios[level][0], placed[1] * ratios[level][1]),
            levels=shapes,
            downsamples=ratios if series == 0 else None,
            level=level,
            pixel_size_from=source if placed else None,
            objective_power=_number(described, "AppMag"),
            associated=names[1:],
            has_label="label" in names,
            icc_profile=icc,
        )


def _chosen(names: Sequence[str], associated: str | None, path: Path) -> int:
    if associated is None:
        return 0
    if associated not in names[1:]:
        raise ParameterError(f"{path.name} has no picture {associated!r}; {closest(associated, names[1:])}")
    return names.index(associated)


def _yx(stage: Any) -> tuple[int, int]:
    return stage.shape[stage.axes.index("Y")], stage.shape[stage.axes.index("X")]


def _pixel_size(page: Any, described: str) -> tuple[tuple[float, float] | None, str | None]:
    """Return ``(y, x)`` in micrometres and who says so: the scanner's own words, or a credible resolution."""
    stated = _number(described, "MPP")
    if stated is not None and CREDIBLE_UM[0] <= stated <= CREDIBLE_UM[1]:
        return (stated, stated), "scanner"
    unit = page.tags["ResolutionUnit"].value if "ResolutionUnit" in page.tags else 1
    sizes = []
    for tag in ("YResolution", "XResolution"):
        value = page.tags[tag].value if tag in page.tags else (0, 1)
        per_unit = value[0] / value[1] if value[1] else 0.0
        size = UNIT_UM.get(int(unit), 0.0) / per_unit if per_unit else 0.0
        if not CREDIBLE_UM[0] <= size <= CREDIBLE_UM[1]:
            return None, None
        sizes.append(size)
    return (sizes[0], sizes[1]), "resolution"


def _number(described: str, name: str) -> float | None:
    """Return a number of Aperio's description, ``… | MPP = 0.4990 | …``."""
    found = re.search(rf"\b{name}\s*=\s*([0-9.]+)", described)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None
