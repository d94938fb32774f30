"""The planted tissue: cells keep their distance, stay in the flesh and follow the immune rate."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from integrate.datasets.drawing import draw_cells
from integrate.datasets.tissue import CELL_TYPES, adjacent_cells, grow_tissue, place_cells


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), rate=st.floats(0.2, 4))
def test_cells_keep_their_distance_and_stay_in_the_tissue(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    tissue = grow_tissue(rng, section_um=150)
    cells = place_cells(tissue, rng, immune_rate=rate)
    distance, _ = cKDTree(cells.xy).query(cells.xy, k=2)
    assert distance[:, 1].min() >= min(kind.space_um for kind in CELL_TYPES.values())
    assert (tissue.at("tissue", *cells.xy.T) > -3).all()
    assert np.array_equal(cells.cell_id, np.arange(1, len(cells) + 1))


def test_more_immune_rate_means_more_lymphocytes() -> None:
    def share(rate: float) -> float:
        found = []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            cells = place_cells(grow_tissue(rng, section_um=200), rng, immune_rate=rate)
            found.append(cells.counts()["cd8_t"] / len(cells))
        return float(np.mean(found))

    low, middle, high = share(0.4), share(1.0), share(2.5)
    assert 1.5 * low < middle < high / 1.5


def test_adjacent_sections_share_part_of_their_cells() -> None:
    rng = np.random.default_rng(3)
    tissue = grow_tissue(rng, section_um=300)
    cells = place_cells(tissue, rng, immune_rate=1.0)
    following = adjacent_cells(cells, tissue, rng, immune_rate=1.0)
    shared = np.isin(following.cell_id, cells.cell_id).mean()
    assert 0.45 < shared < 0.7
    assert len(np.unique(following.cell_id)) == len(following)
    assert abs(len(following) / len(cells) - 1) < 0.1


def test_drawn_nuclei_have_the_planted_area() -> None:
    rng = np.random.default_rng(5)
    cells = place_cells(grow_tissue(rng, section_um=200), rng, immune_rate=1.0)
    drawing = draw_cells(cells, rng, shape=(400, 400), pixel_um=0.5)
    area = np.bincount(drawing.owner[drawing.beyond_um < 0], minlength=len(cells) + 1)[1:] * 0.25
    inside = ((cells.xy > 10) & (cells.xy < 190)).all(axis=1)
    planted = np.pi * cells.nucleus_um[inside] ** 2
    assert np.median(area[inside] / planted) > 0.95
    assert np.median(area[inside] / planted) < 1.05
    rows, columns = (np.floor(cells.xy[inside, axis] / 0.5).astype(int) for axis in (1, 0))
    assert (drawing.owner[rows, columns] == np.flatnonzero(inside) + 1).mean() > 0.97
