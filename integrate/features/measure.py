"""Measuring: from an image and its regions to a table with one row per region."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from integrate.align.grid import read_grid
from integrate.errors import ParameterError, closest, some, warn
from integrate.features.brightfield import Brightfield
from integrate.features.family import FeatureFamily
from integrate.features.grid import check_image, check_labels, image_grid, image_to_labels, shapes_to_image, shared_ids
from integrate.features.intensity import Intensity
from integrate.features.outlines import Drawn, Outlines, as_frame, is_outlines, make_outlines
from integrate.features.position import Position
from integrate.features.quantiles import Quantiles
from integrate.features.rasters import LabelRaster, PlacedLabels
from integrate.features.shape import Shape
from integrate.features.stored import find_stored
from integrate.features.stream import stream_blocks
from integrate.features.table import make_table
from integrate.features.texture import Gradient, LocalPatterns, Spread, Texture
from integrate.features.volume import VolumeShape
from integrate.features.volume_grid import as_channels, check_volume_labels, is_volume, shapes_to_volume, volume_grid
from integrate.features.volume_outlines import VolumeOutlines, make_volume_outlines
from integrate.features.whole import WholeFamily
from integrate.keys import ACQUISITION_ID, REGION_ID
from integrate.model.image import channel_names, image_notes
from integrate.model.provenance import hash_settings, record, settle_loads
from integrate.model.trace import TRACE, note_trace, trace_of
from integrate.readers.rtstruct import CLOSED

if TYPE_CHECKING:
    import anndata as ad
    import distributed
    import xarray as xr

    from integrate.features.grid import Grid

__all__ = ["measure"]

_FAMILIES: Final[dict[str, Callable[[], FeatureFamily]]] = {
    "intensity": Intensity,
    "quantiles": Quantiles,
    "shape": Shape,
    "texture": Texture,
    "patterns": LocalPatterns,
    "gradient": Gradient,
    "spread": Spread,
    "brightfield": Brightfield,
}


_OF_VOLUMES: Final[dict[str, Callable[[], FeatureFamily]]] = {
    "intensity": Intensity,
    "quantiles": Quantiles,
    "shape": VolumeShape,
}


def measure(
    image: xr.DataArray,
    regions: Any,
    *,
    features: Sequence[str | FeatureFamily] = ("intensity", "shape"),
    region: str | None = None,
    unit: Literal["um", "mm", "px"] | None = None,
    threads: int | None = None,
    client: distributed.Client | None = None,
    progress: bool = False,
    resume: str | os.PathLike[str] | None = None,
) -> ad.AnnData:
    """Return one row per region with its intensity in every channel, its place and its shape.

    Parameters
    ----------
    image
        Image, dims ``(c, y, x)``; bool, integers or floats. A Dask array is read chunk by chunk and never held whole.
        Or a volume, dims ``(c, z, y, x)`` or ``(z, y, x)``, whose coordinates say voxel size and unit.
    regions
        Labels, dims ``(y, x)``: a DataArray, numpy or Dask array of any integer type. 0 is background, every other
        value the id of one region. They may have another pixel size, place or SpatialData transformation than the
        image: a pixel then has the label in which its centre lies; intensities are never interpolated.

        Or shapes, which may overlap and have holes: a GeoDataFrame, a SpatialData shapes element, a shapely geometry or
        a list of them. A pixel belongs to every polygon, or circle (points with a column ``radius``), in which its
        centre lies. Their ids are the index, or the column ``instance_id`` or ``id`` where there is one.

        Regions of a volume are labels ``(z, y, x)`` on its voxels, or shapes by the same rule: balls (points with z and
        a column ``radius``), boxes or other polygons with columns ``z0`` and ``z1``, or contours with z, as `RtStruct`
        reads them, each in one plane of voxels. All contours with one id (``roi_name``) are one region; one within
        another is a hole.
    features
        Of volumes ``"intensity"``, ``"quantiles"`` and ``"shape"`` (`VolumeShape`); texture is `measure_radiomics`'. Of
        images ``"intensity"``, ``"quantiles"``, ``"shape"``, ``"texture"``, ``"patterns"``, ``"gradient"``,
        ``"spread"`` and, of colour slides, ``"brightfield"``; or settings: `Intensity`, `Quantiles`, `Shape`,
        `Texture`, `LocalPatterns`, `Gradient`, `Spread`, `Brightfield`, `Embedding`.
    region
        Name of the label image or shapes: the SpatialData element that the rows belong to. By default the
        ``region_id``, else the ``acquisition_id`` the arrays carry, else ``"regions"``.
    unit
        Of shapes that do not say it themselves: ``"um"``, ``"mm"`` (of volumes), or ``"px"`` for pixels of the whole
        image.
    threads
        How many blocks are measured at a time; by default one per processor. Memory grows with it, results do not
        depend on it.
    client
        Of a `dask.distributed` cluster, which then measures the blocks: the same numbers to the last bit. Its workers
        must reach the files behind a lazy image; an array in memory is sent to them.
    progress
        Show a bar that counts blocks from the start; otherwise one appears in a notebook after a second. With a client
        it names the page of the Dask dashboard.
    resume
        A folder of your own in which finished blocks are kept until all are done. Called again with the same image,
        regions and features after a break, only the missing ones are measured; the result has the same bits. Other
        regions, features or images start anew beside them, in the same folder, and change nothing of what is kept for
        the first. Arrays in memory and shapes are recognised by their values; lazy ones by how they are read (path,
        chunks) and, in zarr, by when their files were written, not by their pixels.

    Returns
    -------
    AnnData, regions in ascending order of id by features, float64; a valid SpatialData table.

    - ``obs``: ``instance_id``, ``region``, ``n_pixels``, with intensity ``n_nan`` (pixels left out for being NaN,
      summed over channels), for shapes ``covered`` (which part of the region's area lies on the image, 0 to 1), and
      every id that image and regions carry.
    - ``var``: unit, definition, settings and inputs of every column; see `integrate.model.feature.Feature`. Intensity
      has the unit ``""``: an image does not say.
    - ``obsm["spatial"]``: centroids ``x, y (, z)``, in micrometres where the pixel size is known, otherwise in pixels.
    - ``uns["integrate"]``: ids, unit, pixel size, settings and hashes.

    NaN is a missing value: a statistic of no valid pixels, the place of a region without pixels. Such a region, e.g. a
    shape beside the image, keeps its row with ``n_pixels`` 0. Without any region the table has no rows.

    Raises
    ------
    DataError
        If an array has another form, a label is negative, or a shape cannot be filled.
    AlignmentError
        If nothing says where the regions lie on the image, or no shape touches it.
    UnitError
        If nothing says in which unit shapes are.
    IdentityError
        If image and regions carry different ids, or an id of a shape repeats.
    ParameterError
        If a feature is unknown or given twice, `threads` is below 1, or both `threads` and `client` are given.

    Notes
    -----
    One pass over the chunks; blocks know nothing of each other and are merged by id. Counts, extremes and sums of
    integers of up to 16 bits are exact, and standard deviations are made from exact sums, so the chunking changes no
    bit. Sums of floats and of larger integers carry 106 bits: good to the last digits for values between 1e-140 and
    1e140 and standard deviations down to 1e-9 of the mean. 64-bit integers are read as float64, exact up to 2^53.

    ``input_hash`` is a fingerprint of the labels, and for intensity of the pixels inside them, taken in the same pass:
    it is the same for any chunking, in memory or lazy, and changes with any measured pixel. It detects change, not
    forgery; the hash of the file, where the reader recorded one, is in ``uns["integrate"]["sha256"]``.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.arange(12.0).reshape(1, 3, 4), channels=["CD45"], pixel_size_um=(0.5, 0.5))
    >>> labels = np.array([[0, 7, 7, 0], [0, 7, 7, 0], [9, 0, 0, 0]])
    >>> cells = measure(image, labels, features=["intensity", Shape(descriptors=("area",))])
    >>> cells.to_df()[["CD45_mean", "area_um2"]].values.tolist()
    [[3.5, 1.0], [8.0, 0.25]]
    >>> cells.var.loc["area_um2", "unit"]
    'um2'
    """
    from integrate import __version__

    if threads is not None and threads < 1:
        raise ParameterError(f"threads is {threads}; expected 1 or more, or None for one per processor")
    if threads is not None and client is not None:
        raise ParameterError("both threads and client are given; the cluster has threads of its own")
    families = _families(features, volume=is_volume(image))
    ids = shared_ids(image, regions)
    if is_volume(image):
        image = as_channels(image)
        grid = volume_grid(image)
    else:
        check_image(image)
        grid = image_grid(image, regions)
    for family in families:
        if isinstance(family, WholeFamily):
            family.check_image(channel_names(image), image.dtype)
    source = _source(image, regions, grid, unit)
    name = region or ids.get(REGION_ID) or ids.get(ACQUISITION_ID) or "regions"
    measured, labels_print, pixels_print = stream_blocks(
        image, source, grid, [Position(), *families], threads=threads, client=client, progress=progress, resume=resume
    )
    labels_hash = hash_settings({"grid": asdict(grid), "labels": labels_print})
    pixels = {"labels": labels_hash, "pixels": pixels_print, "dtype": image.dtype.name, "channels": measured.channels}
    origin = {
        "tool": f"integrate {__version__}",
        "settings": json.dumps({type(family).__name__: asdict(family) for family in families}),
        "settings_hash": hash_settings(families),
        "input_hash": hash_settings(pixels),
    }
    place = {"unit": grid.unit, **({f"pixel_size_{grid.unit}": list(grid.size)} if grid.unit != "px" else {})}
    place |= _space_noted(image, grid)
    settle_loads()  # the reader names the file by its hash only when a result needs it
    noted = {**image_notes(image).get("origin", {}), **image_notes(image)}
    file = {key: note for key, note in noted.items() if key == "sha256" and note}
    table = make_table(
        measured,
        families,
        region=name,
        ids=ids,
        notes={"ids": ids, **place, **origin, **file, TRACE: note_trace(trace_of(image, regions))},
        input_hashes={True: origin["input_hash"], False: labels_hash},
        names=source.names if isinstance(source, Drawn) else None,
        covered=source.covered if isinstance(source, Drawn) else None,
    )
    record("measure", region=name, ids=ids, instances=table.n_obs, features=table.n_vars, **origin, **file)
    return table


def _space_noted(image: xr.DataArray, grid: Grid) -> dict[str, str]:
    """Return the space in which positions are given; nothing where the image does not say, or is placed elsewhere."""
    import numpy as np

    if is_volume(image) or len(image.attrs.get("transform", {})) > 1:
        return {}
    placed = read_grid(image)
    (y, x), (height, width) = grid.origin, grid.size
    same = np.allclose(placed.affine.array, np.array([[width, 0, x], [0, height, y], [0, 0, 1]]))
    return {"space": placed.space.name} if same and placed.space.name else {}


_Source: TypeAlias = "Outlines | VolumeOutlines | LabelRaster | PlacedLabels"


def _source(image: xr.DataArray, regions: Any, grid: Grid, unit: str | None) -> _Source:
    if not is_volume(image):
        return _outlines(image, regions, grid, unit) if is_outlines(regions) else _raster(image, regions, grid)
    if is_outlines(regions):
        return _volume_outlines(image, regions, grid, unit)
    check_volume_labels(regions, grid)
    raster = regions.data if hasattr(regions, "coords") else regions
    return LabelRaster(find_stored(raster) or raster)


def _outlines(image: xr.DataArray, shapes: Any, grid: Grid, unit: str | None) -> Outlines:
    frame = as_frame(shapes)
    return make_outlines(frame, shapes_to_image(image, frame, grid, unit), grid.shape)


def _volume_outlines(image: xr.DataArray, shapes: Any, grid: Grid, unit: str | None) -> VolumeOutlines:
    frame = as_frame(shapes)
    if "roi_name" in frame and "kind" in frame:  # of RtStruct: points and open lines enclose nothing
        closed = frame[frame["kind"].isin(CLOSED)].set_index("roi_name")
        without = [str(name) for name in frame["roi_name"].unique() if name not in closed.index]
        if without:
            warn(f"{len(without)} structures enclose nothing (points or open lines) and have no row: {some(without)}")
        frame = closed
    return make_volume_outlines(frame, shapes_to_volume(image, frame, grid, unit), grid.shape)


def _raster(image: xr.DataArray, labels: Any, grid: Grid) -> LabelRaster | PlacedLabels:
    check_labels(labels)
    to_labels = image_to_labels(image, labels, grid)
    raster = labels.data if hasattr(labels, "coords") else labels
    raster = find_stored(raster) or raster
    return LabelRaster(raster) if to_labels is None else PlacedLabels(raster, to_labels)


def _families(features: Sequence[str | FeatureFamily], *, volume: bool) -> list[FeatureFamily]:
    """Return the families asked for, names replaced by their default settings."""
    known: dict[str, Callable[[], FeatureFamily]] = _OF_VOLUMES if volume else _FAMILIES
    if isinstance(features, str):
        raise ParameterError(f"features is {features!r}; expected a list, e.g. [{features!r}]")
    families: list[FeatureFamily] = []
    for feature in features:
        if isinstance(feature, str) and feature not in known:
            raise ParameterError(f"no feature {feature!r}{' of volumes' * volume}; {closest(feature, known)}")
        families.append(known[feature]() if isinstance(feature, str) else feature)
        if isinstance(families[-1], VolumeShape) != volume and isinstance(families[-1], (WholeFamily, VolumeShape)):
            kind = "a volume" if volume else "an image without planes"
            raise ParameterError(f"{type(families[-1]).__name__} is not measured in {kind}; expected {some(known)}")
    kinds = [type(family).__name__ for family in families]
    if len(set(kinds)) < len(kinds):
        raise ParameterError(f"features {kinds} repeat; give each once, with all of its settings")
    return families
