"""Normalisation takes away what a scanner adds and leaves what the tissue is."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from integrate.errors import IntegrateError
from integrate.features.radiomics.measure import measure_radiomics
from integrate.features.radiomics.normalise import (
    BiasField,
    Clip,
    HistogramScale,
    Normalisation,
    WhiteStripe,
    ZScore,
    fit_histogram_scale,
    normalise_intensity,
)
from integrate.features.radiomics.settings import Radiomics
from integrate.features.radiomics.volume import make_volume

TISSUES = {"fluid": 40.0, "grey": 90.0, "white": 130.0}


def brain(seed: int = 0) -> tuple[xr.DataArray, xr.DataArray, np.ndarray]:
    """Return an MR-like volume, its brain mask and which tissue each voxel is (0 outside)."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(24, 40, 40)), 3)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in smooth.shape), indexing="ij")
    inside = z**2 + y**2 + x**2 < 0.9
    tissue = np.where(inside, 1 + np.searchsorted(np.quantile(smooth[inside], [0.15, 0.55]), smooth), 0)
    means = np.array([0.0, *TISSUES.values()])[tissue]
    image = np.where(inside, means + rng.normal(0, 5, smooth.shape), 0)
    image = np.maximum(image, 0.1 * inside)
    both = (make_volume(one, spacing_mm=(3, 1, 1), unit="{a.u.}") for one in (image, inside.astype(np.uint8)))
    return *both, tissue


@pytest.mark.parametrize(
    "by", [ZScore(), ZScore(outliers_sigma=3), WhiteStripe(), HistogramScale((1, 30, 99), (0, 55, 100))]
)
@pytest.mark.parametrize("masked", [True, False])
def test_gain_and_offset_of_a_scanner_vanish(by: Normalisation, *, masked: bool) -> None:
    image, mask, _ = brain()
    inside = mask.values > 0
    expected = normalise_intensity(image, by, mask=mask).values[inside]
    other = (image * 3.7 + (12 if masked else 0)).where(mask > 0, 0).assign_attrs(image.attrs)
    found = normalise_intensity(other, by, mask=mask if masked else None).values[inside]
    np.testing.assert_allclose(found, expected, atol=2e-2 if isinstance(by, WhiteStripe) else 1e-9)


def test_a_z_score_has_mean_0_and_deviation_1_in_the_mask() -> None:
    image, mask, _ = brain()
    scaled = normalise_intensity(image, ZScore(), mask=mask).values[mask.values > 0]
    assert scaled.mean() == pytest.approx(0, abs=1e-12)
    assert scaled.std() == pytest.approx(1)


@pytest.mark.parametrize("contrast", ["T1", "T2"])
def test_white_matter_is_0_on_its_own_stripe_whatever_else_the_head_holds(contrast: str) -> None:
    """A bright lesion moves a z-score of the brain; it does not move the peak of white matter."""
    image, mask, tissue = brain()
    if contrast == "T2":
        image = (200 - image).where(mask > 0, 0).assign_attrs(image.attrs)
    ill = image.copy()
    lesion = (tissue == 2) & (np.indices(image.shape)[1] < 14)
    ill.values[lesion] = np.random.default_rng(1).uniform(300, 600, lesion.sum())
    middles = {
        by: [np.median(normalise_intensity(one, by, mask=mask).values[tissue == 3]) for one in (image, ill)]
        for by in (WhiteStripe(contrast), ZScore())
    }
    assert np.abs(middles[WhiteStripe(contrast)]).max() < 1
    assert abs(np.diff(middles[WhiteStripe(contrast)])[0]) < 0.3
    assert abs(np.diff(middles[ZScore()])[0]) > 0.3


