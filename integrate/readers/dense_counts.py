"""Dense counts: a text with a column per spot or per gene, kept sparse, and the circles that it counts."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, SourceNotFoundError, some
from integrate.keys import INSTANCE_ID

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["circle_table", "find_one", "place_circles", "read_dense_counts", "read_rows"]

#: Rows held as numbers at a time; a puck has 50,000 columns.
ROWS = 200


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
        if len(found) > 1:
            names = some(one.name for one in found)
            raise ParameterError(
                f"{folder.name!r} has {len(found)} files like {pattern}: {names}; name one with {option}="
            )
        if found:
            return found[0]
    return None


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
    import pandas as pd
    from scipy.sparse import csr_matrix, vstack

    _check_end(file)
    parts, names, columns = [], [], []
    try:
        chunks = pd.read_csv(
            file,
            sep=_separator(file),
            index_col=0,
            chunksize=ROWS,
            skiprows=_comments(file),
            keep_default_na=False,  # a gene may be called NA
        )
        for chunk in chunks:
            values = chunk.to_numpy()
            if values.dtype.kind not in "iuf" or (values < 0).any() or (values != values).any():
                raise DataError(f"{file.name} has values that are no counts; expected numbers from 0 in every column")
            parts.append(csr_matrix(values.astype("float32")))
            names += chunk.index.astype(str).tolist()
            columns = chunk.columns.astype(str).tolist()
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file.name} is not a readable table of counts ({error}); it may be truncated") from error
    if not parts:
        raise DataError(f"{file.name} has no counts; it is cut off behind its header")
    return vstack(parts).tocsr(), names, columns


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


def _comments(file: Path) -> int:
    """Return the number of lines that begin with ``#`` before the table; a ``#`` in a gene's name is none."""
    lines = 0
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        while stream.readline(1_000_000).startswith(b"#"):
            lines += 1
    return lines


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
