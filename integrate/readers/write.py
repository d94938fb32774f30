"""Writers of what we make: images, label images and outlines, each whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, UnitError, some, warn
from integrate.keys import ATTRS
from integrate.model.image import image_notes, pixel_size_um
from integrate.readers.write_nifti import write_nifti
from integrate.readers.write_seg import write_seg

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["write_image", "write_labels", "write_shapes"]

ZARR, TIFF, NIFTI = (".ome.zarr", ".zarr"), (".ome.tif", ".ome.tiff"), (".nii", ".nii.gz")
#: A pyramid ends where its coarsest level fits into a square of this many pixels.
COARSEST = 512
TILE = 512


def write_image(image: xr.DataArray, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write an image as OME-Zarr 0.5, OME-TIFF or NIfTI, by the suffix of the path.

    Parameters
    ----------
    image
        What a reader gives: ``(t?, c, z?, y, x)`` for ``.ome.zarr`` and ``.ome.tif``, a volume ``(t?, z, y, x)`` in
        patient coordinates for ``.nii`` and ``.nii.gz``. May be Dask-backed; it is written block by block (NIfTI:
        slice by slice).
    path
        Where to write.
    overwrite
        Whether something there may be replaced.

    Returns
    -------
    The path. Pixel size, units and channel names are kept; OME files get a pyramid of means (each level exactly half).
    Ids, origin and other notes are not written: their place is the catalog.

    Raises
    ------
    ParameterError
        If the suffix is unknown, or something is there and may not be replaced.
    UnitError
        If a volume does not know where it lies in the patient.
    DataError
        If the image has axes that the format cannot hold.

    Examples
    --------
    >>> image = ig.datasets.toy_catalog().load("fields", field="f1_P01")
    >>> written = ig.write_image(image, tmp_path / "f1.ome.tif")
    >>> written.name
    'f1.ome.tif'
    """
    target = Path(path)
    kind = _kind(target, (*ZARR, *TIFF, *NIFTI))
    if kind in NIFTI:
        _check_volume(image, target)
        return _placed(target, lambda place: write_nifti(image, place), overwrite=overwrite)
    if not {"c", "y", "x"} <= set(image.dims) or set(image.dims) - set("tczyx"):
        raise DataError(f"an image with axes {image.dims} does not fit {target.name}; expected c, y, x and maybe t, z")
    writer = _write_zarr if kind in ZARR else _write_tiff
    return _placed(target, lambda place: writer(image, place), overwrite=overwrite)


