"""CODEX: the processed tiles of a run with their markers, and its table of cells, in micrometres."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, SourceNotFoundError, some
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.readers.base import Reader
from integrate.readers.cell_parts import element_notes, place_image, read_text
from integrate.readers.tiff import lazy_level, open_tiff, series_of

if TYPE_CHECKING:
    import pandas as pd
    import spatialdata as sd

__all__ = ["Codex"]

TILE = re.compile(r"reg(?P<region>\d+)_X(?P<x>\d+)_Y(?P<y>\d+)(?:_Z(?P<z>\d+))?\.tiff?", re.IGNORECASE)
#: What the description of the run calls nanometres per pixel, in the order of its versions.
RESOLUTIONS = ("per_pixel_XY_resolution", "xyResolution")


class Codex(Reader):
    """Read one region of a processed CODEX run as one SpatialData in micrometres.

    Parameters
    ----------
    name
        Beginning of every element's name, and name of the coordinate system.
    region
        Number of the region; needed when the run has several.

    Returns
    -------
    SpatialData with

    - ``<name>_X<x>_Y<y>_image`` for every tile (``reg001_X01_Y01_Z01.tif``), lazy, in a grid of tiles side by side, as
      the processor has cut their overlap off. A channel per cycle and channel, cycle by cycle, with the names of
      ``channelNames.txt``; names that repeat (``blank``, ``DAPI``) have their cycle added (``blank_cyc002``);
    - ``<name>_cells`` and ``<name>_table`` where there is a table of cells (``*_compensated.csv``): circles of the area
      of each cell (of 5 µm where the table has none), index ``instance_id``, and their intensities, cells × channels.

    All lie in the coordinate system ``<name>``: micrometres, by the resolution that ``experiment.json`` states.
    ``attrs["integrate"][element]["on_image"]`` is the share of cells whose centre lies on a tile.

    Raises
    ------
    SourceNotFoundError
        If tiles, channel names or the description of the run are absent.
    ParameterError
        If there is no such region, or there are several and none is named.
    DataError
        If a file is damaged, tiles differ in shape, names are not as many as channels, the run states no resolution, or
        cells lie off the tiles.

    Notes
    -----
    After the output of the CODEX processor (Akoya, versions 1.5 to 1.8: best-focus tiles as ImageJ hyperstacks, a cycle
    per frame) and the public data of Schürch et al. 2020. The scan itself is a QPTIFF: see `QpTiff`.

    Examples
    --------
    >>> from integrate.readers.codex import Codex
    >>> Codex(url="processed", region=1).option_names()
    ('name', 'region')
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(self, path: Path, *, name: str = "codex", region: int | None = None) -> sd.SpatialData:
        import spatialdata as sd

        tiles, number = _tiles(path, region)
        edge = _pixel_um(path)
        names = _names(path)
        elements: dict[str, Any] = {}
        shapes = set()
        for (column, row), file in tiles.items():
            pixels = _pixels(file)
            shapes.add(pixels.shape)
            if len(shapes) > 1:
                raise DataError(f"tiles of region {number} of {path.name} differ in shape: {some(map(str, shapes))}")
            channels = _channels(names, pixels.shape[:2], file)
            placed = _place(edge, (column - 1) * pixels.shape[3], (row - 1) * pixels.shape[2])
            flat = pixels.reshape((-1, *pixels.shape[2:]))
            elements[f"{name}_X{column:02d}_Y{row:02d}_image"] = place_image(flat, channels, name, placed)
        cells, share = _cells(path, number), None
        if cells is not None:
            height, width = next(iter(shapes))[2:]
            share = _share_on_tiles(cells, tiles, width, height, path.name)
            elements |= _elements(cells, edge, name)
        notes = element_notes(elements, unit="um", pixel_size_um=[edge, edge], region=number, on_image=share)
        return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes})


def _tiles(folder: Path, region: int | None) -> tuple[dict[tuple[int, int], Path], int]:
    """Return the file of each tile of a region by its column and row from 1."""
    found: dict[int, dict[tuple[int, int], Path]] = {}
    for file in sorted(folder.rglob("*.tif*")):
        if match := TILE.fullmatch(file.name):
            place = (int(match["x"]), int(match["y"]))
            held = found.setdefault(int(match["region"]), {})
            if place in held:
                raise DataError(
                    f"{folder.name} has tile {place} twice: {held[place].name}, {file.name}; keep best focus"
                )
            held[place] = file
    if not found:
        raise SourceNotFoundError(f"no tile like reg001_X01_Y01_Z01.tif below {folder.name!r}; it is no processed run")
    if region is None and len(found) > 1:
        raise ParameterError(f"{folder.name} has regions {some(sorted(found))}; name one with region=")
    number = next(iter(found)) if region is None else region
    if number not in found:
        raise ParameterError(f"{folder.name} has no region {number}; it has {some(sorted(found))}")
    return found[number], number


def _one(folder: Path, name: str) -> Path:
    """Return the file of a name in whatever case, that is nearest to the top."""
    found = sorted((one for one in folder.rglob("*") if one.name.lower() == name), key=lambda one: len(one.parts))
    if not found:
        raise SourceNotFoundError(f"no {name} below {folder.name!r}; the processed run is not complete")
    return found[0]


def _pixel_um(folder: Path) -> float:
    file = _one(folder, "experiment.json")
    try:
        told = json.loads(file.read_bytes())
        size = next(float(told[key]) for key in RESOLUTIONS if told.get(key)) / 1000
    except (ValueError, TypeError, AttributeError, StopIteration) as error:
        raise DataError(f"{file.name} of {folder.name} states no {some(RESOLUTIONS)} in nanometres") from error
    if not 0.01 < size < 100:
        raise DataError(f"{file.name} of {folder.name} states pixels of {size} µm; expected nanometres, as 377.4")
    return size


