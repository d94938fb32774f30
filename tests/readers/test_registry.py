"""Every reader a catalog may name is held to the contract, and shows in its docstring how it is used."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from integrate.catalog.registry import READERS

#: Gives a catalog, which is no data of its own and has its tests in tests/catalog.
NO_DATA = {"SubCatalog"}


def held_to_contract(source: str) -> Iterator[str]:
    """Yield the names that appear in test classes which inherit `ReaderTests`, directly or from one another."""
    contracts = {"ReaderTests"}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & contracts:
            contracts.add(node.name)
            yield from (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))


def test_every_reader_is_held_to_the_contract() -> None:
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    named = {name for file in files for name in held_to_contract(file.read_text(encoding="utf-8"))}
    assert sorted(set(READERS) - named - NO_DATA) == []


def test_a_reader_without_contract_is_found() -> None:
    source = "class A(ReaderTests):\n    kind = One\nclass B(A):\n    kind = Two\nclass C:\n    kind = Three\n"
    assert {"One", "Two", "Three"} & set(held_to_contract(source)) == {"One", "Two"}


@pytest.mark.parametrize(("name", "qualified"), READERS.items(), ids=READERS)
def test_every_reader_has_an_example_that_runs(name: str, qualified: str) -> None:
    module, _, kind = qualified.partition(":")
    documented = getattr(importlib.import_module(module), kind).__doc__ or ""
    assert kind == name
    assert ">>>" in documented.partition("Examples\n")[2]
