"""A bar that shows how far a long loop is, and stays away from logs."""

from __future__ import annotations

import pytest

from integrate.model.progress import follow


def test_a_bar_counts_what_is_done_and_names_where_to_watch(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(follow(iter("abc"), "reading", total=3, show=True, note="http://127.0.0.1:8787/status")) == list("abc")
    told = capsys.readouterr().err
    assert "reading: 100%" in told
    assert "3/3" in told
    assert "http://127.0.0.1:8787/status" in told


def test_a_log_gets_no_bar_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(follow([1, 2], "reading")) == [1, 2]
    assert list(follow([1, 2], "reading", show=False)) == [1, 2]
    assert capsys.readouterr().err == ""
