"""Imaging mass cytometry: one acquisition of an MCD file, or of its text export, as an image of 1 µm pixels."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from integrate.errors import DataError, MissingDependencyError, ParameterError, some, warn
from integrate.model.image import make_image
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Imc", "describe_acquisition"]


class Imc(Reader):
    r"""Read one acquisition of imaging mass cytometry (``.mcd``, or its ``.txt`` export) lazily.

    Parameters
    ----------
    acquisition
        Number of the acquisition, as the file counts them; needed when it has several.
    partial
        Whether to accept an acquisition that was stopped before its end: pixels that were never measured are missing
        (NaN).
        By default it is an error.

    Returns
    -------
    DataArray ``(c, y, x)`` of float32 ion counts, Dask-backed, a chunk for all channels. Channels are named by their
    label (``"CD3"``), or by their metal where there is none; metals are in ``attrs["integrate"]["metals"]``. Pixels
    have the size that the file states, 1 µm for text files, which state none.

    Raises
    ------
    DataError
        If the file is damaged or no IMC, the acquisition was stopped, or channels are not those the catalog names.
    ParameterError
        If there is no such acquisition, or there are several and none is named.

    Examples
    --------
    >>> rows = ["Start_push\tEnd_push\tPushes_duration\tX\tY\tZ\t191Ir-DNA1(Ir191Di)\tCD3(Er170Di)"]
    >>> rows += [f"0\t0\t5\t{x}\t{y}\t0\t{x + y}\t7" for y in range(3) for x in range(4)]
    >>> _ = (tmp_path / "a.txt").write_text("\n".join(rows) + "\n")
    >>> image = Imc(url=tmp_path / "a.txt").read()
    >>> image.shape, image["c"].values.tolist(), float(image[0].max())
    ((2, 3, 4), ['191Ir-DNA1', 'CD3'], 5.0)
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, acquisition: int | None = None, partial: bool = False) -> xr.DataArray:
        import dask.array as da
        from dask.delayed import delayed

        text = path.suffix.lower() == ".txt"
        told = _text_header(path) if text else _mcd_header(path, acquisition)
        names = _unique([label or metal for label, metal in zip(told["labels"], told["metals"], strict=True)], path)
        self._check_channels(names)
        place = told.get("data")
        whole = told["shape"][0] * told["shape"][1]
        if place is not None and not partial and place[1] != whole:
            raise DataError(
                f"acquisition {told['id']} of {path.name} has {place[1]} of {whole} pixels; it was stopped before its "
                "end: partial=True reads what there is"
            )
        read = delayed(_read_pixels, pure=True)(path, place, told["shape"], len(names), path.stat().st_mtime_ns)
        pixels = da.from_delayed(read, shape=(len(names), *told["shape"]), dtype="float32")
        size = told["pixel_size_um"]
        notes = {"metals": told["metals"], "acquisition": told["id"], "description": told["description"]}
        return make_image(pixels, channels=names, pixel_size_um=size, **notes)


def _readimc() -> Any:
    try:
        import readimc
    except ImportError as error:
        raise MissingDependencyError('reading .mcd files needs readimc: pip install "integrate[vendor]"') from error
    return readimc


#: First columns of the instrument's text files; a column per channel follows.
TEXT_COLUMNS = ("Start_push", "End_push", "Pushes_duration", "X", "Y", "Z")
DAMAGE = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error, ElementTree.ParseError)


def describe_acquisition(path: Path, wanted: int | None) -> dict[str, str]:
    """Return what an MCD file says of one acquisition and its slide.

    Raises
    ------
    DataError, ParameterError
        As `Imc` does.
    """
    one = _acquisition(path, wanted)
    return {**one.slide.metadata, **one.metadata}


def _acquisition(path: Path, wanted: int | None) -> Any:
    readimc = _readimc()
    try:
        file = readimc.MCDFile(path)
        try:  # its own context manager leaves the file open when opening fails
            file.open()
            found = {int(one.id): one for slide in file.slides for one in slide.acquisitions}
        finally:
            file.close()
    except DAMAGE as error:
        raise DataError(f"{path.name} is not a readable MCD file ({error}); it may be truncated") from error
    if wanted is None and len(found) != 1:
        raise ParameterError(f"{path.name} has acquisitions {some(sorted(found))}; name one with acquisition=")
    number = next(iter(found)) if wanted is None else int(wanted)
    if number not in found:
        raise ParameterError(f"{path.name} has no acquisition {number}; it has {some(sorted(found))}")
    return found[number]


