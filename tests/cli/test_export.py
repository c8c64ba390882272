"""Every way out, read back by the libraries that will read it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi import open_source
from infbrush_wsi.cli.provenance import record_of


def pixels(path):
    with open_source(path) as source:
        h, w = source.level_shapes[0]
        return source.read_region((0, 0), 0, (w, h))


def block_means(image):
    h, w, c = image.shape
    return image.reshape(h // 16, 16, w // 16, 16, c).mean(axis=(1, 3))


def run(cli, *arguments):
    result = cli("export", *arguments)
    assert result.exit_code == 0, result.output
    return arguments[1]


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.ome.tif", "out.tif", "out.ome.zarr"])
def test_every_format_keeps_size_pixel_size_and_provenance(cli, generated, tmp_path, name):
    out = run(cli, generated, tmp_path / name)
    if name in ("out.png", "out.ome.zarr"):
        np.testing.assert_array_equal(pixels(out), pixels(generated))
    else:  # the image of an untrained model is noise, of which JPEG keeps the means
        assert np.abs(block_means(pixels(out)) - block_means(pixels(generated))).mean() < 4
    with open_source(out) as source:
        assert source.mpp == pytest.approx(1.0, rel=1e-3)
        record = record_of(source)
    assert record["synthetic"] is True
    assert record["seed"] == 7
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_lossless_tiff_is_exact_in_openslide(cli, generated, tmp_path):
    openslide = pytest.importorskip("openslide")
    out = run(cli, generated, tmp_path / "out.tif", "--compression", "deflate")
    with openslide.OpenSlide(out) as slide:
        found = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    np.testing.assert_array_equal(found, pixels(generated))


def test_versions_of_ome_zarr_convert_both_ways(cli, generated, tmp_path):
    old = run(cli, generated, tmp_path / "old.ome.zarr", "--ome-version", "0.4")
    new = run(cli, old, tmp_path / "new.ome.zarr")
    assert (old / ".zgroup").is_file()
    assert (new / "zarr.json").is_file()
    np.testing.assert_array_equal(pixels(old), pixels(generated))
    np.testing.assert_array_equal(pixels(new), pixels(generated))


def test_a_deepzoom_pyramid_is_exact_or_of_jpeg(cli, slides, tmp_path):
    slide = slides / "Benign" / "Benign.tif"
    run(cli, slide, tmp_path / "exact.dzi", "--compression", "deflate", "--region", "10,20,200,100")
    tile = Image.open(tmp_path / "exact_files" / "8" / "0_0.png")
    np.testing.assert_array_equal(np.asarray(tile), pixels(slide)[20:120, 10:210])
    run(cli, slide, tmp_path / "a.dzi")
    assert Image.open(tmp_path / "a_files" / "9" / "0_0.jpg").size == (255, 255)
    record = json.loads((tmp_path / "a_files" / "provenance.json").read_text())["infbrush_wsi"]
    assert record["synthetic"] is True
    assert record["lattice"]["transform"][0] == pytest.approx(1.0)
    assert {path.name for path in tmp_path.iterdir()} == {"exact.dzi", "exact_files", "a.dzi", "a_files"}


def test_a_dicom_slide_keeps_pixels_pixel_size_and_provenance(cli, slides, tmp_path):
    pytest.importorskip("wsidicom")
    slide = slides / "Benign" / "Benign.tif"
    out = run(cli, slide, tmp_path / "out.dicom", "--compression", "deflate", "--region", "10,20,200,100")
    file = next(out.glob("*.dcm"))
    np.testing.assert_array_equal(pixels(file), pixels(slide)[20:120, 10:210])
    with open_source(file) as source:
        assert source.mpp == pytest.approx(1.0)
        assert record_of(source)["synthetic"] is True
    assert "model" not in cli("info", out).output  # the folder is not taken for a model's
    again = run(cli, file, tmp_path / "again.png")
    with open_source(again) as source:
        assert record_of(source)["synthetic"] is True


def test_a_raster_becomes_a_geotiff_in_its_place(cli, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    from infbrush_wsi.phantom import write_phantom_raster

    raster = write_phantom_raster(tmp_path / "aerial.tif", size=(300, 200), nodata=0)
    out = run(cli, raster, tmp_path / "part.tif", "--region", "100,50,120,80")
    with rasterio.open(out) as found, rasterio.open(raster) as whole:
        assert found.crs == whole.crs
        assert found.transform.c == 500_000 + 60
        assert found.transform.f == 4_420_000 - 30
        assert found.descriptions == ("red", "green", "blue", "nir")
        assert found.nodata == 0
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(found.read(), whole.read()[:, 50:130, 100:220])


def test_region_level_and_mpp_speak_of_the_same_place(cli, slides, tmp_path):
    slide = slides / "Benign" / "Benign.tif"
    whole = pixels(slide)
    region = ["--region", "100,60,80,40"]
    exact = np.asarray(Image.open(run(cli, slide, tmp_path / "a.png", *region)))
    np.testing.assert_array_equal(exact, whole[60:100, 100:180])
    level = np.asarray(Image.open(run(cli, slide, tmp_path / "b.png", *region, "--level", "1")))
    coarse = np.asarray(Image.open(run(cli, slide, tmp_path / "c.png", *region, "--mpp", "2")))
    expected = exact.reshape(20, 2, 40, 2, 3).mean(axis=(1, 3))
    assert np.abs(level - expected).mean() < 5
    assert level.shape == coarse.shape == (20, 40, 3)
    np.testing.assert_array_equal(level, coarse)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--region", "0,0,301,10"], "not inside the image of 300 x 256"),
        (["--region", "0,0,0,10"], "not inside the image"),
        (["--region", "1,2,3"], "--region must be x,y,w,h"),
        (["--level", "7"], "has no level 7"),
        (["--level", "1", "--mpp", "2"], "not both"),
    ],
)
def test_what_is_not_there_is_refused_and_leaves_nothing(cli, slides, tmp_path, options, message):
    result = cli("export", slides / "Benign" / "Benign.tif", tmp_path / "out.png", *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_on_request(cli, generated, tmp_path):
    out = tmp_path / "out.png"
    out.write_text("mine")
    assert cli("export", generated, out).exit_code == 1
    assert out.read_text() == "mine"
    run(cli, generated, out, "--overwrite")
    assert Image.open(out).size == (96, 64)


def test_the_copy_of_a_strange_image_does_not_carry_its_name(cli, tmp_path):
    secret = tmp_path / "Jane_Doe.png"
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(secret)
    out = run(cli, secret, tmp_path / "out.ome.zarr")
    with open_source(out) as source:
        record = record_of(source)
    assert record["synthetic"] is False
    assert "Jane" not in str(record)


@pytest.fixture(scope="module")
def painted(make_pipeline, tmp_path_factory):
    """A slide of 96 x 64 pixels of 0.5 µm whose left 80 are invasive, and its model."""
    from infbrush_wsi.conditioning.layout import parse_geojson

    folder, pipeline = tmp_path_factory.mktemp("painted"), make_pipeline()
    pipeline.save_pretrained(folder / "model")
    ring = [[0, 0], [80, 0], [80, 500], [0, 500], [0, 0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    area = json.dumps({"type": "Feature", "geometry": geometry, "properties": {"class": "Invasive"}})
    layout = parse_geojson(area, cell=5.0, mpp=0.5)
    canvas = pipeline(layout, size=(96, 64), num_inference_steps=1)
    return canvas.write_ome_zarr(folder / "painted.ome.zarr"), folder / "model"


def test_the_layout_comes_out_as_annotations_in_pixels_of_the_image(cli, painted, tmp_path):
    pytest.importorskip("rasterio")
    store, model = painted
    found = json.loads(run(cli, store, tmp_path / "regions.geojson").read_text())
    (area,) = found["features"]
    assert area["properties"]["classification"]["name"] == "Invasive"
    assert area["properties"]["objectType"] == "annotation"
    x, y = np.array(area["geometry"]["coordinates"][0]).T
    # Eight cells of 5 µm from the left; the last row of cells is cut at the image's edge.
    assert (x.min(), x.max(), y.min(), y.max()) == (0, 80, 0, 64)
    assert found["infbrush_wsi"]["synthetic"] is True
    # Painted again by what came out, an image has the same layout.
    again = tmp_path / "again.ome.zarr"
    call = ["--size", "96x64", "--steps", "1", "--paint", tmp_path / "regions.geojson", "--paint-mpp", "0.5"]
    result = cli("generate", model, "--out", again, "--paint-cell", "5", *call)
    assert result.exit_code == 0, result.output
    # Of the last row of cells less than half lies in the image: their nodes are beyond it, where no area is written.
    labels = [pixels(each / "labels" / "layout")[:6] for each in (store, again)]
    np.testing.assert_array_equal(*labels)
    assert 0 < labels[0].mean() < 1


def test_the_layout_of_a_raster_comes_out_in_its_crs(cli, make_pipeline, tmp_path):
    pytest.importorskip("rasterio")
    from infbrush_wsi.conditioning.layout import RasterLayout

    info = {"spacing": (1.0,), "unit": "meter", "crs": "EPSG:26914"}
    layout = RasterLayout(np.array([[0, 1], [1, 1]]), {1: "Invasive"}, pixel=16.0)
    canvas = make_pipeline(info=info)(layout, size=(32, 32), origin=(600_000.0, 4_500_000.0), num_inference_steps=1)
    store = canvas.write_ome_zarr(tmp_path / "map.ome.zarr")
    found = json.loads(run(cli, store, tmp_path / "map.geojson").read_text())
    assert found["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::26914"
    (area,) = found["features"]
    corners = {(x - 600_000, y - 4_500_000) for x, y in area["geometry"]["coordinates"][0]}
    assert corners == {(16, 0), (32, 0), (32, -32), (0, -32), (0, -16), (16, -16)}


@pytest.mark.parametrize("options", [["--level", "1"], ["--mpp", "2"], ["--region", "0,0,9,9"]])
def test_a_layout_is_written_whole_or_not_at_all(cli, painted, tmp_path, options):
    result = cli("export", painted[0], tmp_path / "a.geojson", *options)
    assert result.exit_code == 1
    assert "leave out --level, --region and --mpp" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_image_without_a_layout_has_no_areas_to_write(cli, tmp_path):
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(tmp_path / "plain.png")
    result = cli("export", tmp_path / "plain.png", tmp_path / "a.geojson")
    assert result.exit_code == 1
    assert "has no layout" in result.stderr
    assert not (tmp_path / "a.geojson").exists()
