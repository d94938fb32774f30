"""Figures: true to their numbers, honest about what is unknown or missing, and independent of pyplot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text

from integrate.errors import AlignmentError, DatasetNotFoundError, ParameterError
from integrate.model.image import make_image, make_labels
from integrate.show import figures
from integrate.show.figures import (
    plot_association,
    plot_availability,
    plot_cells,
    plot_checkerboard,
    plot_forest,
    plot_heatmap,
    plot_scatter,
    plot_survival,
    plot_upset,
    plot_volcano,
)


def _words(figure: Figure) -> str:
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def _picture(figure: Figure) -> np.ndarray:
    return np.asarray(figure.axes[0].images[0].get_array())


def _image(*, pixel_size_um: tuple[float, float] | None = None, shape: tuple[int, int] = (40, 60)) -> xr.DataArray:
    data = np.random.default_rng(0).integers(0, 200, (2, *shape)).astype(np.uint16)
    return make_image(data, channels=["DNA", "CD45"], pixel_size_um=pixel_size_um, ids={"subject_id": "P01"})


def _squares() -> xr.DataArray:
    labels = np.zeros((40, 60), dtype=np.int32)
    labels[5:15, 5:15], labels[20:30, 30:45] = 7, 9
    return make_labels(labels, pixel_size_um=None)


def test_the_scale_bar_is_in_pixels_when_the_pixel_size_is_unknown() -> None:
    figure = plot_cells(_image())
    assert "10 pixels (size unknown)" in _words(figure)
    assert "µm" not in _words(figure)
    assert "pixel size unknown" in str(figure.get_label())


@pytest.mark.parametrize(
    ("size_um", "text", "length_px"),
    [(0.5, "5 µm", 10), (2.0, "20 µm", 10), (100.0, "1 mm", 10), (0.325, "2 µm", 2 / 0.325)],
)
def test_the_scale_bar_is_as_long_as_it_says(size_um: float, text: str, length_px: float) -> None:
    figure = plot_cells(_image(pixel_size_um=(size_um, size_um)))
    assert text in _words(figure)
    ends = figure.axes[0].lines[0].get_xdata()
    assert np.ptp(np.asarray(ends)) == pytest.approx(length_px)


def test_pixels_that_are_not_square_are_not_drawn_square() -> None:
    figure = plot_cells(_image(pixel_size_um=(2.0, 0.5)))
    assert figure.axes[0].get_aspect() == pytest.approx(4.0)


def test_a_channel_has_its_colour_between_its_percentiles() -> None:
    data = np.zeros((1, 10, 10), dtype=np.uint8)
    data[0, 0, 0], data[0, 0, 1] = 100, 50
    image = make_image(data, channels=["DNA"], pixel_size_um=None)
    shown = _picture(plot_cells(image, channels={"DNA": "#FF8000"}, percentiles=(0, 100)))
    np.testing.assert_allclose(shown[0, :3], [[1, 128 / 255, 0], [0.5, 64 / 255, 0], [0, 0, 0]], atol=1e-6)


def test_a_rare_signal_is_shown_although_the_percentile_misses_it() -> None:
    data = np.zeros((1, 100, 100), dtype=np.uint8)
    data[0, 3, 4] = 9
    assert _picture(plot_cells(make_image(data, channels=["a"], pixel_size_um=None)))[3, 4].max() == 1


def test_a_colour_picture_is_shown_as_it_is() -> None:
    data = np.random.default_rng(0).integers(0, 256, (3, 8, 9)).astype(np.uint8)
    shown = _picture(plot_cells(make_image(data, channels=["r", "g", "b"], pixel_size_um=None)))
    np.testing.assert_allclose(shown, np.moveaxis(data, 0, -1) / 255, atol=1e-6)


def test_missing_pixels_are_grey_and_said() -> None:
    image = _image().astype(float)
    image[1, :5, :5] = np.nan
    figure = plot_cells(image)
    assert "grey: no data" in _words(figure)
    assert np.ptp(_picture(figure)[0, 0]) < 0.1
    assert 0.3 < _picture(figure)[0, 0].mean() < 0.6


def test_each_label_is_outlined_inside_its_border_and_counted() -> None:
    figure = plot_cells(_image(), _squares())
    shown = _picture(figure)
    finer = shown.shape[0] // 40
    assert (shown[5 * finer, 5 * finer] == 1).all()
    assert not (shown[10 * finer, 10 * finer] == 1).all()
    assert "2 cells outlined" in str(figure.get_label())


def test_labels_on_other_pixels_are_refused() -> None:
    with pytest.raises(AlignmentError, match="resample one to the other"):
        plot_cells(_image(shape=(41, 60)), _squares())
    with pytest.raises(AlignmentError, match="resample one to the other"):
        plot_cells(_image(pixel_size_um=(1.0, 1.0)), _squares())


def test_many_channels_must_be_named() -> None:
    image = make_image(np.zeros((41, 4, 4)), channels=[f"m{i}" for i in range(41)], pixel_size_um=None)
    with pytest.raises(ParameterError, match="has 41 channels; name up to 4"):
        plot_cells(image)
    with pytest.raises(ParameterError, match="5 channels asked for"):
        plot_cells(image, channels=[f"m{i}" for i in range(5)])
    with pytest.raises(DatasetNotFoundError, match="no channel named 'm99'"):
        plot_cells(image, channels=["m99"])


@pytest.mark.parametrize("crop", [(0, 41, 0, 10), (5, 5, 0, 10), (-1, 5, 0, 10)])
def test_a_crop_outside_the_image_is_refused(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(ParameterError, match="is not inside the image of 40 x 60"):
        plot_cells(_image(), crop=crop)


def _counted(channels: int, side: int, chunk: int) -> tuple[xr.DataArray, list[Any]]:
    """Return a lazy image and the list of the chunks that were read."""
    read: list[Any] = []

    def block(block_info: Any = None) -> np.ndarray:
        place = block_info[None]
        read.append(tuple(place["chunk-location"]))
        return np.full(place["chunk-shape"], 1 + place["chunk-location"][0], dtype=np.uint8)

    chunks = ((1,) * channels, (chunk,) * (side // chunk), (chunk,) * (side // chunk))
    data = da.map_blocks(block, chunks=chunks, dtype=np.uint8, meta=np.empty((0, 0, 0), dtype=np.uint8))
    return make_image(data, channels=[f"m{i}" for i in range(channels)], pixel_size_um=None), read


def test_only_the_channel_and_the_part_shown_are_read() -> None:
    image, read = _counted(5, 4096, 512)
    plot_cells(image, channels=["m3"], crop=(600, 900, 1100, 1500))
    assert read == [(3, 1, 2)]


def test_a_large_image_is_averaged_down_to_the_size_of_the_picture() -> None:
    image, read = _counted(1, 4096, 1024)
    shown = _picture(plot_cells(image))
    assert shown.shape[:2] == (1024, 1024)
    assert len(read) == len(set(read)) == 16
    steps = np.tile(np.repeat([0, 100], 2), (4800, 1200)).astype(np.uint8)
    averaged = make_image(steps[None, :, :4800], channels=["a"], pixel_size_um=None)
    picture = _picture(plot_cells(averaged, percentiles=(0, 100)))
    assert picture.shape[:2] == (1200, 1200)
    assert np.ptp(picture) == 0  # four pixels to one: each holds two dark and two bright


def test_no_figure_enters_pyplot() -> None:
    import matplotlib.pyplot as plt

    plot_availability(pd.DataFrame({"ct": [1]}))
    assert plt.get_fignums() == []


def test_availability_counts_and_names_rows_until_there_are_too_many() -> None:
    counts = pd.DataFrame({"ct": [1, 0, 2], "rna": [np.nan, 1, 1]}, index=["P01", "P02", "P03"])
    words = _words(plot_availability(counts))
    for expected in ("ct\n2 of 3", "rna\n2 of 3", "P02", "grey: not known"):
        assert expected in words
    many = pd.concat([counts] * 100)
    assert "P02" not in _words(plot_availability(many))
    assert "300 subjects" in _words(plot_availability(many))


def test_an_association_tells_n_missing_values_and_the_test() -> None:
    values = pd.Series([1.0, 2.0, np.nan, 4.0, 5.0, 6.0], name="CD8 density (1/mm²)")
    groups = pd.Series(["no", "no", "no", "yes", "yes", None], name="response")
    figure = plot_association(values, groups, p=0.00001, q=0.031, method="rank sum")
    words = _words(figure)
    for expected in (
        "no\nn = 2\n(1 missing)", "yes\nn = 2", "CD8 density (1/mm²) by response", "CD8 density (1/mm²)", "response",
        "rank sum: p < 0.0001, q = 0.031", "1 without a group",
    ):  # fmt: skip
        assert expected in words.replace("a\ngroup", "a group").replace("\nwithout", " without")
    drawn = np.concatenate([np.asarray(points.get_offsets())[:, 1] for points in figure.axes[0].collections])
    assert sorted(drawn) == [1, 2, 4, 5]
    medians = [line.get_ydata() for line in figure.axes[0].lines if line.get_linewidth() == 2]
    assert [float(np.asarray(median)[0]) for median in medians] == [1.5, 4.5]
    assert "no median 1.5 (n = 2), yes median 4.5 (n = 2)" in str(figure.get_label())


def test_groups_stand_in_the_order_given_and_none_is_dropped() -> None:
    words = _words(plot_association([1, 2, 3], ["a", "b", "c"], order=["c", "a", "b", "empty"]))
    assert words.index("c\nn = 1") < words.index("a\nn = 1") < words.index("empty\nn = 0")
    with pytest.raises(ParameterError, match="order leaves out the groups 'c'"):
        plot_association([1, 2, 3], ["a", "b", "c"], order=["a", "b"])


def test_values_are_never_matched_by_guessing() -> None:
    first = pd.Series([1.0, 2.0], index=["P01", "P02"])
    with pytest.raises(AlignmentError, match="different indexes"):
        plot_scatter(first, first[::-1])
    with pytest.raises(AlignmentError, match="2 values against 3"):
        plot_association(first, ["a", "b", "c"])


def test_rho_is_spearmans() -> None:
    # The pairs of the worked example in https://en.wikipedia.org/wiki/Spearman's_rank_correlation_coefficient
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert "Spearman ρ = -0.18, p = 0.63, n = 10" in _words(plot_scatter(iq, hours, title="IQ"))


def test_p_of_a_few_pairs_is_exact() -> None:
    # All 24 orders of four values are equally likely; two of them are perfect.
    assert "ρ = 1.00, p = 0.083, n = 4" in _words(plot_scatter([1, 2, 3, 4], [1, 4, 9, 16]))
    cells_of_one_section = _words(plot_scatter([1, 2, 3, 4], [1, 4, 9, 16], independent=False))
    assert "ρ = 1.00, n = 4" in cells_of_one_section
    assert "p =" not in cells_of_one_section
    # Published exact one-sided 2.5 % point for n = 6: rho = 0.886 has two-sided p = 0.033.
    assert "ρ = 0.89, p = 0.033, n = 6" in _words(plot_scatter([1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 6, 5]))


def test_pairs_without_both_values_are_counted_and_a_constant_has_no_rho() -> None:
    x, y = pd.Series([1.0, 2, 3, np.nan], name="age (a)"), pd.Series([1.0, 3, 2, 9], name="dose (mg)")
    words = _words(plot_scatter(x, y)).replace("\n", " ")
    assert "dose (mg) against age (a)" in words
    assert "n = 3; 1 without both values not shown" in words
    assert "ρ not defined, n = 4" in _words(plot_scatter([1, 1, 1, 1], [1, 2, 3, 4]))


def test_points_of_each_group_are_named_and_those_of_none_too() -> None:
    words = _words(plot_scatter([1, 2, 3], [1, 2, 3], groups=["LumA", "Her2", None]))
    for name in ("LumA", "Her2", "no group"):
        assert name in words


def test_a_heat_map_shows_each_feature_in_its_own_deviations() -> None:
    matrix = pd.DataFrame({"a": [1.0, 2, 3, np.nan], "b": [100.0, 300, 200, 200], "same": [5.0] * 4})
    figure = plot_heatmap(matrix, cluster=False)
    shown = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)
    step = np.sqrt(1.5)
    np.testing.assert_allclose(shown[:, 0], [-step, 0, step, np.nan])
    np.testing.assert_allclose(shown[:, 1], [-np.sqrt(2), np.sqrt(2), 0, 0])
    np.testing.assert_allclose(shown[:, 2], 0)
    assert "1 of 12 values missing (grey)" in _words(figure)


def test_clustering_moves_whole_rows_and_columns() -> None:
    matrix = pd.DataFrame(np.random.default_rng(1).normal(size=(9, 6)), index=list("abcdefghi"), columns=list("uvwxyz"))
    figure = plot_heatmap(matrix, standardise=False)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    rows = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    columns = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    np.testing.assert_array_equal(shown, matrix.loc[rows, columns])


def test_a_volcano_counts_names_and_does_not_hide_the_smallest_q() -> None:
    results = pd.DataFrame(
        {"effect": [2.0, -1.5, 0.1, 0.3, 1.0], "q": [0.0, 0.001, 0.9, np.nan, 0.04]}, index=["A", "B", "C", "D", "E"]
    )
    figure = plot_volcano(results, max_labels=2)
    words = _words(figure)
    assert "3 of 4 features at q < 0.05; 1 without a result" in words.replace("\n", " ")
    assert "A" in words.split("\n")
    assert "B" in words.split("\n")
    assert "E" not in words.split("\n")
    heights = np.concatenate([np.asarray(c.get_offsets())[:, 1] for c in figure.axes[0].collections])
    assert len(heights) == 4
    assert np.isfinite(heights).all()
    with pytest.raises(DatasetNotFoundError, match="no column 'q_value' in the results"):
        plot_volcano(results, q="q_value")


def test_a_volcano_of_nothing_significant_is_still_a_figure() -> None:
    figure = plot_volcano(pd.DataFrame({"effect": [0.1], "q": [0.9], "name": ["x"]}), name="name")
    assert "0 of 1 features" in _words(figure)


def test_a_dollar_in_a_name_is_a_dollar() -> None:
    figure = plot_association([1, 2], [r"$\bad$", "b"], value_label=r"$\cost$ $5")
    assert r"$\cost$ $5" in _words(figure)


def _curves() -> pd.DataFrame:
    """Return curves of two groups, as `kaplan_meier` gives them."""
    first = {"group": "low", "time": [0.0, 2, 5, 9], "n_at_risk": [4, 4, 3, 1], "n_events": [0, 1, 2, 1]}
    first |= {"n_censored": 0, "survival": [1, 0.75, 0.25, 0]}
    second = {"group": "high", "time": [0.0, 4, 10], "n_at_risk": [3, 3, 2], "n_events": [0, 1, 0]}
    second |= {"n_censored": [0, 0, 2], "survival": [1, 2 / 3, 2 / 3]}
    curves = pd.concat([pd.DataFrame(first), pd.DataFrame(second)], ignore_index=True)
    curves = curves.assign(ci_low=curves["survival"] * 0.8, ci_high=1.0)
    curves.attrs["integrate"] = {"by": "CD8", "time_unit": "mo", "origin": "diagnosis", "n_missing": 3}
    return curves


def test_survival_shows_curves_censoring_and_who_is_still_followed() -> None:
    figure = plot_survival(_curves(), p=0.03, method="logrank")
    words = _words(figure).replace("\n", " ")
    for expected in (
        "Survival by CD8", "logrank: p = 0.03; 3 not shown: no outcome or group", "months since diagnosis",
        "still followed",
    ):  # fmt: skip
        assert expected in words
    told = str(figure.get_label())
    assert "low n = 4, 4 events, median 5 months; high n = 3, 1 events, median not reached" in told
    table = [t.get_text() for t in figure.axes[0].texts]
    assert table[table.index("low") - 6 : table.index("low")] == ["4", "4", "3", "1", "1", "0"]
    assert table[table.index("high") - 6 : table.index("high")] == ["3", "3", "3", "2", "2", "2"]
    steps = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert steps["low"] == [1, 0.75, 0.25, 0]
    with pytest.raises(ParameterError, match="9 groups; more than 8 curves"):
        plot_survival(pd.concat([_curves().iloc[:4].assign(group=str(i)) for i in range(9)]))


MAKERS: dict[str, Callable[[], Figure]] = {
    "cells": lambda: plot_cells(_image(), _squares()),
    "availability": lambda: plot_availability(pd.DataFrame({"ct": [1, 0]})),
    "association": lambda: plot_association([1.0, 2, 3], ["a", "a", "b"]),
    "scatter": lambda: plot_scatter([1.0, 2, 3], [1.0, 3, 2]),
    "heatmap": lambda: plot_heatmap(pd.DataFrame(np.eye(4))),
    "survival": lambda: plot_survival(_curves()),
    "checkerboard": lambda: plot_checkerboard(_image(), _image()),
    "upset": lambda: plot_upset(pd.DataFrame({"ct": [1, 0], "rna": [1, 1]})),
    "forest": lambda: plot_forest(pd.DataFrame({"effect": [1.0], "ci_low": [0.5], "ci_high": [2.0]})),
    "volcano": lambda: plot_volcano(pd.DataFrame({"effect": [1.0], "q": [0.01]})),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_figure_describes_itself_fits_its_frame_and_is_the_same_twice(name: str, tmp_path: Path) -> None:
    for number in (1, 2):
        figure = MAKERS[name]()
        figure.savefig(tmp_path / f"{number}.png", metadata={"Software": None})
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    assert len(str(figure.get_label())) > 20
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert drawn.x0 >= -0.01
    assert drawn.y0 >= -0.01
    assert drawn.x1 <= width + 0.01
    assert drawn.y1 <= height + 0.01


def test_a_notebook_shows_the_figure_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    shell_module = pytest.importorskip("IPython.core.interactiveshell")
    shell = shell_module.InteractiveShell.instance()
    try:
        figure = MAKERS["scatter"]()
        data, notes = shell.display_formatter.format(figure)
        assert notes["image/png"]["alt"] == str(figure.get_label()) == data["text/plain"]
        assert data["image/png"].startswith("iVBOR")
        others, _ = shell.display_formatter.format(Figure())
        assert "text/plain" in others  # a figure that is not ours is shown as before
    finally:
        shell_module.InteractiveShell.clear_instance()


def test_figures_can_be_made_without_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert isinstance(MAKERS["availability"](), Figure)


def test_the_palette_is_okabe_and_itos() -> None:
    published = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000"}
    assert set(figures.PALETTE) == published
    assert set(figures.CHANNEL_COLOURS) <= published


def test_overlap_counts_exactly_those_who_have_the_same() -> None:
    counts = pd.DataFrame(
        {"ct": [1, 1, 0, 0, 0], "rna": [2, 1, 1, 0, np.nan]}, index=["P01", "P02", "P03", "P04", "P05"]
    )
    figure = plot_upset(counts)
    assert "2 with nothing only, 2 with ct and rna only, 1 with rna only" in str(figure.get_label())
    assert sorted(bar.get_height() for bar in figure.axes[0].patches) == [1, 2, 2]
    words = _words(figure).replace("\n", " ")
    assert "rna (3)" in words
    assert "1 unknown counts taken as none" in words
    assert "1 subjects in other combinations not shown" in _words(plot_upset(counts, max_sets=2)).replace("\n", " ")


def test_a_forest_draws_limits_and_says_what_it_leaves_out() -> None:
    rows = pd.DataFrame(
        {
            "x": ["CD8", "age", "gone"],
            "effect": [np.log(2), -0.1, np.nan],
            "ci_low": [0.1, -0.5, 0],
            "ci_high": [1, 0.3, 1],
        }
    )
    figure = plot_forest(rows, ratio=True)
    assert "2 effects; 1 without an effect not shown; CD8 2 (1.11 to 2.72), age 0.905" in str(figure.get_label())
    ends = [np.asarray(line.get_xdata()) for line in figure.axes[0].lines[:2]]
    np.testing.assert_allclose(ends, np.exp([[0.1, 1], [-0.5, 0.3]]))
    widths = [line.get_linewidth() for line in figure.axes[0].lines[:2]]
    assert "$" not in _words(figure)
    assert {"1", "2"} <= set(_words(figure).split("\n"))
    assert widths[0] > widths[1]  # only the first excludes a ratio of 1
    with pytest.raises(DatasetNotFoundError, match="no column 'hr' in the results"):
        plot_forest(rows, effect="hr")


def test_a_checkerboard_shows_each_image_in_its_own_fields() -> None:
    ones = [np.full((1, 80, 80), value, np.uint8) for value in (10, 20)]
    for data in ones:
        data[0, 0, 0], data[0, 0, 10] = 0, 0  # black somewhere in both kinds of field
    first, second = (make_image(data, channels=["a"], pixel_size_um=None) for data in ones)
    shown = _picture(plot_checkerboard(first, second, percentiles=(0, 100)))
    blue, orange = (tuple(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)) for c in figures.CHANNEL_COLOURS[:2])
    np.testing.assert_allclose([shown[5, 5], shown[5, 15], shown[15, 5], shown[15, 15]], [blue, orange, orange, blue])
    with pytest.raises(AlignmentError, match="resample one to the other"):
        plot_checkerboard(first, make_image(ones[0][:, :70], channels=["a"], pixel_size_um=None))


def test_short_names_are_the_same_functions() -> None:
    import integrate as ig

    assert ig.plot.volcano is plot_volcano
    long = {name.removeprefix("plot_") for name in figures.__all__ if name.startswith("plot_")}
    assert set(ig.plot.__all__) == long - {"cells"} | {"overlay"}
