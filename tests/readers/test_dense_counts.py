"""A text of counts is read as pandas reads it, and refused where it is not one table of numbers from 0."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.errors import DataError
from integrate.readers import dense_counts
from integrate.readers.dense_counts import read_dense_counts

NUMBERS = st.one_of(
    st.just("0"),
    st.integers(0, 2**24).map(str),
    st.floats(0, 1e6, width=32).map(str),
    st.sampled_from(["1e+05", "2.5E3", "7.", ".5", "1e-2", "0.0", "00"]),
)
NAMES = st.text("ABCxyz#-._ ", min_size=1, max_size=6).filter(lambda one: one == one.strip() and one[0] != "#")


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    rows=st.lists(NAMES, min_size=1, max_size=6, unique=True),
    columns=st.lists(NAMES, min_size=1, max_size=6, unique=True),
    corner=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n"]),
    quoted=st.booleans(),
    block=st.integers(1, 80),
)
def test_any_table_of_numbers_is_what_pandas_reads(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    rows: list[str],
    columns: list[str],
    corner: bool,
    newline: str,
    quoted: bool,
    block: int,
) -> None:
    held = [data.draw(st.lists(NUMBERS, min_size=len(columns), max_size=len(columns))) for _ in rows]
    file = tmp_path_factory.mktemp("counts") / "a.tsv"
    mark = '"' if quoted else ""
    lines = ["\t".join([*(["GENE"] if corner else []), *(f"{mark}{one}{mark}" for one in columns)])]
    lines += ["\t".join([f"{mark}{name}{mark}", *values]) for name, values in zip(rows, held, strict=True)]
    file.write_text("#made by hand\n" + newline.join(lines) + newline, newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense_counts, "BLOCK", block)
        matrix, found, named = read_dense_counts(file)
    frame = pd.read_csv(
        file, sep="\t", skiprows=2, header=None, index_col=0, keep_default_na=False, quoting=csv.QUOTE_MINIMAL
    )
    assert (found, named) == (rows, columns)
    np.testing.assert_array_equal(matrix.toarray(), frame.to_numpy("float32"))


def test_a_zipped_text_may_end_without_a_newline(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.txt.gz", "wt") as stream:
        stream.write("GENE\ta\tb\nX\t1\t0\nY\t0\t2.5")
    assert read_dense_counts(tmp_path / "a.txt.gz")[0].toarray().tolist() == [[1, 0], [0, 2.5]]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("Y,1\n", r"row 2 of a\.csv has not the 2 counts"),
        ("Y,1,2,3\n", r"row 2 of a\.csv has not the 2 counts"),
        ('"Y,1,2\n', r"row 2 of a\.csv has not the 2 counts"),
        *((f"Y,1,{one}\n", "has values that are no counts") for one in ("", "NA", "-1", "x", "1x", "1e", ".", "1 ")),
        ("Y,1,2", r"the last line of a\.csv is not complete"),
    ],
)
def test_what_is_no_row_of_counts_is_refused(tmp_path: Path, row: str, fault: str) -> None:
    (tmp_path / "a.csv").write_text("GENE,a,b\nX,1,0\n" + row)
    with pytest.raises(DataError, match=fault):
        read_dense_counts(tmp_path / "a.csv")
