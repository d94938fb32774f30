"""Xenium: an output bundle as outlines, transcripts, counts and morphology images in micrometres."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.cell_parts import (
    cell_table,
    check_on_cells,
    element_notes,
    find_file,
    outlines,
    place_image,
    place_points,
    read_parquet,
    valid_outlines,
)
from integrate.readers.tiff import lazy_first_page
from integrate.readers.visium import read_h5
from integrate.readers.xenium_masks import MASKS, STORE, check_on_labels, lazy_mask, mask_cells, mask_matrix

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd
    import spatialdata as sd

__all__ = ["Xenium"]

#: What Xenium writes for a transcript in no cell.
NO_CELL = ("UNASSIGNED", "-1", "")
TRANSCRIPT = {"x_location": "x", "y_location": "y", "z_location": "z", "feature_name": "feature_name"}
KEPT = ("transcript_id", "qv", "overlaps_nucleus")


class Xenium(Reader):
    """Read a Xenium output bundle as one SpatialData in micrometres.

    Parameters
    ----------
    name
        Beginning of every element's name, and name of the coordinate system.
    morphology
        Whether to open the morphology images.
    masks
        Whether to open the masks of cells and nuclei.

    Returns
    -------
    SpatialData with

    - ``<name>_cells`` and, where they are there, ``<name>_nuclei``: outlines, index ``cell_id``;
    - ``<name>_table``: counts, cells × features, every feature type kept (``var["feature_type"]``), with the columns of
      ``cells.parquet``;
    - ``<name>_transcripts``: lazy points with ``feature_name``, ``cell_id`` (empty for none) and ``qv``; none is left
      out, the vendor uses those with ``qv`` of at least 20;
    - ``<name>_morphology_image``: the morphology images, lazy;
    - ``<name>_cells_labels`` and ``<name>_nuclei_labels`` where ``cells.zarr.zip`` is there: the masks that the vendor
      draws its outlines after, lazy. ``obs["cell_label"]`` is the label of each cell in the first.

    All lie in the coordinate system ``<name>``: micrometres from the corner of the morphology image, y down.
    ``attrs["integrate"][element]["on_cell"]`` is the share of transcripts of cells that lie in their outline,
    ``"on_label"`` the share of those in a window of 2000 pixels that lie on the label of their cell.

    Raises
    ------
    SourceNotFoundError
        If a part of the bundle is absent.
    DataError
        If a file is damaged, or cells of the matrix have no row or outline.
    AlignmentError
        If fewer than 90 % of the transcripts of cells lie in the outline, or on the label, of their cell.

    Notes
    -----
    The masks are those of *Xenium Zarr output files* 2.0 and later: label 1 is the first cell of ``cell_id``.
    `spatialdata_io.xenium` (0.7.1) gives the same elements, in pixels of the morphology image; it needs
    ``cells.zarr.zip``, drops every feature type but genes unless told otherwise, and does not look whether parts lie
    on each other.

    Examples
    --------
    >>> import h5py, json, pandas as pd
    >>> _ = (tmp_path / "experiment.xenium").write_text(json.dumps({"pixel_size": 0.2125}))
    >>> corners = pd.DataFrame({"cell_id": "a-1", "vertex_x": [0.0, 8, 8, 0], "vertex_y": [0.0, 0, 5, 5]})
    >>> corners.to_parquet(tmp_path / "cell_boundaries.parquet")
    >>> cells = pd.DataFrame({"cell_id": ["a-1"], "x_centroid": [4.0], "y_centroid": [2.5]})
    >>> cells.to_parquet(tmp_path / "cells.parquet")
    >>> seen = {"x_location": [4.0], "y_location": [3.0], "z_location": [1.0], "qv": [40.0]}
    >>> pd.DataFrame({**seen, "feature_name": "EGFR", "cell_id": "a-1"}).to_parquet(tmp_path / "transcripts.parquet")
    >>> with h5py.File(tmp_path / "cell_feature_matrix.h5", "w") as store:
    ...     store["matrix/data"], store["matrix/indices"], store["matrix/indptr"] = [1], [0], [0, 1]
    ...     store["matrix/shape"], store["matrix/barcodes"] = [1, 1], ["a-1"]
    ...     store["matrix/features/id"], store["matrix/features/name"] = ["ENSG1"], ["EGFR"]
    ...     store["matrix/features/feature_type"] = ["Gene Expression"]
    >>> bundle = Xenium(url=tmp_path).read()
    >>> bundle["xenium_cells"].area.tolist(), bundle.attrs["integrate"]["xenium_cells"]["on_cell"]
    ([40.0], 1.0)
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(self, path: Path, *, name: str = "xenium", morphology: bool = True, masks: bool = True) -> sd.SpatialData:
        import spatialdata as sd

        experiment = _experiment(path)
        cells = _outlines(path, "cell_boundaries.parquet", name)
        elements: dict[str, Any] = {f"{name}_cells": cells}
        if (path / "nucleus_boundaries.parquet").exists():
            elements[f"{name}_nuclei"] = _outlines(path, "nucleus_boundaries.parquet", name)
        table = _counts(path, set(cells.index))
        elements[f"{name}_table"] = cell_table(table, f"{name}_cells")
        transcripts, sample, share = _transcripts(find_file(path, "transcripts.parquet"), cells, path.name)
        elements[f"{name}_transcripts"] = place_points(transcripts, "feature_name", name)
        if morphology:
            elements |= _images(path, name, float(experiment["pixel_size"]))
        on_label = float("nan")
        if masks and (path / STORE).exists():
            labels, on_label = _masks(path / STORE, name, sample, elements[f"{name}_table"])
            elements |= labels
        notes = element_notes(
            elements,
            unit="um",
            on_cell=None if share != share else round(share, 4),
            on_label=None if on_label != on_label else round(on_label, 4),
            pixel_size_um=[float(experiment["pixel_size"])] * 2,
            software=str(experiment.get("analysis_sw_version", "")),
            panel=str(experiment.get("panel_name", "")),
        )
        return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes})


