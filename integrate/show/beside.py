"""Answers to the browser while a cell runs, so that images can be looked at beside a long calculation."""

from __future__ import annotations

import anywidget

__all__ = ["answer_beside_cells"]


def answer_beside_cells(widget: anywidget.AnyWidget) -> None:
    """Let what the browser says to a widget be handled by the thread it is addressed to, even while a cell runs.

    JupyterLab addresses the messages of widgets to a second thread of the kernel (a subshell, JEP 91), which is free
    while a cell runs. Since 7.4 ipykernel gives them to the thread that last spoke through the same comm instead; for
    a widget that a cell made, changed or asked for a picture this is the main one, which is busy with that cell or,
    after "Run All Cells", with all that follow. Kernels without this rule are left as they are.

    Parameters
    ----------
    widget
        One whose message handlers may run in another thread than the cells.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _, addressed: addressed