def write_labels(
    labels: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    names: Mapping[int, str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a label image as NIfTI, DICOM SEG, OME-Zarr or OME-TIFF, by the suffix of the path.

    Parameters
    ----------
    labels
        Integers, ``(y, x)`` or ``(z, y, x)``; 0 is background. ``.dcm`` and ``.nii`` need a volume in patient
        coordinates.
    path
        Where to write.
    source
        Folder of the DICOM series that was segmented; needed for ``.dcm``, which names patient, study and images.
    names
        Name of each label, for ``.dcm``; by default those of ``attrs["integrate"]["labels"]``, else ``"segment 1"`` ….
    overwrite
        Whether something there may be replaced.

    Returns
    -------
    The path. Labels keep their numbers (a SEG numbers segments from 1 without gaps: other numbers are an error).

    Raises
    ------
    ParameterError
        If the suffix is unknown, ``source`` is missing, or something is there and may not be replaced.
    DataError
        If the labels are no integers, or do not lie on the images of the source.

    Examples
    --------
    >>> nuclei = ig.segment_nuclei(ig.datasets.toy_catalog().load("fields", field="f1_P01"), channels="DNA")
    >>> ig.write_labels(nuclei, tmp_path / "nuclei.ome.zarr").name
    'nuclei.ome.zarr'
    """
    target = Path(path)
    kind = _kind(target, (*ZARR, *TIFF, *NIFTI, ".dcm"))
    if labels.dtype.kind not in "iu" or labels.dims not in (("y", "x"), ("z", "y", "x")):
        raise DataError(f"labels are {labels.dtype} with axes {labels.dims}; expected integers of (y, x) or (z, y, x)")
    if kind == ".dcm" and source is None:
        raise ParameterError("a DICOM SEG names the images it segments; give source=, the folder of their series")
    if kind in (*NIFTI, ".dcm"):
        _check_volume(labels, target)
    if kind == ".dcm":
        folder = Path(str(source))
        return _placed(target, lambda place: write_seg(labels, place, folder, names), overwrite=overwrite)
    if kind in NIFTI:
        return _placed(target, lambda place: write_nifti(labels, place), overwrite=overwrite)
    image = labels.expand_dims(c=["label"])
    writer = _write_zarr if kind in ZARR else _write_tiff
    return _placed(target, lambda place: writer(image, place, is_label=True), overwrite=overwrite)


def write_shapes(shapes: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write outlines as GeoJSON that QuPath and `GeoJSON` read.

    Parameters
    ----------
    shapes
        GeoDataFrame; ``classification`` and ``annotator`` have their own place, other columns become properties.
    path
        File to write, ``.geojson`` or ``.json``.
    overwrite
        Whether something there may be replaced.

    Returns
    -------
    The path.

    Raises
    ------
    ParameterError
        If the suffix is unknown, or something is there and may not be replaced.
    DataError
        If `shapes` has no geometry.

    Examples
    --------
    >>> import geopandas, shapely
    >>> outlines = geopandas.GeoDataFrame({"classification": ["tumour"]}, geometry=[shapely.box(0, 0, 9, 9)])
    >>> ig.write_shapes(outlines, tmp_path / "outlines.geojson").name
    'outlines.geojson'
    """
    target = Path(path)
    _kind(target, (".geojson", ".json"))
    if not hasattr(shapes, "geom_type"):
        raise DataError(f"shapes is a {type(shapes).__name__}; expected a GeoDataFrame of outlines")
    content = json.dumps({"type": "FeatureCollection", "features": list(_features(shapes))}, allow_nan=False)
    return _placed(target, lambda place: _write_text(place, content), overwrite=overwrite)


def _write_text(place: Path, content: str) -> None:
    place.write_text(content, encoding="utf-8")


def _kind(target: Path, known: tuple[str, ...]) -> str:
    found = [suffix for suffix in known if target.name.lower().endswith(suffix)]
    if not found:
        raise ParameterError(f"cannot tell the format of {target.name!r}; known suffixes: {some(known, limit=12)}")
    return found[0]


def _placed(target: Path, write: Callable[[Path], None], *, overwrite: bool) -> Path:
    """Write beside the target, then take its place; what fails leaves nothing and destroys nothing."""
    if target.exists() and not overwrite:
        raise ParameterError(f"{target.name!r} is there already; overwrite=True replaces it")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".unfinished-{os.getpid()}-{target.name}")
    try:
        write(beside)
        if target.is_dir():
            shutil.rmtree(target)
        beside.replace(target)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        beside.unlink(missing_ok=True)
    return target


def _check_volume(image: xr.DataArray, target: Path) -> None:
    if image.dims not in (("z", "y", "x"), ("t", "z", "y", "x")) or "affine_lps" not in image_notes(image):
        raise UnitError(
            f"{target.name} holds volumes in patient coordinates; the array has axes {image.dims} and "
            f"{'an' if 'affine_lps' in image_notes(image) else 'no'} affine: write .ome.zarr or .ome.tif instead"
        )


def _halved(pixels: Any, axes: tuple[str, ...], *, is_label: bool) -> Any:
    """Return an array of half the rows and columns: means, or for labels one of them."""
    import dask.array as da
    import numpy as np

    if is_label:
        return pixels[
            tuple(
                slice(None, n // 2 * 2, 2) if a in "yx" else slice(None)
                for a, n in zip(axes, pixels.shape, strict=True)
            )
        ]
    halved = da.coarsen(np.mean, pixels, {i: 2 for i, axis in enumerate(axes) if axis in "yx"}, trim_excess=True)
    return (halved.round() if pixels.dtype.kind in "iu" else halved).astype(pixels.dtype)


def _pyramid(image: xr.DataArray, *, is_label: bool) -> list[Any]:
    import dask.array as da

    axes = tuple(str(one) for one in map(str, image.dims))
    shape = tuple(TILE * 2 if axis in "yx" else 1 for axis in axes)
    pixels = image.data if hasattr(image.data, "dask") else da.from_array(image.data, chunks="auto")
    levels = [pixels.rechunk(tuple(min(a, b) for a, b in zip(shape, pixels.shape, strict=True)))]
    while max(levels[-1].shape[-2:]) > COARSEST and min(levels[-1].shape[-2:]) > 1:
        levels.append(_halved(levels[-1], axes, is_label=is_label))
    return levels


def _steps(image: xr.DataArray) -> dict[str, tuple[float, str | None]]:
    """Return the step of every axis and its unit in the words of OME, ``None`` where it is not known."""
    size = pixel_size_um(image)
    notes = image_notes(image)
    lengths = {"y": size and size[0], "x": size and size[1], "z": notes.get("z_step_um")}
    if "spacing_mm" in notes and size is None:
        lengths = {axis: step and step * 1000 for axis, step in zip("zyx", notes["spacing_mm"], strict=True)}
    steps: dict[str, tuple[float, str | None]] = {"c": (1.0, None)}
    for axis, step in lengths.items():
        steps[axis] = (1.0, None) if step is None else (float(step), "micrometer")
    times = image.coords.get("t")
    if times is not None and times.size > 1 and times.attrs.get("units") == "s":
        gaps = times.values[1:] - times.values[:-1]
        if abs(gaps - gaps[0]).max() > 1e-6 * abs(gaps[0]):
            warn("time points are not evenly spaced; the file keeps their number, not their times")
        else:
            steps["t"] = (float(gaps[0]), "second")
    return steps


def _write_zarr(image: xr.DataArray, place: Path, *, is_label: bool = False) -> None:
    import zarr
    from ome_zarr.format import FormatV05
    from ome_zarr.writer import write_multiscale

    kept = image.isel(c=0, drop=True) if is_label else image
    levels, steps = _pyramid(kept, is_label=is_label), _steps(image)
    axes, scales = [], []
    kinds = {"t": "time", "c": "channel"}
    for axis in map(str, kept.dims):
        unit = steps.get(axis, (1.0, None))[1]
        axes.append({"name": axis, "type": kinds.get(axis, "space"), **({"unit": unit} if unit else {})})
    for level in range(len(levels)):
        factors = {axis: 2**level if axis in "yx" else 1 for axis in map(str, kept.dims)}
        own = {axis: steps.get(axis, (1.0, None))[0] for axis in factors}
        centre = [(factor - 1) / 2 * own[axis] for axis, factor in factors.items()]
        scale = {"type": "scale", "scale": [own[axis] * factor for axis, factor in factors.items()]}
        scales.append([scale, *([{"type": "translation", "translation": centre}] if level else [])])
    told = (
        {}
        if is_label
        else {"metadata": {"omero": {"channels": [_shown(str(n), image.dtype) for n in image["c"].values]}}}
    )
    group = zarr.open_group(str(place), mode="w", zarr_format=3)
    chunks = [
        {"chunks": tuple(min(TILE, n) if a in ("y", "x") else 1 for a, n in zip(kept.dims, one.shape, strict=True))}
        for one in levels
    ]
    write_multiscale(
        levels, group, fmt=FormatV05(), axes=axes, coordinate_transformations=scales, storage_options=chunks, **told
    )


def _shown(name: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    import numpy as np

    top = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
    return {"label": name, "color": "FFFFFF", "window": {"min": 0.0, "max": top, "start": 0.0, "end": top}}


def _write_tiff(image: xr.DataArray, place: Path, *, is_label: bool = False) -> None:
    import tifffile

    levels, steps = _pyramid(image, is_label=is_label), _steps(image)
    axes = "".join(str(axis) for axis in map(str, image.dims)).upper()
    told: dict[str, Any] = {"axes": axes, "Channel": {"Name": [str(name) for name in image["c"].values]}}
    for axis in "xyz":
        step, unit = steps.get(axis, (1.0, None))
        if unit and axis in axes.lower():
            told |= {f"PhysicalSize{axis.upper()}": step, f"PhysicalSize{axis.upper()}Unit": "µm"}
    if steps.get("t", (1.0, None))[1]:
        told |= {"TimeIncrement": steps["t"][0], "TimeIncrementUnit": "s"}
    with tifffile.TiffWriter(place, ome=True, bigtiff=levels[0].nbytes > 2**31) as tiff:
        for number, pixels in enumerate(levels):
            tiff.write(
                _tiles(pixels),
                shape=pixels.shape,
                dtype=pixels.dtype,
                tile=(TILE, TILE),
                compression="zlib",
                photometric="minisblack",
                subifds=len(levels) - 1 if number == 0 else None,
                subfiletype=1 if number else 0,
                metadata=told if number == 0 else None,
            )


def _tiles(pixels: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the tiles of every plane, a band of rows in memory at a time."""
    import numpy as np

    for index in np.ndindex(pixels.shape[:-2]):
        for top in range(0, pixels.shape[-2], TILE):
            band = np.asarray(pixels[(*index, slice(top, top + TILE))])
            for left in range(0, pixels.shape[-1], TILE):
                tile = band[:, left : left + TILE]
                yield np.pad(tile, ((0, TILE - tile.shape[0]), (0, TILE - tile.shape[1])))


def _features(shapes: Any) -> Iterator[dict[str, Any]]:
    import shapely

    plain = [name for name in shapes.columns if name not in ("geometry", "id", "classification", "annotator")]
    for index, row in zip(shapes.index, shapes.to_dict("records"), strict=True):
        properties: dict[str, Any] = {"objectType": "annotation"}
        if isinstance(row.get("classification"), str):
            properties["classification"] = {"name": row["classification"]}
        if isinstance(row.get("annotator"), str):
            properties["metadata"] = {"annotator": row["annotator"]}
        properties |= {str(name): _json(row[name]) for name in plain if name != ATTRS}
        geometry = json.loads(shapely.to_geojson(row["geometry"]))
        yield {"type": "Feature", "id": str(row.get("id", index)), "geometry": geometry, "properties": properties}


def _json(value: Any) -> Any:
    import pandas as pd

    value = value.item() if hasattr(value, "item") else value
    return None if value is None or (not isinstance(value, (list, dict)) and pd.isna(value)) else value
