"""A folder with one single-channel TIFF per channel, as MIBI and many in-house pipelines write it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, SourceNotFoundError, some
from integrate.model.image import make_image
from integrate.readers.base import Reader
from integrate.readers.tiff import check_pixel_size, lazy_page

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ChannelFolder"]


class ChannelFolder(Reader):
    """Read a folder of single-channel TIFF files as one lazy image; the file name is the channel name.

    Returns
    -------
    DataArray ``(c, y, x)``, Dask-backed, one chunk per channel, in the order the catalog names the channels (or
    alphabetical). The pixel size is what the catalog says; these files do not carry one, and without it coordinates
    are in pixels. Channels that are in the folder and not named are listed in ``attrs["integrate"]["left_out"]``.

    Raises
    ------
    SourceNotFoundError
        If the folder or a channel the catalog names is absent.
    DataError
        If a file is truncated, not a TIFF, has more than one page, or differs in shape or type from the others; if two
        files have the name of one channel.
    ParameterError
        If the pixel size is not two positive numbers.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> for name in ("DNA", "CD3"):
    ...     tifffile.imwrite(tmp_path / f"{name}.tif", np.ones((4, 5), "uint16"))
    >>> image = ChannelFolder(url=tmp_path).read()
    >>> image.dims, image["c"].values.tolist()
    (('c', 'y', 'x'), ['CD3', 'DNA'])
    """

    output_instance = "xarray:DataArray"
    is_folder = True

    def _open(
        self, path: Path, *, channels: Sequence[str] | None = None, pixel_size_um: Sequence[float] | None = None
    ) -> xr.DataArray:
        import dask.array as da

        size = check_pixel_size(pixel_size_um)
        declared = channels or [str(channel["name"]) for channel in self.metadata.get("channels") or []]
        files, left_out = _channel_files(path, declared)
        pages = {name: lazy_page(file) for name, file in files.items()}
        kinds: dict[Any, list[str]] = {}
        for name, page in pages.items():
            kinds.setdefault((page.shape, page.dtype), []).append(name)
        if len(kinds) > 1:
            found = "; ".join(f"{shape} {dtype}: {some(names)}" for (shape, dtype), names in kinds.items())
            raise DataError(f"channels of {path.name} differ in shape or type: {found}")
        return make_image(da.stack(list(pages.values())), channels=list(files), pixel_size_um=size, left_out=left_out)


def _channel_files(folder: Path, declared: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """Return the files to read by channel, and the channels that are there and not wanted."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in (".tif", ".tiff") or file.name.startswith("."):  # "._CD3.tif" is a Mac's shadow
            continue
        if file.stem in found:
            raise DataError(f"{found[file.stem].name!r} and {file.name!r} are the same channel; keep one of them")
        found[file.stem] = file
    if not found:
        raise SourceNotFoundError(f"no TIFF file in folder {folder.name!r}; expected one per channel")
    missing = [name for name in declared if name not in found]
    if missing:
        raise SourceNotFoundError(
            f"{len(missing)} of {len(declared)} channels are not in folder {folder.name!r}: {some(missing)}; "
            f"{len(found)} files found"
        )
    wanted = {name: found[name] for name in declared} if declared else found
    return wanted, [name for name in found if name not in wanted]
