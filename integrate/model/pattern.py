"""A pattern written by a stranger: a regular expression that is used only when no text can make it slow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]  # nothing else knows how Python reads a pattern
from typing import Any

from integrate.errors import IntegrateError

__all__ = ["LONGEST_TEXT", "SlowPatternError", "compile_pattern", "match_whole"]

LONGEST_PATTERN = 500
#: Ids, names and paths are shorter; a longer text is never matched.
LONGEST_TEXT = 500
#: Letters and classes of a pattern, repetitions written out, and steps from one to the next.
MOST_PLACES, MOST_STEPS = 300, 1500
#: Ways through a pattern that one text may open: two wide repetitions that overlap are below it, three are not.
MOST_WAYS = 4 * LONGEST_TEXT**2
#: Characters in which classes differ, beside those that a pattern names itself.
PROBES = frozenset({*map(chr, range(128)), *"éΩ٣漢¼\N{NO-BREAK SPACE}\N{COMBINING ACUTE ACCENT}"})
MOST_IN_RANGE = 1000
CATEGORIES: dict[str, str] = {
    **{"CATEGORY_DIGIT": r"\d", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_SPACE": r"\s", "CATEGORY_NOT_SPACE": r"\S"},
    **{"CATEGORY_WORD": r"\w", "CATEGORY_NOT_WORD": r"\W"},
}


class SlowPatternError(IntegrateError):
    """A regular expression that some text could keep busy for ages, or that cannot be judged."""


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""Return a compiled pattern, after finding that no text of `LONGEST_TEXT` characters makes it slow.

    Parameters
    ----------
    pattern
        A regular expression without look-around and back references.

    Raises
    ------
    SlowPatternError
        If the ways in which it can read one text may multiply, as in ``(a+)+``, or it is too large to judge.
    re.error
        If it is no regular expression.

    Notes
    -----
    A pattern becomes the automaton of its places (Glushkov 1961). A backtracking matcher may try every way through it,
    so the ways are counted: inside a loop there must be one for any text (no exponential ambiguity, Weber and Seidl
    1991); outside they are summed, and a loop that overlaps with what follows counts once per character.

    Examples
    --------
    >>> compile_pattern(r"sim(\d{3,})_s(\d)").fullmatch("sim007_s1").groups()
    ('007', '1')
    """
    if len(pattern) > LONGEST_PATTERN:
        raise SlowPatternError(f"a pattern of {len(pattern)} characters; at most {LONGEST_PATTERN}")
    try:
        compiled = re.compile(pattern)
        automaton = _Automaton(_parser.parse(pattern), compiled.flags)
    except (RecursionError, OverflowError) as error:
        raise SlowPatternError(f"{pattern!r} is nested too deep, or repeats too often, to be judged") from error
    except SlowPatternError as error:
        raise SlowPatternError(f"{pattern!r} is not allowed: {error}") from None
    if automaton.has_ambiguous_loop():
        raise SlowPatternError(
            f"{pattern!r} repeats something that can be read in several ways, which some text makes slow without end; "
            "write it without a repetition inside a repetition"
        )
    if automaton.count_ways() > MOST_WAYS:
        raise SlowPatternError(
            f"{pattern!r} has too many neighbouring repetitions or options that accept the same characters; put a "
            "separator between them that they do not accept"
        )
    return compiled


def match_whole(pattern: str, text: str) -> re.Match[str] | None:
    """Return the match of a whole text, ``None`` when it does not match or is longer than `LONGEST_TEXT`.

    Raises
    ------
    SlowPatternError
        If the pattern is not safe to use.
    """
    return None if len(text) > LONGEST_TEXT else compile_pattern(pattern).fullmatch(text)


@dataclass(frozen=True)
class _Part:
    """A piece of a pattern: the places it may begin and end with, and whether it may be empty."""

    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    empty: bool = True


