"""Directories of a TIFF: where they, and what they point to, end, so that a file that is cut off is known."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from integrate.errors import DataError

__all__ = ["check_directories", "last_byte"]

#: Bytes of a value of a TIFF by the number of its type.
VALUE_BYTES: dict[int, int] = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
#: Tag of Hamamatsu's slides.
NDPI = 65420


def last_byte(path: Path) -> int | None:
    """Return where a TIFF ends by its own directories, ``None`` when it is no TIFF that can be followed."""
    import tifffile

    try:
        end = max((max(ends) for ends in _directories(path)), default=0)
        if end > path.stat().st_size:
            return end
        with tifffile.TiffFile(path) as tiff:
            if tiff.is_lsm:
                return None  # Zeiss states the bytes before compression
            ends = [
                start + count
                for page in tiff.pages
                for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)
            ]
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError, struct.error):
        return None
    return max(end, *ends)


def _directories(path: Path) -> Iterator[tuple[int, int]]:
    """Yield where each directory of a TIFF ends, and where the values end that it points to.

    Raises
    ------
    ValueError
        If it is no TIFF, or one of Hamamatsu, whose offsets are of another length.
    """
    with path.open("rb") as stream:
        head = stream.read(16)
        order, kind = {b"II": "<", b"MM": ">"}.get(head[:2]), head[2:4].strip(b"\0")
        if order is None or kind not in (b"*", b"+"):
            raise ValueError(f"{path.name} is no TIFF")
        number, entry, count = ("Q", "HHQQ", "Q") if kind == b"+" else ("I", "HHII", "H")
        width, at = struct.calcsize(number), struct.unpack_from(order + number, head, 8 if kind == b"+" else 4)[0]
        seen: set[int] = set()
        while at and at not in seen:
            seen.add(at)
            stream.seek(at)
            read = stream.read(struct.calcsize(count))
            rows = int.from_bytes(read, "little" if order == "<" else "big") * struct.calcsize("<" + entry)
            held = stream.read(rows + width)
            end = at + struct.calcsize(count) + rows + width
            told = list(struct.iter_unpack(order + entry, held[:rows])) if len(held) == rows + width else []
            if any(tag == NDPI for tag, *_ in told):
                raise ValueError(f"{path.name} is of Hamamatsu")
            sizes = ((VALUE_BYTES.get(of_type, 0) * length, place) for _, of_type, length, place in told)
            yield end, max((place + size for size, place in sizes if size > width), default=0)
            at = struct.unpack(order + number, held[rows:])[0] if told else 0


def check_directories(path: Path) -> None:
    """Refuse a TIFF whose directories lie behind its end, which tifffile leaves out with a line in its log.

    Raises
    ------
    DataError
        If it is so.
    """
    try:
        end = max(end for end, _ in _directories(path))
    except (ValueError, struct.error):  # no TIFF: said better where it is opened
        return
    if end > (size := path.stat().st_size):
        raise DataError(f"{path.name} is truncated: its pages end at byte {end:,}, the file at {size:,}; copy it again")
