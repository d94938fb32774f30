"""Stereo-seq: the output of a chip as bins, cells and the registered picture, in micrometres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, ParameterError, SourceNotFoundError, some, warn
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.readers.base import Reader
from integrate.readers.cell_parts import LEAST_ON_CELL, cell_table, element_notes, place_image, valid_outlines
from integrate.readers.dense_counts import only_one
from integrate.readers.gef import BinCounts, CellCounts, read_bins, read_cells, sample_spots
from integrate.readers.tiff import lazy_level, open_tiff, series_of

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd
    import spatialdata as sd

__all__ = ["StereoSeq"]

#: Which matrix is read of those that a folder has: that of the tissue, then that of the chip, then their texts.
MATRICES = ("*.tissue.gef", "*.gef", "*.tissue.gem", "*.tissue.gem.gz", "*.gem", "*.gem.gz")
#: Cells as they were found in the picture; the widened ones (``*.adjusted.cellbin.gef``) are read when named.
CELLS = ("*.cellbin.gef", "*.cgef")
PICTURES = ("*regist.tif", "*regist.tiff")
#: Single spots looked at to see whether counts lie in the outlines of their cells.
CHECKED = 200_000


class StereoSeq(Reader):
    """Read the output folder of a Stereo-seq chip as one SpatialData in micrometres.

    Parameters
    ----------
    name
        Beginning of every element's name, and name of the coordinate system.
    bin_size
        Edge of the square bins, in spots (0.5 µm): 100 is 50 µm. Bins the file does not have are summed from spots.
    matrix, cells
        Names of the files to read, where the folder has several; by default the matrix of the tissue
        (``*.tissue.gef``, else ``*.gef``, else GEM text) and the cells as found in the picture (``*.cellbin.gef``).

    Returns
    -------
    SpatialData with

    - ``<name>_bins``: a square per bin that has counts, index ``instance_id``;
    - ``<name>_table``: counts, bins × genes; ``obs`` has ``array_row`` and ``array_col``;
    - ``<name>_cells`` and ``<name>_cells_table`` where there is a cell-bin GEF: outlines, through the centres of the
      outermost spots of each cell, index the cell's id as text, and their counts;
    - ``<name>_<stain>_image`` where there is a registered picture (``<chip>_<stain>_regist.tif``), lazy.

    All lie in the coordinate system ``<name>``: micrometres from the origin of the chip, y down. Files count from the
    first spot of their matrix; the offsets they state (``minX``, ``offsetX``, ``#OffsetX``) are added, so that files
    of one chip lie on each other. ``attrs["integrate"][element]["on_cell"]`` is the share of the counts of cells, of
    the genes looked at, that the matrix has inside their outlines; ``None`` when the matrix has no single spots.

    Raises
    ------
    SourceNotFoundError
        If the folder has no matrix.
    ParameterError
        If it has several and none is named, or no such bins can be made.
    DataError
        If a file is damaged.
    AlignmentError
        If fewer than 90 % of the counts of cells lie in their outlines.

    Notes
    -----
    After the *expression matrix format* of the SAW user manual 8.0 (GEF version 4, GEM 0.2; versions 2 and 3 and GEM
    0.1 too); folders of SAW 5 to 8 are searched below. `spatialdata_io.stereoseq` (0.7.1) adds no offsets, so that bins
    and cells lie apart, reads every bin size, and keeps pixels.

    Examples
    --------
    >>> from integrate.readers.stereoseq import StereoSeq
    >>> StereoSeq(url="outs", bin_size=50).option_names()
    ('name', 'bin_size', 'matrix', 'cells')
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(
        self,
        path: Path,
        *,
        name: str = "stereoseq",
        bin_size: int = 100,
        matrix: str | None = None,
        cells: str | None = None,
    ) -> sd.SpatialData:
        import spatialdata as sd

        file = _find(path, MATRICES, matrix, "matrix")
        if file is None:
            raise SourceNotFoundError(
                f"no matrix like {some(MATRICES)} below {path.name!r}; it is no Stereo-seq output"
            )
        counts = read_bins(file, bin_size)
        elements: dict[str, Any] = {f"{name}_bins": _squares(counts, bin_size, name)}
        elements[f"{name}_table"] = _bin_table(counts, bin_size, f"{name}_bins")
        cell_file, share = _find(path, CELLS, cells, "cells"), None
        if cell_file is not None:
            found = read_cells(cell_file)
            shapes = _outlines(found, name, cell_file.name)
            elements[f"{name}_cells"] = shapes
            elements[f"{name}_cells_table"] = _cells_table(found, f"{name}_cells")
            share = _share_on_cell(file, found, path.name)
        for picture in sorted({one for pattern in PICTURES for one in path.rglob(pattern)}):
            if (element := f"{name}_{_stain(picture)}_image") in elements:
                raise DataError(f"{path.name!r} has two registered pictures of {_stain(picture)}; keep one")
            elements[element] = _picture(picture, counts, name)
        notes = element_notes(
            elements,
            unit="um",
            pitch_um=counts.pitch_nm / 1000,
            bin_size=bin_size,
            on_cell=share,
            matrix=file.name,
            cells=None if cell_file is None else cell_file.name,
        )
        return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes})


