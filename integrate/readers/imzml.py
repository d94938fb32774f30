"""Mass-spectrometry images (imzML): an image per m/z target or bin, summed spectrum by spectrum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from integrate.errors import DataError, ParameterError, SourceNotFoundError
from integrate.keys import ATTRS
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["ImzML", "Spectra", "open_spectra"]

TYPES = {
    "MS:1000521": "<f4",
    "MS:1000523": "<f8",
    "MS:1000519": "<i4",
    "MS:1000522": "<i8",
    "IMS:1000141": "<i4",
    "IMS:1000142": "<i8",
}
NO_COMPRESSION = "MS:1000576"
MICROMETRES = {"micrometer": 1.0, "micrometre": 1.0, "µm": 1.0, "millimeter": 1000.0, "nanometer": 1e-3}
MZ_ARRAY, INTENSITY_ARRAY = "MS:1000514", "MS:1000515"


@dataclass(frozen=True)
class Spectra:
    """The spectra of an imzML file: where each was taken, and where its numbers lie.

    Parameters
    ----------
    ibd
        The file of numbers.
    x, y
        Position of each spectrum, from 0.
    mz, intensity
        A row per spectrum: offset, number of values.
    mz_type, intensity_type
        Their numpy types.
    continuous
        Whether all spectra share one m/z axis.
    pixel_size_um
        ``(y, x)``, ``None`` when the file states none with a unit.
    profile
        ``True`` for profile spectra, ``False`` for centroids, ``None`` when not stated.
    """

    ibd: Path
    x: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    mz: np.ndarray[Any, Any]
    intensity: np.ndarray[Any, Any]
    mz_type: str
    intensity_type: str
    continuous: bool
    pixel_size_um: tuple[float, float] | None
    profile: bool | None

    def __len__(self) -> int:
        return len(self.x)

    def spectrum(self, index: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return m/z and intensity of one spectrum, as stored.

        Raises
        ------
        DataError
            If the file of numbers ends before it.
        """
        return (
            self._read(self.mz[index], self.mz_type),
            self._read(self.intensity[index], self.intensity_type),
        )

    def _read(self, place: Any, kind: str) -> np.ndarray[Any, Any]:
        import numpy as np

        offset, count = int(place[0]), int(place[1])
        values = np.fromfile(self.ibd, kind, count, offset=offset)
        if len(values) < count:
            raise DataError(
                f"{self.ibd.name} ends inside a spectrum at byte {offset:,}; it is truncated, copy it again"
            )
        return values


