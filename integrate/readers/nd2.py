"""Nikon ND2: one position as a lazy image with channels, planes and time points, in micrometres."""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, MissingDependencyError, ParameterError, some, warn
from integrate.readers.base import Reader
from integrate.readers.planes import make_planes, named_channels

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Nd2", "describe_file"]

#: What the library raises on damaged bytes; a NameError on channels without probe and filter.
DAMAGE = (
    NameError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    OSError,
    AttributeError,
    struct.error,
    zlib.error,
    SyntaxError,
)
#: Kinds of loop of an experiment, and their axis.
LOOPS = {"TimeLoop": "t", "NETimeLoop": "t", "XYPosLoop": "p", "ZStackLoop": "z"}


class Nd2(Reader):
    """Read one position of an ND2 file lazily.

    Parameters
    ----------
    position
        Number of the stage position from 0, or its name; needed when the file has several.

    Returns
    -------
    DataArray ``(t?, c, z?, y, x)``, Dask-backed, a block per recorded frame; a time or depth of length 1 is dropped.
    Channels are named as the microscope named them, those of a colour camera ``red``, ``green``, ``blue``. Coordinates
    are micrometres where the file says it is calibrated, else pixels; those of ``t`` are seconds since the first
    frame, as recorded. ``attrs["integrate"]`` has ``stage_um`` (x, y of the position) and ``position``.

    Raises
    ------
    DataError
        If the file is damaged, no ND2 or of the form before 2008 (JPEG 2000), has loops other than time, position and
        depth, or its channels are not those the catalog names.
    ParameterError
        If there is no such position, or there are several and none is named.

    Notes
    -----
    Frames of an experiment that was stopped early were never recorded; the library gives them as 0, and a warning
    counts them.

    Examples
    --------
    >>> from integrate.readers.nd2 import Nd2
    >>> Nd2(url="cells.nd2", position="well_B3").option_names()
    ('position',)
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, position: int | str | None = None) -> xr.DataArray:
        import dask.array as da
        import numpy as np

        told = _header(path)
        place, names = _position(told, position, path)
        order = "".join(told["loops"])
        sizes = {axis: told["loops"].get(axis, 1) for axis in "tz"}
        pixels = da.map_blocks(
            _read_frame,
            chunks=((1,) * sizes["t"], (1,) * sizes["z"], *((n,) for n in told["frame"])),
            dtype=told["dtype"],
            meta=np.empty((0,) * 6, told["dtype"]),
            path=path,
            order=order,
            counts=tuple(told["loops"].values()),
            place=place,
            changed_ns=path.stat().st_mtime_ns,
        )
        if told["frame"][-1] == 1:
            pixels, axes = pixels[..., 0], "tzcyx"
            channels = named_channels(told["names"], told["frame"][0], where=path.name)
        else:
            pixels, axes, channels = pixels[:, :, 0], "tzyxc", ["red", "green", "blue"]
        self._check_channels(channels)
        return make_planes(
            pixels,
            axes,
            channels=channels,
            pixel_size_um=told["pixel_size_um"],
            z_step_um=told["z_step_um"],
            time_s=told["time_s"],
            position=names[place],
            stage_um=told["stage_um"][place],
        )


def _library() -> Any:
    try:
        import nd2
    except ImportError as error:
        raise MissingDependencyError('reading .nd2 files needs nd2: pip install "integrate[microscopy]"') from error
    return nd2


def _header(path: Path) -> dict[str, Any]:
    told = _of_file(path, lambda file: _told(file, path))
    planned = math.prod(told["loops"].values())
    if told["recorded"] < planned:
        warn(f"{planned - told['recorded']} of {planned} frames of {path.name} were never recorded; they are 0")
    return told


def describe_file(path: Path) -> dict[str, Any]:
    """Return ``objective``, ``magnification`` and ``julian_day`` of the first frame, as far as the file keeps them.

    Raises
    ------
    DataError
        If it is no readable ND2.
    """
    return _of_file(path, _made)


def _made(file: Any) -> dict[str, Any]:
    lens = file.metadata.channels[0].microscope
    try:
        day = float(file.frame_metadata(0).channels[0].time.absoluteJulianDayNumber)
    except IndexError:  # the file keeps no times
        day = 0.0
    return {"objective": lens.objectiveName, "magnification": lens.objectiveMagnification, "julian_day": day}


def _of_file(path: Path, look: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    nd2 = _library()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of absent tables of times, which is dealt with here
            with nd2.ND2File(path) as file:
                if file.is_legacy:
                    raise DataError(f"{path.name} is an ND2 of the form before 2008; save it anew with NIS-Elements")
                return look(file)
    except DAMAGE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path.name} is not a readable ND2 file ({error}); it may be truncated") from error


def _told(file: Any, path: Path) -> dict[str, Any]:
    attributes, loops = file.attributes, file.experiment
    kinds = [loop.type for loop in loops]
    axes = [LOOPS.get(kind) for kind in kinds]
    if None in axes or len(set(axes)) < len(axes):
        raise DataError(f"{path.name} has loops {some(kinds)}; expected time, position and depth, each at most once")
    counts = {str(axis): int(loop.count) for axis, loop in zip(axes, loops, strict=True)}
    channels = attributes.channelCount or 1
    samples = attributes.componentCount // channels
    if (samples, channels) != (3, 1) and samples != 1:
        raise DataError(
            f"{path.name} has {channels} channels of {samples} samples; expected grey ones, or one of three"
        )
    volume = file.metadata.channels[0].volume
    x, y, z = (
        size if known else None for size, known in zip(volume.axesCalibration, volume.axesCalibrated, strict=True)
    )
    points = [loop.parameters.points for loop in loops if loop.type == "XYPosLoop"]
    return {
        "loops": counts,
        "recorded": attributes.sequenceCount,
        "frame": (channels, attributes.heightPx, attributes.widthPx, samples),
        "dtype": str(file.dtype),
        "names": [one.channel.name for one in file.metadata.channels],
        "pixel_size_um": None if x is None or y is None else (y, x),
        "z_step_um": z if "z" in counts else None,
        "time_s": _times(file, counts),
        "points": [point.name for point in points[0]] if points else [None],
        "stage_um": [list(point.stagePositionUm[:2]) for point in points[0]] if points else [None],
    }


def _times(file: Any, counts: dict[str, int]) -> list[float] | None:
    """Return the seconds of the first frame of each time point, ``None`` when the file did not keep them."""
    if counts.get("t", 1) < 2:
        return None
    axes = list(counts)
    step = math.prod(list(counts.values())[axes.index("t") + 1 :])
    try:
        metadata = [file.frame_metadata(number * step) for number in range(counts["t"])]
    except IndexError:
        return None
    times = [one.channels[0].time.relativeTimeMs / 1000 for one in metadata]
    return [round(time - times[0], 6) for time in times] if sorted(set(times)) == times else None


def _position(told: dict[str, Any], position: int | str | None, path: Path) -> tuple[int, list[str]]:
    """Return the number of a position, and the names of all; those without a name have their number."""
    names = [str(name or number) for number, name in enumerate(told["points"])]
    if position is None and len(names) > 1:
        raise ParameterError(f"{path.name} has positions {some(names)}; name one with position=")
    if position is None:
        return 0, names
    if isinstance(position, str) and names.count(position) > 1:
        raise ParameterError(f"{path.name} has {names.count(position)} positions {position!r}; give its number")
    if isinstance(position, str) and position in names:
        return names.index(position), names
    if isinstance(position, str) or not 0 <= position < len(names):
        raise ParameterError(f"{path.name} has no position {position!r}; it has {some(names)}")
    return position, names


def _read_frame(
    *, path: Path, order: str, counts: tuple[int, ...], place: int, changed_ns: int, block_info: Any = None
) -> np.ndarray[Any, Any]:
    """Return one frame as (1, 1, c, y, x, s); `changed_ns` is for its token, so that a rewritten file is read again."""
    import numpy as np

    bounds = block_info[None]["array-location"]
    at = {"t": bounds[0][0], "z": bounds[1][0], "p": place}
    index = int(np.ravel_multi_index([at[axis] for axis in order], counts)) if order else 0
    try:
        with _library().ND2File(path) as file:
            frame = np.array(file.read_frame(index))
    except DAMAGE as error:
        raise DataError(f"frame {index} of {path.name} cannot be decoded ({error}); the file is damaged") from error
    return frame.reshape([stop - start for start, stop in bounds])
