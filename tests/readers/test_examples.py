"""The catalog of examples: every folder of public data opens by name, every item of every entry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import integrate as ig

#: What the reader of nuclei tells, rightly.
MENDED = "ignore:.*outlines crossed themselves:integrate.errors.IntegrateWarning"


@pytest.fixture(scope="module")
def examples(test_data: Any, repository: Path) -> Any:
    root = test_data("dicom-small").parent
    return ig.open_catalog(repository / "catalogs" / "examples.yaml")(data_root=str(root))


def entry_names() -> list[str]:
    import yaml

    text = (Path(__file__).resolve().parents[2] / "catalogs" / "examples.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load(text)["entries"])


def test_every_folder_of_the_data_has_an_entry(examples: Any, repository: Path) -> None:
    root = Path(examples.data_roots["data_root"])
    text = (repository / "catalogs" / "examples.yaml").read_text(encoding="utf-8")
    folders = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    assert [folder for folder in folders if f"{{data_root}}/{folder}" not in text] == []


@pytest.mark.filterwarnings(MENDED)
@pytest.mark.parametrize("name", entry_names())
def test_every_item_opens_by_name(examples: Any, name: str) -> None:
    entry = examples[name]
    items = [str(item) for item in entry.items()["item"]]
    assert items
    for item in dict.fromkeys((items[0], items[-1])):
        assert entry.load_item(item) is not None
    assert entry.description
    assert entry.level


def test_plain_intake_opens_the_same(examples: Any) -> None:
    assert examples.to_intake()["slide"].read().shape == (3, 2967, 2220)


def test_nothing_depends_on_the_environment(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.delenv("INTEGRATE_DATA", raising=False)
    assert "INTEGRATE_DATA" not in os.environ
    catalog = ig.open_catalog(repository / "catalogs" / "examples.yaml")
    with pytest.raises(ig.errors.IntegrateError, match="data_root"):
        catalog.load("slide")
