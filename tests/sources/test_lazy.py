"""Parts of sources as lazy arrays."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import ConfigError, MissingMppError, RegionError
from infbrush_wsi.sources.lazy import lazy_region
from infbrush_wsi.sources.registry import open_source


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return open_source(tmp_path / "picture.png", mpp=0.5), pixels


def test_the_array_is_the_region_and_knows_its_place(picture):
    source, pixels = picture
    part = lazy_region(source, region=(20, 10, 70, 50))
    assert part.shape == (50, 70, 3)
    np.testing.assert_array_equal(part.to_dask().compute(), pixels[10:60, 20:90])
    np.testing.assert_array_equal(part[5:9, 3:40, 1:], pixels[15:19, 23:60, 1:])
    assert part[5:5, 3:40].shape == (0, 37, 3)
    assert (part.lattice.transform.c, part.lattice.transform.f) == (10.0, 5.0)


def test_another_pixel_size_is_the_sources_view(picture):
    source, _ = picture
    part = lazy_region(source, mpp=1.0, region=(20, 10, 70, 50))
    assert part.lattice.mpp == pytest.approx(1.0)
    np.testing.assert_array_equal(part.to_dask().compute(), source.at_mpp(1.0).read(Box(10, 5, 35, 25)))


def test_nothing_is_read_before_it_is_computed(picture, tmp_path):
    source, _ = picture
    array = lazy_region(source).to_dask()
    (tmp_path / "picture.png").unlink()
    with pytest.raises(Exception, match=r"gone|nothing"):
        array.compute()


def test_what_is_not_there_is_refused(picture, tmp_path):
    source, _ = picture
    with pytest.raises(RegionError, match="not inside the image of 130 x 90"):
        lazy_region(source, region=(100, 0, 31, 10))
    with pytest.raises(RegionError, match="no level 3"):
        lazy_region(source, level=3)
    with pytest.raises(ConfigError, match="not both"):
        lazy_region(source, level=1, mpp=1.0)
    with pytest.raises(MissingMppError):
        lazy_region(open_source(tmp_path / "picture.png"), mpp=1.0)
