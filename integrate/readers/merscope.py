"""MERSCOPE: a region folder as outlines, transcripts, counts and mosaics in micrometres."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, some, warn
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.cell_parts import (
    cell_table,
    check_on_cells,
    element_notes,
    find_file,
    place_image,
    place_points,
    read_text,
    valid_outlines,
)
from integrate.readers.tiff import lazy_first_page

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np
    import spatialdata as sd

__all__ = ["Merscope"]

MATRIX_FILE = "micron_to_mosaic_pixel_transform.csv"
MOSAIC = re.compile(r"mosaic_(?P<stain>.+)_z(?P<z>\d+)\.tiff?")


class Merscope(Reader):
    r"""Read the folder of one MERSCOPE region as one SpatialData in micrometres.

    Parameters
    ----------
    name
        Beginning of every element's name, and name of the coordinate system.
    z
        Plane whose mosaics are opened; the vendor images seven, 0 to 6. Outlines are those of this plane too.

    Returns
    -------
    SpatialData with

    - ``<name>_cells``: outlines of the plane, index the vendor's id of the cell as text;
    - ``<name>_table``: counts, cells × genes (blanks too, ``var["blank"]``), with the columns of ``cell_metadata.csv``;
    - ``<name>_transcripts``: points with ``gene``, ``z`` and, where the file has it, ``cell_id`` (empty for none);
    - ``<name>_image``: the mosaics, lazy, a channel per stain in the order of their names.

    All lie in the coordinate system ``<name>``: micrometres as the vendor gives them; mosaics are placed by the
    inverse of the vendor's matrix from micrometres to pixels. ``attrs["integrate"][element]["on_cell"]`` is the share
    of transcripts of cells that lie in their outline (missing where the file does not name cells).

    Raises
    ------
    SourceNotFoundError
        If a part is absent.
    ParameterError
        If there is no such plane.
    DataError
        If a file is damaged, or a cell of the counts is not in the metadata.
    AlignmentError
        If fewer than 90 % of the transcripts of cells lie in the outline of their cell.

    Notes
    -----
    `spatialdata_io.merscope` (0.7.1) orders channels by chance (a set), drops outlines that cross themselves without a
    word, and always takes those of plane 0.

    Examples
    --------
    >>> import geopandas as gpd, numpy as np, shapely, tifffile
    >>> (tmp_path / "images").mkdir()
    >>> _ = (tmp_path / "images" / "micron_to_mosaic_pixel_transform.csv").write_text("9 0 0\n0 9 0\n0 0 1\n")
    >>> tifffile.imwrite(tmp_path / "images" / "mosaic_DAPI_z3.tif", np.zeros((50, 80), "uint16"))
    >>> held = {"EntityID": [7], "ZIndex": [3], "Geometry": [shapely.box(0, 0, 8, 5)]}
    >>> gpd.GeoDataFrame(held, geometry="Geometry").to_parquet(tmp_path / "cell_boundaries.parquet")
    >>> header = ",barcode_id,global_x,global_y,global_z,gene,cell_id\n"
    >>> _ = (tmp_path / "detected_transcripts.csv").write_text(header + "0,1,4,3,3,CD3E,7\n")
    >>> _ = (tmp_path / "cell_by_gene.csv").write_text("cell,CD3E\n7,1\n")
    >>> _ = (tmp_path / "cell_metadata.csv").write_text("EntityID,center_x,center_y\n7,4,2.5\n")
    >>> region = Merscope(url=tmp_path).read()
    >>> region["merscope_cells"].area.tolist(), region.attrs["integrate"]["merscope_cells"]["on_cell"]
    ([40.0], 1.0)
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(self, path: Path, *, name: str = "merscope", z: int = 3) -> sd.SpatialData:
        import spatialdata as sd

        cells = _outlines(find_file(path, "cell_boundaries.parquet", "cellpose_micron_space.parquet"), z, name)
        transcripts = _transcripts(find_file(path, "detected_transcripts.csv"))
        share = float("nan")
        if "cell_id" in transcripts:
            share = check_on_cells(transcripts.rename(columns={"cell_id": "cell"}), cells, where=path.name)
        elements: dict[str, Any] = {
            f"{name}_cells": cells,
            f"{name}_transcripts": place_points(transcripts, "gene", name),
            f"{name}_table": cell_table(_counts(path), f"{name}_cells"),
        }
        elements |= _mosaics(path / "images", name, z)
        notes = element_notes(elements, unit="um", z=z, on_cell=None if share != share else round(share, 4))
        return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes})


