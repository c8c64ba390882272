"""The whole protocol on small images: generators of the folds only, resumed runs, the same result."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.augment import Synthesis
from infbrush_wsi.augment.protocol.classifier import ClassifierConfig
from infbrush_wsi.augment.protocol.output import summary, write_result
from infbrush_wsi.augment.protocol.run import ProtocolConfig, run_protocol
from infbrush_wsi.errors import ConfigError, DatasetError, OutputError
from infbrush_wsi.sources import collect

pytest.importorskip("torchvision")
PATIENTS, EACH = 4, 2
NETWORK = {"width": 8, "blocks": 1, "grid_side": 16, "grid_width": 8, "grid_multipliers": [1, 2], "embedding_width": 16}
GENERATOR = {
    "data": {"window": 32, "points": 256, "workers": 0, "assume_mpp": 0.5},
    "model": {"overrides": NETWORK},
    "optim": {"steps": 2, "batch": 2},
}


def config(**changes):
    values = {
        "generator": GENERATOR,
        "synthesis": Synthesis((32, 32), num_inference_steps=1, guidance_scale=1.0),
        "classifier": ClassifierConfig("torchvision:squeezenet1_1", side=32, steps=2, batch=4),
        "folds": 2,
        "seeds": (0, 1),
        "ratio": 0.5,
    }
    return ProtocolConfig(**values | changes)


@pytest.fixture
def images(tmp_path):
    """Two classes of four patients with two images each, 40 x 48 pixels."""
    rng = np.random.default_rng(0)
    for label, red in (("Pale", 120), ("Red", 200)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for patient in range(PATIENTS):
            for number in range(EACH):
                pixels = rng.normal(120, 25, (40, 48, 3))
                pixels[..., 0] += red - 120
                file = tmp_path / "data" / label / f"{label}{patient}_{number}.png"
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file)
    return collect([tmp_path / "data"], labels="folder", mpp=0.5, group_pattern=r"^([^_]+)_")


def test_a_stopped_protocol_gives_the_same_result(images, tmp_path, one_thread):
    class Stop(Exception):
        pass

    def stop(what, done, total):
        if what == "fold 1: classifiers" and done == 1:
            raise Stop

    with pytest.raises(Stop):
        run_protocol(images, config(), tmp_path / "a", stop)
    assert (tmp_path / "a" / "fold-1" / "seed-0.json").exists()
    told = []
    result = run_protocol(images, config(), tmp_path / "a", lambda what, done, total: told.append(what))
    assert "fold 0: generator" not in told
    assert "fold 1: generator" not in told  # it was complete
    whole = run_protocol(images, config(), tmp_path / "b")
    assert summary(result) == summary(whole)
    for one, other in zip(result.runs, whole.runs, strict=True):
        np.testing.assert_array_equal(one.augmented, other.augmented)
    check_folds(images, tmp_path / "a", result)
    write_result(result, tmp_path / "a")
    stored = json.loads((tmp_path / "a" / "result.json").read_text())
    assert stored["runs"] == 4
    assert stored["patients"] == 2 * PATIENTS
    with Image.open(tmp_path / "a" / "result.png") as plot:
        assert plot.size[0] > 800


def check_folds(images, folder, result):
    """Generators were given the training images of their fold and no other."""
    tested = []
    for number in range(2):
        with (folder / f"fold-{number}" / "train.csv").open() as file:
            rows = list(csv.DictReader(file))
        trained = {row["path"] for row in rows}
        test = next(run.test for run in result.runs if run.fold == number)
        assert trained.isdisjoint(images.items[index].path for index in test)
        assert {row["group"] for row in rows}.isdisjoint(images.items[index].group for index in test)
        manifest = json.loads((folder / f"fold-{number}" / "model" / "manifest.json").read_text())
        assert len(trained) == len(images.items) - len(test)
        assert sum(str(path) in json.dumps(manifest) for path in trained) == len(trained)
        tested += list(test)
    assert sorted(tested) == list(range(len(images.items)))


def test_another_comparison_does_not_go_on_in_a_folder(images, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match="other files"):
        run_protocol(images, config(), tmp_path / "mine")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "protocol.json").write_text("{}")
    with pytest.raises(OutputError, match="other images or settings"):
        run_protocol(images, config(), tmp_path / "begun")


def test_what_cannot_be_compared(images, tmp_path):
    with pytest.raises(ConfigError, match="different seeds"):
        config(seeds=(1, 1))
    with pytest.raises(ConfigError, match="positive ratio"):
        config(ratio=0.0)
    with pytest.raises(DatasetError, match="too few for 5 folds"):
        run_protocol(images, config(folds=5), tmp_path / "out")
    bare = collect([tmp_path / "data"], labels="none", mpp=0.5)
    with pytest.raises(DatasetError, match="at least two classes"):
        run_protocol(bare, config(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
