"""Both stages of INFD through the one loop: what is drawn, what is learnt, resuming with an adversary, refusals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import CheckpointError, ConfigError
from infbrush_wsi.pipelines.infd import InfdPipeline
from infbrush_wsi.sources import open_source
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.infd.dataset import FieldDataset, FieldSampleSpec
from infbrush_wsi.training.infd.losses import LossWeights, adaptive_weight
from infbrush_wsi.training.record import read_metrics
from infbrush_wsi.training.run import train
from infbrush_wsi.training.window_dataset import TrainingImage

Make = Callable[..., RunConfig]
NETWORKS = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 3,
    "mid_block_add_attention": False,
}
OVERRIDES: dict[str, Any] = {
    "autoencoder": {"networks": NETWORKS, "width": 16, "blocks": 1},
    "denoiser": {"width": 16, "head": 8},
    "critic": {"width": 8, "layers": 1},
    "data": {"patch": 16},
}


@pytest.fixture
def infd(config: Make) -> Make:
    """Makes configurations of small runs of INFD."""

    def make(system: str = "infd", overrides: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
        values: dict[str, Any] = {
            "data__mpp": (0.5, 1.0), "model__system": system,
            "model__overrides": OVERRIDES | (overrides or {}), "optim__learning_rate": 0.002,
        }  # fmt: skip
        return config(**values | changes)

    return make


class Killed(Exception):
    """Ends a run as a kill would."""


def run(config: RunConfig, out: Path, kill_at: int | None = None, resume: bool = False) -> list[dict[str, float]]:
    found: dict[int, dict[str, float]] = {}

    def report(step: int, scalars: dict[str, float]) -> None:
        found[step] = {name: value for name, value in scalars.items() if "loss" in name}
        if step == kill_at:
            raise Killed

    with suppress(Killed):
        train(config, out, resume=resume, report=report)
    return [found[step] for step in sorted(found)]


def gradient_image(folder: Path) -> TrainingImage:
    """Red says x, green says y: 256 x 200 pixels of 0.5 µm."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y = np.meshgrid(np.arange(256) + 0.5, np.arange(200) + 0.5)
    pixels = np.stack([x * 0.9, y * 0.9, np.full_like(x, 99)], -1).round().astype(np.uint8)
    Image.fromarray(pixels).save(folder / "gradient.png")
    return TrainingImage(open_source(folder / "gradient.png", mpp=0.5), None, "gradient")


def spec(**changes: Any) -> FieldSampleSpec:
    given: dict[str, Any] = {
        "spacings": (0.5, 2.0), "window": 32, "patch": 16, "finest": 0.25, "tissue_fraction": 0.0, "flips": True,
        "condition_drop": 0.1, "latent": (Shape(16, 16), 3), "batch": 4, "seed": 1,
    }  # fmt: skip
    return FieldSampleSpec(**given | changes)


def test_queries_say_where_targets_are(tmp_path: Path) -> None:
    """On an image whose colours are its coordinates, under all symmetries and at random pixel sizes."""
    dataset = FieldDataset([gradient_image(tmp_path)], spec())
    cells = []
    for step in range(6):
        batch = dataset[step]
        for k in range(4):
            image, target = ((t[k].permute(1, 2, 0).numpy() + 1) * 127.5 for t in (batch.image, batch.target))
            y, x = (batch.query.coordinates(axis)[k].numpy() for axis in (0, 1))
            cells.append(float(batch.query.cell[k, 0]))
            # The window is linear, so its value at any coordinate follows from its mean and slopes.
            slopes = [np.gradient(image, axis=axis)[4:-4, 4:-4].mean((0, 1)) for axis in (0, 1)]
            middle = image[4:-4, 4:-4].mean((0, 1))
            expected = middle + (y - 16)[:, None, None] * slopes[0] + (x - 16)[None, :, None] * slopes[1]
            # One pixel of 0.5 µm is 0.9 grey levels, and grey values are rounded.
            np.testing.assert_allclose(target[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1.6)
            assert y.min() > -1
            assert y.max() < 33
    assert len(set(cells)) > 12
    assert min(cells) == pytest.approx(0.25)
    assert max(cells) <= 1.02


def test_batches_do_not_depend_on_how_they_are_cut(tmp_path: Path) -> None:
    image = gradient_image(tmp_path)
    whole = FieldDataset([image], spec())[3]
    parts = [FieldDataset([image], spec(batch=2), rank=rank, world=2)[3] for rank in range(2)]
    for name in ("image", "target", "noise", "timestep"):
        assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(whole, name))
    assert torch.equal(whole.query.origin, FieldDataset([image], spec())[3].query.origin)


