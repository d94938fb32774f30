"""GCT: a text matrix of genes × samples that says how large it is and what describes its rows and columns."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, some
from integrate.keys import ATTRS, MISSING_TEXTS
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import anndata as ad

__all__ = ["Gct"]


class Gct(Reader):
    r"""Read a GCT 1.2 or 1.3 file (plain or gzipped) as AnnData.

    Parameters
    ----------
    keys
        Which ids it holds: ``obs_names`` to their namespace. Noted in ``uns["integrate"]["keys"]``.
    missing
        Texts that mean "missing".

    Returns
    -------
    AnnData, observations × features, float64, missing values NaN. What describes features is in ``var``, what describes
    observations (GCT 1.3) in ``obs``, as text.

    Raises
    ------
    DataError
        If the file is truncated or ragged, a value is no number, or an observation or feature has no name or that of
        another.

    Examples
    --------
    >>> _ = (tmp_path / "a.gct").write_text("#1.2\n1\t2\nName\tDescription\tS1\tS2\nEGFR\tna\t1.5\t2\n")
    >>> Gct(url=tmp_path / "a.gct").read().to_df()["EGFR"].to_dict()
    {'S1': 1.5, 'S2': 2.0}
    """

    output_instance = "anndata:AnnData"

    def _open(
        self, path: Path, *, keys: Mapping[str, str] | None = None, missing: Sequence[str] = MISSING_TEXTS
    ) -> ad.AnnData:
        import anndata as ad
        import pandas as pd

        head, described, above, body = _gct(_rows(path), path)
        names = [row[0] for row in body]
        width = len(described)
        values = _numbers([row[1 + width :] for row in body], names, head, missing, path)
        var = pd.DataFrame([row[1 : 1 + width] for row in body], columns=described, index=names, dtype=object)
        obs = pd.DataFrame(dict(above), index=head, dtype=object)
        _check_names(names, "row", path)
        _check_names(head, "column", path)
        data = ad.AnnData(values.T.copy(), obs=obs, var=var)
        data.uns[ATTRS] = {"keys": dict(keys or {}), "missing_values": int((values != values).sum())}
        return data


def _rows(path: Path) -> Iterator[list[str]]:
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
            yield from (row for row in csv.reader(stream, delimiter="\t") if row)
    except (csv.Error, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path.name} is not a readable GCT file ({error}); it may be truncated") from error


def _gct(
    rows: Iterator[list[str]], path: Path
) -> tuple[list[str], list[str], list[tuple[str, list[str]]], list[list[str]]]:
    version, sizes = next(rows, [""])[0].strip(), next(rows, [])
    try:
        counts = [int(size) for size in sizes if size]
    except ValueError as error:
        raise DataError(f"{path.name} is no GCT file: its second line should be numbers, found {sizes}") from error
    if version not in ("#1.2", "#1.3") or len(counts) != (2 if version == "#1.2" else 4):
        raise DataError(f"{path.name} is no GCT file of version 1.2 or 1.3: it begins {version!r}, {sizes}")
    height, width, describing, above = (*counts, 1, 0)[:4] if version == "#1.2" else counts
    header = next(rows, [])
    body = list(rows)
    if len(header) != 1 + describing + width or len(body) != above + height:
        found = f"{len(body) - above} rows and {len(header) - 1 - describing} columns"
        raise DataError(f"{path.name} promises {height} rows and {width} columns and has {found}; it is truncated")
    _check_widths(body, len(header), path)
    over = [(row[0], row[1 + describing :]) for row in body[:above]]
    return header[1 + describing :], header[1 : 1 + describing], over, body[above:]


def _check_widths(body: Sequence[Sequence[str]], width: int, path: Path) -> None:
    ragged = [number for number, row in enumerate(body, start=1) if len(row) != width]
    if ragged:
        found = len(body[ragged[0] - 1])
        raise DataError(
            f"{len(ragged)} rows of {path.name} are of another length than its header ({width} fields), the first is "
            f"value row {ragged[0]} with {found}; the file is cut off or a name is not quoted"
        )


def _numbers(
    cells: Sequence[Sequence[str]], names: Sequence[str], head: Sequence[str], missing: Sequence[str], path: Path
) -> Any:
    import numpy as np

    absent = set(missing)
    values = np.full((len(cells), len(head)), np.nan)
    for i, row in enumerate(cells):
        try:
            values[i] = np.array(row, dtype=float)  # fast, where every value is there
            continue
        except ValueError:
            pass
        for j, text in enumerate(row):
            if text in absent:
                continue
            try:
                values[i, j] = float(text)
            except ValueError as error:
                where = f"row {names[i]!r}, column {head[j]!r}"
                raise DataError(f"{path.name} has {text!r} at {where}; expected numbers") from error
    return values


def _check_names(names: Sequence[str], kind: str, path: Path) -> None:
    import pandas as pd

    index = pd.Index(names)
    repeated = index[index.duplicated()].unique()
    if len(repeated) or "" in names:
        what = f"{len(repeated)} {kind} names of {path.name} repeat: {some(repeated)}" if len(repeated) else ""
        raise DataError(what or f"a {kind} of {path.name} has no name; every {kind} needs its own")
