"""The veil over what the kernel of a run shows: tables and drawings without raw spellings, before they are written.

Only what is shown changes. What a cell computes with is as the sources have it, so a report and a notebook that
somebody runs by hand give the same numbers.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from integrate.model.mask import Mask, current_mask

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["drawn_texts", "install", "is_named", "mask_frame"]

_TEXT: Final = "matplotlib.text"
_FRAME: Final = ("pandas.core.frame", "DataFrame")
_SERIES: Final = ("pandas.core.series", "Series")
_STYLER: Final = ("pandas.io.formats.style", "Styler")
_FIGURE: Final = ("matplotlib.figure", "Figure")


def install(shell: Any) -> None:
    """Let a kernel show tables and figures masked from now on.

    Parameters
    ----------
    shell
        The kernel's IPython shell.
    """
    from integrate.report.openers import after_import

    formatter = shell.display_formatter
    told = formatter.format

    @functools.wraps(told)
    def format_masked(shown: Any, *arguments: Any, **options: Any) -> Any:
        return told(_veiled(shown), *arguments, **options)

    formatter.format = format_masked
    after_import({_TEXT: _wrap_texts})


def _veiled(shown: Any) -> Any:
    """Return what stands for an object on the page: a masked copy of a table, anything else itself."""
    mask = current_mask()
    kinds = kinds_of(shown) if mask else set()
    if _FRAME in kinds:
        return mask_frame(shown, mask)
    if _SERIES in kinds:
        column = mask_frame(shown.to_frame("" if shown.name is None else shown.name), mask).iloc[:, 0]
        return column.rename(None if shown.name is None else mask.cell(shown.name))
    if _STYLER in kinds:  # its style is lost where a cell of it is masked
        before = mask.places
        masked: Any = mask_frame(shown.data, mask)
        return masked if mask.places > before else shown
    if _FIGURE in kinds:
        for text in _texts(shown):
            text.set_text(text.get_text())
    return shown


def kinds_of(shown: Any) -> set[tuple[str, str]]:
    """Return module and name of every class an object is of; nothing is imported for it."""
    return {(kind.__module__, kind.__name__) for kind in type(shown).__mro__}


def _wrap_texts(module: ModuleType) -> None:
    """Let every text of a drawing be set masked: titles, labels, and the ticks that are only known when it is drawn."""
    kind: Any = vars(module)["Text"]
    set_text = kind.set_text

    @functools.wraps(set_text)
    def set_masked(self: Any, s: Any) -> Any:
        return set_text(self, current_mask().text(s) if isinstance(s, str) else s)

    kind.set_text = set_masked


def drawn_texts(figure: Any) -> list[str]:
    """Return every text a figure shows, each once."""
    return sorted({str(text.get_text()) for text in _texts(figure) if text.get_visible()} - {""})


def _texts(figure: Any) -> list[Any]:
    from matplotlib.text import Text

    return list(figure.findobj(Text))


def mask_frame(frame: pd.DataFrame, mask: Mask) -> pd.DataFrame:
    """Return a table with every raw spelling replaced; the table itself when there is none.

    Parameters
    ----------
    frame
        Any table; it is not changed.
    mask
        Of the run. In a column that a catalog calls ids a spelling may be short or a number; in a column of text it is
        a whole cell or a word; a column of numbers holds ids when most of its different values are raw spellings.
    """
    masked = frame.copy(deep=False)
    for position, name in enumerate(frame.columns):
        values = _masked_values(frame.iloc[:, position], mask, named=is_named(name, mask))
        if values is not None:
            masked.isetitem(position, values)
    masked.index = _masked_index(frame.index, mask)
    masked.columns = _masked_index(frame.columns, mask)
    masked.attrs = mask.value(dict(frame.attrs))
    return masked


def is_named(name: object, mask: Mask) -> bool:
    """Say whether a column of this name holds ids, as a catalog or a study says."""
    return isinstance(name, str) and (name in mask.columns or name.startswith("id:"))


def _masked_values(values: Any, mask: Mask, *, named: bool) -> Any:
    """Return one column masked, ``None`` when nothing in it is raw; a spelling that is the same in all rows is one."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        renamed = _changes(values.cat.categories, mask, named=named)
        return values.astype(object).map(lambda value: renamed.get(value, value)) if renamed else None
    if values.dtype.kind in "iuf" and not named:
        named = mask.is_ids(values.dropna().unique())
        if not named:
            return None
    elif values.dtype.kind not in "iufO" and not pd.api.types.is_string_dtype(values.dtype):
        return None
    try:
        changes = _changes(values.unique(), mask, named=named)
    except TypeError:  # lists and mappings have no hash
        return values.map(lambda value: mask.value(value))
    return values.astype(object).map(lambda value: changes.get(value, value)) if changes else None


def _changes(values: Any, mask: Mask, *, named: bool) -> dict[Any, Any]:
    changed = {}
    for value in values:
        shown = mask.cell(value, whole=named)
        if shown is not value and shown != value:
            changed[value] = shown
    return changed


def _masked_index(index: Any, mask: Mask) -> Any:
    import pandas as pd

    if isinstance(index, pd.MultiIndex):
        levels = [_masked_index(level, mask) for level in index.levels]
        names = [mask.cell(name) for name in index.names]
        return index.set_levels(levels, verify_integrity=False).set_names(names)
    named = is_named(index.name, mask)
    if isinstance(index, pd.RangeIndex) or (
        index.dtype.kind not in "O" and not named and not mask.is_ids(index.unique())
    ):
        return index
    changes = _changes(index.unique(), mask, named=named or index.dtype.kind in "iuf")
    if not changes:
        return index
    return pd.Index([changes.get(value, value) for value in index], name=mask.cell(index.name), dtype=object)
