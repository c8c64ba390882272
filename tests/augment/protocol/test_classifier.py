"""The classifier of the protocol: it learns, it repeats, both arms start alike."""

import numpy as np
import pytest
import torch

from infbrush_wsi.augment.protocol.classifier import ClassifierConfig, fit_classifier, make_backbone, turn
from infbrush_wsi.augment.protocol.labelled import ImageSet
from infbrush_wsi.errors import ConfigError

pytest.importorskip("torchvision")
QUICK = ClassifierConfig(backbone="torchvision:squeezenet1_1", side=32, steps=12, batch=8, learning_rate=2e-3)


def coloured(count, seed=0):
    """Two classes of noise, one redder."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.normal(120, 30, (count, 32, 32, 3))
    images[..., 0] += 60 * labels[:, None, None]
    return ImageSet(np.clip(images, 0, 255).astype(np.uint8), labels, ("Pale", "Red"))


def fitted(seed=0, **changes):
    data = coloured(24)
    config = ClassifierConfig(**{**vars(QUICK), **changes})
    return fit_classifier(data, data.images, 2, config, seed)


def test_it_learns_what_can_be_learnt(one_thread):
    new = coloured(40, seed=9)
    found = fitted(backbone="torchvision:resnet18", steps=25).classes_of(new.images.permute(0, 2, 3, 1).numpy())
    assert (found == np.array(new.targets)).mean() > 0.9


def test_the_same_seed_is_the_same_classifier_and_another_is_not(one_thread):
    images = coloured(6, seed=3).images
    torch.manual_seed(123)
    first = fitted(seed=1)(images)
    torch.manual_seed(456)  # what the process has drawn before does not matter
    again, other = fitted(seed=1)(images), fitted(seed=2)(images)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (first - other).abs().max() > 1e-3
    torch.testing.assert_close(first.sum(dim=1), torch.ones(6, dtype=torch.float64))


def test_fitting_leaves_the_random_state_alone(one_thread):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fitted(steps=1)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_turns_are_the_eight_symmetries():
    image = torch.arange(9).reshape(1, 3, 3)
    found = {tuple(turn(image, which).flatten().tolist()) for which in range(8)}
    assert len(found) == 8


@pytest.mark.parametrize("name", ["resnet18", "keras:vgg", "torchvision:resnet18000", "timm:no_such_net"])
def test_backbones_that_are_not_there(name):
    with pytest.raises(ConfigError, match="backbone"):
        make_backbone(ClassifierConfig(backbone=name), 3, 2)


def test_backbones_of_both_libraries_and_other_channels():
    pytest.importorskip("timm")
    net = make_backbone(ClassifierConfig(backbone="timm:resnet10t"), 4, 5)
    assert net.eval()(torch.zeros(1, 4, 64, 64)).shape == (1, 5)
    with pytest.raises(ConfigError, match="three channels"):
        make_backbone(ClassifierConfig(), 4, 5)


@pytest.mark.parametrize("wrong", [{"side": 0}, {"steps": 0}, {"batch": -1}, {"learning_rate": 0.0}])
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="positive"):
        ClassifierConfig(**wrong)
