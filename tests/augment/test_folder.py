"""Labelled folders and Zarr stacks of synthetic images."""

import csv
import json

import numpy as np
import pytest
import zarr
from PIL import Image

from infbrush_wsi.augment import Selection, write_folder, write_stack
from infbrush_wsi.augment.selection import Dropped
from infbrush_wsi.errors import OutputError, OutputExistsError
from infbrush_wsi.sources import collect
from infbrush_wsi.writers.description import from_description


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_folder_holds_every_image_with_its_record(make_set, tmp_path):
    dataset, told = make_set(), []
    out = tmp_path / "synthetic"
    write_folder(dataset, out, progress=lambda done, total: told.append((done, total)))
    assert told == [(k, 6) for k in range(1, 7)]
    rows = table(out / "images.csv")
    assert len(rows) == 6
    for index, row in enumerate(rows):
        entry = dataset.entry(index)
        assert (row["label"], int(row["seed"])) == (entry.label, entry.seed)
        with Image.open(out / row["path"]) as image:
            np.testing.assert_array_equal(np.asarray(image), dataset.pixels(index))
            record = from_description(image.text["Description"])
        assert record["synthetic"] is True
        assert record["seed"] == entry.seed
        assert record["weights_sha256"] == dataset.pipeline.bundle.weights_sha256
    assert sorted(p.name for p in tmp_path.iterdir()) == ["synthetic"]
    assert json.loads((out / "synthetic.json").read_text())["synthesis"]["size"] == [40, 36]


def test_others_read_the_folder(make_set, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    write_folder(make_set(), tmp_path / "synthetic")
    assert datasets.ImageFolder(str(tmp_path / "synthetic")).classes == ["Invasive", "Normal"]
    found = collect([tmp_path / "synthetic"], labels=tmp_path / "synthetic" / "images.csv")
    assert found.classes == ("Invasive", "Normal")
    assert len(found.items) == 6


def test_a_stopped_call_goes_on(make_set, tmp_path):
    out = tmp_path / "synthetic"

    def stop(done, total):
        if done >= 3:  # every thread, after the image that it is at
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(make_set(20), out, progress=stop)
    begun = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert 3 <= len(begun) < 40
    assert not (out / "images.csv").exists()
    with pytest.raises(OutputError, match="other settings"):
        write_folder(make_set(20, seed=8), out)
    write_folder(make_set(20), out)
    assert len(table(out / "images.csv")) == 40
    assert {path: path.stat().st_mtime_ns for path in begun} == begun
    with pytest.raises(OutputExistsError, match="complete"):
        write_folder(make_set(20), out)


def test_what_is_dropped_is_told_and_removed(make_set, tmp_path):
    def select(dataset):
        return Selection(dataset, (0, 2, 3, 5), (Dropped(1, "dull", 0.25), Dropped(4, "odd", 0.5)))

    out = tmp_path / "synthetic"
    kept = write_folder(make_set(), out, select=select).kept
    assert kept == (0, 2, 3, 5)
    rows, gone = table(out / "images.csv"), table(out / "dropped.csv")
    assert sorted(row["path"] for row in rows) == sorted(str(p.relative_to(out)) for p in out.rglob("*.png"))
    assert [(row["reason"], float(row["value"])) for row in gone] == [("dull", 0.25), ("odd", 0.5)]
    assert {row["path"] for row in rows}.isdisjoint(row["path"] for row in gone)


def test_a_stack_holds_images_labels_and_seeds(make_set, make_pipeline, tmp_path):
    bands = {"channels": 4, "classes": (), "info": {"channel_names": ("Red", "Green", "Blue", "NIR")}}
    for dataset in (make_set(), make_set(model=make_pipeline(**bands))):
        path = write_stack(dataset, tmp_path / f"{len(dataset.channel_names)}.zarr")
        group = zarr.open_group(str(path), mode="r")
        assert group["images"].shape == (len(dataset), 36, 40, len(dataset.channel_names))
        for index in range(len(dataset)):
            np.testing.assert_array_equal(group["images"][index], dataset.pixels(index))
        assert group["labels"][...].tolist() == dataset.targets
        assert group["seeds"][...].tolist() == [dataset.entry(i).seed for i in range(len(dataset))]
        assert group.attrs["classes"] == list(dataset.classes)
        assert group.attrs["infbrush_wsi"]["synthetic"] is True
    with pytest.raises(OutputExistsError):
        write_stack(make_set(), tmp_path / "3.zarr")


def test_a_stack_that_fails_leaves_nothing(make_set, tmp_path):
    def stop(done, total):
        raise ValueError("enough")

    with pytest.raises(OutputError, match="enough"):
        write_stack(make_set(), tmp_path / "a.zarr", progress=stop)
    assert list(tmp_path.iterdir()) == []
