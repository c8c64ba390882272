"""Patches as data sets of PyTorch, by its loader; rasters by torchgeo itself."""

from __future__ import annotations

import pickle

import dask.array as da
import numpy as np
import pytest
import torch
from affine import Affine
from PIL import Image
from torch.utils.data import DataLoader

from infbrush_wsi import open_source
from infbrush_wsi.conditioning.layout import PolygonLayout
from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import ConfigError, DatasetError, RegionError, SourceNotFoundError
from infbrush_wsi.plugins.torch import PatchDataset
from infbrush_wsi.writers.geotiff import write_geotiff


def image_of(item):
    """uint8 (h, w, C)."""
    assert item["image"].dtype == torch.float32
    return item["image"].numpy().transpose(1, 2, 0).astype(np.uint8)


def test_patches_cover_a_canvas_and_are_its_pixels(slide):
    patches = PatchDataset(slide, 128)
    assert len(patches) == 5 * 2  # 613 x 141
    whole = slide.read_region((0, 0), 0, (613, 141))
    seen = np.zeros((141, 613), int)
    for item, box in zip(patches, patches.boxes, strict=True):
        np.testing.assert_array_equal(image_of(item), whole[box.slices])
        assert set(item) == {"image", "bounds"}
        assert item["bounds"].tolist() == [0.5 * side for side in (box.x0, box.y0, box.x1, box.y1)]
        seen[box.slices] += 1
    assert seen.min() == 1
    assert patches[-1]["bounds"].tolist() == [242.5, 6.5, 306.5, 70.5]
    assert patches.channel_names == ("Red", "Green", "Blue")


def test_levels_and_strides(slide, levels):
    patches = PatchDataset(slide, (40, 30), stride=(200, 60), level=1)
    assert [(box.x0, box.y0) for box in patches.boxes] == [(0, 0), (200, 0), (267, 0), (0, 41), (200, 41), (267, 41)]
    for item, box in zip(patches, patches.boxes, strict=True):
        np.testing.assert_array_equal(image_of(item), levels(slide)[1][box.slices])
    assert patches[2]["bounds"].tolist() == [267, 0, 307, 30]  # µm: level 1 has pixels of 1 µm


def test_a_raster_says_where_its_patches_are(raster):
    patches = PatchDataset(raster, 64, label=3)
    item = patches[1]
    assert item["image"].shape == (4, 64, 64)
    assert item["bounds"].tolist() == [500_064, 4_420_000 - 64, 500_128, 4_420_000]
    assert item["bounds"].dtype == torch.float64
    assert (item["crs"], patches.crs) == ("EPSG:26914", "EPSG:26914")
    assert (item["label"].item(), item["label"].dtype) == (3, torch.int64)
    batch = next(iter(DataLoader(patches, batch_size=3)))
    assert batch["image"].shape == (3, 4, 64, 64)
    assert batch["bounds"].shape == (3, 4)
    assert (batch["crs"], batch["label"].tolist()) == (["EPSG:26914"] * 3, [3] * 3)


