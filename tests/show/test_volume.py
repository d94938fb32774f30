"""Three planes of a volume: the right voxels the right way up, windowed, with an overlay that lies on them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import xarray as xr

import integrate as ig
from integrate.errors import AlignmentError, DataError, ParameterError
from integrate.show.niivue import nifti_bytes
from integrate.show.volume import CT_WINDOWS

LPS = [[2.0, 0, 0, -10], [0, 2.0, 0, -20], [0, 0, 4.0, -30], [0, 0, 0, 1]]


def volume(values: np.ndarray | None = None, **notes: Any) -> xr.DataArray:
    """Return a CT of 6 x 8 x 10 voxels of 4 x 2 x 2 mm, whose value says which voxel it is."""
    data = np.arange(480, dtype=np.float32).reshape(6, 8, 10) if values is None else values
    said: dict[str, Any] = {
        "modality": "CT",
        "unit": "[hnsf'U]",
        "orientation": "LPS",
        "affine_lps": LPS,
        "spacing_mm": [4.0, 2.0, 2.0],
    }
    return xr.DataArray(data, dims=("z", "y", "x"), attrs={"integrate": {**said, **notes}})


def test_a_ct_opens_in_the_soft_tissue_window_and_others_by_name() -> None:
    viewer = ig.view_volume(volume())
    assert tuple(viewer.window) == CT_WINDOWS["soft tissue"]
    assert tuple(ig.view_volume(volume(), window="bone").window) == (-500, 1300)
    assert tuple(ig.view_volume(volume(modality="MR")).window) == pytest.approx((4.79, 474.21))
    with pytest.raises(ParameterError, match="no window 'lungs'; closest: 'lung'"):
        ig.view_volume(volume(), window="lungs")


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (np.zeros((6, 8, 9), int), r"the overlay is .* \(6, 8, 9\)"),
        (np.zeros((6, 8, 10), int), "another place of the patient"),
    ],
)
def test_an_overlay_on_other_voxels_is_refused(overlay: np.ndarray, message: str) -> None:
    moved = np.array(LPS)
    moved[0, 3] += 5
    with pytest.raises(AlignmentError, match=message):
        ig.view_volume(volume(), overlay=volume(overlay, affine_lps=moved.tolist()))
    with pytest.raises(DataError, match="a volume has the axes z, y and x"):
        ig.view_volume(volume().isel(z=0))


@pytest.mark.browser
def test_planes_show_the_patient_upright_with_true_proportions(show: Callable[..., Any], pictures: Path) -> None:
    data = np.zeros((6, 8, 10), np.float32)
    data[5, 0, 9] = 100  # superior, anterior, left
    labels = np.zeros((6, 8, 10), np.uint8)
    labels[2, 3, 4] = 7
    viewer = ig.view_volume(volume(data), overlay=volume(labels), window=(0, 100), names={7: "lesion"})
    shown = show(viewer)

    def plane(name: str) -> np.ndarray:
        shown.until("app.planes.every((p) => p.drawn === app.position[p.across])")
        return np.asarray(shown.pixels(f"canvas.ig-{name}"))

    viewer.position = [5, 0, 9]
    shown.js("poll()")
    shown.until("app.planes.every((p) => p.drawn === [5, 0, 9][p.across])")
    assert plane("axial")[0, 9].tolist() == [255] * 3  # anterior at the top, left of the patient at the right
    assert plane("coronal")[0, 9].tolist() == [255] * 3  # superior at the top
    assert plane("sagittal")[0, 0].tolist() == [255] * 3
    letters = shown.js("[...document.querySelectorAll('.ig-coronal ~ .ig-marks b')].map((b) => b.textContent).join('')")
    assert letters == "SIRL"
    box = shown.page.locator("canvas.ig-coronal").bounding_box()
    assert box["height"] / box["width"] == pytest.approx(6 * 4 / (10 * 2), abs=0.02)
    axial = shown.page.locator("canvas.ig-axial").bounding_box()
    shown.page.mouse.click(axial["x"] + axial["width"] * 0.45, axial["y"] + axial["height"] * 3.5 / 8)
    shown.page.focus("canvas.ig-axial")
    for _ in range(3):
        shown.page.keyboard.press("PageDown")
    shown.until("S.position.join() === '2,3,4'")
    shown.arrived()
    assert viewer.position == [2, 3, 4]
    shown.until("document.querySelector('.ig-value').textContent.includes('lesion')")
    assert np.ptp(plane("axial")[3, 4]) > 50  # coloured, not grey
    shown.page.mouse.move(axial["x"] + 20, axial["y"] + 20)
    shown.page.mouse.wheel(0, 120)
    shown.until("app.position[0] === 3")
    shown.page.select_option("select[aria-label=Window]", "bone")
    shown.until("S.window.join() === '-500,1300'")
    shown.arrived()
    assert viewer.window == [-500, 1300]
    shown.page.screenshot(path=str(pictures / "volume.png"))


@pytest.mark.browser
def test_a_pet_colours_the_ct_where_it_is_hot_and_leaves_cold_and_missing_voxels_grey(show: Callable[..., Any]) -> None:
    pet = np.broadcast_to(np.arange(10, dtype=np.float32), (6, 8, 10)).copy()
    pet[:, :, 5] = np.nan
    shown = show(ig.view_volume(volume(np.full((6, 8, 10), 50, np.float32)), overlay=volume(pet), window=(0, 100)))
    shown.until("app.planes.every((p) => p.drawn !== undefined)")
    row = shown.pixels("canvas.ig-axial")[3].astype(int)
    assert np.abs(row[[0, 5]] - 127.5).max() < 1
    assert (np.ptp(row[[2, 4, 7, 9]], axis=1) > 20).all()


@pytest.mark.browser
def test_a_volume_whose_z_goes_down_is_shown_the_same_way_up(show: Callable[..., Any]) -> None:
    data = np.zeros((6, 8, 10), np.float32)
    data[0, 0, 9] = 100
    down = [[2.0, 0, 0, -10], [0, 2.0, 0, -20], [0, 0, -4.0, -10], [0, 0, 0, 1]]
    viewer = ig.view_volume(volume(data, affine_lps=down), window=(0, 100))
    viewer.position = [0, 0, 9]
    shown = show(viewer)
    shown.until("app.planes.every((p) => p.drawn !== undefined)")
    assert shown.pixels("canvas.ig-coronal")[0, 9].tolist() == [255] * 3


def test_a_page_without_a_kernel_has_the_three_planes() -> None:
    data = np.zeros((6, 8, 10), np.float32)
    data[3] = 100
    viewer = ig.view_volume(volume(data), window=(0, 100))
    picture = cv2.imdecode(np.frombuffer(viewer.still(), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (300, 375 + 250 + 200, 3)
    assert picture[150, 100].min() > 240  # the axial slice at the crosshair
    assert picture[125, 400].min() > 240
    assert picture[20, 400].max() == 0


def test_a_nifti_of_a_volume_lies_where_the_volume_lies(tmp_path: Path) -> None:
    import SimpleITK as sitk

    (tmp_path / "v.nii").write_bytes(nifti_bytes(volume()))
    read = sitk.ReadImage(str(tmp_path / "v.nii"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), volume().values)
    assert read.GetSpacing() == (2, 2, 4)
    assert read.TransformIndexToPhysicalPoint((1, 1, 1)) == (-8, -18, -26)
    assert len(nifti_bytes(volume(), limit=500)) < 352 + 500


def test_niivue_gets_the_volume_or_its_absence_is_said() -> None:
    from integrate.errors import MissingDependencyError

    if importlib.util.find_spec("ipyniivue") is None:
        with pytest.raises(MissingDependencyError, match=r"integrate\[view3d\]"):
            ig.open_niivue(volume())
    else:
        assert len(ig.open_niivue(volume()).volumes) == 1
