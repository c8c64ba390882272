"""Batch k is a pure function of (configuration, seed, k), and its values are those of the mollified image."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from infbrush_wsi.errors import DatasetError
from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.points.prepare import Layout
from infbrush_wsi.points.samplers import make_sampler
from infbrush_wsi.sources.array import ArraySource
from infbrush_wsi.training.batch import TrainBatch
from infbrush_wsi.training.dataset import FunctionDataset, SampleSpec
from infbrush_wsi.training.statistics import measure
from infbrush_wsi.training.symmetry import in_window_frame
from infbrush_wsi.training.window_dataset import TrainingImage

SIDE = 32
SPEC = SampleSpec(
    spacings=(),
    window=SIDE,
    points=200,
    sampler=make_sampler("mixed", window=8),
    layout=Layout(5, 4.0, "splat"),
    sigma=1.0,
    tissue_fraction=0.0,
    flips=True,
    condition_drop=0.2,
    batch=4,
    seed=3,
)


def pixels(seed: int, h: int = 70, w: int = 90, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, channels), dtype=np.uint8)


def image(seed: int, label: int | None = None, **options: Any) -> TrainingImage:
    return TrainingImage(ArraySource(pixels(seed), mpp=0.5, **options), label, f"image-{seed}")


def dataset(
    images: list[TrainingImage] | None = None, *, rank: int = 0, world: int = 1, **changes: Any
) -> FunctionDataset:
    images = images or [image(0, 0), image(1, 1), image(2, 1)]
    return FunctionDataset(images, replace(SPEC, **changes), steps=100, rank=rank, world=world)


def assert_equal(a: TrainBatch, b: TrainBatch) -> None:
    for name in ("clean", "noise", "weight", "timestep", "log_magnification"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert torch.equal(a.support.coords, b.support.coords)
    assert torch.equal(a.support.to_grid.data, b.support.to_grid.data)
    assert torch.equal(a.condition.null, b.condition.null)
    assert torch.equal(a.condition.labels, b.condition.labels)
    assert a.origin == b.origin


def test_a_batch_depends_on_its_number_only() -> None:
    one, other = dataset(), dataset()
    for k in (9, 0, 4):  # in any order, after any history
        _ = one[k + 1]
        assert_equal(one[k], other[k])
    assert not torch.equal(one[0].clean, one[1].clean)
    assert not torch.equal(one[0].clean, dataset(seed=4)[0].clean)


def test_a_pickled_dataset_gives_the_same_batches() -> None:
    one = dataset()
    assert_equal(pickle.loads(pickle.dumps(one))[2], one[2])


def test_ranks_share_the_batch_of_one_process() -> None:
    whole = dataset()[5]
    parts = [dataset(rank=r, world=2, batch=2)[5] for r in (0, 1)]
    for name in ("clean", "noise", "weight", "timestep"):
        assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(whole, name)), name
    assert torch.equal(torch.cat([p.condition.null for p in parts]), whole.condition.null)
    assert parts[0].origin + parts[1].origin == whole.origin


@pytest.mark.parametrize("symmetry", range(8))
def test_values_are_those_of_the_mollified_image_for_every_symmetry(
    symmetry: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image as large as the window: the augmented, mollified image is known everywhere."""
    source = pixels(7, SIDE, SIDE)
    data = dataset([TrainingImage(ArraySource(source, mpp=0.5), None, "x")], batch=1)
    integers = np.random.Generator.integers

    class Fixed(np.random.Generator):
        def integers(self, low: Any, *args: Any, **options: Any) -> Any:
            return symmetry if low == 8 and not args and not options else integers(self, low, *args, **options)

    monkeypatch.setattr(
        FunctionDataset, "_rng", lambda self, purpose, number: Fixed(np.random.PCG64([number, len(purpose)]))
    )
    batch = data[0]
    whole = Mollifier(sigma=1.0).on_image(source)
    moved = np.stack([in_window_frame(whole[..., c], symmetry) for c in range(3)], -1)
    at = tuple((batch.support.coords[0] - 0.5).round().long().T.numpy())
    np.testing.assert_allclose(batch.clean[0].numpy(), moved[at], atol=2e-6)
    if symmetry:
        assert np.abs(batch.clean[0].numpy() - whole[at]).max() > 0.1


def test_all_symmetries_are_drawn_and_none_without_flips() -> None:
    source = pixels(7, SIDE, SIDE)
    whole = Mollifier(sigma=1.0).on_image(source)
    for flips, expected in ((True, 8), (False, 1)):
        data = dataset([TrainingImage(ArraySource(source, mpp=0.5), None, "x")], batch=1, flips=flips)
        seen = set()
        for k in range(60 if flips else 10):
            batch = data[k]
            at = tuple((batch.support.coords[0] - 0.5).round().long().T.numpy())
            for s in range(8):
                moved = np.stack([in_window_frame(whole[..., c], s) for c in range(3)], -1)
                if np.abs(moved[at] - batch.clean[0].numpy()).max() < 1e-4:
                    seen.add(s)
        assert len(seen) == expected


