"""Folders of microscopy files whose names say what each is: the frames of a film, the fields of a plate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, SourceNotFoundError, some
from integrate.keys import ATTRS
from integrate.model.image import make_image
from integrate.readers.base import Reader
from integrate.readers.tiff import check_pixel_size, lazy_level, lazy_page, open_tiff, series_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["Plate", "PlateField", "TimeLapse"]

#: Rows A … Z, AA … AF and a column of one or two digits.
WELL = r"(?P<well>[A-P]\d{2})"
FIELD_NAME = WELL + r"f(?P<field>\d+)d(?P<channel>\d+)"


class TimeLapse(Reader):
    """Read a folder of TIFF frames, one per time point, as one lazy film.

    Parameters
    ----------
    pattern
        Regular expression that finds the number of the frame in a file's name, in a group ``t``.
    interval_s
        Seconds between frames; numbers, not seconds, are given when it is not known.
    pixel_size_um
        ``(y, x)`` edge of a pixel.

    Returns
    -------
    DataArray ``(t, c, y, x)``, Dask-backed, a chunk per frame, in the order of the numbers, not of the names. Frames
    that are missing between the first and the last are listed in ``attrs["integrate"]["missing_frames"]``; frames whose
    files are byte for byte the same in ``"identical_frames"``.

    Raises
    ------
    SourceNotFoundError
        If no file name has a number.
    DataError
        If two files have one number, or frames differ in shape or type.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> for number in (1, 2, 10):
    ...     tifffile.imwrite(tmp_path / f"film_{number}.tif", np.full((4, 5), number, "uint8"))
    >>> TimeLapse(url=tmp_path, interval_s=5).read()["t"].values.tolist()
    [0, 5, 45]
    """

    output_instance = "xarray:DataArray"
    is_folder = True

    def _open(
        self,
        path: Path,
        *,
        pattern: str = r"(?P<t>\d+)$",
        interval_s: float | None = None,
        pixel_size_um: Sequence[float] | None = None,
    ) -> xr.DataArray:
        import dask.array as da
        import numpy as np
        import xarray as xr

        size = check_pixel_size(pixel_size_um)
        files = _named_files(path, pattern, ("t",))
        numbered = {int(key[0]): file for key, file in files.items()}
        numbers = sorted(numbered)
        frames = [_frame(numbered[number]) for number in numbers]
        names = _same_kind([numbered[n].name for n in numbers], frames)
        film = da.stack(frames)
        plane = make_image(film[0], channels=names, pixel_size_um=size)
        absent = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
        notes = {**plane.attrs[ATTRS], "missing_frames": absent, "identical_frames": _identical(numbered)}
        times = (np.array(numbers) - numbers[0]) * (interval_s or 1)
        coords = {**plane.coords, "t": ("t", times, {"units": "s" if interval_s else "1"})}
        return xr.DataArray(film, dims=("t", "c", "y", "x"), coords=coords, attrs={ATTRS: notes})


class Plate(Reader):
    """List the wells and fields of a plate kept as a folder of single-channel TIFF files.

    Parameters
    ----------
    pattern
        Regular expression with groups ``well``, ``field`` and ``channel`` that a file's name contains. The default is
        that of Cellomics (``…_O01f00d2.TIF``).

    Returns
    -------
    DataFrame, a row per field: ``well``, ``row`` (letters), ``column`` (number), ``field``, ``channels`` (names, joined
    by commas), ``name`` and the size of the image. Rows are sorted; wells without any file are not rows.

    Raises
    ------
    SourceNotFoundError
        If no file name matches.
    DataError
        If two files are the same channel of the same field, or a file is damaged.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> for channel in (0, 1):
    ...     tifffile.imwrite(tmp_path / f"run_B03f00d{channel}.TIF", np.ones((4, 5), "uint8"))
    >>> Plate(url=tmp_path).read()[["well", "row", "column", "field", "channels"]].values.tolist()
    [['B03', 'B', 3, '00', '0,1']]
    """

    output_instance = "pandas:DataFrame"
    is_folder = True

    def _open(self, path: Path, *, pattern: str = FIELD_NAME) -> pd.DataFrame:
        import pandas as pd

        files = _named_files(path, pattern, ("well", "field", "channel"))
        fields: dict[tuple[str, str], list[tuple[str, Path]]] = {}
        for (well, field, channel), file in files.items():
            fields.setdefault((well, field), []).append((channel, file))
        rows = []
        for (well, field), found in sorted(fields.items()):
            shapes = {lazy_page(file).shape for _, file in found}
            if len(shapes) > 1:
                raise DataError(
                    f"channels of well {well} field {field} in {path.name} differ in shape: {sorted(shapes)}"
                )
            height, width = shapes.pop()
            letters = well.rstrip("0123456789")
            named = ",".join(sorted(channel for channel, _ in found))
            where = {"well": well, "row": letters, "column": int(well[len(letters) :]), "field": field}
            rows.append({**where, "channels": named, "name": f"{well}f{field}", "height_px": height, "width_px": width})
        table = pd.DataFrame(rows)
        table.attrs[ATTRS] = {"wells": int(table["well"].nunique()), "fields": len(table)}
        return table


class PlateField(Reader):
    """Read one field of a plate kept as a folder of single-channel TIFF files as a lazy image.

    Parameters
    ----------
    well, field
        Which one, as the file names spell it, e.g. ``"O01"`` and ``"00"``.
    pattern
        As for `Plate`.
    channels
        Names for the channels by what the file names call them, e.g. ``{"2": "DNA"}``.
    pixel_size_um
        ``(y, x)`` edge of a pixel.

    Returns
    -------
    DataArray ``(c, y, x)``, Dask-backed, channels in the order of their names in the files; well and field are in
    ``attrs["integrate"]``.

    Raises
    ------
    ParameterError
        If the plate has no such field.
    DataError
        If a file is damaged, or channels differ in shape or type.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> for channel in (0, 1):
    ...     tifffile.imwrite(tmp_path / f"run_B03f00d{channel}.TIF", np.ones((4, 5), "uint8"))
    >>> PlateField(url=tmp_path, well="B03", field="00", channels={"0": "DNA", "1": "actin"}).read()[
    ...     "c"
    ... ].values.tolist()
    ['DNA', 'actin']
    """

    output_instance = "xarray:DataArray"
    is_folder = True

    def _open(
        self,
        path: Path,
        *,
        well: str = "",
        field: str = "",
        pattern: str = FIELD_NAME,
        channels: dict[str, str] | None = None,
        pixel_size_um: Sequence[float] | None = None,
    ) -> xr.DataArray:
        import dask.array as da

        size = check_pixel_size(pixel_size_um)
        files = _named_files(path, pattern, ("well", "field", "channel"))
        found = {key[2]: file for key, file in sorted(files.items()) if key[:2] == (well, field)}
        if not found:
            known = sorted({f"{key[0]} field {key[1]}" for key in files})
            raise ParameterError(f"no well {well!r} field {field!r} in {path.name}; it has {some(known)}")
        pages = [lazy_page(file) for file in found.values()]
        _same_kind([file.name for file in found.values()], pages)
        names = [str((channels or {}).get(channel, f"channel_{channel}")) for channel in found]
        return make_image(da.stack(pages), channels=names, pixel_size_um=size, well=well, field=field)


def _named_files(folder: Path, pattern: str, groups: Sequence[str]) -> dict[tuple[str, ...], Path]:
    """Return the TIFF files whose name (without suffix) has the pattern, by its groups."""
    try:
        finder = re.compile(pattern)
    except re.error as error:
        raise ParameterError(f"pattern {pattern!r} is no regular expression: {error}") from error
    if set(groups) - set(finder.groupindex):
        raise ParameterError(f"pattern {pattern!r} has groups {sorted(finder.groupindex)}; expected {list(groups)}")
    found: dict[tuple[str, ...], Path] = {}
    for file in sorted(folder.iterdir()):
        match = finder.search(file.stem)
        if file.suffix.lower() not in (".tif", ".tiff") or file.name.startswith(".") or match is None:
            continue
        key = tuple(match[group] for group in groups)
        if key in found:
            raise DataError(
                f"{found[key].name!r} and {file.name!r} in {folder.name} have the same {list(groups)}: {key}"
            )
        found[key] = file
    if not found:
        raise SourceNotFoundError(f"no TIFF file in folder {folder.name!r} has a name like {pattern!r}")
    return found


def _frame(file: Path) -> Any:
    """Return a frame as ``(c, y, x)``."""
    with open_tiff(file) as tiff:
        axes, shape = str(series_of(tiff, file).axes), series_of(tiff, file).shape
        if len(tiff.series) > 1 or axes not in ("YX", "YXS", "SYX"):
            raise DataError(f"{file.name} holds {axes} {shape}; expected one frame, in grey or colour")
    pixels = lazy_level(file)
    return pixels[None] if axes == "YX" else pixels.transpose([axes.index(a) for a in "SYX"])


def _same_kind(names: Sequence[str], pages: Sequence[Any]) -> list[str]:
    """Check that all are alike, and return channel names for them."""
    kinds: dict[Any, list[str]] = {}
    for name, page in zip(names, pages, strict=True):
        kinds.setdefault((page.shape, page.dtype), []).append(name)
    if len(kinds) > 1:
        found = "; ".join(f"{shape} {dtype}: {some(files)}" for (shape, dtype), files in kinds.items())
        raise DataError(f"files differ in shape or type: {found}")
    count = pages[0].shape[0] if pages[0].ndim == 3 else 1
    return ["red", "green", "blue", "alpha"][:count] if count in (3, 4) else ["value", "alpha"][:count]


def _identical(numbered: dict[int, Path]) -> list[list[int]]:
    """Return groups of frames whose files have the same bytes: a camera that stopped, or a copy in the wrong place."""
    from integrate.model.provenance import hash_file

    sizes: dict[int, list[int]] = {}
    for number, file in sorted(numbered.items()):
        sizes.setdefault(file.stat().st_size, []).append(number)
    same: dict[str, list[int]] = {}
    for numbers in sizes.values():
        if len(numbers) > 1:
            for number in numbers:
                same.setdefault(hash_file(numbered[number]), []).append(number)
    return [numbers for numbers in same.values() if len(numbers) > 1]
