"""Patterns known to hang a backtracking matcher are refused; those of real studies are not, and stay fast."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.errors import IdentityError
from integrate.model.identity import IdRule
from integrate.model.pattern import LONGEST_TEXT, SlowPatternError, compile_pattern, match_whole

#: From OWASP, the CVEs of several packages, and variations that a simpler rule would miss.
SLOW = [
    r"(a+)+b",
    r"(a*)*b",
    r"(a|a)*b",
    r"(a|aa)+b",
    r"(aa|aa)*b",
    r"(?:a|b|ab)*c",
    r"(.*a){20}",
    r"(.*a){11}",
    r"([a-zA-Z]+)*b",
    r"(\w+\s?)*$",
    r"(\s|\w|\s\w)+x",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}$",
    r"(([^/]+/?)*)x",
    r"(x(a?)?)*b",
    r"(a?){25}a{25}",
    r"(?:a?a?){12}b",
    r".*.*.*.*x",
    r"\d*\d*\d*\d*b",
    r"\s*,?\s*\s*\s*x",
    r"(?i)(?:k|K|kk)*x",
    r"(?:a(?=b))*",
    r"(a)\1",
    r"(?:){1000000000}",
    r"((a{1000}){1000}){1000}",
    r"[^\x00-\x7f]*é*[é-ê]*[ê-ë]*é*b",
    r"(?:(?:a{0,3}){0,3}){0,3}b",
    "(" * 240 + "a" + ")" * 240,
    "a" * 501,
]
FAST = [
    r"sim(\d{3,})_s(\d)",
    r"Point(\d+)_pt(\d+)_(\d+)(?:_Normal)?",
    r"((TCGA-\w{2}-\w{4})-\d{2}[A-Z])-\d{2}-(DX\w+)\..+",
    r"(TCGA-\w{2}-\w{4})-(\d{2}[A-Z])-\d{2}[A-Z]?-\w{4}-\d{2}",
    r"(?s)(.+)",
    r".*_(\d+)_.*",
    r"(.*)_(.*)_(.*)",
    r"(.+?)[ _-]+(\d+).*",
    r"[A-Za-z0-9_.-]{1,100}",
    r"-?[0-9]{1,18}(\.[0-9]{1,18})?",
    r"(?:[A-Z]{2,4}-)*\d+",
    r"(?i)patient[ _-]?(\d+)",
    r"(?P<well>[A-P]\d\d)f(?P<field>\d+)d(?P<channel>\d)",
    r"MB[-_]?0*([1-9]\d*)",
    r"(?:sub-)?([a-z0-9]+)(?:_ses-([a-z0-9]+))?(?:_run-(\d+))?_?.*",
]
WORDS = ["a", "b", "ab", "x", "aab", "a_", "1", "a1", "_", "-", "ses-a_", "é", "kK"]


def seconds_at_worst(compiled: re.Pattern[str]) -> float:
    worst = 0.0
    for first, second in itertools.product(WORDS, WORDS):
        for text in ((first * LONGEST_TEXT)[: LONGEST_TEXT - 1] + "!", (first + second) * 90 + "!"):
            start = time.process_time()
            compiled.fullmatch(text[:LONGEST_TEXT])
            worst = max(worst, time.process_time() - start)
    return worst


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_that_some_text_makes_slow_is_refused_at_once(pattern: str) -> None:
    start = time.process_time()
    with pytest.raises(SlowPatternError, match=r"slow without end|separator|not allowed|nested too deep|at most"):
        compile_pattern(pattern)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("pattern", FAST)
def test_patterns_of_real_studies_are_used_and_stay_fast(pattern: str) -> None:
    start = time.process_time()
    compiled = compile_pattern(pattern)
    assert time.process_time() - start < 1
    assert seconds_at_worst(compiled) < 1


def test_a_text_longer_than_any_id_is_not_matched() -> None:
    assert match_whole(r"a+", "a" * LONGEST_TEXT)
    assert match_whole(r"a+", "a" * (LONGEST_TEXT + 1)) is None
    assert IdRule("n", r"(a+)", {"subject_id": r"\1"}).resolve("a" * (LONGEST_TEXT + 1)) is None


def test_a_rule_says_what_is_wrong_with_its_pattern() -> None:
    with pytest.raises(IdentityError, match=r"rule 'slide': .* without a repetition inside a repetition"):
        IdRule("slide", r"(\w+)*", {"subject_id": r"\1"})
    with pytest.raises(re.error, match="unterminated"):
        compile_pattern("(")


ATOM = st.sampled_from(["a", "b", ".", r"\w", r"\d", "[ab]", "[^a]", "1", "_"])
PATTERN: st.SearchStrategy[str] = st.recursive(
    ATOM,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["*", "+", "?", "*?", "{2,}", "{0,3}", "{2}"])),
    ),
    max_leaves=7,
)


@settings(max_examples=150, deadline=None)
@given(PATTERN)
def test_whatever_is_allowed_stays_fast(pattern: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except SlowPatternError:
        return
    for word in ("a", "b", "ab", "1", "a1", "_a", "aab", "é"):
        start = time.process_time()
        compiled.fullmatch((word * LONGEST_TEXT)[: LONGEST_TEXT - 1] + "\n")
        assert time.process_time() - start < 2
