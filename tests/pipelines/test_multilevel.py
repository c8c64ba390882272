"""Canvases of Multilevel Diffusion: a function of weights and specification, at every size that they may have."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infbrush_wsi.errors import CheckpointError, ConfigError, RegionError
from infbrush_wsi.fields.covariance import NoiseLaw
from infbrush_wsi.models.bundle import ModelBundle
from infbrush_wsi.models.info import ModelInfo
from infbrush_wsi.models.multilevel import MultilevelDenoiser
from infbrush_wsi.pipelines.multilevel import MultilevelPipeline
from infbrush_wsi.sources.registry import open_source
from infbrush_wsi.writers.pyramid import halve

WIDE: dict[str, Any] = {
    "cno": {"width": 8, "multipliers": (1, 2), "embedding_width": 16},
    "fno": {"width": 8, "modes": 4, "layers": 2, "embedding_width": 16},
}


def pipeline(kind: Any = "cno", **changes: Any) -> MultilevelPipeline:
    """A real, very small model with random weights, of windows of 32 pixels of 0.5 µm."""
    torch.manual_seed(0)
    denoiser = MultilevelDenoiser(kind=kind, classes=("benign", "invasive"), **WIDE[kind]).eval()
    facts: dict[str, Any] = {
        "system": "multilevel",
        "spacing": (0.5,),
        "unit": "micrometer",
        "window": 32,
        "channel_names": ("Red", "Green", "Blue"),
        "classes": ("benign", "invasive"),
        "sigma": 0.0,
        "process": {"schedule": "vp_sde", "data_mean": [0.1, 0.0, -0.1], "data_std": 0.6, "noise_std": 1.0},
        "training": {"steps": 1, "noise": NoiseLaw(reference=32, std=1.0).to_dict()},
    }
    return MultilevelPipeline(ModelBundle({"denoiser": denoiser}, ModelInfo(**facts | changes), "0" * 64))


def whole(pipe: MultilevelPipeline, **call: Any) -> np.ndarray:
    canvas = pipe(**({"num_inference_steps": 3} | call))
    return canvas.read_region((0, 0), 0, (canvas.lattice.shape.w, canvas.lattice.shape.h))


def test_windows_and_levels_are_of_one_image() -> None:
    canvas = pipeline()("invasive", size=(300, 280), num_inference_steps=2, seed=4)
    assert not canvas.rendered
    image = canvas.read_region((0, 0), 0, (300, 280))
    assert image.std() > 5
    np.testing.assert_array_equal(canvas.read_region((50, 20), 0, (30, 40)), image[20:60, 50:80])
    assert canvas.level_shapes == ((280, 300), (140, 150))
    means = halve(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    np.testing.assert_array_equal(canvas.read_region((0, 0), 1, (150, 140)), means)


def test_seed_condition_and_steps_make_the_image() -> None:
    pipe = pipeline()
    base = whole(pipe, condition="benign", seed=1)
    np.testing.assert_array_equal(whole(pipeline(), condition="benign", seed=1), base)
    for other in ({"seed": 2}, {"condition": "invasive"}, {"num_inference_steps": 4}, {"guidance_scale": 2.0}):
        assert (whole(pipe, **({"condition": "benign", "seed": 1} | other)) != base).any()
    details = ("canvas", "training")
    assert len({pipe(detail=d).token for d in details}) == 1  # one lattice at the training pixel size
    assert len({pipe(detail=d, mpp=0.25).token for d in details}) == 2


@pytest.mark.parametrize(("kind", "detail"), [("cno", "auto"), ("fno", "auto"), ("cno", "canvas")])
def test_one_seed_is_one_image_at_all_pixel_sizes(kind: str, detail: Any) -> None:
    """To what 8 bits and the network's own dependence on the lattice leave."""
    pipe = pipeline(kind)
    trained = whole(pipe, seed=3, detail=detail).astype(float)
    finer = whole(pipe, seed=3, mpp=0.25, detail=detail).astype(float)
    assert finer.shape == (64, 64, 3)
    means = finer.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    agreement = np.corrcoef(means.ravel(), trained.ravel())[0, 1]
    assert agreement > {"auto": 0.9, "canvas": 0.5}[detail]


def test_published_steps_and_their_noise() -> None:
    pipe = pipeline()
    flow, sde = (whole(pipe, scheduler="euler", eta=eta, num_inference_steps=30) for eta in (0.0, 1.0))
    assert (flow != sde).any()
    np.testing.assert_array_equal(whole(pipe, scheduler="euler", eta=1.0, num_inference_steps=30), sde)
    ddim = whole(pipe, scheduler="ddim", num_inference_steps=30)
    assert np.abs(flow.astype(float) - ddim).mean() < 30
    cosine = pipeline(process={"data_mean": [0.0, 0.0, 0.0], "noise_std": 1.0})
    with pytest.raises(ConfigError, match="of the schedule 'vp_sde'"):
        cosine(scheduler="euler")


def test_progress_tells_steps() -> None:
    told: list[tuple[int, int]] = []
    pipeline()(num_inference_steps=4).render(lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_writers_and_other_processes_take_it(tmp_path: Path) -> None:
    pipe = pipeline()
    pipe.save_pretrained(tmp_path / "model")
    loaded = MultilevelPipeline.from_pretrained(tmp_path / "model", "cpu")
    canvas = loaded("benign", size=(64, 48), num_inference_steps=2)
    canvas.write_ome_zarr(tmp_path / "out.ome.zarr")
    source = open_source(tmp_path / "out.ome.zarr")
    assert source.mpp == pytest.approx(0.5)
    image = canvas.read_region((0, 0), 0, (64, 48))
    np.testing.assert_array_equal(source.read_region((0, 0), 0, (64, 48)), image)
    again = pickle.loads(pickle.dumps(canvas.portable())).open()
    np.testing.assert_array_equal(again.read_region((0, 0), 0, (64, 48)), image)


def test_what_cannot_be_rendered_is_told() -> None:
    with pytest.raises(RegionError, match=r"extent of its training window .* size=\(32, 32\)"):
        pipeline("fno")(size=(64, 32))
    with pytest.raises(RegionError, match="rendered in one piece"):
        pipeline()(size=(4096, 4096))
    with pytest.raises(RegionError, match="16 a side"):
        pipeline()(size=(8, 64))
    with pytest.raises(ConfigError, match="detail must be"):
        pipeline()(detail="fine")  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="not of multilevel"):
        pipeline(system="infbrush")
    with pytest.raises(CheckpointError, match="no law of noise"):
        pipeline(training={})
    with pytest.raises(CheckpointError, match="other bands or classes"):
        pipeline(classes=("a",))
