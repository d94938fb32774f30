"""Spatial Transcriptomics before Visium: spots of an array as circles with counts, on the picture of the tissue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, SourceNotFoundError, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.cell_parts import element_notes, place_image
from integrate.readers.dense_counts import circle_table, find_one, place_circles, read_dense_counts, read_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import spatialdata as sd

__all__ = ["SpatialTranscriptomics"]

#: Diameter of a spot and distance of spots along a row of the array, in micrometres (Ståhl et al. 2016).
SPOT_UM, PITCH_UM = 100.0, 200.0
COUNTS = ("*stdata*.tsv*", "*count*matri*.tsv*", "*[Cc]ounts*.tsv*")
SPOTS = ("*selection*.tsv*", "*spot*.tsv*")
ALIGNMENT = ("*transformation*.txt", "*alignment*.txt")
PICTURES = ("*HE*.jpg", "*HE*.png", "*.jpg", "*.jpeg", "*.png")
SPOT_NAME = re.compile(r"(-?\d+(?:\.\d+)?)x(-?\d+(?:\.\d+)?)")
#: A spot may lie this far (in distances of spots) from the even grid that all fit, as pictures are stitched.
OFF_GRID = 0.5


class SpatialTranscriptomics(Reader):
    r"""Read the files of one section of the Spatial Transcriptomics array (2016 to 2019) as one SpatialData.

    Parameters
    ----------
    name
        Beginning of every element's name, and name of the coordinate system.
    counts
        Name of the counts: spots × genes, or genes × spots, with spots named ``"10x20"`` (column x row).
    spots
        Name of the table of spots, with ``x``, ``y``, ``pixel_x`` and ``pixel_y`` (and maybe ``selected``).
    alignment
        Name of the text with the nine numbers of the matrix from spots to pixels; used when there is no table of spots.
    image
        Name of the picture whose pixels these are.
    pitch_um
        Distance of spots along a row of the array, 200 µm; spots are half as wide.

    Returns
    -------
    SpatialData with ``<name>_spots``: a circle per spot of the counts, index ``instance_id``; ``<name>_table``:
    counts, spots × genes, ``obs`` has ``array_col``, ``array_row`` and, where the table says so, ``selected``; and
    ``<name>_image`` where there is a picture and a place on it, lazy. All lie in the coordinate system ``<name>``:
    pixels of the picture; without spots table and matrix it is micrometres of the array, and no picture is opened.
    ``attrs["integrate"][element]["pixel_size_um"]`` is the array's pitch over that found in the picture.

    Raises
    ------
    SourceNotFoundError
        If there are no counts, or a named file is absent.
    ParameterError
        If several files fit and none is named.
    DataError
        If a file is damaged, spots are not named by their place, have no pixel, or lie off an even grid.

    Notes
    -----
    Layouts of Ståhl et al. 2016 (matrix of nine numbers, column by column) and Andersson et al. 2021 (table of spots).

    Examples
    --------
    >>> _ = (tmp_path / "A1_stdata.tsv").write_text("\tACTB\tMBP\n2x3\t3\t0\n4x3\t0\t2\n")
    >>> _ = (tmp_path / "A1_transformation.txt").write_text("100 0 0 0 100 0 -100 -100 1\n")
    >>> from integrate.readers.spatial_transcriptomics import SpatialTranscriptomics
    >>> section = SpatialTranscriptomics(url=tmp_path).read()
    >>> section["st_spots"].geometry.x.tolist()
    [100.0, 300.0]
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(
        self,
        path: Path,
        *,
        name: str = "st",
        counts: str | None = None,
        spots: str | None = None,
        alignment: str | None = None,
        image: str | None = None,
        pitch_um: float = PITCH_UM,
    ) -> sd.SpatialData:
        import spatialdata as sd

        if (file := find_one(path, COUNTS, counts, "counts")) is None:
            raise SourceNotFoundError(f"no counts like {some(COUNTS)} in {path.name!r}; name them with counts=")
        matrix, listed, genes = _counts(file)
        array = _places(listed, file)
        table_file = find_one(path, SPOTS, spots, "spots")
        matrix_file = None if table_file else find_one(path, ALIGNMENT, alignment, "alignment")
        obs, centres = _pixels(array, listed, table_file, matrix_file)
        unit = "px" if table_file or matrix_file else "um"
        if unit == "um":
            centres = array * pitch_um
        pitch = _pitch(array, centres, path.name) if unit == "px" else pitch_um
        radius = pitch * SPOT_UM / PITCH_UM / 2
        elements = {f"{name}_spots": place_circles(centres, radius, name)}
        elements[f"{name}_table"] = circle_table(matrix, obs, genes, centres, f"{name}_spots")
        picture = find_one(path, PICTURES, image, "image")
        if picture is not None and unit == "px":
            elements[f"{name}_image"] = _image(picture, name)
        size = None if unit == "um" else [pitch_um / pitch] * 2
        notes = element_notes(elements, unit=unit, pitch=pitch, spot_diameter=2 * radius, pixel_size_um=size)
        return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes})