def test_landmarks_of_a_cohort_fall_on_one_scale() -> None:
    """Scanners that bend intensities differently agree after matching, as scanners with another gain already would."""
    percentiles = (1, 10, 25, 50, 75, 90, 99)
    scans = []
    for seed, bend in enumerate((0.7, 1.0, 1.4)):
        image, mask, _ = brain(seed)
        scans.append(((image**bend).assign_attrs(image.attrs), mask))
    scale = fit_histogram_scale(
        [image for image, _ in scans], masks=[mask for _, mask in scans], percentiles=percentiles
    )
    assert scale.scale[0] == 0
    assert scale.scale[-1] == 100
    for image, mask in scans:
        matched = normalise_intensity(image, scale, mask=mask).values[mask.values > 0]
        np.testing.assert_allclose(np.percentile(matched, percentiles), scale.scale, atol=1e-3)
        order = np.argsort(image.values[mask.values > 0])
        assert (np.diff(matched[order]) >= 0).all()


def test_a_bias_field_is_divided_out() -> None:
    image, mask, tissue = brain()
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
    field = np.exp(0.4 * x - 0.3 * y * z)
    shaded = (image * field).assign_attrs(image.attrs)
    corrected = normalise_intensity(shaded, BiasField(shrink=2), mask=mask)
    white = tissue == 3

    def variation(values: np.ndarray) -> float:
        return float(values[white].std() / values[white].mean())

    assert variation(shaded.values) > 3 * variation(image.values)
    assert variation(corrected.values) < 1.5 * variation(image.values)
    assert corrected.attrs["integrate"]["unit"] == "{a.u.}"


def test_what_was_done_is_in_the_volume_and_in_the_table() -> None:
    image, mask, tissue = brain()
    image.values[12, 20, 20] = np.nan
    done = normalise_intensity(normalise_intensity(image, Clip(0, 140), mask=mask), ZScore(), mask=mask)
    assert done.attrs["integrate"]["processing"] == ["Clip(low=0, high=140)", "ZScore(outliers_sigma=None) in mask"]
    assert done.attrs["integrate"]["unit"] == "1"
    assert np.isnan(done.values[12, 20, 20])
    assert "processing" not in image.attrs["integrate"]
    lesion = make_volume((tissue == 2).astype(np.uint8), spacing_mm=(3, 1, 1))
    table = measure_radiomics(done, lesion, settings=Radiomics(families=["statistics"]))
    assert table.uns["integrate"]["processing"] == done.attrs["integrate"]["processing"]
    assert table.var.loc[["stat_mean", "stat_var"], "unit"].tolist() == ["1", "1"]


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda image, mask: Clip(4, 4), "the interval is 4 to 4; expected low < high"),
        (lambda image, mask: WhiteStripe("PD"), "no contrast 'PD'"),
        (lambda image, mask: HistogramScale((1, 99), (0, 50, 100)), "2 percentiles have 3 places"),
        (lambda image, mask: HistogramScale((1, 99), (5, 5)), "scale are (5, 5); expected two or more, rising"),
        (lambda image, mask: normalise_intensity(image, ZScore(), mask=mask * 0), "no voxel of the mask"),
        (
            lambda image, mask: normalise_intensity(image * 0 + 7, ZScore(), mask=mask),
            "has intensity 7; there",
        ),
        (lambda image, mask: normalise_intensity(image * 0 + 7, WhiteStripe(), mask=mask), "too alike for a histogram"),
        (lambda image, mask: normalise_intensity(image, ZScore(), mask=mask[1:]), "is not on the grid of the volume"),
        (lambda image, mask: normalise_intensity(image - 500, BiasField(), mask=mask), "from intensities above 0"),
        (lambda image, mask: fit_histogram_scale([image * 0 + 1]), "expected them to rise"),
        (lambda image, mask: fit_histogram_scale([]), "there is no volume"),
        (lambda image, mask: BiasField(shrink=0), "expected shrink and iterations of 1 and above"),
    ],
)
def test_what_tells_no_scale_is_refused(work: Callable[..., object], message: str) -> None:
    image, mask, _ = brain()
    with pytest.raises(IntegrateError, match=re.escape(message)):
        work(image, mask)
