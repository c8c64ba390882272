"""The napari plug-in as napari's plug-in engine and its layers see it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

from infbrush_wsi.conditioning.layout import polygons_from_geojson
from infbrush_wsi.errors import CheckpointError, ConditionError, RegionError
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
from infbrush_wsi.plugins.napari import generated_slide, get_reader, image_layers
from infbrush_wsi.plugins.napari.request import SlideRequest
from infbrush_wsi.sources import open_source

NAME = "infbrush-wsi"
GEOJSON = """{"type": "FeatureCollection", "features": [{"type": "Feature",
  "properties": {"classification": {"name": "Tumor"}},
  "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [64, 0], [64, 90], [0, 90], [0, 0]]]}}]}"""


@pytest.fixture(scope="module")
def engine():
    """npe2, which has found our manifest by its entry point."""
    npe2 = pytest.importorskip("npe2")
    npe2.PluginManager.instance().discover()
    return npe2


@pytest.fixture(scope="module")
def painted(make_pipeline, tmp_path_factory):
    """A store with a layout: tumour on the left, 128 x 90 pixels."""
    folder = tmp_path_factory.mktemp("painted")
    (folder / "regions.geojson").write_text(GEOJSON)
    layout = polygons_from_geojson(
        folder / "regions.geojson", mpp=0.5, cell=2.0, classes={"Tumor": "Invasive"}, background="Normal"
    )
    canvas = make_pipeline()(condition=layout, size=(128, 90), num_inference_steps=1, tile=64, engine="sweep")
    return canvas.write_ome_zarr(folder / "painted.ome.zarr")


def test_the_manifest_is_found_and_valid(engine):
    assert "infbrush_wsi.plugins.napari:napari.yaml" in {each.value for each in entry_points(group="napari.manifest")}
    manifest = engine.PluginManifest.from_distribution(NAME)
    manifest.validate_imports()
    manager = engine.PluginManager.instance()
    assert manager.get_manifest(NAME).display_name == "Infbrush slides"
    samples = dict(manager.iter_sample_data())
    assert [sample.key for sample in samples[NAME]] == ["generated_slide"]
    assert [widget.display_name for widget in manifest.contributions.widgets] == ["Generate slide"]


@pytest.mark.parametrize(("version", "layout"), [("0.4", "flat"), ("0.5", "flat"), ("0.5", "nested")])
def test_its_engine_reads_our_stores_as_lazy_levels(engine, slide, levels, written, version, layout):
    ((data, settings, kind),) = engine.read([written(slide, version, layout)], stack=False, plugin_name=NAME)
    assert kind == "image"
    assert settings["rgb"]
    assert settings["scale"] == (0.5, 0.5)
    assert settings["translate"] == (0.25, 0.25)
    assert settings["units"] == ("micrometer", "micrometer")
    assert settings["metadata"]["infbrush_wsi"]["seed"] == 3
    for level, pixels in zip(data, levels(slide), strict=True):
        np.testing.assert_array_equal(level.compute(), pixels)


def test_stores_of_others_are_left_to_others(tmp_path, slide, written):
    (tmp_path / "x.zarr").mkdir()
    (tmp_path / "x.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    assert get_reader(str(tmp_path / "x.zarr")) is None
    assert get_reader([str(written(slide)), str(tmp_path / "x.zarr")]) is None
    assert get_reader([str(written(slide))]) is not None


def test_a_layout_is_a_layer_of_labels_in_its_place(painted):
    image, labels = get_reader(painted)(painted)
    data, settings, kind = labels
    assert (kind, settings["name"]) == ("labels", "layout")
    (tumour,) = [value for value, name in zip(*settings["features"].values(), strict=True) if name == "Invasive"]
    scale, corner = settings["scale"][1], settings["translate"][1] - settings["scale"][1] / 2
    assert settings["units"] == image[1]["units"]
    values = data.compute()
    assert values.shape[1] * scale == pytest.approx(64, abs=scale)
    left = values[:, 0] == tumour
    assert left.all()
    edge = corner + scale * int((values[0] == tumour).sum())
    assert (corner, edge) == (0.0, 32.0)
    assert settings["colormap"][tumour][3] == 1.0


def test_bands_beyond_colour_are_hidden_grey_layers(raster, levels):
    colour, infrared = image_layers(raster)
    assert colour[1]["rgb"]
    assert (infrared[1]["rgb"], infrared[1]["visible"]) == (False, False)
    assert infrared[1]["name"].endswith("NIR")
    assert infrared[1]["metadata"]["crs"] == "EPSG:26914"
    assert infrared[1]["scale"] == (1.0, 1.0)
    for number, pixels in enumerate(levels(raster)):
        np.testing.assert_array_equal(colour[0][number].compute(), pixels[..., :3])
        np.testing.assert_array_equal(infrared[0][number].compute(), pixels[..., 3])


def test_the_sample_is_a_virtual_slide(make_pipeline, tmp_path, monkeypatch):
    make_pipeline().save_pretrained(tmp_path / "model")
    monkeypatch.setenv("INFBRUSH_MODEL", str(tmp_path / "model"))
    ((data, settings, _),) = generated_slide()
    assert data[0].shape == (4096, 4096, 3)
    assert [level.shape[0] for level in data] == [4096, 2048, 1024, 512, 256]
    assert settings["metadata"]["infbrush_wsi"]["condition"] == "Invasive"
    monkeypatch.setenv("INFBRUSH_MODEL", str(tmp_path / "none"))
    with pytest.raises(CheckpointError):
        generated_slide()


def test_a_request_is_a_slide_of_its_size_in_micrometres(make_pipeline, tmp_path):
    pipeline = make_pipeline()
    pipeline.save_pretrained(tmp_path / "model")
    asked = SlideRequest(str(tmp_path / "model"), "Normal", seed=5, width=40.2, height=32.0, steps=1)
    ((data, settings, _),) = asked.layers()
    finest = data[0] if isinstance(data, list) else data
    assert finest.shape == (64, 80, 3)
    assert settings["metadata"]["infbrush_wsi"]["condition"] == "Normal"
    canvas = pipeline("Normal", (80, 64), seed=5, num_inference_steps=1)
    np.testing.assert_array_equal(finest.compute(), canvas.read_region((0, 0), 0, (80, 64)))
    # Trained anew under the same name, it is another model.
    make_pipeline(seed=1).save_pretrained(tmp_path / "model")
    os.utime(tmp_path / "model" / "infbrush.json", (1e9, 1e9))
    ((data, _, _),) = asked.layers()
    assert ((data[0] if isinstance(data, list) else data).compute() != finest.compute()).any()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": ""}, CheckpointError, "no model is chosen"),
        ({"model": "nowhere"}, CheckpointError, "nowhere is not a model directory"),
        ({"condition": "Fat"}, ConditionError, "Fat"),
        ({"width": 0.0}, RegionError, "a slide of 0 micrometer has no pixel of 0.5"),
        ({"height": float("inf")}, RegionError, "make it larger"),
    ],
)
def test_requests_that_cannot_be_are_one_error(make_pipeline, tmp_path, changes, error, message):
    make_pipeline().save_pretrained(tmp_path / "model")
    asked = {
        "model": str(tmp_path / "model"),
        "condition": "Normal",
        "seed": 5,
        "width": 8.0,
        "height": 8.0,
        "steps": 1,
    }
    with pytest.raises(error, match=message):
        SlideRequest(**asked | changes).layers()


@pytest.mark.slow
def test_napari_itself_takes_every_layer(engine, painted, raster, levels):
    """Its model of a viewer, which needs no display; the window of napari looks for plug-ins when it starts."""
    viewer = pytest.importorskip("napari.components").ViewerModel()
    image, labels = viewer.open(painted, plugin=NAME)
    assert (image.rgb, image.multiscale, labels.multiscale) == (True, False, False)
    assert [str(unit) for unit in image.units] == [str(unit) for unit in labels.units] == ["micrometer", "micrometer"]
    extent = image.extent.world[1] - image.extent.world[0] + image.scale
    assert extent.tolist() == [45.0, 64.0]
    assert "class: Invasive" in labels.get_status((20.0, 10.0), world=True)["value"]
    assert "class: Normal" in labels.get_status((20.0, 50.0), world=True)["value"]
    viewer.layers.clear()
    for data, settings, _ in image_layers(raster):
        layer = viewer.add_image(data, **settings)
        assert layer.multiscale
        bands = slice(3) if layer.rgb else 3
        np.testing.assert_array_equal(layer.data[1], levels(raster)[1][..., bands])


@pytest.mark.slow
def test_its_window_shows_the_pixels_of_stores_and_virtual_slides(painted, make_pipeline, tmp_path):
    pytest.importorskip("napari.components")
    pytest.importorskip("qtpy.QtWidgets", exc_type=Exception)
    wrapper = [] if os.environ.get("DISPLAY") else [shutil.which("xvfb-run"), "-a", "-s", "-screen 0 1280x1024x24"]
    if None in wrapper:
        pytest.skip("no display and no xvfb-run")
    make_pipeline().save_pretrained(tmp_path / "model")
    script = Path(__file__).with_name("_napari_window.py")
    result, picture = tmp_path / "found.npz", Path(os.environ.get("INFBRUSH_SCREENSHOT") or tmp_path / "window.png")
    subprocess.run(
        # The limit is inside of xvfb-run, which then ends its display too.
        [*wrapper, "timeout", "240", sys.executable, str(script), str(painted), str(result), str(picture)],
        check=True, env=os.environ | {"INFBRUSH_MODEL": str(tmp_path / "model")},
    )  # fmt: skip
    found = np.load(result)
    assert is_shown(found["plain"], open_source(painted).read_region((0, 0), 0, (128, 90)))
    assert not is_shown(found["painted"], open_source(painted).read_region((0, 0), 0, (128, 90)))
    h, w = (side // 2 for side in found["painted"].shape[:2])
    left, right = (found["painted"][h - 30 : h + 30, w + x : w + x + 40, :3].mean((0, 1)) for x in (-50, 10))
    assert np.abs(left - right).max() > 20
    pipeline = InfBrushPipeline.from_pretrained(tmp_path / "model")
    canvas = pipeline("Invasive", (400, 400), seed=7, num_inference_steps=1)
    assert is_shown(found["sample"], canvas.read_region((0, 0), 0, (400, 400)))
    canvas = pipeline("Normal", (200, 160), seed=11, num_inference_steps=1)
    assert is_shown(found["widget"], canvas.read_region((0, 0), 0, (200, 160)))
    assert found["classes"].tolist() == ["Normal", "Invasive"]
    assert found["labels"].tolist() == ["width (µm)", "height (µm)"]
    assert found["layers"] == 1  # none was added for the folder that is no model
    assert any("is not a model directory" in message for message in found["messages"])


def is_shown(shot, pixels):
    """Whether the middle of a picture is in the middle of a screenshot, within a grey level and two pixels of place."""
    h, w = (side // 2 for side in shot.shape[:2])
    y, x = (side // 2 for side in pixels.shape[:2])
    crop = shot[h - 30 : h + 30, w - 40 : w + 40, :3].astype(int)
    places = [(y - 30 + i, x - 40 + j) for i in range(-2, 3) for j in range(-2, 3)]
    return any(np.abs(pixels[i : i + 60, j : j + 80] - crop).max() <= 1 for i, j in places)


def test_without_any_model_the_sample_says_what_to_do(monkeypatch):
    monkeypatch.delenv("INFBRUSH_MODEL", raising=False)
    monkeypatch.setattr("infbrush_wsi.plugins.napari.sample.shipped_models", tuple)
    with pytest.raises(CheckpointError, match="set INFBRUSH_MODEL"):
        generated_slide()
