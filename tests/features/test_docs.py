"""The page of the docs runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def test_the_code_of_the_page_runs_in_order(repository: Path) -> None:
    page = (repository / "docs" / "measure.md").read_text("utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "measure.md", "exec"), names)
    cells, counts = names["cells"], names["counts"]
    assert cells.n_obs == names["more"].n_obs > 20
    assert counts.X.sum() + counts.var["n_unassigned"].sum() == 5000
    assert names["contacts"].n_obs == names["ripley"].n_obs == 1
    assert not names["ripley"].to_df().isna().any(axis=None)
