"""∞-Diff from a model directory to pixels: latents sampled, given, encoded, laid out."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from infbrush_wsi.canvas import Canvas
from infbrush_wsi.conditioning.encoders import interpolate
from infbrush_wsi.conditioning.layout import EmbeddingGrid
from infbrush_wsi.errors import BandMismatchError, CheckpointError, ConditionError, ConfigError, RegionError
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.infdiff import InfDiffEncoder, LatentDenoiser
from infbrush_wsi.pipelines import recipe
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
from infbrush_wsi.pipelines.infdiff import InfDiffPipeline
from infbrush_wsi.pipelines.registry import open_pipeline
from infbrush_wsi.sources.array import ArraySource
from tests.conftest import SMALL, small_denoiser, small_info

WIDTH = 5
CALL: dict[str, Any] = {"size": (70, 48), "seed": 7, "num_inference_steps": 2}
Z = np.linspace(-2, 2, WIDTH, dtype=np.float32)


def bundle(**parts: bool) -> ModelBundle:
    parts = {"encoder": True, "latent": True} | parts
    width = WIDTH if parts["encoder"] else 0
    denoiser = small_denoiser(cano="off", cross_attention=False, latent_dim=width)
    networks = {"denoiser": denoiser}
    torch.manual_seed(1)
    sizes = {k: SMALL[k] for k in ("width", "blocks", "kernel_size", "grid_pitch", "grid_side", "grid_width")}
    if parts["encoder"]:
        networks["encoder"] = InfDiffEncoder(**sizes, grid_multipliers=(1, 2), latent_dim=WIDTH).eval()
    if parts["latent"]:
        networks["latent"] = LatentDenoiser(latent_dim=WIDTH, hidden=16, layers=3, time_width=8).eval()
    return ModelBundle(networks, small_info(denoiser, system="infdiff"), "made in memory")


@pytest.fixture(scope="module")
def pipe() -> InfDiffPipeline:
    return InfDiffPipeline(bundle())


@pytest.fixture(scope="module")
def photograph() -> ArraySource:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 255, (10, 12, 3)).astype(np.uint8)
    return ArraySource(np.kron(coarse, np.ones((8, 8, 1), np.uint8)), mpp=0.5)


def pixels(canvas: Canvas) -> NDArray[np.uint8]:
    return canvas.read_region((0, 0), 0, canvas.level_shapes[0][::-1])


def test_the_latent_decides_and_equal_calls_are_equal(pipe: InfDiffPipeline) -> None:
    image = pixels(pipe(Z, **CALL))
    assert image.shape == (48, 70, 3)
    np.testing.assert_array_equal(pixels(pipe(Z.tolist(), **CALL)), image)
    for other in (pipe(-Z, **CALL), pipe(Z, **CALL | {"seed": 8}), pipe(Z, **CALL, guidance_scale=2.0)):
        assert np.abs(pixels(other).astype(int) - image).mean() > 0.2


def test_a_latent_is_sampled_by_the_seed(pipe: InfDiffPipeline) -> None:
    canvas = pipe(**CALL, latent_steps=20)
    z = pipe.sample_latent(7, 20)
    np.testing.assert_array_equal(pixels(canvas), pixels(pipe(z, **CALL)))
    assert np.abs(z - pipe.sample_latent(8, 20)).max() > 0.1


@pytest.mark.parametrize("engine", ["lazy", "joint"])
def test_engines_and_tiles_change_rounding_only(pipe: InfDiffPipeline, engine: str) -> None:
    tiled, whole = (pixels(pipe(Z, **CALL, engine=engine, halo="exact", tile=side)).astype(int) for side in (32, 128))
    assert np.abs(tiled - whole).max() <= 1


def test_saved_and_opened_by_anyone_it_is_the_same(pipe: InfDiffPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["denoiser", "encoder", "infbrush.json", "latent"]
    again = open_pipeline(tmp_path / "model")
    assert isinstance(again, InfDiffPipeline)
    image = pixels(pipe(Z, **CALL))
    np.testing.assert_array_equal(pixels(again(Z, **CALL)), image)
    with pytest.raises(CheckpointError, match="of the system 'infdiff', InfBrushPipeline opens 'infbrush'"):
        InfBrushPipeline.from_pretrained(tmp_path / "model")
    recipe._CANVASES.clear()
    recipe._pipeline.cache_clear()
    array = again(**CALL, latent_steps=20).level_array(0)
    other = pickle.loads(pickle.dumps(array))
    assert other.canvas is not array.canvas
    np.testing.assert_array_equal(other[...], array[...])


def test_a_region_is_encoded_alike_in_any_tiles(
    pipe: InfDiffPipeline, photograph: ArraySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for side in (16, 256):
        monkeypatch.setattr("infbrush_wsi.pipelines.encoding.encode_region.__defaults__", (side,))
        found.append(pipe.encode(photograph, (8, 4), (64, 48)))
    assert found[0].shape == (WIDTH,)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-6)
    assert np.abs(pipe.encode(photograph) - found[0]).max() > 1e-4


def test_encoding_equals_the_encoder_on_all_points(pipe: InfDiffPipeline, photograph: ArraySource) -> None:
    """Against scattered points prepared as in training, with the mollifier's pixels from around the region."""
    from infbrush_wsi.domain import Shape
    from infbrush_wsi.fields.mollifier import Mollifier
    from infbrush_wsi.points.prepare import Layout, scatter_support
    from infbrush_wsi.points.samplers import UniformSampler

    encoder, shape = pipe.bundle.networks["encoder"], Shape(32, 40)
    draw = UniformSampler().draw(np.random.default_rng(0), shape, shape.count)
    clean = Mollifier(sigma=1.0).on_image(photograph.read_region((0, 0), 0, (96, 80)))[16:48, 24:64]
    support = scatter_support([draw], shape, Layout(5, 4.0, "splat"))
    with torch.no_grad():
        expected = encoder(torch.from_numpy(clean.reshape(1, -1, 3).copy()), support)[0]
    np.testing.assert_allclose(pipe.encode(photograph, (24, 16), (40, 32)), expected, rtol=1e-4, atol=1e-5)


