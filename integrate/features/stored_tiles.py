"""Colour images stored as JPEG tiles of a TIFF, as scanners write slides, decoded without a detour through Dask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from integrate.errors import DataError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["StoredTiles", "find_tiles"]

#: Codes of TIFF: compression by JPEG, and colours as red, green and blue or as brightness and two differences.
_JPEG: Final = 7
_RGB: Final = 2
_YCBCR: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class StoredTiles:
    """One level of a slide, ``(c, y, x)``: where its JPEG tiles lie in the file, and how they are decoded.

    tifffile and Dask spend as long around a tile as the decoder in it. `chunks` are as Dask has them; `tables` are what
    the tiles have in common, which TIFF keeps apart from them.
    """

    path: Path
    chunks: tuple[tuple[int, ...], ...]
    tile: tuple[int, int]
    offsets: np.ndarray[Any, Any]
    sizes: np.ndarray[Any, Any]
    tables: bytes | None
    colours: int | None
    nodata: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, rows and columns."""
        return tuple(sum(sizes) for sizes in self.chunks)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Eight bits per colour."""
        import numpy as np

        return np.dtype(np.uint8)

    def read(self, *bounds: tuple[int, int], into: object = None) -> np.ndarray[Any, Any]:
        """Return the values between bounds ``first, last`` along ``c, y, x``; colours lie side by side in memory.

        Raises
        ------
        DataError
            If a tile is damaged.
        """
        import numpy as np

        channels, (top, bottom), (left, right) = bounds
        high, wide = self.tile
        values = np.empty((bottom - top, right - left, self.shape[0]), np.uint8)
        with open(self.path, "rb", buffering=0) as file:
            for row, column in self._touched((top, bottom), (left, right)):
                y, x = row * high, column * wide
                tile = self._decode(file, row * -(-self.shape[2] // wide) + column)
                here_y, here_x = slice(max(y, top), min(y + high, bottom)), slice(max(x, left), min(x + wide, right))
                part = tile[here_y.start - y : here_y.stop - y, here_x.start - x : here_x.stop - x]
                values[here_y.start - top : here_y.stop - top, here_x.start - left : here_x.stop - left] = part
        return np.moveaxis(values, -1, 0)[slice(*channels)]

    def _touched(self, rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[tuple[int, int]]:
        high, wide = self.tile
        for row in range(rows[0] // high, -(-rows[1] // high)):
            for column in range(columns[0] // wide, -(-columns[1] // wide)):
                yield row, column

    def _decode(self, file: IO[bytes], number: int) -> np.ndarray[Any, Any]:
        """Return one tile ``(y, x, c)``; one that was never written holds what the file says of empty places."""
        import imagecodecs
        import numpy as np

        if self.sizes[number] == 0:
            return np.full((*self.tile, self.shape[0]), self.nodata, np.uint8)
        file.seek(int(self.offsets[number]))
        stored = file.read(int(self.sizes[number]))
        try:
            tile = imagecodecs.jpeg8_decode(stored, tables=self.tables, colorspace=self.colours, outcolorspace=_RGB)
        except (RuntimeError, ValueError) as error:
            raise DataError(f"tile {number} of {self.path} cannot be decoded ({error}); copy the file anew") from error
        if tile.shape != (*self.tile, self.shape[0]):
            raise DataError(f"tile {number} of {self.path} is {tile.shape}, expected {self.tile}; copy the file anew")
        return np.asarray(tile)


def find_tiles(array: Any) -> StoredTiles | None:
    """Return the JPEG tiles that a Dask array is made of as it is, or None where it is made otherwise."""
    import numpy as np

    from integrate.readers.tiff import open_page, page_behind

    source = page_behind(array) if hasattr(array, "dask") and array.ndim == 3 else None
    if source is None or array.dtype != np.uint8:
        return None
    path, offset = source
    with open_page(path, offset) as page:
        plain = page.is_tiled and page.planarconfig == 1 and page.imagedepth == 1 and page.bitspersample == 8
        jpeg = page.compression == _JPEG and page.photometric in (_RGB, _YCBCR) and page.fillorder == 1
        if not (plain and jpeg and page.samplesperpixel == 3 and not page.extrasamples):
            return None
        return StoredTiles(
            path=path,
            chunks=array.chunks,
            tile=(page.tilelength, page.tilewidth),
            offsets=np.array(page.dataoffsets, np.int64),
            sizes=np.array(page.databytecounts, np.int64),
            tables=page.jpegtables,
            colours=_RGB if page.photometric == _RGB and not page.is_jfif else None,  # Aperio stores RGB as it is
            nodata=int(page.nodata),
        )
