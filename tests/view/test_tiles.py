"""What the server sends is what the image holds."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from infbrush_wsi.domain import Box
from infbrush_wsi.sources import ArraySource, open_source
from infbrush_wsi.view import shown
from infbrush_wsi.view.tiles import TileStore


def native(source, level):
    shape = source.levels[level].lattice.shape
    return source.read_box(Box(0, 0, shape.w, shape.h), level)


@pytest.fixture(params=["slide", "raster", "zarr_store", "picture"])
def source(request):
    with open_source(request.getfixturevalue(request.param)) as opened:
        yield opened


def test_png_tiles_of_every_level_of_an_image_are_its_pixels(serve, source):
    page = serve(source)
    (image,) = page.images()
    assert (image["width"], image["height"]) == (source.lattice.shape.w, source.lattice.shape.h)
    factors = [level["downsample"] for level in image["levels"]]
    for level in source.levels:
        expected = native(source, level.index)
        expected = expected[..., :3] if source.channels >= 3 else expected[..., 0]
        np.testing.assert_array_equal(page.whole(image, factors.index(level.downsample)), expected)


def test_a_tile_shares_a_pixel_with_each_of_its_neighbours(serve, pixels):
    page = serve(ArraySource(pixels, mpp=1.0))
    (image,) = page.images()
    assert (image["tile"], image["overlap"]) == (512, 1)
    np.testing.assert_array_equal(page.tile(image, 0, 1, 0), pixels[:513, 511:1025])
    np.testing.assert_array_equal(page.tile(image, 0, 2, 1), pixels[511:, 1023:])


def test_levels_between_are_means(serve, pixels):
    page = serve(ArraySource(pixels, mpp=1.0))
    (image,) = page.images()
    assert [level["downsample"] for level in image["levels"]] == [1, 2, 4]
    h, w = pixels.shape[0] // 4 * 4, pixels.shape[1] // 4 * 4
    means = pixels[:h, :w].reshape(h // 4, 4, w // 4, 4, 3).mean((1, 3))
    np.testing.assert_allclose(page.whole(image, 2)[: h // 4, : w // 4], means, atol=0.51)


def test_jpeg_tiles_are_the_pixels_within_their_loss(serve, slide):
    with open_source(slide) as source:
        page = serve(source, kind="jpg")
        (image,) = page.images()
        assert image["kind"] == "jpg"
        off = np.abs(page.whole(image, 0, "jpg").astype(int) - native(source, 0))
    assert 0 < off.mean() < 2.5


def test_tiles_of_a_virtual_slide_are_those_of_its_canvas(serve, canvas):
    page = serve(canvas)
    (image,) = page.images()
    assert [level["downsample"] for level in image["levels"]] == [1, 2, 4]
    for level, (h, w) in enumerate(canvas.level_shapes):
        found = page.whole(image, level)
        assert found.std() > 5
        np.testing.assert_array_equal(found, canvas.read_region((0, 0), level, (w, h)))


def test_a_corner_of_a_large_virtual_slide_is_computed_alone(serve, make_pipeline):
    canvas = make_pipeline()("Normal", size=(40_000, 30_001), seed=3, num_inference_steps=2)
    page = serve(canvas)
    (image,) = page.images()
    assert (image["levels"][-1]["width"], image["levels"][-1]["height"]) == (157, 118)
    tile = page.tile(image, 0, 156, 117)
    x, y = 156 * 256 - 1, 117 * 256 - 1
    assert tile.shape == (30_001 - y, 40_000 - x, 3)
    np.testing.assert_array_equal(tile, canvas.read_region((x, y), 0, tile.shape[1::-1]))


def test_many_readers_at_once_get_the_same_tiles(serve, canvas, slide):
    with open_source(slide) as source:
        page = serve([canvas, source])
        images = page.images()
        asked = [(image, level, 0, 0) for image in images for level in (0, 1)] * 6
        with ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda one: page.tile(*one), asked))
    for tile, again in zip(found, found[4:], strict=False):
        np.testing.assert_array_equal(tile, again)


def test_chosen_bands_are_shown(serve, raster):
    with open_source(raster, bands=[4, 1, 2]) as source, open_source(raster) as whole:
        page = serve(source)
        np.testing.assert_array_equal(page.tile(page.images()[0], 0, 0, 0), native(whole, 0)[:513, :513, [3, 0, 1]])


def test_two_bands_are_shown_by_the_first(serve, pixels):
    page = serve(ArraySource(pixels[..., :2], mpp=1.0))
    np.testing.assert_array_equal(page.tile(page.images()[0], 0, 0, 0), pixels[:513, :513, 0])


def test_tiles_are_kept_within_a_limit():
    noise, reads = np.random.default_rng(0).integers(0, 256, (833, 1201, 3), np.uint8), []

    class Counted(ArraySource):
        def _read(self, box, level):
            reads.append(box)
            return super()._read(box, level)

    image = shown(Counted(noise, mpp=1.0))
    store = TileStore({"a": image}, kept_bytes=1 << 20)
    first = store.get("a", 0, 0, 0, "png")
    assert store.get("a", 0, 0, 0, "png") == first
    assert len(reads) == 1
    for column in range(3):
        for row in range(2):
            assert len(store.get("a", 0, column, row, "png")) > 1 << 17
    assert store.get("a", 0, 0, 0, "png") == first
    assert len(reads) > 6
