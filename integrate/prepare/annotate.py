"""Outlines that several people drew of the same thing: how far they agree, and what they agree on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import DataError, ParameterError, some, warn
from integrate.keys import ATTRS
from integrate.model.provenance import hash_settings

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Agreement", "Majority", "Staple", "combine_outlines", "compare_outlines"]

#: Longest side of the raster on which opinions are counted; a larger picture is counted more coarsely, which is said.
MAX_SIDE: Final = 4096


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far annotators agree.

    Parameters
    ----------
    pairs
        One row per class and pair of annotators: ``dice``, ``jaccard``, ``cohen_kappa``, ``hausdorff``,
        ``hausdorff_95`` (in `unit`) and the two areas.
    all
        One row per class: ``fleiss_kappa``, how many annotators, and the mean Dice of the pairs.
    unit
        ``"um"`` or ``"px"``, of distances; areas are in its square.
    notes
        What limits the numbers, in words.

    Examples
    --------
    >>> import pandas as pd
    >>> Agreement(pd.DataFrame({"dice": [0.9]}), pd.DataFrame({"fleiss_kappa": [0.8]}), "px")
    <Agreement: 1 pairs, Dice 0.9 to 0.9>
    """

    pairs: pd.DataFrame
    all: pd.DataFrame
    unit: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        dice = self.pairs["dice"]
        return f"<Agreement: {len(self.pairs)} pairs, Dice {dice.min():.3g} to {dice.max():.3g}>"

    def _repr_html_(self) -> str:
        from integrate.model.html import card, table

        subtitle = f"{len(self.pairs)} pairs · distances in {'µm' if self.unit == 'um' else 'pixels'}"
        parts = (table(self.all, caption="All annotators"), table(self.pairs, caption="Two by two"))
        return card("Annotator agreement", *parts, *self.notes, subtitle=subtitle)


@dataclass(frozen=True, slots=True)
class Majority:
    """The consensus is what more than a share of the annotators drew.

    Parameters
    ----------
    share
        More than this share; the default is the strict majority.

    Examples
    --------
    >>> Majority()
    Majority(share=0.5)
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a share that nobody or everybody meets."""
        if not 0 <= self.share < 1:
            raise ParameterError(f"share is {self.share}; expected a fraction from 0 (anybody) to below 1")


@dataclass(frozen=True, slots=True)
class Staple:
    """The consensus is what is probably true when annotators differ in sensitivity and specificity (STAPLE).

    Parameters
    ----------
    probability
        Probability from which a pixel belongs to it.
    iterations
        Steps of expectation and maximisation at most.

    Examples
    --------
    >>> Staple(probability=0.9)
    Staple(probability=0.9, iterations=100)
    """

    probability: float = 0.5
    iterations: int = 100


def compare_outlines(
    outlines: gpd.GeoDataFrame,
    *,
    shape: tuple[int, int] | None = None,
    pixel_size_um: float | None = None,
    annotators: Sequence[str] | None = None,
) -> Agreement:
    """Return how far annotators agree on outlines of one picture.

    Parameters
    ----------
    outlines
        Polygons in pixels with ``annotator`` and, where there are several classes, ``classification``; from the GeoJSON
        reader or a viewer's regions.
    shape
        Rows and columns of the picture. Kappa needs it, because the ground nobody outlined counts as agreement.
    pixel_size_um
        Edge of a pixel; by default what the outlines say. When it is known distances are in micrometres.
    annotators
        Everybody who looked; whoever drew nothing of a class is then compared as having drawn nothing.

    Returns
    -------
    Agreement. Dice, Jaccard and Cohen's kappa are from the exact areas of the polygons; the Hausdorff distance is
    between their borders, ``hausdorff_95`` its 95th percentile over points one pixel apart. Fleiss' kappa counts
    pixels. A pair of which neither drew anything has NaN, a distance to nothing too, and kappa without `shape`.

    Raises
    ------
    DataError
        If an outline has no annotator, or there are fewer than two.

    Notes
    -----
    Kappa compares with chance agreement over the whole picture, so it grows with the ground around the object: report
    it with Dice.

    Examples
    --------
    >>> import geopandas, shapely
    >>> drawn = [shapely.box(0, 0, 10, 10), shapely.box(5, 0, 15, 10)]
    >>> outlines = geopandas.GeoDataFrame({"annotator": ["AB", "CD"]}, geometry=drawn)
    >>> compare_outlines(outlines, shape=(20, 20)).pairs[["first", "second", "dice", "hausdorff"]].to_dict("records")
    [{'first': 'AB', 'second': 'CD', 'dice': 0.5, 'hausdorff': 5.0}]
    """
    import pandas as pd

    people = _people(outlines, annotators)
    size = _pixel_size(outlines, pixel_size_um)
    rows, totals, notes = [], [], []
    if shape is None:
        notes.append("Kappa is missing: it needs the shape of the picture.")
    for name, part in _classes(outlines):
        areas = {who: _union(part[part["annotator"] == who]) for who in people}
        found = [_pair(areas, pair, shape, size or 1.0) for pair in combinations(people, 2)]
        rows += [{"classification": name, **one} for one in found]
        kappa = float("nan")
        if shape is not None:
            masks, step = _masks(areas.values(), shape)
            kappa = _fleiss(masks)
            notes += [f"Fleiss' kappa counts one of {step} x {step} pixels."] if step > 1 else []
        mean = pd.Series([one["dice"] for one in found]).mean()
        totals.append({"classification": name, "annotators": len(people), "fleiss_kappa": kappa, "mean_dice": mean})
    unit = "px" if size is None else "um"
    return Agreement(pd.DataFrame(rows), pd.DataFrame(totals), unit, tuple(dict.fromkeys(notes)))


