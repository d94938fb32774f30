"""Imports inside the package only look back along the data's walk."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

#: The walk, first to last; what shares a line may import each other. `testing` is for tests, so nothing imports it.
WALK = (
    ("errors", "keys"),
    ("model",),
    ("catalog",),
    ("readers",),
    ("prepare",),
    ("align",),
    ("features",),
    ("join",),
    ("analyse",),
    ("report",),
    ("show",),
    ("datasets",),
    ("integrate",),  # the root, which gathers the names of all before it
    ("cli",),
    ("testing",),
)
RANK = {layer: rank for rank, layers in enumerate(WALK) for layer in layers}


def imported_modules(tree: ast.Module, *, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of everything imported anywhere in a module, also inside functions and for types.

    `package` is the module's package, from which relative imports count.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "import_module"}:
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, name.value


def layer_of(module: str) -> str | None:
    """Return the layer of an imported name, the root for a name that is no layer, ``None`` for other packages."""
    first, _, rest = module.partition(".")
    if first != "integrate":
        return None
    name = rest.partition(".")[0]
    if name == "__version__":  # a fact about the package, not a name gathered from its rooms
        return WALK[0][0]
    return name if name in RANK else "integrate"


def forward_imports(package: Path) -> list[str]:
    """Return ``file:line: what`` for every import that looks ahead, and every module without a place in the walk."""
    found = []
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        if inside.as_posix() == "__init__.py":
            continue
        layer = inside.parts[0].removesuffix(".py")
        if layer not in RANK:
            found.append(f"{inside}: {layer!r} has no place in the walk; give it one in WALK")
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for line, module in imported_modules(tree, package=("integrate", *inside.parts[:-1])):
            target = layer_of(module)
            if target is not None and RANK[target] > RANK[layer]:
                found.append(f"{inside}:{line}: {layer} looks ahead to {module}")
    return found


def test_imports_only_look_back(repository: Path) -> None:
    assert not forward_imports(repository / "integrate")


@pytest.mark.parametrize(
    "source",
    [
        "from integrate.show import viewer",
        "import integrate.show.viewer",
        "from integrate import show",
        "from ..show import viewer",
        "from .. import show",
        "def later():\n    from integrate.show import viewer",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from integrate.show import Page",
        "import importlib\nimportlib.import_module('integrate.show.viewer')",
        "from integrate import measure",
        "import integrate as ig",
    ],
)
def test_a_planted_look_ahead_is_found(tmp_path: Path, source: str) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "planted.py").write_text(source, encoding="utf-8")
    (violation,) = forward_imports(tmp_path)
    assert "features looks ahead to integrate" in violation


@pytest.mark.parametrize(
    "source",
    [
        "from integrate.model.image import make_image",
        "from integrate.features.other import kernel",
        "from .other import kernel",
        "from integrate import errors",
        "from integrate import __version__",
        "import numpy, view",
    ],
)
def test_looking_back_or_beside_is_allowed(tmp_path: Path, source: str) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "planted.py").write_text(source, encoding="utf-8")
    assert forward_imports(tmp_path) == []


def test_a_module_outside_the_walk_is_found(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("", encoding="utf-8")
    assert forward_imports(tmp_path) == ["helpers.py: 'helpers' has no place in the walk; give it one in WALK"]
