"""The meaning of an opened item: what its file says, compared with what the catalog and its asset table say of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.catalog.assets import AssetEntry
from integrate.errors import some
from integrate.keys import ATTRS, LEVELS, SUBJECT_ID

if TYPE_CHECKING:
    from integrate.catalog.entry import Entry

__all__ = ["Doubt", "doubts_about"]

#: Images whose measurements mean nothing without the edge of a pixel.
NEEDS_PIXEL_SIZE: frozenset[str] = frozenset({"IF", "IMC", "MIBI", "SM", "CODEX"})


class Doubt(NamedTuple):
    """What is doubtful about one item: how grave, which check, what was found."""

    severity: str
    check: str
    message: str


def doubts_about(entry: Entry, item: str, opened: Any) -> Iterator[Doubt]:
    """Yield what an opened item says otherwise than the catalog; what is plainly wrong its reader has refused.

    Parameters
    ----------
    entry, item
        The dataset, and which item of it.
    opened
        What its reader gave.
    """
    row: dict[str, str] = {}
    if isinstance(entry, AssetEntry):
        whole = entry.rows.row(item)
        row = {name: whole[name] for name in ("pixel_size_um", "channels") if whole.get(name)}
    if hasattr(opened, "coords") and hasattr(opened, "dims"):
        yield from _image_doubts(entry, row, opened)
    frame = getattr(opened, "obs", opened)
    if hasattr(frame, "columns") and (entry.keys or entry.columns):
        yield from _table_doubts(entry, frame)


def _image_doubts(entry: Entry, row: Mapping[str, str], image: Any) -> Iterator[Doubt]:
    found = image.attrs.get(ATTRS, {}).get("pixel_size_um")
    declared = entry.metadata.get("pixel_size_um")
    if found is None and entry.modality in NEEDS_PIXEL_SIZE:
        told = "neither the file nor the catalog states the pixel size; give pixel_size_um"
        yield Doubt("warning", "no pixel size", told if declared is None else "only the catalog states the pixel size")
    if found is not None and "pixel_size_um" in row:
        listed = [float(edge) for edge in row["pixel_size_um"].split(";")]
        if len(listed) != len(found) or any(abs(a - b) > 1e-3 * b for a, b in zip(listed, found, strict=True)):
            told = f"the asset table says pixels of {listed} µm, the image has {list(found)}; correct the table"
            yield Doubt("error", "pixel size", told)
    if "c" not in image.coords:
        return
    names = [str(name) for name in image.coords["c"].values]
    if "channels" in row and row["channels"].split(";") != names:
        told = (
            f"the asset table says channels {row['channels']!r}, the image has {';'.join(names)!r}; correct the table"
        )
        yield Doubt("error", "channels", told)
    known = [str(channel["name"]) for channel in entry.metadata.get("channels") or []]
    unnamed = [name for name in names if name not in known] if known else []
    if unnamed:
        yield Doubt("note", "channels", f"{len(unnamed)} channels are in the file only: {some(unnamed)}; name them")


def _table_doubts(entry: Entry, frame: Any) -> Iterator[Doubt]:
    for column, namespace in entry.keys.items():
        ids = frame.index.to_series() if column == "obs_names" else frame[column]
        without = int(ids.isna().sum())
        if without:
            told = f"{without} of {len(ids)} rows have no {column!r}, so nobody knows whose they are; fill it"
            yield Doubt("warning", "no id", told)
        is_own_id = entry.level in LEVELS and LEVELS[entry.level] == namespace == SUBJECT_ID
        repeated = ids.dropna()[ids.dropna().duplicated()].unique()
        if is_own_id and len(repeated):
            told = f"one row per subject is declared; {len(repeated)} have several: {some(map(str, repeated))}"
            yield Doubt("error", "repeated subject", told)
    for name, spec in entry.columns.items():
        if spec.get("levels") and name in frame:
            seen = set(frame[name].dropna().astype(str))
            unused = [str(level) for level in spec["levels"] if str(level) not in seen]
            if unused:
                told = f"level {some(unused)} of {name!r} never occurs; is it spelled as in the table?"
                yield Doubt("note", "unused level", told)
    silent = [str(name) for name in frame.columns if name not in entry.columns and name not in entry.keys]
    if entry.columns and silent:
        told = f"{len(silent)} of {len(frame.columns)} columns have no codebook: {some(silent)}; say what they are"
        yield Doubt("note", "no codebook", told)
