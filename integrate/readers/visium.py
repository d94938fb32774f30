"""Visium: a Space Ranger ``outs`` folder as spots, counts and tissue pictures in full-resolution pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, SourceNotFoundError, some
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import anndata as ad
    import dask.array as da
    import numpy as np
    import pandas as pd
    import spatialdata as sd

__all__ = ["Visium", "lazy_picture", "place_picture", "read_counts", "read_h5", "read_mtx"]

MATRIX = "filtered_feature_bc_matrix"
#: Spot table of Space Ranger 2 and later (with a header), and of Space Ranger 1 (without).
POSITIONS = ("tissue_positions.csv", "tissue_positions_list.csv")
COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")


class Visium(Reader):
    r"""Read the filtered output of Space Ranger as one SpatialData.

    Parameters
    ----------
    name
        Beginning of every element's name, and name of the coordinate system.

    Returns
    -------
    SpatialData with

    - ``<name>_spots``: a circle per spot, index ``instance_id`` (0, 1, … in the order of the matrix);
    - ``<name>_table``: AnnData spots × features, counts as read, every feature type kept. ``obs_names`` are barcodes;
      ``var_names`` are symbols, made unique by ``-1``, ``-2`` …; ``var`` has ``symbol``, ``feature_id``,
      ``feature_type`` and, where the file has it, ``genome``;
    - ``<name>_hires_image`` and ``<name>_lowres_image`` where the pictures are there, lazy.

    All lie in the coordinate system ``<name>``: pixels of the full-resolution picture. Space Ranger does not state
    their size, so none is invented. ``attrs["integrate"]`` holds the notes of each element.

    Raises
    ------
    SourceNotFoundError
        If the matrix, the spot positions or the scale factors are absent.
    DataError
        If one of them is damaged, or a spot of the matrix has no position.

    Notes
    -----
    `spatialdata_io.visium` (0.7.1) gives the same spots, counts and placement; it is not used because it drops antibody
    features, places spots that the position table lacks at NaN, renames repeated barcodes without a word, and
    fails with library errors on incomplete folders.

    Examples
    --------
    >>> import h5py, json
    >>> (tmp_path / "spatial").mkdir()
    >>> with h5py.File(tmp_path / "filtered_feature_bc_matrix.h5", "w") as store:
    ...     store["matrix/data"], store["matrix/indices"], store["matrix/indptr"] = [7, 2], [0, 0], [0, 1, 2]
    ...     store["matrix/shape"], store["matrix/barcodes"] = [1, 2], ["AAC-1", "AAG-1"]
    ...     store["matrix/features/id"], store["matrix/features/name"] = ["ENSG1"], ["EGFR"]
    ...     store["matrix/features/feature_type"] = ["Gene Expression"]
    >>> header = "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres\n"
    >>> places = header + "AAC-1,1,0,0,50,60\nAAG-1,1,0,2,50,90\n"
    >>> _ = (tmp_path / "spatial" / "tissue_positions.csv").write_text(places)
    >>> _ = (tmp_path / "spatial" / "scalefactors_json.json").write_text(json.dumps({"spot_diameter_fullres": 8}))
    >>> data = Visium(url=tmp_path).read()
    >>> data["visium_spots"].geometry.x.tolist(), data["visium_table"].to_df()["EGFR"].tolist()
    ([60.0, 90.0], [7.0, 2.0])
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(self, path: Path, *, name: str = "visium") -> sd.SpatialData:
        import spatialdata as sd

        scales = _read_scales(path)
        counts, software = read_counts(path)
        positions = _read_positions(path).reindex(counts.obs_names)
        unplaced = positions.index[positions.isna().any(axis=1)]
        if len(unplaced):
            raise DataError(
                f"{len(unplaced)} of {counts.n_obs} spots have no position: {some(unplaced)}; another slide's?"
            )
        spots = _spots(positions, scales["spot_diameter_fullres"], name)
        elements = {f"{name}_spots": spots, f"{name}_table": _table(counts, positions, f"{name}_spots")}
        for size in ("hires", "lowres"):
            picture = path / "spatial" / f"tissue_{size}_image.png"
            if picture.exists():
                elements[f"{name}_{size}_image"] = place_picture(picture, scales.get(f"tissue_{size}_scalef"), name)
        renamed = int((counts.var_names != counts.var["symbol"]).sum())
        notes = {
            "unit": "px",
            "coordinate_system": self.metadata.get("coordinate_system", {}),
            "spot_diameter_px": scales["spot_diameter_fullres"],
            "renamed_features": renamed,
            "software": software,
        }
        return sd.SpatialData.init_from_elements(
            elements, attrs={ATTRS: {element: dict(notes) for element in elements}}
        )


