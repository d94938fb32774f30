"""What every object shows of itself: small however much there is, escaped, readable in light, dark and narrow pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

import integrate as ig
from integrate.model.image import make_image

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"
LONG = "Glyceraldehyde3phosphatedehydrogenase_" * 8
ENTRY = """
  {name}:
    reader: "integrate.readers.table:Table"
    output_instance: "pandas:DataFrame"
    user_parameters: {{}}
    kwargs: {{url: "{{CATALOG_DIR}}/clinical.csv"{keys}}}
    metadata: {{description: "{description}", modality: clinical, level: subject, licence: CC0-1.0}}"""


def _catalog(folder: Path) -> Any:
    """Return a catalog of 100 tables of 400 people with 30 columns whose names and values are markup or endless."""
    people = pd.DataFrame({"subject": [f"P{i:04d}" for i in range(400)]})
    people[HOSTILE], people[LONG] = HOSTILE, LONG
    rest = pd.DataFrame(np.arange(400 * 27).reshape(400, 27), columns=[f"column {i}" for i in range(27)])
    pd.concat([people, rest], axis=1).to_csv(folder / "clinical.csv", index=False)
    texts = {f"table_{i}": HOSTILE if i % 2 else LONG for i in range(99)} | {"clinical": HOSTILE}
    keyed = {"clinical": ", keys: {subject: subject_id}"}  # the others are not read for the study
    entries = "".join(ENTRY.format(name=n, description=text, keys=keyed.get(n, "")) for n, text in texts.items())
    study = "{spine: {entry: clinical, key: subject}}"
    (folder / "catalog.yaml").write_text(
        f"version: 2\nmetadata: {{name: crowded, study: {study}}}\nuser_parameters: {{}}\ndata: {{}}\n"
        f"aliases: {{}}\nentries:{entries}\n"
    )
    return ig.open_catalog(folder / "catalog.yaml")


def _registration() -> Any:
    noise = np.random.default_rng(0).integers(0, 255, (1, 300, 300), dtype=np.uint8)
    image = make_image(noise, channels=["DNA"], pixel_size_um=(0.5, 0.5))
    corners = np.array([[0.0, 0.0], [90.0, 0.0], [0.0, 90.0]])
    moving, fixed = (ig.set_space(image, name=name) for name in (HOSTILE, "section"))
    return ig.register(moving, fixed, method=ig.LandmarkPairs(corners, corners))


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One of each kind of object that has a card, as large and as hostile as it can be."""
    catalog = _catalog(tmp_path_factory.mktemp("crowded"))
    study = ig.open_study(catalog)
    rng = np.random.default_rng(0)
    names = [HOSTILE, LONG, *(f"gene {i}" for i in range(3000))]
    rna = pd.DataFrame(rng.normal(size=(300, len(names))), columns=names)
    rna.insert(0, "subject_id", [f"P{i:04d}" for i in range(300)])
    strangers = rna[:200].assign(subject_id=[f"X{i}{HOSTILE}" for i in range(200)])
    given = pd.concat([rna, strangers], ignore_index=True)
    cohort = ig.link(study, unit="subject", clinical="clinical", unmatched="drop", rna=given)
    wide = anndata.AnnData(rna.iloc[:, 1:].to_numpy(), obs=rna[["subject_id"]].rename(columns={"subject_id": HOSTILE}))
    wide.var_names = names
    subject = ig.load_subject(ig.datasets.toy_study(), "P02")
    for i in range(200):
        subject[f"again_{i}"] = subject["fields_f2"]
    intake = catalog.to_intake()
    return {
        "catalog": catalog,
        "entry": catalog["clinical"],
        "study": study,
        "audit": study.audit,
        "alignment report": cohort.report,
        "registration report": _registration(),
        "cohort": cohort,
        "feature table": wide,
        "SpatialData": subject,
        "Intake catalog": intake,
        "Intake entry": next(iter(intake.entries.values())),
        "Intake reader": intake["clinical"],
    }


@pytest.fixture
def cards(things: dict[str, Any]) -> Iterator[dict[str, str]]:
    """What IPython shows of each, after `%load_ext integrate`."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "integrate")
    yield {name: str(shell.display_formatter.format(one)[0]["text/html"]) for name, one in things.items()}
    shell.run_line_magic("unload_ext", "integrate")
    InteractiveShell.clear_instance()


def test_every_card_is_below_50_kb_escaped_and_without_scripts(cards: dict[str, str]) -> None:
    sizes = {name: len(card.encode()) for name, card in cards.items()}
    assert {name: size for name, size in sizes.items() if size >= 50_000} == {}
    for name, card in cards.items():
        assert "<script" not in card, name
        assert "<img src=x" not in card, name
        assert 'class="ig"' in card, name


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1000), ("dark", 1000), ("light", 320), ("dark", 320)])
def test_cards_fit_their_page_and_break_no_word_that_has_room(
    browser: Any, cards: dict[str, str], pictures: Path, scheme: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ground = "#111" if scheme == "dark" else "#fff"
    page.set_content(f'<meta charset=utf-8><body style="background:{ground}">{"".join(cards.values())}')
    page.screenshot(path=str(pictures / f"cards_{scheme}_{width}.png"), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(BROKEN) == []
    assert page.evaluate(FAINT) == []
    assert [url for url in asked if not url.startswith("data:")] == []
    page.close()


#: Words of fewer than 30 letters that stand on more than one line.
BROKEN = """(() => {
  const broken = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walk.nextNode()) {
    const { data, parentElement } = walk.currentNode;
    if (parentElement.closest("style, svg")) continue;
    for (const { 0: word, index } of data.matchAll(/[A-Za-z0-9]+/g)) {
      if (word.length >= 30) continue;
      range.setStart(walk.currentNode, index);
      range.setEnd(walk.currentNode, index + word.length);
      if (new Set([...range.getClientRects()].map((r) => r.top)).size > 1) broken.push(word);
    }
  }
  return broken;
})()"""

#: Texts whose contrast with the card is below 4.5, what WCAG AA asks for.
FAINT = """(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const faint = new Set();
  for (const one of document.querySelectorAll(".ig td, .ig th, .ig .mu, .ig .t, .ig .b")) {
    let ground = one;
    while (rgb(getComputedStyle(ground).backgroundColor)[3] === 0) ground = ground.parentElement;
    const [a, b] = [light(rgb(getComputedStyle(one).color)), light(rgb(getComputedStyle(ground).backgroundColor))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) faint.add(`${one.className || one.tagName}: ${contrast.toFixed(2)}`);
  }
  return [...faint];
})()"""
