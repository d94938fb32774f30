"""Neighbourhoods against every pair asked one by one, and contacts against every shuffle there is."""

from __future__ import annotations

import itertools

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.errors import DataError, DatasetNotFoundError, ParameterError, UnitError
from integrate.features.neighbours import Nearest, Radius, Triangulation, measure_contacts, measure_neighbours


def tissue(n: int, *, seed: int = 0, regions: int = 1, types: str = "ABC", size: float = 100) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    obs = pd.DataFrame(
        {
            "region": [f"r{k}" for k in rng.integers(0, regions, n)],
            "type": pd.Categorical(rng.choice(list(types), n)),
        },
        index=[f"cell{k}" for k in range(n)],
    )
    cells = ad.AnnData(obs=obs, obsm={"spatial": rng.uniform(0, size, (n, 2))})
    cells.uns["integrate"] = {"unit": "um"}
    return cells


def slow_edges(places: np.ndarray, graph: Radius | Nearest) -> set[tuple[int, int]]:
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    if isinstance(graph, Radius):
        found = np.argwhere(apart <= graph.radius)
    else:
        order = np.argsort(apart, axis=1)[:, : min(graph.number, len(places) - 1)]
        found = np.array([(i, j) for i, row in enumerate(order) for j in row])
    return {(min(i, j), max(i, j)) for i, j in found.tolist()}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(2, 60), graph=st.sampled_from([Radius(20), Nearest(3), Nearest(1)]))
def test_neighbours_equal_every_pair_asked(seed: int, n: int, graph: Radius | Nearest) -> None:
    cells = tissue(n, seed=seed, regions=3)
    found = measure_neighbours(cells, by="type", graph=graph).to_df()
    types = cells.obs["type"].to_numpy()
    for region in cells.obs["region"].unique():
        rows = np.flatnonzero(cells.obs["region"] == region)
        places = cells.obsm["spatial"][rows]
        edges = slow_edges(places, graph) if len(rows) > 1 else set()
        for k, row in enumerate(rows):
            beside = [rows[i + j - k] for i, j in edges if k in (i, j)]
            assert found["neighbours"].iloc[row] == len(beside)
            for kind in "ABC":
                if f"{kind}_neighbours" not in found:
                    continue
                assert found[f"{kind}_neighbours"].iloc[row] == sum(types[other] == kind for other in beside)
                others = [j for j in range(len(rows)) if j != k and types[rows[j]] == kind]
                nearest = min((np.linalg.norm(places[j] - places[k]) for j in others), default=np.nan)
                assert found[f"{kind}_distance_um"].iloc[row] == pytest.approx(nearest, nan_ok=True)


def test_a_triangulated_lattice_has_its_known_neighbours() -> None:
    y, x = np.mgrid[:6, :7].astype(float)
    hexagons = np.stack([x.ravel() + 0.5 * (y.ravel() % 2), y.ravel() * np.sqrt(3) / 2], axis=1) * 10
    cells = ad.AnnData(obs=pd.DataFrame({"region": "r", "type": "A"}, index=map(str, range(42))))
    cells.obsm["spatial"] = hexagons
    found = measure_neighbours(cells, by="type", graph=Triangulation(10.1, unit="px")).to_df()["neighbours"]
    inner = ((x > 0) & (x < 6) & (y > 0) & (y < 5)).ravel()
    assert (found[inner] == 6).all()
    line = cells[:5].copy()  # on a line there are no triangles
    line.obsm["spatial"] = np.array([[0.0, 0], [3, 3], [1, 1], [2, 2], [9, 9]])
    found = measure_neighbours(line, by="type", graph=Triangulation(2, unit="px")).to_df()["neighbours"]
    assert found.tolist() == [1, 1, 2, 2, 0]


