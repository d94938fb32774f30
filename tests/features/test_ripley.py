"""Ripley's K against the slow obvious version, the published formula and what it must be for known patterns."""

from __future__ import annotations

import math

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import integrate as ig
from integrate.errors import DataError, DatasetNotFoundError, ParameterError, UnitError


def cells(places: np.ndarray, types: list[str] | None = None, regions: list[str] | None = None) -> ad.AnnData:
    obs = pd.DataFrame({"region": regions or ["A"] * len(places), "type": types or ["T"] * len(places)})
    obs.index = obs.index.astype(str)
    return ad.AnnData(obs=obs, obsm={"spatial": places})


def slow_k(places: np.ndarray, own: np.ndarray, other: np.ndarray, window: tuple[float, ...], radius: float) -> float:
    """The formula, pair by pair: the window, moved by the pair's difference, overlaps itself in a part."""
    width, height = window[2] - window[0], window[3] - window[1]
    total, possible = 0.0, 0
    for i in np.flatnonzero(own):
        for j in np.flatnonzero(other):
            if i == j:
                continue
            possible += 1
            dx, dy = np.abs(places[j] - places[i])
            if math.hypot(dx, dy) <= radius:
                total += width * height / ((width - dx) * (height - dy))
    return width * height * total / possible if possible else math.nan


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), number=st.integers(2, 40))
def test_k_of_every_couple_of_types_equals_the_slow_version(seed: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.uniform([0, 10], [30, 50], (number, 2))
    types = rng.choice(["B", "T"], number)
    window = (0.0, 10.0, 30.0, 50.0)
    found = ig.measure_ripley(
        cells(places, list(types)), radii=[8, 3], by="type", unit="px", windows={"A": window}
    ).to_df()
    every = np.ones(number, bool)
    for radius in (3, 8):
        expected = slow_k(places, every, every, window, radius)
        assert found[f"all_K_{radius}"].iloc[0] == pytest.approx(expected, rel=1e-12)
        assert found[f"all_L_{radius}"].iloc[0] == pytest.approx(math.sqrt(expected / math.pi), rel=1e-12)
        for a in set(types):
            for b in set(types):
                expected = slow_k(places, types == a, types == b, window, radius)
                assert found[f"{a}|{b}_K_{radius}"].iloc[0] == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_cells_anywhere_have_l_equal_to_the_radius_and_clusters_more() -> None:
    rng = np.random.default_rng(0)
    pieces, regions = [], []
    for sample in range(60):
        pieces.append(rng.uniform(0, 200, (150, 2)))
        regions += [f"anywhere{sample}"] * 150
    parents = rng.uniform(20, 180, (15, 2))
    pieces.append(np.repeat(parents, 10, axis=0) + rng.normal(0, 3, (150, 2)))
    regions += ["clustered"] * 150
    known = dict.fromkeys(dict.fromkeys(regions), (0.0, 0.0, 200.0, 200.0))
    table = cells(np.concatenate(pieces), regions=regions)
    for windows in (known, None):
        found = ig.measure_ripley(table, radii=[10, 30, 60], unit="px", windows=windows).to_df()
        mean = found.filter(like="K").iloc[:60].mean()  # K is unbiased, so its mean over samples is pi r^2
        for radius in (10, 30, 60):
            assert mean[f"all_K_{radius}"] == pytest.approx(math.pi * radius**2, rel=0.03)
        assert found["all_L_10"].iloc[60] > 2 * 10


def test_what_cannot_be_said_is_missing_and_regions_keep_their_ids() -> None:
    table = cells(np.array([[1.0, 1], [4, 5], [9, 9]]), types=["T", "T", "B"], regions=["A", "A", "b"])
    table.obs["subject_id"] = ["P1", "P1", "P2"]
    windows = {"A": (0.0, 0.0, 10.0, 10.0), "b": (0.0, 0.0, 10.0, 10.0)}
    found = ig.measure_ripley(table, radii=[6, 12], by="type", unit="px", windows=windows)
    frame = found.to_df()
    assert found.obs["subject_id"].tolist() == ["P1", "P2"]
    assert found.obs["n_cells"].tolist() == [2, 1]
    assert frame.loc["b"].isna().all()
    assert np.isnan(frame.loc["A", "T|B_K_6"])
    assert np.isnan(frame.loc["A", "all_K_12"])  # beyond the window
    assert found.var.loc["all_K_6", "unit"] == "[pix]2"


def test_what_is_wrong_is_refused() -> None:
    table = cells(np.array([[1.0, 1], [4, 5]]))
    with pytest.raises(ParameterError, match="expected positive distances"):
        ig.measure_ripley(table, radii=[0], unit="px")
    with pytest.raises(UnitError, match="give unit='px'"):
        ig.measure_ripley(table, radii=[1])
    with pytest.raises(DataError, match="1 of 2 cells of 'A' lie outside"):
        ig.measure_ripley(table, radii=[1], unit="px", windows={"A": (0, 0, 3, 9)})
    with pytest.raises(DatasetNotFoundError, match="no window for region 'A'"):
        ig.measure_ripley(table, radii=[1], unit="px", windows={"b": (0, 0, 3, 9)})
