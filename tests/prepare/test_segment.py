"""Nuclei and cells against planted discs, in pixels and in micrometres, with what they must carry."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from integrate.errors import DatasetNotFoundError, IntegrateWarning, ParameterError, UnitError
from integrate.model.image import image_ids, image_notes, make_image, make_labels, pixel_size_um
from integrate.model.provenance import recorded
from integrate.prepare.segment import NucleusWatershed, expand_labels, segment_nuclei


def planted_discs(*, radius: float = 6, pitch: int = 20, size: int = 200, edge: tuple[float, float] = (1, 1)) -> Any:
    """Return discs on a lattice with noise, photographed with pixels of that edge, and their number."""
    y, x = (np.arange(int(size / step)) * step + step / 2 for step in edge)
    away = np.hypot(y[:, None] % pitch - pitch / 2, x[None] % pitch - pitch / 2)
    noise = np.random.default_rng(0).normal(0, 5, away.shape)
    return 100 + 200 / (1 + np.exp(2 * (away - radius))) + noise, (size // pitch) ** 2


def as_image(pixels: Any, *, pixel_size: tuple[float, float] | None = None, **more: Any) -> xr.DataArray:
    return make_image(np.asarray(pixels)[None], channels=["DNA"], pixel_size_um=pixel_size, **more)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_planted_discs_are_found_one_by_one(dtype: str) -> None:
    pixels, number = planted_discs()
    scaled = pixels * 0.5 if dtype == "uint8" else pixels
    labels = segment_nuclei(as_image(scaled.astype(dtype)), channels="DNA").values
    assert labels.dtype == np.int32
    assert np.unique(labels).tolist() == list(range(number + 1))
    assert np.sqrt(np.bincount(labels.ravel())[1:].mean() / np.pi) == pytest.approx(6.5, abs=0.5)


def test_touching_discs_are_divided() -> None:
    pixels, number = planted_discs(radius=6, pitch=12, size=120)
    assert int(segment_nuclei(as_image(pixels), channels="DNA").max()) == number


@pytest.mark.parametrize("edge", [(1.0, 1.0), (0.5, 0.5), (1.0, 0.5), (0.5, 1.0)])
def test_micrometres_give_the_same_nuclei_for_any_pixels(edge: tuple[float, float]) -> None:
    pixels, number = planted_discs(edge=edge)
    method = NucleusWatershed(nucleus_diameter=12, unit="um")
    labels = segment_nuclei(as_image(pixels, pixel_size=edge), channels="DNA", method=method).values
    assert labels.max() == number
    areas = np.bincount(labels.ravel())[1:] * edge[0] * edge[1]
    assert np.sqrt(areas.mean() / np.pi) == pytest.approx(6.5, abs=0.5)


def test_default_settings_are_in_micrometres_only_where_the_pixel_size_is_known() -> None:
    pixels, _ = planted_discs()
    assert NucleusWatershed.for_image(as_image(pixels)) == NucleusWatershed(12, "px")
    assert NucleusWatershed.for_image(as_image(pixels, pixel_size=(0.5, 0.5))) == NucleusWatershed(8, "um")


def test_micrometres_are_refused_where_the_pixel_size_is_unknown() -> None:
    pixels, _ = planted_discs(size=40)
    with pytest.raises(UnitError, match="pixel size is unknown, so 8 um has no meaning"):
        segment_nuclei(as_image(pixels), channels="DNA", method=NucleusWatershed(8, "um"))
    with pytest.raises(UnitError, match="pixel size is unknown"):
        expand_labels(make_labels(np.ones((3, 3), int), pixel_size_um=None), distance=2, unit="um")


def test_scale_and_offset_of_the_signal_do_not_matter() -> None:
    pixels, _ = planted_discs()
    one, other = (segment_nuclei(as_image(p), channels="DNA") for p in (pixels, pixels * 16 + 1000))
    assert (one.values != other.values).mean() < 0.01


def test_several_channels_are_scaled_to_their_own_range_before_they_are_averaged() -> None:
    pixels, number = planted_discs()
    half = np.arange(200) < 100
    image = make_image(
        np.stack([np.where(half, pixels, 100), np.where(half, 1, pixels / 100)]),
        channels=["A", "B"],
        pixel_size_um=None,
    )
    assert int(segment_nuclei(image, channels=["A", "B"]).max()) == number


@pytest.mark.parametrize("value", [0, 7])
def test_a_flat_image_has_no_nuclei(value: int) -> None:
    assert not segment_nuclei(as_image(np.full((50, 50), value, np.uint8)), channels="DNA").any()


def test_small_objects_are_left_out() -> None:
    pixels, number = planted_discs()
    pixels[18:22, 18:22] = 400
    all_sizes, large = (
        segment_nuclei(as_image(pixels), channels="DNA", method=NucleusWatershed(min_area=fraction))
        for fraction in (0, 0.6)
    )
    assert int(all_sizes.max()) > number
    assert int(large.max()) == number
    assert np.bincount(large.values.ravel()).min() >= 0.6 * np.pi * 36


def test_pixels_that_are_nan_are_background_and_counted() -> None:
    pixels, number = planted_discs()
    pixels[:, :20] = np.nan
    with pytest.warns(IntegrateWarning, match="4000 pixels of channel 'DNA' are not finite"):
        labels = segment_nuclei(as_image(pixels), channels="DNA")
    assert int(labels.max()) == number - 10
    assert not labels.values[:, :18].any()


def test_lazy_and_cropped_images_keep_their_place_and_ids() -> None:
    pixels, _ = planted_discs()
    image = as_image(pixels, pixel_size=(0.5, 0.5), ids={"subject_id": "P01", "acquisition_id": "A1"})
    lazy = image.copy(data=da.from_array(image.values, chunks=64))[:, 40:160, 20:180]
    labels = segment_nuclei(lazy, channels="DNA", method=NucleusWatershed(12))
    np.testing.assert_array_equal(labels["y"], lazy["y"])
    np.testing.assert_array_equal(labels["x"], lazy["x"])
    assert image_ids(labels) == {"subject_id": "P01", "acquisition_id": "A1"}
    assert pixel_size_um(labels) == (0.5, 0.5)


def test_labels_say_what_made_them() -> None:
    pixels, _ = planted_discs()
    nuclei = segment_nuclei(as_image(pixels), channels="DNA")
    cells, larger = (expand_labels(nuclei, distance=d) for d in (2, 3))
    notes = image_notes(nuclei)
    assert notes["tool"].startswith("integrate ")
    assert notes["settings"]["method"] == {"nucleus_diameter": 12.0, "unit": "px", "min_area": 0.25}
    assert image_notes(cells)["settings"]["after"]["settings"] == notes["settings"]
    assert len({image_notes(labels)["settings_hash"] for labels in (nuclei, cells, larger)}) == 3
    assert recorded("segment")[-1]["step"] == "expand_labels"


label_images = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.sampled_from([0, 0, 0, 0, 3, 2**40])
)


@settings(max_examples=50, deadline=None)
@given(labels=label_images, distance=st.floats(0, 6), edge=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]))
def test_cells_are_the_nuclei_and_what_lies_nearest_to_them(
    labels: np.ndarray, distance: float, edge: tuple[float, float]
) -> None:
    cells = expand_labels(make_labels(labels, pixel_size_um=edge), distance=distance, unit="um").values
    assert cells.dtype == labels.dtype
    y, x = (np.arange(n) * step for n, step in zip(labels.shape, edge, strict=True))
    away = {
        i: np.min([np.hypot(y[:, None] - y[r], x[None] - x[c]) for r, c in np.argwhere(labels == i)], axis=0)
        for i in set(labels.ravel().tolist()) - {0}
    }
    nearest = np.min([np.full(labels.shape, np.inf), *away.values()], axis=0)
    for i, own in away.items():
        assert (own[cells == i] <= nearest[cells == i] + 1e-9).all()
    np.testing.assert_array_equal(cells != 0, nearest <= distance)
    np.testing.assert_array_equal(cells[labels != 0], labels[labels != 0])


def test_wrong_settings_are_refused() -> None:
    pixels, _ = planted_discs(size=40)
    with pytest.raises(DatasetNotFoundError, match="no channel named 'DNB'; closest: 'DNA'"):
        segment_nuclei(as_image(pixels), channels="DNB")
    with pytest.raises(ParameterError, match=r"no nuclear channel given; name one or more of \['DNA'\]"):
        segment_nuclei(as_image(pixels), channels=[])
    with pytest.raises(ParameterError, match="nucleus_diameter is 0"):
        NucleusWatershed(nucleus_diameter=0)
    with pytest.raises(ParameterError, match="unit is 'mm'"):
        NucleusWatershed(unit="mm")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="min_area is 1"):
        NucleusWatershed(min_area=1)
    with pytest.raises(ParameterError, match="distance is -1"):
        expand_labels(make_labels(np.ones((3, 3), int), pixel_size_um=None), distance=-1)
