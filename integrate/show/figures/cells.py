"""Pictures of images: channels mixed in colour with the outlines of their cells, and two images as a checkerboard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import AlignmentError, ParameterError, some
from integrate.model.image import channel_names, image_ids, pixel_size_um, select_channel
from integrate.show.figures.style import finished, new_figure
from integrate.show.palette import CHANNEL_COLOURS, QUIET

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_cells", "plot_checkerboard"]

#: Longest side of a picture in displayed pixels; nothing finer is kept than this needs.
MAX_SIDE: Final = 1200
#: Channels whose colours can be told apart when they add up.
MAX_CHANNELS: Final = 4


def plot_cells(
    image: xr.DataArray,
    labels: xr.DataArray | None = None,
    *,
    channels: Mapping[str, str] | Sequence[str] | None = None,
    crop: tuple[int, int, int, int] | None = None,
    percentiles: tuple[float, float] = (1.0, 99.8),
    title: str | None = None,
) -> Figure:
    """Draw channels of an image, mixed in colour, with the outlines of its cells and a scale bar.

    Parameters
    ----------
    image
        Dims ``(c, y, x)``, from `make_image`; may be Dask-backed. Only the channels and the part shown are read, and a
        part larger than the picture is averaged down chunk by chunk.
    labels
        Dims ``(y, x)`` on the same pixels; the outline of each label is drawn.
    channels
        Up to four names, or colours by name. By default all channels, if there are at most four. An image with the
        channels red, green and blue is shown as it is.
    crop
        Part to show, ``(y_start, y_stop, x_start, x_stop)`` in pixels.
    percentiles
        Intensities of the part shown that become black and full colour, per channel.
    title
        By default the ids the image carries.

    Returns
    -------
    Figure. The scale bar is in micrometres when the pixel size is known, and in pixels, saying so, when it is not.
    Missing pixels are grey.

    Raises
    ------
    ParameterError
        If more than four channels are asked for, or the crop lies outside the image.
    DatasetNotFoundError
        If a channel has another name.
    AlignmentError
        If `labels` are not on the pixels of `image`.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.eye(64)[None], channels=["DNA"], pixel_size_um=None)
    >>> print(plot_cells(image, title="P01").get_label())
    Image P01: DNA; 64 by 64 pixels; pixel size unknown
    """
    colours, natural = _channel_colours(image, channels)
    window = _window(image, crop)
    if labels is not None and (labels.shape != image.shape[1:] or pixel_size_um(labels) != pixel_size_um(image)):
        raise AlignmentError(
            f"labels have {labels.shape} pixels of {pixel_size_um(labels)} um, the image {image.shape[1:]} of "
            f"{pixel_size_um(image)}; resample one to the other first"
        )
    rgb, ranges, missing = _mixed(image, colours, window, percentiles, natural=natural)
    size = pixel_size_um(image)
    figure, axes = _image_axes(rgb.shape[:2], size)
    count = None
    if labels is not None:
        rgb, count = _with_outlines(rgb, labels, window, dark=natural)
    axes.imshow(rgb, extent=(window[2], window[3], window[1], window[0]), interpolation="auto")
    axes.set_aspect(1.0 if size is None else size[0] / size[1])
    _scale_bar(axes, window, size)
    if not natural:
        _channel_legend(axes, colours, ranges)
    title = title if title is not None else " · ".join(image_ids(image).values())
    words = f"Image {title}: {', '.join(colours)}; {window[1] - window[0]} by {window[3] - window[2]} pixels"
    words += "" if count is None else f"; {count} cells outlined"
    words += "; pixel size unknown" if size is None else f"; {size[1]:g} µm per pixel"
    return finished(figure, axes, title=title + ("\ngrey: no data" if missing else ""), words=words)


def _channel_colours(
    image: xr.DataArray, channels: Mapping[str, str] | Sequence[str] | None
) -> tuple[dict[str, str], bool]:
    """Return a colour per channel, and whether the image is an ordinary colour picture."""
    names = channel_names(image)
    if channels is None and [name.lower() for name in names] in (["r", "g", "b"], ["red", "green", "blue"]):
        return dict(zip(names, ("#FF0000", "#00FF00", "#0000FF"), strict=True)), True
    if channels is None and len(names) > MAX_CHANNELS:
        raise ParameterError(f"the image has {len(names)} channels; name up to 4 to show: {some(names, limit=60)}")
    if isinstance(channels, Mapping):
        return dict(channels), False
    chosen = [channels] if isinstance(channels, str) else list(names if channels is None else channels)
    if len(chosen) > MAX_CHANNELS:
        raise ParameterError(f"{len(chosen)} channels asked for; more than 4 colours cannot be told apart")
    colours = ("#FFFFFF",) if len(chosen) == 1 else CHANNEL_COLOURS
    return dict(zip(chosen, colours, strict=False)), False


def _window(image: xr.DataArray, crop: tuple[int, int, int, int] | None) -> tuple[int, int, int, int]:
    height, width = image.shape[1:]
    if crop is None:
        return 0, height, 0, width
    y_start, y_stop, x_start, x_stop = crop
    if not (0 <= y_start < y_stop <= height and 0 <= x_start < x_stop <= width):
        raise ParameterError(
            f"crop {crop} is not inside the image of {height} x {width} pixels (y, x); "
            "give (y_start, y_stop, x_start, x_stop)"
        )
    return y_start, y_stop, x_start, x_stop


def _step(window: tuple[int, int, int, int]) -> int:
    return max(1, math.ceil(max(window[1] - window[0], window[3] - window[2]) / MAX_SIDE))


def _mixed(
    image: xr.DataArray,
    colours: Mapping[str, str],
    window: tuple[int, int, int, int],
    percentiles: tuple[float, float],
    *,
    natural: bool,
) -> tuple[np.ndarray, list[tuple[float, float]], bool]:
    """Return the picture ``(y, x, 3)``, the intensities that became black and full, and whether pixels are missing."""
    import numpy as np
    from matplotlib.colors import to_rgb

    for name in colours:
        select_channel(image, name)  # a wrong name is told with the closest
    part = image.sel(c=list(colours)).isel(y=slice(*window[:2]), x=slice(*window[2:]))
    step = _step(window)
    if step > 1:
        part = part.coarsen(y=step, x=step, boundary="trim").mean()
    read = np.asarray(part.data, dtype=np.float32)
    full = float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1.0
    ranges = [(0.0, full) if natural else _contrast(plane, percentiles) for plane in read]
    rgb = np.zeros((*read.shape[1:], 3), dtype=np.float32)
    missing = np.zeros(read.shape[1:], dtype=bool)
    for plane, (low, high), colour in zip(read, ranges, colours.values(), strict=True):
        missing |= np.isnan(plane)
        rgb += np.clip((plane - low) / (high - low), 0, 1)[..., None] * np.asarray(to_rgb(colour), dtype=np.float32)
    rgb[missing] = to_rgb(QUIET)
    return np.clip(rgb, 0, 1), ranges, bool(missing.any())


def _contrast(plane: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    import numpy as np

    known = plane[~np.isnan(plane)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(known, percentiles))
    if high <= low:  # so sparse that the percentile misses the signal
        high = float(known.max())
    return low, high if high > low else low + 1.0


def _with_outlines(
    rgb: np.ndarray, labels: xr.DataArray, window: tuple[int, int, int, int], *, dark: bool
) -> tuple[np.ndarray, int | None]:
    """Return the picture with a line inside the border of each label, and how many there are if all can be seen."""
    import numpy as np
    from matplotlib.colors import to_rgb
    from skimage.segmentation import find_boundaries

    step = _step(window)
    part = {
        axis: slice(start + step // 2, stop, step) for axis, start, stop in (("y", *window[:2]), ("x", *window[2:]))
    }
    seen = np.asarray(labels.isel(part).data)[: rgb.shape[0], : rgb.shape[1]]
    finer = max(1, MAX_SIDE // max(seen.shape))  # on a small crop the line stays thin
    large = seen.repeat(finer, axis=0).repeat(finer, axis=1)
    rgb = rgb.repeat(finer, axis=0).repeat(finer, axis=1)
    rgb[find_boundaries(large, mode="inner")] = to_rgb("black" if dark else "white")
    return rgb, len(np.setdiff1d(seen, 0)) if step == 1 else None


def _image_axes(shape: tuple[int, int], size: tuple[float, float] | None) -> tuple[Figure, Axes]:
    height, width = shape if size is None else (shape[0] * size[0], shape[1] * size[1])
    across = 5.6 * min(1.0, 1.25 * width / height)
    figure, axes = new_figure(max(across, 2.4), max(across * height / width, 1.2) + 0.55)
    axes.set_axis_off()
    return figure, axes


def _scale_bar(axes: Axes, window: tuple[int, int, int, int], size: tuple[float, float] | None) -> None:
    from matplotlib.patheffects import withStroke

    width, height = window[3] - window[2], window[1] - window[0]
    unit = 1.0 if size is None else size[1]
    length = _round_length(width * unit / 4)
    if size is None:
        text = f"{length:g} pixels (size unknown)"
    else:
        text = f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
    x, y = window[2] + 0.03 * width, window[1] - 0.035 * height
    edge = [withStroke(linewidth=3.5, foreground="black")]
    axes.plot([x, x + length / unit], [y, y], color="white", lw=2.5, solid_capstyle="butt", path_effects=edge)
    edge = [withStroke(linewidth=2, foreground="black")]
    axes.text(x, y - 0.02 * height, text, color="white", fontsize=8.5, va="bottom", path_effects=edge)
    axes.set_xlim(window[2], window[3])
    axes.set_ylim(window[1], window[0])


def _round_length(length: float) -> float:
    """Return the largest of 1, 2, 5, 10, 20 … that is not longer; pixels and micrometres read well in these."""
    power = 10.0 ** math.floor(math.log10(length))
    return next(step * power for step in (5.0, 2.0, 1.0) if step * power <= length * (1 + 1e-9))


def _channel_legend(axes: Axes, colours: Mapping[str, str], ranges: Sequence[tuple[float, float]]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, edgecolor=QUIET, linewidth=0.5, label=f"{name}  {low:.3g}–{high:.3g}")
        for (name, colour), (low, high) in zip(colours.items(), ranges, strict=True)
    ]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.005), "borderaxespad": 0}
    axes.legend(
        handles=handles, ncols=len(handles), frameon=False, fontsize=8, handlelength=1, columnspacing=1.2, **place
    )


def plot_checkerboard(
    first: xr.DataArray,
    second: xr.DataArray,
    *,
    channels: tuple[str, str] | None = None,
    fields: int = 8,
    percentiles: tuple[float, float] = (1.0, 99.8),
    title: str | None = None,
) -> Figure:
    """Draw two registered images in turn, field by field: where they fit, lines run on from field to field.

    Parameters
    ----------
    first, second
        Dims ``(c, y, x)``, on the same pixels; the first is drawn blue, the second orange.
    channels
        One name for each; by default the first channel of each.
    fields
        Fields along the longer side.
    percentiles
        Intensities that become black and full colour, per image.
    title
        By default the ids of the first image.

    Returns
    -------
    Figure.

    Raises
    ------
    AlignmentError
        If the images are not on the same pixels.
    DatasetNotFoundError
        If a channel has another name.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.eye(64)[None], channels=["DNA"], pixel_size_um=None)
    >>> print(plot_checkerboard(image, image, title="P01").get_label())
    Checkerboard P01: DNA (blue) against DNA (orange), 8 fields along the longer side
    """
    import numpy as np

    if first.shape[1:] != second.shape[1:] or pixel_size_um(first) != pixel_size_um(second):
        raise AlignmentError(
            f"the images have {first.shape[1:]} pixels of {pixel_size_um(first)} um and {second.shape[1:]} of "
            f"{pixel_size_um(second)}; resample one to the other first"
        )
    names = (channel_names(first)[0], channel_names(second)[0]) if channels is None else channels
    window = _window(first, None)
    colours = (CHANNEL_COLOURS[0], CHANNEL_COLOURS[1])
    pictures = [
        _mixed(image, {name: colour}, window, percentiles, natural=False)
        for image, name, colour in zip((first, second), names, colours, strict=True)
    ]
    rows, columns = pictures[0][0].shape[:2]
    edge = -(-max(rows, columns) // fields)
    odd = (np.arange(rows)[:, None] // edge + np.arange(columns) // edge) % 2
    size = pixel_size_um(first)
    figure, axes = _image_axes((rows, columns), size)
    shown = np.where(odd[..., None] == 0, pictures[0][0], pictures[1][0])
    axes.imshow(shown, extent=(window[2], window[3], window[1], window[0]), interpolation="auto")
    axes.set_aspect(1.0 if size is None else size[0] / size[1])
    _scale_bar(axes, window, size)
    first_range, second_range = (picture[1][0] for picture in pictures)
    legend = {f"first: {names[0]}": colours[0], f"second: {names[1]}": colours[1]}
    _channel_legend(axes, legend, [first_range, second_range])
    title = title if title is not None else " · ".join(image_ids(first).values())
    words = (
        f"Checkerboard {title}: {names[0]} (blue) against {names[1]} (orange), {fields} fields along the longer side"
    )
    missing = "\ngrey: no data" if any(picture[2] for picture in pictures) else ""
    return finished(figure, axes, title=title + missing, words=words)
