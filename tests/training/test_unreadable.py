"""A slide that cannot be read, wholly or in part, is left out, recorded and told; the run goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import Dataset, get_worker_info

from infbrush_wsi.errors import CorruptSourceError, DatasetError, TrainingError
from infbrush_wsi.sources import ArraySource, open_source
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.loader import BatchLoader
from infbrush_wsi.training.record import read_metrics
from infbrush_wsi.training.run import train
from infbrush_wsi.training.unreadable import KEY, Unreadable
from infbrush_wsi.training.window_dataset import TrainingImage, WindowDataset
from infbrush_wsi.training.windows import WindowPicker

Make = Callable[..., RunConfig]
SIDE = (2176, 128)
"""So wide that masks are made of the second level, and damage of the first is met in training only."""


def damaged_slide(path: Path) -> Path:
    """A slide of which a tile in three cannot be decoded at level 0."""
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("openslide")
    rng = np.random.default_rng(3)
    pixels = np.kron(rng.integers(30, 220, (SIDE[1] // 8, SIDE[0] // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    options = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        for level in (0, 1):
            writer.write(pixels[:: 1 << level, :: 1 << level], subfiletype=int(level > 0), **options)
    with tifffile.TiffFile(path) as file:
        offsets = file.pages[0].dataoffsets[::3]
    with path.open("r+b") as damaged:
        for offset in offsets:
            damaged.seek(offset)
            damaged.write(b"no deflated pixels")
    return path


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(out)]


def test_what_cannot_be_read_of_a_slide_is_drawn_anew_whoever_loads_it(
    config: Make, images: Path, tmp_path: Path
) -> None:
    damaged = damaged_slide(images / "benign" / "damaged.tif")
    (images / "benign" / "no-image.png").write_bytes(b"nothing")
    found = {}
    for workers in (0, 1):
        out = tmp_path / f"run{workers}"
        train(config(data__workers=workers, optim__steps=8), out)
        found[workers] = losses(out)
        manifest = json.loads((out / "manifest.json").read_text())
        assert [Path(entry["path"]).name for entry in manifest["skipped"]] == ["no-image.png"]
        (entry,) = manifest[KEY]
        assert entry["path"] == str(damaged)
        assert not entry["left_out"]
        assert "damaged at level 0" in entry["reason"]
    assert len(found[0]) == 8
    assert found[0] == found[1]
    train(config(optim__steps=10), tmp_path / "run0", resume=True)
    manifest = json.loads((tmp_path / "run0" / "manifest.json").read_text())
    assert [entry["path"] for entry in manifest[KEY]] == [str(damaged)]


def test_nothing_that_can_be_read_is_one_error_and_leaves_nothing(config: Make, images: Path, tmp_path: Path) -> None:
    for path in images.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DatasetError, match=r"the data set is empty \(3 skipped\)"):
        train(config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Pixels(WindowDataset[Any]):
    """The mean of a window by number; what is read is read for each anew."""

    def __init__(self, sources: list[Any]) -> None:
        images = [TrainingImage(source, None, source.path) for source in sources]
        super().__init__(images, spacings=(), window=16, tissue_fraction=0.0, seed=0)

    def __getitem__(self, number: int) -> Any:
        def read(rng: np.random.Generator, image: TrainingImage, picker: WindowPicker, ratio: float) -> float:
            return float(picker.view.read(picker.draw(rng)).mean())

        return self._readable(number, read)


class Deadly(ArraySource):
    """Reading a window of it ends the process, as a crash of a library does; on the first try only, or always."""

    def __init__(self, pixels: Any, again: Path | None = None) -> None:
        super().__init__(pixels, mpp=0.5, name="deadly")
        self.again = again

    def _read(self, box: Any, level: int) -> Any:
        if get_worker_info() is not None and box.w == 16 and not (self.again is not None and self.again.exists()):
            if self.again is not None:
                self.again.touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return super()._read(box, level)


def loaded(dataset: Dataset[Any], count: int, out: Path, **options: Any) -> tuple[list[float], Unreadable]:
    record = Unreadable(out, {}, [image.source.path for image in dataset.images], write=False)  # type: ignore[attr-defined]
    found: list[float] = []

    class Numbers:
        def __iter__(self) -> Any:
            return iter(range(len(found), count))

    how = {"workers": 1, "pin_memory": False, "unreadable": record, "step": lambda: len(found)}
    for value, _ in BatchLoader(dataset, Numbers(), **(how | options)):
        found.append(value)
    return found, record


def sources() -> list[Any]:
    rng = np.random.default_rng(0)
    return [ArraySource(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8), mpp=0.5, name=name) for name in "ab"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_image_that_kills_its_readers_is_left_out_and_the_others_are_as_they_were(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    found, record = loaded(Pixels([*sources(), Deadly(pixels)]), 8, tmp_path)
    (entry,) = record.entries
    assert (entry["path"], entry["left_out"]) == ("deadly", True)
    known = Pixels([*sources(), ArraySource(pixels, mpp=0.5)])
    known.leave_out({2: ""})
    assert found[entry["step"] :] == [known[number] for number in range(entry["step"], 8)]
    assert record.left_out == {2: entry["reason"]}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_that_dies_once_changes_nothing(tmp_path: Path) -> None:
    pixels = np.full((40, 40, 3), 9, np.uint8)
    found, record = loaded(Pixels([*sources(), Deadly(pixels, tmp_path / "died")]), 8, tmp_path)
    assert (tmp_path / "died").exists()
    assert found == [Pixels([*sources(), ArraySource(pixels, mpp=0.5)])[number] for number in range(8)]
    assert record.entries == []


class Broken(ArraySource):
    def _read(self, box: Any, level: int) -> Any:
        raise CorruptSourceError("its pixels are gone")


def test_a_run_whose_images_are_all_gone_ends_with_one_error(tmp_path: Path) -> None:
    broken = [Broken(np.zeros((40, 40, 3), np.uint8), mpp=0.5, name=name) for name in "ab"]
    with pytest.raises(TrainingError, match=r"step 0: none of the 2 images can be read any more: .*pixels are gone"):
        loaded(Pixels(broken), 3, tmp_path, workers=0)


def test_a_sample_does_not_depend_on_images_that_it_does_not_need(tmp_path: Path) -> None:
    whole, other = Pixels(sources()), sources()
    other[1] = Broken(np.zeros((40, 40, 3), np.uint8), mpp=0.5, name="b")
    damaged = Pixels(other)
    same = [whole[number] == damaged[number] for number in range(24)]
    assert 6 < sum(same) < 18
    assert damaged.take_unreadable() == {1: "its pixels are gone"}
    assert damaged.take_unreadable() == {}


def test_a_file_that_goes_meanwhile_is_told(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "a.png")
    gone = open_source(tmp_path / "a.png", mpp=0.5)
    (tmp_path / "a.png").unlink()
    dataset = Pixels([*sources(), gone])
    assert all(np.isfinite(dataset[number]) for number in range(6))
    assert "gone" in dataset.take_unreadable()[2]
