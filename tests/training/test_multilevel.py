"""Multilevel Diffusion through the one training loop, on real image files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.covariance import NoiseLaw
from infbrush_wsi.training.build import load_data
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.lattice_dataset import LatticeBatch
from infbrush_wsi.training.multilevel import assemble
from infbrush_wsi.training.record import read_metrics
from infbrush_wsi.training.run import train

Make = Callable[..., RunConfig]
SMALL = {"width": 8, "multipliers": (1, 2), "embedding_width": 16}


@pytest.fixture
def multilevel(config: Make) -> Make:
    """Makes configurations of small runs of Multilevel Diffusion."""

    def make(**changes: Any) -> RunConfig:
        given: dict[str, Any] = {"model__system": "multilevel", "model__overrides": SMALL, "optim__learning_rate": 2e-3}
        return config(**(given | changes))

    return make


def batch_of(config: RunConfig, step: int = 0) -> LatticeBatch:
    found: LatticeBatch = assemble(config, load_data(config.data), {}, 0, 1).dataset[step]
    return found


def test_batches_are_windows_of_the_images(multilevel: Make, images: Path) -> None:
    batch = batch_of(multilevel(data__flips=False))
    assert batch.shape == Shape(32, 32)
    assert batch.clean.shape == batch.noise.shape == (2, 1024, 3)
    grey = ((batch.clean + 1) * 127.5).round().to(torch.uint8).reshape(2, 32, 32, 3).numpy()
    for window, name in zip(grey, batch.origin, strict=True):
        whole = np.asarray(Image.open(next(images.rglob(name))))
        places = np.lib.stride_tricks.sliding_window_view(whole, (32, 32, 3))[:, :, 0]
        assert (places == window).all(axis=(2, 3, 4)).any()


def test_the_loop_trains_saves_and_makes_pictures(multilevel: Make, tmp_path: Path) -> None:
    run = multilevel(record__preview_every=6, record__preview_steps=2, optim__steps=6)
    bundle = train(run, tmp_path / "out")
    assert bundle is not None
    assert bundle.info.system == "multilevel"
    assert bundle.info.classes == ("benign", "invasive")
    law = NoiseLaw.from_dict(bundle.info.training["noise"])
    assert law.reference == 32
    assert bundle.info.process["noise_std"] == pytest.approx(1.0)
    sheet = np.asarray(Image.open(tmp_path / "out" / "previews" / "step-0000006.png"))
    assert sheet.shape == (64, 64, 3)
    assert all(row["loss"] > 0 for row in read_metrics(tmp_path / "out"))


def test_a_continued_run_equals_an_uninterrupted_one(multilevel: Make, tmp_path: Path) -> None:
    run = multilevel(optim__steps=8, record__checkpoint_every=4, optim__curriculum=[[0.75, 2]])
    whole = train(run, tmp_path / "whole")
    halted = tmp_path / "halted"

    def stop(step: int, scalars: dict[str, float]) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, halted, report=stop)
    again = train(run, halted, resume=True)
    assert whole is not None
    assert again is not None
    assert whole.weights_sha256 == again.weights_sha256


def test_a_curriculum_begins_with_means_of_the_same_windows(multilevel: Make) -> None:
    fine, staged = multilevel(), multilevel(optim__curriculum=[[0.5, 2]])
    coarse, full = batch_of(staged, 0), batch_of(fine, 0)
    assert coarse.shape == Shape(16, 16)
    blocks = full.clean.reshape(2, 16, 2, 16, 2, 3).mean(dim=(2, 4))
    torch.testing.assert_close(coarse.clean.reshape(2, 16, 16, 3), blocks, rtol=1e-5, atol=1e-6)
    late = batch_of(staged, 6)
    assert late.shape == Shape(32, 32)
    torch.testing.assert_close(late.clean, batch_of(fine, 6).clean)
    # The coarse noise is the fine one's function: its low frequencies agree.
    spectra = [
        np.fft.fft2(b.noise.numpy().reshape(2, *b.shape.as_tuple(), 3), axes=(1, 2), norm="forward")
        for b in (coarse, full)
    ]
    shift = np.exp(1j * np.pi * (1 / 16 - 1 / 32))
    np.testing.assert_allclose(spectra[0][:, 1, 0], spectra[1][:, 1, 0] * shift, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(spectra[0][:, 0, 0], spectra[1][:, 0, 0], rtol=1e-4, atol=1e-6)


def test_published_choices_can_be_had(multilevel: Make) -> None:
    run = multilevel(
        data__labels="none",
        model__preset="paper",
        model__overrides={"modes": 4, "width": 8, "layers": 2},
        model__covariance={"kind": "combined"},
        model__noise_std=None,
        model__ortho=True,
        model__schedule="vp_sde",
        model__prediction="epsilon",
        optim__curriculum=[[0.5, 2]],
    )
    parts = assemble(run, load_data(run.data), {}, 0, 1)
    coarse, fine = parts.dataset[0], parts.dataset[11]
    assert float(coarse.clean.abs().max()) > 1.0  # twice the function on half of the lattice
    losses = [parts.task.losses(parts.task.network, batch) for batch in (coarse, fine)]
    assert all(loss.shape == (2,) and loss.isfinite().all() for loss in losses)


def test_several_pixel_sizes_are_refused(multilevel: Make) -> None:
    run = multilevel(data__mpp=[0.5, 1.0])
    with pytest.raises(ConfigError, match="trains at one pixel size"):
        assemble(run, load_data(run.data), {}, 0, 1)
    wrong = multilevel(model__covariance={"kind": "brown"})
    with pytest.raises(ConfigError, match="'kind' of"):
        assemble(wrong, load_data(wrong.data), {}, 0, 1)
