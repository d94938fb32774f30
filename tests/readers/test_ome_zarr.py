"""OME-Zarr written by ome-zarr-py: steps and units of every level, labels, and plates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_image, write_labels, write_plate_metadata, write_well_metadata

from integrate.errors import DataError, IntegrateWarning, ParameterError
from integrate.readers.ome_zarr import OmeZarr, OmeZarrPlate
from integrate.readers.zarr_array import lazy_zarr
from integrate.testing import ReaderTests

FORMATS = {"0.4": FormatV04(), "0.5": FormatV05()}
PIXELS = np.random.default_rng(0).integers(0, 4000, (2, 64, 96), dtype=np.uint16)
UM = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space", "unit": "micrometer"} for a in "yx")]


def scales(count: int, *, step: tuple[float, ...] = (1.0, 0.5, 0.25)) -> list[list[dict[str, Any]]]:
    factors = [[step[0], *(edge * 2**level for edge in step[1:])] for level in range(count)]
    return [[{"type": "scale", "scale": factor}] for factor in factors]


def write(store: Path, version: str = "0.5", *, axes: Any = UM, pixels: Any = PIXELS, **options: Any) -> str:
    """Write two levels, channel names and a label image."""
    options.setdefault("coordinate_transformations", scales(2))
    chunks = {"chunks": (1,) * (pixels.ndim - 2) + (32, 32)}
    root = zarr.open_group(str(store), mode="w", zarr_format=3 if version == "0.5" else 2)
    channels = [
        {"label": name, "color": "FFFFFF", "window": {"min": 0, "max": 1, "start": 0, "end": 1}} for name in "AB"
    ]
    write_image(
        pixels,
        root,
        axes=axes,
        fmt=FORMATS[version],
        scale_factors=[2],
        storage_options=chunks,
        metadata={"omero": {"channels": channels}},
        **options,
    )
    return str(store)


def add_labels(store: str, version: str = "0.5") -> np.ndarray:
    made = np.zeros(PIXELS.shape[1:], np.int32)
    made[10:20, 30:60], made[40:60, 5:9] = 7, 300
    group = zarr.open_group(store, mode="a")
    transformations = [[{"type": "scale", "scale": [0.5, 0.25]}], [{"type": "scale", "scale": [1.0, 0.5]}]]
    write_labels(
        made,
        group,
        name="cells",
        scaler=None,
        axes=UM[1:],
        fmt=FORMATS[version],
        scale_factors=[2],
        coordinate_transformations=transformations,
    )
    return made


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> OmeZarr:
        return OmeZarr(url=write(folder / "a.ome.zarr"))

    def check(self, opened: Any) -> None:
        assert opened.dims == ("c", "y", "x")
        assert opened.coords["c"].values.tolist() == ["A", "B"]
        assert opened.attrs["integrate"]["pixel_size_um"] == [0.5, 0.25]
        assert opened.attrs["integrate"]["levels"] == [[2, 64, 96], [2, 32, 48]]
        np.testing.assert_array_equal(opened.values, PIXELS)


class TestOlderFormat(TestContract):
    def reader(self, folder: Path) -> OmeZarr:
        return OmeZarr(url=write(folder / "a.ome.zarr", "0.4"))


class TestPlateContract(ReaderTests):
    def reader(self, folder: Path) -> OmeZarrPlate:
        return OmeZarrPlate(url=write_plate(folder / "p.zarr"))

    def victim(self, source: Path) -> Path:
        return source / "zarr.json"

    def check(self, opened: Any) -> None:
        assert opened["name"].tolist() == ["A/1/0", "A/1/1", "B/12/0"]
        assert opened["well"].tolist() == ["A1", "A1", "B12"]
        assert opened.attrs["integrate"] | {"ids": 0, "origin": 0} == {
            "plate": "screen",
            "wells": 2,
            "fields": 3,
            "ids": 0,
            "origin": 0,
        }


def write_plate(store: Path, version: str = "0.5") -> str:
    root = zarr.open_group(str(store), mode="w", zarr_format=3 if version == "0.5" else 2)
    write_plate_metadata(
        root, ["A", "B"], ["1", "12"], ["A/1", "B/12"], fmt=FORMATS[version], name="screen", field_count=2
    )
    for place, fields in (("A/1", ["0", "1"]), ("B/12", ["0"])):
        well = root.require_group(place)
        write_well_metadata(well, fields, fmt=FORMATS[version])
        for field in fields:
            write_image(
                PIXELS[0] + int(field), well.require_group(field), axes=UM[1:], fmt=FORMATS[version], scale_factors=[],
                coordinate_transformations=[[{"type": "scale", "scale": [0.5, 0.25]}]],
            )  # fmt: skip
    return str(store)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_coarser_level_covers_the_same_ground(tmp_path: Path, version: str) -> None:
    store = write(tmp_path / "a.zarr", version)
    fine, coarse = OmeZarr(url=store).read(), OmeZarr(url=store, level=1).read()
    assert coarse.shape == (2, 32, 48)
    assert coarse.attrs["integrate"]["pixel_size_um"] == [1.0, 0.5]
    for axis in "yx":
        steps = [np.diff(image[axis].values[:2])[0] for image in (fine, coarse)]
        edges = [
            (image[axis].values[0] - step / 2, image[axis].values[-1] + step / 2)
            for image, step in zip((fine, coarse), steps, strict=True)
        ]
        assert edges[0] == pytest.approx(edges[1])
        assert edges[0][0] == 0


def test_a_translation_of_pixel_centres_keeps_the_corner(tmp_path: Path) -> None:
    """Other writers state where the centre of a coarse pixel lies: half the difference of the steps."""
    moved = scales(2)
    moved[1].append({"type": "translation", "translation": [0, 0.25, 0.125]})
    coarse = OmeZarr(url=write(tmp_path / "a.zarr", coordinate_transformations=moved), level=1).read()
    assert coarse["y"].values[:2] == pytest.approx([0.5, 1.5])
    assert coarse["x"].values[:2] == pytest.approx([0.25, 0.75])
    both = [[*one, {"type": "translation", "translation": [0, 100.0, 200.0]}] for one in scales(2)]
    for level, first in ((0, 100.25), (1, 100.5)):
        image = OmeZarr(url=write(tmp_path / "b.zarr", coordinate_transformations=both), level=level).read()
        assert image["y"].values[0] == pytest.approx(first)
        assert image.attrs["integrate"]["origin_um"] == {"y": 100.0, "x": 200.0}


def test_units_are_converted_and_an_unstated_one_is_not_guessed(tmp_path: Path) -> None:
    axes = [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "nanometer"},
        {"name": "x", "type": "space", "unit": "millimeter"},
    ]
    image = OmeZarr(url=write(tmp_path / "a.zarr", axes=axes)).read()
    assert image.attrs["integrate"]["pixel_size_um"] == pytest.approx([0.0005, 250.0])
    store = write(
        tmp_path / "b.zarr",
        axes=[{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}],
    )
    assert OmeZarr(url=store).read().attrs["integrate"]["pixel_size_um"] is None
    assert OmeZarr(url=store, level=1, pixel_size_um=[2, 3]).read().attrs["integrate"]["pixel_size_um"] == [4.0, 6.0]


def test_time_and_depth_have_their_steps(tmp_path: Path) -> None:
    axes = [
        {"name": "t", "type": "time", "unit": "minute"},
        {"name": "c", "type": "channel"},
        *({"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"),
    ]
    pixels = np.random.default_rng(1).integers(0, 255, (3, 2, 4, 16, 16), dtype=np.uint8)
    store = write(
        tmp_path / "a.zarr",
        axes=axes,
        pixels=pixels,
        coordinate_transformations=[
            [{"type": "scale", "scale": [2, 1, 3.0, 0.5, 0.5]}],
            [{"type": "scale", "scale": [2, 1, 3.0, 1, 1]}],
        ],
    )
    image = OmeZarr(url=store).read()
    assert image.dims == ("t", "c", "z", "y", "x")
    assert image["t"].values.tolist() == [0, 120, 240]
    assert image["t"].attrs["units"] == "s"
    assert image["z"].values.tolist() == [1.5, 4.5, 7.5, 10.5]
    np.testing.assert_array_equal(image.values, pixels)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_label_image_opens_by_its_name(tmp_path: Path, version: str) -> None:
    store = write(tmp_path / "a.zarr", version)
    made = add_labels(store, version)
    labels = OmeZarr(url=store, label="cells").read()
    assert labels.dims == ("y", "x")
    np.testing.assert_array_equal(labels.values, made)
    assert set(np.unique(OmeZarr(url=store, label="cells", level=1).read())) == {0, 7, 300}
    assert OmeZarr(url=store).read().attrs["integrate"]["labels"] == ["cells"]
    with pytest.raises(ParameterError, match=r"no label image 'cell'; closest: 'cells'"):
        OmeZarr(url=store, label="cell").read()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_fields_of_a_plate_open_by_well(tmp_path: Path, version: str) -> None:
    store = write_plate(tmp_path / "p.zarr", version)
    assert len(OmeZarrPlate(url=store).read()) == 3
    for well in ("A1", "A01", "A/1"):
        np.testing.assert_array_equal(OmeZarr(url=store, well=well, field="1").read()[0].values, PIXELS[0] + 1)
    with pytest.raises(ParameterError, match=r"no well 'C1'"):
        OmeZarr(url=store, well="C1").read()
    with pytest.raises(ParameterError, match=r"no field '2'; .*'0'"):
        OmeZarr(url=store, well="A1", field="2").read()
    with pytest.raises(ParameterError, match="is a plate; give well= and field="):
        OmeZarr(url=store).read()


def test_what_is_no_image_says_what_it_holds(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").require_group("images")
    with pytest.raises(DataError, match=r"a.zarr is no OME-Zarr image; it holds 'images', give series="):
        OmeZarr(url=str(tmp_path / "a.zarr")).read()
    store = write(tmp_path / "b.zarr")
    with pytest.raises(ParameterError, match="has 2 levels, from 0; there is no level 2"):
        OmeZarr(url=store, level=2).read()
    described = json.loads((tmp_path / "b.zarr" / "zarr.json").read_text())
    del described["attributes"]["ome"]["omero"]
    (tmp_path / "b.zarr" / "zarr.json").write_text(json.dumps(described))
    with pytest.warns(IntegrateWarning, match="2 channels of b.zarr have no usable names"):
        OmeZarr(url=store).read()


def test_opening_a_large_image_reads_only_descriptions(tmp_path: Path) -> None:
    big = da.zeros((1, 100_000, 100_000), chunks=(1, 1000, 1000), dtype="uint8")
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=3)
    root.create_array("0", shape=big.shape, chunks=(1, 1000, 1000), dtype="uint8")
    transformed = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}
    root.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": UM, "datasets": [transformed]}]}
    image = OmeZarr(url=str(tmp_path / "a.zarr")).read()
    assert image.shape == big.shape
    assert image[0, 5000:5010, :10].values.sum() == 0


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_chunk_that_was_cut_off_gives_no_numbers(tmp_path: Path, version: str) -> None:
    """Blosc copies what it cannot compress, and then reads beyond the end of a shorter file."""
    store = write(tmp_path / "a.zarr", version)
    chunks = [one for one in (tmp_path / "a.zarr").rglob("*") if one.is_file() and one.stat().st_size > 1000]
    chunk = next(one for one in chunks if one.suffix != ".json" and not one.name.startswith("."))
    chunk.write_bytes(chunk.read_bytes()[:-40])
    with pytest.raises(DataError, match="truncated or damaged"):
        [OmeZarr(url=store, level=level).read().compute() for level in (0, 1)]


@pytest.mark.parametrize("codec", ["blosc", "zstd", "gzip", "none", "shards"])
def test_a_cut_chunk_is_an_error_with_every_codec(tmp_path: Path, codec: str) -> None:
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    codecs = {"blosc": BloscCodec(), "zstd": ZstdCodec(), "gzip": GzipCodec(), "shards": BloscCodec()}
    numbers = np.random.default_rng(0).integers(1, 60_000, (64, 64)).astype("uint16")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    shards = (64, 64) if codec == "shards" else None
    array = group.create_array(
        "0", shape=(64, 64), chunks=(32, 32), shards=shards, dtype="u2", compressors=codecs.get(codec)
    )
    array[:] = numbers
    np.testing.assert_array_equal(lazy_zarr(tmp_path / "a.zarr", "0").compute(), numbers)
    chunk = next(one for one in sorted((tmp_path / "a.zarr" / "0" / "c").rglob("*")) if one.is_file())
    whole = chunk.read_bytes()
    for left in (0, 7, len(whole) - 1):
        chunk.write_bytes(whole[:left])
        with pytest.raises(DataError, match="truncated or damaged"):
            lazy_zarr(tmp_path / "a.zarr", "0").compute()
