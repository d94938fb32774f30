"""NIfTI, NRRD and MetaImage: geometry as ITK states it, units as the header does, voxels only when asked."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrate.errors import DataError, IntegrateWarning
from integrate.readers.volume import Volume
from integrate.testing import ReaderTests

SPACING = (1.1, 0.8, 3.0)  # x, y, z
ORIGIN = (-50.0, -30.0, 100.0)


def voxels(dtype: str = "i2") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 300, (5, 6, 9)).astype(dtype)


def write(file: Path, pixels: np.ndarray | None = None, *, direction: np.ndarray | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(voxels() if pixels is None else pixels)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection((np.eye(3) if direction is None else direction).ravel().tolist())
    sitk.WriteImage(image, str(file), useCompression=False)
    return file


def patch(file: Path, offset: int, form: str, *values: Any) -> Path:
    content = bytearray(file.read_bytes())
    struct.pack_into(f"<{form}", content, offset, *values)
    file.write_bytes(bytes(content))
    return file


def read(file: Path, **options: Any) -> Any:
    return Volume(url=str(file), **options).read()


class Contract(ReaderTests):
    lazy = True
    name = ""

    def reader(self, folder: Path) -> Volume:
        return Volume(url=str(write(folder / self.name)))

    def check(self, opened: Any) -> None:
        assert opened.dims == ("z", "y", "x")
        np.testing.assert_array_equal(opened.values, voxels())
        assert opened.dtype == np.int16
        notes = opened.attrs["integrate"]
        assert notes["orientation"] == "LPS"
        assert notes["spacing_mm"] == pytest.approx([3.0, 0.8, 1.1])
        assert notes["origin_lps_mm"] == pytest.approx(ORIGIN)
        np.testing.assert_allclose(opened.z, (np.arange(5) + 0.5) * 3.0, rtol=1e-6)


class TestNifti(Contract):
    name = "a.nii"


class TestPackedNifti(Contract):
    name = "a.nii.gz"


class TestNrrd(Contract):
    name = "a.nrrd"


class TestMetaImage(Contract):
    name = "a.mha"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(degrees=st.tuples(*[st.floats(-180, 180)] * 3), suffix=st.sampled_from([".nii", ".nrrd", ".mha"]))
def test_every_voxel_lies_where_itk_says(
    tmp_path_factory: pytest.TempPathFactory, degrees: tuple[float, float, float], suffix: str
) -> None:
    turn = sitk.Euler3DTransform((0, 0, 0), *np.radians(degrees).tolist())
    direction = np.array(turn.GetMatrix()).reshape(3, 3)
    file = write(tmp_path_factory.mktemp("v") / f"a{suffix}", direction=direction)
    affine = np.array(read(file).attrs["integrate"]["affine_lps"])
    image = sitk.ReadImage(str(file))
    for index in [(0, 0, 0), (8, 0, 0), (0, 5, 0), (0, 0, 4), (8, 5, 4)]:
        np.testing.assert_allclose((affine @ [*index, 1])[:3], image.TransformIndexToPhysicalPoint(index), atol=1e-3)


def test_a_slice_of_an_unpacked_nifti_reads_only_that_slice(tmp_path: Path) -> None:
    volume = read(write(tmp_path / "a.nii"))
    assert volume.chunks == ((1,) * 5, (6,), (9,))
    np.testing.assert_array_equal(volume[3].values, voxels()[3])


def test_a_scale_applies_in_full_precision(tmp_path: Path) -> None:
    file = patch(write(tmp_path / "a.nii"), 112, "ff", 0.25, -10.0)
    np.testing.assert_array_equal(read(file).values, voxels() * 0.25 - 10)
    assert read(file).dtype == np.float32


def test_micrometres_become_millimetres(tmp_path: Path) -> None:
    file = patch(write(tmp_path / "a.nii"), 123, "B", 3)  # readers that ignore this are wrong by a thousand
    notes = read(file).attrs["integrate"]
    assert notes["spacing_mm"] == pytest.approx([3e-3, 0.8e-3, 1.1e-3])
    assert notes["origin_lps_mm"] == pytest.approx([v / 1e3 for v in ORIGIN])


def test_contradicting_matrices_are_told_and_the_sform_counts(tmp_path: Path) -> None:
    file = patch(write(tmp_path / "a.nii"), 280, "4f", -2.2, 0, 0, 50)
    with pytest.warns(IntegrateWarning, match=r"sform and qform of a.nii place a corner 8.80 mm apart; the sform"):
        volume = read(file)
    assert volume.attrs["integrate"]["spacing_mm"][2] == pytest.approx(2.2)


def test_the_qform_alone_gives_the_same_place(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nii", direction=np.array(sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.5).GetMatrix()))
    both = np.array(read(file).attrs["integrate"]["affine_lps"])
    only = np.array(read(patch(file, 254, "h", 0)).attrs["integrate"]["affine_lps"])
    np.testing.assert_allclose(only, both, atol=1e-4)


def test_a_volume_without_place_says_so(tmp_path: Path) -> None:
    file = patch(write(tmp_path / "a.nii"), 252, "hh", 0, 0)
    with pytest.warns(IntegrateWarning, match=r"a.nii does not say how it lies in the patient"):
        volume = read(file)
    assert volume.attrs["integrate"]["orientation"] is None
    assert volume.attrs["integrate"]["spacing_mm"] == pytest.approx([3.0, 0.8, 1.1])


def test_a_sheared_matrix_is_refused(tmp_path: Path) -> None:
    file = patch(write(tmp_path / "a.nii"), 280, "4f", -1.1, 0.4, 0, 50)
    with pytest.raises(DataError, match=r"axes of a.nii are not perpendicular \(cosine 0\.\d+\); resample"):
        read(patch(file, 252, "h", 0))


@pytest.mark.parametrize(
    ("offset", "form", "value", "message"),
    [
        (70, "h", 128, "NIfTI data type 128; only one real number"),
        (40, "8h", (5, 9, 6, 5, 1, 3, 1, 1), "expected x, y, z and at most time"),
        (344, "4s", (b"ni1\0",), "half of a .hdr/.img pair"),
    ],
    ids=["colour", "vectors", "pair"],
)
def test_what_is_no_plain_volume_is_refused(tmp_path: Path, offset: int, form: str, value: Any, message: str) -> None:
    file = patch(write(tmp_path / "a.nii"), offset, form, *(value if isinstance(value, tuple) else (value,)))
    with pytest.raises(DataError, match=message):
        read(file)


def test_labels_stored_as_floating_point_come_back_as_integers(tmp_path: Path) -> None:
    labels = read(write(tmp_path / "a.nii.gz", (voxels("f4") > 150).astype("f4")), labels=True)
    assert labels.dtype.kind == "i"
    np.testing.assert_array_equal(labels.values, voxels() > 150)
    with pytest.raises(DataError, match=r"b.nii.gz holds values that are no whole numbers"):
        read(write(tmp_path / "b.nii.gz", voxels("f4") + 0.5), labels=True).compute()


def test_big_endian_files_read_the_same(tmp_path: Path) -> None:
    content = write(tmp_path / "a.nii").read_bytes()
    fields = [(0, "i", 1), (40, "h", 8), (68, "h", 4), (76, "f", 8), (108, "f", 3), (252, "h", 2), (256, "f", 18)]
    swapped = bytearray(content)
    for offset, form, count in fields:
        struct.pack_into(f">{count}{form}", swapped, offset, *struct.unpack_from(f"<{count}{form}", content, offset))
    swapped[352:] = voxels().astype(">i2").tobytes()
    (tmp_path / "b.nii").write_bytes(bytes(swapped))
    np.testing.assert_array_equal(read(tmp_path / "b.nii").values, voxels())
    assert (
        read(tmp_path / "b.nii").attrs["integrate"]["affine_lps"]
        == read(tmp_path / "a.nii").attrs["integrate"]["affine_lps"]
    )


def test_a_gzip_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b"not a volume" * 100))
    with pytest.raises(DataError, match=r"a.nii.gz is not a NIfTI file"):
        read(tmp_path / "a.nii.gz")


def test_real_series_has_time(test_data: Any) -> None:
    volume = read(test_data("dicom-mr-to-nifti") / "Ref" / "EPI_PE=AP_3.nii")
    assert volume.dims == ("t", "z", "y", "x")
    np.testing.assert_allclose(volume.t, [0, 2.43537], atol=1e-5)
    assert volume.t.attrs["units"] == "s"


def test_published_mask_of_the_ibsi_phantom(test_data: Any) -> None:
    mask = read(test_data("ibsi1-phantoms") / "ibsi_1_ct_radiomics_phantom/nifti/mask/mask.nii.gz", labels=True)
    assert int(mask.sum()) == 125_256


def test_real_nrrd_pair_shares_one_grid(test_data: Any) -> None:
    folder = test_data("pyradiomics-cases")
    image, label = (read(folder / f"brain1_{name}.nrrd") for name in ("image", "label"))
    assert image.shape == label.shape == (25, 256, 256)
    assert image.attrs["integrate"]["affine_lps"] == label.attrs["integrate"]["affine_lps"]
    assert int((label == 1).sum()) == 4137  # pyradiomics' baseline: VoxelNum of brain1
