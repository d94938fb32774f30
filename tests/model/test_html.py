"""The HTML kit: escaped, small, the same every time, and honest about what is missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrate.errors import ParameterError
from integrate.model.html import Html, badge, card, escape, rows, table
from integrate.model.matrix import matrix

HOSTILE = "<script>alert('x')</script>\" onload=\"alert(1)"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(markup)
    return reader


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc", "Cf"))))
def test_any_text_comes_back_as_text_and_never_as_markup(text: str) -> None:
    reader = _read(f"<p>{escape(text)}</p>")
    assert reader.tags == ["p"]
    assert reader.text == text


def test_hostile_strings_are_escaped_everywhere_they_can_enter() -> None:
    frame = pd.DataFrame({HOSTILE: [HOSTILE]}, index=pd.Index([HOSTILE], name=HOSTILE))
    counts = pd.DataFrame({HOSTILE: [1, 2]}, index=[HOSTILE, "P02"])
    picture = matrix(counts, row_label=HOSTILE, column_label=HOSTILE)
    strips = matrix(counts, row_label=HOSTILE, column_label=HOSTILE, max_rows=1)
    shown = card(HOSTILE, HOSTILE, table(frame, caption=HOSTILE), picture, strips, badge(HOSTILE), subtitle=HOSTILE)
    assert "script" not in _read(shown).tags
    assert 'onload="' not in shown


def test_characters_that_are_not_text_cannot_break_a_page() -> None:
    assert escape("a\x00b") == "a\N{REPLACEMENT CHARACTER}b"
    assert escape("abc\u202egpj.exe") == "abc\N{REPLACEMENT CHARACTER}gpj.exe"
    assert escape("caf\udce9").encode("utf-8") == b"caf?"  # a file name that is not UTF-8


def test_html_stays_html_only_when_it_is_not_cut_or_joined() -> None:
    label = badge("ok", "ok")
    assert escape(label) is label
    assert escape(label + "") == "&lt;span class=&quot;b ok&quot;&gt;ok&lt;/span&gt;"
    assert isinstance(card("title")._repr_html_(), str)


def test_an_unknown_badge_is_refused() -> None:
    with pytest.raises(ParameterError, match="no badge of kind 'good'"):
        badge("fine", "good")


def test_a_missing_value_is_a_dash_and_zero_is_zero() -> None:
    shown = table(pd.DataFrame({"x": [0.0, np.nan], "name": ["a", None], "when": [pd.NaT, pd.NA]}))
    assert shown.count('title="missing">–<') == 4
    assert '<td class="n">0</td>' in shown


def test_a_table_says_how_much_it_leaves_out() -> None:
    shown = table(pd.DataFrame(np.zeros((1000, 60))))
    assert "… and 988 more rows and 48 more columns" in shown
    assert shown.count("<tr>") == 13
    assert "more" not in table(pd.DataFrame(np.zeros((12, 12))))


def test_a_table_shows_named_rows_and_hides_a_plain_counter() -> None:
    frame = pd.DataFrame({"x": [1]}, index=pd.Index(["P01"], name="subject_id"))
    assert "subject_id" in table(frame)
    assert "P01" in table(frame)
    assert _read(table(frame.reset_index(drop=True))).text == "x1"


def test_a_table_without_rows_says_so() -> None:
    assert '<td class="na" colspan="2">none</td>' in rows(("check", "what"), [])


def test_rows_with_an_empty_header_name_their_rows() -> None:
    shown = rows(("", ""), [("modality", "CT")])
    assert '<th scope="row">modality</th><td>CT</td>' in shown
    assert "<thead>" not in shown


def _availability(subjects: int, datasets: int, *, seed: int = 0) -> pd.DataFrame:
    counts = np.random.default_rng(seed).integers(0, 4, (subjects, datasets))
    return pd.DataFrame(
        counts, index=[f"S{i:04d}" for i in range(subjects)], columns=[f"dataset_{j}" for j in range(datasets)]
    )


@pytest.mark.parametrize(("subjects", "datasets"), [(24, 8), (40, 40), (1000, 8), (1000, 40), (20_000, 12)])
def test_the_picture_of_any_study_is_below_50_kb(subjects: int, datasets: int) -> None:
    counts = _availability(subjects, datasets)  # nothing repeats: the worst case for run lengths
    shown = card("Study", matrix(counts, row_label="subjects", column_label="datasets"), table(counts))
    assert len(shown.encode()) < 50_000


def test_the_picture_tells_the_true_totals() -> None:
    counts = pd.DataFrame({"ct": [0, 1, 2], "rna": [np.nan, 0, 5]}, index=["P01", "P02", "P03"])
    for max_rows in (10, 1):
        shown = matrix(counts, row_label="subjects", column_label="datasets", max_rows=max_rows)
        assert 'aria-label="3 subjects by 2 datasets: ct 2, rna 1"' in shown


def test_a_missing_count_is_not_drawn_as_none() -> None:
    shown = matrix(pd.DataFrame({"ct": [np.nan]}, index=["P01"]), row_label="subjects", column_label="datasets")
    assert 'class="lx"' in shown
    assert 'class="l0"' not in shown


def test_a_grid_has_one_mark_per_cell_and_strips_cover_every_subject_once() -> None:
    grid = matrix(_availability(30, 4), row_label="subjects", column_label="datasets")
    assert len(re.findall(r"M\d+ \d+v15", grid)) == 30 * 4
    strips = matrix(_availability(300, 4), row_label="subjects", column_label="datasets")
    widths = [float(width) for width in re.findall(r"M[\d.]+ \d+h([\d.]+)", strips)]
    assert sum(widths) == pytest.approx(4 * 560, rel=0.01)


def test_numbers_of_any_length_are_written() -> None:
    shown = matrix(pd.DataFrame([[2, 3, 12, 1]]), row_label="subjects", column_label="datasets")
    assert re.findall(r'class="k"[^>]*>(\d+)<', shown) == ["23", "12"]


def test_an_empty_study_is_said_in_words() -> None:
    assert matrix(pd.DataFrame(), row_label="subjects", column_label="datasets") == (
        '<span class="mu">no subjects or no datasets</span>'
    )


def test_cards_have_no_ids_no_scripts_and_every_svg_a_viewbox() -> None:
    shown = card("Study", matrix(_availability(50, 5), row_label="subjects", column_label="datasets"))
    assert " id=" not in shown
    assert "<script" not in shown
    assert shown.count("<svg") == shown.count("viewBox=") == 1


def test_the_same_object_shows_the_same_html() -> None:
    first, second = (
        card("S", matrix(_availability(60, 5), row_label="a", column_label="b"), table(_availability(5, 5)))
        for _ in range(2)
    )
    assert first == second
    assert isinstance(first, Html)
