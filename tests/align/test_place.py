"""A subject's images come into named spaces: micrometres when known, pixels when not, never invented."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
import pydicom
import pytest
import shapely
import spatialdata as sd
import tifffile
import yaml
from spatialdata.transformations import get_transformation

import integrate as ig
from integrate.align.aligned import register_datasets
from integrate.align.place import load_region, load_subject, place_image
from integrate.datasets.warp import Warp
from integrate.errors import AlignmentError, DataError, ParameterError
from integrate.model.image import make_image
from integrate.model.study import Study


def lazy_image(pixel_size_um: tuple[float, float] | None) -> object:
    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("a pixel was read")

    pixels = da.zeros((2, 8, 6), dtype="uint16").map_blocks(refuse, dtype="uint16", meta=np.empty((0, 0, 0), "uint16"))
    return make_image(pixels, channels=["DNA", "CD3"], pixel_size_um=pixel_size_um)


def test_known_pixel_size_becomes_a_scale_per_axis_without_reading() -> None:
    placed = place_image(lazy_image((0.5, 0.25)), space="slide")
    matrix = get_transformation(placed, "slide").to_affine_matrix(("x", "y"), ("x", "y"))
    np.testing.assert_allclose(matrix, np.diag([0.25, 0.5, 1.0]))


def test_unknown_pixel_size_stays_in_pixels() -> None:
    placed = place_image(lazy_image(None), space="slide")
    assert list(get_transformation(placed, get_all=True)) == ["slide_px"]


def test_subject_of_the_real_study_has_both_fields(test_data: Callable[[str], Path]) -> None:
    study = ig.open_study(ig.open_catalog("dcis", data_root=str(test_data("dcis-mibi").parent)))
    space = load_subject(study, "1027")
    assert sorted(space.images) == ["mibi_4133", "mibi_6201"]
    assert sorted(space.coordinate_systems) == ["mibi_4133_px", "mibi_6201_px"]
    assert space.attrs["integrate"]["mibi_6201"]["ids"]["specimen_id"] == "20597"
    with pytest.raises(ParameterError, match="no subject_id '1028'; closest: '1082'"):
        load_subject(study, "1028")


def test_notes_survive_writing(test_data: Callable[[str], Path], tmp_path: Path) -> None:
    import spatialdata as sd

    study = ig.open_study(ig.open_catalog("dcis", data_root=str(test_data("dcis-mibi").parent)))
    load_subject(study, "1116").write(tmp_path / "subject.zarr")
    again = sd.read_zarr(tmp_path / "subject.zarr")
    assert again.attrs["integrate"]["mibi_2206"]["pixel_size_um"] is None
    assert again.attrs["integrate"]["mibi_2206"]["ids"]["subject_id"] == "1116"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    folder = ig.simulate_study(
        tmp_path_factory.mktemp("simulated") / "study", subjects=2, seed=7, section_um=200, quiet=True
    )
    return ig.open_study(ig.open_catalog("demo", data_root=str(folder))), folder


@pytest.fixture(scope="module")
def space(simulated: tuple[Study, Path]) -> sd.SpatialData:
    return load_subject(simulated[0], "SIM-001")


HE, SPOTS, CT = "he_SIM-001-S1-HE", "visium_SIM-001-S1-VIS_spots", "ct_SIM-001-CT"


def test_a_subject_has_every_kind_of_element(space: sd.SpatialData) -> None:
    assert {HE, CT, "fluorescence_SIM-001-S1-IF", "visium_SIM-001-S1-VIS_hires_image"} <= set(space.images)
    assert set(space.shapes) == {SPOTS, "outlines_SIM-001-S1-HE"}
    assert list(space.tables) == ["visium_SIM-001-S1-VIS_table"]
    assert space.attrs["integrate_left_out"] == []
    assert set(space.attrs["integrate"]) == {name for _, name, _ in space.gen_elements()}
    assert all("array" in type(image.data).__module__ for image in space.images.values())  # Dask: nothing is read


def test_spots_lie_where_space_ranger_says_in_the_micrometres_of_the_slide(
    simulated: tuple[Study, Path], space: sd.SpatialData
) -> None:
    positions = pd.read_csv(simulated[1] / "visium/sim001_s1/outs/spatial/tissue_positions.csv").set_index("barcode")
    table = next(iter(space.tables.values()))
    spots = sd.transform(space[SPOTS], to_coordinate_system=HE)
    barcodes = table.obs_names[pd.Index(table.obs["instance_id"]).get_indexer(spots.index)]
    own = positions.loc[[name.split("/")[-1] for name in barcodes], ["pxl_col_in_fullres", "pxl_row_in_fullres"]]
    np.testing.assert_allclose(shapely.get_coordinates(spots.geometry), own.to_numpy() * 0.5, atol=1e-9)


def test_the_small_picture_of_visium_covers_the_slide(space: sd.SpatialData) -> None:
    slide, small = (
        sd.get_extent(space[name], coordinate_system=HE) for name in (HE, "visium_SIM-001-S1-VIS_hires_image")
    )
    for axis in ("x", "y"):
        np.testing.assert_allclose(small[axis], slide[axis], atol=2.0)  # one pixel of the small picture


def test_outlines_lie_on_the_slide_they_were_drawn_on(simulated: tuple[Study, Path], space: sd.SpatialData) -> None:
    drawn = gpd.read_file(simulated[1] / "pathology/sim001_s1_tumour.geojson")
    placed = sd.transform(space["outlines_SIM-001-S1-HE"], to_coordinate_system=HE)
    assert len(placed) == len(drawn)
    np.testing.assert_allclose(placed.area, drawn.set_crs(None, allow_override=True).area * 0.25, rtol=1e-9)


def test_the_first_voxel_lies_where_dicom_says(simulated: tuple[Study, Path], space: sd.SpatialData) -> None:
    slices = [pydicom.dcmread(file) for file in sorted((simulated[1] / "ct/0001").iterdir())]
    first = min(slices, key=lambda one: float(one.ImagePositionPatient[2]))
    affine = get_transformation(space[CT], f"{CT}_lps_mm").to_affine_matrix(("x", "y", "z"), ("x", "y", "z"))
    np.testing.assert_allclose((affine @ [0.5, 0.5, 0.5, 1])[:3], [float(v) for v in first.ImagePositionPatient])


def test_tables_annotate_the_elements_that_are_there_and_all_survives_writing(
    space: sd.SpatialData, tmp_path: Path
) -> None:
    space.write(tmp_path / "subject.zarr")
    again = sd.read_zarr(tmp_path / "subject.zarr")
    (table,) = again.tables.values()
    assert set(table.obs[table.uns["spatialdata_attrs"]["region_key"]]) == {SPOTS}
    assert set(table.obs["instance_id"]) <= set(again[SPOTS].index)
    matched = sd.match_table_to_element(again, SPOTS, "visium_SIM-001-S1-VIS_table")
    assert matched.n_obs == len(again[SPOTS]) == table.n_obs
    assert again.attrs["integrate"][SPOTS]["ids"]["subject_id"] == "SIM-001"
    assert sorted(again.coordinate_systems) == sorted(space.coordinate_systems)


def test_a_region_or_acquisition_is_loaded_alone(simulated: tuple[Study, Path]) -> None:
    alone = load_region(simulated[0], "SIM-001-S1-HE")
    assert {name for _, name, _ in alone.gen_elements()} == {HE, "outlines_SIM-001-S1-HE"}
    with pytest.raises(ParameterError, match="no acquisition_id 'SIM-001-S1-H'; closest: 'SIM-001-S1-HE'"):
        load_region(simulated[0], "SIM-001-S1-H", datasets=["he"])


def test_label_images_are_labels_and_slices_of_one_scan_stay_apart(tmp_path: Path) -> None:
    for number in (1, 2):
        tifffile.imwrite(tmp_path / f"s{number}.tif", np.full((4, 6), number, dtype=np.uint8))
    options = {
        "cls": "intake.readers.user_parameters:OptionsUserParameter",
        "dtype": "str",
        "default": "s1",
        "options": ["s1", "s2"],
    }
    ids = {"subject_id": "P1", "acquisition_id": "P1-MR", "region_id": r"P1-MR-\1"}
    masks = {
        "reader": "Labels",
        "user_parameters": {"slice": options},
        "kwargs": {"url": "{CATALOG_DIR}/{slice}.tif", "ids": {"slice": "{slice}"}, "pixel_size_um": [0.5, 0.25]},
        "metadata": {"description": "masks", "modality": "SEG", "level": "region"},
    }
    study = {"identifiers": {"slice": {"pattern": r"s(\d)", "ids": ids}}}
    metadata = {"name": "m", "description": "masks", "licence": "CC0-1.0", "study": study}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"version": 2, "metadata": metadata, "entries": {"masks": masks}}))
    opened = ig.open_study(ig.open_catalog(tmp_path / "m.yaml"))
    space = load_subject(opened, "P1")
    assert sorted(space.labels) == ["masks_P1-MR-1", "masks_P1-MR-2"]
    assert sd.get_extent(space["masks_P1-MR-2"], coordinate_system="masks_P1-MR-2") == {
        "x": (0.0, 1.5),
        "y": (0.0, 2.0),
    }
    assert list(load_region(opened, "P1-MR-2").labels) == ["masks_P1-MR-2"]
    assert int(space["masks_P1-MR-2"].max()) == 2


@pytest.fixture
def cells_study(tmp_path: Path) -> Callable[[str], Study]:
    """A function that writes two label images of P1, one of P2, and a table of their cells, and opens the study."""

    def make(table: str) -> Study:
        for number in (1, 2, 3):
            tifffile.imwrite(tmp_path / f"s{number}.tif", np.arange(24, dtype=np.uint8).reshape(4, 6))
        options = {
            "cls": "intake.readers.user_parameters:OptionsUserParameter",
            "dtype": "str",
            "default": "s1",
            "options": ["s1", "s2", "s3"],
        }
        masks = {
            "reader": "Labels",
            "user_parameters": {"slice": options},
            "kwargs": {"url": "{CATALOG_DIR}/{slice}.tif", "ids": {"slice": "{slice}"}, "pixel_size_um": [1, 1]},
            "metadata": {"description": "masks", "modality": "SEG", "level": "instance"},
        }
        (tmp_path / "cells.csv").write_text(table)
        cells = {
            "reader": "Table",
            "kwargs": {"url": "{CATALOG_DIR}/cells.csv", "keys": {"slice": "slice"}},
            "metadata": {
                "description": "cells",
                "level": "instance",
                "annotates": {"dataset": "masks", "instance": "cell"},
            },
        }
        (tmp_path / "people.csv").write_text("slice,who\ns1,P1\ns2,P1\ns3,P2\n")
        people = {
            "reader": "Table",
            "kwargs": {"url": "{CATALOG_DIR}/people.csv", "keys": {"slice": "slice", "who": "subject_id"}},
            "metadata": {"description": "people", "level": "acquisition"},
        }
        study = {"identifiers": {"slice": {"pattern": r"(s\d)", "ids": {"acquisition_id": r"\1"}}}}
        metadata = {"name": "m", "description": "masks", "licence": "CC0-1.0", "study": study}
        entries = {"masks": masks, "cells": cells, "people": people}
        (tmp_path / "m.yaml").write_text(yaml.safe_dump({"version": 2, "metadata": metadata, "entries": entries}))
        return ig.open_study(ig.open_catalog(tmp_path / "m.yaml"))

    return make


CELLS = "slice,cell,CD8,type\ns1,2,0.5,T\ns3,1,9,B\ns2,2,0.7,B\ns1,1,,T\n"


def test_a_table_of_cells_annotates_the_label_images_of_its_subject(
    cells_study: Callable[[str], Study], tmp_path: Path
) -> None:
    load_subject(cells_study(CELLS), "P1").write(tmp_path / "p1.zarr")
    space = sd.read_zarr(tmp_path / "p1.zarr")
    table = space["cells"]
    assert table.obs[["region", "instance_id", "type"]].astype(str).to_numpy().tolist() == [
        ["masks_s1", "2", "T"],
        ["masks_s2", "2", "B"],
        ["masks_s1", "1", "T"],
    ]
    np.testing.assert_array_equal(table[:, "CD8"].X.ravel(), [0.5, 0.7, np.nan])
    assert sd.match_table_to_element(space, "masks_s1", "cells").obs["instance_id"].tolist() == [1, 2]
    alone = load_region(cells_study(CELLS), "s2")
    assert alone["cells"].n_obs == 1
    assert list(alone.labels) == ["masks_s2"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("slice,cell,CD8\ns1,1,3\ns1,1,4\n", "1 instances of 'cells' have two rows: '1 of masks_s1'"),
        ("slice,cell,CD8\ns1,1.5,3\n", "column 'cell' of 'cells' is not a whole number"),
        ("slice,cel,CD8\ns1,1,3\n", r"cells\.annotates: no column 'cell'; closest: 'cel'"),
    ],
)
def test_rows_that_name_no_cell_are_refused(cells_study: Callable[[str], Study], table: str, message: str) -> None:
    with pytest.raises(ig.errors.IntegrateError, match=message):
        load_subject(cells_study(table), "P1")


def test_a_subject_opens_without_reading_a_pixel(cells_study: Callable[[str], Study], tmp_path: Path) -> None:
    space = load_subject(cells_study(CELLS), "P1")
    for number in (1, 2):
        file = tmp_path / f"s{number}.tif"
        file.write_bytes(bytes(file.stat().st_size))  # what would read now finds no TIFF
    assert sorted(space.labels) == ["masks_s1", "masks_s2"]
    assert sd.get_extent(space["masks_s1"], coordinate_system="masks_s1")["x"] == (0.0, 6.0)
    with pytest.raises(Exception, match=r".+"):
        space["masks_s1"].compute()


def test_the_one_image_of_an_entry_without_parameters_is_placed(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype="uint16").reshape(1, 8, 6)
    ig.write_image(make_image(pixels, channels=["DNA"], pixel_size_um=(0.5, 0.5)), tmp_path / "slide.ome.tiff")
    (tmp_path / "clinical.csv").write_text("subject,age\nP01,50\n")
    entries = {
        "slide": {
            "reader": "OmeTiff",
            "kwargs": {"url": "{CATALOG_DIR}/slide.ome.tiff", "ids": {"subject": "P01"}},
            "metadata": {"description": "one slide", "modality": "IF", "level": "acquisition"},
        },
        "clinical": {
            "reader": "Table",
            "kwargs": {"url": "{CATALOG_DIR}/clinical.csv", "keys": {"subject": "subject_id"}},
            "metadata": {"description": "patients", "modality": "clinical", "level": "subject"},
        },
    }
    spine = {"entry": "clinical", "key": "subject"}
    identifiers = {"subject": {"pattern": r"(P\d+)", "ids": {"subject_id": r"\1"}}}
    identifiers["subject_id"] = identifiers["subject"]
    metadata = {"name": "one", "description": "d", "licence": "CC0-1.0"}
    metadata["study"] = {"spine": spine, "identifiers": identifiers}  # type: ignore[assignment]
    catalog = tmp_path / "one.yaml"
    catalog.write_text(yaml.safe_dump({"version": 2, "metadata": metadata, "entries": entries}))
    placed = load_subject(ig.open_study(ig.open_catalog(catalog)), "P01")
    (only,) = placed.images.values()
    np.testing.assert_array_equal(only.values, pixels)


def test_a_subject_without_elements_is_said(simulated: tuple[Study, Path]) -> None:
    with pytest.raises(DataError, match=r"subject_id 'SIM-001' has no image, outline or table in \['rna'\]"):
        load_subject(simulated[0], "SIM-001", datasets=["rna"])


def test_measuring_a_loaded_element_gives_micrometres(simulated: tuple[Study, Path], space: sd.SpatialData) -> None:
    """The same numbers as measuring the image that the study opens."""
    (image,) = simulated[0].each("fluorescence", subject_id="SIM-001")
    labels = ig.segment_nuclei(image, channels="DAPI")
    element = space["fluorescence_SIM-001-S1-IF"]
    nuclei = sd.models.Labels2DModel.parse(
        labels.data, dims=("y", "x"), transformations=get_transformation(element, get_all=True)
    )
    direct = ig.measure(image, labels)
    placed = ig.measure(element, nuclei)
    assert placed.var["unit"].to_dict() == direct.var["unit"].to_dict()
    np.testing.assert_allclose(placed.to_df(), direct.to_df(), rtol=1e-6)
    found = ig.measure(element, ig.segment_nuclei(element, channels="DAPI"))
    np.testing.assert_allclose(found.to_df(), direct.to_df(), rtol=1e-6)
    np.testing.assert_allclose(found.obsm["spatial"], direct.obsm["spatial"])


def test_outlines_are_measured_on_the_slide_in_micrometres(space: sd.SpatialData) -> None:
    measured = ig.measure(space[HE], space["outlines_SIM-001-S1-HE"])
    placed = sd.transform(space["outlines_SIM-001-S1-HE"], to_coordinate_system=HE)
    np.testing.assert_allclose(measured.to_df()["area_um2"], placed.area, rtol=0.01)


def test_a_declared_transform_takes_every_element_along(simulated: tuple[Study, Path]) -> None:
    section = "fluorescence_SIM-001-S1-IF"
    shift = ig.Affine.scale([1, 1], ig.Space(HE, "um"), ig.Space(section, "um"), offset=[7.25, -3.0])
    space = load_subject(simulated[0], "SIM-001", transforms=[shift])
    spots, moved = space[SPOTS], space[f"{SPOTS}_in_{section}"]
    own = sd.transform(spots, to_coordinate_system=HE)
    np.testing.assert_allclose(
        shapely.get_coordinates(moved.geometry) - shapely.get_coordinates(own.geometry), [[7.25, -3.0]] * len(own)
    )
    picture = space[f"{HE}_in_{section}"]
    assert picture.shape[1:] == space[section].shape[1:]
    assert "array" in type(picture.data).__module__  # lazy
    assert list(get_transformation(picture, get_all=True)) == [section]
    assert space.attrs["integrate"][f"{SPOTS}_in_{section}"]["from"] == SPOTS
    assert f"outlines_SIM-001-S1-HE_in_{section}" in space.shapes


def test_registered_datasets_are_aligned_and_kept(
    simulated: tuple[Study, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import integrate.align.register

    study, folder = simulated
    wanted = {"datasets": ["he", "fluorescence", "visium"], "register": {"he": "fluorescence"}, "cache": tmp_path}
    space = load_subject(study, "SIM-001", **wanted)  # type: ignore[arg-type]
    ((pair, quality),) = space.attrs["integrate_registered"].items()
    assert pair == f"{HE} -> fluorescence_SIM-001-S1-IF"
    assert quality["agreement"] > 0.5
    truth = json.loads((folder / "truth.json").read_text())["subjects"]["SIM-001"]["sections"]["SIM-001-S1"]
    planted = truth["slide_um_to_fluorescence_um"]
    warp = Warp.from_dict(planted)
    spots = shapely.get_coordinates(sd.transform(space[SPOTS], to_coordinate_system=HE).geometry)
    found = shapely.get_coordinates(space[f"{SPOTS}_in_fluorescence_SIM-001-S1-IF"].geometry)
    assert np.median(np.linalg.norm(found - warp.forward(spots), axis=1)) < 5
    monkeypatch.setattr(integrate.align.register, "find_way", None)  # a second search would fail
    again = load_subject(study, "SIM-001", **wanted)  # type: ignore[arg-type]
    assert again.attrs["integrate_registered"] == space.attrs["integrate_registered"]


def test_images_of_one_space_are_not_registered_onto_each_other() -> None:
    picture = place_image(make_image(np.zeros((1, 8, 8)), channels=["a"], pixel_size_um=(1, 1)), space="slide")
    space = sd.SpatialData.init_from_elements({"first": picture, "second": picture.copy()})
    space.attrs["integrate"] = {"first": {}, "second": {}}
    with pytest.raises(
        AlignmentError, match="'first' and 'second' share the space 'slide' and lie on each other already"
    ):
        register_datasets(space, {"first": "round 1", "second": "round 2"}, {"round 1": "round 2"}, cache=None)