def combine_outlines(
    outlines: gpd.GeoDataFrame,
    *,
    shape: tuple[int, int],
    method: Majority | Staple | None = None,
    annotators: Sequence[str] | None = None,
) -> gpd.GeoDataFrame:
    """Return the outlines annotators agree on, one row per class.

    Parameters
    ----------
    outlines
        As for `compare_outlines`.
    shape
        Rows and columns of the picture.
    method
        `Majority` (the default) or `Staple`.
    annotators
        Everybody who looked, as for `compare_outlines`.

    Returns
    -------
    GeoDataFrame with ``geometry``, ``id``, ``classification`` and ``annotator`` (``"majority"`` or ``"STAPLE"``), in
    pixels; a class nobody agrees on is left out with a warning. ``attrs["integrate"]`` names who was combined, the
    settings and, for STAPLE, each annotator's sensitivity and specificity.

    Raises
    ------
    DataError
        If an outline has no annotator, or there are fewer than two.

    Examples
    --------
    >>> import geopandas, shapely
    >>> drawn = [shapely.box(0, 0, 10, 10), shapely.box(5, 0, 15, 10), shapely.box(5, 0, 12, 10)]
    >>> outlines = geopandas.GeoDataFrame({"annotator": ["AB", "CD", "EF"]}, geometry=drawn)
    >>> combine_outlines(outlines, shape=(20, 20)).geometry[0].bounds
    (5.0, 0.0, 12.0, 10.0)
    """
    import geopandas as gpd

    method = Majority() if method is None else method
    label = "majority" if isinstance(method, Majority) else "STAPLE"
    people = _people(outlines, annotators)
    rows: list[dict[str, Any]] = []
    skill: dict[str, Any] = {}
    nothing: list[str] = []
    for name, part in _classes(outlines):
        masks, step = _masks([_union(part[part["annotator"] == who]) for who in people], shape)
        if isinstance(method, Majority):
            agreed = masks.mean(axis=0) > method.share
        else:
            agreed, skill[name or "all"] = _staple(masks, method, people)
        outline = _outline(agreed, step)
        if outline.is_empty:
            nothing.append(name)
            continue
        rows.append({"geometry": outline, "id": f"{label}-{len(rows) + 1}", "classification": name or None})
    if nothing:
        warn(f"annotators agree on nothing of {len(nothing)} classes: {some(nothing)}; they are left out")
    columns = ["geometry", "id", "classification"]
    combined = gpd.GeoDataFrame(rows, columns=columns, geometry="geometry").assign(annotator=label)
    notes = {"unit": "px", "annotators": list(people), "settings_hash": hash_settings(method)}
    combined.attrs[ATTRS] = {**notes, "skill": skill} if skill else notes
    return combined


def _people(outlines: gpd.GeoDataFrame, annotators: Sequence[str] | None) -> list[str]:
    if "annotator" not in outlines or outlines["annotator"].isna().any():
        missing = len(outlines) if "annotator" not in outlines else int(outlines["annotator"].isna().sum())
        raise DataError(f"{missing} of {len(outlines)} outlines have no annotator; say who drew each")
    drew = sorted(outlines["annotator"].astype(str).unique())
    people = drew if annotators is None else sorted({str(one) for one in annotators})
    strangers = set(drew) - set(people)
    if strangers:
        raise DataError(f"outlines by {some(strangers)} are there, who are not among annotators={people}")
    if len(people) < 2:
        raise DataError(f"one annotator ({some(people)}) cannot agree or disagree; outlines of at least two are needed")
    return people


