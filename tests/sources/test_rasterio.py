from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infbrush_wsi.domain import Box
from infbrush_wsi.errors import (
    BandMismatchError,
    CorruptSourceError,
    MissingMppError,
    SourceNotFoundError,
    UnsupportedSourceError,
)
from infbrush_wsi.sources import open_source

rasterio = pytest.importorskip("rasterio")


def whole(source: Any, level: int = 0) -> Any:
    h, w = source.level_shapes[level]
    return source.read_box(Box(0, 0, w, h), level)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_number_of_bands(tmp_path: Path, make: Any, channels: int) -> None:
    pixels = make.texture(150, 200, channels)
    # GDAL takes a second or fourth band for alpha unless told otherwise.
    path = make.raster(tmp_path / "a.tif", pixels, photometric="minisblack", alpha="unspecified")
    source = open_source(path)
    assert source.name == "rasterio"
    assert (source.channels, source.level_shapes) == (channels, ((150, 200),))
    np.testing.assert_array_equal(whole(source), pixels)
    assert (source.lattice.unit, source.lattice.crs, source.mpp) == ("meter", "EPSG:32633", 250_000.0)
    assert source.lattice.transform == Affine(0.25, 0, 500000, 0, -0.25, 5000000)


def test_bands_are_chosen_and_named(tmp_path: Path, make: Any) -> None:
    pixels = make.texture(64, 64, 4)
    path = make.raster(
        tmp_path / "a.tif", pixels, photometric="minisblack", alpha="unspecified", descriptions=("r", "g", "b", "nir")
    )
    source = open_source(path, bands=(4, 1))
    assert source.channel_names == ("nir", "r")
    np.testing.assert_array_equal(whole(source), pixels[..., [3, 0]])
    assert source.fingerprint != open_source(path).fingerprint
    with pytest.raises(BandMismatchError, match=r"no band 5.*1 to 4 \(r, g, b, nir\)"):
        open_source(path, bands=(5,))
    with pytest.raises(BandMismatchError):
        open_source(path, bands=())


def test_alpha_is_a_mask_unless_asked_for(tmp_path: Path, make: Any) -> None:
    pixels = make.texture(64, 80, 4)
    pixels[..., 3] = 255
    pixels[10:30, 20:50, 3] = 0
    path = make.raster(tmp_path / "a.tif", pixels, colours=("red", "green", "blue", "alpha"))
    source = open_source(path)
    assert source.channel_names == ("red", "green", "blue")
    np.testing.assert_array_equal(whole(source), pixels[..., :3])
    mask, lattice = source.mask()
    np.testing.assert_array_equal(mask, pixels[..., 3] > 0)
    assert lattice == source.lattice
    four = open_source(path, bands=(1, 2, 3, 4))
    np.testing.assert_array_equal(whole(four), pixels)
    assert four.mask()[0].all()


def test_nodata_and_internal_masks(tmp_path: Path, make: Any) -> None:
    pixels = np.maximum(make.texture(64, 64, 3), 1)
    pixels[:, 40:] = 0
    nodata = open_source(make.raster(tmp_path / "nodata.tif", pixels, nodata=0))
    assert nodata.metadata["nodata"] == 0.0
    np.testing.assert_array_equal(nodata.mask()[0], np.arange(64)[None, :].repeat(64, 0) < 40)
    valid = np.zeros((64, 64), dtype=bool)
    valid[5:20, 7:60] = True
    masked = open_source(make.raster(tmp_path / "mask.tif", make.texture(64, 64, 3), mask=valid))
    np.testing.assert_array_equal(masked.mask()[0], valid)


def test_an_undeclared_black_collar_is_masked_but_dark_water_inside_is_not(tmp_path: Path, make: Any) -> None:
    pixels = np.maximum(make.texture(200, 200, 3), 20)
    rows, columns = np.mgrid[:200, :200]
    collar = rows + columns < 80
    pixels[collar] = 3
    pixels[120:150, 120:160] = 0
    mask, _ = open_source(make.raster(tmp_path / "a.tif", pixels)).mask()
    np.testing.assert_array_equal(mask, ~collar)