def _find(folder: Path, patterns: Sequence[str], wanted: str | None, option: str) -> Path | None:
    """Return the file of a name, or the only one of the first pattern that finds any."""
    if wanted is not None:
        found = sorted(one for one in folder.rglob("*") if one.name == wanted)
        if len(found) != 1:
            raise ParameterError(f"{folder.name!r} has {len(found)} files {wanted!r}; give {option}= the name of one")
        return found[0]
    for pattern in patterns:
        found = [one for one in sorted(folder.rglob(pattern)) if pattern in CELLS or not _is_special(one)]
        found = [one for one in found if ".adjusted." not in one.name]
        if found:
            return only_one(found, folder, pattern, option)
    return None


def _is_special(file: Path) -> bool:
    """Return whether a matrix is one of cells, or one before the chip was registered."""
    return any(part in file.name for part in (".cellbin.", ".raw."))


def _squares(counts: BinCounts, bin_size: int, space: str) -> Any:
    import geopandas as gpd
    import numpy as np
    import pandas as pd
    import shapely
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    pitch = counts.pitch_nm / 1000
    low, high = counts.corners * pitch, (counts.corners + bin_size) * pitch
    squares = gpd.GeoDataFrame(geometry=shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1]))
    squares.index = pd.Index(np.arange(len(squares)), name=INSTANCE_ID)
    return ShapesModel.parse(squares, transformations={space: Identity()})


