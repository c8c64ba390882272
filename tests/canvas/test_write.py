"""What is written is what is read, with the facts that made it."""

import json

import numpy as np
import pytest
import zarr

from infbrush_wsi.errors import OutputExistsError
from infbrush_wsi.sources.registry import open_source

FORMS = [("0.4", "flat"), ("0.4", "nested"), ("0.5", "flat"), ("0.5", "nested")]


def assert_read_back(path, canvas):
    with open_source(path) as source:
        assert source.level_shapes == canvas.level_shapes
        assert source.channel_names == canvas.channel_names
        for level, (h, w) in enumerate(canvas.level_shapes):
            expected = canvas.read_region((0, 0), level, (w, h))
            np.testing.assert_array_equal(source.read_region((0, 0), level, (w, h)), expected)
        return source.lattice, source.metadata


@pytest.mark.parametrize(("version", "layout"), FORMS)
def test_a_written_canvas_is_valid_and_reads_back(canvas, tmp_path, version, layout):
    models = pytest.importorskip(f"ome_zarr_models.v{version.replace('.', '')}")
    path = canvas.write_ome_zarr(tmp_path / "out.ome.zarr", version, layout=layout)
    assert path == tmp_path / "out.ome.zarr"
    assert len(models.Image.from_zarr(zarr.open_group(str(path), mode="r")).ome_attributes.multiscales[0].datasets) == 3
    lattice, _ = assert_read_back(path, canvas)
    assert lattice.mpp == pytest.approx(0.5)


def test_the_record_tells_what_made_the_image(canvas, tmp_path):
    attributes = zarr.open_group(str(canvas.write_ome_zarr(tmp_path / "out.ome.zarr")), mode="r").attrs.asdict()
    record = attributes["infbrush_wsi"]
    assert record["state"] == "complete"
    told = {name: record[name] for name in ("synthetic", "system", "condition", "seed", "steps", "scheduler")}
    assert told == {
        "synthetic": True,
        "system": "infbrush",
        "condition": "Invasive",
        "seed": 3,
        "steps": 2,
        "scheduler": "dpmsolver++",
    }
    assert (record["guidance_scale"], record["eta"], record["ratio"], record["precision"]) == (1.0, 0.0, 1.0, "float32")
    assert record["model"]["sha256"] == record["weights_sha256"] == "seed 0"
    assert record["model"]["training"] == {"steps": 12, "images": 3}
    assert record["model"]["process"]["data_std"] == 0.25
    assert record["lattice"]["shape"] == [41, 613]
    assert attributes["ome"]["multiscales"][0]["name"] == "synthetic Invasive, seed 3"
    assert json.loads(json.dumps(record)) == record


def test_a_raster_keeps_its_place(raster, tmp_path):
    pytest.importorskip("pyproj")
    path = raster.write_ome_zarr(tmp_path / "out.ome.zarr", layout="nested", name="here")
    lattice, metadata = assert_read_back(path, raster)
    assert lattice.unit == "meter"
    np.testing.assert_allclose(tuple(lattice.transform), tuple(raster.lattice.transform))
    assert "26914" in lattice.crs
    assert metadata["synthetic"]


def test_an_existing_output_is_refused_before_rendering_and_replaced_on_request(make_canvas, tmp_path):
    canvas = make_canvas(size=(70, 40))
    path = make_canvas(size=(64, 64)).write_ome_zarr(tmp_path / "out.ome.zarr")
    with pytest.raises(OutputExistsError):
        canvas.write_ome_zarr(path)
    assert not canvas.rendered
    assert open_source(path).level_shapes == ((64, 64),)
    canvas.write_ome_zarr(path, overwrite=True)
    assert_read_back(path, canvas)
    assert [p.name for p in tmp_path.iterdir()] == ["out.ome.zarr"]


def test_an_error_while_rendering_leaves_no_store_and_the_next_call_goes_on(make_pipeline, tmp_path):
    canvas = make_pipeline()("Normal", (70, 40), num_inference_steps=1, engine="joint")
    path = tmp_path / "out.ome.zarr"

    def interrupt(done, total):
        if done == total:
            raise KeyboardInterrupt

    canvas.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        canvas.write_ome_zarr(path, resume=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        canvas.write_ome_zarr(path)
    assert not path.exists()
    canvas.progress = None
    canvas.write_ome_zarr(path)
    assert_read_back(path, canvas)
    assert [p.name for p in tmp_path.iterdir()] == ["out.ome.zarr"]


def test_progress_counts_the_chunks(canvas, tmp_path):
    told = []
    canvas.write_ome_zarr(tmp_path / "out.ome.zarr", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == len(told) > 3