def _experiment(path: Path) -> dict[str, Any]:
    file = find_file(path, "experiment.xenium")
    try:
        told = json.loads(file.read_bytes())
        size = float(told["pixel_size"])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file.name} is not a readable description with a pixel_size ({error})") from error
    if not 0 < size < 100:
        raise DataError(f"{file.name} states pixels of {size} µm; expected a positive number")
    return dict(told)


def _outlines(path: Path, file: str, space: str) -> Any:
    import geopandas as gpd
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    corners = read_parquet(find_file(path, file), ("cell_id", "vertex_x", "vertex_y"))
    # a cell may have several nuclei, numbered in label_id
    key = "label_id" if "nucle" in file and "label_id" in corners else "cell_id"
    cells = outlines(corners[key], corners["vertex_x"], corners["vertex_y"], where=file)
    owner = dict(zip(corners[key], corners["cell_id"].astype(str), strict=True))
    shapes = gpd.GeoDataFrame({"cell_id": [owner[one] for one in cells.index]}, geometry=cells.to_numpy())
    shapes.index = shapes["cell_id"].to_numpy() if key == "cell_id" else cells.index.to_numpy()
    shapes = valid_outlines(shapes, where=file)
    return ShapesModel.parse(shapes, transformations={space: Identity()})


def _counts(path: Path, outlined: set[str]) -> ad.AnnData:
    import anndata as ad
    import pandas as pd
    from anndata.utils import make_index_unique

    file = find_file(path, "cell_feature_matrix.h5")
    matrix, barcodes, features, _ = read_h5(file)
    told = read_parquet(find_file(path, "cells.parquet"), ("cell_id", "x_centroid", "y_centroid"))
    told.index = pd.Index(told.pop("cell_id").astype(str))
    unknown = [cell for cell in barcodes if cell not in told.index or cell not in outlined]
    if unknown:
        raise DataError(
            f"{len(unknown)} of {len(barcodes)} cells of {file.name} have no row in cells.parquet or no outline: "
            f"{some(unknown)}; the files are of different runs"
        )
    features.index = make_index_unique(pd.Index(features["symbol"].astype(str).to_numpy()))
    counts = ad.AnnData(matrix.astype("float32"), obs=told.loc[barcodes].copy(), var=features)
    counts.obsm["spatial"] = counts.obs[["x_centroid", "y_centroid"]].to_numpy(float)
    return counts


