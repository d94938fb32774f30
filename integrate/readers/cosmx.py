"""CosMx: fields of view with their labels, pictures and transcripts in one space, the vendor's upward y turned down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, ParameterError, SourceNotFoundError, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.cell_parts import place_points
from integrate.readers.tiff import lazy_level, open_tiff, series_of
from integrate.readers.volume import as_labels

if TYPE_CHECKING:
    import pandas as pd
    import spatialdata as sd

__all__ = ["CosMx"]

TRANSCRIPTS = ("fov", "cell_ID", "x_global_px", "y_global_px", "x_local_px", "y_local_px", "target")
POSITIONS = ("fov", "x_global_px", "y_global_px")
#: Share of a field's transcripts that must lie on their labelled cell.
LEAST_ON_CELL = 0.95
#: Rows of a field's labels that are decoded, at least, to check that labels and transcripts lie on each other.
BAND = 64
#: A table of transcripts up to this size is read whole, and every field checked; a larger one is left on disk, and only
#: the fields that its first rows are of are checked when it is opened.
CHECKED = 20_000
EAGER_BYTES = 64_000_000


class CosMx(Reader):
    r"""Read a CosMx flat-file folder as one SpatialData.

    Parameters
    ----------
    name
        Beginning of every element's name, and name of the coordinate system.
    fovs
        Fields to read; all by default.
    offsets
        For images that are crops of their field: ``{"2": [x, y]}``, the local position in pixels of the crop's corner
        nearest to the vendor's origin. Whole fields need none.

    Returns
    -------
    SpatialData with ``<name>_f<fov>_labels`` and, where the picture is there, ``<name>_f<fov>_image``, lazy, and
    ``<name>_transcripts``: points with ``target``, ``fov``, ``cell_ID`` (0: in no cell) and ``instance_id``
    (``<fov>_<cell_ID>``, empty for none). All lie in the coordinate system ``<name>``: global pixels, x to the right, y
    **down** (the vendor's y points up). The files do not state the size of a pixel, so none is invented.
    ``attrs["integrate"][element]["on_labelled_cell"]`` is the share of transcripts of a cell that lie on its label, as
    the part of the labels shows that was decoded for it: 64 rows, or the strip of the file that the most transcripts
    lie on. A table of transcripts larger than 64 MB stays on disk: only the fields of its first rows are then checked,
    the others say ``None``.

    Raises
    ------
    SourceNotFoundError
        If transcripts, field positions or the labels of a field are absent.
    DataError
        If a file is damaged or lacks a column.
    AlignmentError
        If fewer than 95 % of a field's transcripts lie on their labelled cell: labels are shifted or of another field.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> (tmp_path / "CellLabels").mkdir()
    >>> tifffile.imwrite(tmp_path / "CellLabels" / "CellLabels_F001.tif", np.eye(4, dtype="uint16"))
    >>> _ = (tmp_path / "S1_fov_positions_file.csv").write_text("fov,x_global_px,y_global_px\n1,100,200\n")
    >>> header = "fov,cell_ID,x_global_px,y_global_px,x_local_px,y_local_px,target\n"
    >>> _ = (tmp_path / "S1_tx_file.csv").write_text(header + "1,1,100.5,203.5,0.5,3.5,CD3E\n")
    >>> data = CosMx(url=tmp_path).read()
    >>> data["cosmx_transcripts"].compute()[["x", "y", "instance_id"]].values.tolist()
    [[100.5, -203.5, '1_1']]
    >>> data.attrs["integrate"]["cosmx_f1_labels"]["on_labelled_cell"]
    1.0
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(
        self,
        path: Path,
        *,
        name: str = "cosmx",
        fovs: Sequence[str | int] | None = None,
        offsets: Mapping[str, Sequence[float]] | None = None,
    ) -> sd.SpatialData:
        import spatialdata as sd

        positions = _read(_one(path, "*fov_positions_file.csv"), POSITIONS).set_index("fov")
        file = _one(path, "*tx_file.csv")
        is_large = file.stat().st_size > EAGER_BYTES
        transcripts = _read(file, TRANSCRIPTS, rows=CHECKED if is_large else None)
        labels = _by_fov(path / "CellLabels", ("tif", "tiff"))
        pictures = _by_fov(path / "CellComposite", ("jpg", "jpeg", "png"))
        wanted = [int(fov) for fov in fovs] if fovs else sorted(labels)
        absent = [fov for fov in wanted if fov not in labels or fov not in positions.index]
        if absent or not wanted:
            known = f"labels of {sorted(labels)}, positions of {positions.index.tolist()}"
            raise SourceNotFoundError(f"{path.name} has not all of fields {absent or 'of view'}; found {known}")
        shifts = {int(fov): tuple(float(v) for v in shift) for fov, shift in (offsets or {}).items()}
        if any(len(shift) != 2 for shift in shifts.values()):
            raise ParameterError(f"offsets={dict(offsets or {})!r}; give [x, y] for each field")
        elements: dict[str, Any] = {}
        notes: dict[str, dict[str, Any]] = {}
        for fov in wanted:
            mask, shift = _labels(labels[fov]), shifts.get(fov, (0.0, 0.0))
            share, count = _share_on_cell(transcripts[transcripts["fov"] == fov], labels[fov], shift)
            if count and share < LEAST_ON_CELL:
                raise AlignmentError(
                    f"{share:.1%} of {count} transcripts of field {fov} lie on their labelled cell; expected at least "
                    f"{LEAST_ON_CELL:.0%}: labels are a crop (give offsets=), or of another field"
                )
            corner = _corner(positions.loc[fov], shift, mask.shape[0])
            made = _elements(f"{name}_f{fov}", mask, pictures.get(fov), corner, name)
            elements |= made
            found = round(share, 4) if count else None
            notes |= {key: {"unit": "px", "fov": fov, "on_labelled_cell": found} for key in made}
        points = f"{name}_transcripts"
        if is_large:
            elements[points] = _lazy_points(file, path, wanted, name)
            notes[points] = {"unit": "px", "transcripts": None, "targets": None}
        else:
            kept = transcripts[transcripts["fov"].isin(wanted)]
            targets = sorted(kept["target"].astype(str).unique())
            elements[points] = place_points(_tidy(kept, wanted, targets), "target", name)
            notes[points] = {"unit": "px", "transcripts": len(kept), "targets": len(targets)}
        return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes})


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        fault = DataError if found else SourceNotFoundError
        listed = f"{len(found)} files {some(file.name for file in found)}" if found else "no file"
        raise fault(f"folder {folder.name!r} has {listed} like {pattern!r}; expected one")
    return found[0]


