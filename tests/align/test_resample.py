"""A bright pixel that covers 410–420 µm covers them after every path; nothing loses half a pixel."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage
import spatialdata as sd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from spatialdata.models import Image2DModel, Labels2DModel
from spatialdata.transformations import Affine as Placed
from spatialdata.transformations import Scale, Sequence, Translation, get_transformation

import integrate as ig
import integrate.align.pull
from integrate.align.crop import crop
from integrate.align.grid import Grid, read_grid, set_space
from integrate.align.place import place_image
from integrate.align.resample import pick_level, resample, resample_like
from integrate.align.space import Space
from integrate.align.transform import Affine, DisplacementField, ThinPlate, Transform, identity
from integrate.errors import AlignmentError, DataError, ParameterError
from integrate.features.radiomics.volume import make_volume
from integrate.model.image import image_notes, make_image, make_labels

SLIDE, SECTION = Space("slide", "um"), Space("section", "um")


def bright(shape: tuple[int, int] = (64, 64), at: tuple[int, int] = (25, 41), *, lazy: bool = False) -> Any:
    """An image of 10 µm pixels, one of them bright: x 410–420, y 250–260."""
    pixels = np.zeros((1, *shape), np.float32)
    pixels[0, at[0], at[1]] = 100
    data = da.from_array(pixels, chunks=(1, 24, 24)) if lazy else pixels
    return set_space(make_image(data, channels=["signal"], pixel_size_um=(10, 10)), name="slide")


def centre(image: Any) -> np.ndarray:
    """Where the light lies, from coordinates or from SpatialData's transformation: not through our own grid."""
    values = np.nan_to_num(np.asarray(image.values, dtype=float))
    values = values.reshape(values.shape[-2:]) if values.ndim == 3 else values
    rows, columns = np.indices(values.shape)
    weights = values / values.sum()
    if "transform" in image.attrs:
        matrix = next(iter(get_transformation(image, get_all=True).values())).to_affine_matrix(("x", "y"), ("x", "y"))
        return (matrix @ [(weights * (columns + 0.5)).sum(), (weights * (rows + 0.5)).sum(), 1])[:2]
    x, y = image.x.values[columns], image.y.values[rows]
    return np.array([(weights * x).sum(), (weights * y).sum()])


def covers(image: Any) -> list[float]:
    """The box of pixels with more than half of the light's height: x from, to, y from, to."""
    values = np.nan_to_num(image.values.reshape(image.shape[-2:]))
    rows, columns = np.nonzero(values > 50)
    dx, dy = float(image.x[1] - image.x[0]) / 2, float(image.y[1] - image.y[0]) / 2
    x, y = image.x.values[columns], image.y.values[rows]
    return [x.min() - dx, x.max() + dx, y.min() - dy, y.max() + dy]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("size", [1.0, 2.0, 2.5, 10.0, (2.0, 1.0)])
def test_finer_pixels_cover_the_same_place(size: Any, lazy: bool) -> None:
    finer = resample(bright(lazy=lazy), pixel_size=size)
    assert covers(finer) == [410, 420, 250, 260]
    np.testing.assert_allclose(centre(finer), [415, 255], atol=1e-4)
    assert hasattr(finer.data, "dask") == lazy


@pytest.mark.parametrize("size", [20.0, 30.0, 70.0, 15.0])
def test_coarser_pixels_keep_the_light_where_it_was(size: float) -> None:
    """Averaging keeps the light within the pixel that holds it; 64 is no multiple of 3 or 7."""
    coarser = resample(bright(), pixel_size=size)
    assert np.abs(centre(coarser) - [415, 255]).max() <= size / 2
    full = np.outer(np.hanning(64), np.hanning(64)).astype(np.float32)[None]
    smooth = set_space(make_image(full, channels=["a"], pixel_size_um=(10, 10)), name="slide")
    np.testing.assert_allclose(centre(resample(smooth, pixel_size=size)), centre(smooth), atol=0.3)


@pytest.mark.parametrize("corner", [(0.0, 0.0), (2.3, 7.9), (123.4, 56.7)])
def test_a_box_that_begins_anywhere(corner: tuple[float, float]) -> None:
    box = {"x": (corner[0], 500.0), "y": (corner[1], 400.0)}
    np.testing.assert_allclose(centre(resample(bright(), pixel_size=0.7, box=box)), [415, 255], atol=0.02)


