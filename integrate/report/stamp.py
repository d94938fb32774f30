"""The stamp of a kept figure or table: which report it belongs to and which data went in, inside the file itself."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["STAMP", "read_stamp", "stamp_files", "stamp_of"]

#: Keyword of the text in a PNG, id of the element in an SVG, key of the metadata in a Parquet file.
STAMP: Final = "integrate"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_SVG_END: Final = b"</svg>"


def stamp_of(facts: Mapping[str, Any]) -> str:
    """Return what a file says of its report, as JSON text.

    Parameters
    ----------
    facts
        The reproducible part of the manifest.
    """
    loads = [
        {"dataset": f"{load.get('catalog', '')}: {load.get('entry', '')}", "sha256": load.get("sha256")}
        for load in facts["loads"]
    ]
    files = [{"file": file["name"], "sha256": file["sha256"]} for file in facts["files"]]
    distinct = {json.dumps(one, sort_keys=True): one for one in (*loads, *files)}
    return json.dumps(
        {
            "report_id": facts["report_id"],
            "notebook": facts["notebook"],
            "parameters": facts["parameters"],
            "sources": [distinct[key] for key in sorted(distinct)],
        }
    )


def stamp_files(place: Path, names: Iterable[str], text: str) -> None:
    """Write the stamp into every PNG, SVG and Parquet file; a CSV has no room for it and stays as it is.

    Parameters
    ----------
    place
        Folder of the run.
    names
        Files, relative to it.
    text
        From `stamp_of`.
    """
    writers = {".png": _stamp_png, ".svg": _stamp_svg, ".parquet": _stamp_parquet}
    for name in names:
        if writer := writers.get(Path(name).suffix):
            writer(place / name, text)


def read_stamp(path: Path) -> dict[str, Any] | None:
    """Return what a kept figure or table says of its report; ``None`` when it says nothing.

    Examples
    --------
    >>> _ = (tmp_path / "a.svg").write_text("<svg></svg>")
    >>> stamp_files(tmp_path, ["a.svg"], '{"report_id": "0123"}')
    >>> read_stamp(tmp_path / "a.svg")
    {'report_id': '0123'}
    """
    found = {".png": _png_text, ".svg": _svg_text, ".parquet": _parquet_text}[path.suffix](path)
    return None if found is None else dict(json.loads(found))


def _stamp_png(path: Path, text: str) -> None:
    content = path.read_bytes()
    body = b"iTXt" + STAMP.encode() + b"\0\0\0\0\0" + text.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    after_header = len(_PNG) + 25  # the header chunk has 13 bytes of data and always comes first
    path.write_bytes(content[:after_header] + chunk + content[after_header:])


def _png_text(path: Path) -> str | None:
    content, place = path.read_bytes(), len(_PNG)
    start = STAMP.encode() + b"\0\0\0\0\0"
    while place + 8 <= len(content):
        length = struct.unpack(">I", content[place : place + 4])[0]
        data = content[place + 8 : place + 8 + length]
        if content[place + 4 : place + 8] == b"iTXt" and data.startswith(start):
            return data[len(start) :].decode()
        place += length + 12
    return None


def _stamp_svg(path: Path, text: str) -> None:
    from html import escape

    head, end, tail = path.read_bytes().rpartition(_SVG_END)
    element = f'<metadata id="{STAMP}">{escape(text)}</metadata>\n'.encode()
    path.write_bytes(head + element + end + tail)


def _svg_text(path: Path) -> str | None:
    from html import unescape

    _, mark, rest = path.read_text(encoding="utf-8").rpartition(f'<metadata id="{STAMP}">')
    return unescape(rest.partition("</metadata>")[0]) if mark else None


def _stamp_parquet(path: Path, text: str) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    known = dict(table.schema.metadata or {})
    pq.write_table(table.replace_schema_metadata({**known, STAMP.encode(): text.encode()}), path)


def _parquet_text(path: Path) -> str | None:
    import pyarrow.parquet as pq

    found = (pq.read_schema(path).metadata or {}).get(STAMP.encode())
    return None if found is None else str(found.decode())
