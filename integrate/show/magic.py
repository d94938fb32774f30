"""What ``%load_ext integrate`` brings to a notebook: pictures of SpatialData, AnnData and Intake objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from integrate.keys import ATTRS
from integrate.model.html import Html, badge, card, rows

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

#: Rows and names listed of anything; the rest is counted.
MAX_LISTED: Final = 40
MAX_NAMES: Final = 12


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Show SpatialData, AnnData and Intake objects as cards; IPython calls this for ``%load_ext integrate``.

    Parameters
    ----------
    shell
        The running IPython. Only its table of formatters is added to; the classes themselves stay as they are.

    Examples
    --------
    >>> from IPython.core.interactiveshell import InteractiveShell
    >>> shell = InteractiveShell()
    >>> shell.run_line_magic("load_ext", "integrate")
    >>> "IF" in shell.display_formatter.format(ig.datasets.toy_catalog().to_intake())[0]["text/html"]
    True
    """
    for module, name, draw in FORMATTERS:
        _html_of(shell).for_type_by_name(module, name, draw)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Show them as before; IPython calls this for ``%unload_ext integrate``.

    Parameters
    ----------
    shell
        The running IPython.

    Examples
    --------
    >>> from IPython.core.interactiveshell import InteractiveShell
    >>> shell = InteractiveShell()
    >>> shell.run_line_magic("load_ext", "integrate")
    >>> shell.run_line_magic("unload_ext", "integrate")
    """
    for module, name, _ in FORMATTERS:
        _html_of(shell).pop(f"{module}.{name}", None)


def _html_of(shell: InteractiveShell) -> Any:
    return shell.display_formatter.formatters["text/html"]  # type: ignore[union-attr]


def draw_spatialdata(sdata: Any) -> Html:
    """Return the elements of a SpatialData with their sizes, coordinate systems and what is known of them."""
    listed = [_element_row(sdata, kind, name, element) for kind, name, element in sdata.gen_elements()]
    shown = rows(
        ("element", "kind", "size", "channels or columns", "pixel", "coordinate systems", "held"), listed[:MAX_LISTED]
    )
    where = "in memory" if sdata.path is None else str(sdata.path)
    subtitle = f"{len(listed)} elements · {len(sdata.coordinate_systems)} coordinate systems · {where}"
    return card("SpatialData", shown, _more(len(listed), MAX_LISTED, "elements"), subtitle=subtitle)


def _element_row(sdata: Any, kind: str, name: str, element: Any) -> tuple[Any, ...]:
    from spatialdata.transformations import get_transformation

    notes = dict(sdata.attrs.get(ATTRS, {}).get(name) or {}) if isinstance(sdata.attrs.get(ATTRS), dict) else {}
    size = notes.get("pixel_size_um")
    pixel = "" if size is None else f"{size[1]:g} µm" if size[0] == size[1] else f"{size[0]:g} × {size[1]:g} µm"
    if kind == "tables":
        about = dict(element.uns.get("spatialdata_attrs") or {}).get("region", "")
        regions = about if isinstance(about, (list, tuple)) else [about]
        return (
            name,
            "table",
            f"{element.n_obs} × {element.n_vars}",
            _names(element.obs.columns),
            "",
            "",
            _names(regions),
        )
    spaces = _names(get_transformation(element, get_all=True))
    if hasattr(element, "subtree"):
        scales = list(element.children.values())
        finest = next(iter(scales[0].data_vars.values()))
        return name, kind[:-1], _size(finest), _channels(finest), pixel, spaces, f"{len(scales)} scales"
    if hasattr(element, "dims"):
        return name, kind[:-1], _size(element), _channels(element), pixel, spaces, _held(element.data)
    lazy = hasattr(element, "dask")
    count = "lazy" if lazy else f"{len(element)} rows"
    return name, kind[:-1], count, _names(element.columns), pixel, spaces, "lazy" if lazy else "in memory"


def draw_anndata(table: Any) -> Html:
    """Return what an AnnData holds: its size, columns with their kinds, layers, embeddings, and our notes."""
    matrix = "no X" if table.X is None else f"{type(table.X).__name__} {table.X.dtype}"
    described = [
        (
            column,
            str(table.obs[column].dtype),
            int(table.obs[column].isna().sum()),
            _names(table.obs[column].dropna().unique()[: MAX_NAMES + 1]),
        )
        for column in table.obs.columns[:MAX_LISTED]
    ]
    held = [(what, _names(getattr(table, what))) for what in ("layers", "obsm", "varm", "obsp", "varp", "uns")]
    held = [("var", _names(table.var_names)), ("columns of var", _names(table.var.columns)), *held]
    notes = dict(table.uns.get(ATTRS) or {}) if isinstance(table.uns.get(ATTRS), dict) else {}
    ids = " · ".join(f"{key} {value}" for key, value in dict(notes.get("ids") or {}).items())
    known = badge("provenance known", "ok") if notes.get("input_hash") or notes.get("origin") else ""
    return card(
        "AnnData",
        ids,
        known,
        rows(("obs column", "dtype", "missing", "values"), described),
        _more(table.obs.shape[1], MAX_LISTED, "columns"),
        rows(("", ""), [(what, names) for what, names in held if names]),
        subtitle=f"{table.n_obs} observations × {table.n_vars} variables · {matrix}",
    )


def draw_intake_catalog(catalog: Any) -> Html:
    """Return the entries of a plain Intake catalog; nothing is opened."""
    names = [str(name) for name in catalog.aliases] or [str(name) for name in catalog.entries]
    listed = [_intake_row(catalog, name) for name in names[:MAX_LISTED]]
    shown = rows(("dataset", "modality", "gives", "description"), listed)
    hint = "Plain Intake shows and reads this catalog as it is; ig.open_catalog checks it first."
    title = f"Intake catalog · {dict(catalog.metadata).get('name', '')}".rstrip(" ·")
    return card(title, shown, _more(len(names), MAX_LISTED, "datasets"), hint, subtitle=f"{len(names)} datasets")


def _intake_row(catalog: Any, name: str) -> tuple[str, str, str, str]:
    entry = catalog.entries[catalog.aliases.get(name, name)]
    said = dict(getattr(entry, "metadata", None) or {})
    gives = str(getattr(entry, "output_instance", "") or "")
    return name, str(said.get("modality", "")), gives, str(said.get("description", ""))


def draw_intake_entry(entry: Any) -> Html:
    """Return what an entry of an Intake catalog says of itself; nothing is opened."""
    said = dict(entry.metadata or {})
    facts = [("reader", str(entry.reader)), ("gives", str(entry.output_instance or "")), *_plain(said)]
    arguments = rows(("argument", "value"), _plain(entry.kwargs))
    parameters = rows(("parameter", "kind"), [(str(k), type(p).__name__) for k, p in entry.user_parameters.items()])
    return card(
        f"Intake entry · {said.get('description', '')}".rstrip(" ·"), rows(("", ""), facts), parameters, arguments
    )


def _plain(values: Any) -> list[tuple[str, str]]:
    return [(str(key), str(value)) for key, value in list(dict(values).items())[:MAX_LISTED]]


def draw_intake_reader(reader: Any) -> Html:
    """Return what an Intake reader would read; nothing is opened."""
    said = dict(getattr(reader, "metadata", None) or {})
    facts = [("gives", str(reader.output_instance or "")), *_plain(said)]
    arguments = rows(("argument", "value"), _plain(reader.kwargs))
    return card(f"Intake reader · {type(reader).__name__}", rows(("", ""), facts), arguments)


def _size(array: Any) -> str:
    return " × ".join(f"{axis} {n}" for axis, n in zip(array.dims, array.shape, strict=True))


def _channels(array: Any) -> str:
    return _names(array.coords["c"].values) if "c" in array.coords else str(array.dtype)


def _held(data: Any) -> str:
    return "lazy" if hasattr(data, "dask") else "in memory"


def _names(names: Any) -> str:
    listed = [str(name) for name in list(names)[: MAX_NAMES + 1]]
    total = len(names)
    return ", ".join(listed[:MAX_NAMES]) + (f" … {total - MAX_NAMES} more" if total > MAX_NAMES else "")


def _more(total: int, limit: int, what: str) -> str:
    return f"… and {total - limit} more {what}" if total > limit else ""


#: Module and name of each class, so that nothing is imported before a notebook has such an object.
FORMATTERS: Final[tuple[tuple[str, str, Callable[[Any], Html]], ...]] = (
    ("spatialdata._core.spatialdata", "SpatialData", draw_spatialdata),
    ("anndata._core.anndata", "AnnData", draw_anndata),
    ("intake.readers.entry", "Catalog", draw_intake_catalog),
    ("intake.readers.entry", "ReaderDescription", draw_intake_entry),
    ("intake.readers.readers", "BaseReader", draw_intake_reader),
)
