"""Real images with synthetic ones: labels, balance, what cannot be mixed."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from infbrush_wsi.augment import MixedDataset
from infbrush_wsi.errors import ConfigError, DatasetError


@pytest.fixture
def real(real_folder):
    """Twelve images of Benign, Invasive, Normal (in that order)."""
    datasets = pytest.importorskip("torchvision.datasets")
    v2 = pytest.importorskip("torchvision.transforms.v2")
    return datasets.ImageFolder(str(real_folder), transform=v2.PILToTensor())


def test_labels_are_those_of_the_real_data(real, make_set):
    synthetic = make_set()  # Normal, Invasive
    mixed = MixedDataset(real, synthetic, 0.5)
    assert len(mixed) == 18
    assert mixed.classes == ("Benign", "Invasive", "Normal")
    assert mixed.targets == [label for _, label in (mixed[i] for i in range(18))]
    for index in range(12):
        assert not mixed.is_synthetic(index)
        torch.testing.assert_close(mixed[index][0], real[index][0])
        assert mixed[index][1] == real[index][1]
    for index in range(12, 18):
        assert mixed.is_synthetic(index)
        image, label = mixed[index]
        np.testing.assert_array_equal(image.numpy(), synthetic[index - 12][0].numpy())
        assert mixed.classes[label] == synthetic.entry(index - 12).label
    assert mixed.is_synthetic(-1)


def test_a_part_of_the_synthetic_images(real, make_set):
    synthetic = make_set()
    mixed = MixedDataset(real, Subset(synthetic, [5, 0, 3]), 0.25)
    assert [mixed.classes[label] for label in mixed.targets[12:]] == ["Invasive", "Normal", "Invasive"]


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5])
def test_a_loader_reads_all_of_it(real, make_set, ratio):
    mixed = MixedDataset(real, make_set(), ratio, transform=lambda image: image.float())
    found = [label for _, labels in DataLoader(mixed, batch_size=5) for label in labels.tolist()]
    assert found == mixed.targets
    assert len(found) == 12 + round(12 * ratio)


def test_what_cannot_be_mixed(real, make_set, make_pipeline):
    with pytest.raises(ConfigError, match="takes 12 synthetic ones, and there are 6"):
        MixedDataset(real, make_set(), 1.0)
    for ratio in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="finite"):
            MixedDataset(real, make_set(), ratio)
    other = make_set(model=make_pipeline(classes=("Normal", "Necrosis")))
    with pytest.raises(DatasetError, match="Necrosis are none of the real ones"):
        MixedDataset(real, other, 0.1)
    with pytest.raises(IndexError):
        MixedDataset(real, make_set(), 0.1)[13]


def test_data_sets_that_do_not_name_their_classes(make_set):
    plain = TensorDataset(torch.zeros(4, 3, 36, 40, dtype=torch.uint8), torch.tensor([0, 0, 1, 1]))
    with pytest.raises(DatasetError, match="give them as classes="):
        MixedDataset(plain, make_set(), 0.5)
    mixed = MixedDataset(plain, make_set(), 0.5, classes=["Invasive", "Normal"])
    assert [int(mixed[i][1]) for i in range(6)] == [0, 0, 1, 1, 1, 0]
    with pytest.raises(DatasetError, match="does not say its targets"):
        _ = mixed.targets
