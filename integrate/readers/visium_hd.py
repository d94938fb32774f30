"""Visium HD: the bins of one size as squares with counts, and tissue pictures, in full-resolution pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, SourceNotFoundError, some
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.readers.base import Reader
from integrate.readers.cell_parts import element_notes, read_parquet
from integrate.readers.visium import COLUMNS, place_picture, read_counts

if TYPE_CHECKING:
    import pandas as pd
    import spatialdata as sd

__all__ = ["VisiumHD"]

#: A bin may lie this far from the grid that fits all (in bins); the vendor's grid is exact but for rounding.
OFF_GRID = 0.05


class VisiumHD(Reader):
    """Read the bins of one size of a Visium HD output (Space Ranger 3 and later) as one SpatialData.

    Parameters
    ----------
    name
        Beginning of every element's name, and name of the coordinate system.
    bin_um
        Edge of the bins to read: 2, 8 or 16 µm, as the output has them.

    Returns
    -------
    SpatialData with ``<name>_bins`` (a square per bin, turned as the slide lay, index ``instance_id``),
    ``<name>_table`` (counts as read, every feature type kept; ``obs`` has ``array_row``, ``array_col`` and
    ``in_tissue``) and ``<name>_hires_image`` and ``<name>_lowres_image`` where they are there, lazy. All lie in the
    coordinate system ``<name>``: pixels of the full-resolution picture, whose edge in micrometres is in
    ``attrs["integrate"][element]["pixel_size_um"]``.

    Raises
    ------
    SourceNotFoundError
        If the output, its matrix, positions or scale factors are absent.
    ParameterError
        If it has no bins of that size.
    DataError
        If a part is damaged, a bin of the matrix has no position, or positions are not on a regular grid.

    Examples
    --------
    >>> import h5py, json, pandas as pd
    >>> bins = tmp_path / "binned_outputs" / "square_008um"
    >>> (bins / "spatial").mkdir(parents=True)
    >>> names = [f"s_008um_{row:05d}_{column:05d}-1" for row in range(2) for column in range(3)]
    >>> with h5py.File(bins / "filtered_feature_bc_matrix.h5", "w") as store:
    ...     store["matrix/data"], store["matrix/indices"], store["matrix/indptr"] = range(6), [0] * 6, range(7)
    ...     store["matrix/shape"], store["matrix/barcodes"] = [1, 6], names
    ...     store["matrix/features/id"], store["matrix/features/name"] = ["ENSG1"], ["EGFR"]
    ...     store["matrix/features/feature_type"] = ["Gene Expression"]
    >>> places = {"array_row": [0, 0, 0, 1, 1, 1], "array_col": [0, 1, 2] * 2}
    >>> places |= {"pxl_row_in_fullres": [8.0] * 3 + [24.0] * 3, "pxl_col_in_fullres": [8.0, 24.0, 40.0] * 2}
    >>> table = pd.DataFrame({"barcode": names, "in_tissue": 1, **places})
    >>> table.to_parquet(bins / "spatial" / "tissue_positions.parquet")
    >>> scales = {"spot_diameter_fullres": 16, "bin_size_um": 8, "microns_per_pixel": 0.5}
    >>> _ = (bins / "spatial" / "scalefactors_json.json").write_text(json.dumps(scales))
    >>> data = VisiumHD(url=tmp_path, bin_um=8).read()
    >>> data["visium_hd_bins"].area.round(6).unique().tolist(), data["visium_hd_table"].X.sum().item()
    ([256.0], 15.0)
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(self, path: Path, *, name: str = "visium_hd", bin_um: int = 8) -> sd.SpatialData:
        import spatialdata as sd

        folder = _bins(path, bin_um)
        scales = _scales(folder, bin_um)
        counts, software = read_counts(folder)
        positions = read_parquet(_there(folder / "spatial" / "tissue_positions.parquet"), COLUMNS).set_index("barcode")
        unplaced = [one for one in counts.obs_names if one not in positions.index]
        if unplaced:
            raise DataError(f"{len(unplaced)} of {counts.n_obs} bins have no position: {some(unplaced)}")
        positions = positions.loc[counts.obs_names]
        elements = {f"{name}_bins": _squares(positions, name, folder.name)}
        elements[f"{name}_table"] = _table(counts, positions, f"{name}_bins")
        for size in ("hires", "lowres"):
            pictures = [one / "spatial" / f"tissue_{size}_image.png" for one in (folder, path)]
            if found := next((one for one in pictures if one.exists()), None):
                elements[f"{name}_{size}_image"] = place_picture(found, scales.get(f"tissue_{size}_scalef"), name)
        edge = scales["microns_per_pixel"]
        notes = element_notes(elements, unit="px", pixel_size_um=[edge, edge], bin_um=bin_um, software=software)
        return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes})


