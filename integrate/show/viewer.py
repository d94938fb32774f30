"""The viewer: images, cells and outlines to look at in a notebook, and what a person selects or draws there."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anywidget
import traitlets

from integrate.errors import (
    AlignmentError,
    DataError,
    DatasetNotFoundError,
    IntegrateError,
    some,
    warn,
)
from integrate.show.beside import answer_beside_cells
from integrate.show.bundle import received_bytes, script, stylesheet
from integrate.show.cells import CellLayer, colour_cells
from integrate.show.channels import contrast, list_channels
from integrate.show.pyramid import Pyramid
from integrate.show.rings import outline_buffers, regions_of, shapes_of

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MODES", "Viewer"]

#: The scripts, each after those it uses; together one ES module.
SCRIPTS: Final = [
    "make",
    "painter",
    "tiles",
    "selection",
    "cloud",
    "pane",
    "histogram",
    "image",
    "regions",
    "controls",
    "viewer",
]
MODES: Final = ("overlay", "side", "blink", "checker")


class Viewer(anywidget.AnyWidget):
    """A widget made by `view`; everything a person does in it can be read here.

    Parameters
    ----------
    images, labels, layer, outlines
        What is shown, prepared by `view`.
    affine
        ``(2, 3)`` from x, y pixels of the second image to those of the first.
    channels
        Names to show, or colours by name; by default the first few.
    colour
        Variable that colours the cells.
    annotator
        Who draws.
    mode
        How two images are compared.
    height
        Height of the picture in CSS pixels.
    ids
        Who and what the first image shows; kept with the regions.
    """

    _esm = script(SCRIPTS)
    _css = stylesheet("viewer")

    annotator = traitlets.Unicode("").tag(sync=True)
    mode = traitlets.Enum(MODES, "overlay").tag(sync=True)
    _spec = traitlets.Dict().tag(sync=True)
    _channels: traitlets.List[Any] = traitlets.List().tag(sync=True)
    _places = traitlets.Bytes().tag(sync=True)
    _embedding = traitlets.Bytes().tag(sync=True)
    _values = traitlets.Bytes().tag(sync=True)
    _colouring = traitlets.Dict().tag(sync=True)
    _outlines = traitlets.Bytes().tag(sync=True)
    _outline_ends = traitlets.Bytes().tag(sync=True)
    _regions: traitlets.List[Any] = traitlets.List().tag(sync=True)
    _window: traitlets.List[Any] = traitlets.List().tag(sync=True)
    _selection = received_bytes()

    def __init__(
        self,
        images: Sequence[Pyramid],
        *,
        labels: Pyramid | None,
        layer: CellLayer | None,
        outlines: Any,
        affine: NDArray[np.float64] | None,
        channels: Mapping[str, str] | Sequence[str] | None,
        colour: str | None,
        annotator: str,
        mode: str,
        height: int,
        ids: Mapping[str, str],
    ) -> None:
        import numpy as np

        self._images, self._labels, self._layer, self._ids = list(images), labels, layer, dict(ids)
        size = images[0].pixel_size_um
        self._aspect = 1.0 if size is None else size[0] / size[1]
        self._pictures: dict[int, bytes] = {}
        self._answered = threading.Condition()
        places = np.empty((0, 2)) if layer is None else layer.places
        corners, ends = (b"", b"") if outlines is None else outline_buffers(outlines, aspect=self._aspect)
        super().__init__(
            annotator=annotator,
            mode=mode,
            _spec=self._describe(affine, height),
            _channels=list_channels(self._images, channels),
            _places=(places * [1.0, self._aspect]).astype("<f4").tobytes(),
            _embedding=b"" if layer is None else (layer.embedding * [1.0, -1.0]).astype("<f4").tobytes(),
            _outlines=bytes(corners),
            _outline_ends=bytes(ends),
        )
        self.colour_by(colour)
        self.on_msg(self._answer)
        answer_beside_cells(self)

    def _describe(self, affine: NDArray[np.float64] | None, height: int) -> dict[str, Any]:
        first, squeeze = self._images[0], self._aspect
        places = [[1.0, 0.0, 0.0, 0.0, squeeze, 0.0]]
        if affine is not None:
            (a, b, c), (d, e, f) = ([float(v) for v in row] for row in affine)
            places.append([a, b, c, d * squeeze, e * squeeze, f * squeeze])
        names = ("first", "second") if len(self._images) > 1 else ("image",)
        images = [_source(p, place, name) for p, place, name in zip(self._images, places, names, strict=True)]
        names_to_colour_by = [] if self._layer is None else self._layer.names
        return {
            "images": images,
            "labels": None if self._labels is None else _source(self._labels, places[0], "labels"),
            "bounds": [0.0, 0.0, float(first.width), float(first.height * squeeze)],
            "aspect": squeeze,
            "pixel_um": None if first.pixel_size_um is None else first.pixel_size_um[1],
            "height": height,
            "patience_ms": 5000,
            "colour_names": names_to_colour_by,
        }

    # --- what a person did

    @property
    def selected(self) -> NDArray[np.bool_]:
        """Whether each row of the cells is selected, ``cells[viewer.selected]``; rows of other images are not."""
        import numpy as np

        if self._layer is None:
            return np.zeros(0, dtype=bool)
        mask = np.zeros(self._layer.total, dtype=bool)
        bits = np.unpackbits(np.frombuffer(self._selection, np.uint8), bitorder="little")
        count = len(self._layer.rows)
        mask[self._layer.rows] = bits[:count].astype(bool) if len(bits) >= count else False
        return mask

    @property
    def regions(self) -> gpd.GeoDataFrame:
        """What was drawn: polygons in pixels of the first image, with id, name, classification and annotator."""
        return shapes_of(self._regions, aspect=self._aspect, notes={"ids": self._ids})

    @property
    def shown(self) -> tuple[float, float, float, float] | None:
        """The part in view, ``(top, bottom, left, right)`` in pixels; ``None`` before the viewer is on a page."""
        if not self._window:
            return None
        x, y, width, height = self._window
        return y / self._aspect, (y + height) / self._aspect, x, x + width

    # --- what a program does

    def select(self, mask: Sequence[bool] | NDArray[np.bool_]) -> None:
        """Select cells.

        Parameters
        ----------
        mask
            One boolean per row of the cells.

        Raises
        ------
        AlignmentError
            If there are more or fewer.
        """
        import numpy as np

        chosen = np.asarray(mask, dtype=bool)
        if self._layer is None or chosen.shape != (self._layer.total,):
            total = 0 if self._layer is None else self._layer.total
            raise AlignmentError(f"a mask of shape {chosen.shape} for {total} cells; give one boolean per cell")
        self._selection = np.packbits(chosen[self._layer.rows], bitorder="little").tobytes()

    def colour_by(self, name: str | None) -> None:
        """Colour the cells by a column of ``obs`` or a variable.

        Parameters
        ----------
        name
            The column or variable; ``None`` draws all cells alike.

        Raises
        ------
        DatasetNotFoundError
            If there is none of that name; the closest are given.
        """
        if self._layer is None:
            if name:
                raise DatasetNotFoundError(f"there are no cells to colour by {name!r}; give cells=")
            self._colouring = {"name": "", "kind": "number", "colours": ["#56B4E9", "#56B4E9"], "low": 0, "high": 1}
            return
        self._coloured = colour_cells(self._layer, name)
        with self.hold_sync():
            self._values = self._coloured.values.astype("<f4").tobytes()
            self._colouring = self._coloured.facts

    def add_regions(self, shapes: gpd.GeoDataFrame) -> None:
        """Add outlines to those that can be edited, e.g. what the GeoJSON reader read from QuPath.

        Parameters
        ----------
        shapes
            Polygons in pixels of the first image, with or without name, classification and annotator.

        Raises
        ------
        DataError
            If something is no polygon, or an id is there already.
        """
        added = regions_of(shapes, aspect=self._aspect)
        twice = {one["id"] for one in self._regions} & {one["id"] for one in added}
        if twice:
            raise DataError(f"{len(twice)} regions are there already: {some(twice)}")
        self._regions = [*self._regions, *added]

    def look_at(self, x: float, y: float, *, width: float) -> None:
        """Move the image.

        Parameters
        ----------
        x, y
            Middle of the new view, in pixels of the first image.
        width
            How many pixels it is wide.
        """
        self.send({"type": "look", "centre": [x, y * self._aspect], "width": width})

    def screenshot(self, path: str | os.PathLike[str] | None = None, *, timeout_s: float = 10.0) -> bytes:
        """Return what is shown now as PNG, and write it when a path is given.

        Parameters
        ----------
        path
            Where to write.
        timeout_s
            How long to wait for the browser.

        Returns
        -------
        The PNG. Where no browser answers in time it is the still picture of the whole image, with a warning: no page
        shows the viewer, or it is no JupyterLab and cannot answer while a cell runs.
        """
        ticket = len(self._pictures) + 1
        end = time.monotonic() + timeout_s
        with self._answered:
            while ticket not in self._pictures and time.monotonic() < end:
                self.send({"type": "snapshot", "ticket": ticket})  # again, for a page that is still being drawn
                self._answered.wait_for(lambda: ticket in self._pictures, min(3.0, timeout_s))
            picture = self._pictures.get(ticket, b"")
        if not picture:
            warn(
                f"no browser answered within {timeout_s:g} s, so the picture is the still one of the whole image; show "
                "the viewer in JupyterLab 4.6 with ipykernel 7 or later, or press PNG in it"
            )
            picture = self.still()
        if path is not None:
            target = Path(path)
            part = target.with_name(f".{target.name}.part")
            part.write_bytes(picture)
            part.replace(target)
        return picture

    def still(self) -> bytes:
        """Return a PNG of the whole image with its cells, made without a browser."""
        import numpy as np

        from integrate.show.still import draw_still, png_bytes

        self._find_limits([i for i, one in enumerate(self._channels) if one["on"]])
        layer = self._layer or CellLayer(None, 0, np.arange(0), np.empty((0, 2)), np.empty((0, 2)))
        colouring = colour_cells(layer, None) if self._layer is None else self._coloured
        return png_bytes(
            draw_still(
                self._images[0], self._channels, places=layer.places, colouring=colouring, embedding=layer.embedding
            )
        )

    def _repr_mimebundle_(self, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        shown = super()._repr_mimebundle_(**settings)
        data, notes = shown if isinstance(shown, tuple) else (shown or {}, {})
        data = {**data, "image/png": base64.b64encode(self.still()).decode("ascii"), "text/plain": repr(self)}
        return data, {**notes, "image/png": {"alt": repr(self)}}

    def __repr__(self) -> str:
        first = self._images[0]
        cells = "" if self._layer is None else f", {len(self._layer.rows)} cells"
        who = " ".join(["Viewer", *self._ids.values()])
        return f"<{who}: {first.width} x {first.height} pixels, {len(first.channels)} channels{cells}>"

    # --- what the browser asks; this may run in another thread than the cells of the notebook

    def _answer(self, _: Any, message: dict[str, Any], buffers: Sequence[Any]) -> None:
        kind = message.get("type")
        try:
            if kind == "tiles":
                self._send_tiles(message["keys"])
            elif kind == "limits":
                self._find_limits(message["channels"])
            elif kind == "colour":
                self.colour_by(message["name"])
            elif kind == "refine":
                self._refine(message)
            elif kind == "snapshot":
                with self._answered:
                    self._pictures[message["ticket"]] = bytes(buffers[0])
                    self._answered.notify_all()
        except (IntegrateError, OSError) as error:  # the person at the browser is told; the kernel goes on
            self.send({"type": "note", "text": str(error)})

    def _send_tiles(self, keys: Sequence[str]) -> None:
        told: list[dict[str, Any]] = []
        buffers: list[memoryview] = []
        for key in keys:
            name, *place = key.split("/")
            source = self._labels if name == "labels" else self._images[int(name)]
            if source is None:
                continue
            level, channel, row, column = (int(part) for part in place)
            try:
                kind, pixels = _on_the_wire(source.tile(level, channel, row, column), is_labels=source.is_labels)
            except (IntegrateError, OSError, ValueError, RuntimeError) as error:
                self.send({"type": "failed", "keys": [key], "text": f"A part of the image cannot be read: {error}"})
                continue
            told.append({"key": key, "kind": kind, "width": pixels.shape[1], "height": pixels.shape[0]})
            buffers.append(pixels.data.cast("B"))
        if told:
            self.send({"type": "tiles", "tiles": told}, buffers)

    def _find_limits(self, positions: Sequence[int]) -> None:
        """Find black and full of the channels that have none yet."""
        channels, changed = [dict(one) for one in self._channels], False
        for at in positions:
            one = channels[at]
            if one["low"] is None:
                plane = self._images[one["image"]].overview(one["index"])
                one["low"], one["high"], one["min"], one["max"] = contrast(plane)
                changed = True
        if changed:
            self._channels = channels

    def _refine(self, message: Mapping[str, Any]) -> None:
        """Find the outline of what lies in a drawn box."""
        from integrate.prepare.outline import FINDERS, outline_object

        xs, ys = zip(*((x, y / self._aspect) for x, y in message["ring"]), strict=True)
        box = (min(ys), max(ys), min(xs), max(xs))
        one = self._channels[message["channel"]]
        image = self._images[one["image"]]
        top, left = max(0, int(box[0])), max(0, int(box[2]))
        bottom, right = min(image.height, int(box[1]) + 1), min(image.width, int(box[3]) + 1)
        plane = image.window(one["index"], top, bottom, left, right)
        outline = outline_object(plane, finder=FINDERS[message["method"]]())
        ring = [[x + left, (y + top) * self._aspect] for x, y in list(outline.exterior.coords)[:-1]]
        self.send({"type": "outline", "ring": ring})
        self.send({"type": "note", "text": ""})


def _source(pyramid: Pyramid, place: list[float], name: str) -> dict[str, Any]:
    levels = [
        {"width": one.width, "height": one.height, "scale_x": one.scale_x, "scale_y": one.scale_y}
        for one in pyramid.levels
    ]
    return {"name": name, "levels": levels, "tile": pyramid.tile_size, "place": place}


def _on_the_wire(pixels: NDArray[Any], *, is_labels: bool) -> tuple[str, NDArray[Any]]:
    """Return pixels as the browser takes them: names as 32 bits, small integers as they are, all else as floats."""
    import numpy as np

    if is_labels:
        return "u4", np.ascontiguousarray(pixels.astype(np.int64) & 0xFFFFFFFF, dtype="<u4")
    if pixels.dtype.kind in "bu" and pixels.dtype.itemsize <= 2:
        kind = f"u{pixels.dtype.itemsize}"
        return kind, np.ascontiguousarray(pixels, dtype=f"<{kind}")
    return "f4", np.ascontiguousarray(pixels, dtype="<f4")
