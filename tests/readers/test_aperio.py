"""Aperio outlines: every region by layer, mended and counted, never a ruler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from integrate.errors import DataError, IntegrateWarning
from integrate.readers.aperio import AperioXML
from integrate.testing import ReaderTests


def region(number: int, points: list[tuple[float, float]], kind: str = "0") -> str:
    vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in points)
    return f'<Region Id="{number}" Type="{kind}" Area="12.5" Text="">\n<Vertices>{vertices}</Vertices></Region>\n'


def write(file: Path, *regions: str, before: str = "") -> Path:
    body = f'<Annotation Id="1" Name="tumour"><Regions>{"".join(regions)}</Regions></Annotation>'
    file.write_text(f'{before}<Annotations MicronsPerPixel="0.252">{body}</Annotations>', encoding="utf-8")
    return file


def read(file: Path) -> Any:
    return AperioXML(url=str(file)).read()


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> AperioXML:
        folder.mkdir(exist_ok=True)
        triangle, box = [(0.0, 0.0), (4.0, 0.0), (4.0, 3.0)], [(10.0, 10.0), (5.0, 6.0)]
        ruler = region(3, [(0, 0), (9, 9)], "4")
        return AperioXML(url=str(write(folder / "a.xml", region(1, triangle), region(2, box, "1"), ruler)))

    def check(self, opened: Any) -> None:
        assert opened["id"].tolist() == ["1-1", "1-2"]
        assert opened["classification"].tolist() == ["tumour", "tumour"]
        assert opened.geometry.area.tolist() == [6.0, 20.0]
        notes = opened.attrs["integrate"]
        assert notes["left_out"]["arrows and rulers"] == 1
        assert notes["pixel_size_um"] == [0.252, 0.252]


def test_what_crosses_itself_is_mended_and_counted(tmp_path: Path) -> None:
    bow_tie = [(0.0, 0.0), (4.0, 4.0), (4.0, 0.0), (0.0, 4.0)]
    file = write(tmp_path / "a.xml", region(1, bow_tie), region(2, [(0, 0), (1, 1)]))
    with pytest.warns(IntegrateWarning, match="1 of 2 outlines crossed themselves and were made valid, 1 without area"):
        shapes = read(file)
    assert shapes.geometry.area.tolist() == [8.0]


def test_a_document_type_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb">]>'
    with pytest.raises(DataError, match="declares a document type"):
        read(write(tmp_path / "a.xml", before=bomb))


@pytest.mark.parametrize(("name", "nuclei"), [("TCGA-B0-5710-01Z-00-DX1", 359), ("TCGA-B0-5698-01Z-00-DX1", 357)])
def test_real_outlines_have_the_published_number_and_area(test_data: Any, name: str, nuclei: int) -> None:
    from PIL import Image

    with pytest.warns(IntegrateWarning, match=f"of {nuclei} outlines crossed themselves"):
        shapes = read(test_data("monuseg-he") / f"{name}.xml")
    assert len(shapes) == nuclei
    mask = np.asarray(Image.open(test_data("monuseg-he") / "binary_masks" / f"{name}.png").convert("L")) > 0
    union = shapes.geometry.union_all().intersection(shapely.box(0, 0, 1000, 1000)).area
    assert union == pytest.approx(mask.sum(), rel=0.1)  # the published mask draws outlines a pixel wide
