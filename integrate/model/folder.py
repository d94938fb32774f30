"""A folder of tables on disk: Parquet that keeps every dtype, and one JSON document; there whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from integrate.errors import DataError, SourceNotFoundError
from integrate.model.codec import decode_column, encode_column

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["arrow_schema", "read_document", "read_frame", "table_file", "write_document", "write_folder", "write_frame"]

#: Key in a table's attributes for the notes on columns stored as codes.
CODES = "integrate_codes"


def write_folder(
    path: str | os.PathLike[str], fill: Callable[[Path], None], *, document: str, what: str, overwrite: bool
) -> None:
    """Write a folder beside its place and then rename it.

    Parameters
    ----------
    path
        Folder to make.
    fill
        Writes the files into the folder it is given.
    document
        Name of the file by which such a folder is known; a folder without it is never replaced.
    what
        What the folder holds, for messages.
    overwrite
        Replace a folder of this kind.

    Raises
    ------
    FileExistsError
        If something is there already, and is not to be replaced or is something else.
    DataError
        If a table holds what no file can, for example Python objects.
    """
    target = Path(path)
    if target.exists() and not (overwrite and (target / document).is_file()):
        hint = "choose another name" if overwrite else f"choose another name, or replace a {what} with overwrite=True"
        raise FileExistsError(f"{target} is there already; {hint}")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, former = (target.with_name(f".{target.name}-{secrets.token_hex(4)}") for _ in range(2))
    draft.mkdir()
    try:
        fill(draft)
        if target.exists():
            target.rename(former)
        draft.rename(target)
    except (ValueError, TypeError) as error:  # pyarrow's, h5py's and json's words for what they cannot hold
        raise DataError(f"the {what} cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def table_file(folder: Path, name: str) -> Path:
    """Return where a table of a free name lies, whatever signs the name has."""
    return folder / "tables" / f"{quote(name, safe='')}.parquet"


def write_document(facts: Mapping[str, Any], file: Path) -> None:
    """Write plain values as JSON that people can read."""
    file.write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")


def read_document(folder: Path, name: str, *, what: str, format_: int) -> dict[str, Any]:
    """Return the document of a folder.

    Raises
    ------
    SourceNotFoundError
        If there is no such folder.
    DataError
        If it holds something else, or was written in another format.
    """
    if not folder.is_dir():
        raise SourceNotFoundError(f"no {what} folder at {folder}")
    try:
        document = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is not a {what}: {name} cannot be read ({error})") from error
    if not isinstance(document, dict) or document.get("format") != format_:
        found = document.get("format") if isinstance(document, dict) else None
        raise DataError(f"{folder} has {what} format {found!r}, this version reads {format_}")
    return document


def write_frame(frame: pd.DataFrame, file: Path) -> None:
    """Write a table as Parquet with every dtype.

    Categories that are not text, which Parquet forgets, are written as codes; a column without any value as text, so
    that a query can compare it with text.
    """
    import pandas as pd

    coded = {
        str(name): encode_column(frame[name])
        for name, dtype in frame.dtypes.items()
        if isinstance(dtype, pd.CategoricalDtype) and not all(isinstance(one, str) for one in dtype.categories)
    }
    stored = frame.assign(**{name: codes for name, (codes, _) in coded.items()})
    stored.attrs = {**frame.attrs, **({CODES: {name: notes for name, (_, notes) in coded.items()}} if coded else {})}
    stored.to_parquet(file, schema=arrow_schema(stored))


def arrow_schema(frame: pd.DataFrame) -> Any:
    """Return a table's Arrow schema, in which a column without any value is text."""
    import pyarrow as pa

    schema = pa.Schema.from_pandas(frame)
    for place, field in enumerate(schema):
        if pa.types.is_null(field.type):
            schema = schema.set(place, field.with_type(pa.string()))
    return schema


def read_frame(file: Path) -> pd.DataFrame:
    """Return a table that `write_frame` wrote.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    for name, notes in frame.attrs.pop(CODES, {}).items():
        frame[name] = decode_column(frame[name], notes, index=frame.index)
    return frame
