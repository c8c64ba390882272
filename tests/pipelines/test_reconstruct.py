"""Regions of real images through the autoencoder of ∞-Diff."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi.errors import ConditionError, ConfigError, RegionError
from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.pipelines.infdiff import InfDiffPipeline
from infbrush_wsi.pipelines.reconstruct import reconstruct
from infbrush_wsi.sources.array import ArraySource
from tests.pipelines.test_infdiff import bundle

REGION = (8, 4, 40, 36)


@pytest.fixture(scope="module")
def pipe() -> InfDiffPipeline:
    return InfDiffPipeline(bundle())


@pytest.fixture(scope="module")
def picture() -> ArraySource:
    noise = np.random.default_rng(0).normal(0, 1.2, (64, 80, 3)).astype(np.float32)
    return ArraySource((np.clip(Mollifier(1.5).on_image(noise), -0.8, 0.8) * 127.5 + 127.5).astype(np.uint8), mpp=0.5)


def off(found: np.ndarray, source: ArraySource) -> float:
    """Mean squared difference in grey levels from the region, over cells of the region's pixels."""
    real = source.read_region(REGION[:2], 0, REGION[2:]).astype(float)
    h, w, c = real.shape
    cells = found.reshape(h, found.shape[0] // h, w, found.shape[1] // w, c).mean(axis=(1, 3))
    return float(((cells - real) ** 2).mean())


def test_from_noise_it_is_the_image_of_the_latent(pipe: InfDiffPipeline, picture: ArraySource) -> None:
    latent = pipe.encode(picture, REGION[:2], REGION[2:])
    found = reconstruct(pipe, picture, region=REGION, seed=3, num_inference_steps=4)
    canvas = pipe(latent, REGION[2:], seed=3, num_inference_steps=4, scheduler="ddim", engine="joint")
    expected = canvas.read_region((0, 0), 0, REGION[2:])
    assert found.pixels.shape == (36, 40, 3)
    assert np.abs(found.pixels.astype(int) - expected).max() <= 1
    assert (found.provenance["task"], found.provenance["synthetic"]) == ("reconstruct", True)


@pytest.mark.parametrize("factor", [1, 2])
def test_from_its_own_noise_it_is_nearer_to_the_region(
    pipe: InfDiffPipeline, picture: ArraySource, factor: int
) -> None:
    made = {
        start: reconstruct(pipe, picture, region=REGION, factor=factor, start=start, num_inference_steps=8)
        for start in ("noise", "inversion")
    }
    assert made["inversion"].lattice.spacing.x == pytest.approx(0.5 / factor)
    assert off(made["inversion"].pixels, picture) < 0.5 * off(made["noise"].pixels, picture)


def test_what_cannot_be_reconstructed_is_told(pipe: InfDiffPipeline, picture: ArraySource) -> None:
    plain = InfDiffPipeline(bundle(encoder=False, latent=False))
    with pytest.raises(ConditionError, match="no encoder"):
        reconstruct(plain, picture, region=REGION)
    with pytest.raises(RegionError, match="not inside"):
        reconstruct(pipe, picture, region=(70, 0, 40, 40))
    with pytest.raises(RegionError, match="choose a part"):
        reconstruct(pipe, picture, region=(0, 0, 80, 64), factor=16)
    with pytest.raises(ConfigError, match="factor"):
        reconstruct(pipe, picture, region=REGION, factor=0)