def _names(folder: Path) -> list[str]:
    file = _one(folder, "channelnames.txt")
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not a readable text ({error})") from error
    return [name for name in names if name]


def _pixels(file: Path) -> Any:
    """Return the pixels of a tile as cycles, channels, rows and columns."""
    with open_tiff(file) as tiff:
        axes = str(series_of(tiff, file).axes)
    pixels = lazy_level(file)
    held = dict(zip(axes, pixels.shape, strict=True))
    if set(axes) - set("TCZYX") or held.get("Z", 1) > 1 or not {"Y", "X"} <= set(axes):
        raise DataError(
            f"{file.name} has axes {held}; expected one plane per cycle and channel (a best-focus hyperstack)"
        )
    if "Z" in axes:
        pixels, axes = pixels[tuple(0 if axis == "Z" else slice(None) for axis in axes)], axes.replace("Z", "")
    for axis in "CT":
        if axis not in axes:
            pixels, axes = pixels[None], axis + axes
    return pixels.transpose([axes.index(axis) for axis in "TCYX"])


def _channels(names: Sequence[str], shape: Sequence[int], file: Path) -> list[str]:
    """Return a name per cycle and channel; one that repeats has its cycle added."""
    cycles, channels = shape
    if len(names) != cycles * channels:
        raise DataError(f"{file.name} has {cycles} cycles of {channels} channels, channelNames.txt {len(names)} names")
    made = [
        name if names.count(name) == 1 else f"{name}_cyc{number // channels + 1:03d}"
        for number, name in enumerate(names)
    ]
    return [one if made.count(one) == 1 else f"{one}_ch{number % channels + 1:03d}" for number, one in enumerate(made)]


def _place(edge: float, column: int, row: int) -> Any:
    import numpy as np

    return np.array([[edge, 0, column * edge], [0, edge, row * edge], [0, 0, 1.0]])


def _cells(folder: Path, region: int) -> pd.DataFrame | None:
    """Return the table of cells of a region, its columns without the group that some versions put before a colon."""
    import pandas as pd

    pattern = re.compile(rf"reg0*{region}(_.*)?_compensated\.csv", re.IGNORECASE)
    files = [one for one in sorted(folder.rglob("*_compensated.csv")) if pattern.fullmatch(one.name)]
    files = [one for one in files if "uncompensated" not in one.name.lower()]
    if not files:
        return None
    tables = []
    for file in files:
        held = read_text(file, ())
        held.columns = pd.Index([_column(str(one)) for one in held.columns])
        absent = [one for one in ("cell_id", "x", "y") if one not in held]
        if absent:
            raise DataError(f"{file.name} has no columns {absent}; it has {some(held.columns, limit=12)}")
        tables.append(held.assign(table=file.stem))
    return pd.concat(tables, ignore_index=True)


def _column(text: str) -> str:
    """Return ``x`` of ``x:x``, and ``cyc001_ch001:DAPI`` as it is."""
    group, _, name = text.partition(":")
    return name if name and not group.lower().startswith("cyc") else text


def _share_on_tiles(
    cells: pd.DataFrame, tiles: dict[tuple[int, int], Path], width: int, height: int, where: str
) -> float:
    """Return the share of cells whose centre lies on a tile.

    Raises
    ------
    DataError
        If one in a hundred does not: the table is of another region, or in other units.
    """
    columns, rows = (cells["x"] // width + 1).astype(int), (cells["y"] // height + 1).astype(int)
    share = sum(place in tiles for place in zip(columns, rows, strict=True)) / max(len(cells), 1)
    if share < 0.99:
        raise DataError(f"{share:.1%} of {len(cells)} cells of {where} lie on a tile; is the table of another region?")
    return round(share, 4)


def _elements(cells: pd.DataFrame, edge: float, name: str) -> dict[str, Any]:
    """Return circles of the cells' area, and their intensities."""
    import anndata as ad
    import numpy as np
    import pandas as pd
    from anndata.utils import make_index_unique
    from spatialdata.models import ShapesModel, TableModel
    from spatialdata.transformations import Identity

    centres = (cells[["x", "y"]].to_numpy(float) + 0.5) * edge  # the table counts pixels from the first one's centre
    radius = np.sqrt(cells["size"].to_numpy(float) / np.pi) * edge if "size" in cells else 2.5
    circles = ShapesModel.parse(centres, geometry=0, radius=radius, transformations={name: Identity()})
    circles.index = pd.Index(np.arange(len(cells)), name=INSTANCE_ID)
    measured = [one for one in cells.columns if one.lower().startswith("cyc")]
    values = cells[measured].to_numpy("float32")
    obs = cells.drop(columns=measured).assign(**{INSTANCE_ID: np.arange(len(cells))})
    obs["region"] = pd.Categorical([f"{name}_cells"] * len(cells))
    obs.index = obs["table"] + "_" + obs["cell_id"].astype(str)
    names = make_index_unique(pd.Index([one.partition(":")[2] or one for one in measured]))
    table = ad.AnnData(values, obs=obs, var=pd.DataFrame({"channel": measured}, index=names))
    table.obsm["spatial"] = centres
    parsed = TableModel.parse(table, region=f"{name}_cells", region_key="region", instance_key=INSTANCE_ID)
    return {f"{name}_cells": circles, f"{name}_table": parsed}