def _transcripts(file: Path, cells: Any, where: str) -> tuple[Any, pd.DataFrame, float]:
    """Return the transcripts, lazily, a sample of them, and the share of it that lies in its cell."""
    import dask.dataframe as dd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            held = opened.schema_arrow.names
            absent = [column for column in (*TRANSCRIPT, "cell_id") if column not in held]
            if absent:
                raise DataError(f"{file.name} has no columns {absent}; it has {some(held, limit=12)}")
            columns = [*TRANSCRIPT, "cell_id", *(name for name in KEPT if name in held)]
            sample = opened.read_row_group(0, columns=columns).to_pandas() if opened.num_row_groups else None
        lazy = dd.read_parquet(file, columns=columns, split_row_groups="adaptive")
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.name} is not a readable Parquet file ({error}); it may be truncated") from error
    if sample is None or sample.empty:
        raise DataError(f"{file.name} has no transcripts")
    features = _features(file)
    tidy = _tidy(sample, features)
    looked = tidy.rename(columns={"cell_id": "cell"})
    share = check_on_cells(looked, cells, where=where)
    return lazy.map_partitions(_tidy, features, meta=tidy.iloc[:0]), looked, share


def _features(file: Path) -> list[str]:
    """Return the features that occur, from their column alone, a group of rows at a time."""
    import pyarrow.parquet as pq

    found: set[Any] = set()
    with pq.ParquetFile(file) as opened:
        for group in range(opened.num_row_groups):
            found.update(opened.read_row_group(group, columns=["feature_name"]).column(0).unique().to_pylist())
    return sorted(one.decode() if isinstance(one, bytes) else str(one) for one in found)


def _tidy(frame: Any, features: list[str]) -> Any:
    import pandas as pd

    frame = frame.rename(columns=TRANSCRIPT)
    for name in ("feature_name", "cell_id"):
        if len(frame) and isinstance(frame[name].iloc[0], bytes):
            frame[name] = frame[name].str.decode("utf-8")
        frame[name] = frame[name].astype(str).astype(object)
    frame["feature_name"] = pd.Categorical(frame["feature_name"], categories=features)
    frame["cell_id"] = frame["cell_id"].where(~frame["cell_id"].isin(NO_CELL), "")
    return frame.astype(dict.fromkeys("xyz", "float64"))


def _images(path: Path, name: str, size: float) -> dict[str, Any]:
    import dask.array as da
    import numpy as np

    files = sorted((path / "morphology_focus").glob("*.ome.tif"))
    files = files or [
        path / one for one in ("morphology_focus.ome.tif", "morphology_mip.ome.tif") if (path / one).exists()
    ]
    if not files:
        return {}
    pages = [lazy_first_page(file) for file in files]
    if len({page.shape for page in pages}) > 1:
        raise DataError(f"the morphology images of {path.name} differ in shape: {[page.shape for page in pages]}")
    channels = [file.name.partition(".")[0] for file in files]
    matrix = np.diag([size, size, 1.0])
    return {f"{name}_morphology_image": place_image(da.stack(pages), channels, name, matrix)}


def _masks(file: Path, name: str, sample: pd.DataFrame, table: ad.AnnData) -> tuple[dict[str, Any], float]:
    """Return the masks as labels, and the share of the sample on its label; the table is told the labels of cells."""
    import pandas as pd
    from spatialdata.models import Labels2DModel
    from spatialdata.transformations import Affine

    to_um, cells = mask_matrix(file), mask_cells(file)
    planes = {kind: lazy_mask(file, kind) for kind in MASKS}
    share = check_on_labels(sample, planes["cells"], to_um, cells)
    label = pd.Series(range(1, len(cells) + 1), index=cells)
    unknown = [cell for cell in table.obs_names if cell not in label.index]
    if unknown:
        raise DataError(f"{len(unknown)} cells of the matrix have no label in {file.name}: {some(unknown)}")
    table.obs["cell_label"] = label.loc[table.obs_names].to_numpy()
    placed = {name: Affine(to_um, input_axes=("x", "y"), output_axes=("x", "y"))}
    made = {
        f"{name}_{kind}_labels": Labels2DModel.parse(plane, dims=("y", "x"), transformations=dict(placed))
        for kind, plane in planes.items()
    }
    return made, share