@pytest.mark.parametrize("low", [405.0, 405.1, 402.3, 409.9, 410.0, 414.9])
def test_a_crop_knows_where_its_pixels_lie(low: float) -> None:
    part = crop(bright(), x=(low, 500.3), y=(12.3, 300))
    assert covers(part) == [410, 420, 250, 260]
    element = crop(place_image(bright(), space="slide"), x=(low, 500.3), y=(12.3, 300))
    assert (element.values == part.values).all()
    np.testing.assert_allclose(centre(element), [415, 255], atol=1e-9)
    if low <= 405:  # the bright pixel has neighbours on both sides
        np.testing.assert_allclose(centre(resample(element, pixel_size=2)), [415, 255], atol=1e-4)


def test_a_crop_takes_the_pixels_whose_centre_is_inside() -> None:
    assert crop(bright(), x=(415.0, 425.0)).x.values.tolist() == [415]
    assert crop(bright(), x=(415.1, 425.1)).x.values.tolist() == [425]
    with pytest.raises(AlignmentError, match=r"holds no pixel of the image, which reaches from \[0.0, 0.0\]"):
        crop(bright(), x=(700, 800))
    with pytest.raises(ParameterError, match=r"has no axis \['z'\]"):
        crop(bright(), z=(1, 2))


def test_a_cropped_image_is_placed_where_it_was() -> None:
    placed = place_image(crop(bright(), x=(300, 500), y=(200, 300)), space="slide")
    np.testing.assert_allclose(centre(placed), [415, 255], atol=1e-9)


@pytest.mark.parametrize("factors", [[2, 2], [3], [{"y": 2, "x": 3}]])
def test_every_level_of_a_pyramid_has_its_true_scale(factors: list[Any]) -> None:
    pixels = np.zeros((1, 61, 67), np.float32)
    pixels[0, 20:30, 30:45] = 100
    pyramid = Image2DModel.parse(
        pixels, dims=("c", "y", "x"), scale_factors=factors, transformations={"slide": Scale([10, 10], axes=("y", "x"))}
    )
    for size in (10, 20, 40):
        level = pick_level(pyramid, pixel_size=size, space="slide")
        grid = read_grid(level)
        np.testing.assert_allclose(grid.corners().max(axis=0), [670, 610])
        np.testing.assert_allclose(centre(level), [375, 250], atol=grid.size[1] / 2)
        np.testing.assert_allclose(centre(resample(pyramid, pixel_size=size)), [375, 250], atol=grid.size[1] / 2)
    assert pick_level(pyramid, pixel_size=10, space="slide").shape == (1, 61, 67)


def test_writing_and_reading_spatialdata_moves_nothing(tmp_path: Path) -> None:
    finer = place_image(resample(bright(), pixel_size=2.0), space="slide")
    turned = Affine(((0.8, -0.6, 90), (0.6, 0.8, -20), (0, 0, 1)), SLIDE, SECTION)
    elements = {"finer": finer, "turned": place_image(resample(bright(), turned, pixel_size=4.0), space="section")}
    sd.SpatialData.init_from_elements(elements).write(tmp_path / "s.zarr")
    again = sd.read_zarr(tmp_path / "s.zarr")
    np.testing.assert_allclose(centre(again["finer"]), [415, 255], atol=1e-4)
    np.testing.assert_allclose(centre(again["turned"]), turned.map_points([[415, 255]])[0], atol=0.05)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(0.6, 1.6), st.floats(0.6, 1.6), st.floats(-500, 500))
def test_light_goes_where_the_affine_says(angle: float, sx: float, sy: float, shift: float) -> None:
    c, s = np.cos(angle), np.sin(angle)
    there = Affine(((c * sx, -s * sy, shift), (s * sx, c * sy, -shift), (0, 0, 1)), SLIDE, SECTION)
    np.testing.assert_allclose(
        centre(resample(bright(), there, pixel_size=2.0)), there.map_points([[415, 255]])[0], atol=0.12
    )


