"""Colours that are told apart by people with protanopia, deuteranopia and tritanopia, tested with a simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.color import rgb2lab

from integrate.show.palette import CHANNEL_COLOURS, HEAT, PALETTE, SCALE

#: Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
SEEN_BY = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(colours: tuple[str, ...], who: str) -> np.ndarray:
    """Return colours as somebody sees them, in CIELAB."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.asarray(SEEN_BY[who]).T, 0, 1)
    back = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(back[None])[0]


def least_distance(colours: tuple[str, ...], who: str) -> float:
    lab = seen(colours, who)
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(lab, 2))


@pytest.mark.parametrize("who", SEEN_BY)
def test_categories_and_channels_are_told_apart(who: str) -> None:
    """A difference of 2.3 can just be seen; six times that is a clear one."""
    assert least_distance(PALETTE, who) > 15
    assert least_distance(CHANNEL_COLOURS, who) > 15


def test_red_and_green_would_be_found_out() -> None:
    assert least_distance(("#d62728", "#2ca02c"), "normal") > 100
    assert least_distance(("#8c564b", "#2ca02c", "#d62728", "#bcbd22"), "deuteranopia") < 20


@pytest.mark.parametrize("who", SEEN_BY)
@pytest.mark.parametrize("scale", [SCALE, HEAT], ids=["scale", "heat"])
def test_a_scale_grows_lighter_in_even_steps(scale: tuple[str, ...], who: str) -> None:
    steps = np.diff(seen(scale, who)[:, 0])
    assert (steps > 4).all()
    assert steps.max() / steps.min() < 2.5
