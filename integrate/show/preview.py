"""A quick look at anything a catalog opens: a small picture, and what it says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from integrate.model.html import Html, card, rows, table
from integrate.model.image import image_notes
from integrate.show.channels import contrast, list_channels
from integrate.show.pyramid import Pyramid, open_pyramid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["describe", "thumbnail"]

SIDE: Final = 360
#: An image without coarse levels that is larger than this is looked at in its middle only.
LARGEST_WHOLE: Final = 4096
#: Notes of people, not of machinery.
SHOWN: Final = ("ids", "pixel_size_um", "spacing_mm", "unit", "modality", "frame_of_reference_uid")


def thumbnail(opened: Any) -> tuple[NDArray[np.uint8] | None, str]:
    """Return a small RGB picture of an image or volume and what it shows in words; ``None`` for anything else.

    Parameters
    ----------
    opened
        What a reader returned.
    """
    import numpy as np

    dims = tuple(getattr(opened, "dims", ()))
    if dims[-2:] != ("y", "x") or any(axis not in ("c", "z", "y", "x") for axis in dims):
        return None, ""
    if "z" in dims:
        middle = opened.sizes["z"] // 2
        opened, told = opened.isel(z=middle), f"slice {middle + 1} of {opened.sizes['z']}"
    else:
        told = "whole"
    height, width = opened.sizes["y"], opened.sizes["x"]
    if max(height, width) > LARGEST_WHOLE:
        top, left = height // 2 - SIDE, width // 2 - SIDE
        opened, told = (
            opened.isel(y=slice(max(top, 0), top + 2 * SIDE), x=slice(max(left, 0), left + 2 * SIDE)),
            "middle",
        )
    return np.asarray(_mixed(open_pyramid(opened))), told


def _mixed(image: Pyramid) -> NDArray[np.uint8]:
    import numpy as np

    whole: Any = 0.0
    for one in list_channels([image], None):
        if one["on"]:
            plane = image.overview(one["index"], side=SIDE)
            low, high, *_ = (0.0, 255.0) if one["low"] is not None else contrast(plane)
            part = np.clip((np.nan_to_num(plane.astype(np.float32)) - low) / (high - low), 0, 1)
            colour = np.array([int(one["colour"][i : i + 2], 16) / 255 for i in (1, 3, 5)])
            whole = whole + part[..., None] * colour
    return (np.clip(whole, 0, 1) * 255).astype(np.uint8)


def describe(opened: Any, *, title: str) -> Html:
    """Return what an opened object is: its axes or first rows, its ids, and what is known of its space.

    Parameters
    ----------
    opened
        What a reader returned.
    title
        Name of the dataset and item.
    """
    notes = image_notes(opened)
    facts = [(key, _plain(notes[key])) for key in SHOWN if notes.get(key)]
    if hasattr(opened, "obs") and hasattr(opened, "var"):
        return card(title, table(opened.obs, max_rows=6), rows(("", ""), facts), subtitle=f"AnnData {opened.shape}")
    if hasattr(opened, "columns"):
        frame = opened.drop(columns="geometry", errors="ignore") if hasattr(opened, "geom_type") else opened
        return card(title, table(frame, max_rows=6), rows(("", ""), facts), subtitle=f"{len(opened)} rows")
    if hasattr(opened, "dims"):
        size = " × ".join(f"{axis} {n}" for axis, n in zip(opened.dims, opened.shape, strict=True))
        names = [str(one) for one in opened.coords["c"].values] if "c" in opened.coords else []
        facts = [("channels", ", ".join(names))] * bool(names) + facts
        return card(title, rows(("", ""), facts), subtitle=f"{size} · {opened.dtype}")
    if hasattr(opened, "gen_elements"):
        held = [(name, kind) for kind, name, _ in opened.gen_elements()]
        return card(title, rows(("element", "kind"), held), subtitle="SpatialData")
    return card(title, str(opened)[:400], subtitle=type(opened).__name__)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return " · ".join(f"{key} {one}" for key, one in value.items())
    return " × ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
