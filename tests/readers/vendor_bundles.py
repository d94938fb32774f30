"""Small bundles in the documented layout of vendors of spatial omics, drawn from one planted tissue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import h5py
import numpy as np
import pandas as pd
import shapely
import tifffile
import zarr
from scipy.sparse import csc_matrix
from zarr.storage import ZipStore

SHAPE = (120, 200)
PIXEL_UM = 0.2125
GENES = ["CD3E", "MS4A1", "NegControl_1"]
#: Boxes of cells in pixels (top, left, bottom, right): no symmetry, so that a flip or a swap of axes shows.
CELLS = {"aaaa-1": (10, 20, 40, 60), "aaab-1": (50, 100, 70, 190), "aaac-1": (90, 5, 118, 50)}


def picture() -> np.ndarray:
    """Return pixels: 0 outside, the number of the cell times 100 inside."""
    made = np.zeros(SHAPE, np.uint16)
    for number, (top, left, bottom, right) in enumerate(CELLS.values(), start=1):
        made[top:bottom, left:right] = number * 100
    return made


def transcripts(count: int = 60) -> pd.DataFrame:
    """Return transcripts in pixels, in every cell and a few outside."""
    rng, rows = np.random.default_rng(0), []
    for number, (cell, (top, left, bottom, right)) in enumerate(CELLS.items()):
        rows += [(rng.uniform(left, right), rng.uniform(top, bottom), GENES[number], cell) for _ in range(count)]
    rows += [(rng.uniform(65, 95), rng.uniform(0, 45), GENES[0], "") for _ in range(10)]
    return pd.DataFrame(rows, columns=["x", "y", "gene", "cell"])


def box(cell: str, scale: float = 1.0) -> Any:
    top, left, bottom, right = (edge * scale for edge in CELLS[cell])
    return shapely.box(left, top, right, bottom)


def write_matrix(file: Path, barcodes: list[str], kinds: list[str], counts: np.ndarray) -> None:
    """Write features × barcodes as Cell Ranger does."""
    stored = csc_matrix(counts.T.astype(np.int32))
    text = h5py.string_dtype()
    with h5py.File(file, "w") as store:
        group = store.create_group("matrix")
        group.create_dataset("barcodes", data=barcodes, dtype=text)
        for name in ("data", "indices", "indptr"):
            group.create_dataset(name, data=getattr(stored, name))
        group.create_dataset("shape", data=stored.shape)
        features = group.create_group("features")
        names = {"id": [f"ENSG{i}" for i in range(len(kinds))], "name": GENES[: len(kinds)], "feature_type": kinds}
        for name, values in {**names, "genome": ["GRCh38"] * len(kinds)}.items():
            features.create_dataset(name, data=values, dtype=text)


def write_xenium(folder: Path) -> str:
    folder.mkdir(parents=True)
    told = {"pixel_size": PIXEL_UM, "analysis_sw_version": "xenium-3.0.0.15", "panel_name": "toy"}
    (folder / "experiment.xenium").write_text(json.dumps(told))
    boxes = {cell: shapely.get_coordinates(box(cell, PIXEL_UM)) for cell in CELLS}
    corners = pd.concat(
        [pd.DataFrame({"cell_id": cell, "vertex_x": xy[:, 0], "vertex_y": xy[:, 1]}) for cell, xy in boxes.items()]
    )
    corners.to_parquet(folder / "cell_boundaries.parquet")
    corners.assign(label_id=corners["cell_id"].map({cell: i for i, cell in enumerate(CELLS, start=1)})).to_parquet(
        folder / "nucleus_boundaries.parquet"
    )
    centres = [(box(cell, PIXEL_UM).centroid.x, box(cell, PIXEL_UM).centroid.y) for cell in CELLS]
    cells = pd.DataFrame(centres, columns=["x_centroid", "y_centroid"])
    cells.assign(cell_id=list(CELLS), transcript_counts=60).to_parquet(folder / "cells.parquet")
    seen = transcripts()
    placed = {"x_location": seen["x"] * PIXEL_UM, "y_location": seen["y"] * PIXEL_UM, "z_location": 15.0, "qv": 30.0}
    pd.DataFrame({**placed, "feature_name": seen["gene"], "cell_id": seen["cell"].replace("", "UNASSIGNED")}).astype(
        dict.fromkeys(("x_location", "y_location", "z_location", "qv"), "float32")
    ).to_parquet(folder / "transcripts.parquet")
    kinds = ["Gene Expression", "Gene Expression", "Negative Control Probe"]
    write_matrix(folder / "cell_feature_matrix.h5", list(CELLS), kinds, np.diag([60, 60, 60]))
    (folder / "morphology_focus").mkdir()
    names = ["morphology_focus_0000.ome.tif", "morphology_focus_0001.ome.tif"]
    for number, name in enumerate(names):
        with tifffile.TiffWriter(folder / "morphology_focus" / name, ome=True) as tiff:
            options = {"tile": (64, 64), "compression": "deflate"}
            tiff.write(picture() + number, subifds=1, metadata={"axes": "YX"}, **options)
            tiff.write(picture()[::2, ::2], subfiletype=1, metadata=None, **options)
    return str(folder)


def write_xenium_masks(folder: Path, *, shift: int = 0) -> None:
    """Write the store of masks beside the bundle: cells as they are, nuclei two pixels smaller, in another order."""
    order = list(reversed(CELLS))
    ids = [[int("".join(f"{ord(one) - 97:x}" for one in cell[:4].rjust(8, "a")), 16), 1] for cell in order]
    masks = np.zeros((2, *SHAPE), "u4")
    for label, cell in enumerate(order, start=1):
        top, left, bottom, right = CELLS[cell]
        masks[0, top + 2 : bottom - 2, left + 2 : right - 2] = label
        masks[1, top:bottom, left:right] = label
    with ZipStore(folder / "cells.zarr.zip", mode="w") as store:
        root = zarr.open_group(store, mode="w", zarr_format=2)
        root.create_array("cell_id", data=np.array(ids, "u4"))
        for number, mask in enumerate(np.roll(masks, shift, axis=2)):
            root.create_array(f"masks/{number}", data=mask, chunks=(64, 64))
        to_pixel = np.diag([1 / PIXEL_UM, 1 / PIXEL_UM, 1, 1])
        root.create_array("masks/homogeneous_transform", data=to_pixel.astype("f4"))


#: Micrometres to pixels of the mosaic, as the vendor writes it: a scale and an offset.
TO_PIXEL = np.array([[9.25, 0, -1000.0], [0, 9.25, 2000.0], [0, 0, 1]])


def to_um(x: Any, y: Any) -> np.ndarray:
    return np.linalg.solve(TO_PIXEL, np.stack([np.asarray(x, float), np.asarray(y, float), np.ones(np.shape(x))]))[:2]


def write_merscope(folder: Path, *, with_cells: bool = True) -> str:
    (folder / "images").mkdir(parents=True)
    np.savetxt(folder / "images" / "micron_to_mosaic_pixel_transform.csv", TO_PIXEL)
    for stain in ("PolyT", "DAPI"):
        for z in (0, 3):
            tifffile.imwrite(folder / "images" / f"mosaic_{stain}_z{z}.tif", picture() + (stain == "DAPI") + z)
    ids = {cell: f"10{number}" for number, cell in enumerate(CELLS)}
    rows = []
    for cell in CELLS:
        corners = shapely.get_coordinates(box(cell))
        outline = shapely.Polygon(to_um(corners[:, 0], corners[:, 1]).T)
        rows += [
            {"EntityID": int(ids[cell]), "ZIndex": z, "Geometry": shapely.MultiPolygon([outline])} for z in range(7)
        ]
    gpd.GeoDataFrame(rows, geometry="Geometry").to_parquet(folder / "cell_boundaries.parquet")
    seen = transcripts()
    x, y = to_um(seen["x"], seen["y"])
    held = {"barcode_id": 1, "global_x": x, "global_y": y, "global_z": 3.0, "gene": seen["gene"]}
    if with_cells:
        held["cell_id"] = seen["cell"].map({**ids, "": "-1"})
    pd.DataFrame(held).to_csv(folder / "detected_transcripts.csv")
    genes = {"CD3E": [60, 0, 0], "MS4A1": [0, 60, 0], "Blank-1": [0, 0, 60]}
    pd.DataFrame({"cell": list(ids.values()), **genes}).to_csv(folder / "cell_by_gene.csv", index=False)
    centre = [to_um(box(cell).centroid.x, box(cell).centroid.y) for cell in CELLS]
    told = {"EntityID": list(ids.values()), "center_x": [c[0] for c in centre], "center_y": [c[1] for c in centre]}
    pd.DataFrame({**told, "volume": 5.0}).to_csv(folder / "cell_metadata.csv", index=False)
    return str(folder)


def write_visium_hd(folder: Path, *, bin_um: int = 8, microns_per_pixel: float = 0.5, angle: float = 0.1) -> str:
    """A grid of 6 × 5 bins, turned, with two bins outside the tissue left out of the matrix."""
    place = folder / "binned_outputs" / f"square_{bin_um:03d}um"
    (place / "spatial").mkdir(parents=True)
    rows, columns = (one.ravel() for one in np.mgrid[0:6, 0:5])
    edge = bin_um / microns_per_pixel
    turn = edge * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    x, y = turn @ np.stack([columns + 0.5, rows + 0.5]) + np.array([[40.0], [20.0]])
    names = [f"s_{bin_um:03d}um_{row:05d}_{column:05d}-1" for row, column in zip(rows, columns, strict=True)]
    kept = np.arange(len(names)) >= 2
    pd.DataFrame(
        {
            "barcode": names,
            "in_tissue": kept.astype(int),
            "array_row": rows,
            "array_col": columns,
            "pxl_row_in_fullres": y,
            "pxl_col_in_fullres": x,
        }
    ).to_parquet(place / "spatial" / "tissue_positions.parquet")
    scales = {"spot_diameter_fullres": edge, "bin_size_um": float(bin_um), "microns_per_pixel": microns_per_pixel}
    scales |= {"tissue_hires_scalef": 0.25, "tissue_lowres_scalef": 0.1, "regist_target_img_scalef": 0.25}
    (place / "spatial" / "scalefactors_json.json").write_text(json.dumps(scales))
    from PIL import Image

    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(place / "spatial" / "tissue_hires_image.png")
    counts = np.arange(2 * len(names)).reshape(-1, 2)[kept]
    listed = [name for name, keep in zip(names, kept, strict=True) if keep]
    write_matrix(place / "filtered_feature_bc_matrix.h5", listed, ["Gene Expression"] * 2, counts)
    return str(folder)
