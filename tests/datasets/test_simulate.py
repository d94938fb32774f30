"""The simulated study as a whole: its bytes, its folder, its tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from integrate.datasets.simulate import simulate_study
from integrate.errors import DataError, ParameterError
from integrate.model.provenance import hash_file

Tiny = Callable[[Path], Path]


def test_equal_settings_give_equal_bytes(study: Path, tmp_path: Path, tiny: Tiny) -> None:
    again = tiny(tmp_path / "again")
    names = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (study, again)]
    assert names[0] == names[1]
    assert hash_file(study) == hash_file(again)


def test_another_seed_gives_another_study(study: Path, tmp_path: Path) -> None:
    other = simulate_study(tmp_path / "other", subjects=1, seed=8, section_um=150, quiet=True)
    assert (other / "clinical.csv").read_text() != (study / "clinical.csv").read_text()


def test_a_standing_study_is_returned_untouched(study: Path, tiny: Tiny) -> None:
    before = (study / "truth.json").stat().st_mtime_ns
    assert tiny(study) == study
    assert (study / "truth.json").stat().st_mtime_ns == before


def test_a_study_with_other_settings_is_refused(study: Path) -> None:
    with pytest.raises(DataError, match=r"other settings: subjects=4 \(asked 5\)"):
        simulate_study(study, subjects=5, seed=7, section_um=200, quiet=True)


def test_a_study_of_one_modality_has_its_files_and_no_others(study: Path, tmp_path: Path) -> None:
    ask: dict[str, Any] = {"subjects": 4, "seed": 7, "section_um": 200, "quiet": True}
    part = simulate_study(tmp_path / "part", modalities=["IF"], **ask)
    pictures = sorted(path.relative_to(study) for path in study.rglob("*_if.ome.tif"))
    assert sorted(path.relative_to(part) for path in part.rglob("*.tif")) == pictures != []
    for path in (*pictures, Path("clinical.csv"), Path("rna.h5ad")):
        assert hash_file(part / path) == hash_file(study / path)
    assert set(pd.read_csv(part / "assets.csv")["modality"]) == {"IF"}
    assert not any(path.is_dir() for path in (part / "ct").iterdir())
    with pytest.raises(DataError, match=r"modalities=\['IF'\] \(asked None\)"):
        simulate_study(part, **ask)


@pytest.mark.parametrize(
    ("modalities", "told"),
    [(["PET"], "no modality 'PET'; name one or more of 'CT', 'SM'"), (["visium"], "name 'SM' beside")],
)
def test_modalities_that_cannot_be_written_are_refused(tmp_path: Path, modalities: list[str], told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        simulate_study(tmp_path / "study", subjects=1, section_um=150, modalities=modalities)


def test_a_folder_with_something_else_is_refused(tmp_path: Path, tiny: Tiny) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match=r"holds 'mine.txt', not a simulated study"):
        tiny(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_damaged_truth_is_refused(tmp_path: Path, tiny: Tiny) -> None:
    (tmp_path / "truth.json").write_text("{")
    with pytest.raises(DataError, match="is not the truth of a simulated study"):
        tiny(tmp_path)


def test_a_failed_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("integrate.datasets.simulate._write_rna", fail)
    with pytest.raises(OSError, match="disk full"):
        simulate_study(tmp_path / "study", subjects=1, section_um=150, quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("subjects", "section_um", "seed"), [(0, 480, 1), (4, 100, 1), (4, 480, -1)])
def test_impossible_settings_are_refused(tmp_path: Path, subjects: int, section_um: float, seed: int) -> None:
    with pytest.raises(ParameterError, match="a study needs a subject, sections of 150 um or more and a seed from 0"):
        simulate_study(tmp_path / "study", subjects=subjects, section_um=section_um, seed=seed)


def test_the_default_folder_is_the_demo_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    folder = simulate_study(subjects=1, section_um=150, quiet=True)
    assert folder == tmp_path / ".cache" / "integrate" / "demo"


def test_the_asset_table_describes_every_file(study: Path, assets: pd.DataFrame) -> None:
    assert assets["acquisition_id"].is_unique
    for row in assets.itertuples():
        path = study / str(row.path)
        files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
        assert (str(sum(p.stat().st_size for p in files)), hash_file(path)) == (row.bytes, row.sha256)
    listed = {study / path for path in assets["path"]}
    data = [p for part in ("ct", "pathology", "visium") for p in (study / part).rglob("*") if p.is_file()]
    assert all(any(p == known or known in p.parents for known in listed) for p in data)


def test_the_planted_gaps_are_the_gaps(truth: dict[str, Any], assets: pd.DataFrame) -> None:
    assert {"CT", "rna"} <= set(truth["missing"])
    ids = {subject["hospital_id"]: name for name, subject in truth["subjects"].items()}
    ids |= {label: name for name, subject in truth["subjects"].items() for label in subject["pathology_ids"]}
    for modality in ("CT", "SM", "IF", "visium", "annotation"):
        having = set(assets.loc[assets["modality"] == modality, "source_id"].map(ids))
        assert set(truth["subjects"]) - having == set(truth["missing"].get(modality, []))
    twice = [name for name, subject in truth["subjects"].items() if len(subject["sections"]) == 2]
    assert twice == truth["two_sections"] != []


def test_the_clinical_table_says_what_was_planted(study: Path, truth: dict[str, Any]) -> None:
    clinical = pd.read_csv(study / "clinical.csv")
    assert list(clinical["subject_id"]) == list(truth["subjects"])
    assert set(clinical["response"].dropna()) <= {"responder", "non_responder"}
    assert set(clinical["os_event"]) <= {0, 1}
    assert (clinical["os_days"] > 0).all()
    assert [s["site"] for s in truth["subjects"].values()] == list(clinical["site"])


def test_no_file_names_this_machine(study: Path) -> None:
    for path in (p for p in study.rglob("*") if p.suffix in (".csv", ".json", ".txt", ".geojson")):
        text = path.read_text(encoding="utf-8")
        assert str(study) not in text
        assert str(Path.home()) not in text


def test_isa_samples_derive_from_sources(study: Path, truth: dict[str, Any]) -> None:
    table = pd.read_csv(study / "isatab" / "s_study.txt", sep="\t", dtype=str)
    assert set(table["Source Name"]) == set(truth["subjects"])
    samples = set(table["Sample Name"])
    assert {specimen for s in truth["subjects"].values() for specimen in s["sections"]} < samples
    for assay in (study / "isatab").glob("a_*.txt"):
        runs = pd.read_csv(assay, sep="\t", dtype=str)
        assert set(runs["Sample Name"]) <= samples
        assert all((study / "isatab" / file).resolve().exists() for file in runs.iloc[:, -1])
    investigation = (study / "isatab" / "i_investigation.txt").read_text(encoding="utf-8")
    assert all(assay.name in investigation for assay in (study / "isatab").glob("[as]_*.txt"))


@pytest.mark.slow
def test_the_shipped_study_is_small_and_its_effects_show(tmp_path: Path) -> None:
    from scipy.stats import mannwhitneyu, spearmanr

    study = simulate_study(tmp_path / "demo", quiet=True)
    assert sum(p.stat().st_size for p in study.rglob("*") if p.is_file()) < 60e6
    truth = json.loads((study / "truth.json").read_text(encoding="utf-8"))
    assert {m: len(who) for m, who in truth["missing"].items()} == {"CT": 5, "IF": 1, "rna": 3, "visium": 2}
    assert len(truth["two_sections"]) == 4
    counts = {
        name: pd.DataFrame([s["cells_fluorescence"] for s in subject["sections"].values()]).sum()
        for name, subject in truth["subjects"].items()
        if "IF" not in subject["missing"]
    }
    share = pd.Series({name: count["cd8_t"] / count.sum() for name, count in counts.items()})
    response = pd.read_csv(study / "clinical.csv").set_index("subject_id")["response"].reindex(share.index)
    found = mannwhitneyu(share[response == "responder"], share[response == "non_responder"])
    assert found.pvalue < 0.01
    immune = pd.Series({name: subject["immune_density"] for name, subject in truth["subjects"].items()})
    assert spearmanr(share, immune[share.index]).statistic > 0.9
