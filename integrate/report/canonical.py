"""An executed notebook without what differs from run to run: times, temporary paths, random ids, memory addresses.

Only marks that cannot be data are replaced: a random id is replaced where HTML uses it as an ``id``, never in the text
a reader sees, because the same 32 hex digits may be a checksum or a case id there.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["canonical_notebook"]

_WIDGET: Final = "application/vnd.jupyter.widget-view+json"
_KERNELSPEC: Final = {"display_name": "Python 3", "language": "python", "name": "python3"}

_ADDRESS = re.compile(r"(?<=\bat )0x[0-9a-f]{6,16}\b|(?<=\()0x[0-9a-f]{6,16}(?=\))")
# Both begin where a line or a word begins: tried at every place of a picture written as text, they would take minutes.
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?!\n)", re.MULTILINE)
_CELL_FILE = re.compile(r"(?<![^\s\"'<>()])[^\s\"'<>()]*ipykernel_\d+[/\\](\d+)\.py")
_TOKEN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}|T_[0-9a-f]{5}"
_ID_ATTRIBUTE = re.compile(rf"\bid\s*=\s*[\"']?[^\"'>]*?({_TOKEN})")
_MARKUP = re.compile(r"<style\b.*?</style\s*>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


def canonical_notebook(notebook: NotebookNode, *, folder: Path) -> NotebookNode:
    """Return a copy of an executed notebook that is the same for the same inputs.

    Parameters
    ----------
    notebook
        As executed.
    folder
        The temporary folder it ran in; its path becomes ``"."`` in outputs.

    Returns
    -------
    Notebook with the same cells, ids and execution counts. In each cell the text on stdout between two displays is
    one output and the text on stderr is one output at the end. Widgets are dropped, their static pictures stay.
    """
    notebook = copy.deepcopy(notebook)
    clean = _Cleaner(folder)
    language = notebook.metadata.get("language_info")
    notebook.metadata.clear()
    notebook.metadata.update(kernelspec=dict(_KERNELSPEC), **({"language_info": language} if language else {}))
    for cell in notebook.cells:
        for key in ("execution", "papermill"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = [clean.output(output) for output in _merged(cell.outputs) if not _is_only_widget(output)]
    return notebook


class _Cleaner:
    """Replacements that hold for a whole notebook: the same address becomes the same number everywhere."""

    def __init__(self, folder: Path) -> None:
        self._folders = sorted({str(folder), str(folder.resolve())}, key=len, reverse=True)
        self._addresses: dict[str, str] = {}
        self._tokens: dict[str, str] = {}

    def output(self, output: NotebookNode) -> NotebookNode:
        if "text" in output:
            output.text = _OVERWRITTEN.sub("", self._text(output.text))
        if "traceback" in output:
            output.traceback = [self._text(line) for line in output.traceback]
        if "data" in output:
            output.data.pop(_WIDGET, None)
            for kind, value in output.data.items():
                if isinstance(value, str) and kind not in ("image/png", "image/jpeg"):
                    text = self._text(value)
                    output.data[kind] = self._markup(text) if kind == "text/html" else text
        return output

    def _text(self, text: str) -> str:
        for folder in self._folders:
            text = text.replace(folder, ".")
        text = _CELL_FILE.sub(r"cell-\1.py", text)
        return _ADDRESS.sub(self._address, text)

    def _address(self, found: re.Match[str]) -> str:
        return self._addresses.setdefault(found[0], f"0x{len(self._addresses) + 1:012x}")

    def _markup(self, text: str) -> str:
        for token in _ID_ATTRIBUTE.findall(text):
            self._tokens.setdefault(token, _numbered(token, len(self._tokens) + 1))
        known = [token for token in self._tokens if token in text]
        if not known:
            return text
        pattern = re.compile("|".join(map(re.escape, known)))
        return _MARKUP.sub(lambda tag: pattern.sub(lambda token: self._tokens[token[0]], tag[0]), text)


def _is_only_widget(output: NotebookNode) -> bool:
    """Say whether nothing but a live widget was shown, such as a progress bar; its text is no use on a page."""
    kinds = set(output.get("data", {}))
    return _WIDGET in kinds and kinds <= {_WIDGET, "text/plain"}


def _numbered(token: str, number: int) -> str:
    if token.startswith("T_"):
        return f"T_{number:05x}"
    return f"00000000-0000-4000-8000-{number:012x}" if "-" in token else f"{number:032x}"


def _merged(outputs: Iterable[Any]) -> list[Any]:
    """Join stream pieces: how text is cut into messages, and how stdout and stderr interleave, is chance."""
    merged: list[Any] = []
    errors: list[Any] = []
    for output in outputs:
        stream = output.get("name") if output.output_type == "stream" else None
        last = errors[-1:] if stream == "stderr" else merged[-1:]
        if stream and last and last[0].get("name") == stream:
            last[0].text += output.text
        else:
            (errors if stream == "stderr" else merged).append(output)
    return merged + errors