def _var(genes: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd
    from anndata.utils import make_index_unique

    return genes.set_index(make_index_unique(pd.Index(genes["symbol"].astype(str).to_numpy())))


def _bin_table(counts: BinCounts, bin_size: int, region: str) -> Any:
    import anndata as ad
    import numpy as np
    import pandas as pd
    from spatialdata.models import TableModel

    grid = (counts.corners - np.array(counts.origin)) // bin_size
    obs = pd.DataFrame({INSTANCE_ID: np.arange(len(grid)), "array_row": grid[:, 1], "array_col": grid[:, 0]})
    obs["region"] = pd.Categorical([region] * len(obs))
    obs.index = [f"{row}_{column}" for column, row in grid]
    table = ad.AnnData(counts.matrix, obs=obs, var=_var(counts.genes))
    table.obsm["spatial"] = (counts.corners + bin_size / 2) * counts.pitch_nm / 1000
    return TableModel.parse(table, region=region, region_key="region", instance_key=INSTANCE_ID)


def _cells_table(found: CellCounts, region: str) -> ad.AnnData:
    import anndata as ad
    import numpy as np

    obs = found.cells.drop(columns=["offset"]).set_index(found.cells["id"].astype(str).to_numpy())
    table = ad.AnnData(found.matrix, obs=obs, var=_var(found.genes))
    centre = found.cells[["x", "y"]].to_numpy(float) + np.array(found.origin) + 0.5
    table.obsm["spatial"] = centre * found.pitch_nm / 1000
    return cell_table(table, region)


def _outlines(found: CellCounts, space: str, where: str) -> Any:
    import geopandas as gpd
    import numpy as np
    import shapely
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    ids = found.cells["id"].astype(str).to_numpy()
    flat = np.array([len(one) < 3 for one in found.corners])
    if flat.any():
        warn(f"{int(flat.sum())} of {len(flat)} cells of {where} have fewer than three corners and no outline")
    to_um = found.pitch_nm / 1000
    rings = [
        shapely.Polygon((one + found.origin + 0.5) * to_um)
        for one, left_out in zip(found.corners, flat, strict=True)
        if not left_out
    ]
    shapes = valid_outlines(gpd.GeoDataFrame(geometry=rings, index=ids[~flat]), where=where)
    return ShapesModel.parse(shapes, transformations={space: Identity()})


def _share_on_cell(matrix: Path, found: CellCounts, where: str) -> float | None:
    """Return the share of the counts of cells that the matrix has inside their outlines, gene by gene.

    Raises
    ------
    AlignmentError
        If it is less than 90 %.
    """
    import numpy as np
    import pandas as pd
    import shapely
    from scipy.sparse import coo_matrix

    sampled = sample_spots(matrix, CHECKED)
    if sampled is None or not found.matrix.nnz:
        return None
    spots, origin = sampled
    known = pd.Index(found.genes["gene_id"])
    spots = spots[spots["gene_id"].isin(known).to_numpy()]
    grown = [shapely.Polygon(one).buffer(1) if len(one) > 2 else shapely.Polygon() for one in found.corners]
    shift = np.array(origin) - np.array(found.origin)
    points = shapely.points(spots["x"].to_numpy() + shift[0], spots["y"].to_numpy() + shift[1])
    point, cell = shapely.STRtree(grown).query(points, predicate="intersects")
    of_gene = known.get_indexer(spots["gene_id"])[point]
    inside = coo_matrix((spots["count"].to_numpy()[point], (cell, of_gene)), shape=found.matrix.shape).tocsr()
    genes = np.unique(known.get_indexer(spots["gene_id"].unique()))
    counted = found.matrix[:, genes]
    total = float(counted.sum())
    if not total:
        return None
    share = float(counted.minimum(inside[:, genes]).sum() / total)
    if share < LEAST_ON_CELL:
        raise AlignmentError(
            f"{share:.1%} of the counts of cells of {where} lie in their outlines, by {matrix.name}; expected at least "
            f"{LEAST_ON_CELL:.0%}: cells and matrix are of different runs, or one is shifted or flipped"
        )
    return round(share, 4)


def _picture(file: Path, counts: BinCounts, space: str) -> Any:
    """Return the registered picture, one pixel per spot from the first spot of the matrix."""
    import numpy as np

    with open_tiff(file) as tiff:
        axes = str(series_of(tiff, file).axes)
    pixels = lazy_level(file)
    if axes.endswith("YXS") and pixels.ndim == 3 and pixels.shape[2] == 3:
        pixels, channels = pixels.transpose(2, 0, 1), ["red", "green", "blue"]
    elif pixels.ndim == 2:
        pixels, channels = pixels[None], [_stain(file)]
    else:
        raise DataError(f"{file.name} has axes {axes} {pixels.shape}; expected one grey plane, or red, green and blue")
    if counts.extent is not None and pixels.shape[1:] != counts.extent[::-1]:
        warn(
            f"{file.name} has {pixels.shape[1:]} pixels, the matrix {counts.extent[::-1]} spots; they should be the "
            "same, as a registered picture begins at the first spot"
        )
    edge = counts.pitch_nm / 1000
    x, y = counts.origin
    matrix = np.array([[edge, 0, x * edge], [0, edge, y * edge], [0, 0, 1.0]])
    return place_image(pixels, channels, space, matrix)


def _stain(file: Path) -> str:
    """Return the stain that a name tells: ``<chip>_<stain>_regist.tif``; older ones do not, and mean ssDNA."""
    parts = file.stem.removesuffix("regist").strip("_").split("_")
    return parts[-1] if len(parts) > 1 else "ssDNA"
