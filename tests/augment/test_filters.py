"""Filters: a classifier's confidence, and near copies of training images."""

import numpy as np
import pytest
import torch
from PIL import Image

from infbrush_wsi.augment import confident, without_copies
from infbrush_wsi.errors import ConfigError, DatasetError
from infbrush_wsi.sources import collect


def brightness(images):
    """Probabilities of Dark and of Invasive by the mean grey value."""
    share = images.float().mean(dim=(1, 2, 3)) / 255
    return torch.stack([1 - share, share], dim=1)


def test_images_of_doubtful_class_are_dropped(make_set):
    dataset = make_set(per_class=4)
    own = [brightness(torch.from_numpy(dataset.pixels(i)).permute(2, 0, 1)[None])[0].numpy() for i in range(8)]
    column = {"Normal": 0, "Invasive": 1}
    values = [row[column[dataset.entry(i).label]] for i, row in enumerate(own)]
    least = float(np.median(values))
    found = confident(dataset, brightness, ["Normal", "Invasive"], least=least, batch=3)
    assert found.kept == tuple(i for i, value in enumerate(values) if value >= least)
    assert {each.index: pytest.approx(each.value) for each in found.dropped} == {
        i: value for i, value in enumerate(values) if value < least
    }
    assert 0 < len(found.kept) < 8
    assert sum(found.by_class.values()) == len(found.kept) == len(found.subset)
    again = confident(found, brightness, ["Normal", "Invasive"], least=1.0)
    assert again.kept == ()
    assert len(again.dropped) == 8


def test_classifiers_that_cannot_judge(make_set):
    dataset = make_set(per_class=1)
    with pytest.raises(DatasetError, match="not Invasive"):
        confident(dataset, brightness, ["Normal", "Benign"])
    with pytest.raises(ConfigError, match="between 0 and 1"):
        confident(dataset, brightness, ["Normal", "Invasive"], least=2.0)
    for wrong in (lambda x: 5 * brightness(x), lambda x: brightness(x)[:, :1], lambda x: brightness(x)[:1]):
        with pytest.raises(DatasetError, match="probabilities"):
            confident(dataset, wrong, ["Normal", "Invasive"])


@pytest.fixture
def folders(tmp_path):
    """Training and held-out images of 40 x 40 pixels of smooth noise, at 0.5 µm per pixel."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(1)
    for name, count in (("training", 12), ("held_out", 60)):
        (tmp_path / name).mkdir()
        for number in range(count):
            values = gaussian_filter(rng.normal(size=(40, 40, 3)), (2, 2, 0))
            pixels = np.clip(128 + 60 * values / values.std(), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_planted_copies_are_dropped_and_others_stay(make_set, folders):
    dataset = make_set(per_class=4, size=(40, 40))
    training, held_out = (collect([folders / name], mpp=0.5) for name in ("training", "held_out"))
    assert without_copies(dataset, training, held_out).dropped == ()
    for index, turned in ((2, np.flipud), (5, np.rot90)):
        shifted = np.roll(turned(dataset.pixels(index)), 3, axis=1)
        Image.fromarray(np.ascontiguousarray(shifted)).save(folders / "training" / f"copy{index}.png")
    found = without_copies(dataset, collect([folders / "training"], mpp=0.5), held_out)
    assert [each.index for each in found.dropped] == [2, 5]
    assert found.kept == (0, 1, 3, 4, 6, 7)
