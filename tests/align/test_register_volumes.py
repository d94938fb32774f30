"""CT, MR and PET of one drawn limb are laid on each other after a move or a bend; another person's limb is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage as ndi
from scipy.spatial.transform import Rotation

import integrate as ig
from integrate.align.grid import read_grid
from integrate.align.landmarks import LandmarkPairs
from integrate.align.mutual import MutualInformation
from integrate.align.quality import Gates
from integrate.align.register import Registration, register
from integrate.align.space import Space
from integrate.align.transform import Affine, DisplacementField, Transform, identity
from integrate.errors import AlignmentError, IntegrateWarning, ParameterError, RegistrationError, UnitError
from integrate.features.radiomics.volume import make_volume

AXES = ("x", "y", "z")
PATIENT, TABLE = Space("patient", "mm", AXES), Space("table", "mm", AXES)
#: Grey values of air, fat, muscle, bone, marrow, tumour and vessel.
TISSUES = {
    "CT": (-1000, -100, 50, 900, 150, 40, 120),
    "MR": (0, 900, 350, 30, 800, 600, 100),
    "PET": (0, 0.3, 0.6, 0.4, 1.2, 6.0, 1.0),
}
SPACING = {"CT": (5.0, 3.0, 3.0), "MR": (4.0, 3.5, 3.5), "PET": (5.0, 5.0, 5.0)}


def tissue(at: np.ndarray, person: int) -> np.ndarray:
    """Which tissue is at positions, 0 … 6: two bones in muscle in fat, a tumour and vessels; millimetres."""
    rng = np.random.default_rng(person)
    x, y, z = (at - 80).T
    thick, tilt = rng.uniform(38, 58, 2), rng.uniform(-0.25, 0.25, (6, 2))
    thick = thick[:, None] * (1 + rng.uniform(-0.004, 0.004) * z + 0.06 * np.sin(z / 30 + rng.uniform(0, 6)))
    found = np.zeros(len(at), int)
    lobes = 1 + 0.1 * np.cos(3 * np.arctan2(y, x) + rng.uniform(0, 6) + z / 60)
    outside = np.hypot(x / thick[0], y / thick[1]) / lobes
    found[outside < 1], found[outside < 0.78] = 1, 2
    for i in range(2):
        far = np.hypot(x - rng.uniform(-22, 22) - tilt[i, 0] * z, y - rng.uniform(-22, 22) - tilt[i, 1] * z)
        found[far < 10], found[far < 5] = 3, 4
    middle, size = rng.uniform(-25, 25, 3), rng.uniform(12, 24, 3)
    found[(((np.stack([x, y, z], 1) - middle) / size) ** 2).sum(1) < 1] = 5
    for i in range(2, 6):
        far = np.hypot(x - rng.uniform(-28, 28) - tilt[i, 0] * z, y - rng.uniform(-28, 28) - tilt[i, 1] * z)
        found[far < 4] = 6
    return found


def scan(modality: str, *, way: Transform | None = None, person: int = 1) -> Any:
    """A scan of 160 mm edge, of the limb or of where `way` takes it: drawn there, not interpolated."""
    spacing = np.array(SPACING[modality])
    index = np.indices(np.ceil(160 / spacing).astype(int)).reshape(3, -1).T
    places = (index + 0.5)[:, ::-1] * spacing[::-1]
    drawn = tissue(places if way is None else way.inverse().map_points(places), person)
    values = np.array(TISSUES[modality], float)[drawn].reshape(np.ceil(160 / spacing).astype(int))
    values = ndi.gaussian_filter(values, 1.2 if modality == "PET" else 0.5)
    noise = np.random.default_rng(len(modality)).normal(0, 0.02 * np.ptp(TISSUES[modality]), values.shape)
    affine = np.diag([*spacing[::-1], 1.0])
    affine[:3, 3] = spacing[::-1] / 2
    volume = make_volume((values + noise).astype(np.float32), spacing_mm=spacing.tolist(), affine_lps=affine.tolist())
    volume.attrs["integrate"]["modality"] = {"PET": "PT"}.get(modality, modality)
    return ig.set_space(volume, name="patient" if way is None else "table")


def moved(angles: tuple[float, float, float] = (5, -4, 10), shift: tuple[float, ...] = (9, -7, 8)) -> Affine:
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, 80 - turn @ np.full(3, 80.0) + shift
    return Affine(tuple(map(tuple, matrix)), PATIENT, TABLE)


def error(found: Registration, way: Transform) -> float:
    """Median distance from the truth within the limb, millimetres."""
    truth = np.random.default_rng(0).uniform(45, 115, (400, 3))
    return float(np.median(np.linalg.norm(found.transform.map_points(way.map_points(truth)) - truth, axis=1)))


@pytest.mark.parametrize(("moving", "fixed"), [("CT", "MR"), ("PET", "CT")])
def test_a_moved_scan_of_another_modality_is_found(moving: str, fixed: str) -> None:
    with pytest.warns(IntegrateWarning, match="'table' on 'patient' is not verified: kinds differ"):
        found = register(scan(moving, way=moved()), scan(fixed), gates=Gates(unverified=True))
    assert "not verified" in found._repr_html_()
    assert error(found, moved()) < 2.0  # half a voxel
    linear = np.array(found.transform.matrix)[:3, :3]  # type: ignore[attr-defined]
    np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-9)  # lengths in a patient do not change
    quality = found.quality
    assert quality.agreement > 0.6
    assert quality.inverse < 2 * quality.working_pixel
    assert quality.information_after > quality.information_before
    assert (quality.folding, quality.unit, quality.elastic) == (0, "mm", False)
    np.testing.assert_allclose(quality.jacobian, 1)
    assert quality.scale == pytest.approx(1)
    assert found.picture.ndim == 2
    assert "nan" not in found._repr_html_()


@pytest.mark.parametrize(("moving", "fixed", "person"), [("PET", "CT", 2), ("CT", "CT", 4)])
def test_the_limb_of_another_person_is_refused(moving: str, fixed: str, person: int) -> None:
    with pytest.raises(RegistrationError, match=r"'table' could not be laid on 'patient'"):
        register(scan(moving, way=moved(), person=person), scan(fixed))


def framed(volume: Any, frame: str, *, space: str) -> Any:
    """A volume as a DICOM reader gives it, which knows its frame of reference, under another name of its space."""
    named = ig.set_space(volume, name=space)
    named.attrs["integrate"]["frame_of_reference_uid"] = frame
    return named


QUICK = MutualInformation(check_inverse=False)


def test_scans_of_one_frame_of_reference_start_where_the_scanner_put_them() -> None:
    pet, ct = framed(scan("PET"), "1.2.3", space="pet"), framed(scan("CT"), "1.2.3", space="ct")
    found = register(pet, ct, method=QUICK)
    assert 0 <= found.quality.displacement <= found.quality.displacement_corners < 4  # a voxel
    coarse = MutualInformation(check_inverse=False, angles=(0.0,), working_pixel=8.0)
    with pytest.warns(IntegrateWarning, match="is not verified"):  # two sessions: nothing is declared
        other = register(pet, framed(ct, "1.2.4", space="ct"), method=coarse, gates=Gates(unverified=True))
    assert np.isnan(other.quality.displacement)
    assert found.quality.unverified == ""
    assert "from the declared place" in found._repr_html_()
    assert "from the declared place" not in other._repr_html_()


def test_pictures_do_not_overrule_a_declared_placement() -> None:
    """The scan lies 12 mm from where it is said to lie: that is refused, unless moving is asked for."""
    pet, ct = scan("PET", way=moved((0, 0, 0), (12, 0, 0))), scan("CT")
    said = identity(TABLE, PATIENT)
    refusal = r"fit best 1[12][\d.]* mm from where the images are declared to lie \(1[0-9.]+ at the corners\), 5 may"
    with pytest.raises(RegistrationError, match=refusal) as caught:
        register(pet, ct, method=QUICK, declared=said)
    assert "same tissue" not in str(caught.value)
    found = register(pet, ct, method=QUICK, declared=said, gates=Gates(displacement=4))
    assert error(found, moved((0, 0, 0), (12, 0, 0))) < 4  # within a voxel
    assert found.quality.displacement == pytest.approx(12, abs=1)
    everywhere = MutualInformation(check_inverse=False, angles=(0.0,), working_pixel=8.0)
    with pytest.raises(RegistrationError, match="not verified: kinds differ"):
        register(pet, ct, method=everywhere, declared=said, gates=Gates(displacement=None))
    free = Gates(displacement=None, unverified=True)
    with pytest.warns(IntegrateWarning, match="is not verified"):
        again = register(pet, ct, method=everywhere, declared=said, gates=free)
    assert again.quality.displacement == pytest.approx(12, abs=3)
    with pytest.raises(AlignmentError, match="the moving image lies in space 'table'"):
        register(pet, ct, declared=said.inverse())


def test_what_was_moved_has_left_its_frame_of_reference() -> None:
    ct = framed(scan("CT"), "1.2.3", space="patient")
    there = ig.resample(ct, moved(), labels=False)
    assert there.attrs["integrate"]["frame_of_reference_uid"] == ""
    assert ig.resample(ct, pixel_size=5.0, labels=False).attrs["integrate"]["frame_of_reference_uid"] == "1.2.3"


COARSE = MutualInformation(check_inverse=False, angles=(0.0,), working_pixel=6.0)


@pytest.mark.parametrize("kind", ["MR", ""])
def test_volumes_of_different_kinds_need_more_than_pictures(kind: str) -> None:
    """The two lie right, and no number of theirs could say so: a wrong placement scores as well in real patients."""
    ct, other = scan("CT"), scan("MR", way=moved())
    other.attrs["integrate"]["modality"] = kind
    said = r"not verified: kinds differ \(MR, CT\)" if kind else r"kinds are not both known \(no modality, CT\)"
    with pytest.raises(RegistrationError, match=said) as caught:
        register(other, ct, method=COARSE)
    for way_out in ("declared=", "check=LandmarkPairs", r"Gates(unverified=True)"):
        assert way_out in str(caught.value)
    assert "same tissue" not in str(caught.value)
    assert caught.value.quality.agreement > 0.4


def test_landmarks_that_only_check_vouch_for_a_placement(tmp_path: Path) -> None:
    ct, mr = scan("CT"), scan("MR", way=moved())
    here = np.array([[40.0, 50, 60], [110, 60, 50], [70, 120, 90], [60, 70, 120], [100, 100, 100]])
    right = LandmarkPairs(moved().map_points(here), here)
    found = register(mr, ct, method=COARSE, check=right, cache=tmp_path)
    assert 0 < found.quality.landmark_check < 3
    assert found.quality.unverified == ""
    assert "landmarks that only check" in found._repr_html_()
    again = register(mr, ct, method=COARSE, check=right, cache=tmp_path)
    assert again.quality.as_dict() == found.quality.as_dict()
    wrong = LandmarkPairs(moved().map_points(here) + 7.0, here)
    with pytest.raises(RegistrationError, match=r"landmarks are missed by [\d.]+ mm, 6 may"):
        register(mr, ct, method=COARSE, check=wrong, cache=tmp_path)
    assert register(mr, ct, method=COARSE, check=wrong, gates=Gates(landmark=15)).quality.landmark_check > 10


def test_what_was_kept_is_doubted_anew(tmp_path: Path) -> None:
    first, other = scan("CT", way=moved()), scan("CT")
    register(first, other, method=COARSE, cache=tmp_path)
    other.attrs["integrate"]["modality"] = ""
    with pytest.raises(RegistrationError, match="kinds are not both known"):
        register(first, other, method=COARSE, cache=tmp_path)


def lumps(way: Transform | None = None, *, person: int = 1, noise: float = 20.0) -> Any:
    """A CT of 160 mm edge full of organs, or of where `way` takes it."""
    rng = np.random.default_rng(person)
    index = np.indices((40, 40, 40)).reshape(3, -1).T
    places = (index + 0.5)[:, ::-1] * 4.0
    at = places if way is None else way.inverse().map_points(places)
    values = np.where((((at - 80) / [70, 62, 76]) ** 2).sum(1) < 1, 0.0, -900.0)
    for _ in range(70):
        middle, size, grey = rng.uniform(25, 135, 3), rng.uniform(6, 16, 3), rng.uniform(-200, 500)
        values[((((at - middle) / size) ** 2).sum(1) < 1) & (values > -900)] = grey
    drawn = ndi.gaussian_filter(values.reshape(40, 40, 40), 0.6)
    drawn += np.random.default_rng(0 if way is None else 1).normal(0, noise, drawn.shape)
    centres = np.diag([4.0, 4, 4, 1])
    centres[:3, 3] = 2
    volume = make_volume(drawn.astype(np.float32), spacing_mm=(4, 4, 4), affine_lps=centres.tolist())
    volume.attrs["integrate"]["modality"] = "CT"
    return ig.set_space(volume, name="patient" if way is None else "table")


def planted(size: float = 6.0) -> DisplacementField:
    nodes = np.stack(np.meshgrid(*[np.arange(21) * 10.0 - 20] * 3, indexing="ij")[::-1], axis=-1)
    return DisplacementField(size * np.sin(nodes / 40 + 1)[..., [1, 2, 0]], (-20,) * 3, (10,) * 3, PATIENT, TABLE)


ELASTIC, SAID = MutualInformation(elastic=True), identity(TABLE, PATIENT)


@pytest.fixture(scope="module")
def bent() -> Registration:
    return register(lumps(planted()), lumps(), method=ELASTIC, declared=SAID, gates=Gates(displacement=3))


def test_a_bent_volume_is_found_well_below_a_voxel(bent: Registration) -> None:
    once = MutualInformation(check_inverse=False)
    flat = register(lumps(planted()), lumps(), method=once, declared=SAID, gates=Gates(displacement=6))
    assert error(flat, planted()) > 4  # a voxel
    assert error(bent, planted()) < 1
    quality = bent.quality
    assert quality.elastic
    assert quality.folding == 0
    assert quality.jacobian[1] - quality.jacobian[0] > 0.1
    assert quality.inverse < quality.working_pixel
    assert quality.agreement > 0.9
    assert quality.information_after > flat.quality.information_after + 0.1


def test_a_bend_is_stored_beside_and_applied(bent: Registration, tmp_path: Path) -> None:
    way = ig.read_transform(ig.write_transform(bent.transform, tmp_path / "bend.zarr"))
    marks = np.random.default_rng(4).uniform(45, 115, (50, 3))
    there = planted().map_points(marks)
    carried = ig.move(there, way)
    np.testing.assert_array_equal(carried, ig.move(there, bent.transform))
    np.testing.assert_allclose(ig.move(carried, way.inverse()), there, atol=1e-6)
    scanned = lumps(planted(), noise=0)
    labels = scanned.copy(data=(scanned.values > 100).astype(np.int16) * 7)
    back = ig.resample(labels, way, like=lumps(), labels=True)
    assert set(np.unique(back.values)) == {0, 7}
    truth = lumps(noise=0).values > 100
    dice = [2 * (one & truth).sum() / (one.sum() + truth.sum()) for one in (back.values == 7, labels.values == 7)]
    assert dice[0] > 0.8
    assert dice[0] > dice[1] + 0.1
    laid = ig.resample(scanned, way, like=lumps(), labels=False).values[8:-8, 8:-8, 8:-8]
    assert np.corrcoef(laid.ravel(), lumps().values[8:-8, 8:-8, 8:-8].ravel())[0, 1] > 0.9


def test_a_bend_makes_no_pair_of_two_people() -> None:
    with pytest.raises(RegistrationError, match=r"forth and back misses by [\d.]+ working pixels, 1 may"):
        register(scan("CT", way=moved(), person=4), scan("CT"), method=ELASTIC)


def test_a_volume_that_does_not_bend_stays_straight() -> None:
    found = register(lumps(SAID.inverse()), lumps(), method=ELASTIC, declared=SAID)
    assert error(found, SAID.inverse()) < 0.5


def test_no_volume_is_mirrored() -> None:
    with pytest.raises(ParameterError, match="no volume is the mirror image of a patient"):
        register(scan("CT", way=moved()), scan("CT"), method=MutualInformation(mirrored=True))


def test_a_bend_is_always_registered_back() -> None:
    with pytest.raises(ParameterError, match="only the way back tells a bent volume from a wrong pair"):
        register(lumps(planted()), lumps(), method=MutualInformation(elastic=True, check_inverse=False))


def test_landmarks_bend_a_volume() -> None:
    nodes = np.stack(np.meshgrid(*[np.arange(10) * 20.0 - 10] * 3, indexing="ij")[::-1], axis=-1)
    bend = DisplacementField(6 * np.sin(nodes / 40 + 1), (-10,) * 3, (20,) * 3, PATIENT, TABLE)
    marks = np.random.default_rng(4).uniform(20, 140, (40, 3))
    assert np.median(np.linalg.norm(bend.map_points(marks) - marks, axis=1)) > 5
    pairs = LandmarkPairs(bend.map_points(marks), marks, kind="spline")
    found = register(scan("PET", way=bend), scan("PET"), method=pairs)
    assert error(found, bend) < 1.5
    assert found.quality.elastic
    assert found.quality.landmark_fit < 1e-3 < found.quality.landmark_left_out < 2
    assert found.quality.folding == 0
    assert found.quality.jacobian[1] - found.quality.jacobian[0] > 0.1


def test_volumes_in_two_units_have_no_rigid_transform() -> None:
    scanned = scan("CT")
    index = scanned.assign_coords(
        {axis: (axis, np.arange(n) + 0.5, {"units": "px"}) for axis, n in scanned.sizes.items()}
    )
    index.attrs = {"integrate": {"space": "voxels"}}
    assert read_grid(index).space.unit == "px"
    with pytest.raises(UnitError, match="the volumes are in 'px' and 'mm'; a rigid transform needs one unit"):
        register(index, scanned)
