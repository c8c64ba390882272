"""Runs of ∞-Diff: encoder and denoiser together, then the latents; resumed to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from infbrush_wsi.errors import CheckpointError, ConfigError
from infbrush_wsi.models.infdiff import LatentDenoiser
from infbrush_wsi.training.build import build_dataset, load_data
from infbrush_wsi.training.checkpoint import checkpoints
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.infdiff import build_networks
from infbrush_wsi.training.infdiff_latent import encode_windows, load_autoencoder
from infbrush_wsi.training.run import train

Make = Callable[..., RunConfig]
SMALL = {
    "width": 8, "blocks": 1, "kernel_size": 3, "grid_side": 8, "grid_width": 8, "grid_multipliers": (1, 2),
    "grid_attention_from": 1, "embedding_width": 16, "dropout": 0.1, "latent_dim": 6,
}  # fmt: skip


class Killed(Exception):
    """Ends a run as a kill would."""


@pytest.fixture
def first(config: Make) -> Make:
    """Configurations of the first stage."""
    return lambda **changes: config(
        **{"model__system": "infdiff", "model__overrides": SMALL, "optim__steps": 8, "record__checkpoint_every": 4}
        | changes
    )


def exact(config: RunConfig, out: Path, kill_at: int | None = None, resume: bool = False) -> list[float]:
    """Losses of a run to the last bit."""
    found: dict[int, float] = {}

    def report(step: int, scalars: dict[str, float]) -> None:
        found[step] = scalars["loss"]
        if step == kill_at:
            raise Killed

    with suppress(Killed):
        train(config, out, resume=resume, report=report)
    return [found[step] for step in sorted(found)]


def tensors(out: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(next((out / name).glob("*.safetensors")))


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_both_stages_resume_to_the_last_bit(first: Make, tmp_path: Path) -> None:
    whole = exact(first(), tmp_path / "whole")
    assert exact(first(), tmp_path / "parts", kill_at=6) == whole[:6]
    assert exact(first(), tmp_path / "parts", resume=True) == whole[4:]
    for name in ("denoiser", "encoder"):
        assert equal(tensors(tmp_path / "whole", name), tensors(tmp_path / "parts", name))

    second = first(
        model__system="infdiff-latent",
        model__overrides={"hidden": 16, "layers": 3},
        model__autoencoder=str(tmp_path / "whole"),
        model__latents=20,
        record__preview_every=8,
        record__preview_steps=2,
    )
    whole = exact(second, tmp_path / "latent")
    assert len(set(whole)) == 8
    assert exact(second, tmp_path / "latent-parts", kill_at=6) == whole[:6]
    assert exact(second, tmp_path / "latent-parts", resume=True) == whole[4:]
    assert equal(tensors(tmp_path / "latent", "latent"), tensors(tmp_path / "latent-parts", "latent"))
    for name in ("denoiser", "encoder"):
        assert equal(tensors(tmp_path / "whole", name), tensors(tmp_path / "latent", name))
    assert len(list((tmp_path / "latent" / "previews").iterdir())) == 1

    data = load_data(second.data)
    latents = encode_windows(second, data, load_autoencoder(second, data))
    assert latents.shape == (20, 6)
    stored = LatentDenoiser.from_pretrained(tmp_path / "latent" / "latent")
    torch.testing.assert_close(stored.mean, latents.mean(0))
    torch.testing.assert_close(stored.std, latents.std(0))
    assert stored.mean.abs().max() > 1e-3


def test_encoder_and_denoiser_learn_and_are_averaged(first: Make, tmp_path: Path) -> None:
    settings = first(record__preview_every=8, record__preview_steps=2)
    bundle = train(settings, tmp_path / "run")
    assert bundle is not None
    assert bundle.info.system == "infdiff"
    assert bundle.info.classes == ()
    assert set(bundle.networks) == {"denoiser", "encoder"}
    last = checkpoints(tmp_path / "run")[-1]
    average, raw = load_file(last / "ema.safetensors"), load_file(last / "model.safetensors")
    fresh = dict(build_networks(settings, load_data(settings.data)).named_parameters())
    for name in ("denoiser", "encoder"):
        saved = tensors(tmp_path / "run", name)
        assert saved
        assert all(torch.equal(value, average[f"{name}.{key}"]) for key, value in saved.items())
        assert any(not torch.equal(value, raw[f"{name}.{key}"]) for key, value in saved.items())
        moved = [key for key in saved if not torch.equal(raw[f"{name}.{key}"], fresh[f"{name}.{key}"])]
        assert len(moved) > 0.8 * len(saved)
    assert len(list((tmp_path / "run" / "previews").iterdir())) == 1


def test_the_encoder_gets_points_of_its_own_of_the_same_window(first: Make) -> None:
    settings = first(data__points=200, optim__condition_drop=0.5, data__flips=True)
    data = load_data(settings.data)
    network = build_networks(settings, data)
    without, with_points = (build_dataset(settings, data, network.denoiser, reference_points=n) for n in (0, 200))
    shared = different = 0
    for step in range(4):
        plain, batch = without[step], with_points[step]
        for name in ("clean", "noise", "weight", "timestep"):
            assert torch.equal(getattr(plain, name), getattr(batch, name))
        assert plain.reference is None
        assert batch.reference is not None
        for image in range(2):
            loss, reference = (
                {tuple(where): value for where, value in zip(part.tolist(), values.tolist(), strict=True)}
                for part, values in (
                    (batch.support.coords[image], batch.clean[image]),
                    (batch.reference.support.coords[image], batch.reference.values[image]),
                )
            )
            both = loss.keys() & reference.keys()
            shared, different = shared + len(both), different + len(reference.keys() - loss.keys())
            assert all(loss[where] == reference[where] for where in both)  # one window, one symmetry
    # Independent draws of 200 of 1024 pixels share 39 of them.
    assert 15 < shared / 8 < 80
    assert different > 0


def test_dropped_latents_and_only_these_are_null(first: Make) -> None:
    settings = first(optim__condition_drop=0.5)
    data = load_data(settings.data)
    dataset = build_dataset(settings, data, build_networks(settings, data).denoiser, reference_points=160)
    null = torch.cat([dataset[step].condition.null for step in range(12)])
    assert 4 < int(null.sum()) < 20


def test_the_unconditional_model_is_a_denoiser_alone(first: Make, tmp_path: Path) -> None:
    bundle = train(first(model__overrides=SMALL | {"latent_dim": 0}, optim__steps=2), tmp_path / "run")
    assert bundle is not None
    assert set(bundle.networks) == {"denoiser"}


def test_refusals(first: Make, tmp_path: Path) -> None:
    latent: dict[str, Any] = {"model__system": "infdiff-latent", "model__overrides": {}}
    with pytest.raises(ConfigError, match=r"needs model\.autoencoder"):
        train(first(**latent), tmp_path / "run")
    train(first(model__overrides=SMALL | {"latent_dim": 0}, optim__steps=1), tmp_path / "plain")
    with pytest.raises(CheckpointError, match="holds no autoencoder of infdiff"):
        train(first(**latent, model__autoencoder=str(tmp_path / "plain")), tmp_path / "run")
    train(first(optim__steps=1), tmp_path / "good")
    with pytest.raises(ConfigError, match="was trained with window"):
        train(first(**latent, model__autoencoder=str(tmp_path / "good"), data__window=48), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"'paper'.*paper-128"):
        train(first(model__preset="paper"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
