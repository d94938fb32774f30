"""A deep check finds what the files mean otherwise than the catalog says, each planted here one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

import integrate as ig
from integrate.catalog.check import check_catalog
from integrate.catalog.lock import lock_catalog
from integrate.catalog.open import open_catalog
from integrate.errors import DataError
from integrate.model.audit import Audit

Writer = Callable[[str], Path]


def told(audit: Audit) -> set[tuple[str, str, str]]:
    return {(one.severity, one.check, one.source) for one in audit.findings}


def message(audit: Audit, check: str) -> str:
    return next(one.message for one in audit.findings if one.check == check)


@pytest.fixture
def check(write_catalog: Writer, text: str) -> Callable[..., Audit]:
    def changed(*changes: tuple[str, str], deep: bool = True) -> Audit:
        new = text
        for old, replacement in changes:
            assert old in new
            new = new.replace(old, replacement)
        return check_catalog(open_catalog(write_catalog(new)), deep=deep)

    return changed


def test_channels_of_any_image_are_compared(check: Callable[..., Audit], folder: Path) -> None:
    tifffile.imwrite(
        folder / "i.ome.tif", np.zeros((2, 8, 8), "uint8"), metadata={"axes": "CYX", "Channel": {"Name": ["A", "B"]}}
    )
    about = "{modality: IF, channels: [{name: %s}]}"
    entry = '  one: {reader: OmeTiff, kwargs: {url: "{CATALOG_DIR}/i.ome.tif"}, metadata: ' + about + "}\n"
    found = check(("entries:\n", "entries:\n" + entry % "CD9"))
    assert "1 of 1 channels the catalog names are not in the file: 'CD9'" in message(found, "cannot be opened")
    found = check(("entries:\n", "entries:\n" + entry % "A"))
    assert "1 channels are in the file only: 'B'" in message(found, "channels")
    assert ("warning", "no pixel size", "one") in told(found)


@pytest.mark.parametrize(
    ("column", "right", "wrong", "check_name"),
    [("channels", "DNA;CD3", "CD3;DNA", "channels"), ("pixel_size_um", "0.5;0.25", "0.25;0.25", "pixel size")],
)
def test_an_asset_table_must_say_what_the_images_say(
    check: Callable[..., Audit], folder: Path, column: str, right: str, wrong: str, check_name: str
) -> None:
    item = (
        'item: {reader: ChannelFolder, url: "<path>",',
        'item: {reader: ChannelFolder, pixel_size_um: [0.5, 0.25], channels: [DNA, CD3], url: "<path>",',
    )
    for value, severity in ((right, None), (wrong, "error")):
        (folder / "assets.csv").write_text(
            f"acquisition_id,modality,path,source,day,{column}\n01,IF,f1_p1,f1_p1,12,{value}\n02,IF,f2_p2,f2_p2,,\n"
        )
        found = {one for one in told(check(item)) if one[2] == "files" and one[1] == check_name}
        assert found == (set() if severity is None else {(severity, check_name, "files")})


def test_levels_keys_and_codebook_of_a_table_are_compared(check: Callable[..., Audit], folder: Path) -> None:
    (folder / "clinical.csv").write_text("id,age,sex,area,extra\np1,61,F,3,x\np1,60,F,3,y\n,5,F,1,z\n")
    found = check()
    assert {
        ("error", "repeated subject", "clinical"),
        ("warning", "no id", "clinical"),
        ("note", "unused level", "clinical"),
        ("note", "no codebook", "clinical"),
    } <= told(found)
    assert "level 'M' of 'sex' never occurs" in message(found, "unused level")
    assert "1 of 5 columns have no codebook: 'extra'" in message(found, "no codebook")


def test_a_level_outside_the_codebook_stops(check: Callable[..., Audit], folder: Path) -> None:
    (folder / "clinical.csv").write_text("id,age,sex,area\np1,61,X,3\np2,,M,4\n")
    assert "values outside its levels ['F', 'M']: 'X'" in message(check(), "cannot be opened")


def test_ids_that_no_rule_reads_are_found(check: Callable[..., Audit], folder: Path) -> None:
    spine = ("  study:\n", "  study:\n    spine: {entry: clinical, key: id}\n")
    found = check(spine, ("'f(\\d)_(p\\d)'", "'f(1)_(p\\d)'"))
    assert "1 of 2 ids of 'folder' do not match its rule: 'f2_p2'" in message(found, "unread id")
    found = check(spine, ('ids: {folder: "{field}"}', 'ids: {unheard: "{field}"}'))
    assert "no rule in study.identifiers turns 'unheard' into our ids" in message(found, "no rule")


def test_a_changed_byte_is_found_though_the_file_opens(tmp_path: Path) -> None:
    catalog = ig.datasets.toy_catalog(tmp_path / "study")
    lock_catalog(catalog)
    image = next((tmp_path / "study").rglob("*.tif"))
    with image.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\xff")
    assert "sha256 of" in message(check_catalog(catalog, deep=True), "cannot be opened")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("unit: a, min: 0", "unit: years old, min: 0", "columns.age.unit: 'years old' is not a UCUM unit"),
        ("unit: a, min: 0", "term: lung, min: 0", "columns.age.term: 'lung' is not a CURIE"),
        ("unit: a, min: 0", "level: person, min: 0", "columns.age.level: 'person' is not one of subject"),
        ("unit: a, min: 0", "max: -1, min: 0", "columns.age.min: 0 is above the maximum -1"),
        ("levels: [F, M]", "levels: [F, M, F]", "columns.sex.levels: a level is named twice"),
        ("licence: CC0-1.0", "licence: CC0-1.0\n  access: secret", "access: 'secret' is not one of open"),
        ("licence: CC0-1.0", "licence: CC0-1.0\n  consent: DUO:42", "consent: 'DUO:42' is not a Data Use"),
        ("licence: CC0-1.0", "licence: CC0-1.0\n  doi: 5281/zenodo", "doi: '5281/zenodo' is not a DOI"),
        ("licence: CC0-1.0", "licence: CC0-1.0\n  access: controlled", "no consent says for what"),
        ("licence: CC0-1.0", "licence: NOASSERTION", "nobody has stated the licence"),
    ],
)
def test_metadata_of_the_wrong_form_is_found_without_opening(
    check: Callable[..., Audit], old: str, new: str, place: str
) -> None:
    assert any(place in one.message for one in check((old, new), deep=False).findings)


def test_a_patient_no_catalog_names_is_said_for_every_dicom_reader(write_catalog: Writer) -> None:
    entries = "".join(
        f'  {name}: {{reader: {name}, kwargs: {{url: "{{CATALOG_DIR}}/x.dcm"}}}}\n'
        for name in ("DicomSeries", "DicomImage", "DicomSeg", "RtStruct")
    )
    found = check_catalog(open_catalog(write_catalog(f"version: 2\nentries:\n{entries}")))
    assert {one.source for one in found.findings if one.check == "patient not checked"} == {
        "DicomSeries",
        "DicomImage",
        "DicomSeg",
        "RtStruct",
    }


def test_the_toy_study_means_what_it_says() -> None:
    audit = check_catalog(ig.datasets.toy_catalog(), deep=True)
    assert audit.ok
    assert not [one for one in audit.findings if one.severity == "warning"]


def test_declared_channels_are_checked_when_an_image_is_loaded(write_catalog: Writer, text: str, folder: Path) -> None:
    tifffile.imwrite(folder / "i.tif", np.zeros((8, 8), "uint8"))
    kwargs = '{url: "{CATALOG_DIR}/i.tif", channels: [A]}'
    entry = f"  one: {{reader: Tiff, kwargs: {kwargs}, metadata: {{channels: [{{name: B}}]}}}}\n"
    with pytest.raises(DataError, match=r"channels the catalog names are not in the file: 'B'"):
        open_catalog(write_catalog(text.replace("entries:\n", "entries:\n" + entry))).load("one")
