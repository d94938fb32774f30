"""GEF and GEM: what Stereo-seq counted at its spots, summed into square bins or cells."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, some

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["BinCounts", "CellCounts", "read_bins", "read_cells", "sample_spots"]

#: Pitch of spots that a file without a resolution has, in nanometres; every chip so far has it.
PITCH_NM = 500
#: What h5py and numpy raise on damaged bytes.
DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError)
#: Rows of a text read at a time.
ROWS = 5_000_000
#: Columns of counts as GEM has called them.
COUNTS = ("MIDCount", "MIDCounts", "UMICount")


@dataclass(frozen=True)
class BinCounts:
    """Counts of square bins, on the grid of a chip.

    Parameters
    ----------
    matrix
        Sparse, bins × genes.
    corners
        ``(x, y)`` of the first spot of each bin, in spots from the chip's origin.
    genes
        Columns ``symbol`` and ``gene_id``.
    origin
        ``(x, y)`` of the first spot of the matrix, in spots from the chip's origin: where registered images begin.
    extent
        Spots along ``(x, y)`` between the first and the last; ``None`` when the file does not say.
    pitch_nm
        From spot to spot.
    """

    matrix: Any
    corners: np.ndarray[Any, Any]
    genes: pd.DataFrame
    origin: tuple[int, int]
    extent: tuple[int, int] | None
    pitch_nm: float


@dataclass(frozen=True)
class CellCounts:
    """Counts of cells and their outlines.

    Parameters
    ----------
    matrix
        Sparse, cells × genes.
    cells
        One row per cell, as the file has it: ``id``, ``x``, ``y`` (in spots from `origin`), ``area`` …
    genes
        Columns ``symbol`` and ``gene_id``.
    corners
        Per cell, ``(x, y)`` of the corners of its outline in spots from `origin`.
    origin, pitch_nm
        As of `BinCounts`.
    """

    matrix: Any
    cells: pd.DataFrame
    genes: pd.DataFrame
    corners: list[np.ndarray[Any, Any]]
    origin: tuple[int, int]
    pitch_nm: float


def read_bins(file: Path, bin_size: int) -> BinCounts:
    """Return the counts of bins of `bin_size` × `bin_size` spots; they are summed from spots where the file has none.

    Raises
    ------
    DataError
        If the file is damaged, or its bins are not on a grid of that size.
    ParameterError
        If the file is binned more coarsely, or its bins do not make up such a bin.
    """
    if bin_size < 1:
        raise ParameterError(f"bins of {bin_size} spots; give a size of at least 1")
    return _gef_bins(file, bin_size) if file.suffix == ".gef" else _gem_bins(file, bin_size)


def read_cells(file: Path) -> CellCounts:
    """Return the counts and the outlines of the cells of a cell-bin GEF.

    Raises
    ------
    DataError
        If the file is damaged or holds no cells.
    """
    import h5py
    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_matrix

    try:
        with h5py.File(file) as store:
            held = store["cellBin"]
            cells = pd.DataFrame(held["cell"][:])
            genes = _genes(held["gene"][:])
            expressed, border = held["cellExp"][:], held["cellBorder"][:].astype(int)
            origin = (int(np.ravel(store.attrs["offsetX"])[0]), int(np.ravel(store.attrs["offsetY"])[0]))
            pitch = float(np.ravel(store.attrs.get("resolution", PITCH_NM))[0])
        starts = np.append(cells["offset"].to_numpy(int), len(expressed))
        if (np.diff(starts) != cells["geneCount"].to_numpy(int)).any():
            raise DataError(f"offsets and counts of genes of {file.name} do not fit each other; the file is damaged")
        if genes["gene_id"].duplicated().any():
            raise DataError(f"{file.name} lists {int(genes['gene_id'].duplicated().sum())} genes twice; it is damaged")
        shape = (len(cells), len(genes))
        matrix = csr_matrix((expressed["count"].astype("float32"), expressed["geneID"], starts), shape=shape)
    except DAMAGE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file.name} is not a readable cell-bin GEF ({error}); it may be truncated") from error
    padding = np.iinfo(np.int16).max
    centre = cells[["x", "y"]].to_numpy(int)
    corners = [at + one[(one != padding).any(axis=1)] for at, one in zip(centre, border, strict=True)]
    return CellCounts(matrix, cells, genes, corners, origin, pitch)


def sample_spots(file: Path, rows: int) -> tuple[pd.DataFrame, tuple[int, int]] | None:
    """Return single spots of whole genes (``x``, ``y``, ``gene_id``, ``count``), up to `rows`, and their origin.

    ``None`` when the file holds no single spots. Genes with most counts come first, as they say most of a place.
    """
    import h5py
    import numpy as np
    import pandas as pd

    if file.suffix != ".gef":
        return None
    try:
        with h5py.File(file) as store:
            if "geneExp" not in store or "bin1" not in store["geneExp"]:
                return None
            held = store["geneExp/bin1"]
            listed, parts = held["gene"][:], []
            ids = _genes(listed)["gene_id"].to_numpy()
            for number in np.argsort(-listed["count"].astype(int), kind="stable"):
                start, count = int(listed["offset"][number]), int(listed["count"][number])
                if count <= rows:
                    part = held["expression"][start : start + count]
                    parts.append(pd.DataFrame({**_columns(part), "gene_id": ids[number]}))
                    rows -= count
            origin = _origin(held["expression"])
    except DAMAGE as error:
        raise DataError(f"{file.name} is not a readable GEF ({error}); it may be truncated") from error
    return (pd.concat(parts, ignore_index=True), origin) if parts else None


def _gef_bins(file: Path, bin_size: int) -> BinCounts:
    import h5py
    import numpy as np

    try:
        with h5py.File(file) as store:
            groups = {int(name[3:]): group for name, group in store["geneExp"].items() if name.startswith("bin")}
            from_size = bin_size if bin_size in groups else 1
            if from_size not in groups:
                raise ParameterError(
                    f"{file.name} has bins {some(sorted(groups))}, and no bin1 to sum; give one of them"
                )
            held = groups[from_size]
            expression, listed = held["expression"], held["gene"][:]
            spots, genes, origin = expression[:], _genes(listed), _origin(expression)
            last = [int(np.ravel(expression.attrs[f"max{axis}"])[0]) for axis in "XY"]
            pitch = float(np.ravel(expression.attrs.get("resolution", PITCH_NM))[0])
        counts = listed["count"].astype(int)
        if (np.append(0, np.cumsum(counts))[:-1] != listed["offset"]).any() or counts.sum() != len(spots):
            raise DataError(f"offsets and counts of genes of {file.name} do not fit each other; the file is damaged")
        of_gene = np.repeat(np.arange(len(genes)), counts)
        x, y = spots["x"].astype(int), spots["y"].astype(int)
        if from_size > 1 and ((x % from_size).any() or (y % from_size).any()):
            raise DataError(f"bin{from_size} of {file.name} has corners that are not multiples of {from_size}")
        matrix, corners = _summed(x, y, of_gene, spots["count"], len(genes), bin_size)
    except DAMAGE as error:
        if isinstance(error, (DataError, ParameterError)):
            raise
        raise DataError(f"{file.name} is not a readable GEF ({error}); it may be truncated") from error
    extent = (last[0] - origin[0] + 1, last[1] - origin[1] + 1)
    return BinCounts(matrix, corners + origin, genes, origin, extent, pitch)


def _columns(spots: Any) -> dict[str, Any]:
    return {name: spots[name].astype(int) for name in ("x", "y", "count")}


def _origin(expression: Any) -> tuple[int, int]:
    """Return the first spot of the matrix on the chip; ``x`` and ``y`` of the expression count from there."""
    import numpy as np

    return int(np.ravel(expression.attrs["minX"])[0]), int(np.ravel(expression.attrs["minY"])[0])


def _genes(listed: Any) -> pd.DataFrame:
    """Return symbol and id of genes; since version 4 of the format both are there, before one name."""
    import pandas as pd

    names = listed.dtype.names
    symbol = next(name for name in ("geneName", "gene") if name in names)
    ids = "geneID" if "geneID" in names else symbol
    text = {new: [one.decode() for one in listed[old]] for new, old in (("symbol", symbol), ("gene_id", ids))}
    return pd.DataFrame(text)


def _summed(x: Any, y: Any, gene: Any, count: Any, genes: int, bin_size: int) -> tuple[Any, np.ndarray[Any, Any]]:
    """Return counts of bins × genes, and the corner of each bin that has any, by row and column of the grid."""
    import numpy as np
    from scipy.sparse import coo_matrix

    column, row = np.asarray(x, np.int64) // bin_size, np.asarray(y, np.int64) // bin_size
    left = column.min(initial=0)
    width = int(column.max(initial=0) - left) + 1
    places, of_bin = np.unique(row * width + (column - left), return_inverse=True)
    matrix = coo_matrix((np.asarray(count, "float32"), (of_bin, gene)), shape=(len(places), genes)).tocsr()
    return matrix, np.column_stack([places % width + left, places // width]) * bin_size


def _gem_bins(file: Path, bin_size: int) -> BinCounts:
    import numpy as np
    import pandas as pd

    (told, lines), parts = _gem_header(file), []
    stored = int(told.get("BinSize", 1)) if told.get("BinSize", "1").isdigit() else 1
    if bin_size % stored:
        raise ParameterError(f"{file.name} has bins of {stored} spots, that do not make up bins of {bin_size}")
    for part in _gem_rows(file, lines):
        column, row = (part[axis].to_numpy(int) // bin_size for axis in "xy")
        grouped = part.assign(x=column, y=row).groupby(["gene_id", "symbol", "x", "y"], sort=False)["count"].sum()
        parts.append(grouped.reset_index())
    held = pd.concat(parts, ignore_index=True)
    if held.empty:
        raise DataError(f"{file.name} has no counts; it is cut off behind its header")
    codes, ids = pd.factorize(held["gene_id"], sort=True)
    symbols = held.drop_duplicates("gene_id").set_index("gene_id")["symbol"].loc[ids]
    matrix, corners = _summed(held["x"], held["y"], codes, held["count"], len(ids), 1)
    origin = (int(told.get("OffsetX", 0)), int(told.get("OffsetY", 0)))
    genes = pd.DataFrame({"symbol": symbols.to_numpy(), "gene_id": np.asarray(ids)})
    return BinCounts(matrix, corners * bin_size + np.array(origin), genes, origin, None, PITCH_NM)


def _text(file: Path) -> Any:
    return gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8")


def _gem_header(file: Path) -> tuple[dict[str, str], int]:
    """Return what the lines before the table say, and how many they are; old files have none."""
    told, lines = {}, 0
    try:
        with _text(file) as stream:
            for line in stream:
                if not line.startswith("#"):
                    break
                lines += 1
                if match := re.fullmatch(r"#(\S+?)=(.*)", line.strip()):
                    told[match[1]] = match[2]
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{file.name} is not a readable GEM ({error}); it may be truncated") from error
    return told, lines


def _gem_rows(file: Path, lines: int) -> Iterator[pd.DataFrame]:
    """Return the table a part at a time, with columns gene_id, symbol, x, y and count."""
    import pandas as pd

    try:
        with _text(file) as stream:
            parts = pd.read_csv(
                stream,
                sep="\t",
                skiprows=lines,
                chunksize=ROWS,
                dtype={"geneID": str, "geneName": str},
                keep_default_na=False,  # a gene may be called NA
            )
            for part in parts:
                counted = next((name for name in COUNTS if name in part), None)
                if counted is None or not {"geneID", "x", "y"} <= set(part.columns):
                    raise DataError(f"{file.name} has columns {some(part.columns)}; expected geneID, x, y and MIDCount")
                if part[["x", "y", counted]].isna().any(axis=None):
                    raise DataError(f"the last line of {file.name} is not complete; the file is cut off, copy it again")
                symbol = part["geneName"] if "geneName" in part else part["geneID"]
                told = {"gene_id": part["geneID"], "symbol": symbol, "count": part[counted].astype(int)}
                yield part[["x", "y"]].astype(int).assign(**told)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, ValueError, pd.errors.ParserError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file.name} is not a readable GEM ({error}); it may be truncated") from error
