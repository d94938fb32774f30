"""How one opens the viewer: what is shown is checked against each other before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, ParameterError, closest
from integrate.model.image import image_ids
from integrate.show.cells import place_cells
from integrate.show.pyramid import Pyramid, open_pyramid
from integrate.show.viewer import MODES, Viewer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["view"]


def view(
    image: Any,
    *,
    labels: Any = None,
    cells: Any = None,
    embedding: Any = None,
    colour: str | None = None,
    outlines: Any = None,
    regions: Any = None,
    compare: Any = None,
    compare_affine: Any = None,
    mode: str = "overlay",
    channels: Mapping[str, str] | Sequence[str] | None = None,
    pixel_size_um: tuple[float, float] | None = None,
    annotator: str = "",
    height: int = 480,
) -> Viewer:
    """Return a viewer of an image and everything known about it, to be shown in a notebook.

    Parameters
    ----------
    image
        DataArray ``(c, y, x)`` or ``(y, x)``; a multiscale DataTree of SpatialData; an OME-Zarr group or its path; a
        numpy, Dask or Zarr array, or a list of them from fine to coarse. Only the tiles in view are read.
    labels
        Label image on the same pixels; each label is outlined.
    cells
        AnnData with ``obsm["spatial"]``, e.g. from `measure`, or an array ``(n, 2)`` of x, y in pixels. Rows of other
        acquisitions than the image's are left out.
    embedding
        Name in ``cells.obsm``, e.g. ``"X_umap"``, or an array ``(n, 2)``; shown beside the image, with one selection.
    colour
        Column of ``cells.obs`` or variable that colours the cells; more than seven categories share a grey.
    outlines
        GeoDataFrame of polygons in pixels, only drawn.
    regions
        GeoDataFrame of polygons in pixels that can be edited and named.
    compare
        A second image, shown over the first, beside it, in turn with it or as a checkerboard.
    compare_affine
        ``(2, 3)`` or ``(3, 3)``: from x, y pixels of `compare` to those of `image`. By default from the pixel sizes,
        or the same pixels when both have the same shape.
    mode
        How two images are compared: ``"overlay"``, ``"side"``, ``"blink"`` or ``"checker"``.
    channels
        Names of channels to show at first, or colours (``"#rrggbb"``) by name.
    pixel_size_um
        ``(y, x)`` edge of a pixel; by default what the image says. Without it there is no scale bar.
    annotator
        Who draws; kept with each region.
    height
        Height of the picture in CSS pixels.

    Returns
    -------
    Viewer. ``viewer.selected`` is a boolean mask over the cells, ``viewer.regions`` a GeoDataFrame of what was drawn.
    In a page without a kernel a still picture is shown.

    Raises
    ------
    ParameterError
        If the mode is unknown.
    DataError, AlignmentError, DatasetNotFoundError
        If something cannot be shown, does not lie on the image, or has another name.

    Notes
    -----
    Tiles travel over the widget's own channel: there is no server, no port and no request to any other host. In
    JupyterLab 4.6 they come while a cell runs, and after "Run All Cells" before the last has ended.
    Everything can be reached by keys: arrows, plus and minus, 0 for all, V selects the cells in view, Escape clears.

    Examples
    --------
    >>> image = next(ig.datasets.toy_study().each("fields"))
    >>> viewer = ig.view(image, cells=[[10.0, 20.0], [40.0, 50.0]])
    >>> viewer
    <Viewer f1_P01 P01 f1: 64 x 64 pixels, 2 channels, 2 cells>
    >>> viewer.select([False, True])
    >>> viewer.selected
    array([False,  True])
    """
    if mode not in MODES:
        raise ParameterError(f"no mode {mode!r}; {closest(mode, MODES)}")
    first = open_pyramid(image, pixel_size=pixel_size_um)
    names = None
    if labels is not None:
        names = open_pyramid(labels, is_labels=True)
        if (names.height, names.width) != (first.height, first.width):
            raise AlignmentError(
                f"labels have {names.height} x {names.width} pixels, the image {first.height} x {first.width}; "
                "resample one to the other first"
            )
    layer = None
    if cells is not None:
        layer = place_cells(cells, image, pixel_size_um=first.pixel_size_um, embedding=embedding)
    elif embedding is not None:
        raise ParameterError("an embedding needs the cells it is of; give cells=")
    images, affine = [first], None
    if compare is not None:
        images.append(open_pyramid(compare))
        affine = _affine(images, compare_affine)
    viewer = Viewer(
        images, labels=names, layer=layer, outlines=outlines, affine=affine, channels=channels, colour=colour,
        annotator=annotator, mode=mode, height=height, ids=image_ids(image),
    )  # fmt: skip
    if regions is not None:
        viewer.add_regions(regions)
    return viewer


def _affine(images: Sequence[Pyramid], given: Any) -> NDArray[np.float64]:
    import numpy as np

    first, second = images
    if given is not None:
        matrix = np.asarray(given, dtype=float)
        if matrix.shape not in ((2, 3), (3, 3)):
            raise AlignmentError(f"compare_affine must be (2, 3) or (3, 3), found {matrix.shape}")
        return matrix[:2]
    if first.pixel_size_um is not None and second.pixel_size_um is not None:
        (y1, x1), (y2, x2) = first.pixel_size_um, second.pixel_size_um
        return np.array([[x2 / x1, 0.0, 0.0], [0.0, y2 / y1, 0.0]])
    if (first.height, first.width) != (second.height, second.width):
        raise AlignmentError(
            f"the images have {first.height} x {first.width} and {second.height} x {second.width} pixels of unknown "
            "size; give compare_affine= (x, y pixels of the second to pixels of the first)"
        )
    return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
