"""Label images beside the pixels: what readers find, where it lies, and what stays if it fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr.io
import ome_zarr.reader
import ome_zarr_models.v04
import ome_zarr_models.v05
import pytest
import zarr
from affine import Affine

from infbrush_wsi.conditioning.layout import (
    EmbeddingGrid,
    PolygonLayout,
    RasterLayout,
    label_map,
    raster_from_file,
    uniform,
)
from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import ConditionError, ConfigError, OutputError, OutputExistsError, RegionError
from infbrush_wsi.sources import open_source
from infbrush_wsi.writers import write_ome_zarr
from infbrush_wsi.writers.label_image import cells_lattice, write_label_image

FORMS = [("0.4", "flat"), ("0.4", "nested"), ("0.5", "flat"), ("0.5", "nested")]
MPP, CELL = 0.5, 6.0
SLIDE = Lattice.regular(Shape(260, 401), MPP)
NORTH_UP = Lattice(Shape(260, 401), Affine(2.0, 0, 5e5, 0, -2.0, 5e6), "meter", "EPSG:32633")
OBLONG = Lattice(Shape(260, 401), Affine.scale(0.5, 0.25))


@pytest.fixture
def store(tmp_path: Path, pixels: Any, lazy: Any) -> Any:
    def make(version: str = "0.5", layout: str = "flat", lattice: Lattice = SLIDE, name: str = "slide") -> Path:
        image = pixels(*lattice.shape.as_tuple())
        path = tmp_path / f"{name}.ome.zarr"
        return write_ome_zarr([lazy(image)], path, lattice=lattice, version=version, layout=layout, name="a", chunk=128)

    return make


def annotated() -> PolygonLayout:
    square = np.array([[20.0, 10.0], [150.0, 25.0], [120.0, 110.0], [10.0, 90.0]])
    return PolygonLayout([[square, square / 3 + 40], [square / 4]], [1, 2], [None, "Tumor", "Stroma"], CELL)


def write(path: Path, layout: Any = None, lattice: Lattice = SLIDE, **options: Any) -> Path:
    layout = layout or annotated()
    labels = label_map(layout)
    given = {"lattice": cells_lattice(lattice, layout.cell), "names": labels.names, "dtype": labels.dtype}
    return write_label_image(path, labels.read, **given | {"chunk": 16} | options)


def levels(path: Path) -> list[np.ndarray]:
    group = zarr.open_group(str(path), mode="r")
    attributes: Any = group.attrs.asdict()
    datasets = attributes.get("ome", attributes)["multiscales"][0]["datasets"]
    return [np.asarray(group[dataset["path"]]) for dataset in datasets]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(("version", "layout"), FORMS)
def test_ome_zarr_py_finds_the_labels_of_the_image_at_their_place(store: Any, version: str, layout: str) -> None:
    path = store(version, layout)
    write(path)
    image, group, labels = ome_zarr.reader.Reader(ome_zarr.io.parse_url(str(path)))()
    assert image.metadata["name"] == "a"
    assert [type(spec).__name__ for spec in group.specs] == ["Labels"]
    assert labels.metadata["properties"] == {1: {"class": "Tumor"}, 2: {"class": "Stroma"}}
    assert set(labels.metadata["color"]) == {1, 2}
    expected = label_map(annotated()).read(Box(0, 0, 34, 22))
    np.testing.assert_array_equal(labels.data[0].compute(), expected)
    for number, transforms in enumerate(labels.metadata["coordinateTransformations"]):
        assert transforms[0]["scale"] == [CELL * 2**number] * 2
        # Of centres, in the frame where the middle of the image's first pixel is at zero.
        assert transforms[1]["translation"] == pytest.approx([CELL * 2**number / 2 - MPP / 2] * 2)
    # Opened by itself, the label image leads to its image.
    from_label = list(ome_zarr.reader.Reader(ome_zarr.io.parse_url(str(path / "labels" / "layout")))())
    assert any(node.metadata.get("name") == "a" and len(node.data) > 1 for node in from_label)


@pytest.mark.parametrize(("version", "layout"), FORMS)
def test_ome_zarr_models_calls_it_valid(store: Any, version: str, layout: str) -> None:
    path = store(version, layout)
    write(path)
    model: Any = {"0.4": ome_zarr_models.v04, "0.5": ome_zarr_models.v05}[version]
    label = model.ImageLabel.from_zarr(zarr.open_group(str(path / "labels" / "layout"), mode="r"))
    assert len(label.ome_attributes.multiscales[0].datasets) == 3
    image = model.Image.from_zarr(zarr.open_group(str(path), mode="r"))
    assert image.labels is not None
    assert [*image.labels.ome_attributes.labels] == ["layout"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("lattice", [SLIDE, NORTH_UP, OBLONG], ids=["slide", "north up", "oblong pixels"])
def test_a_label_pixel_lies_over_the_image_pixels_of_its_cell(store: Any, version: str, lattice: Lattice) -> None:
    path = store(version, lattice=lattice)
    write(path, uniform("a", cell=8 * lattice.spacing.x), lattice)
    attributes: Any = [zarr.open_group(str(path / sub), mode="r").attrs.asdict() for sub in ("", "labels/layout")]
    image, label = (each.get("ome", each)["multiscales"][0] for each in attributes)
    assert [axis["name"] for axis in label["axes"]] == ["y", "x"]
    assert label["axes"] == image["axes"][1:]
    # The centre of label pixel 0 of level k is the mean of those of the image pixels below it.
    (scale, shift) = image["datasets"][0]["coordinateTransformations"]
    for number, dataset in enumerate(label["datasets"]):
        wide, place = dataset["coordinateTransformations"]
        for axis, spacing in enumerate((lattice.spacing.y, lattice.spacing.x)):
            side = round(8 * lattice.spacing.x / spacing) * 2**number
            step = scale["scale"][axis + 1]
            assert wide["scale"][axis] == pytest.approx(side * step, rel=1e-12)
            centre = np.mean([shift["translation"][axis + 1] + step * k for k in range(side)])
            assert place["translation"][axis] == pytest.approx(centre, rel=1e-9)


def test_the_image_is_read_as_before_and_its_files_stay(store: Any) -> None:
    for version, layout in FORMS:
        path = store(version, layout, name=f"{version}{layout}")
        before = tree(path)
        pixels = open_source(path).read_box(Box(0, 0, 401, 260))
        write(path)
        after = tree(path)
        changed = {name for name in before if before[name] != after[name]}
        assert changed <= {".zmetadata"}
        np.testing.assert_array_equal(open_source(path).read_box(Box(0, 0, 401, 260)), pixels)


def test_consolidated_metadata_know_the_labels(store: Any) -> None:
    path = store("0.4", "nested")
    assert (path / ".zmetadata").is_file()
    write(path)
    known = json.loads((path / ".zmetadata").read_text())["metadata"]
    assert known["labels/.zattrs"] == {"labels": ["layout"]}
    assert "labels/layout/0/.zarray" in known


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (17, 33), (50, 21), (5, 300)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_levels_take_every_second_pixel(store: Any, shape: tuple[int, int], dtype: Any) -> None:
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    asked: list[Box] = []

    def read(box: Box) -> np.ndarray:
        asked.append(box)
        return values[box.slices]

    image = store()
    target = write_label_image(
        image, read, lattice=Lattice.regular(Shape(*shape), 3.0), names={}, dtype=dtype, name="b", chunk=16
    )
    found = levels(target)
    assert found[0].dtype == dtype
    assert len(found) == len(levels(image)) == 3  # as the specification wants
    for number, level in enumerate(found):
        np.testing.assert_array_equal(level, values[:: 2**number, :: 2**number])
    assert max(max(box.w, box.h) for box in asked) <= 16
    assert sum(box.w * box.h for box in asked) == values.size


def test_a_layout_written_and_read_is_the_same_layout(store: Any) -> None:
    for version in ("0.4", "0.5"):
        path = store(version, name=version)
        again = raster_from_file(write(path))
        box = Box(0, 0, 34, 22)
        named = [[layout.conditions[k] for k in layout.index(box).ravel()] for layout in (again, annotated())]
        assert named[0] == named[1]
        assert again.cell == pytest.approx(CELL, rel=1e-12)
    with pytest.raises(ConditionError, match=r"no OME-Zarr label image.*labels/NAME"):
        raster_from_file(path)
    attributes = path / "labels" / "layout" / "zarr.json"
    attributes.write_text(attributes.read_text().replace("micrometer", "millimeter"))
    assert raster_from_file(path / "labels" / "layout").cell == pytest.approx(1000 * CELL)
    shutil.rmtree(path / "labels" / "layout" / "0")
    with pytest.raises(ConditionError, match="cannot be read"):
        raster_from_file(path / "labels" / "layout")


def test_a_grid_has_a_label_a_cell(store: Any) -> None:
    grid = EmbeddingGrid(np.zeros((20, 20, 1)), 10.0)
    found = levels(write(store(), grid))[0]
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[:13, :20], 1 + np.arange(13)[:, None] * 20 + np.arange(20))


def test_several_label_images_and_overwriting(store: Any) -> None:
    path = store()
    first = write(path)
    write(path, uniform("a", cell=50.0), name="other")
    names = zarr.open_group(str(path / "labels"), mode="r").attrs["ome"]
    assert names == {"version": "0.5", "labels": ["layout", "other"]}
    before = tree(path)
    with pytest.raises(OutputExistsError, match="exists"):
        write(path, uniform("b", cell=50.0))
    assert tree(path) == before
    write(path, uniform("b", cell=50.0), overwrite=True)
    assert (levels(first)[0] == 1).all()
    assert zarr.open_group(str(path / "labels"), mode="r").attrs["ome"] == names


def test_colours_and_provenance_are_written(store: Any) -> None:
    path = write(store("0.4"), colours={1: (1, 2, 3, 4)}, provenance=annotated().provenance())
    attributes: Any = zarr.open_group(str(path), mode="r").attrs.asdict()
    colours = {entry["label-value"]: entry["rgba"] for entry in attributes["image-label"]["colors"]}
    assert colours[1] == [1, 2, 3, 4]
    assert len(colours[2]) == 4
    assert colours[2][3] == 255
    assert attributes["image-label"]["source"] == {"image": "../../"}
    assert attributes["infbrush_wsi"]["token"] == annotated().token
    many = write(path.parents[1], EmbeddingGrid(np.zeros((10, 10, 1)), 50.0), name="many")
    entries: Any = zarr.open_group(str(many), mode="r").attrs.asdict()
    assert len({tuple(entry["rgba"]) for entry in entries["image-label"]["colors"]}) == 100


@pytest.mark.parametrize(
    "fault",
    [
        lambda box: 1 / 0,
        lambda box: np.zeros((3, 3), int),
        lambda box: np.zeros(box.shape.as_tuple()),
        lambda box: np.full(box.shape.as_tuple(), 256),
        lambda box: np.full(box.shape.as_tuple(), -1),
    ],
)
@pytest.mark.parametrize("others", [False, True])
def test_a_fault_leaves_the_store_as_it_was(store: Any, fault: Any, others: bool) -> None:
    path = store()
    if others:
        write(path, name="first")
    before = tree(path)
    good = label_map(annotated()).read

    def read(box: Box) -> Any:
        return good(box) if box.y0 == 0 else fault(box)

    with pytest.raises(OutputError, match=r"layout|labels of"):
        write_label_image(path, read, lattice=cells_lattice(SLIDE, CELL), names={1: "a"}, chunk=16)
    assert tree(path) == before
    assert others == (path / "labels").exists()
    write(path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "../x"}, ConfigError, "called by letters"),
        ({"name": ""}, ConfigError, "called by letters"),
        ({"dtype": "float32"}, ConfigError, "stored as uint8, uint16, int32"),
        ({"names": {256: "a"}}, ConfigError, "between 0 and 255"),
        ({"colours": {7: (0, 0, 0, 0)}}, ConfigError, "label 7, which has no name"),
        ({"colours": {1: (0, 0, 300, 0)}}, ConfigError, "colour of label 1"),
        ({"colours": {1: (0, 0, 0)}}, ConfigError, "colour of label 1"),
        ({"provenance": {"x": object()}}, ConfigError, "plain JSON"),
        ({"chunk": 0}, ConfigError, "at least one pixel"),
        ({"lattice": Lattice.regular(Shape(9, 9), 6.0, "meter")}, RegionError, "axes and unit"),
        ({"lattice": Lattice(Shape(9, 9), Affine.rotation(30))}, RegionError, "axes and unit"),
        ({"lattice": Lattice(Shape(9, 9), Affine.scale(1, -1))}, RegionError, "axes and unit"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(store: Any, options: Any, error: Any, message: str) -> None:
    path = store()
    before = tree(path)
    with pytest.raises(error, match=message):
        write(path, **options)
    assert tree(path) == before


def test_only_a_store_of_this_package_gets_labels(tmp_path: Path) -> None:
    zarr.create_group(str(tmp_path / "plain.zarr"))
    (tmp_path / "folder").mkdir()
    for name in ("plain.zarr", "folder", "none"):
        with pytest.raises(OutputError, match="no OME-Zarr image that write_ome_zarr has written"):
            write(tmp_path / name)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("cell", "shape"), [(6.0, (22, 34)), (0.5, (260, 401)), (65.0, (2, 4)), (1e4, (1, 1))])
def test_cells_cover_the_image(cell: float, shape: tuple[int, int]) -> None:
    made = cells_lattice(SLIDE, cell)
    assert made.shape.as_tuple() == shape
    assert (made.spacing.x, made.spacing.y) == pytest.approx((cell, cell))
    third = Lattice.regular(Shape(30, 60), 0.1)
    assert cells_lattice(third, 0.3).shape == Shape(10, 20)
    with pytest.raises(RegionError, match="positive side"):
        cells_lattice(SLIDE, 0.0)


def test_raster_names_come_from_the_label_image(store: Any) -> None:
    layout = RasterLayout(np.array([[1, 0], [2, 2]]), {1: "Tumor", 2: "Stroma"}, 100.0)
    path = write(store(), layout)
    again = raster_from_file(path, background="Glass")
    assert [again.conditions[k] for k in again.index(Box(0, 0, 2, 2)).ravel()] == ["Tumor", "Glass", "Stroma", "Stroma"]
