"""Chunked rendering is the one-piece evaluation, for every operator, sampler, tile size and resolution."""

import numpy as np
import pytest
import torch

from infbrush_wsi.canvas.engine import StepEngine
from infbrush_wsi.canvas.picture import sharpen, to_grey
from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.sampling import predict_clean, sample_points
from infbrush_wsi.diffusion.steps import make_scheduler, step_table
from infbrush_wsi.domain import Box
from infbrush_wsi.fields.noise import NoiseField
from infbrush_wsi.fields.wiener import WienerInverse
from infbrush_wsi.points.grid import GridGeometry
from infbrush_wsi.points.support import LatticeSupport

CONDITION = ConditionBatch(torch.zeros(1, dtype=torch.bool), labels=torch.tensor([1]))


def in_one_piece(pipeline, spec):
    """T x_0 (h, w, C) with the whole lattice as a single tile and nothing of the engine."""
    shape, denoiser = spec.shape, pipeline.denoiser
    whole = Box(0, 0, shape.w, shape.h)
    grid = GridGeometry.covering(shape.h / spec.ratio, shape.w / spec.ratio, denoiser.config.grid_pitch)
    support = LatticeSupport(whole, whole, shape, spec.ratio, grid)

    def network(scaled, timestep, condition):
        magnification = torch.full((len(timestep),), spec.log_magnification)
        return denoiser(scaled, support, timestep, condition, magnification)

    def noise(stream):
        field = NoiseField(spec.seed, denoiser.config.channels, sigma=pipeline.info.sigma, stream=stream)
        values = field.on_lattice((0.0, 0.0), 1.0 / spec.ratio, shape)
        return torch.from_numpy(values).reshape(1, shape.count, -1)

    process, table = (
        pipeline.process,
        step_table(make_scheduler(spec.scheduler, pipeline.process.config.schedule), spec.steps, spec.eta),
    )
    with torch.no_grad():
        if spec.eta == 0:
            x = sample_points(network, process, noise(0), CONDITION, table, spec.guidance_scale)
        else:
            x = noise(0)
            for number, step in enumerate(table):
                time = torch.tensor([step.timestep])
                clean = predict_clean(network, process, x, time, CONDITION, spec.guidance_scale)
                x = step.apply(x, [clean], noise(number + 1))
    return x.reshape(*shape.as_tuple(), -1).numpy()


def pixels(clean, sigma_px):
    reach = WienerInverse(sigma_px=sigma_px).reach
    window = np.pad(clean, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    return to_grey(WienerInverse(sigma_px=sigma_px).apply(window))


def assert_rendered_is_whole(pipeline, keep_bytes=400_000, **call):
    """With the default, some tiles wait at global sums with their features and others start anew."""
    canvas = pipeline("Invasive", **{"seed": 5, "num_inference_steps": 3, "engine": "joint"} | call)
    engine = canvas.reader._engine(canvas.reader.folder, keep_bytes=keep_bytes)
    state = engine.render()
    rendered = state.read(Box(0, 0, state.shape.w, state.shape.h))
    sigma_px = pipeline.info.sigma * canvas.spec.ratio
    sharp = sharpen(state, sigma_px, canvas.spec.tile, canvas.reader.folder / "sharp.raw")
    whole = in_one_piece(pipeline, canvas.spec)
    assert whole.std() > 0.05
    np.testing.assert_allclose(rendered, whole, rtol=0, atol=2e-5)
    off = np.abs(np.array(sharp.open()).astype(int) - pixels(whole, sigma_px))
    assert off.max() <= 1
    assert off.any(axis=-1).mean() < 1e-3
    return engine


@pytest.mark.parametrize("tile", [32, 37, 64, 200])
@pytest.mark.parametrize("size", [(70, 65), (33, 90)])
def test_any_tile_size_gives_the_whole(make_pipeline, tile, size):
    engine = assert_rendered_is_whole(make_pipeline(), tile=tile, size=size)
    assert len(engine.boxes) == -(-size[0] // tile) * -(-size[1] // tile)


@pytest.mark.parametrize(("keep_bytes", "kept"), [(0, 0), (800_000, 2), (1 << 30, 6)])
def test_tiles_that_wait_with_their_features_and_tiles_that_start_anew_agree(
    make_pipeline, paper_like, keep_bytes, kept
):
    pipeline = make_pipeline(**paper_like)
    engine = assert_rendered_is_whole(pipeline, keep_bytes, tile=32, size=(70, 60), guidance_scale=1.5)
    assert (len(engine.kept), len(engine.boxes)) == (kept, 6)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.37, 2.0])
