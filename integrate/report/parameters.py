"""The parameters of a notebook: plain constants in the cell tagged ``parameters``, read without running anything."""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import ParameterError, ReportError, closest

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["Parameter", "check_parameters", "inject_parameters", "notebook_parameters", "without_run"]

TAG: Final = "parameters"
INJECTED_TAG: Final = "injected-parameters"

_KINDS: Final[dict[str, type]] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "list": list,
    "None": type(None),
}
_TRUTHS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter a notebook declares.

    Parameters
    ----------
    name
        Its name in the notebook.
    default
        The constant in the notebook.
    kinds
        Names of the types a value may have; empty when the default is ``None`` and nothing else is declared.
    item
        Name of the type of a list's items, empty when any will do.
    """

    name: str
    default: Any
    kinds: tuple[str, ...]
    item: str = ""

    def convert(self, value: Any) -> Any:
        """Return `value` as the declared type; text, as a command line gives it, is read as that type.

        Raises
        ------
        ParameterError
            If it is of another type, or a number that is not finite.

        Examples
        --------
        >>> Parameter("n", 5, ("int",)).convert("3")
        3
        >>> Parameter("ids", ["P01"], ("list",), "str").convert("P02,P03")
        ['P02', 'P03']
        """
        plain = _plain(value)
        kinds = self.kinds or (("str", "None") if isinstance(plain, str) else tuple(_KINDS))
        for kind in sorted(kinds, key=lambda kind: kind == "str"):  # a text that reads as a number is the number
            try:
                return _as_kind(plain, kind, self.item)
            except ValueError:
                continue
        expected = " or ".join(f"list of {self.item}" if k == "list" and self.item else k for k in kinds)
        raise ParameterError(
            f"parameter {self.name!r}: found {value!r} ({type(value).__name__}), expected {expected}, "
            f"such as {self.default!r}"
        )


def notebook_parameters(notebook: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return what a notebook may be asked, in the order it declares it.

    Parameters
    ----------
    notebook
        A notebook as `nbformat.read` gives it, or parsed as JSON with one text as each source; it is not run.

    Returns
    -------
    Parameters by name; empty when no cell is tagged ``parameters``. A type may be widened by an annotation, for
    example ``subject: str | None = None``; without one the constant itself says the type.

    Raises
    ------
    ReportError
        If several cells carry the tag, or the cell holds anything but plain constants.
    """
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and TAG in _tags(cell)]
    if len(cells) > 1:
        raise ReportError(f"{len(cells)} cells are tagged {TAG!r}; keep the tag on one")
    return {parameter.name: parameter for cell in cells for parameter in _declared(cell["source"])}


def check_parameters(declared: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every given parameter as its declared type.

    Raises
    ------
    ParameterError
        Once, listing every unknown name with the closest known one and every value of a wrong type.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in given.items():
        if name not in declared:
            problems.append(f"no parameter {name!r} in the notebook; {closest(name, declared)}")
            continue
        try:
            values[name] = declared[name].convert(value)
        except ParameterError as error:
            problems.append(str(error))
    if problems:
        raise ParameterError("\n".join(problems))
    return values


def inject_parameters(notebook: NotebookNode, values: Mapping[str, Any]) -> NotebookNode:
    """Return a copy of a notebook that sets `values` in a cell of its own, right after the declared defaults.

    A cell that an earlier run injected is dropped. Only constants are written, so a value can never become code.
    """
    import copy

    from nbformat.v4 import new_code_cell

    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if INJECTED_TAG not in _tags(cell)]
    if values:
        lines = [f"{name} = {ast.unparse(_constant(value))}" for name, value in values.items()]
        place = next(i for i, cell in enumerate(notebook.cells) if TAG in _tags(cell)) + 1
        cell = new_code_cell("\n".join(lines), id=INJECTED_TAG, metadata={"tags": [INJECTED_TAG]})  # type: ignore[no-untyped-call]
        notebook.cells.insert(place, cell)
    return notebook


def without_run(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of an executed notebook as its author wrote it: no injected cell, no outputs."""
    import copy

    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if INJECTED_TAG not in _tags(cell)]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def _declared(source: str) -> Iterator[Parameter]:
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ReportError(f"the {TAG!r} cell is not plain Python: line {error.lineno}: {error.msg}") from error
    for node in body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                continue
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield _parameter(name, value, None, node)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value, annotation=annotation):
                yield _parameter(name, value, annotation, node)
            case _:
                raise ReportError(_not_plain(node))


def _parameter(name: str, value: ast.expr, annotation: ast.expr | None, node: ast.stmt) -> Parameter:
    try:
        default = ast.literal_eval(value)
    except ValueError as error:
        raise ReportError(_not_plain(node)) from error
    if type(default) not in _KINDS.values():
        raise ReportError(_not_plain(node))
    if annotation is None:
        kinds: tuple[str, ...] = () if default is None else (type(default).__name__,)
        item = _item_kind(default) if isinstance(default, list) else ""
    else:
        kinds, item = _annotated(annotation, node)
    return Parameter(name, default, kinds, item if item in _KINDS else "")


def _item_kind(values: list[Any]) -> str:
    """Return the one type of a list's items; empty when there is none or they differ."""
    names = {type(value).__name__ for value in values}
    return "float" if names == {"int", "float"} else names.pop() if len(names) == 1 else ""


def _annotated(annotation: ast.expr, node: ast.stmt) -> tuple[tuple[str, ...], str]:
    names = [part.strip() for part in ast.unparse(annotation).split("|")]
    item = next((name[5:-1] for name in names if name.startswith("list[") and name.endswith("]")), "")
    kinds = tuple(name.partition("[")[0] for name in names)
    if not set(kinds) <= set(_KINDS):
        raise ReportError(f"{_not_plain(node)}; annotations are built from {', '.join(_KINDS)} and '|'")
    return kinds, item


def _not_plain(node: ast.stmt) -> str:
    return (
        f"line {node.lineno} of the {TAG!r} cell is `{ast.unparse(node)}`; expected `name = constant` with an int, "
        "float, bool, str, list or None; move everything else to a cell below"
    )


def _plain(value: Any) -> Any:
    """Return a path as text and a numpy number as Python's."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, tuple):
        return list(value)
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def _as_kind(value: Any, kind: str, item: str) -> Any:
    """Return `value` as one type, or raise ValueError."""
    if isinstance(value, str) and kind != "str":
        return _from_text(value, kind, item)
    if kind == "list" and isinstance(value, list):
        return [_as_item(part, item) for part in value]
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not _KINDS.get(kind) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError
    return value


def _from_text(text: str, kind: str, item: str) -> Any:
    match kind:
        case "int":
            return int(text)
        case "float":
            return _as_kind(float(text), "float", "")
        case "bool" if text.strip().lower() in _TRUTHS:
            return _TRUTHS[text.strip().lower()]
        case "None" if text.strip() == "None":
            return None
        case "list":
            return [_as_item(part, item) for part in _split(text)]
    raise ValueError


def _as_item(value: Any, item: str) -> Any:
    """Return one item of a list as its declared type, or as the constant it is."""
    return _as_kind(_plain(value), item or type(_plain(value)).__name__, "")


def _split(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        try:
            return list(ast.literal_eval(text.strip()))
        except SyntaxError as error:
            raise ValueError from error
    return [part.strip() for part in text.split(",") if part.strip()]


def _constant(value: Any) -> ast.expr:
    """Return the syntax of a constant; checked once more because it is about to be run."""
    expression = ast.parse(repr(value), mode="eval").body
    if ast.literal_eval(expression) != value:
        raise ParameterError(f"{value!r} cannot be written as a constant")
    return expression