def test_a_resumed_run_with_an_adversary_equals_an_uninterrupted_one(infd: Make, tmp_path: Path) -> None:
    whole = run(infd(), tmp_path / "whole")
    assert len(whole) == 12
    assert all(losses["opponent_loss"] > 0 for losses in whole)
    first = run(infd(), tmp_path / "parts", kill_at=8)
    second = run(infd(), tmp_path / "parts", resume=True)
    assert first == whole[:8]
    assert second == whole[6:]
    for name in ("model", "ema", "optimizer", "opponent", "opponent-optimizer"):
        files = [tmp_path / out / "checkpoints" / "step-0000012" / f"{name}.safetensors" for out in ("whole", "parts")]
        a, b = (load_file(f) for f in files)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_both_stages_learn_and_make_a_model_that_generates(infd: Make, tmp_path: Path) -> None:
    out, final = tmp_path / "first", tmp_path / "second"
    quiet = {"losses": {"adversarial": 0, "perceptual": 0}}
    shown = {"record__preview_every": 160, "record__log_every": 40, "record__preview_steps": 2}
    train(infd(overrides=quiet, optim__steps=160, optim__learning_rate=0.004, **shown), out)
    rows = [row["loss"] for row in read_metrics(out)]
    assert rows[-1] < 0.8 * rows[0]
    assert np.asarray(Image.open(out / "previews" / "step-0000160.png")).shape == (2 * 64, 2 * 64, 3)
    assert not InfdPipeline.from_pretrained(out).classes
    latent = infd("infd-latent", model__autoencoder=str(out), optim__steps=30, **shown | {"record__preview_every": 30})
    train(latent, final)
    pipe = InfdPipeline.from_pretrained(final)
    assert pipe.classes == ("benign", "invasive")
    assert np.asarray(Image.open(final / "previews" / "step-0000030.png")).shape == (2 * 64, 2 * 64, 3)
    picture = pipe("invasive", (64, 64), num_inference_steps=3).read_region((0, 0), 0, (64, 64))
    assert picture.std() > 1
    # The frozen autoencoder is the first stage's, and latents have the moments that the process was told.
    a, b = (load_file(next((d / "autoencoder").glob("*.safetensors"))) for d in (out, final))
    assert all(torch.equal(a[key], b[key]) for key in a)
    first = run(latent, tmp_path / "again", kill_at=8)
    assert first == run(latent, tmp_path / "twice", kill_at=8)


def test_a_run_goes_on_with_its_own_autoencoder_only(infd: Make, tmp_path: Path) -> None:
    quiet = {"losses": {"adversarial": 0, "perceptual": 0}}
    train(infd(overrides=quiet, optim__steps=2), tmp_path / "first")
    latent = infd("infd-latent", model__autoencoder=str(tmp_path / "first"))
    run(latent, tmp_path / "second", kill_at=7)
    train(infd(overrides=quiet, optim__steps=4), tmp_path / "first", resume=True)
    with pytest.raises(CheckpointError, match="another autoencoder"):
        train(latent, tmp_path / "second", resume=True)
    with pytest.raises(ConfigError, match="pixel sizes"):
        train(infd("infd-latent", model__autoencoder=str(tmp_path / "first"), data__mpp=(0.5, 0.8)), tmp_path / "third")
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": "infd-latent"}, "needs model.autoencoder"),
        ({"model__autoencoder": "field"}, "infd-latent"),
        ({"overrides": {"colour": 1}}, "colour"),
        ({"overrides": {"losses": {"style": 1}}}, "style"),
        ({"overrides": {"losses": {"perceptual": -1}}}, "perceptual"),
        ({"overrides": {"data": {"patch": 33}}}, "patch"),
        ({"overrides": {"critic": {"width": 9}}}, "overrides.critic"),
        ({"overrides": {"pretrained": "/nowhere"}}, "/nowhere"),
        ({"model__preset": "huge"}, "huge"),
    ],
)
def test_what_does_not_fit_is_told_and_leaves_nothing(
    infd: Make, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(infd(**change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_adversary_weighs_as_much_as_the_reconstruction() -> None:
    layer = torch.tensor([3.0, -4.0], requires_grad=True)
    reconstruction, adversarial = (layer * torch.tensor([0.6, 0.8])).sum(), (layer * torch.tensor([0.0, 0.25])).sum()
    assert float(adaptive_weight(reconstruction, adversarial, layer)) == pytest.approx(1 / (0.25 + 1e-4))
    nothing = (layer * 0).sum()
    assert float(adaptive_weight(reconstruction, nothing, layer)) == pytest.approx(1e4)
    assert LossWeights.of({"adversarial": 0.5}).adversarial == 0.5
