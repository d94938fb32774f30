"""A placed image on disk: OME-Zarr whose coordinate transformations lead into the space in which it lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.align.grid import read_grid, set_space
from integrate.align.space import Space, check_meets
from integrate.align.store import describe_in, read_notes, read_transform
from integrate.align.transform import Affine, Transform
from integrate.errors import DataError, ParameterError
from integrate.model.image import channel_names, make_image, make_labels, pixel_size_um

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["read_placed", "write_placed"]

_SCALED = "scaled pixels"


def write_placed(
    image: Any,
    path: str | os.PathLike[str],
    *,
    transform: Transform | None = None,
    space: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an image or labels with their placement as OME-Zarr, whole or not at all.

    Parameters
    ----------
    image
        Image ``(c, y, x)`` or labels ``(y, x)``, ours or a SpatialData element, also cropped or lying obliquely.
    path
        Where to write; the name ends in ``.ome.zarr``.
    transform
        From the image's space to the one to write; None writes the image's own. May bend. Pixels do not change.
    space
        The coordinate system to start from, where an element lies in several.
    overwrite
        Whether something there may be replaced.

    Returns
    -------
    The path. Pixels and scales are OME-Zarr 0.5, which every viewer reads; ``coordinateSystems`` and
    ``coordinateTransformations`` (RFC-5; their fields are arrays of the group) lead from the scaled pixels, whose
    origin is the centre of the first one as OME-NGFF has it, into the space. Viewers that do not know them see the
    image unplaced.

    Raises
    ------
    DataError
        If it is no image of two dimensions; a volume keeps its place in NIfTI (`write_image`).
    AlignmentError
        If the transform starts in another space.
    ParameterError
        If the name has another ending, or something is there and may not be replaced.

    Examples
    --------
    >>> image = next(iter(ig.datasets.toy_study().each("fields")))
    >>> part = ig.set_space(ig.crop(image, x=(4, 12)), name="section")
    >>> again, way = ig.read_placed(ig.write_placed(part, tmp_path / "part.ome.zarr"))
    >>> way.map_points([[0, 0]]).tolist(), way.target.name
    ([[4.0, 0.0]], 'section')
    """
    import shutil
    import tempfile

    import zarr

    from integrate.readers.write import write_image, write_labels

    target = Path(path)
    if not target.name.endswith(".ome.zarr"):
        raise ParameterError(f"{target.name!r} does not end in .ome.zarr, which is what write_placed writes")
    if target.exists() and not overwrite:
        raise ParameterError(f"{target.name!r} is there already; pass overwrite=True to replace it")
    plain, way = _apart(image, transform, space, _bare(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        made = (write_image if "c" in plain.dims else write_labels)(plain, beside / target.name)
        group = zarr.open_group(made, mode="r+")
        said: Any = group.attrs["ome"]
        group.attrs["integrate"] = {"labels": "c" not in plain.dims}
        group.attrs["ome"] = {**said, **describe_in(group, way, key="placement")}
        if target.exists():
            target.rename(beside / "old")
        made.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def read_placed(path: str | os.PathLike[str]) -> tuple[xr.DataArray, Transform]:
    """Return what `write_placed` wrote: the image, and the transform from its coordinates to where it lies.

    Parameters
    ----------
    path
        The ``.ome.zarr`` folder.

    Returns
    -------
    The image, lazy, in a space of its own that begins at the outer corner of its first pixel, and the transform from
    there; `resample`, `move` and `load_subject` take it.

    Raises
    ------
    SourceNotFoundError
        If there is nothing.
    DataError
        If it holds no placement.

    Examples
    --------
    >>> ig.read_placed(tmp_path / "nothing.ome.zarr")
    Traceback (most recent call last):
    integrate.errors.SourceNotFoundError: no transform at ...
    """
    import numpy as np

    from integrate.readers.ome_zarr import OmeZarr

    way = read_transform(path)
    image = OmeZarr(url=str(path)).read()
    name = _bare(Path(path))
    if read_notes(path)["labels"]:
        image = make_labels(image.isel(c=0).data, pixel_size_um=pixel_size_um(image))
    image = set_space(image, name=name)
    grid = read_grid(image)
    corner = Affine.scale([1.0, 1.0], grid.space, way.source, offset=(-np.array(grid.size[::-1]) / 2).tolist())
    return image, corner.then(way)


def _bare(path: Path) -> str:
    return path.name.removesuffix(".ome.zarr")


def _apart(image: Any, transform: Transform | None, space: str | None, name: str) -> tuple[xr.DataArray, Transform]:
    """Return the pixels without their place, and the way from scaled pixels (centres) to where they lie."""
    import numpy as np

    grid = read_grid(image, space=space)
    if len(grid.shape) != 2:
        raise DataError("a volume keeps its place in NIfTI: write_image(volume, 'name.nii.gz')")
    if transform is not None:
        check_meets(grid.space, transform.source, what="the image")
    unit = grid.space.unit or "px"
    size = (grid.size[0], grid.size[1]) if unit == "um" else None
    if "c" in image.dims:
        plain = make_image(image.data, channels=channel_names(image), pixel_size_um=size)
    else:
        plain = make_labels(image.data, pixel_size_um=size)
    edge = np.array(size or (1.0, 1.0))[::-1]
    scaled = Space(f"{name} {_SCALED}", unit)
    pixels = Affine.scale((1 / edge).tolist(), scaled, grid.affine.source, offset=[0.5, 0.5])
    way = pixels.then(grid.affine)
    return plain, way if transform is None else way.then(transform)
