"""Items of a synthetic data set are functions of the model, the settings, the class and the number."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from infbrush_wsi.augment import Synthesis
from infbrush_wsi.errors import ConditionError, ConfigError, OutputError


def test_images_are_those_of_the_pipeline(make_set, pipeline):
    dataset = make_set()
    assert len(dataset) == 6
    assert dataset.classes == ("Normal", "Invasive")
    for index in (0, 1, 5, -1):
        image, label = dataset[index]
        entry = dataset.entry(index)
        canvas = pipeline(entry.label, seed=entry.seed, size=(40, 36), num_inference_steps=2)
        assert image.dtype == torch.uint8
        np.testing.assert_array_equal(image.numpy(), canvas.read_region((0, 0), 0, (40, 36)).transpose(2, 0, 1))
        assert dataset.classes[label] == entry.label


def test_every_beginning_is_balanced(make_set):
    targets = make_set(per_class=5).targets
    for count in range(1, len(targets)):
        assert abs(targets[:count].count(0) - targets[:count].count(1)) <= 1


def test_an_image_stays_when_classes_or_images_are_added(make_set):
    small, large = make_set(per_class=2, classes=["Invasive"]), make_set(per_class=4)
    for number in range(2):
        index = next(i for i in range(len(large)) if large.entry(i) == small.entry(number))
        np.testing.assert_array_equal(large.pixels(index), small.pixels(number))


def test_different_items_and_seeds_differ(make_set):
    first, other = make_set(), make_set(seed=4)
    images = [first.pixels(i).tobytes() for i in range(6)] + [other.pixels(i).tobytes() for i in range(6)]
    assert len(set(images)) == 12


@given(st.integers(0, 2**40), st.text(min_size=1, max_size=9), st.integers(0, 10**9))
def test_seeds_are_what_a_canvas_takes(seed, label, number):
    assert 0 <= Synthesis(seed=seed).image_seed(label, number) < 1 << 63


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_loader_gives_the_same_batches_as_the_data_set(make_set, workers):
    dataset = make_set(transform=lambda image: image.float() / 255)
    loader = DataLoader(dataset, batch_size=4, num_workers=workers)
    batches = list(loader)
    images, labels = torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])
    assert labels.tolist() == dataset.targets
    torch.testing.assert_close(images, torch.stack([dataset[i][0] for i in range(6)]), rtol=0, atol=0)


def test_torchvision_transforms_take_the_images(make_set):
    v2 = pytest.importorskip("torchvision.transforms.v2")
    steps = v2.Compose([v2.RandomCrop(32), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])
    image, _ = make_set(transform=steps)[2]
    assert image.shape == (3, 32, 32)
    assert 0 <= image.min() < image.max() <= 1


def test_a_cache_gives_the_same_pixels_and_computes_them_once(make_set, tmp_path):
    plain, cached = make_set(), make_set(cache=tmp_path / "cache")
    first = [cached.pixels(i) for i in range(6)]
    for index, pixels in enumerate(first):
        np.testing.assert_array_equal(pixels, plain.pixels(index))
    files = sorted((tmp_path / "cache").rglob("*.png"))
    assert len(files) == 6
    before = [path.stat().st_mtime_ns for path in files]
    again = make_set(cache=tmp_path / "cache")
    for index, pixels in enumerate(first):
        np.testing.assert_array_equal(again.pixels(index), pixels)
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.parametrize("damage", [b"", b"\x89PNG\r\n", "half"])
def test_a_damaged_file_is_made_anew(make_set, tmp_path, damage):
    dataset = make_set(cache=tmp_path / "cache")
    pixels = dataset.pixels(0)
    file = next((tmp_path / "cache").rglob("*.png"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    np.testing.assert_array_equal(dataset.pixels(0), pixels)
    assert file.read_bytes() == whole


def test_a_cache_of_other_settings_or_of_somebody_else_is_refused(make_set, tmp_path):
    make_set(cache=tmp_path / "cache")
    with pytest.raises(OutputError, match="other settings"):
        make_set(cache=tmp_path / "cache", seed=9)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="other files"):
        make_set(cache=tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    (tmp_path / "cache" / "synthetic.json").write_text("{")
    with pytest.raises(OutputError, match="cannot be read"):
        make_set(cache=tmp_path / "cache")


def test_models_without_classes_and_of_four_bands(make_set, make_pipeline, tmp_path):
    bands = {"channels": 4, "classes": (), "info": {"channel_names": ("Red", "Green", "Blue", "NIR")}}
    dataset = make_set(model=make_pipeline(**bands))
    assert dataset.classes == ("synthetic",)
    assert dataset[1][0].shape == (4, 36, 40)
    with pytest.raises(ConfigError, match="4 bands"):
        make_set(model=make_pipeline(**bands), cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ConditionError, match="has no classes"):
        make_set(model=make_pipeline(**bands), classes=["Benign"])


@pytest.mark.parametrize("classes", [["Benign"], [], ["Normal", "Normal"]])
def test_classes_that_cannot_be_are_refused(make_set, classes):
    with pytest.raises(ConditionError, match="each once"):
        make_set(classes=classes)


def test_settings_that_cannot_be_are_refused(make_set):
    for wrong in ({"seed": -1}, {"size": (0, 5)}, {"scheduler": "magic"}, {"num_inference_steps": 0}):
        with pytest.raises(ConfigError):
            make_set(**wrong)
    with pytest.raises(ConfigError, match="at least one image"):
        make_set(per_class=0)
    for index in (6, -7):
        with pytest.raises(IndexError):
            make_set()[index]
