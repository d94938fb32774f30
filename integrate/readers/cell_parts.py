"""Parts that vendors of spatial omics share: outlines, transcripts and counts of cells, that must lie on each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, SourceNotFoundError, some, warn
from integrate.readers.geojson import enclosed

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np
    import pandas as pd

__all__ = [
    "cell_table",
    "check_on_cells",
    "element_notes",
    "find_file",
    "outlines",
    "place_image",
    "place_points",
    "read_parquet",
    "read_text",
    "valid_outlines",
]

#: Share of the transcripts of cells that must lie in the outline of their cell; outlines are simplified by vendors.
LEAST_ON_CELL = 0.9
#: Transcripts looked at to check it.
CHECKED = 20_000


def find_file(folder: Path, *names: str) -> Path:
    """Return the first of some files that a folder has.

    Raises
    ------
    SourceNotFoundError
        If it has none of them.
    """
    for name in names:
        if (folder / name).exists():
            return folder / name
    held = some(sorted(one.name for one in folder.iterdir()), limit=12) if folder.is_dir() else ""
    raise SourceNotFoundError(f"no {' or '.join(names)} in {folder.name!r}; it holds {held or 'nothing'}")


def read_parquet(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return a Parquet table that must have some columns; texts stored as bytes are text.

    Raises
    ------
    DataError
        If the file is damaged or lacks a column.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{file.name} is not a readable Parquet file ({error}); it may be truncated") from error
    _check_columns(file, table, columns)
    for name in table.columns:
        if table[name].dtype == object and len(table) and isinstance(table[name].iloc[0], bytes):
            table[name] = table[name].str.decode("utf-8")
    return table


def read_text(file: Path, columns: Sequence[str], **types: Any) -> pd.DataFrame:
    """Return a CSV table that must have some columns; `types` are those of columns that are no numbers.

    Raises
    ------
    DataError
        If the file is damaged, its last line is not complete, or it lacks a column.
    """
    import pandas as pd

    try:
        with file.open("rb") as stream:
            stream.seek(max(file.stat().st_size - 1, 0))
            if stream.read(1) != b"\n":
                raise DataError(f"the last line of {file.name} is not complete; the file is cut off, copy it again")
        table = pd.read_csv(file, dtype=types, float_precision="round_trip")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file.name} is not a readable table ({error})") from error
    _check_columns(file, table, columns)
    return table


def _check_columns(file: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    absent = [name for name in columns if name not in table]
    if absent:
        raise DataError(f"{file.name} has no columns {absent}; it has {some(table.columns, limit=12)}")


def outlines(cells: Any, x: Any, y: Any, *, where: str) -> Any:
    """Return polygons from a table of corners, one run of rows per cell, as a Series by cell.

    Raises
    ------
    DataError
        If the corners of a cell are not together, or are fewer than three.
    """
    import geopandas as gpd
    import numpy as np
    import shapely

    ids = np.asarray(cells, dtype=object)
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])) if len(ids) else np.array([], int)
    if len(set(ids[starts])) < len(starts):
        raise DataError(f"the corners of a cell in {where} are not together; the file is sorted by something else")
    counts = np.diff(np.append(starts, len(ids)))
    if (counts < 3).any():
        raise DataError(f"{int((counts < 3).sum())} cells of {where} have fewer than three corners")
    corners = np.column_stack([np.asarray(x, float), np.asarray(y, float)])
    rings = shapely.linearrings(corners, indices=np.repeat(np.arange(len(starts)), counts))
    return gpd.GeoSeries(shapely.polygons(rings), index=ids[starts])


def valid_outlines(shapes: Any, *, where: str) -> Any:
    """Return outlines that enclose an area, counting in a warning those that crossed themselves."""
    wrong = ~shapes.geometry.is_valid
    if wrong.any():
        warn(f"{where}: {int(wrong.sum())} of {len(shapes)} outlines crossed themselves and were made valid")
        shapes = shapes.copy()
        shapes.loc[wrong, "geometry"] = [enclosed(one) for one in shapes.loc[wrong, "geometry"]]
    return shapes[~shapes.geometry.is_empty]


def check_on_cells(points: pd.DataFrame, shapes: Any, *, where: str) -> float:
    """Return the share of transcripts (``x``, ``y``, ``cell``) that lie in the outline of the cell they are given to.

    Raises
    ------
    AlignmentError
        If fewer than 90 % do: outlines and transcripts are of other places, or one is upside down.
    """
    import shapely

    points = points[points["cell"].isin(shapes.index)]
    if points.empty:
        return float("nan")
    if len(points) > CHECKED:
        points = points.iloc[:: len(points) // CHECKED]
    inside = shapely.contains_xy(shapes.geometry.loc[points["cell"]].to_numpy(), points["x"], points["y"])
    share = float(inside.mean())
    if share < LEAST_ON_CELL:
        raise AlignmentError(
            f"{share:.1%} of {len(points)} transcripts of {where} lie in the outline of their cell; expected at least "
            f"{LEAST_ON_CELL:.0%}: outlines and transcripts are of different runs, or one is flipped"
        )
    return share


def place_image(pixels: Any, channels: Sequence[str], space: str, matrix: np.ndarray[Any, Any]) -> Any:
    """Return an image placed by a 3 × 3 matrix from pixels (x, y, corner convention) to the space."""
    from spatialdata.models import Image2DModel
    from spatialdata.transformations import Affine

    placed = {space: Affine(matrix, input_axes=("x", "y"), output_axes=("x", "y"))}
    return Image2DModel.parse(pixels, dims=("c", "y", "x"), c_coords=list(channels), transformations=placed)


def place_points(frame: Any, feature: str, space: str) -> Any:
    """Return transcripts, lazy or in memory, with columns x, y and maybe z, in the space as they are."""
    import dask.dataframe as dd
    import pandas as pd
    from spatialdata.models import PointsModel
    from spatialdata.transformations import Identity

    if isinstance(frame, pd.DataFrame):
        frame = frame.assign(**{feature: frame[feature].astype("category")})
        frame = dd.from_pandas(frame, npartitions=max(1, len(frame) // 1_000_000))
    # without sort= the whole index would be read to look whether it rises
    return PointsModel.parse(frame, feature_key=feature, transformations={space: Identity()}, sort=True)


def cell_table(counts: ad.AnnData, region: str, *, key: str = "cell_id") -> ad.AnnData:
    """Return counts as a table that annotates the element `region` by the cells' own ids."""
    import pandas as pd
    from spatialdata.models import TableModel

    counts.obs[key] = counts.obs_names.to_numpy()
    counts.obs["region"] = pd.Categorical([region] * counts.n_obs)
    return TableModel.parse(counts, region=region, region_key="region", instance_key=key)


def element_notes(names: Mapping[str, Any], **notes: Any) -> dict[str, dict[str, Any]]:
    """Return the same notes for every element."""
    return {name: dict(notes) for name in names}