class _Automaton:
    """The places of a pattern, the characters each accepts (as bits), and which place may follow which."""

    def __init__(self, tree: Any, flags: int) -> None:
        self.accepts: list[int] = []
        self.follows: list[list[int]] = []
        self._steps = 0
        self._known: dict[str, int] = {}
        self._flags = flags & re.ASCII
        self._any_case = "i" if flags & re.IGNORECASE or "IGNORECASE" in repr(tree) else ""
        self._probes = sorted(PROBES | {case for one in _named(tree) for case in self._cases(one)})
        self.start = self._sequence(tree).first
        self.loops = _strong_components(self.follows)

    def has_ambiguous_loop(self) -> bool:
        """Return whether one text leads from a place back to it in two ways."""
        inner = [[b for b in after if self.loops[b] == self.loops[a]] for a, after in enumerate(self.follows)]
        if any(len(after) != len(set(after)) for after in inner):  # one step that two repetitions make
            return True
        places = range(len(self.follows))
        pairs = {(p, q): number for number, (p, q) in enumerate((p, q) for p in places for q in places
                                                               if self.loops[p] == self.loops[q])}  # fmt: skip
        steps = [
            [pairs[a, b] for a in inner[p] for b in inner[q] if self.accepts[a] & self.accepts[b]] for p, q in pairs
        ]
        joined = _strong_components(steps)
        together = {joined[pairs[p, p]] for p in places}
        return any(p != q and joined[number] in together for (p, q), number in pairs.items())

    def count_ways(self) -> int:
        """Return an upper bound of the ways in which one text of the greatest length can be read, in part or whole."""
        members: dict[int, list[int]] = {}
        for place, loop in enumerate(self.loops):
            members.setdefault(loop, []).append(place)
        ways: dict[int, int] = {}
        for loop in sorted(members):  # numbered after all that can follow it
            steps = [one for place in members[loop] for one in self.follows[place]]
            leaves = [one for one in steps if self.loops[one] != loop]
            stays = 0
            for one in steps:
                stays |= self.accepts[one] if self.loops[one] == loop else 0
            opened = self._opened(leaves, ways)
            # A character that can also stay in the loop may leave it anywhere, another one only once.
            anywhere = max((count for number, count in enumerate(opened) if stays >> number & 1), default=0)
            ways[loop] = 1 + LONGEST_TEXT * len(members[loop]) * anywhere + max(opened)
        return max(self._opened(self.start, ways))

    def _opened(self, places: Iterable[int], ways: dict[int, int]) -> list[int]:
        """Return the ways that each next character opens."""
        opened = [0] * len(self._probes)
        for place in places:
            for number in range(len(opened)):
                if self.accepts[place] >> number & 1:
                    opened[number] += ways[self.loops[place]]
        return opened

    def _sequence(self, tree: Any) -> _Part:
        whole = _Part()
        for name, value in tree:
            whole = self._joined(whole, self._node(str(name), value))
        return whole

    def _node(self, name: str, value: Any) -> _Part:
        if name == "AT":
            return _Part()
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._place(name, value)
        if name in ("SUBPATTERN", "ATOMIC_GROUP"):
            return self._sequence(value[3] if name == "SUBPATTERN" else value)
        if name == "BRANCH":
            parts = [self._sequence(branch) for branch in value[1]]
            if sum(part.empty for part in parts) > 1:
                raise SlowPatternError("two of its alternatives may be empty")
            first, last = [p for part in parts for p in part.first], [p for part in parts for p in part.last]
            return _Part(first, last, empty=any(part.empty for part in parts))
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self._repeated(*value)
        raise SlowPatternError(f"{name.lower().replace('_', ' ')}: look-around and back references cannot be judged")

    def _place(self, name: str, value: Any) -> _Part:
        if len(self.accepts) >= MOST_PLACES:
            raise SlowPatternError(f"it has more than {MOST_PLACES} places when its repetitions are written out")
        told = f"{name} {value}"
        if told not in self._known:
            accepted = (any(self._is_accepted(name, value, case) for case in self._cases(one)) for one in self._probes)
            self._known[told] = sum(bit << number for number, bit in enumerate(accepted))
        if not self._known[told]:
            raise SlowPatternError("it holds a class that accepts none of the characters it is judged by")
        self.accepts.append(self._known[told])
        self.follows.append([])
        place = [len(self.accepts) - 1]
        return _Part(place, place, empty=False)

    def _is_accepted(self, name: str, value: Any, character: str) -> bool:
        if name == "ANY":
            return True
        if name == "IN":
            negated = str(value[0][0]) == "NEGATE"
            return any(_holds(str(kind), item, character, self._flags) for kind, item in value[negated:]) != negated
        return (ord(character) == value) == (name == "LITERAL")

    def _cases(self, character: str) -> set[str]:
        others = {character.lower(), character.upper()} if self._any_case else set()
        return {character, *(one for one in others if len(one) == 1)}

    def _joined(self, left: _Part, right: _Part) -> _Part:
        self._follow(left.last, right.first)
        first = left.first + (right.first if left.empty else [])
        last = right.last + (left.last if right.empty else [])
        return _Part(first, last, empty=left.empty and right.empty)

    def _follow(self, before: list[int], after: list[int]) -> None:
        self._steps += len(before) * len(after)
        if self._steps > MOST_STEPS:
            raise SlowPatternError(f"it has more than {MOST_STEPS} steps from one place to the next")
        for place in before:
            self.follows[place] += after

    def _repeated(self, least: int, most: Any, body: Any) -> _Part:
        """Write a repetition out: ``x{2,4}`` as ``xx(x(x)?)?``; what comes last in an unbounded one follows itself."""
        is_unbounded = most is _parser.MAXREPEAT
        copies = max(least, 1) if is_unbounded else int(most)
        whole = _Part()
        for number in reversed(range(copies)):
            part = self._sequence(body)
            if not part.first or (part.empty and (is_unbounded or number >= least)):
                raise SlowPatternError("it repeats something that may be empty")
            if is_unbounded and number == copies - 1:
                self._follow(part.last, part.first)
            whole = self._joined(part, whole)
            if number >= least:
                whole = _Part(whole.first, whole.last)
        return whole