def test_light_goes_where_the_field_says() -> None:
    nodes = np.stack(np.meshgrid(np.arange(24) * 40.0, np.arange(24) * 40.0), axis=-1) - 100
    field = DisplacementField(30 * np.sin(nodes / 150), (-100, -100), (40, 40), SLIDE, SECTION)
    for lazy in (False, True):
        made = resample(bright(lazy=lazy), field, pixel_size=2.0)
        np.testing.assert_allclose(centre(made), field.map_points([[415, 255]])[0], atol=0.3)
    back = resample(made, field.inverse(), like=bright())
    np.testing.assert_allclose(centre(back), [415, 255], atol=0.5)


def test_the_identity_changes_no_bit() -> None:
    noise = np.random.default_rng(0).integers(0, 65535, (3, 70, 90)).astype(np.uint16)
    for data in (noise, da.from_array(noise, chunks=(1, 33, 40))):
        image = set_space(make_image(data, channels=list("abc"), pixel_size_um=(0.3, 0.7)), name="slide")
        same = resample_like(image, image)
        assert same.dtype == np.uint16
        assert np.array_equal(same.values, noise)
        assert np.array_equal(resample(image, identity(SLIDE, SECTION)).values, noise)
        assert same.x.values.tolist() == image.x.values.tolist()
        part = crop(image, x=(20, 40), y=(3, 15))
        assert np.array_equal(resample(image, like=part).values, part.values)
    floats = make_image(np.where(noise > 30000, np.nan, noise / 7.0), channels=list("abc"), pixel_size_um=None)
    floats = set_space(floats, name="slide")
    assert np.array_equal(resample_like(floats, floats).values, floats.values, equal_nan=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64", "int32"])
def test_values_are_those_of_scipy(dtype: str) -> None:
    rng = np.random.default_rng(3)
    pixels = (rng.random((2, 90, 80)) * 200).astype(dtype)
    image = set_space(make_image(pixels, channels=["a", "b"], pixel_size_um=(1, 1)), name="slide")
    there = Affine(((0.96, 0.2, -7), (-0.25, 1.02, 9), (0, 0, 1)), SLIDE, SECTION)
    made = resample(image, there, like=set_space(bright_grid(100, 95), name="section"))
    back = there.inverse().array
    matrix, offset = back[:2, :2][::-1, ::-1], (back[:2, :2] @ [0.5, 0.5] + back[:2, 2] - 0.5)[::-1]
    for channel in range(2):
        truth = scipy.ndimage.affine_transform(pixels[channel].astype(float), matrix, offset, (100, 95), order=1)
        inner = scipy.ndimage.affine_transform(np.ones((90, 80)), matrix, offset, (100, 95), order=1) > 0.999
        tolerance = 0.02 if dtype == "float32" else 1e-9 if dtype == "float64" else 0.53
        np.testing.assert_allclose(made.values[channel][inner], truth[inner], atol=tolerance)


@pytest.mark.parametrize(
    "rows", [((0.9, -0.4, 20), (0.4, 0.9, -9)), ((-1, 0, 80), (0, 2.5, 3)), ((1, 0.3, 0), (0, 1, 0))]
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_whole_numbers_are_those_of_float64_everywhere(dtype: str, rows: Any) -> None:
    """Also at the border and beyond it, and over the whole range: 32 bits take the slow, exact way."""
    pixels = np.random.default_rng(4).integers(1, np.iinfo(dtype).max, (2, 70, 60), endpoint=True, dtype=dtype)
    there = Affine((*rows, (0, 0, 1)), SLIDE, SECTION)
    made = []
    for data in (pixels, da.from_array(pixels, chunks=(1, 31, 60)), pixels.astype(np.int32)):
        image = set_space(make_image(data, channels=["a", "b"], pixel_size_um=(1, 1)), name="slide")
        made.append(resample(image, there, pixel_size=0.43).values.astype(int))
    assert np.array_equal(made[0], made[1])
    assert np.abs(made[0] - made[2]).max() <= 1
    assert np.array_equal(made[0] == 0, made[2] == 0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_order_in_memory_changes_nothing(dtype: str) -> None:
    pixels = np.random.default_rng(5).integers(0, 255, (3, 60, 50)).astype(dtype)
    there = Affine(((0.9, -0.4, 20), (0.4, 0.9, -9), (0, 0, 1)), SLIDE, SECTION)
    interleaved = np.ascontiguousarray(pixels.transpose(1, 2, 0)).transpose(2, 0, 1)
    every_second = np.repeat(np.repeat(pixels, 2, axis=2), 2, axis=1)[:, ::2, ::2]
    backwards = np.ascontiguousarray(pixels[:, ::-1, ::-1])[:, ::-1, ::-1]
    part_of_more = np.pad(pixels, ((1, 1), (3, 4), (5, 6)))[1:-1, 3:-4, 5:-6]
    made = []
    for data in (pixels, interleaved, every_second, backwards, part_of_more):
        image = set_space(make_image(data, channels=list("abc"), pixel_size_um=(1, 1)), name="slide")
        made.append(resample(image, there, pixel_size=0.8).values)
    for one in made[1:]:
        np.testing.assert_array_equal(one, made[0])


@settings(max_examples=12, deadline=None)
@given(st.tuples(st.integers(1, 3), st.integers(7, 40), st.integers(7, 50)), st.sampled_from([0.6, 3.3]))
def test_blocks_of_any_shape_give_the_same_bits(blocks: tuple[int, int, int], size: float) -> None:
    pixels = np.random.default_rng(6).integers(0, 65535, (3, 40, 50), dtype=np.uint16)
    there = Affine(((0.9, -0.4, 20), (0.4, 0.9, -9), (0, 0, 1)), SLIDE, SECTION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(integrate.align.pull.TILE, 2, 32)
        whole, parts = (
            resample(
                set_space(make_image(one, channels=list("abc"), pixel_size_um=(1, 1)), name="slide"),
                there,
                pixel_size=size,
            )
            for one in (pixels, da.from_array(pixels, chunks=blocks))
        )
        np.testing.assert_array_equal(parts.values, whole.values)


def test_an_image_is_computed_beside_its_output_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peak of what NumPy holds, in units of the output: once, where Dask's own compute joins a second copy."""
    monkeypatch.setitem(integrate.align.pull.TILE, 2, 128)
    blocks = da.random.default_rng(0).integers(0, 65535, (3, 1024, 1024), chunks=(1, 128, 128), dtype=np.uint16)
    image = set_space(make_image(blocks, channels=list("abc"), pixel_size_um=(1, 1)), name="slide")
    turned = Affine(((0.99, 0.08, 3.5), (-0.08, 0.99, 16.25), (0, 0, 1)), SLIDE, SECTION)
    resample(image.isel(y=slice(0, 128)), turned, pixel_size=1.0).compute()  # compiled, imported
    held = {}
    for compute in (True, False):
        tracemalloc.start()
        made = resample(image, turned, pixel_size=1.0, compute=compute).compute()
        held[compute] = tracemalloc.get_traced_memory()[1] / made.nbytes
        tracemalloc.stop()
    assert held[True] < 1.6
    assert 2 < held[False] < 2.6
    again = resample(image, turned, pixel_size=1.0, compute=True)
    assert isinstance(again.data, np.ndarray)
    np.testing.assert_array_equal(again.values, made.values)


def bright_grid(rows: int, columns: int) -> Any:
    return make_image(np.zeros((1, rows, columns), np.uint8), channels=["a"], pixel_size_um=(1, 1))


def test_labels_are_never_mixed() -> None:
    ids = np.zeros((40, 40), np.int32)
    ids[10:20, 10:20], ids[20:30, 10:20] = 7, 1_000_001
    labels = set_space(make_labels(ids, pixel_size_um=(10, 10)), name="slide")
    turned = Affine(((0.8, -0.6, 90), (0.6, 0.8, -20), (0, 0, 1)), SLIDE, SECTION)
    for data in (labels, labels.chunk(17)):
        made = resample(data, turned, pixel_size=3.0)
        assert set(np.unique(made.values)) == {0, 7, 1_000_001}
        assert made.dtype == np.int32
        np.testing.assert_allclose(centre(made == 7), turned.map_points([[150, 150]])[0], atol=1)
    tens = {"slide": Scale([10, 10], axes=("y", "x"))}
    multi = Labels2DModel.parse(ids, dims=("y", "x"), scale_factors=[2], transformations=tens)
    made = resample(multi, Affine(turned.matrix, Space("slide", ""), Space("section", "")), pixel_size=20.0)
    assert set(np.unique(made.values)) <= {0, 7, 1_000_001}  # spatialdata.transform invents ids here (#1202)


def test_beyond_the_image_is_missing_not_zero() -> None:
    half = resample(bright(), pixel_size=10, box={"x": (-320, 320), "y": (0, 640)})
    assert np.isnan(half.values[0, :, :32]).all()
    assert not np.isnan(half.values[0, :, 32:]).any()
    assert image_notes(half)["resampled"]["covered"] == pytest.approx(0.5, abs=0.02)
    with pytest.raises(AlignmentError, match="nothing of the image lies in the output grid"):
        resample(bright(), pixel_size=10, box={"x": (5000, 5100), "y": (0, 100)})


def test_two_spaces_do_not_meet_by_themselves() -> None:
    other = set_space(bright(), name="section")
    with pytest.raises(AlignmentError, match=r"lies in space 'slide' .* expected 'section'"):
        resample_like(bright(), other)
    nameless = make_image(np.zeros((1, 4, 4)), channels=["a"], pixel_size_um=(1, 1))
    with pytest.raises(AlignmentError, match="does not say in which space it lies; name it with set_space"):
        resample_like(nameless, nameless)
    assert resample_like(bright(), other, transform=identity(SLIDE, SECTION)).shape == (1, 64, 64)
    with pytest.raises(ParameterError, match="like= brings its own grid"):
        resample(bright(), like=bright(), pixel_size=3)
    with pytest.raises(DataError, match="expected one time point"):
        resample(bright().expand_dims("t"), pixel_size=3)


def test_elements_stay_elements_on_turned_grids() -> None:
    turned = Placed([[0.8, -0.6, 90], [0.6, 0.8, -20], [0, 0, 1]], input_axes=("x", "y"), output_axes=("x", "y"))
    steps = Sequence([Scale([8, 8], axes=("y", "x")), turned, Translation([0, -100], axes=("x", "y"))])
    blank = np.zeros((1, 90, 120), np.float32)
    target = Image2DModel.parse(blank, dims=("c", "y", "x"), transformations={"slide": steps})
    source = place_image(bright(), space="slide")
    made = resample_like(source, target)
    Image2DModel().validate(made)
    np.testing.assert_allclose(centre(made), [415, 255], atol=0.6)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_bright_voxel_of_an_oblique_volume_stays_in_place(lazy: bool) -> None:
    """Published fault of peers: half a voxel, 1.5 mm in slices of 3 mm."""
    pixels = np.zeros((20, 64, 64), np.float32)
    pixels[9, 30, 41] = 1000
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [0.3, -0.2, 0.4]).as_matrix() * [1.1, 0.8, 3.0]
    affine[:3, 3] = [-50, -30, 100]
    data = da.from_array(pixels, chunks=(5, 64, 40)) if lazy else pixels
    volume = set_space(make_volume(data, spacing_mm=(3, 0.8, 1.1), affine_lps=affine), name="patient")
    place = (affine @ [41, 30, 9, 1])[:3]
    box = {axis: (p - 12.3, p + 11.9) for axis, p in zip("xyz", place, strict=True)}
    made = resample(volume, pixel_size=0.5, box=box)
    assert light(made) == pytest.approx(place, abs=1e-3)
    part = crop(volume, **box)
    assert light(part) == pytest.approx(place, abs=1e-9)
    assert part.shape < volume.shape
    assert light(resample(part, pixel_size=0.5)) == pytest.approx(place, abs=0.02)
    back = resample(made, like=volume)
    assert light(back.fillna(0)) == pytest.approx(place, abs=0.3)  # a tenth of a slice


def bends(axes: tuple[str, ...]) -> list[Transform]:
    """A displacement field and a thin plate over 0 … 80, each moving by some units."""
    n = len(axes)
    here, there = Space("bed", "mm" if n == 3 else "um", axes), Space("straight", "mm" if n == 3 else "um", axes)
    nodes = np.stack(np.meshgrid(*[np.arange(11) * 10.0 - 10] * n, indexing="ij")[::-1], axis=-1)
    marks = np.random.default_rng(0).uniform(0, 80, (12, n))
    field = DisplacementField(5 * np.sin(nodes / 25 + 1), (-10,) * n, (10,) * n, here, there)
    return [field, ThinPlate(marks, marks + 5 * np.cos(marks / 30), here, there)]


@pytest.mark.parametrize("dims", [2, 3])
def test_pictures_and_labels_bend_alike(dims: int) -> None:
    """A ball of light and a ball of names go where a field and a thin plate take its middle; names stay whole."""
    index = np.indices((20,) * dims)
    ball = sum((one - 9.5) ** 2 for one in index) < 1
    ids = np.where(ball, 1_000_001, 0).astype(np.int32)
    if dims == 3:
        affine = np.diag([4.0, 4.0, 4.0, 1.0])
        affine[:3, 3] = 2
        made = [make_volume(one, spacing_mm=(4, 4, 4), affine_lps=affine) for one in (ball.astype(np.float32), ids)]
    else:
        made = [
            make_image(ball[None].astype(np.float32), channels=["a"], pixel_size_um=(4, 4)),
            make_labels(ids, pixel_size_um=(4, 4)),
        ]
    for way in bends(("x", "y", "z")[:dims]):
        aim = way.map_points(np.full((1, dims), 40.0))[0]
        assert np.linalg.norm(aim - 40) > 1.5
        picture, names = (
            resample(set_space(one, name="bed"), way, pixel_size=2.0, labels=bool(name))
            for name, one in enumerate(made)
        )
        assert set(np.unique(names.values)) == {0, 1_000_001}
        for one in (picture.values.reshape(picture.shape[-dims:]), names.values == 1_000_001):
            middle = scipy.ndimage.center_of_mass(np.nan_to_num(one.astype(float)))[::-1]
            corner = read_grid(picture).corners().min(axis=0)
            np.testing.assert_allclose(corner + 2 * (np.array(middle) + 0.5), aim, atol=0.4)


def light(volume: Any) -> np.ndarray:
    """Where the light of a volume lies in the patient, by the noted affine and the coordinates."""
    values = np.nan_to_num(np.asarray(volume.values))
    notes = image_notes(volume)
    index = [scipy.ndimage.center_of_mass(values)[k] for k in range(3)]
    first = [float(volume.coords[a][0]) / s - 0.5 for a, s in zip("zyx", notes["spacing_mm"], strict=True)]
    k, j, i = (a + b for a, b in zip(index, first, strict=True))
    return (np.array(notes["affine_lps"]) @ [i, j, k, 1])[:3]


def test_volumes_of_integers_say_what_they_are() -> None:
    volume = set_space(make_volume(np.ones((4, 4, 4), np.int16), spacing_mm=(1, 1, 1)), name="patient")
    with pytest.raises(ParameterError, match="pass labels=True or labels=False"):
        resample(volume, pixel_size=2.0)
    assert resample(volume, pixel_size=2.0, labels=True).shape == (2, 2, 2)
    hounsfield = set_space(make_volume(np.ones((4, 4, 4), np.int16), spacing_mm=(1, 1, 1), unit="[hnsf'U]"), name="p")
    assert resample(hounsfield, pixel_size=0.5).shape == (8, 8, 8)


def test_tiles_make_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = scipy.ndimage.gaussian_filter(np.random.default_rng(1).random((1, 300, 280)), (0, 3, 3)).astype(np.float32)
    image = set_space(make_image(smooth, channels=["a"], pixel_size_um=(1, 1)), name="slide")
    turned = Affine(((0.8, -0.6, 90), (0.6, 0.8, -20), (0, 0, 1)), SLIDE, SECTION)
    whole = resample(image, turned, pixel_size=0.9)
    monkeypatch.setitem(integrate.align.pull.TILE, 2, 37)
    np.testing.assert_allclose(resample(image, turned, pixel_size=0.9).values, whole.values, atol=1e-4)


def test_a_grid_may_be_given_by_itself() -> None:
    pixels = Space("any", "px")
    grid = Grid((30, 40), Affine.scale([5, 5], pixels, SLIDE, offset=[350, 200]))
    assert covers(resample(bright(), like=grid)) == [410, 420, 250, 260]
    assert ig.resample(bright(), like=grid).shape == (1, 30, 40)
