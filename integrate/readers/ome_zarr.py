"""OME-Zarr: images of several resolutions, their label images, and plates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.planes import make_planes, named_channels
from integrate.readers.tiff import check_pixel_size
from integrate.readers.zarr_array import group_attributes, lazy_zarr, open_group

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["OmeZarr", "OmeZarrPlate"]

#: Micrometres, and seconds, per unit that an axis may state.
LENGTHS: dict[str, float] = {
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
TIMES: dict[str, float] = {"millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


class OmeZarr(Reader):
    """Read one level of an OME-Zarr image (0.4 or 0.5), or of one of its label images, lazily.

    Parameters
    ----------
    level
        Resolution; 0 is the finest.
    label
        Name of a label image kept with the image, to read instead.
    well, field
        Which image of a plate: ``"B3"``, ``"B03"`` or ``"B/3"``, and the path of the field in the well (``"0"``).
    series
        Path of an image in a store that holds several (``"0"``, ``"images/slide"``).
    pixel_size_um
        ``(y, x)`` edge of a pixel of level 0, where the file does not state a unit.

    Returns
    -------
    DataArray ``(t?, c, z?, y, x)``, for a label image ``(z?, y, x)`` of integers; Dask-backed. A time or depth of
    length 1 is dropped. Coordinates are micrometres and seconds by the scales that the file states for this level,
    where it states their unit, else pixels and numbers. ``attrs["integrate"]`` has ``levels`` (shapes), ``level``,
    ``version``, ``labels`` (names) and, where it is not 0, ``origin_um``.

    Raises
    ------
    DataError
        If the store is no OME-Zarr image or is damaged, or the channels are not those the catalog names.
    ParameterError
        If there is no such level, label image, series, well or field.

    Notes
    -----
    OME-Zarr speaks of pixel centres, we of corners (a pixel covers ``[i, i + 1)``). A level without a translation of
    its own shares its outer corner with level 0, as every writer means it; a stated translation is moved by half a
    pixel of level 0.

    Examples
    --------
    >>> image = ig.datasets.toy_catalog().load("fields", field="f1_P01")
    >>> written = ig.write_image(image, tmp_path / "a.zarr")
    >>> OmeZarr(url=written).read().shape == image.shape
    True
    """

    output_instance = "xarray:DataArray"
    is_folder = True

    def _open(
        self,
        path: Path,
        *,
        level: int = 0,
        label: str | None = None,
        well: str | None = None,
        field: str = "0",
        series: str | None = None,
        pixel_size_um: Sequence[float] | None = None,
    ) -> xr.DataArray:
        given = check_pixel_size(pixel_size_um)
        inside = _image_place(path, well, field, series)
        names = _label_names(path, inside)
        if label is not None:
            if label not in names:
                raise ParameterError(f"{path.name} has no label image {label!r}; {closest(label, names)}")
            inside = f"{inside}/labels/{label}".lstrip("/")
        said = group_attributes(open_group(path, inside))
        scales = _multiscale(said, path, inside)
        datasets = scales["datasets"]
        if not 0 <= level < len(datasets):
            raise ParameterError(f"{path.name} has {len(datasets)} levels, from 0; there is no level {level}")
        pixels = [lazy_zarr(path, f"{inside}/{one['path']}".lstrip("/")) for one in datasets]
        shapes = [list(one.shape) for one in pixels]
        axes = _axes(scales, len(shapes[0]), path)
        placed = _placed(scales, axes, level)
        if given is not None:
            first, read = (dict(zip((one[0] for one in axes), shapes[i], strict=True)) for i in (0, level))
            placed["pixel_size_um"] = tuple(
                edge * first[axis] / read[axis] for edge, axis in zip(given, "yx", strict=True)
            )
        notes: dict[str, Any] = {"levels": shapes, "level": level, "version": _version(said, scales), "labels": names}
        letters = "".join(name for name, _ in axes)
        if label is not None:
            return _as_labels(make_planes(pixels[level], letters, channels=["label"], **placed, **notes), path)
        channels = _channels(said, dict(zip(letters, shapes[level], strict=True)).get("c", 1), path)
        self._check_channels(channels)
        return make_planes(pixels[level], letters, channels=channels, **placed, **notes)


class OmeZarrPlate(Reader):
    """List the wells and fields of an OME-Zarr plate; `OmeZarr` opens each by ``well=`` and ``field=``.

    Returns
    -------
    DataFrame, a row per field: ``well`` (``"B3"``), ``row``, ``column``, ``field`` (its path in the well),
    ``acquisition`` (missing where the plate has none) and ``name`` (``"B/3/0"``, what ``series=`` takes). Wells
    without a field are not rows.

    Raises
    ------
    DataError
        If the store is no plate, or a well it lists is absent or damaged.

    Examples
    --------
    >>> import zarr
    >>> well = {"path": "B/3", "rowIndex": 0, "columnIndex": 0}
    >>> plate = {"version": "0.5", "name": "p", "rows": [{"name": "B"}], "columns": [{"name": "3"}], "wells": [well]}
    >>> store = zarr.open_group(tmp_path / "p.zarr", mode="w", zarr_format=3)
    >>> store.attrs["ome"] = {"version": "0.5", "plate": plate}
    >>> told = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
    >>> store.require_group("B/3").attrs["ome"] = told
    >>> OmeZarrPlate(url=tmp_path / "p.zarr").read()[["well", "row", "column", "field"]].values.tolist()
    [['B3', 'B', '3', '0']]
    """

    output_instance = "pandas:DataFrame"
    is_folder = True

    def _open(self, path: Path) -> pd.DataFrame:
        import pandas as pd

        plate = _plate(path)
        rows = []
        for one in plate["wells"]:
            place = str(one["path"])
            row, _, column = place.partition("/")
            for image in _well_images(path, place):
                told = {"well": f"{row}{column}", "row": row, "column": column, "field": str(image["path"])}
                rows.append({**told, "acquisition": image.get("acquisition"), "name": f"{place}/{image['path']}"})
        table = pd.DataFrame(rows, columns=["well", "row", "column", "field", "acquisition", "name"])
        table["acquisition"] = table["acquisition"].astype("Int64")
        table.attrs[ATTRS] = {
            "plate": str(plate.get("name", path.stem)),
            "wells": int(table["well"].nunique()),
            "fields": len(table),
        }
        return table


def _image_place(path: Path, well: str | None, field: str, series: str | None) -> str:
    """Return where in the store the asked image lies."""
    if series is not None:
        return series.strip("/")
    said = group_attributes(open_group(path))
    if well is not None:
        return _field_place(path, well, field)
    if "multiscales" in said:
        return ""
    if "plate" in said:
        raise ParameterError(f"{path.name} is a plate; give well= and field=, or list them with OmeZarrPlate")
    inside = sorted(one.name for one in path.iterdir() if (one / "zarr.json").exists() or (one / ".zgroup").exists())
    if "bioformats2raw.layout" in said and [one for one in inside if one.isdigit()] == ["0"]:
        return "0"
    raise DataError(f"{path.name} is no OME-Zarr image; it holds {some(inside) or 'nothing'}, give series=")


def _field_place(path: Path, well: str, field: str) -> str:
    places = {_well_key(str(one["path"])): str(one["path"]) for one in _plate(path)["wells"]}
    place = places.get(_well_key(well))
    if place is None:
        raise ParameterError(f"{path.name} has no well {well!r}; {closest(well, places.values())}")
    fields = [str(one["path"]) for one in _well_images(path, place)]
    if field not in fields:
        raise ParameterError(f"well {well!r} of {path.name} has no field {field!r}; {closest(field, fields)}")
    return f"{place}/{field}"


def _well_key(well: str) -> str:
    found = re.fullmatch(r"([A-Za-z]+)/?0*(\d+)", well)
    return f"{found[1].upper()}{found[2]}" if found else well


def _plate(path: Path) -> dict[str, Any]:
    plate = group_attributes(open_group(path)).get("plate")
    if not isinstance(plate, Mapping) or not all(
        isinstance(w, Mapping) and "path" in w for w in plate.get("wells", [0])
    ):
        raise DataError(f"{path.name} is no OME-Zarr plate; it does not list wells")
    return dict(plate)


def _well_images(path: Path, place: str) -> list[dict[str, Any]]:
    well = group_attributes(open_group(path, place)).get("well")
    images = well.get("images") if isinstance(well, Mapping) else None
    if not isinstance(images, list) or not all(isinstance(one, Mapping) and "path" in one for one in images):
        raise DataError(f"well {place!r} of {path.name} does not list its fields")
    return [dict(one) for one in images]


def _label_names(path: Path, inside: str) -> list[str]:
    if not (path / inside / "labels").is_dir():
        return []
    named = group_attributes(open_group(path, f"{inside}/labels".lstrip("/"))).get("labels")
    return [str(name) for name in named] if isinstance(named, list) else []


def _multiscale(said: Mapping[str, Any], path: Path, inside: str) -> dict[str, Any]:
    found = said.get("multiscales")
    if not isinstance(found, list) or not found or not isinstance(found[0], Mapping) or not found[0].get("datasets"):
        raise DataError(f"{inside or path.name!r} of {path.name} is no OME-Zarr image; it has no multiscales")
    return dict(found[0])


def _version(said: Mapping[str, Any], scales: Mapping[str, Any]) -> str:
    return str(said.get("version") or scales.get("version") or "")


def _axes(scales: Mapping[str, Any], count: int, path: Path) -> list[tuple[str, str]]:
    """Return the letter and unit of every axis."""
    axes = [
        (str(one.get("name")), str(one.get("unit", ""))) for one in scales.get("axes") or [] if isinstance(one, Mapping)
    ]
    if len(axes) != count or {name for name, _ in axes} - set("tczyx"):
        raise DataError(f"{path.name} names axes {axes} for {count} dimensions; expected OME-Zarr 0.4 or later")
    return axes


def _placed(scales: Mapping[str, Any], axes: Sequence[tuple[str, str]], level: int) -> dict[str, Any]:
    """Return pixel size, step, times and origin of a level, as far as the file states their units."""
    steps, shifts = _transformed(scales, level, len(axes))
    first_steps, first_shifts = _transformed(scales, 0, len(axes))
    sizes: dict[str, float | None] = {}
    origin: dict[str, float] = {}
    for i, (name, unit) in enumerate(axes):
        known = TIMES.get(unit) if name == "t" else LENGTHS.get(unit)
        sizes[name] = None if known is None else steps[i] * known
        if name in "zyx" and known is not None:
            same = abs(shifts[i] - first_shifts[i]) <= 1e-9 * abs(first_steps[i])
            origin[name] = (shifts[i] if same else shifts[i] + (first_steps[i] - steps[i]) / 2) * known
    y, x, z, t = (sizes.get(axis) for axis in "yxzt")
    return {
        "pixel_size_um": None if y is None or x is None else (y, x),
        "z_step_um": z,
        "time_s": t,
        "origin_um": origin,
    }


def _transformed(scales: Mapping[str, Any], level: int, count: int) -> tuple[list[float], list[float]]:
    """Return scale and translation of a level: its own, then those of the whole image."""
    steps, shifts = [1.0] * count, [0.0] * count
    own = scales["datasets"][level].get("coordinateTransformations") or []
    for one in [*own, *(scales.get("coordinateTransformations") or [])]:
        if one.get("type") == "scale" and len(one.get("scale", ())) == count:
            factors = [float(value) for value in one["scale"]]
            steps = [a * b for a, b in zip(steps, factors, strict=True)]
            shifts = [a * b for a, b in zip(shifts, factors, strict=True)]
        elif one.get("type") == "translation" and len(one.get("translation", ())) == count:
            shifts = [a + float(b) for a, b in zip(shifts, one["translation"], strict=True)]
        elif one.get("type") != "identity":
            raise DataError(f"level {level} states a transformation {dict(one)}; expected a scale or a translation")
    if not all(0 < step < float("inf") for step in steps):
        raise DataError(f"level {level} states a scale of {steps}; expected positive numbers")
    return steps, shifts


def _channels(said: Mapping[str, Any], count: int, path: Path) -> list[str]:
    omero = said.get("omero")
    described = omero.get("channels") if isinstance(omero, Mapping) else None
    names = [one.get("label") for one in described or [] if isinstance(one, Mapping)]
    if count == 1 and not names:
        return ["channel_0"]
    return named_channels(names, count, where=path.name)


def _as_labels(image: xr.DataArray, path: Path) -> xr.DataArray:
    if image.dtype.kind not in "iu" or image.sizes["c"] != 1 or "t" in image.dims:
        raise DataError(
            f"a label image of {path.name} has {image.dtype} of {dict(image.sizes)}; expected whole numbers"
        )
    return image.isel(c=0, drop=True)
