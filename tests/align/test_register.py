"""A planted misalignment between two modalities is found; a wrong pair is refused, and the reasons are said."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import integrate as ig
from integrate.align.landmarks import LandmarkPairs, fit_pairs
from integrate.align.mutual import MutualInformation, count_ticks, find_way, settle_way
from integrate.align.quality import Gates, Quality, agreement, shared_information
from integrate.align.register import Registration, register, register_stack
from integrate.align.transform import Affine, ThinPlate
from integrate.align.working import draw_picture
from integrate.errors import AlignmentError, DataError, DatasetNotFoundError, ParameterError, RegistrationError

from .conftest import SECTION, SLIDE, Pair, draw_pair


@pytest.fixture(scope="module")
def found(pair: Pair) -> Registration:
    return register(pair.moving, pair.fixed)


def test_a_turned_bent_picture_of_another_modality_is_found(pair: Pair, found: Registration) -> None:
    assert pair.error(found.transform) < 1.0  # half a working pixel
    assert (found.transform.source.name, found.transform.target.name) == ("slide", "section")
    assert found.quality.agreement > 0.8
    assert found.quality.information_after > 3 * found.quality.information_before
    assert found.quality.folding == 0
    assert found.quality.inverse < 2
    assert (found.quality.unit, found.quality.working_pixel) == ("um", 2.0)


def test_the_moved_picture_lies_on_the_fixed_one(pair: Pair, found: Registration) -> None:
    moved = ig.resample(pair.moving, found.transform, like=pair.fixed)
    both = np.isfinite(moved.values[0]) & (moved.values[0] > 0)
    assert np.corrcoef(moved.values[0][both], pair.fixed.values[0][both])[0, 1] < -0.8  # dark nuclei on bright ones


def test_a_registration_shows_itself(found: Registration) -> None:
    page = found._repr_html_()
    assert "data:image/png;base64," in page
    assert "tiles that agree" in page
    assert "nan" not in page
    assert repr(found).startswith("<Registration 'slide' -> 'section': agreement ")
    assert found.picture.dtype == np.uint8


def test_a_wrong_pair_is_refused(pair: Pair) -> None:
    other = draw_pair(seed=2).fixed
    with pytest.raises(
        RegistrationError, match=r"'slide' could not be laid on 'section': \d+% of \d+ tiles agree"
    ) as caught:
        register(pair.moving, other, method=MutualInformation(check_inverse=False))
    assert isinstance(caught.value.quality, Quality)
    assert caught.value.quality.agreement < 0.2


def test_a_mirrored_picture_is_found_only_when_asked_for() -> None:
    mirrored = draw_pair(mirror=True)
    rigid = MutualInformation(elastic=False, check_inverse=False, mirrored=True, angles=(0.0, 30.0))
    result = register(mirrored.moving, mirrored.fixed, method=rigid)
    assert mirrored.error(result.transform) < 8  # the bend is left
    assert isinstance(result.transform, Affine)
    assert np.linalg.det(result.transform.array[:2, :2]) < 0
    with pytest.raises(RegistrationError, match="tiles agree"):
        register(mirrored.moving, mirrored.fixed, method=replace(rigid, mirrored=False))


def test_the_same_pictures_give_the_same_transform(pair: Pair) -> None:
    quick = MutualInformation(elastic=False, check_inverse=False, angles=(0.0,))
    first, again = (register(pair.moving, pair.fixed, method=quick).transform for _ in range(2))
    assert first == again


def test_the_bar_is_full_when_all_is_done(pair: Pair) -> None:
    quick = MutualInformation(elastic=False, check_inverse=False, angles=(0.0, 30.0), mirrored=True)
    here, there = (draw_picture(one, size=6.0, channel=None) for one in (pair.fixed, pair.moving))
    ticks: list[str] = []
    way = find_way(here, there, quick, tick=lambda: ticks.append("search"))
    assert len(ticks) == count_ticks(quick, 2, search=True) == 7
    assert isinstance(way, Affine)
    settle_way(here, there, way, quick, tick=lambda: ticks.append("settle"))
    assert ticks.count("settle") == count_ticks(quick, 2, search=False) == 2
    assert count_ticks(MutualInformation(), 3, search=True) == 3 + 3 + 2
    assert count_ticks(MutualInformation(elastic=True), 3, search=True) == 3 + 1 + 3 + 3


def test_gates_are_the_users(pair: Pair) -> None:
    quick = MutualInformation(elastic=False, check_inverse=False, angles=(0.0,))
    with pytest.raises(RegistrationError, match=r"9\d% overlap, 99% must"):
        register(pair.moving, pair.fixed, method=quick, gates=Gates(overlap=0.99))


def test_what_was_not_measured_misses_no_gate() -> None:
    assert Quality().faults(Gates()) == []
    assert len(Quality(folding=0.1, overlap=0.1, agreement=0.1, working_pixel=1, inverse=9).faults(Gates())) == 4
    assert Quality(landmark_left_out=4, unit="um").faults(Gates(landmark=3)) == ["landmarks are missed by 4 um, 3 may"]


def test_images_of_one_space_are_looked_at_where_they_lie(pair: Pair) -> None:
    quick = MutualInformation(elastic=False, check_inverse=False)
    shifted = ig.set_space(pair.fixed.assign_coords(x=pair.fixed.x + 1.0), name="section")  # half a pixel
    found = register(shifted, pair.fixed, method=quick)
    assert found.quality.displacement <= found.quality.displacement_corners < 2
    with pytest.raises(RegistrationError, match="tiles agree"):
        register(ig.set_space(pair.moving, name="section"), pair.fixed, method=quick)  # turned by 12 degrees


def test_images_need_named_spaces_and_something_to_see(pair: Pair) -> None:
    unnamed = pair.moving.copy(deep=False)
    unnamed.attrs = {"integrate": {**pair.moving.attrs["integrate"], "space": ""}}
    with pytest.raises(AlignmentError, match="the moving image does not say in which space it lies"):
        register(unnamed, pair.fixed)
    with pytest.raises(DatasetNotFoundError, match="no channel named 'DPI'; closest: 'DAPI'"):
        register(pair.moving, pair.fixed, method=MutualInformation(fixed_channel="DPI"))
    blank = pair.fixed.copy(data=np.zeros_like(pair.fixed.values))
    with pytest.raises(DataError, match="the picture in 'section' is blank"):
        register(pair.moving, blank)


def test_agreement_sees_a_shift_of_a_few_pixels(pair: Pair) -> None:
    picture = draw_picture(pair.fixed, size=2.0, channel=None)
    assert agreement(picture, picture.values)[0] == 1
    shifted = np.roll(picture.values, 4, axis=1)
    share, tiles, offset = agreement(picture, shifted)
    assert share < 0.1
    assert tiles > 20
    assert offset == pytest.approx(4, abs=0.5)


def test_shared_information_is_the_entropy_of_equal_pictures() -> None:
    values = np.repeat([0.0, 1.0], 500).reshape(20, 50)
    assert shared_information(values, values) == pytest.approx(math.log(2))
    assert shared_information(values, np.full((20, 50), np.nan)) == 0


def corners(n: int = 6) -> np.ndarray:
    return np.random.default_rng(2).uniform(0, 300, (n, 2))


@pytest.mark.parametrize("kind", ["rigid", "similarity", "affine", "spline"])
def test_landmarks_give_back_what_was_planted(kind: Any) -> None:
    a = 0.3
    scale = np.diag([1.2, 0.9]) if kind in ("affine", "spline") else np.eye(2) * (1.0 if kind == "rigid" else 1.3)
    matrix = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ scale
    here = corners()
    there = here @ matrix.T + [40, -30]
    fitted = fit_pairs(LandmarkPairs(here, there, kind=kind), SLIDE, SECTION)
    np.testing.assert_allclose(fitted.map_points([[7, 9]]), [matrix @ [7, 9] + [40, -30]], atol=1e-6)
    assert isinstance(fitted, ThinPlate) == (kind == "spline")


def test_noisy_landmarks_say_how_noisy(pair: Pair) -> None:
    truth = np.random.default_rng(1).uniform(60, 340, (20, 2))
    noisy = pair.way.map_points(truth) + np.random.default_rng(3).normal(0, 2, (20, 2))
    result = register(pair.moving, pair.fixed, method=LandmarkPairs(noisy, truth, kind="affine"))
    assert 1 < result.quality.landmark_fit < result.quality.landmark_left_out < 8
    assert pair.error(result.transform) < 6
    with pytest.raises(RegistrationError, match="landmarks are missed by"):
        register(pair.moving, pair.fixed, method=LandmarkPairs(noisy, truth), gates=Gates(landmark=0.5))


def test_bad_landmarks_are_refused() -> None:
    here = corners()
    with pytest.raises(RegistrationError, match="one picture mirrors the other"):
        fit_pairs(LandmarkPairs(here, here * [-1, 1]), SLIDE, SECTION)
    assert (
        np.linalg.det(fit_pairs(LandmarkPairs(here, here * [-1, 1], mirrored=True), SLIDE, SECTION).array[:2, :2]) < 0
    )  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="2 pairs of landmarks; 'affine' needs at least 3"):
        fit_pairs(LandmarkPairs(here[:2], here[:2]), SLIDE, SECTION)
    with pytest.raises(DataError, match="lie on one line"):
        fit_pairs(LandmarkPairs([[0, 0], [1, 1], [2, 2]], [[0, 0], [1, 1], [2, 2]]), SLIDE, SECTION)
    with pytest.raises(DataError, match="has no position on one side"):
        fit_pairs(LandmarkPairs(here, np.where(here > 100, np.nan, here)), SLIDE, SECTION)
    with pytest.raises(ParameterError, match="expected one of"):
        fit_pairs(LandmarkPairs(here, here, kind="elastic"), SLIDE, SECTION)  # type: ignore[arg-type]


def test_a_stack_comes_into_the_space_of_one_section(pair: Pair) -> None:
    quick = MutualInformation(elastic=False, check_inverse=False, angles=(0.0,))
    third = ig.set_space(pair.moving, name="third")
    ways = register_stack([pair.moving, pair.fixed, third], method=quick, reference=1)
    assert [way.target.name for way in ways] == ["section"] * 3
    assert ways[1].is_identity  # type: ignore[attr-defined]
    points = corners()
    np.testing.assert_allclose(ways[0].map_points(points), ways[2].map_points(points))
