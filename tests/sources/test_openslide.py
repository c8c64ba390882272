from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import BandMismatchError, CorruptSourceError, RegionError, SourceError
from infbrush_wsi.sources import open_source

openslide = pytest.importorskip("openslide")


def test_levels_size_and_mpp_are_what_was_written(slide: Any) -> None:
    path, levels = slide
    source = open_source(path)
    assert source.name == "openslide"
    assert source.mpp == pytest.approx(0.5, rel=1e-4)
    assert source.level_shapes == tuple(level.shape[:2] for level in levels)
    assert [level.downsample for level in source.levels] == [1.0, 2.0, 4.0]
    assert source.levels[2].lattice.spacing.x == pytest.approx(2.0, rel=1e-4)
    assert (source.channels, source.channel_names, source.dtype) == (3, ("red", "green", "blue"), np.uint8)


def test_every_level_is_read_exactly(slide: Any) -> None:
    path, levels = slide
    source = open_source(path)
    for index, pixels in enumerate(levels):
        h, w = pixels.shape[:2]
        np.testing.assert_array_equal(source.read_box(Box(0, 0, w, h), index), pixels)


def test_read_region_has_openslides_meaning(slide: Any) -> None:
    path, _ = slide
    source = open_source(path)
    with openslide.OpenSlide(path) as native:
        for location, level, size in [((0, 0), 0, (31, 17)), ((128, 64), 1, (50, 60)), ((400, 200), 2, (40, 30))]:
            expected = np.asarray(native.read_region(location, level, size))[..., :3]
            np.testing.assert_array_equal(source.read_region(location=location, level=level, size=size), expected)


def test_outside_the_slide_is_white(slide: Any) -> None:
    path, levels = slide
    region = open_source(path).read_region(location=(-10, -20), level=0, size=(30, 50))
    assert (region[:20] == 255).all()
    assert (region[:, :10] == 255).all()
    np.testing.assert_array_equal(region[20:, 10:], levels[0][:30, :20])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_region_is_the_crop_of_the_whole_at_uneven_levels(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, make: Any
) -> None:
    # 1101 / 367 = 3 across but 1000 / 333 = 3.003 down: OpenSlide's own factor is 3.0015.
    path = Path(tmp_path_factory.getbasetemp()) / "uneven.tif"
    if not path.exists():
        base = make.texture(1000, 1101)
        make.slide(path, [base, base[1::3, 1::3][:333]])
    source = open_source(path)
    assert source.levels[1].downsample == 3.0
    x, y = data.draw(st.integers(-20, 380)), data.draw(st.integers(-20, 350))
    w, h = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 90))
    whole = source.read_box(Box(-20, -20, 500, 500), 1)
    np.testing.assert_array_equal(source.read_box(Box(x, y, w, h), 1), whole[y + 20 : y + 20 + h, x + 20 : x + 20 + w])


def test_an_error_is_named_and_does_not_stick(tmp_path: Path, make: Any) -> None:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    pixels = make.texture(512, 512)
    path = make.slide(tmp_path / "torn.tif", [pixels], compression="jpeg")
    with tifffile.TiffFile(path) as file:
        offset, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    with path.open("r+b") as raw:
        raw.seek(offset)
        raw.write(b"\x00" * count)
    source = open_source(path)
    before = source.read_region((0, 0), 0, (128, 128))
    with pytest.raises(CorruptSourceError, match=r"level-0 \(128, 128\)"):
        source.read_region((128, 128), 0, (128, 128))
    np.testing.assert_array_equal(source.read_region((0, 0), 0, (128, 128)), before)
    with pytest.raises(CorruptSourceError):
        source.read_region((100, 100), 0, (128, 128))
    assert source.read_region((256, 256), 0, (256, 256)).std() > 10


def test_bands_and_mpp_of_the_caller(slide: Any) -> None:
    path, levels = slide
    source = open_source(path, bands=(3, 1), mpp=(0.25, 0.3))
    assert source.channel_names == ("blue", "red")
    np.testing.assert_array_equal(source.read_region((5, 6), 0, (20, 10)), levels[0][6:16, 5:25][..., [2, 0]])
    assert source.mpp_xy is not None
    assert (source.mpp_xy.x, source.mpp_xy.y) == (0.25, 0.3)
    with pytest.raises(BandMismatchError, match="no band 4"):
        open_source(path, bands=(1, 4))


def test_print_resolution_is_no_pixel_size(tmp_path: Path, make: Any) -> None:
    path = make.slide(tmp_path / "print.tif", [make.texture(256, 256)], mpp=25400 / 300)
    assert open_source(path).mpp is None
    path = make.slide(tmp_path / "none.tif", [make.texture(256, 256)], mpp=None)
    assert open_source(path).mpp is None


def test_wrong_levels_and_sizes_are_refused(slide: Any) -> None:
    source = open_source(slide[0])
    with pytest.raises(RegionError, match="no level 3"):
        source.read_region((0, 0), 3, (10, 10))
    with pytest.raises(RegionError, match="positive size"):
        source.read_region((0, 0), 0, (0, 10))
    with pytest.raises(RegionError, match="whole pixels"):
        source.read_region((0.5, 0), 0, (10, 10))  # type: ignore[arg-type]
    with pytest.raises(RegionError, match="fit in memory"):
        source.read_region((0, 0), 0, (10**6, 10**6))


def test_closing_and_pickling(slide: Any) -> None:
    path, levels = slide
    with open_source(path) as source:
        source.read_region((0, 0), 0, (8, 8))
        copy = pickle.loads(pickle.dumps(source))
    with pytest.raises(SourceError, match="closed"):
        source.read_region((0, 0), 0, (8, 8))
    source.close()
    np.testing.assert_array_equal(copy.read_region((3, 2), 0, (8, 8)), levels[0][2:10, 3:11])
    assert copy.fingerprint == source.fingerprint


@pytest.mark.shared_data
def test_a_real_aperio_slide(shared: Any) -> None:
    path = shared("wsi/cmu-1-small-region.svs")
    source = open_source(path)
    assert source.mpp == pytest.approx(0.499)
    assert source.metadata == {"reader": "openslide", "vendor": "aperio", "objective_power": 20.0}
    with openslide.OpenSlide(path) as native:
        expected = np.asarray(native.read_region((900, 1200), 0, (300, 200)).convert("RGB"))
    np.testing.assert_array_equal(source.read_region((900, 1200), 0, (300, 200)), expected)
    mask, lattice = source.mask(512)
    assert mask.shape == lattice.shape.as_tuple()
    assert max(mask.shape) == 512
    assert 0.2 < mask.mean() < 0.5
    assert not mask[:100, 60:120].any()
    assert mask[300:450, 150:200].mean() > 0.9


@pytest.mark.shared_data
@pytest.mark.parametrize("bytes_kept", [0, 100, 5000, 500_000])
def test_a_truncated_slide_is_named_so(shared: Any, tmp_path: Path, bytes_kept: int) -> None:
    path = tmp_path / "cut.svs"
    path.write_bytes(shared("wsi/cmu-1-small-region.svs").read_bytes()[:bytes_kept])
    with pytest.raises(CorruptSourceError, match=r"cut\.svs"):
        open_source(path)
