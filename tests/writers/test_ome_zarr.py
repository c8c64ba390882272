"""Whole stores: what goes in comes out, in every version and layout, with the readers that people use."""

import itertools
import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import ome_zarr.io
import ome_zarr.reader
import ome_zarr_models.v04
import ome_zarr_models.v05
import pytest
import zarr
from affine import Affine

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.errors import BandMismatchError, ConfigError, RegionError
from infbrush_wsi.writers import write_ome_zarr

FORMS = [("0.4", "flat"), ("0.4", "nested"), ("0.5", "flat"), ("0.5", "nested")]
MPP = 0.25


@pytest.fixture
def write(tmp_path, lazy):
    def write_one(image, version="0.5", layout="flat", lattice=None, **options):
        lattice = lattice or Lattice.regular(Shape(*image.shape[:2]), MPP)
        path = tmp_path / "image.ome.zarr"
        options = {"name": "an image", "chunk": 64, **options}
        return write_ome_zarr([lazy(image, 50)], path, lattice=lattice, version=version, layout=layout, **options)

    return write_one


def stored_levels(path):
    root = zarr.open_group(str(path), mode="r")
    attributes = root.attrs.asdict()
    multiscale = attributes.get("ome", attributes)["multiscales"][0]
    return [root[dataset["path"]] for dataset in multiscale["datasets"]]


@pytest.mark.parametrize(("version", "layout"), FORMS)
@pytest.mark.parametrize("shape", [(130, 201, 3), (64, 64, 1), (65, 40, 4), (1, 300, 2), (7, 5, 6)])
def test_level_zero_holds_the_pixels(write, pixels, version, layout, shape):
    image = pixels(*shape)
    arrays = stored_levels(write(image, version, layout))
    np.testing.assert_array_equal(arrays[0][:].transpose(1, 2, 0), image)
    assert arrays[0].chunks == (shape[2], min(64, shape[0]), min(64, shape[1]))
    assert arrays[0].metadata.zarr_format == {"0.4": 2, "0.5": 3}[version]


@pytest.mark.parametrize(("version", "layout"), FORMS)
def test_further_levels_are_two_by_two_means(write, pixels, version, layout):
    image = pixels(203, 131)
    arrays = stored_levels(write(image, version, layout))
    assert [array.shape for array in arrays] == [(3, 203, 131), (3, 102, 66), (3, 51, 33)]
    for finer, coarser in itertools.pairwise(arrays):
        np.testing.assert_array_equal(coarser[:], mean_of_four(finer[:]))


