"""Slide-seq and the array before Visium: counts lie on their bead and spot, by units that are told, never guessed."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from integrate.errors import DataError, ParameterError, SourceNotFoundError
from integrate.readers.slideseq import SlideSeq
from integrate.readers.spatial_transcriptomics import SpatialTranscriptomics
from integrate.testing import ReaderTests

BARCODES = [f"BEAD{number:03d}" for number in range(60)]
GENES = ["NA", *(f"gene#{number}" for number in range(449))]  # more than are held at a time
COUNTS = np.random.default_rng(0).poisson(0.2, (len(GENES), len(BARCODES)))
PLACES = np.random.default_rng(1).uniform(500, 5000, (len(BARCODES), 2))


def write_puck(folder: Path, *, is_first: bool = False, missing: int = 0) -> str:
    """Write a puck of version 1 or 2, one bead more than has counts."""
    folder.mkdir()
    places = pd.DataFrame(np.vstack([PLACES, [[9, 9]]]), columns=["xcoord", "ycoord"], index=[*BARCODES, "EMPTY"])
    places = places.iloc[missing:].sample(frac=1, random_state=0)
    counts = pd.DataFrame(COUNTS, index=pd.Index(GENES, name="GENE"), columns=BARCODES)
    if is_first:
        places.to_csv(folder / "BeadLocationsForR.csv", index_label="barcodes")
        counts.to_csv(folder / "MappedDGEForR.csv")
    else:
        places.to_csv(folder / "Puck_200115_08_bead_locations.csv", index_label="barcodes")
        counts.to_csv(folder / "Puck_200115_08.digital_expression.txt.gz", sep="\t")
    return str(folder)


class TestSlideSeq(ReaderTests):
    def reader(self, folder: Path) -> SlideSeq:
        return SlideSeq(url=write_puck(folder / "puck"), pixel_size_um=0.65)

    def check(self, opened: Any) -> None:
        table, beads = opened["slideseq_table"], opened["slideseq_beads"]
        np.testing.assert_array_equal(table.X.toarray(), COUNTS.T)
        assert (table.obs_names.tolist(), table.var_names.tolist()) == (BARCODES, GENES)
        assert np.column_stack([beads.geometry.x, beads.geometry.y]) == pytest.approx(PLACES * 0.65)
        assert beads["radius"].unique().tolist() == [5.0]
        notes = opened.attrs["integrate"]["slideseq_beads"]
        assert (notes["unit"], notes["beads_without_counts"]) == ("um", 1)


def test_both_versions_of_slideseq_say_the_same(tmp_path: Path) -> None:
    first = SlideSeq(url=write_puck(tmp_path / "v1", is_first=True)).read()
    second = SlideSeq(url=write_puck(tmp_path / "v2")).read()
    assert (first["slideseq_table"].X != second["slideseq_table"].X).nnz == 0
    assert first["slideseq_beads"].geometry.geom_equals(second["slideseq_beads"].geometry).all()


def test_units_of_a_puck_are_not_guessed(tmp_path: Path) -> None:
    data = SlideSeq(url=write_puck(tmp_path / "puck")).read()
    notes = data.attrs["integrate"]["slideseq_beads"]
    assert (notes["unit"], notes["diameter_from"]) == ("px", "distance of beads")
    nearest = [np.sort(np.hypot(*(PLACES - one).T))[1] for one in PLACES]
    assert data["slideseq_beads"]["radius"].iloc[0] == pytest.approx(np.median(nearest) / 2)
    with pytest.raises(ParameterError, match="pixel_size_um is -1; give the micrometres of one unit"):
        SlideSeq(url=str(tmp_path / "puck"), pixel_size_um=-1).read()


def test_barcodes_of_another_puck_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"3 of 60 barcodes .* are not in .*'BEAD000', 'BEAD001', .*are they of one puck"
    ):
        SlideSeq(url=write_puck(tmp_path / "puck", missing=3)).read()


def test_files_of_two_pucks_are_named(tmp_path: Path) -> None:
    folder = Path(write_puck(tmp_path / "puck"))
    held = (folder / "Puck_200115_08_bead_locations.csv").read_bytes()
    (folder / "Puck_9_bead_locations.csv").write_bytes(held)
    with pytest.raises(ParameterError, match=r"has 2 files like .*; name one with locations="):
        SlideSeq(url=str(folder)).read()
    assert len(SlideSeq(url=str(folder), locations="Puck_9_bead_locations.csv").read()["slideseq_beads"]) == 60
    (tmp_path / "x.csv").write_bytes(held)
    for wrong in ("x.csv", "../x.csv"):
        with pytest.raises(SourceNotFoundError, match=r"no file '.*x.csv' in 'puck', as locations= says"):
            SlideSeq(url=str(folder), locations=wrong).read()


#: Columns and rows of the array under the tissue: no square, so that a swap of axes shows.
ARRAY = [(x, y) for x in range(2, 9) for y in range(3, 25) if (x + y) % 7]
SPOT_NAMES = [f"{x}x{y}" for x, y in ARRAY]
ST_GENES = ["ACTB", "MBP", "CD3E"]
ST_COUNTS = np.random.default_rng(2).poisson(2, (len(ARRAY), len(ST_GENES)))
#: From spots to pixels: a little turned, 288 pixels from spot to spot.
TO_PIXEL = np.array([[288.0, -3.0, -200.0], [3.0, 288.0, -500.0], [0, 0, 1]])
PIXELS = (np.column_stack([np.array(ARRAY), np.ones(len(ARRAY))]) @ TO_PIXEL.T)[:, :2]


def write_section(folder: Path, *, with_table: bool = True, with_matrix: bool = False) -> str:
    folder.mkdir()
    counts = pd.DataFrame(ST_COUNTS, index=SPOT_NAMES, columns=ST_GENES)
    counts.to_csv(folder / "A1_stdata.tsv.gz", sep="\t")
    if with_table:
        table = pd.DataFrame(ARRAY, columns=["x", "y"]).assign(pixel_x=PIXELS[:, 0], pixel_y=PIXELS[:, 1], selected=1)
        table.loc[0, "selected"] = 0
        table.sample(frac=1, random_state=0).to_csv(folder / "A1_selection.tsv", sep="\t", index=False)
    if with_matrix:
        (folder / "A1_transformation.txt").write_text(" ".join(map(str, TO_PIXEL.T.ravel())) + "\n")
    shade = np.zeros((600, 400, 3), np.uint8)
    shade[:100, :50] = (200, 100, 50)
    Image.fromarray(shade).save(folder / "HE_A1.png")
    return str(folder)


class TestSpatialTranscriptomics(ReaderTests):
    def reader(self, folder: Path) -> SpatialTranscriptomics:
        return SpatialTranscriptomics(url=write_section(folder / "section"))

    def victim(self, source: Path) -> Path:
        return source / "A1_stdata.tsv.gz"

    def check(self, opened: Any) -> None:
        table, spots = opened["st_table"], opened["st_spots"]
        np.testing.assert_array_equal(table.X.toarray(), ST_COUNTS)
        assert table.obs_names.tolist() == SPOT_NAMES
        assert table.obs["selected"].tolist() == [False] + [True] * (len(ARRAY) - 1)
        assert np.column_stack([spots.geometry.x, spots.geometry.y]) == pytest.approx(PIXELS)
        pitch = np.sqrt(288.0**2 + 3.0**2)
        assert spots["radius"].iloc[0] == pytest.approx(pitch / 4)
        notes = opened.attrs["integrate"]["st_image"]
        assert notes["unit"] == "px"
        assert notes["pixel_size_um"] == pytest.approx([200 / pitch] * 2)
        assert opened["st_image"].values[:, 99, 49].tolist() == [200, 100, 50]


def test_the_matrix_places_spots_as_the_table_does(tmp_path: Path) -> None:
    by_table = SpatialTranscriptomics(url=write_section(tmp_path / "a")).read()["st_spots"]
    folder = write_section(tmp_path / "b", with_table=False, with_matrix=True)
    by_matrix = SpatialTranscriptomics(url=folder).read()["st_spots"]
    assert by_matrix.geometry.x.to_numpy() == pytest.approx(by_table.geometry.x.to_numpy())
    assert by_matrix.geometry.y.to_numpy() == pytest.approx(by_table.geometry.y.to_numpy())
    (Path(folder) / "A1_transformation.txt").write_text("1 2 3\n")
    with pytest.raises(DataError, match="expected the nine numbers of a matrix from spots to pixels"):
        SpatialTranscriptomics(url=folder).read()


def test_without_a_place_on_the_picture_spots_lie_on_the_array(tmp_path: Path) -> None:
    data = SpatialTranscriptomics(url=write_section(tmp_path / "a", with_table=False)).read()
    assert not list(data.images)
    assert data["st_spots"].geometry.x.to_numpy() == pytest.approx(200.0 * np.array(ARRAY)[:, 0])
    assert data["st_spots"]["radius"].iloc[0] == 50.0
    assert data.attrs["integrate"]["st_spots"]["unit"] == "um"


def test_genes_in_rows_are_turned(tmp_path: Path) -> None:
    folder = Path(write_section(tmp_path / "a"))
    counts = pd.DataFrame(ST_COUNTS.T, index=ST_GENES, columns=SPOT_NAMES)
    counts.to_csv(folder / "A1_stdata.tsv.gz", sep="\t")
    np.testing.assert_array_equal(SpatialTranscriptomics(url=str(folder)).read()["st_table"].X.toarray(), ST_COUNTS)
    counts.set_axis([f"c{number}" for number in range(len(ARRAY))], axis=1).to_csv(
        folder / "A1_stdata.tsv.gz", sep="\t"
    )
    with pytest.raises(DataError, match="are spots; expected names as '10x20'"):
        SpatialTranscriptomics(url=str(folder)).read()


def test_spots_off_the_grid_or_without_a_pixel_are_refused(tmp_path: Path) -> None:
    folder = Path(write_section(tmp_path / "a"))
    file = folder / "A1_selection.tsv"
    held = pd.read_csv(file, sep="\t")
    held.assign(pixel_x=held["pixel_x"].where(held.index != 3, 9e4)).to_csv(file, sep="\t", index=False)
    with pytest.raises(DataError, match=r"the spots of a lie up to .* pixels off an even grid"):
        SpatialTranscriptomics(url=str(folder)).read()
    held.iloc[2:].to_csv(file, sep="\t", index=False)
    with pytest.raises(DataError, match=r"2 of \d+ spots of the counts are not in A1_selection.tsv"):
        SpatialTranscriptomics(url=str(folder)).read()


def test_negative_and_missing_counts_are_refused(tmp_path: Path) -> None:
    for number, wrong in enumerate((-1.0, np.nan)):
        folder = Path(write_section(tmp_path / str(number)))
        counts = pd.DataFrame(ST_COUNTS, index=SPOT_NAMES, columns=ST_GENES).astype(float)
        counts.iloc[4, 1] = wrong
        with gzip.open(folder / "A1_stdata.tsv.gz", "wt") as stream:
            counts.to_csv(stream, sep="\t")
        with pytest.raises(DataError, match=r"A1_stdata.tsv.gz has values that are no counts"):
            SpatialTranscriptomics(url=str(folder)).read()
