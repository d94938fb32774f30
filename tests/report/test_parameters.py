"""Parameters of a notebook: read without running it, typed, and never able to become code."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from integrate.errors import ParameterError, ReportError
from integrate.report.parameters import check_parameters, inject_parameters, notebook_parameters

CELL = '''"""What to ask."""
subjects = 24
threshold = -0.5
name = "demo"
fast = True
ids = ["P01", "P02"]
limit: int | None = None
anything = None'''


def _notebook(*sources: str, tag: str = "parameters") -> NotebookNode:
    cells = [new_code_cell(source, metadata={"tags": [tag]} if i == 0 else {}) for i, source in enumerate(sources)]
    return new_notebook(cells=cells)


def _convert(**given: Any) -> dict[str, Any]:
    return check_parameters(notebook_parameters(_notebook(CELL)), given)


def test_defaults_are_read_in_order_without_running_the_cell() -> None:
    declared = notebook_parameters(_notebook(CELL, "raise SystemExit"))
    assert {name: p.default for name, p in declared.items()} == {
        "subjects": 24,
        "threshold": -0.5,
        "name": "demo",
        "fast": True,
        "ids": ["P01", "P02"],
        "limit": None,
        "anything": None,
    }


def test_a_notebook_without_the_tag_has_no_parameters() -> None:
    assert notebook_parameters(_notebook("x = 1", tag="other")) == {}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("subjects", "3", 3),
        ("threshold", "3", 3.0),
        ("threshold", "1e-3", 0.001),
        ("name", "3", "3"),
        ("name", "007", "007"),
        ("name", "None", "None"),
        ("fast", "no", False),
        ("fast", "True", True),
        ("ids", "P03,P04", ["P03", "P04"]),
        ("ids", "['P03']", ["P03"]),
        ("limit", "None", None),
        ("limit", "12", 12),
        ("anything", "12", "12"),
        ("anything", "None", None),
    ],
)
def test_text_from_a_command_line_becomes_the_declared_type(name: str, text: str, value: object) -> None:
    found = _convert(**{name: text})[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("subjects", "many", "expected int"),
        ("subjects", "3.5", "expected int"),
        ("subjects", 2.5, "expected int"),
        ("subjects", True, "expected int"),
        ("threshold", float("nan"), "expected float"),
        ("threshold", "inf", "expected float"),
        ("name", 3, "expected str"),
        ("name", None, "expected str"),
        ("fast", "perhaps", "expected bool"),
        ("fast", 1, "expected bool"),
        ("ids", [1, 2], "expected list of str"),
        ("limit", "few", "expected int or None"),
        ("anything", object(), "expected int or float or bool"),
        ("anything", [object()], "expected int or float or bool"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_was_expected(name: str, value: object, expected: str) -> None:
    with pytest.raises(ParameterError, match=f"parameter '{name}': found .*{expected}"):
        _convert(**{name: value})


def test_every_problem_is_listed_at_once_with_the_closest_name() -> None:
    with pytest.raises(ParameterError, match=r"no parameter 'subject' .*closest: 'subjects'\n.*'fast'"):
        _convert(subject="P01", fast="perhaps")


@pytest.mark.parametrize(
    "line", ["x = f()", "x = [y]", "import os", "x, y = 1, 2", "x = y = 1", "x: int", "x: Path = 'a'", "x = {'a': 1}"]
)
def test_anything_but_plain_constants_is_refused(line: str) -> None:
    with pytest.raises(ReportError, match="line 2 of the 'parameters' cell"):
        notebook_parameters(_notebook(f"a = 1\n{line}"))


def test_a_magic_is_not_plain_python() -> None:
    with pytest.raises(ReportError, match="not plain Python: line 1"):
        notebook_parameters(_notebook("%matplotlib inline"))


def test_two_parameter_cells_are_refused() -> None:
    notebook = new_notebook(cells=[new_code_cell("a = 1", metadata={"tags": ["parameters"]}) for _ in range(2)])
    with pytest.raises(ReportError, match="2 cells are tagged"):
        notebook_parameters(notebook)


def test_values_are_injected_after_the_defaults_and_replace_an_earlier_injection() -> None:
    once = inject_parameters(_notebook("a = 1", "print(a)"), {"a": 2})
    twice = inject_parameters(once, {"a": 3})
    assert [cell.source for cell in twice.cells] == ["a = 1", "a = 3", "print(a)"]
    assert twice.cells[1].metadata.tags == ["injected-parameters"]
    assert [cell.source for cell in inject_parameters(twice, {}).cells] == ["a = 1", "print(a)"]


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


@given(st.one_of(_scalars, st.lists(_scalars)))
def test_an_injected_value_is_the_value_and_nothing_else(value: object) -> None:
    source = inject_parameters(_notebook("a = 1"), {"a": value}).cells[1].source
    (statement,) = ast.parse(source).body
    assert isinstance(statement, ast.Assign)
    assert ast.literal_eval(statement.value) == value