def _bins(path: Path, bin_um: int) -> Path:
    base = path / "binned_outputs" if (path / "binned_outputs").is_dir() else path
    found = sorted(one.name for one in base.glob("square_*um") if one.is_dir())
    if not found:
        raise SourceNotFoundError(f"no binned_outputs/square_…um in {path.name!r}; it is no Visium HD output")
    wanted = f"square_{bin_um:03d}um"
    if wanted not in found:
        raise ParameterError(f"{path.name} has no bins of {bin_um} µm; it has {some(found)}")
    return base / wanted


def _there(file: Path) -> Path:
    if not file.exists():
        raise SourceNotFoundError(
            f"no {file.name} in {file.parent.parent.name}/{file.parent.name}; the output is not complete"
        )
    return file


def _scales(folder: Path, bin_um: int) -> dict[str, float]:
    file = _there(folder / "spatial" / "scalefactors_json.json")
    try:
        scales = {str(key): float(value) for key, value in json.loads(file.read_bytes()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{file.name} is not a readable table of scale factors ({error})") from error
    if not scales.get("microns_per_pixel", 0) > 0 or scales.get("bin_size_um") != bin_um:
        raise DataError(
            f"{file.name} of {folder.name} holds {scales}; expected microns_per_pixel and bin_size_um {bin_um}"
        )
    return scales


def _squares(positions: pd.DataFrame, space: str, where: str) -> Any:
    """Return a square per bin, by the grid (turned and scaled) on which all bins lie."""
    import geopandas as gpd
    import numpy as np
    import pandas as pd
    import shapely
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    columns, rows = positions["array_col"].to_numpy(float), positions["array_row"].to_numpy(float)
    centres = positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
    grid = np.column_stack([columns, rows, np.ones(len(rows))])
    fitted, *_ = np.linalg.lstsq(grid, centres, rcond=None)
    edge = float(np.sqrt(abs(np.linalg.det(fitted[:2])))) if len(rows) > 3 else 0.0
    off = float(np.abs(grid @ fitted - centres).max()) if len(rows) else 0.0
    if not edge > 0 or off > OFF_GRID * edge:
        raise DataError(f"the bins of {where} lie up to {off:.2f} pixels off a regular grid with an edge of {edge:.2f}")
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) @ fitted[:2]
    squares = gpd.GeoDataFrame(geometry=shapely.polygons(centres[:, None, :] + corners[None]))
    squares.index = pd.Index(np.arange(len(squares)), name=INSTANCE_ID)
    return ShapesModel.parse(squares, transformations={space: Identity()})


def _table(counts: Any, positions: pd.DataFrame, region: str) -> Any:
    import numpy as np
    import pandas as pd
    from spatialdata.models import TableModel

    obs = positions[["in_tissue", "array_row", "array_col"]].astype(int)
    obs.index = counts.obs_names
    obs[INSTANCE_ID] = np.arange(len(obs))
    obs["region"] = pd.Categorical([region] * len(obs))
    counts.obs = obs
    counts.obsm["spatial"] = positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
    return TableModel.parse(counts, region=region, region_key="region", instance_key=INSTANCE_ID)
