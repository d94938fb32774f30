"""Volumes for ipyniivue, which draws them in 3-D: the bytes of a NIfTI file that lies where the volume lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from integrate.errors import MissingDependencyError
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["nifti_bytes", "open_niivue"]

#: Bytes above which a volume is thinned before it goes whole to the browser.
MAX_WHOLE: Final = 64 * 2**20


def open_niivue(volume: xr.DataArray) -> Any:
    """Return an ipyniivue widget of a volume: three planes and the whole in 3-D, drawn by the graphics card.

    Parameters
    ----------
    volume
        Dims ``(z, y, x)`` with ``affine_lps`` in its notes. More than 64 MB are thinned, as the volume travels whole.

    Returns
    -------
    NiiVue of the package ipyniivue.

    Raises
    ------
    MissingDependencyError
        If ipyniivue is absent.

    Examples
    --------
    >>> import importlib.util, numpy as np, xarray as xr
    >>> volume = xr.DataArray(np.zeros((4, 5, 6), "float32"), dims=("z", "y", "x"))
    >>> shown = open_niivue(volume) if importlib.util.find_spec("ipyniivue") else None
    """
    try:
        import ipyniivue
    except ImportError as error:
        raise MissingDependencyError('drawing volumes in 3-D needs: pip install "integrate[view3d]"') from error
    shown = ipyniivue.NiiVue()
    shown.opts.multiplanar_show_render = ipyniivue.ShowRender.ALWAYS  # else a wide canvas holds the planes alone
    shown.load_volumes([{"data": nifti_bytes(volume), "name": "volume.nii"}])
    return shown


def nifti_bytes(volume: xr.DataArray, *, limit: int = MAX_WHOLE) -> bytes:
    """Return a volume as an uncompressed NIfTI-1 file, thinned until it is no larger than `limit` bytes."""
    import struct

    import numpy as np

    step = 1
    while volume.size * 4 / step**3 > limit:
        step += 1
    values = np.ascontiguousarray(volume.values[::step, ::step, ::step], dtype="<f4")
    said = image_notes(volume).get("affine_lps")
    lps = np.eye(4) if said is None else np.array(said, dtype=float)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps @ np.diag([step, step, step, 1.0])
    spacing = np.linalg.norm(ras[:3, :3], axis=0)
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *values.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 16, 32)  # float32
    struct.pack_into("<8f", head, 76, 1.0, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", head, 108, 352.0, 1.0, 0.0)
    struct.pack_into("<B", head, 123, 2)  # millimetres
    struct.pack_into("<2h", head, 252, 0, 1)
    struct.pack_into("<12f", head, 280, *ras[:3].ravel())
    head[344:348] = b"n+1\0"
    return bytes(head) + values.tobytes()
