"""Slide-seq: the beads of a puck as circles with counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, SourceNotFoundError, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.cell_parts import element_notes
from integrate.readers.dense_counts import circle_table, find_one, place_circles, read_dense_counts, read_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import spatialdata as sd

__all__ = ["SlideSeq"]

#: Diameter of a bead, in micrometres (Rodriques et al. 2019).
BEAD_UM = 10.0
LOCATIONS = ("*BeadLocationsForR.csv", "*[Bb]ead*[Ll]ocations*.csv", "*[Bb]ead*[Ll]ocations*.txt")
COUNTS = ("*MappedDGEForR.csv*", "*digital_expression*.txt*", "*dge*.txt*", "*expression*.txt*")


class SlideSeq(Reader):
    r"""Read the folder of a Slide-seq puck (versions 1 and 2) as one SpatialData.

    Parameters
    ----------
    name
        Beginning of every element's name, and name of the coordinate system.
    pixel_size_um
        Micrometres of one unit of the bead locations, which the files do not state: published pucks are in pixels of
        0.65 µm. Without it coordinates stay as they are.
    locations, counts
        Names of the files, where the folder has several that fit: bead locations (columns ``barcodes``, ``xcoord``,
        ``ycoord``) and counts (genes × barcodes; comma-separated or digital expression with tabs, gzipped or not).

    Returns
    -------
    SpatialData with ``<name>_beads``: a circle of 10 µm per bead that has counts, index ``instance_id``, and
    ``<name>_table``: counts, beads × genes, ``obs_names`` the barcodes. Both lie in the coordinate system ``<name>``:
    micrometres when `pixel_size_um` is given; else the files' units, noted as ``px``, with circles of half the median
    distance to the nearest bead. ``attrs["integrate"][element]["beads_without_counts"]`` says how many were left out.

    Raises
    ------
    SourceNotFoundError
        If locations or counts are absent.
    ParameterError
        If several files fit and none is named, or the pixel size is no positive number.
    DataError
        If a file is damaged, or a barcode of the counts has no location or two.

    Notes
    -----
    The layouts are those of Rodriques et al. 2019 (``BeadLocationsForR.csv``, ``MappedDGEForR.csv``) and Stickels et
    al. 2021 (``<puck>_bead_locations.csv``, ``<puck>.digital_expression.txt.gz``).

    Examples
    --------
    >>> _ = (tmp_path / "BeadLocationsForR.csv").write_text("barcodes,xcoord,ycoord\nAC,100,200\nGT,300,200\n")
    >>> _ = (tmp_path / "MappedDGEForR.csv").write_text("GENE,AC,GT\nActb,3,0\nMbp,0,2\n")
    >>> from integrate.readers.slideseq import SlideSeq
    >>> puck = SlideSeq(url=tmp_path, pixel_size_um=0.65).read()
    >>> puck["slideseq_beads"].geometry.x.tolist()
    [65.0, 195.0]
    """

    output_instance = "spatialdata:SpatialData"
    is_folder = True

    def _open(
        self,
        path: Path,
        *,
        name: str = "slideseq",
        pixel_size_um: float | None = None,
        locations: str | None = None,
        counts: str | None = None,
    ) -> sd.SpatialData:
        import pandas as pd
        import spatialdata as sd

        if pixel_size_um is not None and not 0 < pixel_size_um < float("inf"):
            raise ParameterError(f"pixel_size_um is {pixel_size_um!r}; give the micrometres of one unit, as 0.65")
        file = find_one(path, LOCATIONS, locations, "locations")
        counts_file = find_one(path, COUNTS, counts, "counts")
        if file is None or counts_file is None:
            listed = some(sorted(one.name for one in path.iterdir()), limit=12) or "nothing"
            raise SourceNotFoundError(f"no bead locations or no counts in {path.name!r}; it holds {listed}")
        places = _locations(file)
        matrix, genes, barcodes = read_dense_counts(counts_file)
        unplaced = [one for one in barcodes if one not in places.index]
        if unplaced:
            raise DataError(
                f"{len(unplaced)} of {len(barcodes)} barcodes of {counts_file.name} are not in {file.name}: "
                f"{some(unplaced)}; are they of one puck?"
            )
        centres = places.loc[barcodes].to_numpy(float) * (pixel_size_um or 1.0)
        radius = BEAD_UM / 2 if pixel_size_um else _half_distance(centres)
        elements = {f"{name}_beads": place_circles(centres, radius, name)}
        elements[f"{name}_table"] = circle_table(
            matrix.T.tocsr(), pd.DataFrame(index=barcodes), genes, centres, f"{name}_beads"
        )
        notes = element_notes(
            elements,
            unit="px" if pixel_size_um is None else "um",
            bead_diameter=2 * radius,
            diameter_from="distance of beads" if pixel_size_um is None else "bead",
            beads_without_counts=len(places) - len(barcodes),
        )
        return sd.SpatialData.init_from_elements(elements, attrs={ATTRS: notes})


def _locations(file: Path) -> pd.DataFrame:
    """Return x and y by barcode."""
    import pandas as pd

    held = read_rows(file)
    barcode = next((one for one in ("barcodes", "barcode", "Unnamed: 0") if one in held), None)
    absent = [one for one in ("xcoord", "ycoord") if one not in held]
    if barcode is None or absent:
        raise DataError(f"{file.name} has columns {some(held.columns, limit=12)}; expected barcodes, xcoord and ycoord")
    places = held[["xcoord", "ycoord"]].apply(pd.to_numeric, errors="coerce")
    places.index = pd.Index(held[barcode].astype(str))
    if places.isna().any(axis=None) or places.index.has_duplicates:
        wrong = places.index[places.isna().any(axis=1) | places.index.duplicated()]
        raise DataError(f"{file.name} places {len(wrong)} barcodes twice or nowhere: {some(wrong)}")
    return places


def _half_distance(centres: np.ndarray[Any, Any]) -> float:
    """Return half the median distance to the nearest bead."""
    import numpy as np
    from scipy.spatial import KDTree

    if len(centres) < 2:
        return 0.5
    distance, _ = KDTree(centres).query(centres, k=2)
    return float(np.median(distance[:, 1]) / 2) or 0.5