def _read(file: Path, columns: Sequence[str], *, rows: int | None = None) -> pd.DataFrame:
    import pandas as pd

    try:
        with file.open("rb") as stream:
            stream.seek(max(file.stat().st_size - 1, 0))
            if stream.read(1) != b"\n":
                raise DataError(f"the last line of {file.name} is not complete; the file is cut off, copy it again")
        table = pd.read_csv(file, nrows=rows, float_precision="round_trip")
        absent = [column for column in columns if column not in table]
        if absent:
            raise DataError(f"{file.name} has no columns {absent}; it has {some(table.columns, limit=12)}")
        numbers = [column for column in columns if column != "target"]
        table[numbers] = table[numbers].apply(pd.to_numeric)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{file.name} is not a readable table ({error})") from error
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file.name} has text in a column of numbers ({error})") from error
    return table


def _by_fov(folder: Path, suffixes: Sequence[str]) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = re.fullmatch(r".*_F(\d+)", file.stem)
        if match and file.suffix.lower().lstrip(".") in suffixes:
            found[int(match[1])] = file
    return found


def _labels(file: Path) -> Any:
    import dask.array as da

    with open_tiff(file) as tiff:
        stage = series_of(tiff, file)
        if len(stage.shape) != 2:
            raise DataError(f"{file.name} has shape {stage.shape}; expected one plane of labels")
    return da.map_blocks(as_labels, lazy_level(file), name_of=file.name, dtype="int32").astype("int32")


