"""The colours of figures and viewers: told apart with any common colour vision, on paper and on black."""

from __future__ import annotations

from typing import Final

__all__ = ["CHANNEL_COLOURS", "HEAT", "INK", "MISSING", "PALETTE", "QUIET", "SCALE"]

#: Okabe and Ito's colours, which people with any common colour vision tell apart.
PALETTE: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
#: The bright ones of them, for channels that add up on black.
CHANNEL_COLOURS: Final = ("#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#F0E442", "#D55E00")
#: From low to high: nine even steps of matplotlib's "cividis", made for deuteranopia and ordered by lightness.
SCALE: Final = (
    "#00224E", "#1A386F", "#434E6C", "#61656F", "#7D7C78", "#9B9476", "#BCAE6C", "#DEC958", "#FEE838",
)  # fmt: skip
#: From low to high over a grey image: six even steps of matplotlib's "inferno", none of which is grey.
HEAT: Final = ("#57106E", "#9B2964", "#D44842", "#F37819", "#FAC228", "#FCFFA4")
INK: Final = "#1F2328"
QUIET: Final = "#6B7580"
MISSING: Final = "#C9CED4"
