"""Every section of the simulated study: the planted misalignment is recovered, and a wrong pair refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import integrate as ig
from integrate.align.grid import read_grid
from integrate.align.mutual import MutualInformation
from integrate.align.register import Registration, register
from integrate.datasets.warp import Warp
from integrate.errors import RegistrationError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

#: A working pixel, the aim of the median error in full resolution, and the share of sections that must reach both.
AIM_UM, SHARE = 5.0, 0.95


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated study: that at INTEGRATE_DEMO, or one made now."""
    given = os.environ.get("INTEGRATE_DEMO")
    return Path(given) if given else ig.simulate_study(tmp_path_factory.mktemp("demo") / "study", quiet=True)


@pytest.fixture(scope="module")
def sections(folder: Path) -> dict[str, tuple[Any, Any, Warp]]:
    """H&E slide, fluorescence picture and planted map of every section that has both pictures."""
    study = ig.open_study(ig.open_catalog("demo", data_root=str(folder)))
    pictures = {
        name: {one.attrs["integrate"]["ids"]["specimen_id"]: one for one in study.each(name)}
        for name in ("he", "fluorescence")
    }
    truth = json.loads((folder / "truth.json").read_text())["subjects"]
    planted = {k: s["slide_um_to_fluorescence_um"] for one in truth.values() for k, s in one["sections"].items()}
    both = sorted(set(pictures["he"]) & set(pictures["fluorescence"]))
    return {one: (pictures["he"][one], pictures["fluorescence"][one], Warp.from_dict(planted[one])) for one in both}


def errors(found: Registration, warp: Warp, places: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(found.transform.map_points(places) - warp.forward(places), axis=1))


def inner(slide: Any) -> np.ndarray:
    """Targets all over the slide but for a rim of a twentieth."""
    low, high = (getattr(read_grid(slide).corners(), end)(axis=0) for end in ("min", "max"))
    rim = (high - low) / 20
    return np.random.default_rng(0).uniform(low + rim, high - rim, (500, 2))


def test_the_planted_misalignment_is_recovered(sections: dict[str, tuple[Any, Any, Warp]], folder: Path) -> None:
    spots = pd.read_parquet(folder / "truth_spots.parquet")
    rows = []
    for name, (slide, section, warp) in sections.items():
        try:
            found = register(slide, section, method=MutualInformation(check_inverse=False))
        except RegistrationError:
            rows.append({"section": name, "working": np.inf, "um": np.inf, "spots": np.nan})
            continue
        far = errors(found, warp, inner(slide))
        mine = spots[spots["specimen_id"] == name][["x_um", "y_um"]].to_numpy(float)
        at_spots = float(np.median(errors(found, warp, mine))) if len(mine) else np.nan
        middle = float(np.median(far))
        rows.append({"section": name, "working": middle / found.quality.working_pixel, "um": middle, "spots": at_spots})
        print(name, f"{middle:.2f} um, {rows[-1]['working']:.2f} working pixels, spots {at_spots:.2f} um", flush=True)
    table = pd.DataFrame(rows)
    print(table.describe().to_string())
    good = (table["working"] <= 1) & (table["um"] <= AIM_UM) & ~(table["spots"] > AIM_UM)
    assert len(table) >= 25
    assert table["spots"].notna().sum() >= 15
    assert good.mean() >= SHARE, table[~good]


def test_wrong_pairs_are_refused(sections: dict[str, tuple[Any, Any, Warp]]) -> None:
    """Every third slide with the section of the next person but one."""
    names = list(sections)
    quick = MutualInformation(check_inverse=False)
    refused = []
    for i in range(0, len(names), 3):
        other = names[(i + 2) % len(names)]
        assert other.rsplit("-", 1)[0] != names[i].rsplit("-", 1)[0]
        with pytest.raises(RegistrationError, match="tiles agree") as caught:
            register(sections[names[i]][0], sections[other][1], method=quick)
        refused.append(caught.value.quality.agreement)
    print(f"{len(refused)} wrong pairs refused; agreement at most {max(refused):.0%}")
    assert max(refused) < 0.2
