"""Conditions side by side: what is of one kind is the image of that kind, and borders blend."""

import numpy as np
import pytest
import torch

from infbrush_wsi.canvas.generator import Mixture
from infbrush_wsi.conditioning.layout import EmbeddingGrid, PolygonLayout, RasterLayout, uniform
from infbrush_wsi.errors import ConditionError, ConfigError

CALL = {"size": (150, 60), "seed": 3, "num_inference_steps": 2, "tile": 32}
FRAMES = {"frame": 64}


@pytest.fixture(scope="module")
def pipeline(make_pipeline):
    return make_pipeline()


def image(pipeline, condition, **call):
    canvas = pipeline(condition, **CALL | call)
    return canvas.read_region((0, 0), 0, CALL["size"])


def square(x0, y0, x1, y1):
    return [np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]], float)]


def halves(left, right, cell=4.0):
    """Two conditions that meet at x = 37.5 µm, the middle of the canvas, and reach beyond it."""
    values = np.broadcast_to([1, 1, 2, 2], (3, 4))
    return RasterLayout(values, {1: left, 2: right}, (37.5, 100.0), cell=cell, offset=(37.5, 100.0))


@pytest.mark.parametrize("condition", ["Invasive", None])
@pytest.mark.parametrize("call", [{}, FRAMES, {"guidance_scale": 1.5}, FRAMES | {"guidance_scale": 1.5}], ids=str)
def test_one_condition_everywhere_gives_the_bytes_of_that_condition(pipeline, condition, call):
    alone = image(pipeline, condition, **call)
    layouts = [
        uniform(condition),
        RasterLayout(np.ones((6, 6), int), {1: condition}, 40.0, background="Normal", offset=(80.0, 80.0)),
        PolygonLayout([square(-9, -9, 99, 99)], [1], ["Normal", condition], 5.0),
    ]
    for layout in layouts:
        np.testing.assert_array_equal(image(pipeline, layout, **call), alone)


@pytest.mark.parametrize("call", [{}, FRAMES | {"coarse": False}, {"guidance_scale": 1.5}], ids=str)
def test_each_half_is_of_its_kind(pipeline, call):
    """Nearer to the image of its condition than that one is to the other's; the global sums see both halves."""
    both, *alone = (
        image(pipeline, c, **call).astype(int) for c in (halves("Normal", "Invasive"), "Normal", "Invasive")
    )
    for own, other, part in ((0, 1, np.s_[:, :50]), (1, 0, np.s_[:, -50:])):
        apart = np.abs(alone[own][part] - alone[other][part]).mean()
        assert np.abs(both[part] - alone[own][part]).mean() < 0.5 * apart
        assert np.abs(both[part] - alone[other][part]).mean() > 0.7 * apart


def test_frames_of_one_kind_do_not_know_of_another_kind_elsewhere(pipeline):
    """Frames are 64 pixels and touch no others than their neighbours: the far end of the canvas is the same bytes."""
    call = {"size": (300, 60), "frame": 64, "coarse": False}
    layout = RasterLayout(np.array([[1, 2]]), {1: "Normal", 2: "Invasive"}, (25.0, 100.0), background="Invasive")
    both, alone = (pipeline(c, **CALL | call).read_region((220, 0), 0, (80, 60)) for c in (layout, "Invasive"))
    np.testing.assert_array_equal(both, alone)


def test_the_order_and_names_of_conditions_that_are_not_there_do_not_matter(pipeline):
    wide = PolygonLayout([square(-9, -9, 37.5, 99), square(500, 0, 600, 9)], [2, 1], ["Invasive", None, "Normal"], 4.0)
    plain = PolygonLayout([square(-9, -9, 37.5, 99)], [1], ["Invasive", "Normal"], 4.0)
    np.testing.assert_array_equal(image(pipeline, wide), image(pipeline, plain))


def test_a_mixture_weighs_the_outputs_at_each_point():
    outputs, weights = torch.randn(3, 7, 2), torch.rand(7, 3)
    found = Mixture((0, 4, 5), weights).mixed(outputs)
    expected = sum(weights[:, k, None] * outputs[k] for k in range(3))
    torch.testing.assert_close(found, expected[None])
    one = torch.randn(1, 7, 2)
    assert Mixture((4,)).mixed(one) is one


def test_mixtures_on_rows_and_columns_and_at_points_agree(pipeline):
    generator = pipeline(halves("Normal", "Invasive", cell=7.0), **CALL).reader.generator
    y, x = np.linspace(0.2, 29, 9), np.linspace(0.1, 74, 23)
    lattice = generator.mixture_on(y, x)
    points = generator.mixture_at(np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2))
    assert lattice.present == points.present
    assert len(lattice.present) == 2
    torch.testing.assert_close(lattice.weights, points.weights)
    torch.testing.assert_close(lattice.weights.sum(1), torch.ones(9 * 23))
    names = [generator.layout.conditions[k] for k in lattice.present]
    left, right = lattice.weights.reshape(9, 23, 2)[0, 0], lattice.weights.reshape(9, 23, 2)[0, -1]
    assert (names[int(left.argmax())], names[int(right.argmax())]) == ("Normal", "Invasive")
    assert generator.mixture_on(y, x[:3]).weights is None


def test_a_grid_of_embeddings(make_pipeline):
    pipeline = make_pipeline(classes=(), embedding_dim=6)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, 6)).astype(np.float32)
    same = EmbeddingGrid(np.broadcast_to(vectors[0], (2, 3, 6)).copy(), 30.0)
    alone = image(pipeline, vectors[0])
    assert np.abs(image(pipeline, same).astype(int) - alone).max() <= 1
    mixed = EmbeddingGrid(np.stack([vectors[:1], vectors[1:]], 1), 37.5)
    assert np.abs(image(pipeline, mixed).astype(int) - alone).mean() > 1
    with pytest.raises(ConditionError, match="5 values, the model takes 6"):
        pipeline(EmbeddingGrid(np.zeros((2, 2, 5), np.float32), 30.0))


def test_layouts_that_the_model_or_the_engine_cannot_follow_are_refused(pipeline):
    with pytest.raises(ConditionError, match="'Benign'"):
        pipeline(halves("Normal", "Benign"))
    with pytest.raises(ConfigError, match="renders no layouts"):
        pipeline(halves("Normal", "Invasive"), engine="joint")