def test_latents_interpolate_and_lie_in_layouts(pipe: InfDiffPipeline, photograph: ArraySource) -> None:
    first, second = pipe.encode(photograph, (0, 0), (48, 48)), Z
    half = interpolate(first, second, 0.5, "linear")
    np.testing.assert_allclose(half, (first + second) / 2, rtol=1e-6)
    grid = EmbeddingGrid(np.stack([Z, -Z])[None], cell=18.0)
    left, right = (pixels(pipe(z, **CALL)).astype(int) for z in (Z, -Z))
    mixed = pixels(pipe(grid, **CALL)).astype(int)
    assert np.abs(mixed - left).mean() > 0.2
    assert np.abs(mixed - right).mean() > 0.2


def test_the_unconditional_model_generates_and_takes_no_latent() -> None:
    plain = InfDiffPipeline(bundle(encoder=False, latent=False))
    assert pixels(plain(**CALL, guidance_scale=3.0)).std() > 1
    with pytest.raises(ConditionError, match="unconditional: it takes no latent"):
        plain(Z, **CALL)
    with pytest.raises(ConditionError, match="has no encoder"):
        plain.encode(ArraySource(np.zeros((40, 40, 3), np.uint8), mpp=0.5))


def test_without_latent_diffusion_nothing_is_sampled() -> None:
    half = InfDiffPipeline(bundle(latent=False))
    assert half(**CALL).spec.condition is None
    with pytest.raises(ConditionError, match="has no latent diffusion"):
        half.sample_latent(0)


def test_refusals(pipe: InfDiffPipeline, photograph: ArraySource) -> None:
    with pytest.raises(ConditionError, match=r"finite with shape \(5,\)"):
        pipe(Z[:3], **CALL)
    with pytest.raises(ConditionError, match="one latent"):
        pipe(np.stack([Z, Z]), **CALL)
    with pytest.raises(ConfigError, match="takes no sharpness"):
        pipe(Z, **CALL, sharpness=2)  # type: ignore[call-arg]
    with pytest.raises(RegionError, match="reaches outside"):
        pipe.encode(photograph, (90, 0), (20, 20))
    with pytest.raises(BandMismatchError, match="1 bands"):
        pipe.encode(ArraySource(np.zeros((40, 40), np.uint8), mpp=0.5))
