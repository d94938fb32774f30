"""Embeddings: what a neural network sees in each region."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from integrate.errors import DataError, MissingDependencyError, ParameterError, SourceNotFoundError
from integrate.features.family import Column, Measured
from integrate.features.whole import WholeFamily
from integrate.model.provenance import hash_file

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block

__all__ = ["Embedding"]

_SESSIONS: dict[str, Any] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Embedding(WholeFamily):
    """Settings of an embedding: columns ``embedding_0``, ``embedding_1`` … of a model of your own.

    Parameters
    ----------
    model
        Path of an ONNX file, or a torch Module. It takes float32 pictures ``(n, c, y, x)`` and returns ``(n, ...)``.
        Of all channels of the image, in their order: select those the model knows before measuring.
    size
        Edge of the picture the model takes, in its pixels.
    crop
        Edge of what is cut out of the image around the middle of each region's bounding box, in pixels of the image; by
        default `size`. Where it differs from `size` the picture is resized. Beyond the image all is 0.
    mean, std
        Pictures are ``(pixels - mean) / std``; one number, or one per channel.
    only_region
        Set pixels outside the region to 0 first: a cell is then seen without its neighbours.
    batch
        How many pictures the model sees at a time.

    Notes
    -----
    The sha256 of the weights (of the file, or of all parameters by name) is among the settings of every column, and so
    in its ``settings_hash``. Models calculate in float32: results agree to about 1e-6 between batches, chunks and
    machines, not to the bit.

    Examples
    --------
    >>> Embedding("resnet.onnx", size=224)
    Traceback (most recent call last):
    integrate.errors.SourceNotFoundError: no model at 'resnet.onnx'; give the path of an ONNX file or a torch Module
    """

    reads_whole: ClassVar[Literal["regions", "channels", "image"]] = "image"

    model: InitVar[Any]
    size: int = 224
    crop: int | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    only_region: bool = False
    batch: int = 32
    weights: str = field(init=False, default="")

    def __post_init__(self, model: Any) -> None:
        """Refuse what is no model, and hash its weights."""
        for name in ("mean", "std"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, (tuple, list)) else (float(value),))
        if self.size < 1 or self.batch < 1 or (self.crop is not None and self.crop < 1) or 0 in self.std:
            raise ParameterError(
                f"found size {self.size}, crop {self.crop}, batch {self.batch}, std {self.std}; expected > 0"
            )
        object.__setattr__(self, "_model", str(model) if isinstance(model, (str, Path)) else model)
        object.__setattr__(self, "weights", _hash_weights(model))

    @property
    def margin(self) -> int:
        """As far as a picture reaches beyond the smallest region."""
        return (self.crop or self.size) // 2 + 1

    def from_whole_image(self, block: Block, image: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Return what the model says of each region."""
        import numpy as np

        run = _runner(self._model, self.weights)  # type: ignore[attr-defined]
        pictures = _pictures(block, image, self)
        parts = [run(pictures[first : first + self.batch]) for first in range(0, len(pictures), self.batch)]
        found = np.concatenate(parts).reshape(len(pictures), -1).astype(np.float64)
        return {"embedding": found}

    def columns(self, measured: Measured) -> list[Column]:
        """Return a column per number of the embedding; none where there was no region to look at."""
        values = measured.values.get("embedding")
        if values is None:
            return []
        definition = f"sha256:{self.weights}"
        return [
            Column(f"embedding_{k}", values[:, k], "1", definition, statistic=f"embedding_{k}")
            for k in range(values.shape[1])
        ]


def _pictures(block: Block, image: np.ndarray[Any, Any], settings: Embedding) -> np.ndarray[Any, Any]:
    """Return float32 pictures ``(regions, c, size, size)``, each around the middle of a bounding box."""
    import numpy as np

    edge = settings.crop or settings.size
    channels = image.shape[0]
    mean, std = (np.array(part, np.float32).reshape(-1, 1, 1) for part in (settings.mean, settings.std))
    if {len(mean), len(std)} - {1, channels}:
        raise ParameterError(
            f"found {len(mean)} means and {len(std)} std for {channels} channels; expected 1 or one each"
        )
    pictures = np.zeros((len(block.ids), channels, settings.size, settings.size), np.float32)
    begins = np.searchsorted(block.region, np.arange(len(block.ids) + 1))
    for r in range(len(block.ids)):
        runs = slice(begins[r], begins[r + 1])
        row, start, stop = block.row[runs], block.start[runs], block.stop[runs]
        top = (int(row.min()) + int(row.max()) + 1) // 2 - edge // 2
        left = (int(start.min()) + int(stop.max())) // 2 - edge // 2
        y, x = slice(max(top, 0), max(top + edge, 0)), slice(max(left, 0), max(left + edge, 0))
        seen = (image[:, y, x].astype(np.float32) - mean) / std
        if settings.only_region:
            inside = np.zeros(image.shape[1:], bool)
            for one, first, last in zip(row, start, stop, strict=True):
                inside[one, first:last] = True
            seen = np.where(inside[y, x], seen, np.float32(0))
        picture = np.zeros((channels, edge, edge), np.float32)
        at_y, at_x = y.start - top, x.start - left
        picture[:, at_y : at_y + seen.shape[1], at_x : at_x + seen.shape[2]] = seen
        pictures[r] = picture if edge == settings.size else _resized(picture, settings.size)
    return pictures


def _resized(picture: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    import cv2
    import numpy as np

    method = cv2.INTER_AREA if size < picture.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(channel, (size, size), interpolation=method) for channel in picture])


def _hash_weights(model: Any) -> str:
    """Return the sha256 of an ONNX file, or of a torch Module's structure and parameters."""
    if isinstance(model, (str, Path)):
        if not Path(model).is_file():
            raise SourceNotFoundError(f"no model at {str(model)!r}; give the path of an ONNX file or a torch Module")
        return hash_file(model)
    if not hasattr(model, "state_dict"):
        raise DataError(f"found {type(model).__name__} as a model; expected the path of an ONNX file or a torch Module")
    digest = hashlib.sha256(repr(model).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _runner(model: Any, weights: str) -> Callable[[Any], Any]:
    """Return the function that a model is, made once per process."""
    if not isinstance(model, str):
        return lambda batch: _run_torch(model, batch)
    with _LOCK:
        if weights not in _SESSIONS:
            _SESSIONS[weights] = _session(model, weights)
    session = _SESSIONS[weights]
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0]


def _session(path: str, weights: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError('ONNX models need onnxruntime: pip install "integrate[deep]"') from error
    if hash_file(path) != weights:
        raise DataError(f"the model at {path!r} has changed since its settings were made; make the Embedding anew")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # blocks already run in several threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _run_torch(module: Any, batch: Any) -> Any:
    import torch

    module.eval()
    with torch.no_grad():
        return module(torch.from_numpy(batch)).cpu().numpy()
