"""A Stereo-seq output in the documented layout (SAW 8, GEF 4), drawn from cells planted on a chip."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import tifffile

#: Where the matrix begins on the chip, in spots (x, y), and its spots along y and x.
ORIGIN = (3000, 7000)
SHAPE = (120, 200)
GENES = [("ENSG1", "CD3E"), ("ENSG2", "MS4A1"), ("ENSG3", "ACTB")]
#: Boxes of cells in spots (top, left, bottom, right): no symmetry, so that a flip or a swap of axes shows.
CELLS = {7: (10, 20, 40, 60), 9: (50, 100, 70, 190), 12: (90, 5, 118, 50)}


def picture() -> np.ndarray:
    """Return a plane with the number of the cell times 20."""
    made = np.zeros(SHAPE, np.uint8)
    for number, (top, left, bottom, right) in enumerate(CELLS.values(), start=1):
        made[top:bottom, left:right] = 20 * number
    return made


def spots() -> pd.DataFrame:
    """Return counts of single spots: one gene of its own in each cell, one everywhere, one count a spot or two."""
    rng, rows = np.random.default_rng(0), []
    for number, (top, left, bottom, right) in enumerate(CELLS.values()):
        for gene in {number, 2}:
            places = {(int(rng.integers(left, right)), int(rng.integers(top, bottom))) for _ in range(80)}
            rows += [(gene, x, y, int(rng.integers(1, 3))) for x, y in sorted(places)]
    rows += [(2, 0, 0, 1), (2, SHAPE[1] - 1, SHAPE[0] - 1, 1)]  # the corners, so that the extent is the chip's
    return (
        pd.DataFrame(rows, columns=["gene", "x", "y", "count"])
        .drop_duplicates(["gene", "x", "y"])
        .sort_values(["gene", "y", "x"], ignore_index=True)
    )


def cell_of(held: pd.DataFrame) -> np.ndarray:
    """Return the number of the cell under every spot, -1 for none."""
    under = picture()[held["y"], held["x"]].astype(int) // 20
    return under - 1


def write_bin_gef(file: Path, sizes: tuple[int, ...] = (1, 50), *, version: int = 4) -> None:
    with h5py.File(file, "w") as store:
        store.attrs["version"] = np.array([version], "u4")
        for size in sizes:
            held = spots().assign(x=lambda one: one["x"] // size * size, y=lambda one: one["y"] // size * size)  # noqa: B023
            held = held.groupby(["gene", "y", "x"], as_index=False)["count"].sum()
            group = store.create_group(f"geneExp/bin{size}")
            kind = [("x", "<i4"), ("y", "<i4"), ("count", "u1")]
            rows = np.array([tuple(row) for row in held[["x", "y", "count"]].to_numpy()], kind)
            group.create_dataset("expression", data=rows)
            told = {"minX": ORIGIN[0], "minY": ORIGIN[1], "resolution": 500, "maxExp": int(held["count"].max())}
            told |= {"maxX": ORIGIN[0] + SHAPE[1] - 1, "maxY": ORIGIN[1] + SHAPE[0] - 1}
            for name, value in told.items():
                group["expression"].attrs[name] = np.array([value], "i4")
            counts = held.groupby("gene").size().to_numpy()
            starts = np.cumsum(counts) - counts
            group.create_dataset("gene", data=gene_rows(version, offset=starts, count=counts))


def gene_rows(version: int, **columns: Any) -> np.ndarray:
    """Return the table of genes; version 4 has ids beside names."""
    names = [("geneID", "S64"), ("geneName", "S64")] if version >= 4 else [("gene", "S64")]
    kind = [*names, *((name, "<u4") for name in columns)]
    rows = [
        (*((i, n) if version >= 4 else (n,)), *values)
        for (i, n), values in zip(GENES, zip(*columns.values(), strict=True), strict=True)
    ]
    return np.array([tuple(one.encode() if isinstance(one, str) else one for one in row) for row in rows], kind)


def write_cell_gef(file: Path, *, shift: int = 0) -> None:
    """Write cells, whose border counts from their centre and is padded by the largest number."""
    held = spots().assign(cell=lambda one: cell_of(one))
    held = held[held["cell"] >= 0].groupby(["cell", "gene"], as_index=False)["count"].sum()
    border = np.full((len(CELLS), 32, 2), np.iinfo(np.int16).max, "<i2")
    rows, start = [], 0
    for number, (cell, (top, left, bottom, right)) in enumerate(CELLS.items()):
        x, y = (left + right) // 2, (top + bottom) // 2
        box = [(left, top), (right - 1, top), (right - 1, bottom - 1), (left, bottom - 1)]
        border[number, :4] = np.array(box) - (x, y)
        of_cell = held[held["cell"] == number]
        rows.append(
            (cell, x + shift, y, start, len(of_cell), of_cell["count"].sum(), 50, (right - left) * (bottom - top))
        )
        start += len(of_cell)
    kind = [("id", "<u4"), ("x", "<i4"), ("y", "<i4"), ("offset", "<u4")]
    kind += [(name, "<u2") for name in ("geneCount", "expCount", "dnbCount", "area")]
    with h5py.File(file, "w") as store:
        told = {"version": 2, "resolution": 500, "offsetX": ORIGIN[0], "offsetY": ORIGIN[1]}
        for name, value in told.items():
            store.attrs[name] = np.array([value], "i4")
        group = store.create_group("cellBin")
        group.create_dataset("cell", data=np.array(rows, kind))
        group.create_dataset("cellBorder", data=border)
        expressed = [tuple(row) for row in held[["gene", "count"]].to_numpy()]
        group.create_dataset("cellExp", data=np.array(expressed, [("geneID", "<u4"), ("count", "<u2")]))
        group.create_dataset("gene", data=gene_rows(4, offset=[0, 0, 0], cellCount=[1, 1, 3]))


def write_gem(file: Path) -> None:
    held = spots()
    lines = ["#FileFormat=GEMv0.2", "#BinType=Bin", "#BinSize=1", f"#OffsetX={ORIGIN[0]}", f"#OffsetY={ORIGIN[1]}"]
    lines.append("geneID\tgeneName\tx\ty\tMIDCount\tExonCount")
    lines += [
        f"{GENES[gene][0]}\t{GENES[gene][1]}\t{x}\t{y}\t{n}\t{n}" for gene, x, y, n in held.itertuples(index=False)
    ]
    with gzip.open(file, "wt") as stream:
        stream.write("\n".join(lines) + "\n")


def write_stereoseq(folder: Path, **options: Any) -> str:
    (folder / "feature_expression").mkdir(parents=True)
    (folder / "image").mkdir()
    write_bin_gef(folder / "feature_expression" / "SS1.tissue.gef", **options)
    write_cell_gef(folder / "feature_expression" / "SS1.cellbin.gef")
    tifffile.imwrite(folder / "image" / "SS1_ssDNA_regist.tif", picture(), tile=(64, 64), compression="deflate")
    return str(folder)