class ImzML(Reader):
    """Read an imzML file (with its ``.ibd`` beside it) as one lazy image per m/z.

    Parameters
    ----------
    targets
        m/z values; an image is the sum of intensities within the tolerance.
    tolerance_ppm
        Half width of a target's window, in millionths.
    bins
        ``[first, last, width]`` of equal m/z bins, as an alternative to targets. A bin holds its lower edge.

    Returns
    -------
    DataArray ``(mz, y, x)`` of float64, Dask-backed, a chunk per row of pixels, so that a file larger than memory
    streams. Without targets or bins, every value of the shared axis of a continuous file. A pixel where no spectrum was
    taken is NaN; a spectrum without any peak in the window gives 0. ``y`` and ``x`` are in micrometres where the file
    states a pixel size with its unit. Intensities are as stored, not normalised.

    Raises
    ------
    SourceNotFoundError
        If the ``.ibd`` file is not beside it.
    DataError
        If a file is truncated, the two do not belong together, numbers are compressed, or two spectra share a pixel.
    ParameterError
        If both or (for a processed file) none of targets and bins are given, or they are no m/z.

    Examples
    --------
    >>> import numpy as np
    >>> from uuid import UUID
    >>> def term(code, value=""):
    ...     return f'<cvParam accession="{code}" value="{value}" name="" unitName=""/>'
    >>> def array(group, at):
    ...     where = term("IMS:1000103", 2) + term("IMS:1000102", at)  # values, and the byte they begin at
    ...     return f'<binaryDataArray><referenceableParamGroupRef ref="{group}"/>{where}</binaryDataArray>'
    >>> def group(name, *terms):
    ...     return f'<referenceableParamGroup id="{name}">{"".join(map(term, terms))}</referenceableParamGroup>'
    >>> text = '<mzML xmlns="http://psi.hupo.org/ms/mzml"><fileContent>' + term("IMS:1000080", UUID(int=7))
    >>> text += term("IMS:1000030") + term("MS:1000127") + "</fileContent>"  # continuous, centroids
    >>> text += group("mz", "MS:1000514", "MS:1000523") + group("int", "MS:1000515", "MS:1000521")
    >>> for x in (1, 2):
    ...     scan = f"<scan>{term('IMS:1000050', x)}{term('IMS:1000051', 1)}</scan>"
    ...     text += f"<spectrum>{scan}{array('mz', 16)}{array('int', 24 + 8 * x)}</spectrum>"
    >>> _ = (tmp_path / "a.imzML").write_text(text + "</mzML>")
    >>> values = np.array([100.0, 200.0]).tobytes() + np.array([1, 1, 1, 2], "float32").tobytes()
    >>> _ = (tmp_path / "a.ibd").write_bytes(UUID(int=7).bytes + values)
    >>> image = ImzML(url=tmp_path / "a.imzML", targets=[200.0], tolerance_ppm=10).read()
    >>> image.dims, image.values.ravel().tolist()
    (('mz', 'y', 'x'), [1.0, 2.0])
    """

    output_instance = "xarray:DataArray"

    def _open(
        self,
        path: Path,
        *,
        targets: Sequence[float] | None = None,
        tolerance_ppm: float = 5.0,
        bins: Sequence[float] | None = None,
    ) -> xr.DataArray:
        import dask.array as da
        import numpy as np
        import xarray as xr
        from dask.delayed import delayed

        spectra = open_spectra(path)
        edges, centres, notes = _windows(spectra, targets, tolerance_ppm, bins)
        rows, columns = int(spectra.y.max()) + 1, int(spectra.x.max()) + 1
        at = spectra.y * columns + spectra.x
        if len(np.unique(at)) < len(at):
            raise DataError(
                f"{path.name} has {len(at) - len(np.unique(at))} pixels with two spectra; it was merged wrongly"
            )
        shape = (len(centres), 1, columns)
        summed = delayed(_sum_row, pure=True)
        changed = spectra.ibd.stat().st_mtime_ns
        parts = [
            da.from_delayed(
                summed(spectra, changed, np.flatnonzero(spectra.y == row), edges, columns), shape=shape, dtype="f8"
            )
            for row in range(rows)
        ]
        size = spectra.pixel_size_um
        unit, (high, wide) = ("um", size) if size else ("px", (1.0, 1.0))
        coords = {
            "mz": ("mz", centres, {"units": "m/z"}),
            "y": ("y", (np.arange(rows) + 0.5) * high, {"units": unit}),
            "x": ("x", (np.arange(columns) + 0.5) * wide, {"units": unit}),
        }
        notes |= {
            "pixel_size_um": list(size) if size else None,
            "spectra": len(spectra),
            "pixels_without_spectrum": rows * columns - len(spectra),
            "storage": "continuous" if spectra.continuous else "processed",
            "profile": spectra.profile,
            "unit": "{counts}",
        }
        return xr.DataArray(da.concatenate(parts, axis=1), dims=("mz", "y", "x"), coords=coords, attrs={ATTRS: notes})


