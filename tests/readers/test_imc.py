"""Imaging mass cytometry: MCD and text as the instrument writes them, and the output of steinbock."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from integrate.errors import DataError, IntegrateWarning, ParameterError, SourceNotFoundError
from integrate.readers.imc import Imc
from integrate.readers.steinbock import Steinbock
from integrate.readers.vendor_headers import made_by_vendor
from integrate.testing import ReaderTests

readimc = pytest.importorskip("readimc")

METALS, LABELS = ["Ir(191)", "Er(170)", "Yb(173)"], ["DNA1", "CD3", ""]
PIXELS = np.random.default_rng(0).poisson(3, (3, 40, 30)).astype(np.float32)


def write_mcd(
    file: Path, *, labels: list[str] = LABELS, numbers: tuple[int, ...] = (1,), rows: int | None = None
) -> str:
    """Write acquisitions as the format is documented: float32 pixels with X, Y, Z, then XML in UTF-16."""
    lines, columns = (one.ravel() for one in np.mgrid[0:40, 0:30])
    content, elements = b"\0" * 100, ""
    for number in numbers:
        values = np.column_stack([columns, lines, np.zeros(lines.size), (PIXELS * number).reshape(3, -1).T])
        start, data = len(content), values.astype("<f4")[:rows].tobytes()
        content += data
        elements += (
            f"<Acquisition><ID>{number}</ID><AcquisitionROIID>1</AcquisitionROIID>"
            f"<Description>ROI {number}</Description><StartTimeStamp>2024-03-02T10:00:00</StartTimeStamp>"
            f"<DataStartOffset>{start}</DataStartOffset><DataEndOffset>{start + len(data)}</DataEndOffset>"
            "<MaxX>30</MaxX><MaxY>40</MaxY><ValueBytes>4</ValueBytes><AblationDistanceBetweenShotsX>1</AblationDistanceBetweenShotsX>"
            "<AblationDistanceBetweenShotsY>1</AblationDistanceBetweenShotsY></Acquisition>"
        )
        for order, (metal, label) in enumerate(zip(["X", "Y", "Z", *METALS], ["X", "Y", "Z", *labels], strict=True)):
            elements += (
                f"<AcquisitionChannel><AcquisitionID>{number}</AcquisitionID><OrderNumber>{order}</OrderNumber>"
                f"<ChannelName>{metal}</ChannelName><ChannelLabel>{label}</ChannelLabel></AcquisitionChannel>"
            )
    xml = (
        '<MCDSchema xmlns="http://www.fluidigm.com/IMC/MCDSchema.xsd"><Slide><ID>0</ID><SwVersion>7.0.5</SwVersion></Slide><Panorama><ID>1</ID>'
        "<SlideID>0</SlideID><Type>Default</Type></Panorama><AcquisitionROI><ID>1</ID><PanoramaID>1</PanoramaID>"
        f"</AcquisitionROI>{elements}</MCDSchema>"
    )
    file.write_bytes(content + xml.encode("utf-16-le"))
    return str(file)


def write_text(file: Path, count: int | None = None) -> str:
    lines, columns = (one.ravel() for one in np.mgrid[0:40, 0:30])
    values = np.column_stack([lines * 0, lines * 0, lines * 0 + 5, columns, lines, lines * 0, PIXELS.reshape(3, -1).T])
    names = [
        "Start_push",
        "End_push",
        "Pushes_duration",
        "X",
        "Y",
        "Z",
        "191Ir-DNA1(Ir191Di)",
        "CD3(Er170Di)",
        "173Yb(Yb173Di)",
    ]
    pd.DataFrame(values[:count], columns=names).to_csv(file, sep="\t", index=False)
    return str(file)


class TestMcd(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> Imc:
        return Imc(url=write_mcd(folder / "a.mcd"))

    def check(self, opened: Any) -> None:
        assert opened.coords["c"].values.tolist() == ["DNA1", "CD3", "Yb173"]
        assert opened.attrs["integrate"]["metals"] == ["Ir191", "Er170", "Yb173"]
        assert opened.attrs["integrate"]["pixel_size_um"] == [1.0, 1.0]
        np.testing.assert_array_equal(opened.values, PIXELS)


class TestText(ReaderTests):
    lazy = True
    cut = 0.613  # within a line

    def reader(self, folder: Path) -> Imc:
        return Imc(url=write_text(folder / "a.txt"))

    def check(self, opened: Any) -> None:
        assert opened.shape == PIXELS.shape
        np.testing.assert_array_equal(opened.values, PIXELS)


class TestSteinbock(ReaderTests):
    def load(self, opened: Any) -> Any:
        return [opened[image].compute() for image in opened.images]

    def reader(self, folder: Path) -> Steinbock:
        return Steinbock(url=write_steinbock(folder / "out"))

    def check(self, opened: Any) -> None:
        assert sorted(opened.images) == ["steinbock_a_001_image", "steinbock_b_001_image"]
        assert opened["steinbock_a_001_image"].coords["c"].values.tolist() == ["DNA1", "CD3"]
        np.testing.assert_array_equal(opened["steinbock_a_001_image"].values, PIXELS[:2])
        table = opened["steinbock_table"]
        assert table.obs_names.tolist() == ["a_001_1", "a_001_2", "b_001_1", "b_001_2"]
        assert table.obs["area"].tolist() == [25.0, 50.0, 25.0, 50.0]
        assert table.obs["region"].astype(str).tolist()[::2] == ["steinbock_a_001_labels", "steinbock_b_001_labels"]
        labels = opened["steinbock_a_001_labels"].values
        for row in range(2):
            cell = labels == table.obs["instance_id"].iloc[row]
            np.testing.assert_allclose(table.X[row], PIXELS[:2, cell].mean(axis=1), rtol=1e-5)


def write_steinbock(folder: Path) -> str:
    for name in ("img", "masks", "intensities", "regionprops"):
        (folder / name).mkdir(parents=True)
    (folder / "panel.csv").write_text("channel,name,keep\nIr191,DNA1,1\nEr170,CD3,1\nYb173,,0\n")
    mask = np.zeros((40, 30), np.uint16)
    mask[2:7, 3:8], mask[20:30, 10:15] = 1, 2
    for image in ("a_001", "b_001"):
        tifffile.imwrite(folder / "img" / f"{image}.tiff", PIXELS[:2], metadata={"axes": "CYX"})
        tifffile.imwrite(folder / "masks" / f"{image}.tiff", mask)
        means = [[cell, *PIXELS[:2, mask == cell].mean(axis=1)] for cell in (1, 2)]
        pd.DataFrame(means, columns=["Object", "DNA1", "CD3"]).to_csv(
            folder / "intensities" / f"{image}.csv", index=False
        )
        areas = {"Object": [1, 2], "area": [25.0, 50.0]}
        pd.DataFrame(areas).to_csv(folder / "regionprops" / f"{image}.csv", index=False)
    return str(folder)


def test_an_acquisition_says_its_day_and_software(tmp_path: Path) -> None:
    file = Path(write_mcd(tmp_path / "a.mcd"))
    facts, day = made_by_vendor("Imc", file, {})
    assert (facts, day) == ({"manufacturer": "Standard BioTools", "software": "CyTOF 7.0.5"}, date(2024, 3, 2))
    assert made_by_vendor("Imc", Path(write_text(tmp_path / "a.txt")), {})[1] is None


def test_one_of_several_acquisitions_is_named_never_guessed(tmp_path: Path) -> None:
    file = write_mcd(tmp_path / "a.mcd", numbers=(1, 2))
    with pytest.raises(ParameterError, match=r"has acquisitions '1', '2'; name one with acquisition="):
        Imc(url=file).read()
    np.testing.assert_array_equal(Imc(url=file, acquisition=2).read().values, PIXELS * 2)
    with pytest.raises(ParameterError, match=r"no acquisition 3; it has '1', '2'"):
        Imc(url=file, acquisition=3).read()


def test_pixels_that_were_never_measured_are_missing_not_zero(tmp_path: Path) -> None:
    file = write_mcd(tmp_path / "a.mcd", rows=300)
    with pytest.raises(DataError, match=r"acquisition 1 of a.mcd has 300 of 1200 pixels; it was stopped"):
        Imc(url=file).read()
    image = Imc(url=file, partial=True).read().values
    np.testing.assert_array_equal(image[:, :10], PIXELS[:, :10])
    assert np.isnan(image[:, 10:]).all()
    with pytest.raises(DataError, match=r"the pixels of b\.txt cannot be read"):
        Imc(url=write_text(tmp_path / "b.txt", 305)).read().compute()


def test_repeated_labels_are_told(tmp_path: Path) -> None:
    with pytest.warns(IntegrateWarning, match=r"1 channel names of a.mcd repeat; they are called 'CD3_2'"):
        image = Imc(url=write_mcd(tmp_path / "a.mcd", labels=["CD3", "CD3", "B"])).read()
    assert image.coords["c"].values.tolist() == ["CD3", "CD3_2", "B"]


def test_steinbock_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = Path(write_steinbock(tmp_path / "out"))
    with pytest.raises(SourceNotFoundError, match=r"out/img has no 'c'; it has 'a_001', 'b_001'"):
        Steinbock(url=str(folder), images=["c"]).read()
    tifffile.imwrite(folder / "masks" / "a_001.tiff", np.zeros((5, 5), np.uint16))
    with pytest.raises(DataError, match=r"mask a_001\.tiff is uint16"):
        Steinbock(url=str(folder)).read()
