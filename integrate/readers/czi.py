"""Zeiss CZI: one scene as a lazy image with channels, planes and time points, in micrometres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, MissingDependencyError, ParameterError, some
from integrate.readers.base import Reader
from integrate.readers.planes import make_planes, named_channels

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Czi", "read_metadata"]

#: Pixels along y and x that one block decodes.
BLOCK = 2048
TYPES: dict[str, tuple[str, int]] = {
    "Gray8": ("uint8", 1),
    "Gray16": ("uint16", 1),
    "Gray32Float": ("float32", 1),
    "Bgr24": ("uint8", 3),
    "Bgr48": ("uint16", 3),
}


class Czi(Reader):
    """Read one scene of a CZI file lazily.

    Parameters
    ----------
    scene
        Number of the scene; needed when the file has several.

    Returns
    -------
    DataArray ``(t?, c, z?, y, x)``, Dask-backed, in blocks of 2048 pixels; a time or depth of length 1 is dropped.
    Tiles of a mosaic are put together; where none lies, pixels are 0. Channels are named as the microscope named them,
    those of a colour camera ``red``, ``green``, ``blue``. Coordinates are micrometres where the file states its
    scaling, else pixels.

    Raises
    ------
    DataError
        If the file is damaged or no CZI, its channels differ in type, or they are not those the catalog names.
    ParameterError
        If there is no such scene, or there are several and none is named.

    Examples
    --------
    >>> import numpy as np
    >>> from pylibCZIrw import czi
    >>> with czi.create_czi(str(tmp_path / "a.czi")) as writer:
    ...     _ = writer.write(data=np.ones((40, 50, 1), "uint16"), plane={"C": 0})
    ...     writer.write_metadata(document_name="a", channel_names={0: "DAPI"}, scale_x=5e-7, scale_y=5e-7)
    >>> image = Czi(url=tmp_path / "a.czi").read()
    >>> image.dims, image["c"].values.tolist(), image.attrs["integrate"]["pixel_size_um"]
    (('c', 'y', 'x'), ['DAPI'], [0.5, 0.5])
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, scene: int | None = None) -> xr.DataArray:
        import dask.array as da

        told = _header(path, scene)
        dtype, samples = told["type"]
        shape = tuple(told["sizes"].values())
        blocks = [(1,) * n for n in shape[:3]]
        chunks = (*blocks, *(da.core.normalize_chunks((BLOCK, BLOCK), shape[3:])), (samples,))
        pixels = da.map_blocks(
            _read_block,
            chunks=chunks,
            dtype=dtype,
            meta=_nothing(dtype),
            path=path,
            corner=told["corner"],
            scene=told["scene"],
            changed_ns=path.stat().st_mtime_ns,
        )
        if samples == 1:
            names = named_channels(told["names"], shape[1], where=path.name)
            pixels, axes = pixels[..., 0], "tczyx"
        elif shape[1] == 1:
            names, pixels, axes = ["red", "green", "blue"], pixels[:, 0], "tzyxc"
        else:
            raise DataError(f"{path.name} has {shape[1]} channels of colour; expected one, or channels of grey")
        self._check_channels(names)
        return make_planes(
            pixels,
            axes,
            channels=names,
            pixel_size_um=told["pixel_size_um"],
            z_step_um=told["z_step_um"],
            scene=told["scene"],
        )


def _library() -> Any:
    try:
        from pylibCZIrw import czi
    except ImportError as error:
        raise MissingDependencyError(
            'reading .czi files needs pylibCZIrw: pip install "integrate[microscopy]"'
        ) from error
    return czi


def _nothing(dtype: str) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.empty((0,) * 6, dtype)


def _header(path: Path, scene: int | None) -> dict[str, Any]:
    czi = _library()
    _check_magic(path)
    try:
        with czi.open_czi(str(path)) as file:
            box, scenes = file.total_bounding_box, dict(file.scenes_bounding_rectangle)
            kinds, metadata = set(file.pixel_types.values()), file.metadata
            whole = file.total_bounding_rectangle
    except (RuntimeError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path.name} is not a readable CZI file ({error}); it may be truncated") from error
    if scene is None and len(scenes) > 1:
        raise ParameterError(f"{path.name} has scenes {some(sorted(scenes))}; name one with scene=")
    if scene is not None and scene not in scenes:
        raise ParameterError(f"{path.name} has no scene {scene}; it has {some(sorted(scenes)) or 'only one, unnamed'}")
    if len(kinds) != 1 or not kinds <= set(TYPES):
        raise DataError(f"{path.name} holds pixels of type {some(sorted(kinds))}; expected one of {some(TYPES)}")
    number = scene if scene is not None else next(iter(scenes), None)
    place = whole if number is None else scenes[number]
    sizes = {axis: box.get(axis.upper(), (0, 1))[1] - box.get(axis.upper(), (0, 1))[0] for axis in "tcz"}
    steps = _steps_um(metadata)
    y, x = steps.get("Y"), steps.get("X")
    return {
        "sizes": {**sizes, "y": place.h, "x": place.w},
        "corner": (place.x, place.y),
        "scene": number,
        "type": TYPES[kinds.pop()],
        "names": _channel_names(metadata),
        "pixel_size_um": None if y is None or x is None else (y, x),
        "z_step_um": steps.get("Z"),
    }


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what the file says of itself, as nested names and values.

    Raises
    ------
    DataError
        If it is not a readable CZI.
    """
    czi = _library()
    _check_magic(path)
    try:
        with czi.open_czi(str(path)) as file:
            return dict(file.metadata)
    except (RuntimeError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path.name} is not a readable CZI file ({error}); it may be truncated") from error


def _check_magic(path: Path) -> None:
    with path.open("rb") as stream:
        if stream.read(10) != b"ZISRAWFILE":
            raise DataError(f"{path.name} is not a readable CZI file; it does not begin like one")


def _inside(metadata: Any, *names: str) -> Any:
    for name in names:
        metadata = metadata.get(name) if isinstance(metadata, dict) else None
    return metadata


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [] if found is None else [found]


def _steps_um(metadata: Any) -> dict[str, float]:
    """Return the distance of pixels along each axis; the file states metres."""
    steps = {}
    for one in _listed(_inside(metadata, "ImageDocument", "Metadata", "Scaling", "Items", "Distance")):
        value = float(one.get("Value") or 0)
        if 0 < value < float("inf"):
            steps[str(one.get("@Id"))] = value * 1e6
    return steps


def _channel_names(metadata: Any) -> list[str | None]:
    place = ("ImageDocument", "Metadata", "Information", "Image", "Dimensions", "Channels", "Channel")
    return [one.get("@Name") for one in _listed(_inside(metadata, *place))]


def _read_block(
    *, path: Path, corner: tuple[int, int], scene: int | None, changed_ns: int, block_info: Any = None
) -> np.ndarray[Any, Any]:
    """Return one block; `changed_ns` is there for its token, so that a rewritten file is read again."""
    (t, _), (c, _), (z, _), (top, bottom), (left, right), _ = block_info[None]["array-location"]
    czi = _library()
    region = (corner[0] + left, corner[1] + top, right - left, bottom - top)
    try:
        with czi.open_czi(str(path)) as file:
            pixels = file.read(roi=region, plane={"T": t, "C": c, "Z": z}, scene=scene)
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"a plane of {path.name} cannot be decoded ({error}); the file is damaged") from error
    return pixels[None, None, None, ..., ::-1]  # a colour camera's samples are stored blue, green, red