def test_noise_is_the_field_at_the_points() -> None:
    batches = [dataset(batch=8)[k] for k in range(6)]
    noise = torch.cat([b.noise.reshape(-1, 3) for b in batches])
    torch.testing.assert_close(noise.var(), torch.tensor(1 / (4 * torch.pi)), rtol=0.05, atol=0)
    # Neighbours of a dense window correlate as exp(-d² / 4): 0.78 for adjacent pixels.
    pairs = []
    for batch in batches:
        indptr, columns, taps = (
            batch.support.neighbours.indptr,
            batch.support.neighbours.indices,
            batch.support.neighbours.taps,
        )
        rows = torch.repeat_interleave(torch.arange(len(indptr) - 1), indptr.diff())
        right = taps == 2 * 5 + 3
        flat = batch.noise.reshape(-1, 3)
        pairs.append(torch.stack([flat[rows[right]], flat[columns[right].long()]]))
    a, b = torch.cat(pairs, 1)
    assert float((a * b).mean() / noise.var()) == pytest.approx(0.7788, abs=0.06)


def test_times_are_stratified_over_the_batch() -> None:
    data = dataset(batch=8)
    times = torch.stack([data[k].timestep for k in range(12)])
    assert ((times.sort(dim=1).values // 125) == torch.arange(8)).all()
    assert len({tuple(row.tolist()) for row in times.argsort(dim=1)}) > 6


def test_classes_are_drawn_equally_and_dropped_as_often_as_asked() -> None:
    data = dataset(batch=100, points=1, sampler=make_sampler("uniform"), condition_drop=0.2)
    batch = data[0]
    labels, null = batch.condition.labels, batch.condition.null
    assert labels is not None
    assert float((labels == 0).float().mean()) == pytest.approx(0.5, abs=0.2)
    assert float(null.float().mean()) == pytest.approx(0.2, abs=0.16)
    assert {"image-0", "image-1", "image-2"} == set(batch.origin)
    assert all((name == "image-0") == (label == 0) for name, label in zip(batch.origin, labels.tolist(), strict=True))


def test_images_without_a_class_are_null() -> None:
    mixed = dataset([image(0, 0), image(1, None)], condition_drop=0.0, batch=20, points=1)[0]
    assert mixed.condition.labels is not None
    assert torch.equal(mixed.condition.null, mixed.condition.labels < 0)
    assert 0 < int(mixed.condition.null.sum()) < 20
    plain = dataset([image(0)], batch=2)[0]
    assert plain.condition.labels is None
    assert plain.condition.null.all()


def test_several_pixel_sizes() -> None:
    data = dataset([image(0)], spacings=(0.5, 1.0), batch=30, points=1, sampler=make_sampler("uniform"))
    assert set(data[0].log_magnification.tolist()) == {0.0, 1.0}


class Half(ArraySource):
    """Its left half is masked out."""

    def mask(self, *args: object, **options: object) -> Any:
        found = np.zeros((7, 18), bool)
        found[:, 9:] = True
        return found, 5.0


@pytest.mark.parametrize("kind", ["valid", "tissue"])
def test_invalid_pixels_have_no_weight_and_tissue_masks_silence_nothing(kind: Any) -> None:
    source = pixels(0)
    source[:, :45] //= 2  # the masked half is the darker one
    data = dataset([TrainingImage(Half(source, mpp=0.5, mask_kind=kind), None, "x")], batch=12)
    for k in range(3):
        batch = data[k]
        dark, silent = batch.clean.mean(-1) < -0.3, batch.weight == 0
        if kind == "tissue":
            assert not silent.any()
        else:
            assert (dark == silent).float().mean() > 0.95  # the mollifier blurs the edge
            assert 0.1 < silent.float().mean() < 0.9


def test_statistics_are_those_of_the_images_however_they_are_batched() -> None:
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (9, 11, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    one = [TrainingImage(ArraySource(smooth, mpp=0.5), None, "x")]
    found = measure(dataset(one, batch=1))
    assert found == measure(dataset(one, batch=7, world=2, rank=1))
    values = Mollifier(sigma=1.0).on_image(smooth).reshape(-1, 3)
    np.testing.assert_allclose(found.mean, values.mean(0), atol=0.1)
    assert found.std == pytest.approx(float(np.sqrt(values.var(0).mean())), rel=0.1)


def test_constant_images_are_refused() -> None:
    flat = TrainingImage(ArraySource(np.full((64, 64, 3), 200, np.uint8), mpp=0.5), None, "flat")
    with pytest.raises(DatasetError, match="constant"):
        measure(dataset([flat]))


def test_batches_move_as_a_whole() -> None:
    moved = dataset()[0].to("meta")
    assert moved.clean.is_meta
    assert moved.support.to_points.data.is_meta
    assert moved.condition.null.is_meta
    assert moved.origin == dataset()[0].origin
