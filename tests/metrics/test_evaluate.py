"""From files to results: which pixels are taken, what is left out, what is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from infbrush_wsi.errors import BandMismatchError, ConfigError, DatasetError, RegionError
from infbrush_wsi.metrics import (
    Bootstrap,
    CropRule,
    ImageStatistics,
    Sampler,
    evaluate,
    feature_extractor,
    frechet_distance,
    sample_features,
)
from infbrush_wsi.sources import ArraySource, collect, open_source

pytest.importorskip("skimage")
QUICK = Bootstrap(resamples=40)
SMALL = (CropRule("crop", 64, 2), CropRule("patch", 72), CropRule("whole", 48))


def everything(sampler: Sampler) -> tuple[np.ndarray, np.ndarray]:
    batches = list(sampler)
    return np.concatenate([b.pixels for b in batches]), np.concatenate([b.image for b in batches])


def test_crops_are_native_pixels_at_places_fixed_by_seed_and_content(image_folder):
    found = collect([image_folder("a", 3)])
    pixels, numbers = everything(Sampler(found, CropRule(size=64, per_image=4), batch=5))
    assert pixels.shape == (12, 64, 64, 3)
    assert numbers.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    whole = open_source(found.items[0].path).read_region((0, 0), 0, (96, 120))
    windows = np.lib.stride_tricks.sliding_window_view(whole, (64, 64, 3))[:, :, 0]
    assert all((windows == crop).all(axis=(2, 3, 4)).any() for crop in pixels[:4])
    backwards = [open_source(item.path) for item in reversed(found.items)]
    again, _ = everything(Sampler(backwards, CropRule(size=64, per_image=4)))
    np.testing.assert_array_equal(again[8:], pixels[:4])
    other, _ = everything(Sampler(found, CropRule(size=64, per_image=4, seed=1)))
    assert (other != pixels).any()


def test_crops_look_for_content_where_there_is_glass(tissue):
    pixels = np.full((400, 400, 3), 245, np.uint8)
    pixels[300:, 300:] = tissue(100, 100, 2.0, 0)
    source = ArraySource(pixels, mask_kind="tissue")
    crops = list(CropRule(size=64, per_image=6).samples(source))
    # Of all places only one in twenty is more than half tissue.
    assert sum(crop.std() > 12 for crop in crops) >= 4


def test_slides_and_omezarr_are_read_at_a_pixel_size(tmp_path, tissue):
    from infbrush_wsi.domain import Lattice, Shape
    from infbrush_wsi.writers import write_ome_zarr

    da = pytest.importorskip("dask.array")
    array = da.from_array(tissue(300, 260, 3.0, 1), chunks=(128, 128, 3))
    path = write_ome_zarr([array], tmp_path / "a.ome.zarr", lattice=Lattice.regular(Shape(300, 260), 0.5), name="a")
    source = open_source(path)
    native, coarse = (list(CropRule(size=64, spacing=spacing).samples(source)) for spacing in (None, 1.0))
    assert np.diff(coarse[0].astype(float), axis=0).std() != np.diff(native[0].astype(float), axis=0).std()
    with pytest.raises(RegionError, match="130 x 150 pixels, less than a crop of 256"):
        list(CropRule(size=256, spacing=1.0).samples(source))
    scales = [CropRule(size=64, per_image=8, spacing=spacing) for spacing in (0.5, 1.0)]
    found = evaluate([source], [source], rules=scales, bootstrap=Bootstrap(resamples=4))
    assert found["crop_1_frechet"].value + found["crop_0.5_frechet"].value < 1e-9
    assert found["crop_1_frechet"].high > 0.01
    assert found["crop_1_frechet"].settings["resampled"]["real"] == "crops of the one image"
    assert found["crop_1_frechet"].settings["rule"]["resolution"] == "1 per pixel"
    assert next(iter(CropRule("whole", 40).samples(source))).shape == (40, 40, 3)


def test_images_that_cannot_be_used_are_skipped_and_told(image_folder):
    folder = image_folder("a", 3)
    (folder / "broken.png").write_bytes((folder / "000.png").read_bytes()[:900])
    sampler = Sampler(collect([folder]), CropRule(size=64))
    _, numbers = everything(sampler)
    assert len(numbers) == 12
    assert [entry.path.rsplit("/", 1)[-1] for entry in sampler.skipped] == ["broken.png"]
    with pytest.raises(DatasetError, match=r"none of 4 images gives a crop of 500 pixels"):
        everything(Sampler(collect([folder]), CropRule(size=500)))
    four = ArraySource(np.zeros((80, 80, 4), np.uint8))
    with pytest.raises(BandMismatchError, match=r"bands=\(1, 2, 3\)"):
        list(CropRule(size=64).samples(four))


def test_memory_does_not_grow_with_the_set(image_folder):
    sampler = Sampler(collect([image_folder("a", 10)]), CropRule(size=64, per_image=3), batch=4)
    assert [len(batch.pixels) for batch in sampler] == [4] * 7 + [2]


def test_sampled_features_are_those_of_the_crops(image_folder):
    found = collect([image_folder("a", 4)])
    rule, texture, statistics = CropRule(size=64), feature_extractor("texture"), ImageStatistics()
    table = sample_features(found, rule, texture, statistics=statistics, batch=3)
    pixels, _ = everything(Sampler(found, rule))
    np.testing.assert_allclose(table.features, texture(pixels), rtol=1e-4, atol=1e-4)
    assert (table.images, len(statistics)) == (4, 16)


def test_like_sets_are_near_and_blurred_ones_far(image_folder):
    real, like = collect([image_folder("a", 12)]), collect([image_folder("b", 12, seed=50)])
    blurred = collect([image_folder("c", 12, sigma=4.0, seed=90)])
    near, far = (evaluate(real, made, rules=SMALL, bootstrap=QUICK) for made in (like, blurred))
    for name in ("crop_frechet", "crop_kernel", "patch_frechet", "spectrum", "correlation"):
        assert far[name].low > near[name].high, name
    assert far["crop_precision"].value < near["crop_precision"].value
    for result in near.results:
        assert result.low <= result.high
    crop = near["crop_frechet"]
    assert (crop.n_real, crop.n_generated) == (24, 24)
    assert crop.settings["rule"] == {
        "kind": "crop",
        "size": 64,
        "per_image": 2,
        "seed": 0,
        "spacing": None,
        "resolution": "native",
    }
    assert crop.settings["features"] == "texture"
    assert crop.settings["weights"] == feature_extractor("texture").weight_hash
    assert "24 images for 72 dimensions" in crop.notes[0]
    assert near["whole_frechet"].n_real == 12
    again = json.loads(json.dumps(near.to_json()))
    assert again["results"][0]["name"] == "crop_frechet"
    repeated = evaluate(real, like, rules=SMALL, bootstrap=QUICK)
    assert repeated.to_json() == near.to_json()


def test_rules_that_make_no_sense_are_told(image_folder):
    found = collect([image_folder("a", 2)])
    with pytest.raises(ConfigError, match="differ in kind or pixel size"):
        evaluate(found, found, rules=(CropRule(), CropRule(size=64)))
    with pytest.raises(ConfigError, match="no crop rule"):
        CropRule("corner")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="positive side"):
        CropRule(size=0)
    assert CropRule("patch").per_image == 1


SHARED = Path(os.environ.get("INFBRUSH_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
BREAKHIS = SHARED / "hne" / "breakhis_200x_224"


@pytest.mark.shared_data
@pytest.mark.filterwarnings("ignore::infbrush_wsi.metrics.frechet.SmallSampleWarning")
@pytest.mark.skipif(not BREAKHIS.is_dir(), reason="no sample data")
def test_distances_of_real_tissue_grow_with_what_is_done_to_it(one_thread):
    """Other tiles are nearer than the same ones blurred or faded."""
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    paths = sorted(BREAKHIS.glob("*/*.*"))
    tiles = [np.asarray(Image.open(path).convert("RGB"))[:128, :128] for path in paths[::8]]
    real, made = tiles[::2][:38], tiles[1::2][:38]
    changed = {
        "as they are": made,
        "a little blurred": [gaussian_filter(tile, (0.7, 0.7, 0)) for tile in made],
        "blurred": [gaussian_filter(tile, (1.5, 1.5, 0)) for tile in made],
        "faded": [(tile * 0.6 + 90).clip(0, 255).astype(np.uint8) for tile in made],
    }
    texture = feature_extractor("texture")
    known = texture(np.stack(real))
    found = {name: frechet_distance(known, texture(np.stack(images))) for name, images in changed.items()}
    assert found["as they are"] < found["a little blurred"]
    assert 1.5 * found["a little blurred"] < found["blurred"]
    assert 1.5 * found["as they are"] < found["faded"]
