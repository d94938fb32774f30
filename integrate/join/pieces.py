"""Pieces of one assay, such as a table per image, as one: their rows under each other where they measure the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, some
from integrate.join.rows import Rows
from integrate.model.feature import FEATURE_COLUMNS
from integrate.model.provenance import hash_settings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["stack_pieces"]

#: Feature columns in which pieces of one assay must agree: a mean over two units would be a wrong number.
MEANING: tuple[str, ...] = ("unit", "level", "definition", "channel", "statistic")
#: Feature columns in which pieces may differ; a hash of all of them stands for the assay.
ORIGIN: tuple[str, ...] = tuple(column for column in FEATURE_COLUMNS if column not in MEANING)


def stack_pieces(pieces: Sequence[Rows]) -> Rows:
    """Return the rows of all pieces under each other; a feature that a piece lacks is missing there.

    Raises
    ------
    AlignmentError
        If pieces mean different things by one feature name.
    """
    import numpy as np
    import pandas as pd

    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    var = _shared_features(pieces)
    notes = []
    lacking = {f: sum(f not in piece.var.index for piece in pieces) for f in var.index}
    if any(lacking.values()):
        told = [f"{f} ({n} of {len(pieces)})" for f, n in lacking.items() if n]
        notes.append(f"features that some pieces do not have are missing there: {some(told)}")
    values = _stacked_values(pieces, var.index)
    ids = pd.concat([piece.ids for piece in pieces], ignore_index=True)
    columns = pd.concat([piece.columns for piece in pieces], ignore_index=True)
    for column in columns:  # concat turns categories that differ between pieces into text
        if all(isinstance(p.columns[column].dtype, pd.CategoricalDtype) for p in pieces if column in p.columns):
            columns[column] = columns[column].astype("category")
    labels = [label for piece in pieces for label in piece.labels]
    empty = tuple(ids for piece in pieces for ids in piece.empty)
    return Rows(
        first.name,
        values if len(labels) else np.empty((0, len(var))),
        var,
        ids,
        columns,
        labels,
        first.level,
        empty=empty,
        notes=tuple(notes),
    )


def _stacked_values(pieces: Sequence[Rows], features: pd.Index[Any]) -> Any:
    import numpy as np
    from scipy import sparse

    same = all(piece.var.index.equals(features) for piece in pieces)
    if same and all(hasattr(piece.values, "tocsr") for piece in pieces):
        return sparse.vstack([piece.values for piece in pieces], format="csr")
    blocks = []
    for piece in pieces:
        block = np.full((len(piece.labels), len(features)), np.nan)
        dense = piece.values.toarray() if hasattr(piece.values, "toarray") else piece.values
        block[:, features.get_indexer(piece.var.index)] = dense
        blocks.append(block)
    return np.vstack(blocks)


def _shared_features(pieces: Sequence[Rows]) -> pd.DataFrame:
    """Return one row per feature of any piece.

    Raises
    ------
    AlignmentError
        If two pieces mean different things by one feature name.
    """
    import pandas as pd

    every = pd.concat([piece.var for piece in pieces])
    every.index.name = None
    grouped = every.groupby(level=0, sort=False)
    clashes = [
        f"{feature}: {column} {' / '.join(map(repr, every.loc[feature, column].unique()))}"
        for column in MEANING
        for feature in grouped[column].nunique().loc[lambda n: n > 1].index
    ]
    if clashes:
        raise AlignmentError(
            f"the pieces of {pieces[0].name!r} do not measure the same thing: {some(clashes)}; link them as two "
            "assays, or measure them alike"
        )
    shared = every[~every.index.duplicated()].copy()
    for column in ORIGIN:
        several = grouped[column].nunique() > 1
        joined = grouped[column].agg(_all_tools if column == "tool" else _hash_of_all)
        shared[column] = shared[column].where(~several.reindex(shared.index), joined.reindex(shared.index))
    return shared


def _all_tools(tools: Iterable[str]) -> str:
    return " / ".join(sorted(set(tools)))


def _hash_of_all(hashes: Iterable[str]) -> str:
    return hash_settings(sorted(set(hashes)))
