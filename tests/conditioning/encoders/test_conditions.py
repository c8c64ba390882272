"""Stored embeddings as conditions of a pipeline: samples, ways between them, and grids that say what is where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image

from infbrush_wsi.conditioning.encoders import EmbeddingStore, interpolate, load_encoder, write_embeddings
from infbrush_wsi.conditioning.layout import layout_from_json, rearranged
from infbrush_wsi.errors import ConditionError
from infbrush_wsi.sources import collect

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE, CELL = (96, 48), 16.0
CALL: dict[str, Any] = {"size": SIZE, "mpp": 0.5, "num_inference_steps": 2, "halo": "exact"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    """A picture whose left half is red and fine, and whose right half is blue and coarse."""
    folder, rng = tmp_path_factory.mktemp("conditions"), np.random.default_rng(4)
    pixels = rng.integers(0, 80, (96, 192, 3)).astype(np.uint8)
    pixels[:, 96:] = rng.integers(0, 80, (12, 12, 3)).repeat(8, 0).repeat(8, 1)
    pixels[:, :96, 0] += 150
    pixels[:, 96:, 2] += 150
    Image.fromarray(pixels).save(folder / "a.png")
    images = collect([folder / "a.png"], mpp=0.5)
    return write_embeddings(images, load_encoder(), folder / "e.zarr", spacing=0.5, tile=32)


@pytest.fixture(scope="module")
def pipeline(make_pipeline: Callable[..., Any]) -> Any:
    return make_pipeline(classes=(), embedding_dim=load_encoder().record.dimension)


def picture(pipeline: Any, condition: Any) -> np.ndarray:
    return np.asarray(pipeline(condition, **CALL).read_region((0, 0), 0, SIZE)).astype(int)


def test_samples_and_what_lies_between_are_conditions(store: EmbeddingStore, pipeline: Any) -> None:
    a, b = store.grid("a.png")[0, 0], store.grid("a.png")[0, -1]
    pictures = [picture(pipeline, condition) for condition in interpolate(a, b, [0.0, 0.5, 1.0])]
    np.testing.assert_array_equal(pictures[0], picture(pipeline, a))
    np.testing.assert_array_equal(pictures[2], picture(pipeline, b))
    assert np.abs(pictures[0] - pictures[2]).mean() > 1
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.1
    assert picture(pipeline, store.sample(0, 1)[0]).shape == (48, 96, 3)
    mean = store.mean("a.png", (0, 0), (96, 48))
    assert picture(pipeline, mean).shape == (48, 96, 3)


def test_a_grid_is_a_layout_of_the_picture_and_can_be_had_elsewhere(store: EmbeddingStore, pipeline: Any) -> None:
    layout = store.layout("a.png")
    assert (layout.embeddings.shape[:2], layout.cell) == ((3, 6), CELL)
    here = picture(pipeline, layout)
    again = picture(pipeline, layout_from_json(layout.to_json()))
    np.testing.assert_array_equal(here, again)
    moved = rearranged(layout, seed=1, how="shift")
    assert moved != layout
    elsewhere = picture(pipeline, moved)
    assert np.abs(here - elsewhere).mean() > 0.5
    part = store.layout("a.png", (48.0, 0.0), (48.0, 48.0))
    np.testing.assert_array_equal(part.embeddings, layout.embeddings[:, 3:])


def test_a_grid_of_one_embedding_is_that_condition(store: EmbeddingStore, pipeline: Any) -> None:
    cell = store.layout("a.png", (16.0, 16.0), (16.0, 16.0))
    assert cell.embeddings.shape == (1, 1, 34)
    np.testing.assert_allclose(picture(pipeline, cell), picture(pipeline, store.grid("a.png")[1, 1]), atol=1)


def test_a_model_of_another_dimension_refuses_both(store: EmbeddingStore, make_pipeline: Callable[..., Any]) -> None:
    other = make_pipeline(classes=(), embedding_dim=6)
    for condition in (store.sample(0, 1)[0], store.layout("a.png")):
        with pytest.raises(ConditionError, match="34"):
            other(condition, **CALL)


def test_half_precision_is_half_the_size_and_close(store: EmbeddingStore) -> None:
    images, out = collect([store.path.parent / "a.png"], mpp=0.5), store.path.with_name("half.zarr")
    half = write_embeddings(images, load_encoder(), out, spacing=0.5, tile=32, dtype="float16")
    np.testing.assert_allclose(half.grid("a.png"), store.grid("a.png"), rtol=1e-3, atol=1e-6)
    assert half.grid("a.png").dtype == np.float32
    assert zarr.open_array(half.path, path=f"slides/{half.slides[0].key}/embeddings").dtype == np.float16
