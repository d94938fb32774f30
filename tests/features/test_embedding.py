"""Embeddings of a small model made here, against the same calculation in numpy."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import integrate as ig
from integrate.errors import DataError, ParameterError, SourceNotFoundError
from integrate.model.image import make_image
from integrate.model.provenance import hash_file

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

WEIGHTS = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]], np.float32)


def written(path: Path, weights: np.ndarray = WEIGHTS) -> Path:
    """A model of pictures (n, 2, y, x): the mean of each channel times a matrix of weights."""
    from onnx import TensorProto, helper, numpy_helper

    floats = TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["pictures"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("pictures", floats, ["n", 2, "y", "x"])],
        [helper.make_tensor_value_info("embedding", floats, ["n", 3])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def image(data: np.ndarray | da.Array) -> xr.DataArray:
    return make_image(data, channels=["A", "B"], pixel_size_um=(0.5, 0.5))


PIXELS = np.random.default_rng(0).integers(0, 1000, (2, 60, 70), dtype=np.uint16)


def test_tiles_are_embedded_whole(tmp_path: Path) -> None:
    lazy = image(da.from_array(PIXELS, chunks=(1, 33, 20)))
    tiles = ig.make_tiles(lazy, size=10)
    path = written(tmp_path / "means.onnx")
    settings = ig.Embedding(path, size=10, mean=(100, 200), std=(10, 20), batch=4)
    table = ig.measure(lazy, tiles, features=[settings])
    pictures = PIXELS.reshape(2, 6, 10, 7, 10).transpose(1, 3, 0, 2, 4).reshape(42, 2, 100).mean(axis=2)
    expected = (pictures - [100, 200]) / [10, 20] @ WEIGHTS
    np.testing.assert_allclose(table.X, expected, rtol=1e-4, atol=1e-4)
    assert table.var_names.tolist() == ["embedding_0", "embedding_1", "embedding_2"]
    assert table.var["definition"].unique().tolist() == [f"sha256:{hash_file(path)}"]


def test_a_cell_is_seen_around_its_middle_and_beyond_the_image_is_nothing(tmp_path: Path) -> None:
    labels = np.zeros((60, 70), np.int32)
    labels[0:4, 0:4], labels[30:35, 40:44] = 5, 70_000
    settings = ig.Embedding(written(tmp_path / "m.onnx"), size=8)
    table = ig.measure(image(PIXELS), labels, features=[settings])
    corner = PIXELS[:, 0:6, 0:6].sum(axis=(1, 2)) / 64  # the rest of the picture lies beyond the image
    middle = PIXELS[:, 28:36, 38:46].mean(axis=(1, 2))
    np.testing.assert_allclose(table.X, np.stack([corner, middle]) @ WEIGHTS, rtol=1e-5)
    alone = ig.measure(image(PIXELS), labels, features=[ig.Embedding(tmp_path / "m.onnx", size=8, only_region=True)])
    inside = PIXELS[:, 30:35, 40:44].sum(axis=(1, 2)) / 64
    np.testing.assert_allclose(alone.X[1], inside @ WEIGHTS, rtol=1e-5)


def test_a_crop_is_resized_to_what_the_model_takes(tmp_path: Path) -> None:
    lazy = image(PIXELS)
    table = ig.measure(
        lazy, ig.make_tiles(lazy, size=20), features=[ig.Embedding(written(tmp_path / "m.onnx"), size=5, crop=20)]
    )
    first = PIXELS[:, :20, :20].mean(axis=(1, 2)) @ WEIGHTS
    np.testing.assert_allclose(table.X[0], first, rtol=1e-5)


def test_other_weights_are_other_settings(tmp_path: Path) -> None:
    labels = np.ones((60, 70), int)
    one = ig.measure(image(PIXELS), labels, features=[ig.Embedding(written(tmp_path / "a.onnx"), size=8)])
    same = ig.measure(image(PIXELS), labels, features=[ig.Embedding(written(tmp_path / "b.onnx"), size=8)])
    other = ig.measure(
        image(PIXELS), labels, features=[ig.Embedding(written(tmp_path / "c.onnx", 2 * WEIGHTS), size=8)]
    )
    assert one.var.equals(same.var)  # the path does not matter
    assert one.var["settings_hash"].iloc[0] != other.var["settings_hash"].iloc[0]


def test_a_torch_module_gives_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layers = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(2, 3, bias=False))
    layers[2].weight = torch.nn.Parameter(torch.from_numpy(WEIGHTS.T.copy()))
    lazy = image(PIXELS)
    found = ig.measure(lazy, ig.make_tiles(lazy, size=10), features=[ig.Embedding(layers, size=10)])
    onnx_found = ig.measure(
        lazy, ig.make_tiles(lazy, size=10), features=[ig.Embedding(written(tmp_path / "m.onnx"), size=10)]
    )
    np.testing.assert_allclose(found.X, onnx_found.X, rtol=1e-5)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no model at"):
        ig.Embedding(tmp_path / "nothing.onnx")
    with pytest.raises(DataError, match="expected the path of an ONNX file or a torch Module"):
        ig.Embedding(len)
    with pytest.raises(ParameterError, match="expected > 0"):
        ig.Embedding(written(tmp_path / "m.onnx"), size=0)
    settings = ig.Embedding(tmp_path / "m.onnx", size=8, mean=(1, 2, 3))
    with pytest.raises(ParameterError, match="3 means and 1 std for 2 channels"):
        ig.measure(image(PIXELS), np.ones((60, 70), int), features=[settings])