def _outlines(file: Path, z: int, space: str) -> Any:
    import geopandas as gpd
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    try:
        held = gpd.read_parquet(file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file.name} is not a readable table of outlines ({error}); it may be truncated") from error
    absent = [name for name in ("EntityID", "ZIndex") if name not in held]
    if absent:
        raise DataError(f"{file.name} has no columns {absent}; it has {some(held.columns, limit=12)}")
    planes = sorted(int(one) for one in held["ZIndex"].unique())
    if z not in planes:
        raise ParameterError(f"{file.name} has outlines of planes {planes}; there is no plane {z}")
    chosen = held[(held["ZIndex"] == z) & held.geometry.notna()]
    shapes = gpd.GeoDataFrame(geometry=chosen.geometry.to_numpy(), index=chosen["EntityID"].astype(str).to_numpy())
    if shapes.index.has_duplicates:
        raise DataError(f"{file.name} outlines {int(shapes.index.duplicated().sum())} cells twice in plane {z}")
    shapes = valid_outlines(shapes, where=file.name)
    return ShapesModel.parse(shapes, transformations={space: Identity()})


def _transcripts(file: Path) -> Any:
    held = read_text(file, ("global_x", "global_y", "global_z", "gene"), gene=str, cell_id=str)
    kept = {"global_x": "x", "global_y": "y", "global_z": "z", "gene": "gene", "cell_id": "cell_id"}
    frame = held[[name for name in kept if name in held]].rename(columns=kept)
    frame = frame.astype(dict.fromkeys("xyz", "float64"))
    if "cell_id" in frame:
        frame["cell_id"] = frame["cell_id"].where(frame["cell_id"] != "-1", "").fillna("")
    return frame


def _counts(path: Path) -> ad.AnnData:
    import anndata as ad
    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_matrix

    counts_file = find_file(path, "cell_by_gene.csv")
    counts = read_text(counts_file, (), cell=str)
    told = read_text(
        find_file(path, "cell_metadata.csv"), ("center_x", "center_y"), EntityID=str, **{"Unnamed: 0": str}
    )
    counts, told = counts.set_index(counts.columns[0]), told.set_index(told.columns[0])
    counts.index, told.index = counts.index.astype(str), told.index.astype(str)
    unknown = [cell for cell in counts.index if cell not in told.index]
    if unknown:
        raise DataError(f"{len(unknown)} cells of {counts_file.name} are not in cell_metadata.csv: {some(unknown)}")
    values = counts.to_numpy()
    if values.dtype.kind not in "iuf" or np.isnan(values.astype(float)).any():
        raise DataError(f"{counts_file.name} has counts that are no numbers; the file is damaged")
    var = pd.DataFrame({"blank": counts.columns.str.lower().str.startswith("blank")}, index=counts.columns.astype(str))
    made = ad.AnnData(csr_matrix(values.astype("float32")), obs=told.loc[counts.index].copy(), var=var)
    made.obs_names.name = None
    made.obsm["spatial"] = made.obs[["center_x", "center_y"]].to_numpy(float)
    return made


def _mosaics(folder: Path, name: str, z: int) -> dict[str, Any]:
    import dask.array as da
    import numpy as np

    found = {
        match["stain"]: file
        for file in _listed(folder)
        if (match := MOSAIC.fullmatch(file.name)) and int(match["z"]) == z
    }
    if not found:
        warn(f"folder {folder.name!r} has no mosaic of plane {z}; no image is opened")
        return {}
    pages = [lazy_first_page(found[stain]) for stain in sorted(found)]
    if len({page.shape for page in pages}) > 1:
        raise DataError(f"the mosaics of {folder.name} differ in shape: {[page.shape for page in pages]}")
    to_um = np.linalg.inv(_matrix(find_file(folder, MATRIX_FILE)))
    return {f"{name}_image": place_image(da.stack(pages), sorted(found), name, to_um)}


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _matrix(file: Path) -> np.ndarray[Any, Any]:
    """Return the vendor's matrix from micrometres to pixels of the mosaic."""
    import numpy as np

    try:
        matrix = np.array([[float(one) for one in row.split()] for row in file.read_text().split("\n") if row.strip()])
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name} is not a readable matrix ({error})") from error
    if matrix.shape != (3, 3) or abs(np.linalg.det(matrix)) < 1e-12 or not np.allclose(matrix[2], [0, 0, 1]):
        raise DataError(f"{file.name} holds {matrix.tolist()}; expected a 3 × 3 matrix from micrometres to pixels")
    return matrix
