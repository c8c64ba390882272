"""Training on stored embeddings instead of classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from infbrush_wsi import InfBrushPipeline
from infbrush_wsi.conditioning.encoders import EmbeddingStore, load_encoder, write_embeddings
from infbrush_wsi.errors import ConditionError, DatasetError
from infbrush_wsi.sources import collect
from infbrush_wsi.training.build import build_dataset, build_denoiser, load_data
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.dataset import FunctionDataset
from infbrush_wsi.training.record import read_metrics
from infbrush_wsi.training.run import train

Make = Callable[..., RunConfig]


@pytest.fixture
def store(images: Path, tmp_path: Path) -> EmbeddingStore:
    """Of the three images and of one whose left part is not there."""
    pixels = np.random.default_rng(1).integers(0, 256, (96, 128, 4), dtype=np.uint8)
    pixels[..., 3] = np.where(np.arange(128) < 96, 0, 255)
    Image.fromarray(pixels).save(images / "benign" / "part.png")
    found = collect([images], labels="folder", mpp=0.5)
    return write_embeddings(found, load_encoder(), tmp_path / "e.zarr", spacing=0.5, tile=32, stride=16)


def dataset(config: RunConfig) -> FunctionDataset:
    data = load_data(config.data)
    return build_dataset(config, data, build_denoiser(config, data))


def test_a_sample_has_the_mean_embedding_of_its_window(config: Make, store: EmbeddingStore) -> None:
    made = config(data__embeddings=str(store.path), optim__condition_drop=0.0, optim__batch=40, data__tissue_fraction=0)
    found = dataset(made)
    batch = found[0]
    assert batch.condition.labels is None
    assert batch.condition.embeddings.shape == (40, 1, 34)
    # The same windows, drawn again as the samples draw them.
    for k in range(40):
        rng = found._rng("sample", k)
        chosen = int(rng.choice(len(found.images), p=found._odds()))
        picker, _ = found._picker(rng, chosen)
        box = picker.draw(rng)
        name = found.images[chosen].name
        expected = store.mean(name, (box.x0 * 0.5, box.y0 * 0.5), (16.0, 16.0))
        assert bool(batch.condition.null[k]) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(batch.condition.embeddings[k, 0].numpy(), expected)
    assert batch.condition.null.any()
    assert not batch.condition.null.all()
    assert torch.equal(found[0].condition.embeddings, batch.condition.embeddings)


def test_drops_are_those_of_training_on_classes(config: Make, store: EmbeddingStore) -> None:
    by_class = dataset(config(optim__batch=64))[3].condition.null
    found = dataset(config(optim__batch=64, data__embeddings=str(store.path)))[3].condition.null
    assert bool((found | ~by_class).all())
    assert 0 < int(by_class.sum()) < 64


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_model_remembers_its_encoder_and_follows_its_embeddings(
    config: Make, store: EmbeddingStore, tmp_path: Path, workers: int
) -> None:
    changes = {"data__workers": workers, "optim__steps": 150, "optim__batch": 4, "optim__decay": 0.3}
    made = config(data__embeddings=str(store.path), **changes, model__scale_input=True)
    train(made, tmp_path / "out")
    pipe = InfBrushPipeline.from_pretrained(tmp_path / "out")
    assert pipe.encoder == store.settings.encoder
    assert (pipe.classes, pipe.denoiser.config.embedding_dim) == ((), 34)
    pipe.check_encoder(store.settings.encoder)
    with pytest.raises(ConditionError, match=r"sha256 0{12}\.\.\. and not"):
        pipe.check_encoder(replace(store.settings.encoder, sha256="0" * 64))
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["embeddings"]["tile"] == 32
    colours = []
    for name in ("benign-0.png", "invasive-0.png"):
        embedding = store.mean(name, (0, 0), (40, 48))
        assert embedding is not None
        embedding.flags.writeable = False
        canvas = pipe(embedding, (48, 48), num_inference_steps=10, guidance_scale=2.0)
        colours.append(canvas.read_region((0, 0), 0, (48, 48)).mean((0, 1)))
    assert (colours[0] - colours[1])[0] > 30  # benign is light and pink (200, 120, 160), invasive (90, 70, 150)


def test_resuming_equals_an_uninterrupted_run(config: Make, store: EmbeddingStore, tmp_path: Path) -> None:
    made = config(data__embeddings=str(store.path))
    train(made, tmp_path / "whole")
    train(config(data__embeddings=str(store.path), optim__steps=6, optim__decay=0), tmp_path / "part")
    whole = [row["loss"] for row in read_metrics(tmp_path / "whole")]
    part = [row["loss"] for row in read_metrics(tmp_path / "part")]
    assert whole[:6] == part


def test_stores_that_do_not_fit_are_refused(config: Make, store: EmbeddingStore, images: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(images / "benign" / "new.png")
    with pytest.raises(DatasetError, match=r"no embeddings of 1 of 5 images \(.*new\.png.*infbrush embed"):
        load_data(config(data__embeddings=str(store.path)).data)
    with pytest.raises(ConditionError, match="no store of embeddings"):
        load_data(config(data__embeddings=str(tmp_path / "none.zarr")).data)
    (images / "benign" / "new.png").unlink()
    grey = load_data(config(data__embeddings=str(store.path), data__bands=(1,)).data)  # embedded in colour
    assert {image.key for image in grey.images} == {slide.key for slide in store.slides}
    assert load_data(config().data).embeddings is None


def test_a_model_of_classes_has_no_encoder(config: Make, store: EmbeddingStore, tmp_path: Path) -> None:
    train(config(optim__steps=1), tmp_path / "out")
    pipe = InfBrushPipeline.from_pretrained(tmp_path / "out")
    assert pipe.encoder is None
    with pytest.raises(ConditionError, match="not trained on the embeddings"):
        pipe.check_encoder(store.settings.encoder)
