"""Lazy TIFF pixels: exact for every layout, never zeros for what is not there."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrate.errors import DataError, ParameterError
from integrate.readers.tiff import check_pixel_size, lazy_level, lazy_page, open_tiff
from integrate.readers.tiff_directories import last_byte

RGB = {"photometric": "rgb"}
LAYOUTS: list[tuple[tuple[int, ...], str, dict[str, Any]]] = [
    ((70, 50), "u2", {}),
    ((70, 50), ">u2", {"byteorder": ">"}),
    ((70, 50), "f4", {"compression": "zlib", "predictor": 3}),
    ((70, 50), "u2", {"compression": "lzw", "rowsperstrip": 7}),
    ((70, 50), "u1", {"compression": "zstd", "tile": (32, 16)}),
    ((70, 50), "u2", {"tile": (16, 32), "bigtiff": True}),
    ((70, 50, 3), "u1", {**RGB, "tile": (32, 32)}),
    ((70, 50, 3), "u1", {**RGB, "compression": "jpeg", "tile": (32, 32)}),
    ((3, 70, 50), "u1", {**RGB, "planarconfig": "separate", "rowsperstrip": 9}),
    ((3, 2, 70, 50), "u2", {"metadata": {"axes": "ZCYX"}}),
    ((3, 2, 70, 50), "u2", {"metadata": {"axes": "ZCYX"}, "compression": "zlib", "tile": (32, 32)}),
    ((3, 2, 70, 50), ">u2", {"imagej": True, "byteorder": ">"}),
    ((1, 50), "u1", {}),
    ((3, 70, 50), "u1", {**RGB, "planarconfig": "separate", "metadata": {"axes": "CYX"}}),
]


def pixels(shape: tuple[int, ...], dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


@pytest.mark.parametrize(("shape", "dtype", "layout"), LAYOUTS, ids=lambda value: str(value)[:60])
def test_every_layout_is_read_as_tifffile_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: str, layout: dict[str, Any]
) -> None:
    monkeypatch.setattr("integrate.readers.tiff.CHUNK", 32)  # several chunks in a small image
    tifffile.imwrite(tmp_path / "a.tif", pixels(shape, dtype), **layout)
    lazy = lazy_level(tmp_path / "a.tif")
    expected = tifffile.imread(tmp_path / "a.tif")
    assert lazy.shape == expected.shape
    assert lazy.dtype.isnative
    np.testing.assert_array_equal(lazy.compute(), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy))[..., 3:40:2].compute(), expected[..., 3:40:2])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_region_equals_the_same_region_of_the_whole(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    shape = (data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90)))
    tile = data.draw(st.sampled_from([None, (16, 16), (32, 48)]))
    file = tmp_path_factory.mktemp("tiff") / "a.tif"
    tifffile.imwrite(file, pixels(shape), tile=tile, compression=data.draw(st.sampled_from([None, "zlib"])))
    rows = slice(*sorted(data.draw(st.tuples(st.integers(0, shape[0]), st.integers(0, shape[0])))))
    columns = slice(*sorted(data.draw(st.tuples(st.integers(0, shape[1]), st.integers(0, shape[1])))))
    np.testing.assert_array_equal(lazy_level(file)[rows, columns].compute(), pixels(shape)[rows, columns])


def test_pyramid_levels_are_found_by_number(tmp_path: Path) -> None:
    full = pixels((2, 64, 48))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(full, subifds=2, tile=(16, 16), metadata={"axes": "CYX"})
        for step in (2, 4):
            writer.write(full[:, ::step, ::step], subfiletype=1, tile=(16, 16))
    for level, step in enumerate((1, 2, 4)):
        np.testing.assert_array_equal(lazy_level(tmp_path / "a.ome.tif", level=level), full[:, ::step, ::step])
    with pytest.raises(DataError, match="has 3 levels, from 0; there is no level 3"):
        lazy_level(tmp_path / "a.ome.tif", level=3)
    with pytest.raises(DataError, match="there is no level -1"):
        lazy_level(tmp_path / "a.ome.tif", level=-1)
    with pytest.raises(DataError, match="has 1 series, numbered from 0; there is no series 1"):
        lazy_level(tmp_path / "a.ome.tif", series=1)


def test_one_channel_is_decoded_without_the_others(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels((6, 64, 64)), compression="zlib", photometric="minisblack")
    assert lazy_level(tmp_path / "a.tif").chunks == ((1,) * 6, (64,), (64,))


def test_a_rewritten_file_gets_another_name_in_the_graph(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels((8, 8)))
    first = lazy_page(tmp_path / "a.tif")
    assert lazy_page(tmp_path / "a.tif").name == first.name
    tifffile.imwrite(tmp_path / "a.tif", pixels((8, 8)) + 1)
    assert lazy_page(tmp_path / "a.tif").name != first.name


@pytest.mark.parametrize("layout", [{}, {"compression": "zlib", "tile": (16, 16)}], ids=["plain", "tiled"])
def test_a_file_cut_off_anywhere_is_refused_when_opened(tmp_path: Path, layout: dict[str, Any]) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels((40, 50)), metadata=None, **layout)
    content = file.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        file.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"a\.tif"):
            lazy_page(file)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_pages_behind_the_end_are_not_left_out(tmp_path: Path, big: bool, order: Any) -> None:
    file = tmp_path / "a.tif"
    with tifffile.TiffWriter(file, bigtiff=big, byteorder=order) as tiff:
        for _ in range(3):
            tiff.write(pixels((40, 50)), compression="zlib", metadata=None)
    content = file.read_bytes()
    assert last_byte(file) == len(content)
    for length in (len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        assert (last_byte(file) or 0) > length
        with pytest.raises(DataError, match=r"a\.tif .*truncated"):
            lazy_level(file)
    (tmp_path / "b.tif").write_bytes(b"no TIFF at all")
    assert last_byte(tmp_path / "b.tif") is None


def test_damaged_pixels_are_named_when_decoded(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels((64, 64)), compression="zlib")
    with tifffile.TiffFile(file) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    content = bytearray(file.read_bytes())
    content[offset : offset + 40] = bytes(40)
    file.write_bytes(content)
    lazy = lazy_page(file)
    with pytest.raises(DataError, match=r"a\.tif cannot be decoded"):
        lazy.compute()
    file.unlink()
    with pytest.raises(DataError, match=r"a\.tif cannot be decoded"):
        lazy.compute()


def test_page_refuses_more_than_one_plane(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(pixels((8, 8)))
        writer.write(pixels((4, 4)))
    with pytest.raises(DataError, match=r"two.tif holds \(8, 8\) and \(4, 4\); expected one 2-D channel"):
        lazy_page(tmp_path / "two.tif")
    tifffile.imwrite(tmp_path / "stack.tif", pixels((5, 8, 8)))
    with pytest.raises(DataError, match=r"stack.tif holds \(5, 8, 8\)"):
        lazy_page(tmp_path / "stack.tif")


def test_planes_in_files_that_are_not_there_are_not_zeros(tmp_path: Path) -> None:
    channel = '<Channel ID="Channel:0:{0}" SamplesPerPixel="1"/>'
    planes = "".join(
        f'<TiffData FirstC="{c}" FirstT="0" FirstZ="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{c}</UUID></TiffData>'
        for c, name in enumerate(("a.ome.tif", "b.ome.tif"))
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="8" SizeY="8" SizeC="2" '
        f'SizeZ="1" SizeT="1">{channel.format(0)}{channel.format(1)}{planes}</Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels((8, 8)), description=xml, metadata=None)
    with pytest.raises(DataError, match="refers to 1 planes in other files that are not there"):
        lazy_level(tmp_path / "a.ome.tif")


def test_open_tiff_refuses_other_formats(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("not an image")
    with pytest.raises(DataError, match=r"a.tif is not a readable TIFF"):
        open_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("value", [[0.5], 0.5, [0.5, 0], [0.5, float("nan")], ["a", 1], "ab"])
def test_pixel_size_must_be_two_positive_numbers(value: Any) -> None:
    with pytest.raises(ParameterError, match="give the y and x edge of a pixel"):
        check_pixel_size(value)
    assert check_pixel_size([0.5, 1]) == (0.5, 1.0)
    assert check_pixel_size(None) is None


def test_threads_and_one_thread_give_the_same(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels((4, 300, 200)), tile=(64, 64), compression="zlib", photometric="minisblack")
    with dask.config.set(scheduler="synchronous"):
        alone = lazy_level(file).compute()
    np.testing.assert_array_equal(lazy_level(file).compute(scheduler="threads", num_workers=8), alone)


def test_real_multi_page_tiff_is_exact(test_data: Any) -> None:
    for file in sorted(test_data("cytomapper-pancreas").glob("*_imc.tiff")):
        lazy = lazy_level(file)
        assert lazy.shape == (5, 100, 100)
        np.testing.assert_array_equal(lazy.compute(), tifffile.imread(file))
