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
from integrate.align.mutual import MutualInformation
from integrate.align.quality import Gates
from integrate.align.register import register
from integrate.align.space import Space
from integrate.align.transform import Affine, Transform
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
        return ig.set_space(Volume(url=str(file), labels=what == "mask").read(), name=space)

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