def _mcd_header(path: Path, wanted: int | None) -> dict[str, Any]:
    one = _acquisition(path, wanted)
    number = int(one.id)
    try:
        start, end = int(one.metadata["DataStartOffset"]), int(one.metadata["DataEndOffset"])
        height, width = int(one.metadata["MaxY"]), int(one.metadata["MaxX"])
    except (KeyError, ValueError) as error:
        raise DataError(f"acquisition {number} of {path.name} does not say where its pixels are ({error})") from error
    if not 0 <= start <= end <= path.stat().st_size:
        raise DataError(f"acquisition {number} of {path.name} names bytes {start} to {end}; the file is truncated")
    return {
        "id": number,
        "labels": [label or "" for label in one.channel_labels],
        "metals": list(one.channel_names),
        "shape": (height, width),
        "data": (start, (end - start) // (4 * (one.num_channels + 3))),
        "pixel_size_um": (float(one.pixel_size_y_um), float(one.pixel_size_x_um)),
        "description": str(one.description or ""),
    }


def _text_header(path: Path) -> dict[str, Any]:
    """Return what the first and the last line say; a run that was stopped shows when its pixels are read."""
    try:
        with path.open("rb") as stream:
            names = stream.readline().decode("utf-8").rstrip().split("\t")
            stream.seek(max(path.stat().st_size - 65_536, 0))
            rows = stream.read().decode("ascii", "replace").rstrip().split("\n")
        channels = [re.fullmatch(r"(?P<label>.*)\((?P<metal>[A-Za-z]+\d+)Di\)", name) for name in names[6:]]
        if tuple(names[:6]) != TEXT_COLUMNS or not channels or None in channels:
            raise ValueError(f"its columns are {some(names, limit=8)}")
        last = rows[-1].split("\t")
        if len(rows) < 2 or len(last) != len(names):
            raise ValueError(f"its last line has {len(last)} fields")
        width, height = int(float(last[3])) + 1, int(float(last[4])) + 1
    except DAMAGE as error:
        raise DataError(f"{path.name} is not a readable IMC text file ({error}); it may be cut off") from error
    labels = [channel["label"] for channel in channels if channel]
    metals = [channel["metal"] for channel in channels if channel]
    shape = {"shape": (height, width), "pixel_size_um": (1.0, 1.0)}
    return {"id": None, "labels": labels, "metals": metals, "description": "", **shape}


def _read_pixels(
    path: Path, place: tuple[int, int] | None, shape: tuple[int, int], channels: int, changed_ns: int
) -> np.ndarray[Any, Any]:
    """Return the pixels, NaN where none was measured.

    `changed_ns` is there for its token, so that a rewritten file is read again. `readimc` would give 0 for what was
    never measured.
    """
    import numpy as np
    import pandas as pd

    try:
        if place is None:
            rows = pd.read_table(path, dtype=np.float32).to_numpy()[:, 3:]
        else:
            count = place[1] * (channels + 3)
            rows = np.fromfile(path, np.dtype("<f4"), count, offset=place[0]).reshape(-1, channels + 3)
        columns, lines = rows[:, 0].astype(int), rows[:, 1].astype(int)
        if place is None and len(rows) != shape[0] * shape[1]:
            raise ValueError(f"it has {len(rows)} pixels, expected {shape[0]} × {shape[1]}")
        pixels = np.full((channels, *shape), np.nan, np.float32)
        pixels[:, lines, columns] = rows[:, 3:].T
    except (*DAMAGE, pd.errors.ParserError) as error:
        raise DataError(f"the pixels of {path.name} cannot be read ({error}); the file is damaged") from error
    return pixels


def _unique(names: list[str], path: Path) -> list[str]:
    """Return names that differ; a repeated one gets a number, and a warning says so."""
    made: list[str] = []
    for name in names:
        number, new = 2, name
        while new in made:
            new, number = f"{name}_{number}", number + 1
        made.append(new)
    if changed := [new for new, name in zip(made, names, strict=True) if new != name]:
        warn(f"{len(changed)} channel names of {path.name} repeat; they are called {some(changed)}")
    return made