def _read_scales(outs: Path) -> dict[str, float]:
    file = outs / "spatial" / "scalefactors_json.json"
    _check_there(file, outs)
    try:
        scales = {str(key): float(value) for key, value in json.loads(file.read_bytes()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{file.name} is not a readable table of scale factors ({error})") from error
    wrong = {key: value for key, value in scales.items() if not 0 < value < float("inf")}
    if "spot_diameter_fullres" not in scales or wrong:
        raise DataError(f"{file.name} holds {scales}; expected positive numbers, among them spot_diameter_fullres")
    return scales


def _read_positions(outs: Path) -> pd.DataFrame:
    """Return the spot table, index barcode; the older form has no header."""
    import pandas as pd

    found = [outs / "spatial" / name for name in POSITIONS if (outs / "spatial" / name).exists()]
    if not found:
        raise SourceNotFoundError(f"no {some(POSITIONS)} in {outs.name}/spatial; it says where the spots are")
    file = found[0]
    try:
        with file.open(encoding="utf-8") as stream:
            headed = "barcode" in stream.readline(1000)
        names = None if headed else list(COLUMNS)
        table = pd.read_csv(
            file, header=0 if headed else None, names=names, dtype={"barcode": str}, float_precision="round_trip"
        )
        places = table[list(COLUMNS[1:])].apply(pd.to_numeric).set_index(pd.Index(table["barcode"]))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, LookupError, ValueError, TypeError) as error:
        raise DataError(f"{file.name} is not a readable table of spots ({error})") from error
    if places.empty:
        raise DataError(f"{file.name} is not a readable table of spots (it has no rows)")
    repeated = places.index[places.index.duplicated()]
    if len(repeated):
        raise DataError(f"{file.name} places {len(repeated)} barcodes twice: {some(repeated)}; keep one row of each")
    return places


def read_counts(outs: Path) -> tuple[ad.AnnData, str]:
    """Return the filtered matrix, spots × features, and the software that wrote it."""
    import anndata as ad
    import pandas as pd
    from anndata.utils import make_index_unique

    file, folder = outs / f"{MATRIX}.h5", outs / MATRIX
    if not file.exists() and not folder.is_dir():
        raise SourceNotFoundError(f"no {MATRIX}.h5 and no {MATRIX} folder in {outs.name!r}; they hold the counts")
    matrix, barcodes, features, software = read_h5(file) if file.exists() else read_mtx(folder)
    if matrix.shape != (len(barcodes), len(features)):
        raise DataError(f"the matrix has shape {matrix.shape} for {len(barcodes)} spots and {len(features)} features")
    repeated = pd.Index(barcodes)[pd.Index(barcodes).duplicated()]
    if len(repeated):
        raise DataError(f"{len(repeated)} barcodes repeat in the matrix: {some(repeated)}; every spot needs its own")
    features.index = make_index_unique(pd.Index(features["symbol"].astype(str).to_numpy()))
    return ad.AnnData(matrix.astype("float32"), obs=pd.DataFrame(index=barcodes), var=features), software


def read_h5(file: Path) -> tuple[Any, list[str], pd.DataFrame, str]:
    """Return counts (barcodes × features), barcodes, features and software of a 10x HDF5 matrix."""
    import h5py
    import pandas as pd
    from scipy.sparse import csr_matrix

    try:
        with h5py.File(file) as store:
            group = store["matrix"]
            barcodes = group["barcodes"].asstr()[:].tolist()
            listed = {"name": "symbol", "id": "feature_id", "feature_type": "feature_type", "genome": "genome"}
            held = group["features"]
            features = pd.DataFrame({new: held[old].asstr()[:] for old, new in listed.items() if old in held})
            parts = (group["data"][:], group["indices"][:], group["indptr"][:])
            # the file holds features × barcodes by columns, which is barcodes × features by rows
            matrix = csr_matrix(parts, shape=tuple(group["shape"][:])[::-1])
            software = store.attrs.get("software_version", "")
            return matrix, barcodes, features, software.decode() if isinstance(software, bytes) else str(software)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file.name} is not a readable feature-barcode matrix ({error}); it may be truncated"
        ) from error


