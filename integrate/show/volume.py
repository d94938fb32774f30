"""The volume viewer: three planes through CT, MR or PET with one crosshair, a window and an overlay."""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import anywidget
import traitlets

from integrate.errors import AlignmentError, DataError, IntegrateError, ParameterError, closest
from integrate.model.image import image_ids, image_notes
from integrate.show.beside import answer_beside_cells
from integrate.show.bundle import script, stylesheet
from integrate.show.palette import HEAT, PALETTE
from integrate.show.still import png_bytes

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["CT_WINDOWS", "VolumeViewer", "view_volume"]

#: Lowest and highest Hounsfield unit shown, from the usual centre and width of each window.
CT_WINDOWS: Final[dict[str, tuple[float, float]]] = {
    "soft tissue": (-160.0, 240.0),
    "lung": (-1350.0, 150.0),
    "mediastinum": (-125.0, 225.0),
    "bone": (-500.0, 1300.0),
    "brain": (0.0, 80.0),
    "liver": (-15.0, 135.0),
}
PLANES: Final = {"axial": 0, "coronal": 1, "sagittal": 2}
#: Towards which end of the patient an index grows, by LPS axis.
LETTERS: Final = (("R", "L"), ("A", "P"), ("I", "S"))
#: What runs down the screen the other way: patients stand upright.
UPWARDS: Final = 2