def open_spectra(path: Path) -> Spectra:
    """Return where the spectra of an imzML file lie; the numbers stay in the file.

    Raises
    ------
    SourceNotFoundError
        If the ``.ibd`` file is not beside it.
    DataError
        If the file is not imzML or truncated, or the ``.ibd`` is not the one it was written with.
    """
    import numpy as np

    groups: dict[str, dict[str, Any]] = {}
    found: dict[str, Any] = {}
    places: list[tuple[int, int, tuple[int, int], tuple[int, int]]] = []
    kinds: set[tuple[str, str]] = set()
    try:
        for _, element in ElementTree.iterparse(path):
            tag = element.tag.rpartition("}")[2]
            if tag == "referenceableParamGroup":
                groups[str(element.get("id"))] = _parameters(element, {})
            elif tag in ("fileContent", "scanSettings"):
                found |= _parameters(element, groups)
            elif tag == "spectrum":
                places.append(_place(element, groups, kinds, path))
                element.clear()
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path.name} is not readable imzML ({error}); it may be truncated or another format"
        ) from error
    if not places or len(kinds) != 1:
        raise DataError(f"{path.name} describes {len(places)} spectra of {len(kinds)} number types; expected one type")
    ibd = _ibd(path, str(found.get("IMS:1000080", ("", ""))[0]))
    x, y = np.array([p[0] for p in places]) - 1, np.array([p[1] for p in places]) - 1
    mz, intensity = (np.array([p[i] for p in places], dtype=np.int64) for i in (2, 3))
    mz_type, intensity_type = kinds.pop()
    ends = [mz[:, 0] + mz[:, 1] * np.dtype(mz_type).itemsize]
    ends.append(intensity[:, 0] + intensity[:, 1] * np.dtype(intensity_type).itemsize)
    if max(int(end.max()) for end in ends) > ibd.stat().st_size:
        raise DataError(f"{ibd.name} is truncated: {path.name} promises more bytes; copy it again")
    if min(int(x.min()), int(y.min())) < 0:
        raise DataError(f"{path.name} has a spectrum at position 0; imzML counts pixels from 1")
    profile = True if "MS:1000128" in found else False if "MS:1000127" in found else None
    continuous = "IMS:1000030" in found
    return Spectra(ibd, x, y, mz, intensity, mz_type, intensity_type, continuous, _pixel_size(found), profile)


