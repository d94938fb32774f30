"""Hashes of settings: equal settings are equal, and settings of another kind are not, however deep they lie."""

from __future__ import annotations

from dataclasses import dataclass

from integrate.model.provenance import hash_settings


@dataclass(frozen=True)
class Narrow:
    """A setting."""

    width: float


@dataclass(frozen=True)
class Wide:
    """Another setting with the same fields."""

    width: float


@dataclass(frozen=True)
class Chain:
    """Settings that hold others."""

    parts: tuple[Narrow | Wide, ...]


def test_settings_of_another_kind_have_another_hash_also_inside_others() -> None:
    assert hash_settings(Narrow(1.0)) != hash_settings(Wide(1.0))
    assert hash_settings(Chain((Narrow(1.0),))) != hash_settings(Chain((Wide(1.0),)))
    assert hash_settings(Chain((Narrow(1.0),))) == hash_settings(Chain((Narrow(1.0),)))


def test_the_order_of_names_changes_nothing_and_the_order_of_a_list_does() -> None:
    assert hash_settings({"a": 1, "b": 2}) == hash_settings({"b": 2, "a": 1})
    assert hash_settings([1, 2]) != hash_settings([2, 1])