class VolumeViewer(anywidget.AnyWidget):
    """A widget made by `view_volume`; crosshair and window can be read and set.

    Parameters
    ----------
    volume, overlay
        What is shown, prepared by `view_volume`.
    window
        Lowest and highest value shown.
    presets
        Windows by name.
    names
        What the labels of the overlay are.
    """

    _esm = script(["make", "volume"])
    _css = stylesheet("volume")

    position: traitlets.List[int] = traitlets.List().tag(sync=True)
    window: traitlets.List[float] = traitlets.List().tag(sync=True)
    opacity = traitlets.Float(0.5).tag(sync=True)
    _spec = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        volume: xr.DataArray,
        *,
        overlay: xr.DataArray | None,
        window: tuple[float, float],
        presets: Mapping[str, tuple[float, float]],
        names: Mapping[int, str],
    ) -> None:
        self._volume, self._overlay = volume, overlay
        self._reading = threading.Lock()
        flips, letters = _display(volume)
        self._table: dict[int, int] | tuple[float, float] | None = None
        colours = shown_names = None
        if overlay is not None:
            self._table, colours, shown_names = _overlay_colours(overlay, names)
        sample = _thinned(volume, 2**21)
        spec = {
            "shape": [int(n) for n in volume.shape],
            "spacing": _spacing(volume),
            "flips": flips,
            "letters": letters,
            "range": [min(float(sample.min()), window[0]), max(float(sample.max()), window[1])],
            "presets": {name: list(limits) for name, limits in presets.items()},
            "unit": _unit(volume),
            "colours": colours,
            "names": shown_names,
            "patience_ms": 5000,
        }
        middle = [int(n) // 2 for n in volume.shape]
        super().__init__(_spec=spec, position=middle, window=[float(v) for v in window])
        self.on_msg(self._answer)
        answer_beside_cells(self)

    def __repr__(self) -> str:
        size = " x ".join(str(n) for n in self._volume.shape)
        return f"<VolumeViewer {' '.join(image_ids(self._volume).values())}: {size} voxels (z, y, x)>"

    def _repr_mimebundle_(self, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        shown = super()._repr_mimebundle_(**settings)
        data, notes = shown if isinstance(shown, tuple) else (shown or {}, {})
        picture = base64.b64encode(self.still()).decode("ascii")
        return {**data, "image/png": picture, "text/plain": repr(self)}, {**notes, "image/png": {"alt": repr(self)}}

    def still(self) -> bytes:
        """Return a PNG of the three planes at the crosshair, made without a browser."""
        import cv2
        import numpy as np

        low, high = self.window
        spacing, flips, planes = self._spec["spacing"], self._spec["flips"], []
        for plane, across in PLANES.items():
            values, over = self._slice(plane, int(self.position[across]))
            grey = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-9), 0, 1)[..., None] * 255
            picture = np.repeat(grey, 3, axis=2)
            if over is not None:
                table = np.array(self._spec["colours"])[over]
                part = table[..., 3:] * self.opacity * (over > 0)[..., None]
                picture = picture * (1 - part) + table[..., :3] * part
            down, right = (axis for axis in range(3) if axis != across)
            picture = picture[:: -1 if flips[down] else 1, :: -1 if flips[right] else 1]
            width = values.shape[1] * spacing[right] / (values.shape[0] * spacing[down]) * 300
            planes.append(cv2.resize(np.ascontiguousarray(picture), (max(1, round(width)), 300)))
        return png_bytes(np.concatenate(planes, axis=1).astype(np.uint8))

    def _answer(self, _: Any, message: dict[str, Any], __: Any) -> None:
        if message.get("type") != "slice":
            return
        plane, index = str(message["plane"]), int(message["index"])
        try:
            values, over = self._slice(plane, index)
        except (IntegrateError, OSError, IndexError, KeyError) as error:
            self.send({"type": "failed", "text": f"The {plane} slice {index} cannot be read: {error}"})
            return
        buffers = [values.tobytes()] + ([] if over is None else [over.tobytes()])
        self.send({"type": "slice", "plane": plane, "index": index}, buffers)

    def _slice(self, plane: str, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        import numpy as np

        place = {"zyx"[PLANES[plane]]: index}
        with self._reading:  # several messages may be answered at once
            values = np.ascontiguousarray(self._volume.isel(place).values, dtype=np.float32)
            if self._overlay is None:
                return values, None
            over = np.asarray(self._overlay.isel(place).values)
        return values, _coded(over, self._table)


def view_volume(
    volume: xr.DataArray,
    *,
    overlay: xr.DataArray | None = None,
    window: str | tuple[float, float] | None = None,
    names: Mapping[int, str] | None = None,
) -> VolumeViewer:
    """Return a viewer of a volume: axial, coronal and sagittal planes that share a crosshair.

    Parameters
    ----------
    volume
        Dims ``(z, y, x)``, e.g. from `DicomSeries` or `Volume`; may be Dask-backed, slices are read when looked at.
    overlay
        On the same voxels: integers are labels (0 is none), numbers are a map such as PET, drawn from low to high.
    window
        Name of a CT window (``"lung"``, ``"soft tissue"``, ``"bone"`` …), or the lowest and highest value. By default
        soft tissue for CT, else the 1st and 99th percentile.
    names
        What the labels of the overlay are.

    Returns
    -------
    VolumeViewer. ``viewer.position`` is the crosshair ``[z, y, x]`` in voxels, ``viewer.window`` the limits; both can
    be set. Planes have the voxels' true proportions; the patient stands upright, their left on the right, with letters
    at the edges only when the volume says how it lies in the patient.

    Raises
    ------
    DataError
        If it is no volume.
    AlignmentError
        If the overlay is on other voxels.
    ParameterError
        If there is no window of that name.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> volume = xr.DataArray(np.zeros((4, 5, 6)), dims=("z", "y", "x"))
    >>> viewer = view_volume(volume, window="lung")
    >>> viewer.position, viewer.window
    ([2, 2, 3], [-1350.0, 150.0])
    """
    if tuple(volume.dims) != ("z", "y", "x"):
        raise DataError(f"a volume has the axes z, y and x; found {tuple(volume.dims)}")
    if overlay is not None:
        _check_same_voxels(volume, overlay)
    is_ct = image_notes(volume).get("modality") == "CT"
    presets = CT_WINDOWS if is_ct or isinstance(window, str) else {}
    if window is None:
        limits = CT_WINDOWS["soft tissue"] if is_ct else _percentiles(volume)
    elif isinstance(window, str):
        if window not in CT_WINDOWS:
            raise ParameterError(f"no window {window!r}; {closest(window, CT_WINDOWS)}")
        limits = CT_WINDOWS[window]
    else:
        limits = (float(window[0]), float(window[1]))
    return VolumeViewer(volume, overlay=overlay, window=limits, presets=presets, names=dict(names or {}))


def _check_same_voxels(volume: xr.DataArray, overlay: xr.DataArray) -> None:
    import numpy as np

    mine, other = (image_notes(one).get("affine_lps") for one in (volume, overlay))
    same_place = mine is None or other is None or np.allclose(mine, other, atol=1e-3)
    if tuple(overlay.dims) != ("z", "y", "x") or overlay.shape != volume.shape or not same_place:
        where = "" if same_place else " in another place of the patient"
        raise AlignmentError(
            f"the overlay is {overlay.dims} {overlay.shape}{where}, the volume {volume.shape}; "
            "resample one to the other first"
        )


def _spacing(volume: xr.DataArray) -> list[float]:
    said = image_notes(volume).get("spacing_mm") or [None] * 3
    known = [None if one is None else float(one) for one in said]
    return [one or 1.0 for one in known]


def _display(volume: xr.DataArray) -> tuple[list[bool], list[list[str]] | None]:
    """Return which of z, y, x run against the screen, and the letters at both ends of each axis."""
    import numpy as np

    said = image_notes(volume).get("affine_lps")
    if said is None or not image_notes(volume).get("orientation"):
        return [False] * 3, None
    columns = np.array(said, dtype=float)[:3, :3]
    along = np.abs(columns).argmax(axis=0)  # the patient axis of the index x, y, z
    if sorted(along) != [0, 1, 2]:
        return [False] * 3, None
    flips, letters = [], []
    for index in (2, 1, 0):  # z, y, x
        patient, grows = int(along[index]), columns[along[index], index] > 0
        flips.append(bool(grows) if patient == UPWARDS else not grows)
        letters.append(list(LETTERS[patient] if grows else LETTERS[patient][::-1]))
    return flips, letters


def _unit(volume: xr.DataArray) -> str:
    unit = str(image_notes(volume).get("unit") or "")
    return "HU" if unit == "[hnsf'U]" else unit


def _thinned(volume: xr.DataArray, size: int) -> NDArray[Any]:
    """Return some of the known values, from whole slices so that few are read."""
    import numpy as np

    slices = max(1, min(volume.shape[0], size // max(1, volume.shape[1] * volume.shape[2])))
    chosen = np.linspace(0, volume.shape[0] - 1, slices).round().astype(int)
    values = np.asarray(volume.isel(z=np.unique(chosen)).values)
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
    return known if known.size else np.zeros(1)


def _percentiles(volume: xr.DataArray) -> tuple[float, float]:
    import numpy as np

    low, high = (float(v) for v in np.percentile(_thinned(volume, 2**21), (1, 99)))
    return low, high if high > low else low + 1.0


def _overlay_colours(overlay: xr.DataArray, names: Mapping[int, str]) -> tuple[Any, list[list[float]], list[str]]:
    """Return how values become codes, and a colour (red, green, blue, opacity) and a name for each code."""
    import numpy as np

    if overlay.dtype.kind not in "iub":
        low, high = _percentiles(overlay)
        stops = np.array([_rgb(one) for one in HEAT])
        at = np.linspace(0, len(stops) - 1, 255)
        scale = np.stack([np.interp(at, np.arange(len(stops)), stops[:, k]) for k in range(3)], axis=1)
        colours = [[0.0] * 4] + [[*map(float, one), float(min(1.0, k / 64))] for k, one in enumerate(scale)]
        return (low, high), colours, [""] * 256
    values = [int(v) for v in np.unique(overlay.values) if v][:255]
    table = {value: code for code, value in enumerate(values, 1)}
    colours = [[0.0] * 4] + [[*_rgb(PALETTE[k % (len(PALETTE) - 1)]), 1.0] for k in range(len(values))]
    return table, colours, ["", *(str(names.get(value, f"label {value}")) for value in values)]


def _rgb(colour: str) -> list[float]:
    return [float(int(colour[i : i + 2], 16)) for i in (1, 3, 5)]


def _coded(over: NDArray[Any], table: Any) -> NDArray[np.uint8]:
    import numpy as np

    if isinstance(table, dict):
        codes = np.zeros(over.shape, dtype=np.uint8)
        for value, code in table.items():
            codes[over == value] = code
        return codes
    low, high = table
    scaled = np.clip((np.nan_to_num(over, nan=low) - low) / (high - low), 0, 1)
    return np.ascontiguousarray((scaled * 255).astype(np.uint8))