def _share_on_cell(transcripts: pd.DataFrame, file: Path, shift: Sequence[float]) -> tuple[float, int]:
    """Return the share of transcripts of a cell that lie on its label, and how many transcripts there are.

    The share is that of transcripts within the picture times that of hits among those on the band of rows that the
    most lie on: one strip of the file tells a shift as well as all, and a field may be 80 MB.
    """
    import numpy as np

    of_cells = transcripts[transcripts["cell_ID"] > 0]
    if of_cells.empty:
        return float("nan"), 0
    strips = lazy_level(file, least=BAND)
    height, width = strips.shape
    row = np.floor(shift[1] + height - of_cells["y_local_px"].to_numpy()).astype(int)
    column = np.floor(of_cells["x_local_px"].to_numpy() - shift[0]).astype(int)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    if not inside.any():
        return 0.0, len(of_cells)
    edges = np.cumsum((0, *strips.chunks[0]))
    fullest = int(np.argmax(np.histogram(row[inside], edges)[0]))
    top, bottom = edges[fullest : fullest + 2]
    looked = inside & (row >= top) & (row < bottom)
    found = np.asarray(strips[top:bottom])[row[looked] - top, column[looked]]
    return float(inside.mean() * (found == of_cells["cell_ID"].to_numpy()[looked]).mean()), len(of_cells)


def _corner(position: Any, shift: Sequence[float], height: int) -> tuple[float, float]:
    """Return where the first row and column of an image lie in global pixels, y down."""
    return -(float(position["y_global_px"]) + shift[1] + height), float(position["x_global_px"]) + shift[0]


def _elements(prefix: str, mask: Any, picture: Path | None, corner: tuple[float, float], space: str) -> dict[str, Any]:
    from spatialdata.models import Image2DModel, Labels2DModel
    from spatialdata.transformations import Scale, Sequence, Translation

    from integrate.readers.visium import lazy_picture

    place = Translation(list(corner), axes=("y", "x"))
    made = {f"{prefix}_labels": Labels2DModel.parse(mask, dims=("y", "x"), transformations={space: place})}
    if picture is not None:
        pixels = lazy_picture(picture)
        names = ["red", "green", "blue"] if pixels.shape[0] == 3 else ["grey"]
        scale = [mask.shape[0] / pixels.shape[1], mask.shape[1] / pixels.shape[2]]
        placed = place if scale == [1, 1] else Sequence([Scale(scale, axes=("y", "x")), place])
        made[f"{prefix}_image"] = Image2DModel.parse(
            pixels, dims=("c", "y", "x"), c_coords=names, transformations={space: placed}
        )
    return made


def _lazy_points(file: Path, folder: Path, wanted: Sequence[int], space: str) -> Any:
    """Return the transcripts of a large table, in parts of 64 MB that are read when asked."""
    import dask.dataframe as dd

    targets = _targets(file, folder)
    kinds: dict[str, Any] = dict.fromkeys(TRANSCRIPTS, "float64")
    kinds["target"] = "object"
    lazy = dd.read_csv(
        file, usecols=list(TRANSCRIPTS), dtype=kinds, blocksize=EAGER_BYTES, float_precision="round_trip"
    )
    meta = _tidy(lazy._meta, wanted, targets)
    return place_points(lazy.map_partitions(_tidy, list(wanted), targets, meta=meta), "target", space)


def _targets(file: Path, folder: Path) -> list[str]:
    """Return the targets of a run: the columns of its expression matrix, or, where there is none, those that occur."""
    import pandas as pd

    matrices = sorted(folder.glob("*exprMat_file.csv"))
    if matrices:
        return [
            str(name) for name in pd.read_csv(matrices[0], nrows=0).columns if name not in ("fov", "cell_ID", "cell")
        ]
    found: set[str] = set()
    for part in pd.read_csv(file, usecols=["target"], dtype=str, chunksize=5_000_000):
        found.update(part["target"].dropna().unique())
    return sorted(found)


def _tidy(frame: pd.DataFrame, wanted: Sequence[int], targets: Sequence[str]) -> pd.DataFrame:
    """Return transcripts of some fields with x to the right and y down, and the name of their cell."""
    import pandas as pd

    frame = frame[frame["fov"].isin(list(wanted))]
    unknown = set(frame["target"].astype(str)) - set(targets)
    if unknown:
        raise DataError(
            f"{len(unknown)} targets of transcripts are not in the expression matrix: {some(sorted(unknown))}"
        )
    cell = frame["cell_ID"].astype(int)
    named = frame["fov"].astype(int).astype(str) + "_" + cell.astype(str)
    return pd.DataFrame(
        {
            "x": frame["x_global_px"].astype(float),
            "y": -frame["y_global_px"].astype(float),
            "target": pd.Categorical(frame["target"].astype(str), categories=list(targets)),
            "fov": frame["fov"].astype(int),
            "cell_ID": cell,
            "instance_id": named.where(cell > 0, "").astype(object),
        }
    )
