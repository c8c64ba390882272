"""From a model directory to pixels: what is asked for decides, and nothing else."""

import numpy as np
import pytest

from infbrush_wsi.errors import ConditionError, ConfigError, RegionError
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

CALL = {"size": (70, 48), "seed": 7, "num_inference_steps": 3}


@pytest.fixture(scope="module")
def pipeline(make_pipeline):
    return make_pipeline(magnification=True)


@pytest.fixture(scope="module")
def embedded(make_pipeline):
    return make_pipeline(classes=(), embedding_dim=6)


def pixels(canvas):
    return canvas.read_region((0, 0), 0, canvas.level_shapes[0][::-1])


@pytest.fixture(scope="module")
def image(pipeline):
    return pixels(pipeline("Invasive", **CALL))


def test_equal_calls_give_equal_bytes(pipeline, image):
    assert image.shape == (48, 70, 3)
    assert image.std() > 5
    np.testing.assert_array_equal(pixels(pipeline("Invasive", **CALL)), image)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 8},
        {"condition": "Normal"},
        {"condition": None},
        {"guidance_scale": 1.5},
        {"guidance_scale": 0.0},
        {"num_inference_steps": 4},
        {"scheduler": "ddim"},
        {"scheduler": "ddim", "eta": 0.7},
        {"mpp": 0.4},
    ],
    ids=str,
)
def test_everything_that_is_asked_for_matters(pipeline, image, changed):
    other = pixels(pipeline(**{"condition": "Invasive"} | CALL | changed)).astype(int)
    assert np.abs(other - image).mean() > 0.2


def test_guidance_zero_is_the_unconditional_image(pipeline):
    unconditional = pixels(pipeline(None, **CALL)).astype(int)
    assert np.abs(pixels(pipeline("Invasive", **CALL, guidance_scale=0.0)) - unconditional).max() <= 1


@pytest.mark.parametrize("changed", [{"workdir": True}, {"condition": "INVASIVE"}, {"mpp": 0.5}], ids=str)
def test_how_it_is_computed_does_not_matter(pipeline, image, changed, tmp_path):
    changed = {"workdir": tmp_path} if "workdir" in changed else changed
    np.testing.assert_array_equal(pixels(pipeline(**{"condition": "Invasive"} | CALL | changed)), image)


@pytest.mark.parametrize("how", [{"halo": "exact"}, {"engine": "joint"}], ids=str)
def test_the_side_of_tiles_changes_rounding_only(pipeline, how):
    whole, tiled = (pixels(pipeline("Invasive", **CALL, **how, tile=tile)).astype(int) for tile in (128, 32))
    off = np.abs(tiled - whole)
    assert off.max() <= 1
    assert off.mean() < 0.01


