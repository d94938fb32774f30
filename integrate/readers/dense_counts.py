"""Dense counts: a text with a column per spot or per gene, kept sparse, and the circles that it counts."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, SourceNotFoundError, some
from integrate.keys import INSTANCE_ID

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["circle_table", "find_one", "only_one", "place_circles", "read_dense_counts", "read_rows"]

#: Bytes of text looked at together.
BLOCK = 16_000_000


def find_one(folder: Path, patterns: Sequence[str], wanted: str | None, option: str) -> Path | None:
    """Return the file of a name, else the only one of the first pattern that finds any; ``None`` when none does.

    Raises
    ------
    SourceNotFoundError
        If the named file is not there.
    ParameterError
        If a pattern finds several.
    """
    if wanted is not None:
        if Path(wanted).name != wanted or not (folder / wanted).is_file():
            held = some(sorted(one.name for one in folder.iterdir()), limit=12)
            raise SourceNotFoundError(f"no file {wanted!r} in {folder.name!r}, as {option}= says; it holds {held}")
        return folder / wanted
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if found:
            return only_one(found, folder, pattern, option)
    return None


def only_one(found: Sequence[Path], folder: Path, pattern: str, option: str) -> Path:
    """Return the only file that was found.

    Raises
    ------
    ParameterError
        If there are several.
    """
    if len(found) > 1:
        names = some(one.name for one in found)
        raise ParameterError(f"{folder.name!r} has {len(found)} files like {pattern}: {names}; name one with {option}=")
    return found[0]


def read_rows(file: Path, **options: Any) -> pd.DataFrame:
    """Return a table of text, its separator told by the name (``.csv``, else tabs), gzipped or not.

    Raises
    ------
    DataError
        If it is damaged, or its last line is not complete.
    """
    import pandas as pd

    _check_end(file)
    try:
        return pd.read_csv(file, sep=_separator(file), **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{file.name} is not a readable table ({error}); it may be truncated") from error


def read_dense_counts(file: Path) -> tuple[Any, list[str], list[str]]:
    """Return a sparse matrix, rows × columns as stored, and the names of both.

    Raises
    ------
    DataError
        If the file is damaged, or holds what are no counts.
    """
    import numpy as np
    from scipy.sparse import csr_matrix, vstack

    _check_end(file)
    parts: list[Any] = []
    names: list[str] = []
    columns: list[str] = []
    try:
        with _opened(file) as stream:
            header = next(line for line in iter(stream.readline, b"") if not line.startswith(b"#"))
            columns = _fields(header.rstrip(b"\r\n"), file)
            for block in _whole_lines(stream):
                if not parts:  # the header may name the column of names, or not
                    width = len(_fields(block[: block.index(b"\n")].rstrip(b"\r"), file)) - 1
                    columns = columns[1:] if len(columns) == width + 1 else columns
                found, counts, at, values = _scan(block, file, len(columns), before=len(names))
                names += found
                parts.append(csr_matrix((values, at, counts), shape=(len(found), len(columns))))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, StopIteration) as error:
        raise DataError(f"{file.name} is not a readable table of counts ({error}); it may be truncated") from error
    if not names:
        raise DataError(f"{file.name} has no counts; it is cut off behind its header")
    return vstack(parts, dtype=np.float32).tocsr(), names, columns


def _opened(file: Path) -> Any:
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")


def _fields(line: bytes, file: Path) -> list[str]:
    return [one.strip('"') for one in line.decode().split(_separator(file))]


def _whole_lines(stream: Any) -> Iterator[bytes]:
    """Yield the text in blocks of whole lines."""
    rest = b""
    while block := stream.read(BLOCK):
        whole, newline, tail = block.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = tail
        else:
            rest += tail
    if rest:
        yield rest + b"\n"


def _scan(block: bytes, file: Path, columns: int, *, before: int) -> tuple[list[str], Any, Any, Any]:
    """Return the names of the rows of a block and their counts as compressed rows."""
    import numpy as np

    from integrate.readers.count_kernels import BAD_COUNT, scan_rows

    text = np.frombuffer(block, np.uint8)
    rows, most = block.count(b"\n"), block.count(_separator(file).encode())
    names, starts = np.empty((rows, 2), np.int64), np.empty(rows + 1, np.int64)
    at, values = np.empty(most, np.int32), np.empty(most, np.float32)
    read, fault = scan_rows(text, ord(_separator(file)), columns, names, starts, at, values)
    if fault == BAD_COUNT:
        raise DataError(f"{file.name} has values that are no counts; expected numbers from 0 in every column")
    if fault:
        raise DataError(
            f"row {before + read + 1} of {file.name} has not the {columns} counts of its header; the file is damaged"
        )
    found = [block[start:stop].decode().strip('"') for start, stop in names[:read].tolist()]
    last = int(starts[read])
    return found, starts[: read + 1], at[:last].copy(), values[:last].copy()


def place_circles(centres: np.ndarray[Any, Any], radius: float, space: str) -> Any:
    """Return circles of one size in a space, index ``instance_id`` 0, 1, …."""
    import numpy as np
    import pandas as pd
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    circles = ShapesModel.parse(centres, geometry=0, radius=radius, transformations={space: Identity()})
    circles.index = pd.Index(np.arange(len(circles)), name=INSTANCE_ID)
    return circles


def circle_table(matrix: Any, obs: pd.DataFrame, genes: list[str], centres: np.ndarray[Any, Any], region: str) -> Any:
    """Return counts as a table that annotates the circles `region` in their order."""
    import anndata as ad
    import numpy as np
    import pandas as pd
    from anndata.utils import make_index_unique
    from spatialdata.models import TableModel

    obs = obs.assign(region=pd.Categorical([region] * len(obs)))
    obs[INSTANCE_ID] = np.arange(len(obs))
    table = ad.AnnData(matrix, obs=obs, var=pd.DataFrame({"symbol": genes}, index=make_index_unique(pd.Index(genes))))
    table.obsm["spatial"] = centres
    return TableModel.parse(table, region=region, region_key="region", instance_key=INSTANCE_ID)


def _separator(file: Path) -> str:
    return "," if file.name.removesuffix(".gz").endswith(".csv") else "\t"


def _check_end(file: Path) -> None:
    """Refuse a text whose last line is cut off; a gzipped one tells by itself."""
    if file.suffix == ".gz":
        try:
            with gzip.open(file) as stream:
                stream.read(1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{file.name} is not a readable gzip file ({error})") from error
        return
    with file.open("rb") as stream:
        stream.seek(max(file.stat().st_size - 1, 0))
        if stream.read(1) != b"\n":
            raise DataError(f"the last line of {file.name} is not complete; the file is cut off, copy it again")
