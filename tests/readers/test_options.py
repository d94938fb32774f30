"""An option of another type than a reader takes is refused where it is given, not somewhere in the reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from integrate.catalog.open import open_catalog
from integrate.catalog.registry import READERS
from integrate.errors import ParameterError
from integrate.readers.dicom import DicomSeries
from integrate.readers.ome_tiff import OmeTiff
from integrate.readers.options import typed_options
from integrate.readers.plain_tiff import Tiff
from integrate.readers.table import Table


@pytest.mark.parametrize(
    ("reader", "option", "told"),
    [
        (Table, {"separator": {"": None}}, r"Table: separator=\{'': None\} is no str \| None"),
        (Table, {"missing": "NA"}, r"Table: missing='NA' is no Sequence\[str\]"),
        (Table, {"sheet": 2020}, r"Table: sheet=2020 is no str \| None"),
        (OmeTiff, {"level": "first"}, "OmeTiff: level='first' is no int"),
        (OmeTiff, {"level": 0.5}, "OmeTiff: level=0.5 is no int"),
        (DicomSeries, {"keep_padding": "false"}, "DicomSeries: keep_padding='false' is str; write true or false"),
        (Tiff, {"pixel_size_um": ["a", 1]}, r"Tiff: pixel_size_um=\['a', 1\] is no Sequence\[float\]"),
    ],
)
def test_an_option_of_another_type_is_refused(reader: Any, option: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        reader(url="x", **option)


def test_tuples_and_lists_are_taken(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((8, 8), "uint8"))
    for edge in ((0.5, 0.25), [0.5, 0.25]):
        image = Tiff(url=tmp_path / "i.tif", channels=("A",), pixel_size_um=edge).read()
        assert list(image.attrs["integrate"]["pixel_size_um"]) == [0.5, 0.25]


def test_a_cell_of_an_asset_table_serves_as_a_number(tmp_path: Path) -> None:
    pixels = np.arange(64 * 64, dtype="uint16").reshape(64, 64)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(pixels, subifds=1, tile=(32, 32), metadata={"axes": "YX", "Channel": {"Name": ["A"]}})
        file.write(pixels[::2, ::2], subfiletype=1, tile=(32, 32))
    (tmp_path / "rows.csv").write_text("id,path,level\na,a.ome.tif,1\nb,a.ome.tif,none\n")
    item = "{reader: OmeTiff, url: <path>, level: <level>}"
    text = f"x: {{reader: AssetTable, kwargs: {{url: '{{CATALOG_DIR}}/rows.csv', key: id, item: {item}}}}}"
    (tmp_path / "c.yaml").write_text(f"version: 2\nentries:\n  {text}\n")
    catalog = open_catalog(tmp_path / "c.yaml")
    assert catalog.load("x", id="a").shape[-2:] == (32, 32)
    with pytest.raises(ParameterError, match="OmeTiff: level='none' is no int"):
        catalog.load("x", id="b")


def test_the_options_of_every_reader_have_a_type_that_is_checked() -> None:
    from importlib import import_module

    for qualified in READERS.values():
        module, _, name = qualified.partition(":")
        reader = getattr(import_module(module), name)
        for option in reader.option_names():
            with pytest.raises(ParameterError, match=f"{option}=<object"):
                typed_options(reader._open, {option: object()}, reader=name)
