"""Outlines of ImageJ, COCO and napari, in pixels from the corner."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.errors import DataError, IntegrateWarning, ParameterError
from integrate.readers.annotations import Coco, ImageJRoi, NapariShapes
from integrate.readers.coco_rle import runs_of, shape_of_runs
from integrate.testing import ReaderTests


def roi(kind: int, box: tuple[int, int, int, int], corners: Any = (), *, fine: bool = False) -> bytes:
    """A region as ij.io.RoiEncoder writes it: header of 64 bytes, corners, second header with the position."""
    top, left, bottom, right = box
    header = b"Iout" + struct.pack(">hBx4hH", 227, kind, top, left, bottom, right, len(corners))
    header += b"\0" * 16 + b"\0" * 16 + struct.pack(">h", 128 if fine else 0) + b"\0" * 4
    whole = [int(x) - left for x, _ in corners] + [int(y) - top for _, y in corners]
    body = struct.pack(f">{len(whole)}h", *whole)
    if fine:
        body += struct.pack(f">{len(whole)}f", *(x for x, _ in corners), *(y for _, y in corners))
    second = 64 + len(body)
    header += struct.pack(">ii", 3, second)
    return header.ljust(64, b"\0") + body + struct.pack(">4i", 0, 1, 3, 2) + b"\0" * 48


SQUARE = [(2.5, 1.0), (6.5, 1.0), (6.5, 5.0), (2.5, 5.0)]


def write_zip(file: Path, **further: bytes) -> str:
    parts = {"cell": roi(0, (1, 2, 5, 7), SQUARE, fine=True), "box": roi(1, (10, 20, 14, 30))}
    parts |= {"disc": roi(2, (0, 0, 40, 40)), **further}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(f"{name}.roi", content)
    return str(file)


class TestImageJ(ReaderTests):
    def reader(self, folder: Path) -> ImageJRoi:
        return ImageJRoi(url=write_zip(folder / "a.zip"))

    def check(self, opened: Any) -> None:
        assert opened["id"].tolist() == ["cell", "box", "disc"]
        assert opened.geometry[0].bounds == (2.5, 1.0, 6.5, 5.0)
        assert opened.geometry[1].bounds == (20, 10, 30, 14)
        assert opened.geometry[2].area == pytest.approx(np.pi * 400, rel=2e-3)
        assert opened.loc[0, ["channel", "slice", "frame"]].tolist() == [1, 3, 2]


def test_one_region_and_lines_and_cut_ones(tmp_path: Path) -> None:
    (tmp_path / "a.roi").write_bytes(roi(7, (1, 2, 5, 7), [(2, 1), (6, 1), (6, 5)]))
    assert ImageJRoi(url=str(tmp_path / "a.roi")).read().geometry[0].area == 8
    with pytest.warns(IntegrateWarning, match=r"1 of 4 regions enclose no area and are left out: 'line'"):
        assert len(ImageJRoi(url=write_zip(tmp_path / "b.zip", line=roi(3, (0, 0, 1, 1)))).read()) == 3
    (tmp_path / "c.roi").write_bytes(roi(0, (1, 2, 5, 7), SQUARE)[:70])
    with pytest.raises(DataError, match=r"region 'c' of c.roi is cut off"):
        ImageJRoi(url=str(tmp_path / "c.roi")).read()


COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png"}],
    "categories": [{"id": 5, "name": "nucleus"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 5, "segmentation": [[10, 5, 30, 5, 30, 20, 10, 20]], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 5, "segmentation": [[0, 0, 2, 0, 2, 2], [5, 5, 7, 5, 7, 7]]},
        {"id": 3, "image_id": 9, "category_id": 5, "segmentation": [[0, 0, 2, 0, 2, 2]]},
    ],
}


class TestCoco(ReaderTests):
    def reader(self, folder: Path) -> Coco:
        (folder / "a.json").write_text(json.dumps(COCO))
        return Coco(url=str(folder / "a.json"))

    def check(self, opened: Any) -> None:
        assert opened["classification"].tolist() == ["nucleus"] * 2
        assert opened.geometry.area.tolist() == [300.0, 4.0]


def test_coco_images_are_named_and_masks_told(tmp_path: Path) -> None:
    two = {**COCO, "images": [*COCO["images"], {"id": 9, "file_name": "b.png"}]}
    (tmp_path / "a.json").write_text(json.dumps(two))
    with pytest.raises(ParameterError, match=r"describes 2 images; name one with image=: 'a.png', 'b.png'"):
        Coco(url=str(tmp_path / "a.json")).read()
    assert len(Coco(url=str(tmp_path / "a.json"), image="b.png").read()) == 1
    mask = {"id": 4, "image_id": 1, "category_id": 5, "segmentation": {"counts": [3], "size": [1, 3]}}
    (tmp_path / "b.json").write_text(json.dumps({**COCO, "annotations": [mask]}))
    with pytest.warns(IntegrateWarning, match="1 masks have no pixel and are left out: '4'"):
        assert Coco(url=str(tmp_path / "b.json")).read().empty
    wrong = {**COCO["annotations"][0], "category_id": 6}
    (tmp_path / "c.json").write_text(json.dumps({**COCO, "annotations": [wrong]}))
    with pytest.raises(DataError, match=r"annotation 1 of c.json is of category 6, which is not described"):
        Coco(url=str(tmp_path / "c.json")).read()


def runs(mask: np.ndarray) -> list[int]:
    """Lengths of runs, column by column, of background first: the slow, obvious way."""
    found, now = [0], 0
    for pixel in mask.T.ravel().tolist():
        if pixel != now:
            found, now = [*found, 0], pixel
        found[-1] += 1
    return found


def compressed(counts: list[int]) -> str:
    """The text that pycocotools makes of runs: differences to the run before the last, six bits to a sign."""
    text = ""
    for i, count in enumerate(counts):
        value, more = count - counts[i - 2] if i > 2 else count, True
        while more:
            bits, value = value & 0x1F, value >> 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 40), st.data())
def test_masks_become_the_outline_of_their_pixels(height: int, width: int, data: st.DataObject) -> None:
    pixels = data.draw(st.lists(st.integers(0, 1), min_size=height * width, max_size=height * width))
    mask = np.array(pixels).reshape(height, width)
    counts = runs(mask)
    assert runs_of(compressed(counts)) == counts
    shape = shape_of_runs({"size": [height, width], "counts": compressed(counts)}, "a mask")
    assert shape.area == mask.sum()
    y, x = np.mgrid[:height, :width] + 0.5
    np.testing.assert_array_equal(shapely.contains_xy(shape, x, y), mask == 1)


def test_a_mask_of_pycocotools_is_read(tmp_path: Path) -> None:
    """A box of 6 x 260 pixels at (388, 20) with a hole of 2 x 50: the text is what pycocotools 2.0 writes."""
    mask = {
        "id": 4,
        "image_id": 1,
        "category_id": 5,
        "segmentation": {"size": [300, 400], "counts": r"Tfa3T8X100\J:b1F^N:b1FR400dg1"},
    }
    whole = {**mask, "id": 5, "segmentation": {"size": [2, 2], "counts": [0, 4]}}
    (tmp_path / "a.json").write_text(json.dumps({**COCO, "annotations": [mask, whole]}))
    box, square = Coco(url=str(tmp_path / "a.json")).read().geometry
    assert box.equals(shapely.box(388, 20, 394, 280) - shapely.box(390, 100, 392, 150))
    assert square.equals(shapely.box(0, 0, 2, 2))
    assert len(box.exterior.coords) == 5  # corners, not a point for each pixel


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        ({"size": [2, 2], "counts": [1, 2]}, r"the runs of annotation 4 of a.json make 3 pixels; expected 2 x 2"),
        ({"size": [2, 2], "counts": "\u00e4"}, "malformed run-length mask"),
        ({"size": [2, 2], "counts": "P"}, "malformed run-length mask .it ends within a number"),
        ({"counts": [1]}, "malformed run-length mask .'size'"),
    ],
)
def test_a_damaged_mask_is_refused(tmp_path: Path, segmentation: Any, told: str) -> None:
    mask = {"id": 4, "image_id": 1, "category_id": 5, "segmentation": segmentation}
    (tmp_path / "a.json").write_text(json.dumps({**COCO, "annotations": [mask]}))
    with pytest.raises(DataError, match=told):
        Coco(url=str(tmp_path / "a.json")).read()


def composite(*numbers: float) -> bytes:
    content = bytearray(roi(1, (0, 0, 100, 100)))
    content[36:40] = struct.pack(">i", len(numbers))
    return bytes(content[:64]) + struct.pack(f">{len(numbers)}f", *numbers)


def test_a_composite_region_keeps_its_holes_and_curves(tmp_path: Path) -> None:
    def box(x: float, y: float, side: float) -> list[float]:
        return [0, x, y, 1, x + side, y, 1, x + side, y + side, 1, x, y + side, 4]

    (tmp_path / "a.roi").write_bytes(composite(*box(10, 10, 40), *box(20, 20, 10), *box(60, 60, 5)))
    (shape,) = ImageJRoi(url=str(tmp_path / "a.roi")).read().geometry
    expected = (shapely.box(10, 10, 50, 50) - shapely.box(20, 20, 30, 30)) | shapely.box(60, 60, 65, 65)
    assert shape.equals(expected)
    k = 4 / 3 * (np.sqrt(2) - 1) * 10  # a disc of radius 10 of four cubic curves, as java.awt draws an oval
    disc = [0, 10, 0, 3, 10, k, k, 10, 0, 10, 3, -k, 10, -10, k, -10, 0]
    disc += [3, -10, -k, -k, -10, 0, -10, 3, k, -10, 10, -k, 10, 0, 4]
    (tmp_path / "b.roi").write_bytes(composite(*disc))
    assert ImageJRoi(url=str(tmp_path / "b.roi")).read().geometry[0].area == pytest.approx(np.pi * 100, rel=2e-3)
    (tmp_path / "c.roi").write_bytes(composite(*box(10, 10, 40), 7.0))
    with pytest.raises(DataError, match=r"region 'c' of c.roi is cut off .its path has a part of kind 7"):
        ImageJRoi(url=str(tmp_path / "c.roi")).read()


NAPARI = """index,shape-type,vertex-index,axis-0,axis-1
0,rectangle,0,1,2
0,rectangle,1,1,6
0,rectangle,2,5,6
0,rectangle,3,5,2
1,ellipse,0,0,0
1,ellipse,1,0,10
1,ellipse,2,20,10
1,ellipse,3,20,0
2,polygon,0,0,0
2,polygon,1,0,3
2,polygon,2,3,3
"""


class TestNapari(ReaderTests):
    def reader(self, folder: Path) -> NapariShapes:
        (folder / "a.csv").write_text(NAPARI)
        return NapariShapes(url=str(folder / "a.csv"))

    def check(self, opened: Any) -> None:
        assert opened["kind"].tolist() == ["rectangle", "ellipse", "polygon"]
        assert opened.geometry[0].bounds == (2.5, 1.5, 6.5, 5.5)
        assert opened.geometry[1].bounds == pytest.approx((0.5, 0.5, 10.5, 20.5))
        assert opened.geometry[2].area == 4.5


def test_napari_lines_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(NAPARI + "3,line,0,0,0\n3,line,1,5,5\n")
    with pytest.warns(IntegrateWarning, match="1 shapes are lines and are left out: '3'"):
        assert len(NapariShapes(url=str(tmp_path / "a.csv")).read()) == 3