def test_overviews_are_levels(tmp_path: Path, make: Any) -> None:
    pixels = make.texture(300, 401, 3)
    path = make.raster(tmp_path / "a.tif", pixels, overviews=(2, 4))
    source = open_source(path)
    assert source.level_shapes == ((300, 401), (150, 201), (75, 101))
    assert [level.downsample for level in source.levels] == pytest.approx([1, 2, 4], rel=0.01)
    # GDAL stretches 401 columns over 201.
    corner = source.levels[1].lattice.transform @ (201.0, 150.0)
    assert corner == pytest.approx(source.lattice.transform @ (401.0, 300.0))
    expected = pixels[:300, :2].reshape(150, 2, 2, 3).mean(axis=(1, 2))
    assert np.abs(whole(source, 1)[:, 0] - expected).max() <= 1
    assert source.at(0.5).level.index == 1
    np.testing.assert_array_equal(source.at(0.5).read(Box(0, 0, 201, 150)), whole(source, 1))


def test_a_rotated_transform_is_kept(tmp_path: Path, make: Any) -> None:
    transform = Affine.translation(1000, 2000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
    source = open_source(make.raster(tmp_path / "a.tif", make.texture(80, 60), transform=transform))
    assert source.lattice.transform.almost_equals(transform)
    assert source.lattice.spacing.x == pytest.approx(0.5)
    view = source.at(1.0)
    assert view.shape.as_tuple() == (40, 30)
    assert (view.lattice.transform @ (30.0, 40.0)) == pytest.approx(transform @ (60.0, 80.0))
    assert view.read(Box(3, 4, 5, 6)).shape == (6, 5, 3)


def test_units_other_than_metres(tmp_path: Path, make: Any) -> None:
    degree = open_source(
        make.raster(
            tmp_path / "d.tif", make.texture(64, 64), crs="EPSG:4326", transform=Affine(1e-4, 0, 9, 0, -1e-4, 48)
        )
    )
    assert (degree.lattice.unit, degree.mpp) == ("degree", None)
    assert degree.at(2e-4).shape.as_tuple() == (32, 32)
    with pytest.raises(MissingMppError, match="degree"):
        degree.at_mpp(1e6)
    foot = open_source(make.raster(tmp_path / "f.tif", make.texture(64, 64), crs="EPSG:2263"))
    assert foot.lattice.unit == "foot"


def test_without_crs_the_pixel_size_is_unknown_until_given(tmp_path: Path, make: Any) -> None:
    path = make.raster(tmp_path / "a.tif", make.texture(64, 64, 5), crs=None, transform=Affine.identity())
    source = open_source(path)
    assert (source.name, source.lattice.unit, source.mpp) == ("rasterio", "pixel", None)
    with pytest.raises(MissingMppError, match=r"open_source\(path, mpp="):
        source.at(1.0)
    assert open_source(path, mpp=0.5).at(1.0).shape.as_tuple() == (32, 32)
    geo = make.raster(tmp_path / "b.tif", make.texture(64, 64))
    with pytest.raises(UnsupportedSourceError, match="leave mpp out"):
        open_source(geo, mpp=0.5)


def test_other_types_need_a_scale(tmp_path: Path, make: Any) -> None:
    values = np.linspace(0, 4000, 64 * 64).reshape(64, 64, 1)
    values[0, 0] = np.nan
    path = make.raster(tmp_path / "f.tif", values.astype(np.float32))
    with pytest.raises(UnsupportedSourceError, match="scale="):
        open_source(path)
    read = whole(open_source(path, scale=(1000.0, 3000.0)))[..., 0]
    expected = np.clip(np.round((np.nan_to_num(values[..., 0]) - 1000) / 2000 * 255), 0, 255)
    assert np.abs(read.astype(int) - expected).max() <= 1
    assert (read[0, 0], read[-1, -1]) == (0, 255)
    with pytest.raises(UnsupportedSourceError, match="low < high"):
        open_source(path, scale=(3.0, 3.0))
    wide = make.raster(tmp_path / "u.tif", (np.nan_to_num(values) * 10).astype(np.uint16))
    assert open_source(wide, scale=(0, 40000)).channels == 1


def test_a_vrt(tmp_path: Path, make: Any) -> None:
    pixels = make.texture(100, 100)
    make.raster(tmp_path / "a.tif", pixels)
    text = (
        '<VRTDataset rasterXSize="40" rasterYSize="30"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>500000,0.25,0,5000000,0,-0.25</GeoTransform>"
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{b}"><SimpleSource><SourceFilename relativeToVRT="1">a.tif'
            f'</SourceFilename><SourceBand>{b}</SourceBand><SrcRect xOff="10" yOff="20" xSize="40" ySize="30"/>'
            '<DstRect xOff="0" yOff="0" xSize="40" ySize="30"/></SimpleSource></VRTRasterBand>'
            for b in (1, 2, 3)
        )
        + "</VRTDataset>"
    )
    (tmp_path / "part.vrt").write_text(text)
    source = open_source(tmp_path / "part.vrt")
    np.testing.assert_array_equal(whole(source), pixels[20:50, 10:50])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_region_is_the_crop_of_the_whole(data: st.DataObject, tmp_path_factory: Any, make: Any) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "property.tif"
    if not path.exists():
        make.raster(path, make.texture(150, 130, 4), photometric="minisblack", alpha="unspecified", overviews=(2,))
    source = open_source(path)
    level = data.draw(st.integers(0, 1))
    x, y = data.draw(st.integers(-50, 180)), data.draw(st.integers(-50, 180))
    w, h = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    padded = np.zeros((400, 400, 4), dtype=np.uint8)
    rows, columns = source.level_shapes[level]
    padded[50 : 50 + rows, 50 : 50 + columns] = whole(source, level)
    expected = padded[y + 50 : y + 50 + h, x + 50 : x + 50 + w]
    np.testing.assert_array_equal(source.read_box(Box(x, y, w, h), level), expected)
    factor = int(source.levels[level].downsample)
    region = source.read_region(location=(x * factor, y * factor), level=level, size=(w, h))
    np.testing.assert_array_equal(region, expected)


