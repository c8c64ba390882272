"""A classifier of real images judges synthetic ones."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.augment import Judging
from infbrush_wsi.augment.protocol.classifier import ClassifierConfig
from infbrush_wsi.errors import DatasetError
from infbrush_wsi.sources import collect

COLOURS = {"Normal": 220, "Invasive": 60}
QUICK = ClassifierConfig(side=32, steps=60, batch=8)


def tile(colour, seed):
    noise = np.random.default_rng(seed).normal(0, 15, (48, 52, 3))
    return np.clip(colour + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def real(tmp_path):
    """Five noisy grey tiles of each class, another grey for each."""
    for name, colour in COLOURS.items():
        (tmp_path / "real" / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(tile(colour, number)).save(tmp_path / "real" / name / f"{name}_{number}.png")
    return collect([tmp_path / "real"], labels="folder", mpp=0.5)


@pytest.fixture
def planted(make_set, tmp_path):
    """Four images of each class in a cache, of which number 2 looks like the other class."""
    dataset = make_set(per_class=4, cache=tmp_path / "cache")
    for index in range(len(dataset)):
        dataset.pixels(index)
        entry = dataset.entry(index)
        others = [colour for name, colour in COLOURS.items() if name != entry.label]
        colour = others[0] if entry.number == 2 else COLOURS[entry.label]
        Image.fromarray(tile(colour, 100 + index)[:36, :40]).save(tmp_path / "cache" / f"{entry.name}.png")
    return dataset


def test_images_that_look_like_another_class_are_dropped(real, planted):
    judging = Judging(real, config=QUICK)
    judge = judging.judge(planted)
    assert (judge.accuracy, judge.checked) == (1.0, 16)  # one of five images a class, eight windows of each
    found = judging.select(planted, judge)
    assert [planted.entry(each.index).number for each in found.dropped] == [2, 2]
    assert {each.reason for each in found.dropped} == {"looks like Normal", "looks like Invasive"}
    assert found.by_class == {"Normal": 3, "Invasive": 3}


def test_the_same_seed_gives_the_same_judge(real, planted):
    judging = Judging(real, config=QUICK, seed=4)
    values = [[each.value for each in judging.select(planted, judging.judge(planted)).dropped] for _ in range(2)]
    assert values[0] == values[1] != []


def test_too_few_images_leave_nothing_to_check_with(real_folder, make_set):
    few = collect([real_folder], labels="folder", mpp=0.5)
    judge = Judging(few, config=QUICK).judge(make_set(per_class=1))
    assert (judge.accuracy, judge.checked) == (None, 0)


def test_real_images_that_cannot_teach_the_classes(real, make_set, tmp_path):
    dataset = make_set(per_class=1)
    (tmp_path / "one").mkdir()
    (tmp_path / "real" / "Normal").rename(tmp_path / "one" / "Normal")
    one = Judging(collect([tmp_path / "one"], labels="folder", mpp=0.5), config=QUICK)
    with pytest.raises(DatasetError, match="given are of Normal"):
        one.check(dataset)
    with pytest.raises(DatasetError, match="less than a crop of 90"):
        Judging(collect([tmp_path / "one", tmp_path / "real"], labels="folder", mpp=0.5), config=QUICK).judge(
            make_set(per_class=1, size=(90, 90))
        )
