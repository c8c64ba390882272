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
from infbrush_wsi.errors import CorruptSourceError, SourceNotFoundError, UnsupportedSourceError
from infbrush_wsi.sources import open_source
from infbrush_wsi.writers import write_ome_zarr

AXES = {"c": {"name": "c", "type": "channel"}}
AXES |= {n: {"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"} | {"t": {"name": "t", "type": "time"}}


def write(
    path: Path,
    levels: list[Any],
    *,
    version: str = "0.5",
    axes: str = "cyx",
    names: str = "{}",
    mpp: float = 0.5,
    translations: bool = True,
    extra: dict[str, Any] | None = None,
    unit: str = "micrometer",
    omero: dict[str, Any] | None = None,
) -> Path:
    """An OME-Zarr written with zarr alone, chunked so that regions cross chunks; levels are (h, w, C)."""
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for index, pixels in enumerate(levels):
        order = ["hwc".index({"y": "h", "x": "w"}.get(a, a)) for a in axes if a in "cyx"]
        data = np.ascontiguousarray(pixels.transpose(order) if "c" in axes else pixels[..., 0])
        for position, axis in enumerate(axes):
            if axis in "tz":
                data = np.expand_dims(data, position)
        name = names.format(index)
        chunks = tuple(50 if a in "yx" else 1 for a in axes)
        keywords = (
            {"dimension_names": list(axes)}
            if version == "0.5"
            else {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        )
        group.create_array(name, shape=data.shape, dtype=data.dtype, chunks=chunks, **keywords)[...] = data
        factor = levels[0].shape[1] / pixels.shape[1]
        scale = [mpp * factor if a in "yx" else 1.0 for a in axes]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if translations and index:
            shift = [(factor - 1) / 2 * mpp if a in "yx" else 0.0 for a in axes]
            transforms.append({"type": "translation", "translation": shift})
        datasets.append({"path": name, "coordinateTransformations": transforms})
    described = [{**AXES[a], **({"unit": unit} if a in "yx" else {})} for a in axes]
    ome: dict[str, Any] = {"multiscales": [{"axes": described, "datasets": datasets, "name": "test"}]}
    if omero:
        ome["omero"] = omero
    if version == "0.5":
        group.attrs.update({"ome": {"version": version, **ome}, **(extra or {})})
    else:
        ome["multiscales"][0]["version"] = version
        group.attrs.update({**ome, **(extra or {})})
    return path


@pytest.fixture
def levels(make: Any) -> list[Any]:
    base = make.texture(160, 240)
    return [base, make.halved(base, 2), make.halved(base, 4)]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "tczyx", "yxc"])
@pytest.mark.parametrize("names", ["{}", "s{}", "{}/image"])
def test_versions_axes_and_layouts(tmp_path: Path, levels: list[Any], version: str, axes: str, names: str) -> None:
    path = write(tmp_path / "a.zarr", levels, version=version, axes=axes, names=names)
    source = open_source(path)
    assert source.name == "ome_zarr"
    assert source.mpp == 0.5
    assert source.level_shapes == ((160, 240), (80, 120), (40, 60))
    assert source.channel_names == ("red", "green", "blue")
    for index, pixels in enumerate(levels):
        h, w = pixels.shape[:2]
        np.testing.assert_array_equal(source.read_box(Box(0, 0, w, h), index), pixels)
        # Pixel centres as OME places them, seen from the corner: all levels start at the origin.
        assert source.levels[index].lattice.transform.almost_equals(Affine.scale(0.5 * 2**index))
    region = source.read_region(location=(40, 60), level=1, size=(35, 25))
    np.testing.assert_array_equal(region, levels[1][30:55, 20:55])
    np.testing.assert_array_equal(source.read_region((-2, -3), 0, (4, 5))[:3], np.full((3, 4, 3), 255))


def test_levels_without_translation_start_together(tmp_path: Path, levels: list[Any]) -> None:
    source = open_source(write(tmp_path / "a.zarr", levels, translations=False))
    assert [level.lattice.transform @ (0.0, 0.0) for level in source.levels] == [(0.0, 0.0)] * 3


def test_a_single_channel_without_channel_axis(tmp_path: Path, make: Any) -> None:
    gray = make.texture(90, 70, 1)
    source = open_source(write(tmp_path / "a.zarr", [gray], axes="yx"))
    assert (source.channels, source.background) == (1, (0,))
    np.testing.assert_array_equal(source.read_box(Box(0, 0, 70, 90)), gray)