def test_workers_give_what_one_process_gives(slide, written):
    patches = PatchDataset(written(slide), 64, stride=48)

    def epoch(workers, seed):
        order = torch.Generator().manual_seed(seed)
        loader = DataLoader(patches, batch_size=4, shuffle=True, num_workers=workers, generator=order)
        return [(batch["image"], batch["bounds"]) for batch in loader]

    alone = epoch(0, 5)
    assert sum(len(images) for images, _ in alone) == len(patches) == 13 * 3
    for workers in (2, 2):
        for found, expected in zip(epoch(workers, 5), alone, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not torch.equal(epoch(0, 6)[0][1], alone[0][1])


def test_it_travels_to_other_processes(slide, written, make_pipeline, tmp_path):
    patches = PatchDataset(written(slide), 100)
    again = pickle.loads(pickle.dumps(patches))
    assert torch.equal(again[3]["image"], patches[3]["image"])
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

    make_pipeline().save_pretrained(tmp_path / "model")
    canvas = InfBrushPipeline.from_pretrained(tmp_path / "model")("Invasive", size=(80, 40), num_inference_steps=1)
    computed = PatchDataset(canvas, 40)
    again = pickle.loads(pickle.dumps(computed))
    assert torch.equal(again[1]["image"], computed[1]["image"])


def test_a_layout_gives_masks(slide):
    left = np.array([[-50.0, -50], [100.0, -50], [100.0, 300], [-50, 300]])
    layout = PolygonLayout([[left]], [1], (None, "Invasive"), 4.0)
    patches = PatchDataset(slide, 141, level=0, layout=layout, stride=100)
    assert patches.mask_names == {1: "Invasive"}
    for item, box in zip(patches, patches.boxes, strict=True):
        x = np.arange(box.x0, box.x1) + 0.5
        expected = np.broadcast_to((x * 0.5 < 100.0).astype(int), (141, 141))
        mask = item["mask"].numpy()
        assert mask.dtype == np.int64
        # The border of a layout is known to half a node, 4 pixels.
        assert (mask != expected).sum() <= 4 * 141
    assert patches[0]["mask"].unique().tolist() == [1]
    assert patches[4]["mask"].unique().tolist() == [0]


def test_transforms_take_the_whole_item(slide):
    patches = PatchDataset(slide, 128, transforms=lambda item: {"image": item["image"] / 255, "at": item["bounds"]})
    item = patches[0]
    assert set(item) == {"image", "at"}
    assert 0 < item["image"].max() <= 1


def test_a_source_at_another_pixel_size(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (256, 512, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "slide.png")
    with open_source(tmp_path / "slide.png", mpp=0.5) as source:
        patches = PatchDataset(source, 64, mpp=1.0)
        assert patches.lattice.mpp == pytest.approx(1.0)
        assert len(patches) == 2 * 4
        np.testing.assert_array_equal(image_of(patches[1]), source.at_mpp(1.0).read(Box(64, 0, 64, 64)))
        assert patches[1]["bounds"].tolist() == [64, 0, 128, 64]


@pytest.fixture
def half_empty(tmp_path):
    """A raster of 256 x 128 pixels of which the left 120 columns are a black collar."""
    pixels = np.random.default_rng(0).integers(60, 256, (128, 256, 3), np.uint8)
    pixels[:, :120] = 0
    lattice = Lattice(Shape(128, 256), Affine(1.0, 0.0, 5e5, 0.0, -1.0, 4.42e6), "meter", "EPSG:26914")
    return write_geotiff(da.from_array(pixels), tmp_path / "map.tif", lattice=lattice, provenance={})


def test_patches_without_enough_tissue_are_left_out(half_empty):
    assert len(PatchDataset(half_empty, 64)) == 8
    assert {box.x0 for box in PatchDataset(half_empty, 64, tissue=0.5).boxes} == {128, 192}
    assert {box.x0 for box in PatchDataset(half_empty, 64, tissue=0.1).boxes} == {64, 128, 192}
    with pytest.raises(DatasetError, match=r"none of the 1 patches of .*map\.tif is tissue by 0\.9"):
        PatchDataset(half_empty, (256, 128), tissue=0.9)
    with pytest.raises(ConfigError, match="share from 0 to 1"):
        PatchDataset(half_empty, 32, tissue=1.5)
    with pytest.raises(SourceNotFoundError):
        PatchDataset(half_empty.with_name("none.tif"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 142}, RegionError, "613 x 141 pixels, fewer than a patch of 142 x 142"),
        ({"size": 0}, ConfigError, "at least one pixel"),
        ({"size": 64.0}, ConfigError, "whole pixels"),
        ({"stride": (64, 0)}, ConfigError, "stride of patches must be at least one"),
        ({"stride": (64, 64, 3)}, ConfigError, "one number or"),
        ({"level": 3}, RegionError, "has levels 0 to 2, not 3"),
        ({"mpp": 1.0}, ConfigError, "a canvas has the pixel size"),
        ({"mpp": 1.0, "level": 1}, ConfigError, "not both"),
        ({"tissue": 0.5}, ConfigError, "for slides and rasters"),
    ],
)
def test_what_cannot_be_cut_is_refused_at_once(slide, options, error, message):
    with pytest.raises(error, match=message):
        PatchDataset(slide, **{"size": 64} | options)


def test_there_is_no_patch_beyond_the_last(slide):
    patches = PatchDataset(slide, 128)
    for index in (10, -11):
        with pytest.raises(IndexError, match="10 patches"):
            patches[index]


@pytest.mark.slow
def test_torchgeo_opens_a_generated_raster(raster, tmp_path):
    datasets = pytest.importorskip("torchgeo.datasets")
    names = raster.channel_names
    path = write_geotiff(
        raster.to_dask(0), tmp_path / "map.tif", lattice=raster.lattice, provenance={}, channel_names=names
    )
    found = datasets.RasterDataset(path)
    assert found.crs.to_epsg() == 26914
    assert found.res == (1.0, 1.0)
    sample = found[found.bounds]
    pixels = raster.read_region((0, 0), 0, (300, 71))
    np.testing.assert_array_equal(sample["image"].numpy(), pixels.transpose(2, 0, 1))
    # The same place, asked for by its coordinates, is the same patch.
    patches = PatchDataset(raster, 64)
    x0, y0, x1, y1 = patches[7]["bounds"].tolist()
    sample = found[x0:x1, y0:y1]
    assert torch.equal(sample["image"], patches[7]["image"])
    assert sample["image"].dtype == patches[7]["image"].dtype
    assert set(patches[7]) == set(sample) & {"image", "bounds", "crs"}
