"""CT, MR and PET of one sarcoma patient: the placement of the scanner stands against pictures; others are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import integrate as ig
from integrate.align.grid import read_grid
from integrate.align.landmarks import LandmarkPairs
from integrate.align.mutual import MutualInformation
from integrate.align.quality import Gates
from integrate.align.register import register
from integrate.align.space import Space
from integrate.align.transform import Affine, DisplacementField, Transform
from integrate.errors import RegistrationError
from integrate.readers.volume import Volume

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

AXES = ("x", "y", "z")
PATIENT, TABLE = Space("patient", "mm", AXES), Space("table", "mm", AXES)
Load = Callable[..., Any]


@pytest.fixture(scope="module")
def load(test_data: Callable[[str], Path]) -> Load:
    folder = test_data("sts-ibsi-validation") / "nifti"

    def one(modality: str, *, patient: str = "STS_002", what: str = "image", space: str = "patient") -> Any:
        file = folder / patient / f"{modality}_{what}.nii.gz"
        metadata = {"modality": {"PET": "PT", "MR_T1": "MR"}.get(modality, modality)}
        return ig.set_space(Volume(url=str(file), labels=what == "mask", metadata=metadata).read(), name=space)

    return one


def moved(volume: Any) -> Affine:
    """A turn by up to 10° about the middle, and a shift of 18 mm."""
    about = read_grid(volume).corners().mean(axis=0)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (5, -4, 10), degrees=True).as_matrix()
    matrix[:3, 3] = about - matrix[:3, :3] @ about + (12, -8, 10)
    return Affine(tuple(map(tuple, matrix.tolist())), PATIENT, TABLE)


def tumour(load: Load, modality: str) -> np.ndarray:
    """Positions in the tumour as it is drawn in a scan."""
    mask = load(modality, what="mask")
    return read_grid(mask).affine.map_points(np.argwhere(mask.values > 0)[::97, ::-1] + 0.5)


def missed(way: Transform, found: Transform, truth: np.ndarray) -> float:
    """Median distance from the truth, mm."""
    return float(np.median(np.linalg.norm(found.map_points(way.map_points(truth)) - truth, axis=1)))


def test_a_moved_ct_is_found_to_a_tenth_of_a_voxel(load: Load) -> None:
    ct = load("CT")
    way = moved(ct)
    found = register(ig.resample(ct, way, labels=False), ct)
    far = missed(way, found.transform, tumour(load, "CT"))
    print(f"\nCT -> CT: {far:.2f} mm, agreement {found.quality.agreement:.0%}, inverse {found.quality.inverse:.2f} mm")
    assert far < 0.3
    assert found.quality.inverse < 0.5
    assert found.quality.agreement > 0.95
    assert np.isnan(found.quality.displacement)  # nobody declared how the two lie


def test_a_bent_ct_is_found_to_a_fifth_of_a_voxel(load: Load) -> None:
    """A smooth bend of 8 mm; the scan that moves has its own noise of 20 HU."""
    ct = load("CT")
    low = read_grid(ct).corners().min(axis=0)
    nodes = np.stack(np.meshgrid(*[np.arange(10) * 20.0 - 10] * 3, indexing="ij")[::-1], axis=-1)
    vectors = 6 * np.sin(nodes / 40 + 1)[..., [1, 2, 0]]
    way = DisplacementField(vectors, tuple((low - 10).tolist()), (20.0,) * 3, PATIENT, TABLE)
    there = ig.resample(ct, way, labels=False)
    there = there + np.random.default_rng(0).normal(0, 20, there.shape).astype(np.float32)
    there.attrs = ig.resample(ct, way, labels=False).attrs
    found = {
        kind: register(there, ct, method=MutualInformation(elastic=kind == "elastic", check_inverse=kind == "elastic"))
        for kind in ("rigid", "elastic")
    }
    marks = tumour(load, "CT")
    far = {kind: missed(way, one.transform, marks) for kind, one in found.items()}
    quality = found["elastic"].quality
    print(
        f"\nbent CT: rigid {far['rigid']:.2f} mm, elastic {far['elastic']:.2f} mm, voxel {quality.working_pixel:.2f}, "
        f"agreement {quality.agreement:.0%}, inverse {quality.inverse:.2f} mm, volume {quality.jacobian}"
    )
    assert far["elastic"] < quality.working_pixel / 5
    assert far["elastic"] < far["rigid"] / 3
    assert (quality.folding, quality.elastic) == (0, True)
    assert quality.inverse < quality.working_pixel


@pytest.mark.parametrize(("moving", "fixed"), [("PET", "CT"), ("CT", "PET"), ("MR_T1", "CT"), ("CT", "MR_T1")])
def test_where_nothing_is_declared_kinds_that_differ_are_refused(load: Load, moving: str, fixed: str) -> None:
    """The pictures fit millimetres from where they belong, and pass every gate there but this one."""
    there, here = load(moving, space="table"), load(fixed)
    once = MutualInformation(check_inverse=False)
    with pytest.raises(RegistrationError, match=r": not verified: kinds differ .* Gates\(unverified=True\)\Z"):
        register(there, here, method=once)
    truth = tumour(load, fixed)[:: len(tumour(load, fixed)) // 6]
    with pytest.raises(RegistrationError, match=r": landmarks are missed by [\d.]+ mm") as error:
        register(there, here, method=once, check=LandmarkPairs(truth, truth))
    found = error.value.quality
    print(f"\n{moving} -> {fixed}, nothing declared: {found.landmark_check:.1f} mm, agreement {found.agreement:.0%}")
    assert found.landmark_check > found.working_pixel


@pytest.mark.parametrize(("moving", "fixed"), [("PET", "CT"), ("MR_T1", "CT"), ("CT", "MR_T1")])
def test_pictures_that_leave_the_declared_placement_are_refused(load: Load, moving: str, fixed: str) -> None:
    """They share more information several millimetres away, in more blocks: no metric says that they err there."""
    once = MutualInformation(check_inverse=False)
    with pytest.raises(
        RegistrationError, match=r"the pictures fit best [\d.]+ mm from where .* declared to lie"
    ) as error:
        register(load(moving), load(fixed), method=once)
    quality = error.value.quality
    print(
        f"\n{moving} -> {fixed}: {quality.displacement:.1f} mm, corners {quality.displacement_corners:.1f}, voxel "
        f"{quality.working_pixel:.2f}, agreement {quality.agreement:.0%}, information "
        f"{quality.information_before:.3f} -> {quality.information_after:.3f}"
    )
    assert "Do both show the same" not in str(error.value)  # the tissue is the same
    assert quality.displacement > quality.working_pixel
    assert quality.information_after > quality.information_before
    assert quality.agreement > 0.4
    asked = register(load(moving), load(fixed), method=once, gates=Gates(displacement=3.0))
    assert asked.quality.as_dict() == quality.as_dict()
    assert f"{quality.displacement:.3g}, corners" in asked._repr_html_()


def test_the_declared_placement_stands_where_pictures_know_no_better(load: Load) -> None:
    found = register(load("CT"), load("PET"))
    print(f"\nCT -> PET: agreement {found.quality.agreement:.0%}, inverse {found.quality.inverse:.2f} mm")
    assert found.transform.is_identity  # type: ignore[attr-defined]
    assert found.quality.displacement == found.quality.displacement_corners == 0
    assert found.quality.agreement > 0.7


def test_a_declared_move_is_where_the_search_starts(load: Load) -> None:
    """The CT lies on the table as declared, 18 mm and 10° away; what pictures say of the MR is as far off as before."""
    ct, mr = load("CT"), load("MR_T1")
    way = moved(ct)
    back = way.inverse()
    again = register(ig.resample(ct, way, labels=False), ct, declared=back)
    assert missed(way, again.transform, tumour(load, "CT")) < 0.3
    assert again.quality.displacement < 0.3
    with pytest.raises(RegistrationError, match="declared to lie") as error:
        register(ig.resample(mr, way, labels=False), ct, declared=back, method=MutualInformation(check_inverse=False))
    assert error.value.quality.displacement < 6


@pytest.mark.parametrize("patient", ["STS_006", "STS_012", "STS_029", "STS_038"])
@pytest.mark.parametrize("fixed", ["CT", "MR_T1"])
def test_the_pet_of_another_patient_is_refused(load: Load, patient: str, fixed: str) -> None:
    """Also where somebody declares that it lies in the middle of this one."""
    other, here = load("PET", patient=patient, space="table"), load(fixed)
    middle = [read_grid(one).corners().mean(axis=0) for one in (here, other)]
    onto = Affine.scale([1, 1, 1], TABLE, PATIENT, offset=(middle[0] - middle[1]).tolist())
    for declared in (None, onto):
        with pytest.raises(RegistrationError, match="tiles agree") as error:
            register(other, here, declared=declared, method=MutualInformation(check_inverse=False))
        said = "declared" if declared else "anywhere"
        print(f"\n{patient} PET -> {fixed}, {said}: {error.value.quality.agreement:.0%} of {error.value.quality.tiles}")