def mean_of_four(image):
    """The definition, pixel by pixel: the mean of the pixels that exist below a coarse one, rounded half up."""
    c, h, w = image.shape
    out = np.empty((c, -(-h // 2), -(-w // 2)), np.uint8)
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            cell = image[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].astype(float)
            out[:, i, j] = np.floor(cell.mean(axis=(1, 2)) + 0.5)
    return out


def test_given_levels_are_written_as_they_are(tmp_path, pixels, lazy):
    levels = [pixels(101, 70), pixels(51, 35), pixels(26, 18)]
    path = write_ome_zarr(
        [lazy(level) for level in levels],
        tmp_path / "x.ome.zarr",
        lattice=Lattice.regular(Shape(101, 70), MPP),
        name="x",
        chunk=16,
    )
    for array, level in zip(stored_levels(path), levels, strict=True):
        np.testing.assert_array_equal(array[:].transpose(1, 2, 0), level)


def test_there_are_never_more_than_ten_levels(write, pixels):
    arrays = stored_levels(write(pixels(1, 1100, 1), chunk=2))
    assert [array.shape[2] for array in arrays] == [1100, 550, 275, 138, 69, 35, 18, 9, 5, 3]


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_ome_zarr_models_calls_it_valid(write, pixels, layout):
    for version, model in (("0.4", ome_zarr_models.v04), ("0.5", ome_zarr_models.v05)):
        path = write(pixels(130, 201, 4), version, layout, overwrite=True)
        image = model.Image.from_zarr(zarr.open_group(str(path), mode="r"))
        assert len(image.ome_attributes.multiscales[0].datasets) == 3


@pytest.mark.parametrize(("version", "layout"), FORMS)
def test_ome_zarr_py_reads_pixels_scale_and_colours(write, pixels, version, layout):
    image = pixels(130, 201)
    path = write(image, version, layout)
    (node,) = ome_zarr.reader.Reader(ome_zarr.io.parse_url(str(path)))()
    np.testing.assert_array_equal(node.data[0].compute().transpose(1, 2, 0), image)
    assert [level.shape for level in node.data] == [(3, 130, 201), (3, 65, 101), (3, 33, 51)]
    assert node.metadata["channel_names"] == ["Red", "Green", "Blue"]
    scales = [transforms[0]["scale"] for transforms in node.metadata["coordinateTransformations"]]
    assert scales == [[1.0, MPP * 2**k, MPP * 2**k] for k in range(3)]


@pytest.mark.slow
@pytest.mark.tiatoolbox
def test_tiatoolbox_opens_version_04(write, pixels):
    from tiatoolbox.wsicore.wsireader import WSIReader

    image = pixels(700, 1100)
    reader = WSIReader.open(str(write(image, "0.4", chunk=256)))
    assert tuple(reader.info.mpp) == (MPP, MPP)
    assert tuple(reader.info.slide_dimensions) == (1100, 700)
    assert [tuple(size) for size in reader.info.level_dimensions] == [(1100, 700), (550, 350), (275, 175), (138, 88)]
    region = reader.read_rect((301, 97), (400, 333), resolution=0, units="level")
    np.testing.assert_array_equal(region, image[97 : 97 + 333, 301 : 301 + 400])
    at_one_mpp = reader.read_rect((0, 0), (275, 175), resolution=1.0, units="mpp")
    assert at_one_mpp.shape == (175, 275, 3)


UTM = Lattice(Shape(130, 201), Affine(0.6, 0.0, 500000.0, 0.0, -0.6, 5200000.0), "meter", "EPSG:26914")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_xarray_reads_a_nested_raster_with_its_crs_at_every_level(write, pixels, version):
    xr = pytest.importorskip("xarray")
    pytest.importorskip("rioxarray")
    image = pixels(130, 201, 4)
    path = write(image, version, "nested", lattice=UTM, channel_names=["Red", "Green", "Blue", "NIR"])
    tree = xr.open_datatree(path, engine="zarr", consolidated=False)
    assert set(tree.children) == {"0", "1", "2"}
    for number in range(3):
        level, wanted = tree[f"{number}/image"], UTM.downsampled(2**number)
        assert level.dtype == np.uint8
        assert level.rio.crs.to_epsg() == 26914
        assert tuple(level.rio.transform())[:6] == pytest.approx(tuple(wanted.transform)[:6])
        x, y = wanted.transform @ (0.5, 0.5)
        assert (float(level.x[0]), float(level.y[0])) == pytest.approx((x, y))
    np.testing.assert_array_equal(tree["0/image"].values.transpose(1, 2, 0), image)
    assert list(tree["0/image"].attrs["long_name"]) == ["Red", "Green", "Blue", "NIR"]


def test_version_04_nested_opens_in_xarray_without_a_warning(write, pixels, recwarn):
    xr = pytest.importorskip("xarray")
    xr.open_datatree(write(pixels(130, 201), "0.4", "nested", lattice=UTM), engine="zarr").close()
    assert [str(warning.message) for warning in recwarn if "onsolidated" in str(warning.message)] == []


@pytest.mark.parametrize("chunk", [50, 64, 77, 128])
def test_each_source_block_is_made_exactly_once(tmp_path, pixels, lazy, counting, chunk):
    """Also where the source's blocks and the store's chunks do not line up."""
    image = counting(pixels(260, 300))
    lattice = Lattice.regular(Shape(260, 300), MPP)
    write_ome_zarr([lazy(image, 64)], tmp_path / "x.zarr", lattice=lattice, name="x", chunk=chunk)
    assert len(image.asked) == 5 * 5
    assert set(image.asked.values()) == {1}


def test_levels_made_of_one_another_share_their_blocks(tmp_path, pixels, lazy, counting):
    image = counting(pixels(128, 128))
    fine = lazy(image, 32)
    coarse = da.coarsen(np.max, fine, {0: 2, 1: 2})
    lattice = Lattice.regular(Shape(128, 128), MPP)
    path = write_ome_zarr([fine, coarse], tmp_path / "x.zarr", lattice=lattice, name="x", chunk=32)
    assert set(image.asked.values()) == {1}
    np.testing.assert_array_equal(stored_levels(path)[1][:].transpose(1, 2, 0), coarse.compute())


def test_black_chunks_are_on_disk(write):
    for array in stored_levels(write(np.zeros((130, 130, 3), np.uint8))):
        assert array.nchunks_initialized == array.nchunks


def test_progress_counts_every_chunk_to_the_end(write, pixels):
    calls = []
    path = write(pixels(203, 131), progress=lambda done, total: calls.append((done, total)))
    total = sum(array.nchunks for array in stored_levels(path))
    assert calls == [(done, total) for done in range(1, total + 1)]


PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import dask.array as da, numpy as np
from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.writers import write_ome_zarr
from peak import peak_mib

for side in (1024, 10240):
    image = da.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8, chunks=(512, 512, 3))
    lattice = Lattice.regular(Shape(side, side), 0.5)
    write_ome_zarr([image], f"{sys.argv[1]}/{side}.ome.zarr", lattice=lattice, name="x")
    print(peak_mib())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_image(tmp_path):
    command = [sys.executable, "-c", PEAK, str(tmp_path), str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    small, large = map(float, done.stdout.split())
    assert 0 < large - small < 100, f"{small} MiB for 3 MiB of pixels, {large} MiB for 300 MiB"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"version": "0.3"}, ConfigError, r"0\.3"),
        ({"layout": "deep"}, ConfigError, "deep"),
        ({"chunk": 0}, ConfigError, "at least one pixel"),
        ({"name": ""}, ConfigError, "name"),
        ({"channel_names": ["a", "b"]}, BandMismatchError, "3 channels, but 2"),
        ({"provenance": {"state": "complete"}}, ConfigError, "state"),
        ({"provenance": {"model": object()}}, ConfigError, "JSON"),
        ({"provenance": {"loss": float("nan")}}, ConfigError, "JSON"),
        ({"lattice": Lattice.regular(Shape(10, 11), MPP)}, RegionError, r"\(10, 11, 3\)"),
        (
            {"layout": "nested", "lattice": Lattice(Shape(10, 10), Affine.scale(1.0), "meter", "EPSG:1")},
            ConfigError,
            "EPSG:1",
        ),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(write, pixels, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        write(pixels(10, 10), **options)
    assert list(tmp_path.iterdir()) == []