def _counts(file: Path) -> tuple[Any, list[str], list[str]]:
    """Return counts as spots × genes, the names of spots and of genes."""
    matrix, rows, columns = read_dense_counts(file)
    if all(SPOT_NAME.fullmatch(one) for one in rows):
        return matrix, rows, columns
    if all(SPOT_NAME.fullmatch(one) for one in columns):
        return matrix.T.tocsr(), columns, rows
    raise DataError(
        f"neither rows ({some(rows)}) nor columns ({some(columns)}) of {file.name} are spots; expected names as '10x20'"
    )


def _places(names: Sequence[str], file: Path) -> np.ndarray[Any, Any]:
    """Return column and row in the array that the names of spots say."""
    import numpy as np

    if len(set(names)) < len(names):
        raise DataError(f"{file.name} has {len(names) - len(set(names))} spots twice; keep one of each")
    found = [SPOT_NAME.fullmatch(one) for one in names]
    return np.array([[float(one[1]), float(one[2])] for one in found if one is not None])


def _pixels(
    array: np.ndarray[Any, Any], names: list[str], table: Path | None, matrix: Path | None
) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Return a row per spot, and its pixel by the table of spots, else by the matrix, else its place in the array."""
    import numpy as np
    import pandas as pd

    obs = pd.DataFrame({"array_col": array[:, 0], "array_row": array[:, 1]}, index=names)
    if table is None:
        to_pixel = np.eye(3) if matrix is None else _alignment(matrix)
        return obs, (np.column_stack([array, np.ones(len(array))]) @ to_pixel.T)[:, :2]
    held = read_rows(table)
    absent = [one for one in ("x", "y", "pixel_x", "pixel_y") if one not in held]
    if absent:
        raise DataError(f"{table.name} has no columns {absent}; it has {some(held.columns, limit=12)}")
    held.index = pd.MultiIndex.from_arrays([held["x"].astype(float), held["y"].astype(float)])
    places = pd.MultiIndex.from_arrays([array[:, 0], array[:, 1]])
    if held.index.has_duplicates:
        raise DataError(f"{table.name} lists {int(held.index.duplicated().sum())} spots twice; keep one row of each")
    unplaced = [name for name, there in zip(names, places.isin(held.index), strict=True) if not there]
    if unplaced:
        raise DataError(
            f"{len(unplaced)} of {len(names)} spots of the counts are not in {table.name}: {some(unplaced)}; if it "
            "lists adjusted places only, name the table that has those of the counts"
        )
    held = held.loc[places]
    if "selected" in held:
        obs["selected"] = held["selected"].to_numpy().astype(bool)
    return obs, held[["pixel_x", "pixel_y"]].to_numpy(float)


def _alignment(file: Path) -> np.ndarray[Any, Any]:
    """Return the matrix from spots to pixels; its nine numbers are written column by column."""
    import numpy as np

    try:
        numbers = [float(one) for one in file.read_text(encoding="utf-8").split()]
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name} is not a readable matrix ({error})") from error
    matrix = np.array(numbers).reshape(3, 3).T if len(numbers) == 9 else np.zeros((3, 3))
    if np.allclose(matrix[:, 2], [0, 0, 1]) and not np.allclose(matrix[2], [0, 0, 1]):
        matrix = matrix.T  # written row by row
    if not np.allclose(matrix[2], [0, 0, 1]) or abs(np.linalg.det(matrix)) < 1e-9:
        raise DataError(f"{file.name} holds {numbers}; expected the nine numbers of a matrix from spots to pixels")
    return matrix


def _pitch(array: np.ndarray[Any, Any], centres: np.ndarray[Any, Any], where: str) -> float:
    """Return the distance of spots in pixels, by the even grid that all spots fit.

    Raises
    ------
    DataError
        If they fit none, as when x and y of some are swapped, or all lie on one line.
    """
    import numpy as np

    grid = np.column_stack([array, np.ones(len(array))])
    fitted, _, rank, _ = np.linalg.lstsq(grid, centres, rcond=None)
    pitch = (
        float(np.sqrt(abs(np.linalg.det(fitted[:2])))) if rank == 3 else float(np.linalg.norm(fitted[:2], axis=1).max())
    )
    off = float(np.abs(grid @ fitted - centres).max())
    if not pitch > 0 or off > OFF_GRID * pitch:
        raise DataError(
            f"the spots of {where} lie up to {off:.1f} pixels off an even grid with a distance of {pitch:.1f}"
        )
    return pitch


def _image(picture: Path, space: str) -> Any:
    import numpy as np

    from integrate.readers.visium import lazy_picture

    pixels = lazy_picture(picture)
    channels = ["red", "green", "blue"] if pixels.shape[0] == 3 else ["grey"]
    return place_image(pixels, channels, space, np.eye(3))
