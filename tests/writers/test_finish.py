"""What is added to a store before it gets its name, and what happens when that is stopped."""

import numpy as np
import pytest
import zarr

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import OutputError
from infbrush_wsi.writers import partial_folder, write_ome_zarr
from infbrush_wsi.writers.label_image import write_label_image

SHAPE = Shape(90, 140)
LATTICE = Lattice.regular(SHAPE, 0.5)
OPTIONS = {"lattice": LATTICE, "name": "x", "chunk": 64, "fingerprint": "seed 1"}


@pytest.fixture
def image(pixels, lazy):
    return lazy(pixels(*SHAPE.as_tuple()))


def labels(store, **options):
    def read(box):
        return np.full(box.shape.as_tuple(), 2, np.uint8)

    return write_label_image(store, read, lattice=LATTICE, names={2: "tumour"}, overwrite=True, **options)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_are_there_before_the_store_has_its_name(tmp_path, image, resume, version):
    target = tmp_path / "x.ome.zarr"

    def finish(store):
        assert not target.exists()
        assert zarr.open_group(str(store), mode="r").attrs["infbrush_wsi"]["state"] == "complete"
        labels(store)

    write_ome_zarr([image], target, version=version, resume=resume, finish=finish, **OPTIONS)
    np.testing.assert_array_equal(zarr.open_group(str(target), mode="r")["labels/layout/0"][...], 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [target.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no labels")])
def test_a_write_stopped_while_it_is_finished_goes_on(tmp_path, pixels, lazy, counting, error):
    target = tmp_path / "x.ome.zarr"
    source = counting(pixels(*SHAPE.as_tuple()))

    def finish(store):
        labels(store)
        left = store / "labels" / ".layout.partial-17-abc"  # as a killed process leaves it
        left.mkdir()
        (left / "zarr.json").write_text("{}")
        raise error

    with pytest.raises((KeyboardInterrupt, OutputError)):
        write_ome_zarr([lazy(source)], target, resume=True, finish=finish, **OPTIONS)
    assert not target.exists()
    assert partial_folder(target).is_dir()
    first = source.asked.total()
    write_ome_zarr([lazy(source)], target, resume=True, finish=labels, **OPTIONS)
    assert source.asked.total() == first > 0
    assert sorted(p.name for p in (target / "labels").iterdir()) == ["layout", "zarr.json"]
    assert not partial_folder(target).exists()


def test_without_resume_a_failed_finish_leaves_nothing(tmp_path, image):
    def finish(store):
        raise ValueError("no labels")

    with pytest.raises(OutputError, match="no labels"):
        write_ome_zarr([image], tmp_path / "x.ome.zarr", finish=finish, **OPTIONS)
    assert list(tmp_path.iterdir()) == []
