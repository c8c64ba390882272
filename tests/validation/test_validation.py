"""Stores that are sound, and each thing that can be wrong with one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from affine import Affine

from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import ConfigError, CorruptSourceError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.validation import Validation, validate_store
from infbrush_wsi.writers import write_ome_zarr

pytest.importorskip("ome_zarr_models")
MADE = {"system": "infbrush", "seed": 7, "condition": "Benign", "weights_sha256": "ab" * 32}
UTM = Lattice(Shape(200, 300), Affine(0.6, 0.0, 500000.0, 0.0, -0.6, 5200000.0), "meter", "EPSG:26914")
FORMS = [("0.4", "flat"), ("0.4", "nested"), ("0.5", "flat"), ("0.5", "nested")]


def picture() -> np.ndarray:
    """Blobs of two sizes: neighbours are alike, as in real images."""
    y, x = np.mgrid[:200, :300]
    bands = [128 + 60 * np.sin(x / (17 + k)) * np.cos(y / 23) + 40 * np.sin(x / 5 + y / 7) for k in range(3)]
    return np.stack(bands, -1).clip(0, 255).astype(np.uint8)


def write(path: Path, **options: Any) -> Path:
    image = picture()
    chosen = {"lattice": Lattice.regular(Shape(200, 300), 0.5), "name": "x", "chunk": 64, "provenance": MADE}
    return write_ome_zarr([da.from_array(image, chunks=(64, 64, 3))], path, **chosen | options)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("sound") / "x.ome.zarr")


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(sound, tmp_path / "x.ome.zarr"))


@pytest.fixture
def edit(store: Path):
    """Change the attributes of the root."""

    def change(by) -> Path:
        file = store / "zarr.json"
        values = json.loads(file.read_text())
        by(values["attributes"])
        file.write_text(json.dumps(values))
        return store

    return change


def errors(found: Validation) -> list[tuple[str, str]]:
    return [(finding.check, finding.text) for finding in found.findings if finding.grade == "error"]


def warnings(found: Validation) -> list[str]:
    return [finding.check for finding in found.findings if finding.grade == "warning"]


@pytest.mark.parametrize(("version", "layout"), FORMS)
def test_what_the_writer_writes_is_valid(tmp_path, version, layout):
    lattice = UTM if layout == "nested" else Lattice.regular(Shape(200, 300), 0.5)
    path = write(tmp_path / "x.ome.zarr", version=version, layout=layout, lattice=lattice)
    found = validate_store(path, decode=True)
    assert [finding.grade for finding in found.findings] == ["ok"] * len(found.findings)
    assert {f.check for f in found.findings} >= {"metadata", "physical size", "levels", "chunks", "pixels", "pyramid"}
    said = {finding.check: finding.text for finding in found.findings}
    assert said["metadata"].startswith(f"OME-Zarr {version}, Zarr v{2 if version == '0.4' else 3}")
    assert said["levels"] == "4: 300 x 200, 150 x 100, 75 x 50, 38 x 25 px"
    assert "seed 7" in said["provenance"]
    assert "model abababababab" in said["provenance"]


def test_shards_and_stores_of_others_are_understood(tmp_path):
    assert validate_store(write(tmp_path / "shards.ome.zarr", chunk=32, shard=2), decode=True).valid
    root = zarr.open_group(str(tmp_path / "other.zarr"), mode="w", zarr_format=3)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    datasets = []
    for k, step in enumerate((1, 2)):
        array = root.create_array(f"s{k}", data=picture()[::step, ::step, 0].copy(), dimension_names=["y", "x"])
        assert array.ndim == 2
        scale = [{"type": "scale", "scale": [0.5 * step] * 2}]
        datasets.append({"path": f"s{k}", "coordinateTransformations": scale})
    root.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    found = validate_store(tmp_path / "other.zarr")
    assert found.valid
    assert warnings(found) == ["levels", "provenance"]  # no translation, and nothing about how it was made


def test_labels_are_checked(store):
    from infbrush_wsi.writers.label_image import cells_lattice, write_label_image

    def labels(box: Box) -> np.ndarray:
        return np.ones(box.shape.as_tuple(), np.uint8)

    image = Lattice.regular(Shape(200, 300), 0.5)
    write_label_image(store, labels, lattice=cells_lattice(image, 4.0), names={1: "Benign"}, dtype="uint8")
    found = validate_store(store)
    assert found.valid, errors(found)
    name = next(finding.text for finding in found.findings if finding.check == "labels")
    assert name.endswith("valid by ome-zarr-models")
    shutil.rmtree(store / "labels" / name.partition(":")[0])
    assert ("labels", f"{name.partition(':')[0]} is listed and not there") in errors(validate_store(store))


@pytest.mark.parametrize(
    ("change", "check", "text"),
    [
        (lambda a: a["ome"]["multiscales"][0].pop("axes"), "metadata", "axes"),
        (lambda a: a["ome"]["multiscales"][0]["datasets"][1].update(path="9"), "metadata", "9"),
        (lambda a: a["ome"]["multiscales"][0]["axes"].reverse(), "metadata", "axes"),
        (
            lambda a: a["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0].update(scale=[1, 0, 0]),
            "physical size",
            "no size",
        ),
        (
            lambda a: a["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"][0].update(scale=[1, 4, 4]),
            "levels",
            "to cover level 0 it would have 37.5 x 25.0",
        ),
        (lambda a: a["ome"]["multiscales"][0]["datasets"].reverse(), "levels", "not less than"),
        (lambda a: a["infbrush_wsi"].update(state="writing"), "provenance", "unfinished"),
        (lambda a: a["infbrush_wsi"].update(synthetic="yes"), "provenance", "true or false"),
        (lambda a: a["infbrush_wsi"]["lattice"].update(shape=[100, 300]), "provenance", "300 x 100 px"),
        (lambda a: a["infbrush_wsi"]["lattice"].update(unit="meter"), "provenance", "in meter"),
        (lambda a: a["infbrush_wsi"].pop("lattice"), "provenance", "cannot be understood"),
    ],
)
def test_wrong_metadata_are_found(edit, change, check, text):
    found = errors(validate_store(edit(change)))
    assert any(kind == check and text in said for kind, said in found), found


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda a: [axis.pop("unit", None) for axis in a["ome"]["multiscales"][0]["axes"]], "physical size"),
        (lambda a: a.pop("infbrush_wsi"), "provenance"),
        (lambda a: [a["infbrush_wsi"].pop(name) for name in ("system", "weights_sha256")], "provenance"),
        (
            lambda a: a["ome"]["multiscales"][0]["datasets"][1]["coordinateTransformations"][1].update(
                translation=[0, 0, 0]
            ),
            "levels",
        ),
    ],
)
def test_what_is_worth_knowing_is_a_warning(edit, change, check):
    found = validate_store(edit(change))
    assert found.valid, errors(found)
    assert check in warnings(found)


def test_a_missing_chunk_is_found(store):
    (store / "0" / "c" / "0" / "1" / "2").unlink()
    found = errors(validate_store(store))
    assert found == [("chunks", "level 0 has 19 of 20 chunks; the others read as 0")]


def test_a_damaged_chunk_is_found_by_decoding(store):
    (store / "0" / "c" / "0" / "3" / "4").write_bytes(b"no zstd at all")
    found = errors(validate_store(store, decode=True))
    assert any(check == "pixels" and "level 0 cannot be decoded at (0, 192, 256)" in text for check, text in found)


def test_a_level_that_shows_something_else_is_found(store):
    level = zarr.open_group(str(store), mode="r+")["1"]
    level[...] = np.random.default_rng(0).integers(0, 256, level.shape, np.uint8)
    (found,) = [text for check, text in errors(validate_store(store)) if text.startswith("level 1 ")]
    assert found.endswith("it shows something else")


def test_a_level_of_one_colour_is_found(store):
    zarr.open_group(str(store), mode="r+")["3"][...] = 7
    assert [check for check, _ in errors(validate_store(store))] == ["pyramid"]


def test_a_level_that_is_alike_only_is_a_warning(store):
    level = zarr.open_group(str(store), mode="r+")["1"]
    noise = np.random.default_rng(0).normal(0, 80, level.shape)
    level[...] = (level[...] + noise).clip(0, 255).astype(np.uint8)
    found = validate_store(store)
    assert found.valid
    assert "pyramid" in warnings(found)


def test_an_even_image_is_no_other_picture(tmp_path):
    image = da.full((200, 300, 3), 255, dtype=np.uint8, chunks=(64, 64, 3))
    lattice = Lattice.regular(Shape(200, 300), 0.5)
    assert validate_store(write_ome_zarr([image], tmp_path / "x.ome.zarr", lattice=lattice, name="x")).valid


def test_what_is_no_store_is_one_error(tmp_path):
    with pytest.raises(SourceNotFoundError, match="nothing at"):
        validate_store(tmp_path / "none.zarr")
    with pytest.raises(UnsupportedSourceError, match="OME-Zarr stores, GeoTIFFs"):
        validate_store(tmp_path)
    (tmp_path / "zarr.json").write_text("{")
    with pytest.raises(CorruptSourceError, match="cannot be read"):
        validate_store(tmp_path)


def test_windows_must_be_positive(sound):
    with pytest.raises(ConfigError, match="at least one window"):
        validate_store(sound, windows=0)