def _parameters(element: Any, groups: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return accession to ``(value, unit)`` of an element and the groups it refers to."""
    found: dict[str, Any] = {}
    for one in element.iter():
        tag = one.tag.rpartition("}")[2]
        if tag == "referenceableParamGroupRef":
            found |= groups.get(str(one.get("ref")), {})
        elif tag == "cvParam":
            found[str(one.get("accession"))] = (one.get("value", ""), one.get("unitName", ""))
    return found


def _place(
    spectrum: Any, groups: dict[str, dict[str, Any]], kinds: set[tuple[str, str]], path: Path
) -> tuple[int, int, tuple[int, int], tuple[int, int]]:
    where = _parameters(spectrum, groups)
    arrays: dict[str, tuple[tuple[int, int], str]] = {}
    for one in spectrum.iter():
        if one.tag.rpartition("}")[2] == "binaryDataArray":
            said = _parameters(one, groups)
            kind = next((TYPES[key] for key in said if key in TYPES), None)
            name = next((key for key in (MZ_ARRAY, INTENSITY_ARRAY) if key in said), None)
            if kind is None or name is None or not {"IMS:1000102", "IMS:1000103"} <= set(said):
                raise DataError(f"{path.name} has a spectrum that does not say where its numbers are")
            if NO_COMPRESSION not in said and any(key in said for key in ("MS:1000574", "MS:1002312")):
                raise DataError(f"{path.name} keeps its numbers compressed; write it again without compression")
            arrays[name] = ((int(said["IMS:1000102"][0]), int(said["IMS:1000103"][0])), kind)
    try:
        kinds.add((arrays[MZ_ARRAY][1], arrays[INTENSITY_ARRAY][1]))
        x, y = int(where["IMS:1000050"][0]), int(where["IMS:1000051"][0])
        return x, y, arrays[MZ_ARRAY][0], arrays[INTENSITY_ARRAY][0]
    except KeyError as error:
        raise DataError(f"{path.name} has a spectrum without {error}; it is damaged or no imaging file") from error


def _ibd(path: Path, uuid: str) -> Path:
    beside = [file for file in path.parent.iterdir() if file.stem == path.stem and file.suffix.lower() == ".ibd"]
    if not beside:
        raise SourceNotFoundError(f"no {path.stem}.ibd beside {path.name}; it holds the numbers")
    with beside[0].open("rb") as stream:
        first = stream.read(16).hex()
    wanted = uuid.strip("{}").replace("-", "").lower()
    if wanted and first != wanted:
        raise DataError(f"{beside[0].name} has identifier {first[:8]}…, {path.name} says {wanted[:8]}…; not a pair")
    return beside[0]


def _pixel_size(found: dict[str, Any]) -> tuple[float, float] | None:
    sizes = []
    for key in ("IMS:1000047", "IMS:1000046"):  # y, x
        value, unit = found.get(key, found.get("IMS:1000046", ("", "")))
        if unit not in MICROMETRES or not float(value or 0) > 0:
            return None  # old files state an area, without a unit
        sizes.append(float(value) * MICROMETRES[unit])
    return sizes[0], sizes[1]


def _windows(
    spectra: Spectra, targets: Sequence[float] | None, tolerance_ppm: float, bins: Sequence[float] | None
) -> tuple[Any, Any, dict[str, Any]]:
    """Return lower and upper edge per image, their centres, and notes; ``None`` as edges means the stored axis."""
    import numpy as np

    if targets is not None and bins is not None:
        raise ParameterError("targets and bins are two ways to say the same; give one")
    if targets is not None:
        centres = np.array(targets, float)
        if centres.ndim != 1 or not len(centres) or not (centres > 0).all() or not tolerance_ppm > 0:
            raise ParameterError(f"targets={targets!r}, tolerance_ppm={tolerance_ppm!r}; expected positive m/z values")
        half = centres * tolerance_ppm * 1e-6
        # the upper edge belongs to the window: nextafter makes the half-open search include it
        return (
            np.stack([centres - half, np.nextafter(centres + half, math.inf)]),
            centres,
            {"tolerance_ppm": tolerance_ppm},
        )
    if bins is not None:
        if len(bins) != 3 or not 0 < bins[0] < bins[1] or not 0 < bins[2] <= bins[1] - bins[0]:
            raise ParameterError(f"bins={list(bins)!r}; give [first, last, width] in m/z")
        lower = bins[0] + np.arange(round((bins[1] - bins[0]) / bins[2])) * bins[2]
        return np.stack([lower, lower + bins[2]]), lower + bins[2] / 2, {"bin_width_mz": float(bins[2])}
    if not spectra.continuous:
        raise ParameterError("every spectrum of a processed file has its own m/z axis; give targets= or bins=")
    return None, spectra.spectrum(0)[0].astype(float), {}


def _sum_row(
    spectra: Spectra, changed_ns: int, members: np.ndarray[Any, Any], edges: Any, columns: int
) -> np.ndarray[Any, Any]:
    """Return ``(mz, 1, x)`` of one row of pixels; ``changed_ns`` is there for its token."""
    import numpy as np

    count = spectra.mz[0, 1] if edges is None else edges.shape[1]
    row = np.full((int(count), 1, columns), np.nan)
    for index in members:
        mz, intensity = spectra.spectrum(int(index))
        if edges is None:
            row[:, 0, spectra.x[index]] = intensity
            continue
        order = np.argsort(mz, kind="stable") if np.any(np.diff(mz) < 0) else slice(None)
        before = np.concatenate([[0.0], np.cumsum(intensity[order].astype(float))])
        low, high = np.searchsorted(mz[order].astype(float), edges)
        row[:, 0, spectra.x[index]] = before[high] - before[low]
    return row
