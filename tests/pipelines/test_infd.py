"""Canvases from one latent: pixels do not depend on how they are read, and errors are told."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from infbrush_wsi.canvas.lazy import CacheLimits
from infbrush_wsi.canvas.picture import to_grey
from infbrush_wsi.diffusion.latent_field import latent_noise
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.errors import BandMismatchError, CheckpointError, ConditionError, ConfigError, RegionError
from infbrush_wsi.operators.query import Query
from infbrush_wsi.pipelines.infd import InfdPipeline
from infbrush_wsi.writers.pyramid import halve
from tests.infd_model import small_autoencoder, small_bundle


@pytest.fixture(scope="module")
def pipe() -> InfdPipeline:
    return InfdPipeline(small_bundle())


def made(pipe: InfdPipeline, **call: Any) -> Any:
    return pipe("benign", **{"size": (300, 260), "mpp": 0.25, "seed": 3, "num_inference_steps": 2, "tile": 64} | call)


@pytest.fixture(scope="module")
def canvas(pipe: InfdPipeline) -> Any:
    return made(pipe)


def whole(canvas: Any, level: int = 0) -> np.ndarray:
    h, w = canvas.level_shapes[level]
    return canvas.read_region((0, 0), level, (w, h))


def test_the_same_bytes_in_any_order_and_chunking(pipe: InfdPipeline, canvas: Any) -> None:
    expected = whole(canvas)
    assert expected.std() > 3
    other = made(pipe, limits=CacheLimits(memory=1 << 16, disk=0))
    assert np.array_equal(other.to_dask(0, chunk=96).compute(scheduler="threads"), expected)
    for x, y, w, h in [(250, 200, 50, 60), (63, 65, 2, 1), (0, 0, 300, 3)]:
        assert np.array_equal(other.read_region((x, y), 0, (w, h)), expected[y : y + h, x : x + w])
    assert other.token == canvas.token


@pytest.mark.parametrize("level", [0, 1])
def test_tiles_are_the_whole_rendering(pipe: InfdPipeline, canvas: Any, level: int) -> None:
    """Each level is rendered with its own cells; no tile is to be seen in it."""
    shape, cell = Shape(*canvas.level_shapes[level]), 0.125 * 2**level
    with torch.inference_mode():
        features = pipe.autoencoder.features(torch.from_numpy(pipe.latent_of(canvas))[None])
        picture = pipe.autoencoder.render(features, Query.window(Box(0, 0, shape.w, shape.h), (cell, cell)))
    expected = to_grey(picture[0].permute(1, 2, 0).numpy())
    assert np.abs(whole(canvas, level).astype(int) - expected).max() <= 1
    assert not canvas.reader.averaged(level)


def test_levels_coarser_than_training_are_averages(pipe: InfdPipeline) -> None:
    canvas = made(pipe, size=(300, 260), mpp=2.0, latent=pipe.encode(np.zeros((260, 300, 3), np.uint8)))
    assert [canvas.reader.averaged(level) for level in range(canvas.level_count)] == [False, True]
    expected = halve(whole(canvas, 0).transpose(2, 0, 1)).transpose(1, 2, 0)
    assert np.array_equal(whole(canvas, 1), expected)


def test_seed_condition_and_size_of_a_latent(pipe: InfdPipeline, canvas: Any) -> None:
    first = pipe.latent_of(canvas)
    assert first.shape == (3, 18, 20)  # 260 x 300 pixels of 0.125 features, 2 features to a cell, in steps of 2
    again, seeded, classed = made(pipe), made(pipe, seed=4), pipe("Invasive", (300, 260), 0.25, 3, 2)
    assert np.array_equal(pipe.latent_of(again), first)
    assert not np.allclose(pipe.latent_of(seeded), first)
    assert not np.allclose(pipe.latent_of(classed), first)
    assert pipe.latent_of(made(pipe, size=(10, 10))).shape == (3, 16, 16)  # never less than the window


def test_noise_is_a_function_of_place() -> None:
    small = latent_noise(5, 3, Shape(4, 6), 0).reshape(4, 6, 3)
    large = latent_noise(5, 3, Shape(9, 8), 0).reshape(9, 8, 3)
    assert torch.equal(large[:4, :6], small)
    assert not torch.equal(latent_noise(5, 3, Shape(4, 6), 1).reshape(4, 6, 3), small)


def test_ddim_with_noise_is_reproducible(pipe: InfdPipeline) -> None:
    call = {"scheduler": "ddim", "eta": 1.0, "guidance_scale": 2.0, "size": (64, 64)}
    one, two = made(pipe, **call), made(pipe, **call)
    assert np.array_equal(pipe.latent_of(one), pipe.latent_of(two))
    assert np.isfinite(pipe.latent_of(one)).all()


def test_saved_and_sent_to_another_process(pipe: InfdPipeline, tmp_path: Any) -> None:
    pipe.save_pretrained(tmp_path / "model")
    canvas = made(InfdPipeline.from_pretrained(tmp_path / "model"), size=(70, 50))
    travelled = pickle.loads(pickle.dumps(canvas.level_array(0)))
    assert np.array_equal(travelled[...], whole(canvas))
    assert np.array_equal(whole(canvas), whole(made(pipe, size=(70, 50))))


def test_written_like_any_canvas(canvas: Any, tmp_path: Any) -> None:
    from infbrush_wsi.sources import open_source

    canvas.write_ome_zarr(tmp_path / "x.ome.zarr")
    with open_source(tmp_path / "x.ome.zarr") as source:
        assert source.mpp == pytest.approx(0.25)
        assert np.array_equal(source.read_region((0, 0), 0, (300, 260)), whole(canvas))
        assert np.array_equal(source.read_region((0, 0), 1, (150, 130)), whole(canvas, 1))
    assert canvas.provenance["system"] == "infd"
    assert canvas.thumbnail(100).shape == (87, 100, 3)


def test_a_real_image_is_encoded_and_rendered_finer() -> None:
    first_stage = InfdPipeline(small_bundle(denoiser=False))
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    latent = first_stage.encode(pixels)
    assert latent.shape == (3, 24, 32)
    canvas = first_stage(size=(256, 192), mpp=0.5, latent=latent)
    assert whole(canvas).shape == (192, 256, 3)
    assert canvas.token != first_stage(size=(256, 192), mpp=0.5, latent=latent + 1).token
    with pytest.raises(CheckpointError, match="second stage"):
        whole(first_stage(size=(64, 64)))
    with pytest.raises(RegionError, match="the latent covers 64 x 48"):
        first_stage(size=(257, 192), mpp=0.5, latent=latent)
    with pytest.raises(ConfigError, match="shape"):
        first_stage(size=(64, 64), latent=latent[:2])
    with pytest.raises(RegionError, match="multiples of 2"):
        first_stage.encode(pixels[:47])
    with pytest.raises(BandMismatchError, match="uint8"):
        first_stage.encode(pixels.astype(np.float32))


def test_what_cannot_be_rendered_is_refused(pipe: InfdPipeline) -> None:
    with pytest.raises(RegionError, match="at most 4 training windows"):
        made(pipe, size=(513, 64), mpp=0.5)
    for mpp in (0.12, 2.1):
        with pytest.raises(RegionError, match=r"0\.125 to 2"):
            made(pipe, mpp=mpp)
    with pytest.raises(ConditionError, match="Benign, Invasive"):
        pipe("Normal")
    with pytest.raises(ConfigError, match="eta"):
        made(pipe, eta=0.5)
    bundle = small_bundle()
    with pytest.raises(CheckpointError, match="infbrush"):
        InfdPipeline(replace(bundle, info=replace(bundle.info, system="infbrush")))
    networks = dict(bundle.networks) | {"autoencoder": small_autoencoder()}
    with pytest.raises(CheckpointError, match="do not fit"):
        InfdPipeline(replace(bundle, networks=networks, info=replace(bundle.info, classes=("Benign",))))
