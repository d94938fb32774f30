"""Agreement and consensus of annotators, against textbook numbers, sklearn's kappa and known overlaps."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

import integrate as ig
from integrate.errors import DataError, IntegrateWarning, ParameterError
from integrate.prepare.annotate import _fleiss, _masks
from integrate.readers.geojson import GeoJSON


def drawn(*shapes: shapely.Geometry, **columns: list[str]) -> gpd.GeoDataFrame:
    names = [f"A{i}" for i in range(len(shapes))]
    return gpd.GeoDataFrame({"annotator": names, **columns}, geometry=list(shapes))


def test_two_squares_have_the_overlap_one_can_count() -> None:
    outlines = drawn(shapely.box(0, 0, 10, 10), shapely.box(5, 0, 15, 10))
    pair = ig.compare_outlines(outlines, shape=(20, 20), pixel_size_um=0.5).pairs.iloc[0]
    assert pair["dice"] == pytest.approx(0.5)
    assert pair["jaccard"] == pytest.approx(1 / 3)
    assert pair["hausdorff"] == pytest.approx(2.5)
    assert pair["area_first"] == pytest.approx(25)
    first, second = (np.zeros((20, 20), int) for _ in range(2))
    first[:10, :10], second[:10, 5:15] = 1, 1
    assert pair["cohen_kappa"] == pytest.approx(cohen_kappa_score(first.ravel(), second.ravel()))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 30)] * 2), min_size=2, max_size=4))
def test_kappa_of_boxes_is_the_one_counted_by_pixels(boxes: list[tuple[int, int, int, int]]) -> None:
    outlines = drawn(*(shapely.box(x, y, x + w, y + h) for x, y, w, h in boxes))
    found = ig.compare_outlines(outlines, shape=(64, 64))
    masks, _ = _masks(outlines.geometry, (64, 64))
    for row in found.pairs.to_dict("records"):
        a, b = (masks[int(row[side][1:])].ravel() for side in ("first", "second"))
        assert row["cohen_kappa"] == pytest.approx(cohen_kappa_score(a, b))
        assert row["dice"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    if len(boxes) == 2:  # of two raters Fleiss' kappa is Scott's pi, at most Cohen's kappa
        assert found.all["fleiss_kappa"][0] <= found.pairs["cohen_kappa"][0] + 1e-12


def test_fleiss_kappa_is_that_of_a_worked_example() -> None:
    # Five subjects, three raters, yes-counts 3, 2, 0, 1, 3: P = (1 + 1/3 + 1 + 1/3 + 1) / 5, Pe = 0.6² + 0.4².
    votes = np.array([[1, 1, 0, 1, 1], [1, 1, 0, 0, 1], [1, 0, 0, 0, 1]], bool)
    observed, chance = (3 + 2 / 3) / 5, 0.6**2 + 0.4**2
    assert _fleiss(votes) == pytest.approx((observed - chance) / (1 - chance))


def test_the_hausdorff_distance_is_the_furthest_border_point_and_its_percentile_forgives_a_spike() -> None:
    square = shapely.box(0, 0, 100, 100)
    spike = square.union(shapely.Polygon([(100, 49), (140, 50), (100, 51)]))
    pair = ig.compare_outlines(drawn(square, spike)).pairs.iloc[0]
    assert pair["hausdorff"] == pytest.approx(40)
    assert pair["hausdorff_95"] < 40
    assert np.isnan(pair["cohen_kappa"])


def test_who_drew_nothing_counts_when_named() -> None:
    outlines = drawn(shapely.box(0, 0, 4, 4), shapely.box(0, 0, 4, 4), classification=["Tumor", "Tumor"])
    found = ig.compare_outlines(outlines, shape=(10, 10), annotators=["A0", "A1", "C"])
    dice = {(row["first"], row["second"]): row["dice"] for row in found.pairs.to_dict("records")}
    assert dice == {("A0", "A1"): 1.0, ("A0", "C"): 0.0, ("A1", "C"): 0.0}
    assert found.pairs["hausdorff"].isna().sum() == 2
    assert found.all["annotators"].tolist() == [3]


def test_classes_are_compared_each_with_itself() -> None:
    shapes = [shapely.box(0, 0, 4, 4), shapely.box(0, 0, 4, 4), shapely.box(6, 6, 9, 9)]
    outlines = gpd.GeoDataFrame(
        {"annotator": ["A", "B", "B"], "classification": ["Tumor", "Tumor", "Stroma"]}, geometry=shapes
    )
    found = ig.compare_outlines(outlines, shape=(10, 10)).pairs.set_index("classification")["dice"]
    assert found.to_dict() == {"Stroma": 0.0, "Tumor": 1.0}


def test_a_majority_is_what_most_drew_with_its_holes() -> None:
    ring = shapely.box(0, 0, 20, 20).difference(shapely.box(8, 8, 12, 12))
    outlines = drawn(ring, ring, shapely.box(30, 30, 40, 40))
    agreed = ig.combine_outlines(outlines, shape=(50, 50))
    assert agreed["annotator"].tolist() == ["majority"]
    assert agreed.geometry[0].symmetric_difference(ring).area < 1.5  # corners cut by half a pixel
    anybody = ig.combine_outlines(outlines, shape=(50, 50), method=ig.Majority(share=0))
    assert anybody.geometry[0].area == pytest.approx(ring.area + 100, abs=2)
    masks, _ = _masks([agreed.geometry[0], ring], (50, 50))
    assert (masks[0] == masks[1]).all()


def test_staple_trusts_the_annotators_who_agree() -> None:
    rng = np.random.default_rng(0)
    truth = shapely.Point(50, 50).buffer(30)
    careful = [truth.buffer(float(d)) for d in rng.normal(0, 0.7, 4)]
    careless = shapely.Point(70, 60).buffer(30)
    outlines = drawn(*careful, careless)
    agreed = ig.combine_outlines(outlines, shape=(100, 100), method=ig.Staple())
    found = agreed.geometry[0]
    assert 2 * found.intersection(truth).area / (found.area + truth.area) > 0.97
    skill = agreed.attrs["integrate"]["skill"]["all"]
    assert min(skill[f"A{i}"]["sensitivity"] for i in range(4)) > 0.9 > skill["A4"]["sensitivity"]


def test_a_large_picture_is_counted_coarsely_and_says_so() -> None:
    outlines = drawn(shapely.box(0, 0, 6000, 3000), shapely.box(0, 0, 6000, 3600))
    found = ig.compare_outlines(outlines, shape=(12000, 9000))
    assert found.notes == ("Fleiss' kappa counts one of 3 x 3 pixels.",)
    assert found.all["fleiss_kappa"][0] == pytest.approx(found.pairs["cohen_kappa"][0], abs=0.01)
    assert "Annotator agreement" in found._repr_html_()


def test_what_cannot_be_compared_is_refused() -> None:
    one = drawn(shapely.box(0, 0, 1, 1))
    with pytest.raises(DataError, match="one annotator"):
        ig.compare_outlines(one)
    with pytest.raises(DataError, match="1 of 1 outlines have no annotator"):
        ig.compare_outlines(one.assign(annotator=None))
    with pytest.raises(DataError, match="outlines by 'A0' are there, who are not among"):
        ig.compare_outlines(one, annotators=["B", "C"])
    with pytest.raises(ParameterError, match="share is 1"):
        ig.Majority(share=1)
    apart = drawn(shapely.box(0, 0, 2, 2), shapely.box(5, 5, 7, 7))
    with pytest.warns(IntegrateWarning, match="agree on nothing of 1 classes"):
        assert len(ig.combine_outlines(apart, shape=(9, 9))) == 0


def test_qupath_files_come_back_as_they_were_written(tmp_path: Path) -> None:
    hole = shapely.box(0, 0, 9, 9).difference(shapely.box(2, 2, 4, 4))
    outlines = gpd.GeoDataFrame(
        {
            "id": ["u1", "u2"],
            "name": ["nest", None],
            "classification": ["Tumor", None],
            "annotator": ["AB", None],
            "area": [1.5, np.nan],
            "checked": [True, False],
        },
        geometry=[hole, shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(3, 3, 4, 4)])],
    )
    back = GeoJSON(url=str(ig.write_geojson(outlines, tmp_path / "a.geojson"))).read()
    assert [a.equals(b) for a, b in zip(back.geometry, outlines.geometry, strict=True)] == [True, True]
    for column in ("id", "classification", "annotator"):
        assert back[column].tolist() == outlines[column].tolist()
    assert back["name"][0] == "nest"
    assert back["area"][0] == 1.5
    text = json.loads((tmp_path / "a.geojson").read_text())
    assert text["features"][0]["properties"]["objectType"] == "annotation"
    with pytest.raises(DataError, match="QuPath counts pixels"):
        ig.write_geojson(outlines.set_crs(4326), tmp_path / "b.geojson")
