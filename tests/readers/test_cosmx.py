"""CosMx: the vendor's y turned down, labels under their transcripts, and refusal where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from integrate.errors import AlignmentError, DataError, SourceNotFoundError
from integrate.readers.cosmx import CosMx, _share_on_cell
from integrate.testing import ReaderTests

HEIGHT, WIDTH = 40, 60
POSITION = {1: (500.0, -2000.0), 7: (560.0, -2000.0)}


def labels(fov: int) -> np.ndarray:
    made = np.zeros((HEIGHT, WIDTH), np.float32)
    made[2:10, 5:15], made[20:35, 30 + fov : 50] = 1, 2
    return made


def transcripts() -> pd.DataFrame:
    """Two hundred transcripts per field on their cell, and some in none; local y points up, as the vendor's does."""
    rng, rows = np.random.default_rng(0), []
    for fov, (x0, y0) in POSITION.items():
        for cell in (1, 2, 0):
            row, column = np.nonzero(labels(fov) == cell)
            for i in rng.integers(0, len(row), 200 if cell else 20):
                x, y = column[i] + rng.uniform(), HEIGHT - (row[i] + rng.uniform())
                rows.append((fov, cell, x0 + x, y0 + y, x, y, 1, f"G{rng.integers(5)}", "Nuclear"))
    columns = ["fov", "cell_ID", "x_global_px", "y_global_px", "x_local_px", "y_local_px", "z", "target", "CellComp"]
    return pd.DataFrame(rows, columns=columns)


def write(folder: Path) -> Path:
    (folder / "CellLabels").mkdir(parents=True)
    for fov in POSITION:
        tifffile.imwrite(folder / "CellLabels" / f"CellLabels_F{fov:03d}.tif", labels(fov))
    transcripts().to_csv(folder / "S1_tx_file.csv", index=False)
    places = pd.DataFrame([(fov, *place) for fov, place in POSITION.items()])
    places.to_csv(folder / "S1_fov_positions_file.csv", index=False, header=["fov", "x_global_px", "y_global_px"])
    return folder


def read(folder: Path, **options: Any) -> Any:
    return CosMx(url=str(folder), **options).read()


def on_label(data: Any, fov: int, name: str = "cosmx") -> float:
    """Return the share of a field's transcripts on their label, through the transformations of the elements."""
    from spatialdata.transformations import get_transformation

    element = data[f"{name}_f{fov}_labels"]
    inverse = get_transformation(element, name).inverse().to_affine_matrix(("x", "y"), ("x", "y"))
    points = data[f"{name}_transcripts"].compute()
    points = points[(points["fov"] == fov) & (points["cell_ID"] > 0)]
    x, y, _ = inverse @ np.stack([points["x"], points["y"], np.ones(len(points))])
    stored = element.values
    inside = (x >= 0) & (y >= 0) & (x < stored.shape[1]) & (y < stored.shape[0])
    found = stored[y[inside].astype(int), x[inside].astype(int)]
    return float((found == points["cell_ID"].to_numpy()[inside]).sum() / len(points))


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> CosMx:
        return CosMx(url=str(write(folder / "run")))

    def check(self, opened: Any) -> None:
        assert sorted(opened.labels) == ["cosmx_f1_labels", "cosmx_f7_labels"]
        assert len(opened["cosmx_transcripts"]) == 840
        assert opened.attrs["integrate"]["cosmx_f1_labels"]["on_labelled_cell"] == 1.0
        assert [on_label(opened, fov) for fov in POSITION] == [1.0, 1.0]


@pytest.mark.parametrize("with_matrix", [True, False])
def test_a_large_table_stays_on_disk_and_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_matrix: bool
) -> None:
    folder = write(tmp_path / "run")
    whole = read(folder)["cosmx_transcripts"].compute()
    if with_matrix:
        names = ["fov", "cell_ID", *sorted(whole["target"].astype(str).unique())]
        (folder / "S1_exprMat_file.csv").write_text(",".join(names) + "\n")
    monkeypatch.setattr("integrate.readers.cosmx.EAGER_BYTES", 10_000)
    data = read(folder)
    assert data["cosmx_transcripts"].npartitions > 2
    found = data["cosmx_transcripts"].compute().reset_index(drop=True)
    pd.testing.assert_frame_equal(found, whole.reset_index(drop=True), check_dtype=False)  # text is text
    assert [on_label(data, fov) for fov in POSITION] == [1.0, 1.0]
    if with_matrix:
        (folder / "S1_exprMat_file.csv").write_text("fov,cell_ID,G0\n")
        with pytest.raises(DataError, match="targets of transcripts are not in the expression matrix"):
            read(folder)["cosmx_transcripts"].compute()


def test_fields_that_are_not_checked_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrate.readers.cosmx.EAGER_BYTES", 10_000)
    monkeypatch.setattr("integrate.readers.cosmx.CHECKED", 300)
    notes = read(write(tmp_path / "run")).attrs["integrate"]
    assert notes["cosmx_f1_labels"]["on_labelled_cell"] == 1.0
    assert notes["cosmx_f7_labels"]["on_labelled_cell"] is None


def test_labels_of_another_field_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "run")
    tifffile.imwrite(folder / "CellLabels" / "CellLabels_F001.tif", labels(1)[::-1])
    with pytest.raises(AlignmentError, match=r"% of 400 transcripts of field 1 lie on their labelled cell; expected"):
        read(folder)


def test_a_strip_of_the_labels_tells_a_shift_as_well_as_all(tmp_path: Path) -> None:
    """Labels in strips of one row, only 8 of 40 decoded: the share found there is that of the whole field."""
    folder = write(tmp_path / "run")
    file = folder / "CellLabels" / "CellLabels_F001.tif"
    tifffile.imwrite(file, np.roll(labels(1), 1, axis=1), rowsperstrip=1)
    table = transcripts()
    whole = _share_on_cell(table[table["fov"] == 1], file, (0, 0))[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrate.readers.cosmx.BAND", 8)
        part, count = _share_on_cell(table[table["fov"] == 1], file, (0, 0))
    assert (count, part) == (400, pytest.approx(whole, abs=0.06))
    assert whole < 0.95
    assert _share_on_cell(table[table["fov"] == 1], file, (5000, 0)) == (0.0, 400)


def test_a_field_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "run")
    assert sorted(read(folder, fovs=["7"]).labels) == ["cosmx_f7_labels"]
    with pytest.raises(SourceNotFoundError, match=r"has not all of fields \[3\]; found labels of \[1, 7\]"):
        read(folder, fovs=[3])
    (folder / "S2_tx_file.csv").write_text("x\n")
    with pytest.raises(DataError, match=r"2 files 'S1_tx_file.csv', 'S2_tx_file.csv'"):
        read(folder)


def test_real_transcripts_fall_on_their_labelled_cell(test_data: Any) -> None:
    folder = test_data("cosmx-nsclc-mini")
    data = read(folder, offsets={"2": [4800, 3000], "3": [0, 3000]})
    assert len(data["cosmx_transcripts"]) == 25_825
    assert data.attrs["integrate"]["cosmx_transcripts"]["targets"] == 980
    for fov in (2, 3):
        assert on_label(data, fov) >= 0.98
        assert data[f"cosmx_f{fov}_image"].shape == (3, 648, 672)
    with pytest.raises(AlignmentError, match="labels are a crop"):
        read(folder)