def read_mtx(folder: Path) -> tuple[Any, list[str], pd.DataFrame, str]:
    """Return counts (barcodes × features), barcodes, features and ``""`` of a 10x matrix folder."""
    import gzip
    import zlib

    import pandas as pd
    from scipy.io import mmread

    files = {name: folder / f"{name}.gz" for name in ("matrix.mtx", "barcodes.tsv", "features.tsv")}
    for file in files.values():
        _check_there(file, folder)
    try:
        with gzip.open(files["matrix.mtx"], "rb") as stream:
            matrix = mmread(stream).T.tocsr()
        barcodes = pd.read_csv(files["barcodes.tsv"], header=None, sep="\t", dtype=str)[0].tolist()
        features = pd.read_csv(files["features.tsv"], header=None, sep="\t", dtype=str)
        features.columns = pd.Index(["feature_id", "symbol", "feature_type"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, pd.errors.ParserError) as error:
        raise DataError(f"folder {folder.name!r} holds no readable matrix ({error}); it may be truncated") from error
    return matrix, barcodes, features[["symbol", "feature_id", "feature_type"]], ""


def _check_there(file: Path, folder: Path) -> None:
    if not file.exists():
        hint = f"is it {folder.name}/outs?" if (folder / "outs").is_dir() else "the Space Ranger output is not complete"
        raise SourceNotFoundError(f"no {file.name} in {folder.name!r}; {hint}")


def _spots(positions: pd.DataFrame, diameter_px: float, name: str) -> Any:
    import numpy as np
    import pandas as pd
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    centres = positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
    spots = ShapesModel.parse(centres, geometry=0, radius=diameter_px / 2, transformations={name: Identity()})
    spots.index = pd.Index(np.arange(len(spots)), name=INSTANCE_ID)
    return spots


def _table(counts: ad.AnnData, positions: pd.DataFrame, region: str) -> ad.AnnData:
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


def place_picture(picture: Path, scale: float | None, name: str) -> Any:
    """Return a reduced picture as a lazy image, placed in full-resolution pixels by its scale factor."""
    from spatialdata.models import Image2DModel
    from spatialdata.transformations import Scale

    if scale is None:
        raise DataError(f"scalefactors_json.json has no factor for {picture.name}; the picture cannot be placed")
    pixels = lazy_picture(picture)
    channels = ["red", "green", "blue"] if pixels.shape[0] == 3 else ["grey"]
    placed = {name: Scale([1 / scale, 1 / scale], axes=("y", "x"))}
    return Image2DModel.parse(pixels, dims=("c", "y", "x"), c_coords=channels, transformations=placed)


def lazy_picture(picture: Path) -> da.Array:
    """Return a PNG or JPEG as a lazy ``(c, y, x)`` array of uint8, decoded when asked."""
    import dask.array as da
    from dask.delayed import delayed
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(picture) as opened:
            columns, rows = opened.size
            grey = opened.mode in ("L", "1")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{picture.name} is not a readable picture ({error})") from error
    shape = (1 if grey else 3, rows, columns)
    plane = delayed(_decode_png, pure=True)(picture, picture.stat().st_mtime_ns, shape[0])
    return da.from_delayed(plane, shape=shape, dtype="uint8")


def _decode_png(picture: Path, changed_ns: int, channels: int) -> np.ndarray[Any, Any]:
    """Return ``(c, y, x)``; ``changed_ns`` is there for its token, so that a rewritten file is decoded again."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(picture) as opened:
            pixels = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{picture.name} cannot be decoded ({error}); the file is damaged") from error
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