@pytest.mark.parametrize("types", ["AABBCC", "AAAAAB", "AAABBB", "AABB?C"])
def test_contacts_have_the_mean_and_spread_of_every_shuffle(types: str) -> None:
    cells = tissue(6, seed=4, size=10)
    cells.obs["type"] = [None if one == "?" else one for one in types]
    graph = Nearest(2)
    found = measure_contacts(cells, by="type", graph=graph).to_df().iloc[0]
    edges = slow_edges(cells.obsm["spatial"], graph)
    kinds = sorted(set(types) - {"?"})
    for a, b in itertools.combinations_with_replacement(kinds, 2):

        def contacts(order: tuple[str, ...], a: str = a, b: str = b) -> int:
            return sum(sorted((order[i], order[j])) == [a, b] for i, j in edges)

        shuffles = [contacts(order) for order in itertools.permutations(types)]
        mean, spread = np.mean(shuffles), np.std(shuffles)
        assert found[f"{a}|{b}_contacts"] == contacts(tuple(types))
        assert found[f"{a}|{b}_expected"] == pytest.approx(mean)
        expected = (contacts(tuple(types)) - mean) / spread if spread > 1e-9 else np.nan
        assert found[f"{a}|{b}_z"] == pytest.approx(expected, nan_ok=True)


def test_contacts_of_unrelated_types_have_a_standard_normal_z_and_planted_ones_do_not() -> None:
    cells = tissue(30_000, seed=1, regions=60, types="AB", size=300)
    found = measure_contacts(cells, by="type", graph=Radius(15)).to_df()["A|B_z"]
    assert len(found) == 60
    assert abs(found.mean()) < 4 / np.sqrt(60)
    assert 0.7 < found.std() < 1.3
    cells.obs["type"] = np.where(cells.obsm["spatial"][:, 0] < 150, "A", "B")
    assert (measure_contacts(cells, by="type", graph=Radius(15)).to_df()["A|B_z"] < -10).all()


def test_cells_of_another_region_are_no_neighbours_and_rows_keep_their_order() -> None:
    cells = tissue(200, regions=4)
    together = measure_neighbours(cells, by="type", graph=Radius(30))
    for region, rows in cells.obs.groupby("region").indices.items():
        alone = measure_neighbours(cells[rows].copy(), by="type", graph=Radius(30))
        np.testing.assert_array_equal(together[rows].X, alone.X)
        assert (together[rows].obs["region"] == region).all()


def test_contacts_carry_the_ids_of_their_region_and_survive_h5ad(tmp_path: object) -> None:
    cells = tissue(100, regions=2)
    cells.obs["subject_id"] = cells.obs["region"].map({"r0": "P1", "r1": "P2"})
    cells.obs["specimen_id"] = [f"S{k % 2}" for k in range(100)]  # not one per region, so it is none of its ids
    table = measure_contacts(cells, by="type", graph=Nearest(4))
    table.write_h5ad(f"{tmp_path}/contacts.h5ad")
    back = ad.read_h5ad(f"{tmp_path}/contacts.h5ad")
    assert dict(zip(back.obs["region"], back.obs["subject_id"], strict=True)) == {"r0": "P1", "r1": "P2"}
    assert "specimen_id" not in back.obs
    assert back.obs["n_cells"].sum() == 100
    assert back.var.loc["A|B_z", ["unit", "level"]].tolist() == ["1", "region"]


def test_what_does_not_fit_is_refused() -> None:
    cells = tissue(10)
    with pytest.raises(DatasetNotFoundError, match="no column 'tipe' in obs; closest: 'type'"):
        measure_neighbours(cells, by="tipe", graph=Radius(5))
    with pytest.raises(UnitError, match="graph is in 'px' and the places of the cells in 'um'"):
        measure_contacts(cells, by="type", graph=Radius(5, unit="px"))
    with pytest.raises(ParameterError, match="radius is -1"):
        Radius(-1)
    with pytest.raises(ParameterError, match="number is 0"):
        Nearest(0)
    cells.obsm["spatial"][0] = np.nan
    with pytest.raises(DataError, match="1 cells have no place and 0 no region"):
        measure_neighbours(cells, by="type", graph=Radius(5))
