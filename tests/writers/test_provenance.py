"""Every output says that it is synthetic and where it comes from."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import zarr
from affine import Affine

import infbrush_wsi
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.writers import write_ome_zarr

LATTICE = Lattice(Shape(20, 30), Affine(0.5, 0.1, 7.0, -0.1, -0.5, 9.0), "meter", "EPSG:26914")


@pytest.fixture
def record(tmp_path, lazy):
    def written(version="0.5", **options):
        image = np.zeros((20, 30, 3), np.uint8)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.ome.zarr"
        write_ome_zarr([lazy(image)], path, lattice=LATTICE, name="x", version=version, **options)
        return zarr.open_group(str(path), mode="r").attrs["infbrush_wsi"]

    return written


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_record_is_beside_the_ome_block(record, version):
    found = record(version, provenance={"model": {"id": "tiny", "sha256": "ab"}, "seed": 7, "condition": "invasive"})
    assert found["state"] == "complete"
    assert found["synthetic"] is True
    assert found["package_version"] == infbrush_wsi.__version__
    assert found["model"] == {"id": "tiny", "sha256": "ab"}
    assert (found["seed"], found["condition"], found["schema"]) == (7, "invasive", 1)
    age = datetime.now(UTC) - datetime.fromisoformat(found["created"])
    assert timedelta(seconds=-1) < age < timedelta(minutes=5)


def test_the_whole_lattice_can_be_had_back(record):
    found = record()["lattice"]
    again = Lattice(Shape(*found["shape"]), Affine(*found["transform"]), found["unit"], found["crs"])
    assert again == LATTICE


def test_real_pixels_can_be_marked_as_such(record):
    assert record(provenance={"synthetic": False})["synthetic"] is False


def test_tuples_and_keys_become_json(record):
    assert record(provenance={"size": (4096, 4096)})["size"] == [4096, 4096]