def test_truncated_and_damaged(tmp_path: Path, make: Any) -> None:
    path = make.raster(tmp_path / "a.tif", make.texture(256, 256))
    data = path.read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptSourceError, match=r"cut\.tif"):
        open_source(tmp_path / "cut.tif")
    torn = bytearray(data)
    torn[len(data) // 2 :] = b"\x55" * (len(data) - len(data) // 2)
    (tmp_path / "torn.tif").write_bytes(torn)
    source = open_source(tmp_path / "torn.tif")
    with pytest.raises(CorruptSourceError, match=r"torn\.tif is damaged at level 0"):
        whole(source)
    assert source.read_box(Box(0, 0, 64, 64)).std() > 5


def test_a_remote_raster_that_is_not_there() -> None:
    with pytest.raises(SourceNotFoundError, match="nothing at"):
        open_source("/vsimem/no-such-raster.tif")


@pytest.mark.shared_data
def test_real_aerial_images(shared: Any) -> None:
    naip = open_source(shared("aerial/naip_5m_rgbn/m_4709963_se_14_1_20090818.tif"))
    assert (naip.channels, naip.level_shapes) == (4, ((724, 934), (362, 467)))
    assert (naip.lattice.spacing.x, naip.lattice.unit, naip.lattice.crs) == (5.0, "meter", "EPSG:26914")
    assert (naip.metadata["mask"], naip.mask()[0].mean()) == ("nodata", 1.0)
    rgba = open_source(shared("aerial/rgba_35cm/pix4d_35cm_rgba.tif"))
    assert rgba.channel_names == ("red", "green", "blue")
    mask, _ = rgba.mask()
    assert 0.8 < mask.mean() < 0.95
    assert not mask[0, 0]
    border = open_source(shared("aerial/rgb_10cm/5b90f92da0d7280005fab355_4310.tif"))
    mask, lattice = border.mask(512)
    assert 0.75 < mask.mean() < 0.85
    assert not mask[:100, :100].any()
    assert mask[300:].all()
    assert max(lattice.shape.as_tuple()) == 512


@pytest.mark.shared_data
def test_infrared_that_is_declared_alpha_can_be_read(shared: Any) -> None:
    path = shared("aerial/naip_2m_rgbn/chip_1.tif")
    assert open_source(path).channels == 3
    source = open_source(path, bands=(1, 2, 3, 4))
    with rasterio.open(path) as raster:
        np.testing.assert_array_equal(whole(source), np.moveaxis(raster.read(), 0, -1))