def test_a_saved_pipeline_gives_the_same_bytes(pipeline, image, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    loaded = InfBrushPipeline.from_pretrained(tmp_path / "model")
    assert loaded.classes == ("Normal", "Invasive")
    np.testing.assert_array_equal(pixels(loaded("invasive", **CALL)), image)
    loaded.save_pretrained(tmp_path / "again")
    assert {p.name for p in (tmp_path / "again").iterdir()} == {"infbrush.json", "denoiser"}
    again = InfBrushPipeline.from_pretrained(str(tmp_path / "again"))
    assert again("normal").token == loaded("Normal").token


def test_classes_are_found_whatever_their_case_and_unknown_ones_are_told(make_pipeline):
    pipeline = make_pipeline(classes=("Normal", "normal", "In Situ"))
    assert pipeline("in situ").spec.condition == "In Situ"
    assert pipeline("normal").spec.condition == "normal"
    with pytest.raises(ConditionError, match="its classes are Normal, normal, In Situ"):
        pipeline("NORMAL")
    with pytest.raises(ConditionError, match="'Benign'; its classes are"):
        pipeline("Benign")


def test_a_model_without_classes_says_so(embedded):
    with pytest.raises(ConditionError, match="trained without classes"):
        embedded("Normal")


def test_a_model_without_embeddings_says_so(pipeline):
    with pytest.raises(ConditionError, match="takes no embeddings; its classes are"):
        pipeline(np.zeros(6))


def test_embeddings_of_one_or_several_tokens_decide_the_image(embedded):
    rng = np.random.default_rng(0)
    vector, tokens = rng.normal(size=6), rng.normal(size=(3, 6))
    images = [pixels(embedded(c, **CALL, guidance_scale=1.5)).astype(int) for c in (None, vector, tokens, 2 * tokens)]
    for i, one in enumerate(images):
        for other in images[:i]:
            assert np.abs(one - other).mean() > 0.2
    np.testing.assert_array_equal(pixels(embedded(vector[None], **CALL, guidance_scale=1.5)), images[1])
    canvas = embedded(tokens.tolist(), **CALL)
    assert canvas.provenance["condition"] == "embedding"
    assert canvas.token != embedded(vector, **CALL).token


@pytest.mark.parametrize("wrong", [np.zeros(5), np.zeros((2, 5)), np.zeros((1, 1, 6)), np.full(6, np.nan), [["a"] * 6]])
def test_embeddings_that_do_not_fit_are_refused(embedded, wrong):
    with pytest.raises(ConditionError, match="embedding"):
        embedded(wrong)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"size": (0, 64)}, RegionError, "positive"),
        ({"size": (64, -1)}, RegionError, "positive"),
        ({"size": (64,)}, RegionError, "size"),
        ({"size": 64}, RegionError, "size"),
        ({"size": (64.5, 64)}, RegionError, "size"),
        ({"mpp": 0.0}, RegionError, "pixel size must be positive"),
        ({"mpp": -0.5}, RegionError, "pixel size must be positive"),
        ({"mpp": float("nan")}, RegionError, "pixel size must be positive"),
        ({"mpp": 0.1}, RegionError, "0.2 training pixels"),
        ({"mpp": 2.1}, RegionError, "from 0.25 to 4"),
        ({"mpp": 0.5, "resolution": 0.5}, ConfigError, "not both"),
        ({"seed": -1}, ConfigError, "seed"),
        ({"seed": 1 << 63}, ConfigError, "seed"),
        ({"seed": 1.5}, ConfigError, "seed must be a whole number"),
        ({"num_inference_steps": 0}, ConfigError, "num_inference_steps"),
        ({"num_inference_steps": 1001}, ConfigError, "num_inference_steps"),
        ({"num_inference_steps": 2.5}, ConfigError, "num_inference_steps"),
        ({"guidance_scale": -0.1}, ConfigError, "guidance_scale"),
        ({"guidance_scale": float("nan")}, ConfigError, "guidance_scale"),
        ({"scheduler": "euler"}, ConfigError, "dpmsolver"),
        ({"eta": 0.5}, ConfigError, "eta is DDIM's"),
        ({"eta": 1.5, "scheduler": "ddim"}, ConfigError, "eta must be between"),
        ({"tile": 31}, ConfigError, "tile"),
        ({"engine": "eager"}, ConfigError, "engine must be 'lazy'"),
        ({"halo": -1}, ConfigError, "halo"),
        ({"halo": 5000}, ConfigError, "halo"),
        ({"halo": 1.5}, ConfigError, "halo must be a whole number"),
        ({"halo": "far"}, ConfigError, "halo must be a whole number"),
        ({"frame": 31}, ConfigError, "frame"),
        ({"frame": 64.5}, ConfigError, "frame must be a whole number"),
        ({"precision": "float16"}, ConfigError, "'float32' or 'bfloat16'"),
        ({"origin": (float("inf"), 0.0)}, RegionError, "origin"),
    ],
    ids=str,
)
def test_each_wrong_setting_is_refused_by_name_before_anything_is_made(pipeline, tmp_path, call, error, message):
    with pytest.raises(error, match=message):
        pipeline("Normal", workdir=tmp_path / "scratch", **call)
    assert not (tmp_path / "scratch").exists()


def test_pixels_between_the_limits_are_accepted(pipeline):
    assert pipeline(mpp=0.125).spec.ratio == 4
    assert pipeline(mpp=2.0).spec.ratio == 0.25
    assert pipeline(mpp=0.50001).spec.ratio == 1


def test_the_trained_pixel_size_nearest_to_the_canvas_is_the_reference(make_pipeline):
    pipeline = make_pipeline(magnification=True, info={"spacing": (0.5, 2.0)})
    found = [(pipeline(mpp=mpp).spec.ratio, pipeline(mpp=mpp).spec.log_magnification) for mpp in (0.5, 0.9, 1.2, 2.0)]
    np.testing.assert_allclose(found, [(1, 0), (0.5 / 0.9, 0), (2 / 1.2, 2), (1, 2)])
    assert pipeline().mpp == pytest.approx(0.5)


def test_a_model_of_rasters_is_asked_in_its_own_unit(make_pipeline):
    degrees = make_pipeline(info={"unit": "degree", "spacing": (1e-5,), "crs": "EPSG:4326"})
    with pytest.raises(ConfigError, match="use resolution="):
        degrees(mpp=0.5)
    canvas = degrees(resolution=2e-5, origin=(10.0, 50.0), size=(50, 40))
    assert canvas.spec.ratio == pytest.approx(0.5)
    assert canvas.mpp is None
    assert (canvas.lattice.crs, canvas.lattice.unit) == ("EPSG:4326", "degree")
    assert canvas.lattice.transform @ (50, 40) == pytest.approx((10.001, 49.9992))
    meters = make_pipeline(info={"unit": "meter", "spacing": (0.5,)})
    assert meters(mpp=500_000).spec.ratio == pytest.approx(1.0)
    assert meters(crs="EPSG:26914").lattice.crs == "EPSG:26914"


def test_bfloat16_is_close_to_float32_and_not_the_same(pipeline, image):
    other = pixels(pipeline("Invasive", **CALL, precision="bfloat16")).astype(int)
    off = np.abs(other - image)
    assert 0 < off.mean() < 3
    assert np.corrcoef(other.ravel(), image.ravel())[0, 1] > 0.99


def test_progress_is_told_while_rendering(pipeline):
    told = []
    pixels(pipeline("Normal", **CALL, engine="joint", progress=lambda done, total: told.append(done / total)))
    assert told == sorted(told)
    assert told[-1] == 1.0
