"""The networks of INFD: shapes, what is left out of diffusers' decoder, saving, conditions, losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DModel, VQModel

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConditionError, ConfigError
from infbrush_wsi.models.infd import FieldAutoencoder, LatentDenoiser, preset
from infbrush_wsi.models.infd.critic import PatchCritic, hinge_losses
from infbrush_wsi.models.infd.perceptual import PerceptualDistance
from infbrush_wsi.operators.query import Query

BLOCKS = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
SIZES: dict[str, Any] = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}


def autoencoder(bottleneck: str = "kl", **networks: Any) -> FieldAutoencoder:
    torch.manual_seed(0)
    return FieldAutoencoder(bottleneck, BLOCKS | SIZES | {"latent_channels": 3} | networks, 8, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("bottleneck", ["kl", "vq"])
def test_from_image_to_any_window(bottleneck: str, tmp_path: Any) -> None:
    network = autoencoder(bottleneck).eval()
    image, query = torch.rand(2, 3, 16, 16) * 2 - 1, Query.window(Box(4, 0, 10, 12), (0.25, 0.25))
    both = Query.stacked([query, query])
    with torch.no_grad():
        latent = network.encode(image)
        features = network.features(latent)
        picture = network.render(features, both)
        torch.manual_seed(1)
        trained, own = network(image, both)
    assert latent.shape == (2, network.latent_channels, 8, 8)
    assert features.shape == (2, 8, 16, 16)
    assert picture.shape == trained.shape == (2, 3, 12, 10)
    assert own.shape == (2,)
    assert (own > 0).all()
    network.save_pretrained(tmp_path)
    again = FieldAutoencoder.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again.render(again.features(latent), both), picture)


def test_latents_are_quantised_when_they_are_decoded() -> None:
    network = autoencoder("vq", num_vq_embeddings=4).eval()
    codes = network.coder.quantize.embedding.weight.detach()
    latent = codes[torch.arange(4).repeat(16)].T.reshape(1, 3, 8, 8)
    with torch.no_grad():
        nearby = network.features(latent + 1e-3 * codes.std())
        torch.testing.assert_close(nearby, network.features(latent), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [AutoencoderKL, VQModel])
def test_a_given_autoencoder_keeps_its_weights(kind: Any) -> None:
    torch.manual_seed(3)
    given = kind(**BLOCKS, **SIZES, latent_channels=3).eval()
    network = FieldAutoencoder.around(given, width=8, blocks=0).eval()
    caught: list[torch.Tensor] = []
    given.decoder.conv_norm_out.register_forward_hook(lambda module, args, out: caught.append(args[0]))
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        given(image)
        features = network.features(network.encode(image))
    torch.testing.assert_close(features, caught[0], rtol=0, atol=1e-6)
    with pytest.raises(ConfigError, match="UNet2DModel"):
        FieldAutoencoder.around(
            UNet2DModel(block_out_channels=(32,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))
        )


def test_the_denoiser_takes_classes_embeddings_and_neither(tmp_path: Any) -> None:
    latent, times = torch.randn(2, 4, 8, 8), torch.tensor([10, 900])
    torch.manual_seed(0)
    classed = LatentDenoiser(width=16, head=8, classes=("a", "b")).eval()
    embedded = LatentDenoiser(width=16, head=8, embedding_dim=5).eval()
    labels = ConditionBatch(torch.zeros(2, dtype=torch.bool), labels=torch.tensor([0, 1]))
    vectors = ConditionBatch(torch.zeros(2, dtype=torch.bool), embeddings=torch.randn(2, 1, 5))
    with torch.no_grad():
        first, none = classed(latent, times, labels), classed(latent, times, ConditionBatch.none(2))
        assert first.shape == latent.shape
        assert not torch.allclose(first, none)
        dropped = classed(latent, times, labels.dropped(torch.tensor([True, True])))
        assert torch.equal(dropped, none)
        assert not torch.allclose(embedded(latent, times, vectors), embedded(latent, times, ConditionBatch.none(2)))
        with pytest.raises(ConditionError, match="without them"):
            classed(latent, times, vectors)
        classed.save_pretrained(tmp_path)
        assert torch.equal(LatentDenoiser.from_pretrained(tmp_path)(latent, times, labels), first)


def test_presets_fit_together() -> None:
    for name in ("tiny", "small"):
        chosen = preset(name)
        coder, denoiser = FieldAutoencoder(**chosen.autoencoder), LatentDenoiser(**chosen.denoiser)
        assert coder.latent_channels == denoiser.config.channels
        assert coder.downsampling == 4
        PatchCritic(3, **chosen.critic)
    with pytest.raises(ConfigError, match="tiny, small, paper"):
        preset("huge")


def test_bad_sizes_are_told() -> None:
    with pytest.raises(ConfigError, match="multiples of groups=8"):
        LatentDenoiser(width=20)
    with pytest.raises(ConfigError, match="'kl' or 'vq'"):
        FieldAutoencoder("ae")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="diffusers"):
        FieldAutoencoder("kl", {"colour": "red"})
    with pytest.raises(ConfigError, match="multiple of 8"):
        PatchCritic(3, 12)


def test_the_critics_loss_is_the_hinge() -> None:
    real, fake = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[-2.0, 0.5]]]])
    assert hinge_losses(real, fake).tolist() == pytest.approx([0.5 * (0 + 1 + 0 + 1.5) / 2])
    assert PatchCritic(3, 16, 2)(torch.zeros(2, 3, 32, 32)).shape[:2] == (2, 1)


def test_the_perceptual_distance_sees_more_damage_as_more_and_teaches() -> None:
    from scipy.ndimage import gaussian_filter

    from infbrush_wsi.domain import Shape
    from infbrush_wsi.phantom import hne_image

    image = hne_image("Invasive", Shape(64, 64), 0.5, 0).astype("float32") / 127.5 - 1
    tensor = lambda pixels: torch.from_numpy(pixels.transpose(2, 0, 1))[None]  # noqa: E731
    distance = PerceptualDistance()
    seen = [float(distance(tensor(gaussian_filter(image, (s, s, 0))), tensor(image))) for s in (0.0, 0.7, 1.5, 3.0)]
    assert seen[0] == 0
    assert seen == sorted(seen)
    grey = tensor(image).mean(1, keepdim=True).requires_grad_()
    distance(grey, grey.detach() * 0.5).sum().backward()
    assert grey.grad is not None
    assert grey.grad.abs().sum() > 0
    assert all(not parameter.requires_grad for parameter in distance.parameters())
