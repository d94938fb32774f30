"""The page of the docs runs, and says what the benchmark says."""

from __future__ import annotations

import re
from pathlib import Path


def test_the_code_of_the_page_runs_in_order(repository: Path) -> None:
    page = (repository / "docs" / "radiomics.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "radiomics.md", "exec"), names)
    assert names["lesions"].n_obs == 1  # type: ignore[attr-defined]
