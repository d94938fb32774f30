"""Many slices in one DICOM file: the frames of an enhanced image, the tiles of a Siemens mosaic."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from integrate.errors import DataError
from integrate.readers.dicom_files import Slice

__all__ = ["is_mosaic", "split_slices"]

#: Private elements of Siemens: how many tiles, and the header that holds their direction.
MOSAIC_COUNT = (0x0019, 0x100A)
CSA_HEADER = (0x0029, 0x1010)


def split_slices(one: Slice) -> list[Slice]:
    """Return the slices a file holds, each with a header of its own; a file of one slice is returned as it is.

    Raises
    ------
    DataError
        If the file does not say where its slices lie.
    """
    if "PerFrameFunctionalGroupsSequence" in one.header:
        return list(_frames(one))
    if is_mosaic(one):
        return list(_tiles(one))
    return [one]


def is_mosaic(one: Slice) -> bool:
    """Return whether a file is a Siemens mosaic, or a tile of one."""
    return "MOSAIC" in (one.header.get("ImageType") or ())


def _frames(one: Slice) -> Iterator[Slice]:
    """Yield the frames of an enhanced image; what its functional groups say of a frame becomes its header."""
    from pydicom.dataset import Dataset

    base = Dataset()
    for element in one.header:
        if element.VR != "SQ" and not element.tag.is_private:
            base.add(element)
    for shared in one.header.get("SharedFunctionalGroupsSequence") or ():
        _flatten(shared, base)
    count = int(one.header.get("NumberOfFrames") or 1)
    groups = one.header.PerFrameFunctionalGroupsSequence
    if len(groups) != count:
        raise DataError(f"{one.name} holds {count} frames and describes {len(groups)}; the file is damaged")
    for number, group in enumerate(groups):
        header = Dataset()
        header.update(base)
        header.file_meta = one.header.file_meta
        _flatten(group, header)
        yield replace(one, header=header, frame=number)


def _flatten(group: Any, into: Any) -> None:
    for macro in group:
        if macro.VR == "SQ" and len(macro.value) == 1:
            for element in macro.value[0]:
                if element.VR != "SQ" and not element.tag.is_private:
                    into.add(element)


def _tiles(one: Slice) -> Iterator[Slice]:
    """Yield the slices tiled in a mosaic; its position is that of a large image centred on the first slice."""
    import numpy as np
    from pydicom.dataset import Dataset

    header = one.header
    count = header.get(MOSAIC_COUNT)
    csa = header.get(CSA_HEADER)
    normal = _csa_numbers(csa.value, "SliceNormalVector") if csa is not None else []
    if count is None or len(normal) != 3 or "SpacingBetweenSlices" not in header:
        raise DataError(f"{one.name} is a Siemens mosaic without the private header that says where its slices lie")
    across = math.ceil(math.sqrt(int(count.value)))
    rows, columns = int(header.Rows) // across, int(header.Columns) // across
    axes = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    row_step, column_step = (float(v) for v in header.PixelSpacing)
    corner = np.array(header.ImagePositionPatient, float)
    corner += (
        axes[1] * row_step * (int(header.Rows) - rows) / 2 + axes[0] * column_step * (int(header.Columns) - columns) / 2
    )
    for number in range(int(count.value)):
        part = Dataset()  # Dataset(header) would share its elements
        part.update(header)
        part.file_meta = header.file_meta
        part.add_new("Rows", "US", rows)
        part.add_new("Columns", "US", columns)
        place = corner + number * float(header.SpacingBetweenSlices) * np.array(normal)
        part.add_new("ImagePositionPatient", "DS", [float(v) for v in place.round(6)])
        yield replace(one, header=part, tile=(number // across * rows, number % across * columns))


def _csa_numbers(data: bytes, wanted: str) -> list[float]:
    """Return the numbers of one field of a Siemens CSA header; empty when it has none.

    The header is ``SV10``, four bytes, the number of fields; a field is a name (64 bytes), multiplicity, type and
    number of items; an item is four lengths and its text, padded to four bytes.
    """
    if data[:4] != b"SV10":
        return []
    count, position = struct.unpack_from("<I", data, 8)[0], 16
    for _ in range(min(count, 1000)):
        name, _, _, _, items, _ = struct.unpack_from("<64si4siii", data, position)
        position += 84
        texts = []
        for _ in range(items):
            length = struct.unpack_from("<4i", data, position)[1]
            texts.append(data[position + 16 : position + 16 + length].partition(b"\0")[0].strip())
            position += 16 + (length + 3) // 4 * 4
        if name.partition(b"\0")[0].decode("latin-1") == wanted:
            return [float(text) for text in texts if text]
    return []