@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_any_resolution_and_guidance_give_the_whole(make_pipeline, ratio, guidance):
    assert_rendered_is_whole(
        make_pipeline(magnification=True), mpp=0.5 / ratio, guidance_scale=guidance, tile=40, size=(79, 66)
    )


@pytest.mark.parametrize(
    "sampler",
    [
        {"scheduler": "ddim"},
        {"scheduler": "ddim", "eta": 0.5},
        {"scheduler": "dpmsolver++", "num_inference_steps": 5},
        {"scheduler": "dpmsolver++", "num_inference_steps": 1},
    ],
    ids=str,
)
def test_any_sampler_gives_the_whole(make_pipeline, sampler):
    assert_rendered_is_whole(make_pipeline(), **sampler, guidance_scale=1.5, tile=33, size=(66, 50))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_every_operator_of_the_published_model_gives_the_whole(make_pipeline, paper_like, ratio, guidance):
    pipeline = make_pipeline(blocks=2, **paper_like)
    assert_rendered_is_whole(pipeline, mpp=0.5 / ratio, guidance_scale=guidance, tile=48, size=(100, 67))


@pytest.mark.parametrize("changed", ["cano", "self_attention", "transfer", "position"])
def test_each_operator_of_the_published_model_alone_gives_the_whole(make_pipeline, paper_like, changed):
    pipeline = make_pipeline(**{changed: paper_like[changed]})
    assert_rendered_is_whole(pipeline, tile=32, size=(65, 70))


def test_a_pitch_that_is_no_whole_number_and_tiles_without_a_node_give_the_whole(make_pipeline):
    """Columns of 1 pixel at the right: such a tile owns no node of a grid of 4.7 pixels."""
    pipeline = make_pipeline(transfer="knn", grid_pitch=4.7)
    assert_rendered_is_whole(pipeline, tile=32, size=(65, 97))


def test_without_its_halo_a_tile_would_be_wrong(make_pipeline, monkeypatch):
    """The comparison can fail: with a halo one pixel short it does."""
    pipeline = make_pipeline()
    true = pipeline.denoiser.barrier_reach
    monkeypatch.setattr(pipeline.denoiser, "barrier_reach", lambda ratio: [r - 1 for r in true(ratio)])
    with pytest.raises(AssertionError):
        assert_rendered_is_whole(pipeline, tile=32, size=(70, 65))


def test_threads_give_the_bytes_of_the_synchronous_scheduler(make_pipeline, paper_like, tmp_path):
    call = {"size": (90, 100), "num_inference_steps": 3, "guidance_scale": 1.5, "tile": 32, "engine": "joint"}
    canvas = make_pipeline(**paper_like)("Normal", **call)
    found = []
    for scheduler in ("synchronous", "threads"):
        engine = canvas.reader._engine(canvas.reader.folder, scheduler=scheduler, keep_bytes=800_000)
        state = engine.render()
        found.append(state.path.read_bytes())
        state.remove()
    assert found[0] == found[1]


def test_progress_counts_every_tile_of_every_pass(make_pipeline, paper_like):
    canvas = make_pipeline(**paper_like)("Normal", (70, 40), num_inference_steps=2, tile=32, engine="joint")
    told = []
    canvas.render(lambda done, total: told.append((done, total)))
    tiles, passes = 6, 2 * 2 + 1 + 1  # two barriers in each of two layers, the grid, the output
    assert told == [(k + 1, tiles * (2 * passes + 1)) for k in range(tiles * (2 * passes + 1))]


def test_the_engine_is_what_the_pipeline_builds(make_pipeline):
    assert isinstance(make_pipeline()(None, (32, 32), engine="joint").reader._engine(None), StepEngine)