def _holds(kind: str, item: Any, character: str, flags: int) -> bool:
    """Return whether one item of a class accepts a character."""
    if kind == "RANGE":
        return bool(item[0] <= ord(character) <= item[1])
    if kind == "CATEGORY":
        return re.fullmatch(CATEGORIES[str(item)], character, flags) is not None
    return bool(ord(character) == item)


def _named(tree: Any) -> Iterator[str]:
    """Yield every character that a pattern names, alone or in a range."""
    if isinstance(tree, tuple) and len(tree) == 2 and str(tree[0]) in ("LITERAL", "NOT_LITERAL"):
        yield chr(tree[1])
    elif isinstance(tree, tuple) and len(tree) == 2 and str(tree[0]) == "RANGE":
        low, high = tree[1]
        if high > 127 and high - low > MOST_IN_RANGE:
            raise SlowPatternError(f"a range of {high - low:,} characters; write \\w, \\S or shorter ranges")
        yield from map(chr, range(low, high + 1))
    elif isinstance(tree, (tuple, list, _parser.SubPattern)):
        for one in tree:
            yield from _named(one)


def _strong_components(follows: list[list[int]]) -> list[int]:
    """Return for every node the number of its strongly connected component; followers have smaller numbers (Tarjan)."""
    order, low, component = [-1] * len(follows), [0] * len(follows), [-1] * len(follows)
    waiting: list[int] = []
    seen = found = 0
    for root in range(len(follows)):
        trail = [(root, iter(follows[root]))] if order[root] < 0 else []
        while trail:
            node, after = trail[-1]
            if order[node] < 0:
                order[node] = low[node] = seen
                seen += 1
                waiting.append(node)
            for one in after:
                if order[one] < 0:
                    trail.append((one, iter(follows[one])))
                    break
                if component[one] < 0:
                    low[node] = min(low[node], order[one])
            else:
                trail.pop()
                if trail:
                    low[trail[-1][0]] = min(low[trail[-1][0]], low[node])
                if low[node] == order[node]:
                    while component[node] < 0:
                        component[waiting.pop()] = found
                    found += 1
    return component