def test_other_units(tmp_path: Path, levels: list[Any]) -> None:
    nano = open_source(write(tmp_path / "n.zarr", levels, mpp=500.0, unit="nanometer"))
    assert (nano.lattice.unit, nano.mpp) == ("micrometer", 0.5)
    unknown = open_source(write(tmp_path / "u.zarr", levels, unit=""))
    assert unknown.mpp is None
    assert open_source(tmp_path / "u.zarr", mpp=0.25).levels[2].lattice.spacing.x == 1.0


def test_channel_names_come_from_omero_and_bands_are_chosen(tmp_path: Path, make: Any) -> None:
    pixels = make.texture(60, 60, 4)
    omero = {"channels": [{"label": name} for name in ("DAPI", "CD3", "CD8", "PanCK")]}
    path = write(tmp_path / "a.zarr", [pixels], omero=omero)
    assert open_source(path).channel_names == ("DAPI", "CD3", "CD8", "PanCK")
    source = open_source(path, bands=(4, 2))
    assert source.channel_names == ("PanCK", "CD3")
    np.testing.assert_array_equal(source.read_box(Box(10, 20, 30, 40)), pixels[20:60, 10:40][..., [3, 1]])


def test_sixteen_bits_need_a_scale(tmp_path: Path, make: Any) -> None:
    pixels = make.texture(60, 60).astype(np.uint16) * 257
    path = write(tmp_path / "a.zarr", [pixels])
    with pytest.raises(UnsupportedSourceError, match="uint16"):
        open_source(path)
    np.testing.assert_array_equal(open_source(path, scale=(0, 65535)).read_box(Box(0, 0, 60, 60)), pixels // 257)


def test_what_ome_zarr_py_writes(tmp_path: Path, levels: list[Any]) -> None:
    writer = pytest.importorskip("ome_zarr.writer")
    formats = pytest.importorskip("ome_zarr.format")
    dask_array = pytest.importorskip("dask.array")
    for version in ("0.4", "0.5"):
        path = tmp_path / f"{version}.zarr"
        data = dask_array.from_array(levels[0].transpose(2, 0, 1), chunks=(3, 64, 64))
        writer.write_image(
            data,
            str(path),
            axes="cyx",
            scale={"c": 1.0, "y": 0.25, "x": 0.25},
            scale_factors=[2],
            axes_units={"y": "micrometer", "x": "micrometer"},
            fmt=formats.format_from_version(version),
        )
        source = open_source(path)
        assert source.mpp == 0.25
        assert source.level_shapes[:2] == ((160, 240), (80, 120))
        np.testing.assert_array_equal(source.read_box(Box(0, 0, 240, 160)), levels[0])


def test_a_raster_keeps_its_crs(tmp_path: Path, levels: list[Any]) -> None:
    pyproj = pytest.importorskip("pyproj")
    path = write(tmp_path / "a.zarr", levels, names="{}/image", unit="meter", mpp=0.3)
    wkt = pyproj.CRS("EPSG:32633").to_wkt()
    grid = zarr.open_group(path, mode="r+")["0"].create_array("spatial_ref", shape=(), dtype="i8")
    grid.attrs.update({"crs_wkt": wkt, "GeoTransform": "500000.0 0.3 0.0 5000000.0 0.0 -0.3"})
    source = open_source(path)
    assert (source.lattice.crs, source.lattice.unit) == (wkt, "meter")
    assert source.lattice.transform == Affine(0.3, 0, 500000, 0, -0.3, 5000000)
    assert source.levels[1].lattice.transform.almost_equals(Affine(0.6, 0, 500000, 0, -0.6, 5000000))
    assert source.background == (0, 0, 0)


def test_provenance_is_kept_and_unfinished_stores_are_refused(tmp_path: Path, levels: list[Any]) -> None:
    done = write(tmp_path / "done.zarr", levels, extra={"infbrush_wsi": {"state": "complete", "synthetic": True}})
    assert open_source(done).metadata["synthetic"] is True
    open_one = write(tmp_path / "open.zarr", levels, extra={"infbrush_wsi": {"state": "writing"}})
    with pytest.raises(CorruptSourceError, match="unfinished"):
        open_source(open_one)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_damage_is_named(tmp_path: Path, levels: list[Any], version: str) -> None:
    good = write(tmp_path / "good.zarr", levels, version=version)
    metadata = "zarr.json" if version == "0.5" else ".zattrs"

    def copy(name: str) -> Path:
        return Path(shutil.copytree(good, tmp_path / f"{name}.zarr"))

    cut = copy("cut")
    (cut / metadata).write_text((cut / metadata).read_text()[:200])
    missing = copy("missing")
    shutil.rmtree(missing / "1")
    wrong = copy("wrong")
    text = json.loads((wrong / metadata).read_text())
    (text["attributes"]["ome"] if version == "0.5" else text)["multiscales"][0]["datasets"][0][
        "coordinateTransformations"
    ] = 7
    (wrong / metadata).write_text(json.dumps(text))
    for path in (cut, missing, wrong):
        with pytest.raises(CorruptSourceError, match=path.name):
            open_source(path)
    torn = copy("torn")
    chunk = torn / ("0/c/0/0/0" if version == "0.5" else "0/0/0/0")
    # Random bytes, not a cut: numcodecs decodes a cut Blosc chunk without complaint.
    chunk.write_bytes(np.random.default_rng(0).bytes(200))
    source = open_source(torn)
    with pytest.raises(CorruptSourceError, match=r"torn\.zarr/0 is damaged"):
        source.read_box(Box(0, 0, 10, 10))
    np.testing.assert_array_equal(source.read_box(Box(60, 60, 100, 50)), levels[0][60:110, 60:160])


def test_what_is_no_image(tmp_path: Path, levels: list[Any]) -> None:
    zarr.open_group(tmp_path / "plain.zarr", mode="w")
    with pytest.raises(UnsupportedSourceError, match="multiscales"):
        open_source(tmp_path / "plain.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(CorruptSourceError, match="no OME-Zarr"):
        open_source(tmp_path / "empty.zarr")
    stack = write(tmp_path / "stack.zarr", levels, axes="zcyx")
    array = zarr.open_group(stack, mode="r+")
    del array["0"]
    array.create_array("0", shape=(4, 3, 160, 240), dtype="u1", chunks=(1, 1, 50, 50))
    with pytest.raises(UnsupportedSourceError, match="one time and one z plane"):
        open_source(stack)


def test_a_remote_store_that_is_not_there() -> None:
    with pytest.raises(SourceNotFoundError):
        open_source("memory://nowhere.zarr")


def test_fingerprints_follow_the_pixels(tmp_path: Path, levels: list[Any]) -> None:
    first = open_source(write(tmp_path / "a.zarr", levels))
    moved = shutil.copytree(tmp_path / "a.zarr", tmp_path / "elsewhere.zarr")
    other = open_source(write(tmp_path / "b.zarr", [255 - level for level in levels]))
    assert open_source(moved).fingerprint == first.fingerprint != other.fingerprint


@pytest.mark.parametrize("layout", ["flat", "nested"])
@pytest.mark.parametrize(
    "lattice",
    [
        Lattice.regular(Shape(64, 48), 0.5),
        Lattice(Shape(64, 48), Affine.translation(10.0, 20.0) @ Affine.scale(0.5, 0.25), "micrometer"),
        Lattice(Shape(64, 48), Affine.translation(6e5, 4.5e6) @ Affine.scale(2.0, -2.0), "meter", "EPSG:26914"),
    ],
)
def test_a_store_of_ours_lies_where_it_was_written(tmp_path: Path, lattice: Lattice, layout: str) -> None:
    pixels = da.zeros((64, 48, 3), dtype=np.uint8)
    path = write_ome_zarr([pixels], tmp_path / "x.ome.zarr", lattice=lattice, name="x", chunk=32, layout=layout)
    with open_source(path) as source:
        assert source.lattice.transform.almost_equals(lattice.transform, 1e-9)
        assert source.lattice.unit == lattice.unit
        assert (source.lattice.crs is None) == (lattice.crs is None)
        for level in source.levels:
            corner, end = level.lattice.transform @ (0.0, 0.0), level.lattice.transform @ (48 / level.downsample, 0.0)
            assert corner == pytest.approx(lattice.transform @ (0.0, 0.0))
            assert end == pytest.approx(lattice.transform @ (48.0, 0.0))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_store_that_vanishes_is_told_and_not_taken_for_black(tmp_path: Path, version: str) -> None:
    black = [np.zeros((120, 130, 3), np.uint8)]
    with open_source(write(tmp_path / "a.zarr", black, version=version)) as source:
        assert not source.read_box(Box(0, 0, 130, 120)).any()
        shutil.rmtree(tmp_path / "a.zarr")
        with pytest.raises(SourceNotFoundError, match=r"nothing at .*a\.zarr any more"):
            source.read_box(Box(0, 0, 130, 120))