def _classes(outlines: gpd.GeoDataFrame) -> Iterator[tuple[str, gpd.GeoDataFrame]]:
    if "classification" not in outlines:
        yield "", outlines
        return
    names = outlines["classification"].fillna("").astype(str)
    for name in sorted(names.unique()):
        yield name, outlines[names == name]


def _pixel_size(outlines: gpd.GeoDataFrame, given: float | None) -> float | None:
    if given is not None:
        return float(given)
    said = dict(dict(outlines.attrs.get(ATTRS, {})).get("coordinate_system") or {}).get("pixel_size_um")
    return None if said is None else float(said)


def _union(part: gpd.GeoDataFrame) -> Any:
    import shapely

    return shapely.union_all([shapely.make_valid(one) for one in part.geometry])


def _pair(areas: dict[str, Any], pair: tuple[str, str], shape: tuple[int, int] | None, size: float) -> dict[str, Any]:
    one, other = (areas[who] for who in pair)
    a, b, both = one.area, other.area, one.intersection(other).area
    nan = float("nan")
    kappa = nan
    if shape is not None:
        whole = float(shape[0] * shape[1])
        observed, p, q = 1 - (a + b - 2 * both) / whole, a / whole, b / whole
        chance = p * q + (1 - p) * (1 - q)
        kappa = (observed - chance) / (1 - chance) if chance < 1 else nan
    far, most = _distances(one, other) if a and b else (nan, nan)
    return {
        "first": pair[0],
        "second": pair[1],
        "dice": 2 * both / (a + b) if a + b else nan,
        "jaccard": both / (a + b - both) if a + b else nan,
        "cohen_kappa": kappa,
        "hausdorff": far * size,
        "hausdorff_95": most * size,
        "area_first": a * size**2,
        "area_second": b * size**2,
    }


def _distances(one: Any, other: Any) -> tuple[float, float]:
    """Return the largest distance between two borders, and its 95th percentile, from points at most a pixel apart."""
    import numpy as np
    import shapely

    one, other = one.boundary, other.boundary
    shapely.prepare([one, other])
    there, back = (
        shapely.distance(shapely.points(shapely.get_coordinates(shapely.segmentize(a, 1.0))), b)
        for a, b in ((one, other), (other, one))
    )
    return float(max(there.max(), back.max())), float(max(np.percentile(there, 95), np.percentile(back, 95)))


def _masks(areas: Iterable[Any], shape: tuple[int, int]) -> tuple[NDArray[np.bool_], int]:
    """Return which pixel centres lie in each area, and how many pixels one of the raster is wide."""
    import numpy as np
    import shapely
    from skimage.draw import polygon

    step = max(1, -(-max(shape) // MAX_SIDE))
    size = (-(-shape[0] // step), -(-shape[1] // step))
    masks = []
    for area in areas:
        mask = np.zeros(size, dtype=bool)
        for ring in shapely.get_rings(shapely.get_parts(area)):
            x, y = shapely.get_coordinates(ring).T / step - 0.5
            inside = polygon(y, x, size)
            mask[inside] ^= True  # a ring inside another one is a hole
        masks.append(mask)
    return np.stack(masks), step


def _fleiss(masks: NDArray[np.bool_]) -> float:
    """Return Fleiss' kappa of two categories, inside and outside, with every pixel as a subject."""
    raters, votes = len(masks), masks.sum(axis=0, dtype=float)
    within = (votes * (votes - 1) + (raters - votes) * (raters - votes - 1)) / (raters * (raters - 1))
    share = votes.mean() / raters
    chance = share**2 + (1 - share) ** 2
    return float((within.mean() - chance) / (1 - chance)) if chance < 1 else float("nan")


def _staple(
    masks: NDArray[np.bool_], method: Staple, people: Sequence[str]
) -> tuple[NDArray[np.bool_], dict[str, dict[str, float]]]:
    import numpy as np
    import SimpleITK as sitk

    runner = sitk.STAPLEImageFilter()
    runner.SetForegroundValue(1)
    runner.SetMaximumIterations(method.iterations)
    truth = sitk.GetArrayFromImage(runner.Execute([sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]))
    pairs = zip(people, runner.GetSensitivity(), runner.GetSpecificity(), strict=True)
    skill = {who: {"sensitivity": float(p), "specificity": float(q)} for who, p, q in pairs}
    return truth >= method.probability, skill


def _outline(mask: NDArray[np.bool_], step: int) -> Any:
    """Return the border of a mask along the edges of its pixels, corners cut by half a pixel at most."""
    import numpy as np
    import shapely
    from skimage.measure import find_contours

    whole: Any = shapely.Polygon()
    for ring in find_contours(np.pad(mask, 1).astype(float), 0.5):
        whole = whole.symmetric_difference(shapely.Polygon((ring[:, ::-1] - 0.5) * step).buffer(0))
    return whole
