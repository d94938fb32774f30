"""Outlines: pixels and no map, class and annotator kept, areas valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from integrate.errors import DataError, IntegrateWarning
from integrate.readers.geojson import GeoJSON
from integrate.testing import ReaderTests

SQUARE = [[10, 20], [30, 20], [30, 50], [10, 50], [10, 20]]
BOW_TIE = [[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]


def feature(ring: Any = SQUARE, **changes: Any) -> dict[str, Any]:
    properties = {
        "objectType": "annotation",
        "classification": {"name": "Tumour", "color": [200, 0, 0]},
        "annotator": "A",
        "measurements": {"Area µm^2": 600.0},
        "isLocked": False,
        **changes.pop("properties", {}),
    }
    return {
        "type": "Feature",
        "id": "uuid-1",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
        **changes,
    }


def write(folder: Path, content: Any) -> str:
    (folder / "a.geojson").write_text(json.dumps(content), encoding="utf-8")
    return str(folder / "a.geojson")


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> GeoJSON:
        second = feature(id="uuid-2", properties={"annotator": "B"})
        url = write(folder, collection(feature(), second))
        return GeoJSON(url=url, metadata={"coordinate_system": {"of": "he", "pixel_size_um": 0.5}})

    def check(self, opened: Any) -> None:
        assert opened.columns[:4].tolist() == ["geometry", "id", "classification", "annotator"]
        assert opened.crs is None
        assert opened["id"].tolist() == ["uuid-1", "uuid-2"]
        assert opened["classification"].tolist() == ["Tumour", "Tumour"]
        assert opened["annotator"].tolist() == ["A", "B"]
        assert opened["Area µm^2"].tolist() == [600.0, 600.0]
        assert opened.area.tolist() == [600.0, 600.0]
        assert opened.total_bounds.tolist() == [10, 20, 30, 50]
        assert opened.attrs["integrate"]["unit"] == "px"
        assert opened.attrs["integrate"]["coordinate_system"]["of"] == "he"


def test_class_and_annotator_are_found_where_versions_of_qupath_put_them(tmp_path: Path) -> None:
    shapes = GeoJSON(
        url=write(
            tmp_path,
            [
                feature(id="1", properties={"classification": {"names": ["Tumour", "Positive"]}}),
                feature(
                    id="2", properties={"classification": "Stroma", "annotator": None, "metadata": {"annotator": "C"}}
                ),
                feature(id=5, properties={"classification": {"name": "Vessel", "annotator": "D"}, "annotator": None}),
                feature(id=None, properties={"classification": None, "annotator": None}),
            ],
        )
    ).read()
    assert shapes["classification"].tolist() == ["Tumour: Positive", "Stroma", "Vessel", None]
    assert shapes["annotator"].tolist() == ["A", "C", "D", None]
    assert shapes["id"].tolist() == ["1", "2", "5", "3"]  # the last has none: its row number


def test_measurements_of_old_and_new_exports_are_columns_and_the_rest_is_listed(tmp_path: Path) -> None:
    old = feature(properties={"measurements": [{"name": "Area", "value": 5.0}, {"name": "Max", "value": None}]})
    shapes = GeoJSON(url=write(tmp_path, collection({**old, "nucleusGeometry": {"type": "Polygon"}}))).read()
    assert shapes["Area"].tolist() == [5.0]
    assert shapes["Max"].isna().all()
    assert shapes["isLocked"].tolist() == [False]
    assert shapes.attrs["integrate"]["left_out"] == ["nucleusGeometry"]


def test_crossing_outlines_are_made_valid_and_counted(tmp_path: Path) -> None:
    line = [[0, 0], [5, 5], [0, 0], [0, 0]]
    url = write(
        tmp_path,
        collection(feature(), feature(BOW_TIE, id="bow"), feature(line, id="line"), feature(id="none", geometry=None)),
    )
    with pytest.warns(IntegrateWarning, match=r"1 of 4 outlines crossed .*, 2 without area .* \['line', 'none'\]"):
        shapes = GeoJSON(url=url).read()
    assert shapes["id"].tolist() == ["uuid-1", "bow"]
    assert shapes.is_valid.all()
    assert shapes.area[1] == pytest.approx(50.0)  # two triangles of 25; the crossing ring has a signed area of 0
    assert shapes.attrs["integrate"]["made_valid"] == 1
    assert shapes.attrs["integrate"]["empty"] == ["line", "none"]


def test_lines_and_points_stay_what_they_are(tmp_path: Path) -> None:
    point = feature(id="p", geometry={"type": "Point", "coordinates": [1, 2]})
    line = feature(id="l", geometry={"type": "LineString", "coordinates": [[0, 0], [1, 2]]})
    assert GeoJSON(url=write(tmp_path, collection(point, line))).read().geom_type.tolist() == ["Point", "LineString"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"type": "Topology"}, "JSON but no GeoJSON"),
        ([1], "feature 0 of a.geojson is no GeoJSON feature"),
        (collection(feature(), feature()), "1 ids repeat in a.geojson: 'uuid-1'"),
        (collection(feature([[0, 0], [1, 1]])), "feature 0 of a.geojson has a malformed geometry"),
        (collection(feature(geometry={"type": "Blob", "coordinates": []})), "malformed geometry"),
        (collection(feature([[0, 0], [1, float("nan")], [1, 0], [0, 0]])), "coordinates that are not numbers"),
    ],
)
def test_what_is_no_outline_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        GeoJSON(url=write(tmp_path, content)).read()


def test_no_outlines_is_an_empty_table_not_an_error(tmp_path: Path) -> None:
    shapes = GeoJSON(url=write(tmp_path, collection())).read()
    assert len(shapes) == 0
    assert shapes.columns.tolist() == ["geometry", "id", "classification", "annotator"]
