"""Measurements and guidance as maths: gradients by finite differences in float64, known parts exactly in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.diffusion.measurements import KnownAverages, KnownPixels, Several
from infbrush_wsi.diffusion.process import MollifiedProcess, ProcessConfig
from infbrush_wsi.diffusion.reconstruction import Reconstruction, _predicted, reconstruct
from infbrush_wsi.diffusion.sampling import sample_points
from infbrush_wsi.diffusion.steps import first_step, make_scheduler, step_table
from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.fields.mollifier import Mollifier
from infbrush_wsi.fields.wiener import WienerInverse
from infbrush_wsi.points.cell_means import CellMeans

SIDE, SIGMA = 24, 1.0
NONE = ConditionBatch.none(1)
RNG = np.random.default_rng(5)
IMAGE = np.clip(Mollifier(2.0).on_image(RNG.normal(0, 1.5, (SIDE, SIDE, 3)).astype(np.float32)), -0.9, 0.9)


@pytest.fixture
def process() -> MollifiedProcess:
    return MollifiedProcess(ProcessConfig(data_std=0.3, data_mean=(0.1, 0.0, -0.1)))


def known_pixels() -> tuple[KnownPixels, np.ndarray]:
    known = np.ones((SIDE, SIDE), bool)
    known[8:16, 9:17] = False
    return KnownPixels.of(IMAGE, known, SIGMA), known


def known_averages() -> KnownAverages:
    means = CellMeans(Shape(6, 6), 4)
    return KnownAverages(means, means.average(IMAGE).astype(np.float32), SIGMA)


def measurements() -> list[object]:
    return [known_pixels()[0], known_averages(), Several([known_averages(), known_pixels()[0]])]


def image_points(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).reshape(1, -1, 3)


def smooth_network(x: Tensor, timestep: Tensor, condition: ConditionBatch) -> Tensor:
    """Some differentiable function that mixes neighbours and bands, and is no denoiser."""
    mixed = 0.5 * x + 0.2 * x.roll(1, dims=1) + 0.1 * x.roll(1, dims=2)
    return torch.sin(mixed) * (1.0 + timestep.view(-1, 1, 1) / 1000)


def network_of(process: MollifiedProcess, clean: Tensor):
    """A network that always predicts `clean`."""

    def network(x: Tensor, timestep: Tensor, condition: ConditionBatch) -> Tensor:
        signal, sigma = process.signal_noise(timestep)
        mean = torch.tensor(process.config.data_mean)
        std = (signal**2 * process.config.data_std**2 + sigma**2 * process.config.noise_std**2).sqrt()
        return process.target(clean, (x * std + signal * mean - signal * clean) / sigma, timestep)

    return network


@pytest.mark.parametrize("number", range(3), ids=["pixels", "averages", "both"])
def test_the_gradient_of_a_measurement_is_that_of_its_error(number: int) -> None:
    measurement = measurements()[number]
    generator = torch.Generator().manual_seed(number)
    clean = torch.randn(1, SIDE * SIDE, 3, generator=generator, dtype=torch.float64) * 0.3
    way = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    # The error is quadratic, so the difference quotient is exact but for rounding (filters answer in float32).
    step = 0.5
    slope = (measurement.error(clean + step * way) - measurement.error(clean - step * way)) / (2 * step)
    assert float((measurement.gradient(clean) * way).sum()) == pytest.approx(float(slope), rel=2e-5, abs=1e-3)


def test_guidance_is_the_gradient_through_the_network(process: MollifiedProcess) -> None:
    measurement = known_pixels()[0]
    step = step_table(make_scheduler("ddim", process.config.schedule), 10)[6]
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, SIDE * SIDE, 3, generator=generator, dtype=torch.float64) * 0.2
    way = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    how = Reconstruction(weight=1.0, replace=False)

    def error(at: Tensor) -> Tensor:
        t = torch.tensor([step.timestep])
        return measurement.error(process.clean(at, smooth_network(process.network_input(at, t), t, NONE), t))

    _, pull = _predicted(smooth_network, process, x, step, NONE, measurement, how)
    h = 1e-5
    slope = (error(x + h * way) - error(x - h * way)) / (2 * h)
    assert pull is not None
    assert float((pull * way).sum()) == pytest.approx(float(slope), rel=1e-6)


def test_one_step_moves_against_the_gradient(process: MollifiedProcess) -> None:
    measurement = known_pixels()[0]
    steps = step_table(make_scheduler("ddim", process.config.schedule), 4)[1:2]
    x = torch.randn(1, SIDE * SIDE, 3, generator=torch.Generator().manual_seed(1)) * 0.2
    plain = Reconstruction(weight=1e-30, replace=False)
    guided = Reconstruction(weight=0.05, replace=False)
    _, pull = _predicted(smooth_network, process, x, steps[0], NONE, measurement, guided)
    run = [
        reconstruct(smooth_network, process, x, NONE, steps, measurement, how, fresh=lambda *_: x)
        for how in (plain, guided)
    ]
    torch.testing.assert_close(run[1], (run[0] - 0.05 * pull).clamp(-1, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++"])
@pytest.mark.parametrize("rounds", [1, 2])
def test_known_pixels_take_their_place(process: MollifiedProcess, scheduler: str, rounds: int) -> None:
    measurement, known = known_pixels()
    steps = step_table(make_scheduler(scheduler, process.config.schedule), 6)
    noise = torch.randn(1, SIDE * SIDE, 3, generator=torch.Generator().manual_seed(1)) * 0.28
    found = reconstruct(
        smooth_network, process, noise, NONE, steps, measurement, Reconstruction(rounds=rounds), fresh=lambda *_: noise
    )
    far = measurement.share[0, :, 0] > 1 - 1e-6
    assert 50 < int(far.sum()) < known.sum()
    torch.testing.assert_close(found[0, far], image_points(Mollifier(SIGMA).on_image(IMAGE))[0, far], rtol=0, atol=1e-6)


def test_where_all_is_known_nothing_is_made(process: MollifiedProcess) -> None:
    measurement = KnownPixels.of(IMAGE, np.ones((SIDE, SIDE), bool), SIGMA)
    assert float(measurement.error(image_points(Mollifier(SIGMA).on_image(IMAGE)))) == pytest.approx(0, abs=1e-9)


def test_a_right_prediction_is_left_alone() -> None:
    """T(K x̄) + (1 - m) T x̄ is T x̄ itself where the image is even near the border."""
    even = np.full((SIDE, SIDE, 3), 0.4, np.float32)
    measurement = KnownPixels.of(even, known_pixels()[1], SIGMA)
    torch.testing.assert_close(measurement.replaced(image_points(even)), image_points(even), rtol=0, atol=1e-6)


def test_averages_take_their_place() -> None:
    measurement = known_averages()
    wrong = torch.randn(1, SIDE * SIDE, 3, generator=torch.Generator().manual_seed(4)) * 0.1
    wrong = image_points(Mollifier(1.0).on_image(wrong.reshape(SIDE, SIDE, 3).numpy()))
    found = measurement.replaced(wrong).reshape(SIDE, SIDE, 3).numpy()
    sharp = WienerInverse(SIGMA).on_image(found)
    off = np.abs(measurement.means.average(sharp) - measurement.values)
    before = np.abs(
        measurement.means.average(WienerInverse(SIGMA).on_image(wrong.reshape(SIDE, SIDE, 3).numpy()))
        - measurement.values
    )
    assert off.max() < 0.02 * before.max()


def test_no_weight_and_no_knowledge_is_plain_sampling(process: MollifiedProcess) -> None:
    steps = step_table(make_scheduler("dpmsolver++", process.config.schedule), 5)
    noise = torch.randn(1, SIDE * SIDE, 3, generator=torch.Generator().manual_seed(1)) * 0.28
    nothing = KnownPixels.of(IMAGE, np.zeros((SIDE, SIDE), bool), SIGMA)
    found = reconstruct(smooth_network, process, noise, NONE, steps, nothing, Reconstruction(), fresh=lambda *_: noise)
    torch.testing.assert_close(found, sample_points(smooth_network, process, noise, NONE, steps).clamp(-1, 1))


def test_noising_again_keeps_the_marginal(process: MollifiedProcess) -> None:
    """With the true image as prediction, any number of rounds ends in it, from any start."""
    clean = image_points(IMAGE)
    steps = step_table(make_scheduler("ddim", process.config.schedule), 5)
    generator = torch.Generator().manual_seed(3)
    nothing = KnownPixels.of(IMAGE, np.zeros((SIDE, SIDE), bool), SIGMA)
    spread: dict[int, float] = {}

    def network(x: Tensor, timestep: Tensor, condition: ConditionBatch) -> Tensor:
        signal, sigma = process.signal_noise(timestep)
        output = network_of(process, clean)(x, timestep, condition)
        mean = torch.tensor(process.config.data_mean)
        std = (signal**2 * process.config.data_std**2 + sigma**2 * process.config.noise_std**2).sqrt()
        spread[int(timestep[0])] = float(((x * std + signal * mean - signal * clean) / sigma).std())
        return output

    def fresh(number: int, again: int) -> Tensor:
        return torch.randn(clean.shape, generator=generator) * 0.28

    found = reconstruct(network, process, fresh(0, 0), NONE, steps, nothing, Reconstruction(rounds=4), fresh=fresh)
    torch.testing.assert_close(found, clean, rtol=0, atol=1e-4)
    assert all(value == pytest.approx(0.28, rel=0.1) for value in spread.values())


@pytest.mark.parametrize("wrong", [{"weight": -1.0}, {"replace": False}, {"rounds": 0}, {"guidance_scale": -1.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Reconstruction(**wrong)


@pytest.mark.parametrize(("strength", "first"), [(1.0, 0), (0.5, 10), (0.26, 15), (0.05, 19)])
def test_strength_leaves_steps_out(strength: float, first: int) -> None:
    assert first_step(20, strength) == first


@pytest.mark.parametrize("strength", [0.0, 1.1, 0.01, float("nan")])
def test_a_strength_without_steps_is_refused(strength: float) -> None:
    with pytest.raises(ConfigError, match="strength"):
        first_step(20, strength)


@pytest.mark.parametrize("name", ["ddim", "dpmsolver++"])
def test_a_shortened_table_is_that_of_image_to_image(name: str, process: MollifiedProcess) -> None:
    """With the true image as prediction it ends there, from the noised image; later steps are those of the whole."""
    scheduler = make_scheduler(name, process.config.schedule)
    short, whole = step_table(scheduler, 20, first=8), step_table(scheduler, 20)
    assert [s.timestep for s in short] == [s.timestep for s in whole[8:]]
    assert len(short[0].predictions) == 1
    for mine, theirs in zip(short[1:], whole[9:], strict=True):
        assert mine.state == pytest.approx(theirs.state, abs=1e-12)
        assert mine.predictions == pytest.approx(theirs.predictions, abs=1e-12)
    clean = image_points(IMAGE)
    start = process.noised(clean, 0.28 * torch.randn(clean.shape), torch.tensor([short[0].timestep]))
    found = sample_points(network_of(process, clean), process, start, NONE, short)
    torch.testing.assert_close(found, clean, rtol=0, atol=1e-4)
